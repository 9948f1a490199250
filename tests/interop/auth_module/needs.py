"""The checks of a request by Apache's module, and those of mqguard by the rules in which it differs.

These files derive the checks of mqguard from Apache's checks and the names in the request, rule by rule. Then they
compare them with the permissions that the guard really requires.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterable
from typing import Any

from mqguard.guard.requirements.evaluation import TABLE
from mqguard.guard.requirements.row import RequirementLevel
from mqguard.testing.vectors.contexts import answer
from tests.interop.auth_module.belonging import Check, Refused
from tests.interop.auth_module.named import Named
from tests.interop.auth_module.peer import AuthModule, Unexplained, compare_caller
from tests.interop.auth_module.requests import HEARTBEAT, LOCK, UNLOCK, Code, GeneratedRequest, codes_of, request

Json = dict[str, Any]
Checks = list[Check]

UNCHECKED = {106, HEARTBEAT}
"""Codes that require no permission of mqguard either, or not always."""
UNORDERED = {HEARTBEAT, LOCK, UNLOCK}
"""Codes whose checks Apache makes in random order."""

SENDS = {10, 310, 320}
RETRY_TOPIC = "RETRY_TOPIC"
CREATE_TOPIC = 17
OFFSETS = {29, 30, 31, 32}
"""Codes that ask for offsets, which every answer to a pull contains, too."""

MAY_BE_ABSENT = {
    33: {"topic"},
    35: {"consumerGroup"},
    36: {"originTopic"},
    37: {"topic"},
    208: {"topic", "topicList"},
    308: {"filterGroups"},
    309: {"topic"},
    314: {"topic"},
    321: {"consumerGroup"},
    323: {"topic"},
}
"""Declared names, by code, that a request may leave out, since its handler checks the objects that it reaches."""


def codes(module: AuthModule) -> list[Code]:
    """Return every request code of the module's release."""
    ((_, told),) = module.answers("headers", [{}])
    return codes_of(told)


def compare_contexts(module: AuthModule, known: list[Code], seed: int, numbers: Iterable[int]) -> Counter[str]:
    """Compare the requests with these numbers; the same seed always creates the same ones.

    Returns:
        The number of requests (`all`), of those with the same checks (`same`), and of those with others, by the name of
        the rule.

    Raises:
        Unexplained: The checks of a request do not follow from Apache's by the rules.
    """
    found: Counter[str] = Counter()
    numbers = list(numbers)
    asked = [request(random.Random(f"{seed}/{number}"), known) for number in numbers]
    answers = module.answers("contexts", (each.line for each in asked))
    for number, each, (_, theirs) in zip(numbers, asked, answers, strict=True):
        try:
            found.update(("all", *_compare(each, theirs)))
        except Unexplained as error:
            raise Unexplained(f"contexts, seed {seed}, request {number}: {error}") from None
    return found


def _compare(asked: GeneratedRequest, theirs: Any) -> set[str]:
    """Return the rules by which our checks differ from Apache's, or the word `same`."""
    out = answer(asked.line)["out"]
    mine = None if isinstance(out, dict) else [_check(each) for each in out]
    if isinstance(theirs, dict):
        raise Unexplained(f"Apache cannot read the request: {_shown(theirs)} {_shown(asked.line)}")
    checks = [_check(each) for each in theirs or ()]
    rules: set[str] = set()
    try:
        wanted = _wanted(asked, checks, rules)
    except Refused as refused:
        rules, wanted = {refused.rule}, None
    if wanted == [] and not theirs and mine != []:
        _demand_reason(asked)
        return {"no-check"}
    unchecked = (
        mine == [] and asked.blanked is None and asked.line["code"] not in UNCHECKED and "half-topic" not in rules
    )
    if unchecked or not _alike(asked, mine, wanted):
        raise Unexplained(
            f"{_shown(asked.line)}: Apache checks {_shown(theirs)}, which makes {wanted} by the rules {sorted(rules)}, "
            f"and mqguard {_shown(out)}"
        )
    if wanted is not None and theirs and out:
        compare_caller(theirs[0], out[0])
    if _alike(asked, mine, checks):
        return {"same"}
    if not rules:
        raise Unexplained(f"no rule is known to make {wanted} of {_shown(theirs)}")
    return rules


def _wanted(asked: GeneratedRequest, checks: Checks, rules: set[str]) -> Checks:
    """Return our checks by the rules.

    Raises:
        Refused: The request is refused without a check.
    """
    code, ext, named = asked.line["code"], asked.line["ext"], Named(asked)
    if checks and TABLE[code].level in (RequirementLevel.BROKER, RequirementLevel.SUPER):
        raise Refused("being-a-broker")
    if asked.blanked is not None:
        if asked.blanked not in MAY_BE_ABSENT.get(code, ()):
            raise Refused("missing-field")
        if (ext.get(asked.blanked) or "x").isspace() and code == 321:
            raise Refused("missing-field")
        checks = [check for check in checks if (named.topic_of(check) or check.name or "").strip()]
        rules.add("missing-field")

    named.refuse_topics_for_groups()
    if code in OFFSETS and checks:
        rules.add("offsets")
        checks = [check._replace(actions=check.actions | {"Sub"}) for check in checks]
    wanted = list(dict.fromkeys(named.translate(checks, rules)))
    if code in SENDS and "owned-topic" in rules and RETRY_TOPIC not in (ext.get("properties") or ext.get("i") or ""):
        raise Refused("retried-origin")
    if code == CREATE_TOPIC and wanted:
        rules.add("create-or-update")
        wanted = [check._replace(actions=check.actions | {"Update"}) for check in wanted]
    return wanted


def _demand_reason(asked: GeneratedRequest) -> None:
    """Check that the documents mention each case in which mqguard checks what Apache allows."""
    row = TABLE[asked.line["code"]]
    if (
        asked.line["ext"]
        and asked.blanked is None
        and not row.apache_difference
        and row.level is not RequirementLevel.UNSERVED
    ):
        raise Unexplained(f"Apache checks nothing for the code {asked.line['code']}, and our row does not say so")


def _alike(asked: GeneratedRequest, one: Checks | None, other: Checks | None) -> bool:
    if one is None or other is None:
        return one is other
    if asked.line["code"] in UNORDERED:
        return set(one) == set(other)
    return list(dict.fromkeys(one)) == list(dict.fromkeys(other))


def _check(said: Json) -> Check:
    return Check(said["type"], said["name"], frozenset(said["actions"]))


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
