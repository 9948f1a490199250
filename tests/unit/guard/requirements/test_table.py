"""The table is whole, and says what Apache's own builder was seen to check."""

import base64
import collections
import gzip
import json
from pathlib import Path

import pytest

from mqguard.auth.blank import is_blank
from mqguard.guard.errors import NeedUnclear
from mqguard.guard.requirements import clients, groups, messages, operations, pop, topics
from mqguard.guard.requirements.evaluation import Requirements
from mqguard.guard.requirements.row import Level
from mqguard.guard.requirements.table import TABLE
from mqguard.remoting.codes import RequestCode
from mqguard.remoting.command import Command

VECTORS = Path(__file__).resolve().parents[3] / "vectors" / "contexts.jsonl.gz"

IN_ANY_ORDER = {34, 41, 42}
"""Codes whose contexts Apache builds from hash sets."""


def test_no_code_stands_in_two_families():
    """A code has one row: merging the families loses none."""
    families = (messages, clients, topics, groups, pop, operations)

    assert sum(len(family.ROWS) for family in families) == len(TABLE)


def test_only_these_codes_need_no_right_at_all():
    """Every code that is served to an authenticated sender without rights is known by name."""
    free = {RequestCode(code).name for code, row in TABLE.items() if row.level is Level.IDENTITY}

    assert free == {"GET_BROKER_CLUSTER_INFO"}


def test_only_super_users_touch_configuration():
    """Reading and writing the configuration of a broker, a name server or a controller is for Super users."""
    supers = {int(code) for code, row in TABLE.items() if row.level is Level.SUPER}

    assert supers == {25, 26, 318, 319, 1009, 1010}


def remoting_vectors():
    """Recorded requests by code, of those on which the design does not differ."""
    found = collections.defaultdict(list)
    with gzip.open(VECTORS, "rt", encoding="ascii") as lines:
        for line in lines:
            vector = json.loads(line)
            if vector["what"] == "remoting" and not vector.get("tags"):
                found[vector["code"]].append(vector)
    return dict(found)


RECORDED = remoting_vectors()


def outcome(vector):
    requirements = Requirements(vector.get("cluster", "DefaultCluster") or "")
    ext = {name: value for name, value in (vector["ext"] or {}).items() if value is not None}
    command = Command(code=vector["code"], ext=ext, body=base64.b64decode(vector["body"] or ""))
    try:
        needs = requirements.needs(command)
    except NeedUnclear:
        return None
    return [check(need.type.value, need.name, (action.value for action in need.actions)) for need in needs]


def check(kind, name, actions):
    return kind, name, tuple(sorted(actions))


def expected(vector):
    """The recorded checks, None for an error; a check of a blank name is a refusal with us."""
    if isinstance(vector["out"], dict):
        return None
    if any(is_blank(found["name"]) and found["type"] != "Cluster" for found in vector["out"]):
        return None
    return list(dict.fromkeys(check(found["type"], found["name"] or "", found["actions"]) for found in vector["out"]))


@pytest.mark.parametrize("code", sorted(RECORDED))
def test_needs_are_those_recorded_from_apache(code):
    """For every recorded request on which the design does not differ, needs() gives the recorded checks."""
    for vector in RECORDED[code]:
        mine, theirs = outcome(vector), expected(vector)
        if code in IN_ANY_ORDER and mine is not None and theirs is not None:
            mine, theirs = sorted(mine), sorted(theirs)
        assert mine == theirs, vector["id"]
