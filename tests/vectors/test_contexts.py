import json

import pytest

from mqguard.guard.requirements.evaluation import TABLE
from mqguard.guard.requirements.row import RequirementLevel
from mqguard.testing.vectors.contexts import answer
from tests.vectors.reading import REFUSED, Tally, lines, plain

UNORDERED = {34, 41, 42}
"""Codes whose checks Java makes in an order of chance; the recorded ones are sorted."""

CLOSED = {code for code, row in TABLE.items() if row.level in {RequirementLevel.BROKER, RequirementLevel.SUPER}}
"""Codes that no policy grants here. Apache checks a right, or nothing."""

OFFSETS = '["Get"]', '["Sub", "Get"]'
ALSO_ENOUGH = {
    # Apache lets Create change a topic that exists. Here the handler requires Create or Update, as the case may be.
    17: ('["Create"]', '["Create", "Update"]'),
    # Apache requires Get for questions about offsets, which a consumer that has only Sub must send.
    **dict.fromkeys((29, 30, 31, 32), OFFSETS),
}
"""By code: the actions that Apache requires, and those of which any is enough here."""

# By tag: requests that lead to the checks that Apache makes, requests that lead to others or are refused.
BY_TAG = {
    "missing-field": (31, 443),
    "no-check": (73, 1326),
    "no-identity": (175, 339),
    "odd-body": (42, 17),
    "retry-topic": (70, 496),
    "touched": (197, 266),
}


def checks(line, out):
    """Return the checks in comparable form: without repetition, and an empty list if there is no check."""
    out = plain(out)
    if out == REFUSED:
        return out
    found = list(dict.fromkeys(json.dumps(check, sort_keys=True) for check in out or ()))
    return sorted(found) if line.get("code") in UNORDERED else found


def is_refused_anyway(recorded):
    """True if a check is about a blank name, which mqguard always refuses (the rule `missing-name`)."""
    return isinstance(recorded, list) and any(not (check["name"] or "").strip() for check in recorded)


def test_every_recorded_request_without_a_tag_leads_to_the_same_checks():
    tally = Tally()
    nameless = closed = 0
    for line in lines("contexts"):
        tags = line.get("tags", [])
        ours, recorded = checks(line, answer(line)["out"]), checks(line, line["out"])
        if line.get("code") in CLOSED and not tags:
            assert ours == REFUSED
            closed += 1
            continue
        if recorded != REFUSED and (actions := ALSO_ENOUGH.get(line.get("code"))):
            recorded = [check.replace(*actions) for check in recorded]
        agrees = ours == recorded
        if not agrees and not tags and ours == REFUSED and is_refused_anyway(line["out"]):
            nameless += 1
            continue
        assert agrees or tags, (line, ours)
        tally.add(tags, agrees=agrees)
    assert nameless == 20
    assert closed == 254
    assert tally.untagged == 783
    assert tally.by_tag == BY_TAG


@pytest.mark.parametrize("tag", ["no-check", "missing-field"])
def test_every_request_that_apache_allows_is_checked_at_least_as_much_here(tag):
    for line in lines("contexts"):
        if tag not in line.get("tags", ()):
            continue
        ours, recorded = checks(line, answer(line)["out"]), checks(line, line["out"])
        # A retry topic is checked as the group that it belongs to, which replaces the recorded check.
        if "retry-topic" not in line["tags"] and ours != REFUSED and recorded != REFUSED:
            named = [check for check in recorded if json.loads(check)["name"].strip()]
            assert set(named) <= set(ours), (line, ours)
