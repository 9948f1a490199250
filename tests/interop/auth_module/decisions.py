"""Comparison of decisions: Apache's module with Apache's rules, and mqguard with its own."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterable
from typing import Any

from mqguard.testing.vectors.decisions import answer
from tests.interop.auth_module.peer import AuthModule, Unexplained
from tests.interop.auth_module.rules import (
    ALLOW,
    APACHES,
    DENY,
    DISABLED,
    FAULT,
    NO_MATCH,
    OURS,
    UNKNOWN,
    State,
    apache_stores,
)
from tests.interop.auth_module.texts import TYPES
from tests.interop.auth_module.worlds import REQUESTS, world

Json = dict[str, Any]

_ENDINGS = {
    "no matched policies.": NO_MATCH,
    "the decision is deny.": DENY,
    " not found.": UNKNOWN,
    " is disabled.": DISABLED,
}


def compare_decisions(module: AuthModule, seed: int, numbers: Iterable[int]) -> Counter[str]:
    """Compare the scenarios with these numbers; the same seed always creates the same ones.

    Returns:
        The number of decisions (`all`), of those that Apache allowed (`allow`) and of those in which mqguard differs
        (`differ`). Then the number of differences by the name of their rule; one may have several rules.

    Raises:
        Unexplained: An answer does not follow from the rules.
    """
    found: Counter[str] = Counter()
    numbers = list(numbers)
    scenarios = (world(random.Random(f"{seed}/{number}")) for number in numbers)
    for number, (line, theirs) in zip(numbers, module.answers("decisions", scenarios), strict=True):
        try:
            _compare(line, theirs, found)
        except Unexplained as error:
            raise Unexplained(f"decisions, seed {seed}, scenario {number}: {error}") from None
    return found


def scenarios_of(decisions: float) -> int:
    """Return the number of scenarios that have that many decisions."""
    return -(-int(decisions) // REQUESTS)


def kind_of(outcome: Any) -> str:
    """Return the kind of an outcome, by the message that a peer would get."""
    if outcome == "allow":
        return ALLOW
    message = outcome["message"] or ""
    return next((kind for ending, kind in _ENDINGS.items() if message.endswith(ending)), FAULT)


def _compare(line: Json, theirs: Json, found: Counter[str]) -> None:
    by_rules = State(line)
    for acl, stored in zip(line["acls"], theirs["acls"], strict=True):
        if (stored == "ok") != apache_stores(acl):
            raise Unexplained(f"Apache stores policies otherwise than the rules say: {_shown(stored)} {_shown(acl)}")
    ours = answer(line)["requests"]
    for request, apache, mqguard in zip(line["requests"], theirs["requests"], ours, strict=True):
        for who, outcome, rules in (("Apache", apache, APACHES), ("mqguard", mqguard["outcome"], OURS)):
            wanted = by_rules.outcome(request, rules)
            if kind_of(outcome) != wanted:
                policies = [acl for acl in line["acls"] if acl["subject"] == request["subject"]]
                raise Unexplained(
                    f"{who} answers {_shown(outcome)} where its rules say `{wanted}`: {_shown(request)} "
                    f"{_shown(line['users'])} {_shown(policies)}"
                )
        _compare_words(request, apache, mqguard["outcome"])
        found["all"] += 1
        found["allow"] += apache == "allow"
        rules_that_turn = by_rules.attribute(request)
        found["differ"] += bool(rules_that_turn)
        found.update(rules_that_turn)


def _compare_words(request: Json, apache: Any, mqguard: Any) -> None:
    """Check that both use the same message if they refuse a request for the same reason.

    Messages of internal errors, and of names that no request has, may differ.
    """
    kind = kind_of(apache)
    if kind in {ALLOW, FAULT} or kind_of(mqguard) != kind or request["name"] is None or request["type"] not in TYPES:
        return
    if apache["message"] != mqguard["message"]:
        raise Unexplained(
            f"refused in other words: Apache {_shown(apache)}, mqguard {_shown(mqguard)}: {_shown(request)}"
        )


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
