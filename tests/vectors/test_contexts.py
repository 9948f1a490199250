"""The checks that requests lead to, compared with those recorded from Apache's builder."""

import json

from mqguard.auth.blank import is_blank
from mqguard.testing.answers.contexts import answer
from tests.vectors.reading import Tally, lines

# By tag: requests whose checks agree with Apache's, requests whose checks differ.
BY_TAG = {
    "missing-field": (149, 325),
    "no-check": (84, 1315),
    "no-identity": (216, 298),
    "odd-body": (47, 12),
    "retry-topic": (154, 412),
    "touched": (233, 230),
}

IN_ANY_ORDER = {34, 41, 42}
"""Codes whose checks Apache builds from hash sets."""


def checks(line):
    """What is checked, without repeats; None for a refusal, which a check of no name is as well."""
    out = line["out"]
    if isinstance(out, dict):
        return None
    found = list(dict.fromkeys(json.dumps(check, sort_keys=True) for check in out or ()))
    return sorted(found) if line.get("code") in IN_ANY_ORDER else found


def names_nothing(line):
    """Whether a recorded check has a blank name: the design refuses such a request."""
    out = line["out"]
    return isinstance(out, list) and any(check["type"] != "Cluster" and is_blank(check["name"]) for check in out)


def test_every_recorded_request_without_a_tag_leads_to_the_same_checks():
    tally = Tally()
    for line in lines("contexts"):
        tags = line.get("tags", [])
        ours = answer(line)
        theirs = None if names_nothing(line) else checks(line)
        agrees = checks(ours) == theirs
        assert agrees or tags, (line["id"], line["out"], ours["out"])
        tally.add(tags, agrees=agrees)
    assert tally.untagged == 1057
    assert tally.by_tag == BY_TAG
