"""Comparison of changes of users and policies: each outcome, and the stored state at the end."""

from __future__ import annotations

import copy
import json
import random
from collections import Counter
from collections.abc import Iterable
from typing import Any

from mqguard.testing.vectors.admin import answer
from tests.interop.auth_module.changes import Rejected, Stored
from tests.interop.auth_module.peer import AuthModule, Unexplained
from tests.interop.auth_module.texts import ACTIONS

Json = dict[str, Any]

OPERATIONS = 25
"""Number of operations of a scenario."""

USERS = ("al", "alice", "bob", "用户", "a:b")
BLANK_NAMES = (None, "", " ", "\u2003")
RESOURCES = ("Topic:a", "Topic:a", "Topic:a*", "TOPIC:ab", "topic:*", "Group:a", "Group:主题", "Cluster:*", "*")
SOURCES = ("10.0.0.1", "10.0.0.0/8", "::1", "2001:DB8::/32")
FILTERS = (None, "", "a", "al", "User:", ":", "Topic", "用", "*", "zz")


def compare_changes(module: AuthModule, seed: int, numbers: Iterable[int]) -> Counter[str]:
    """Compare the sequences of operations with these numbers; the same seed always creates the same ones.

    Returns:
        The number of operations (`all`), and of those that Apache did (`done`). Then the number of those with another
        outcome because an earlier change named a resource or a type of policy more than once (`repeats`).

    Raises:
        Unexplained: An outcome does not follow from the rules.
    """
    found: Counter[str] = Counter()
    numbers = list(numbers)
    lines = ({"ops": _operations(random.Random(f"{seed}/{number}"))} for number in numbers)
    for number, (line, theirs) in zip(numbers, module.answers("admin", lines), strict=True):
        ours = answer(line)
        mine = {"ops": [op["outcome"] for op in ours["ops"]], "final": ours["final"]}
        by_theirs, by_ours = (_by_rules(line["ops"], repeats=repeats) for repeats in (False, True))
        for who, wanted, said in (("Apache", by_theirs, theirs), ("mqguard", by_ours, mine)):
            _demand(who, wanted, said, f"changes, seed {seed}, scenario {number}", line["ops"])
        found["all"] += len(line["ops"])
        found["done"] += sum(not isinstance(outcome, Rejected) for outcome in by_theirs["ops"])
        found["repeats"] += sum(_shown(a) != _shown(b) for a, b in zip(by_theirs["ops"], by_ours["ops"], strict=True))
    return found


def _by_rules(operations: list[Json], *, repeats: bool) -> Json:
    stored = Stored(repeats=repeats)
    outcomes: list[Any] = []
    for op in operations:
        try:
            outcomes.append(stored.outcome(copy.deepcopy(op)))
        except Rejected as rejected:
            outcomes.append(rejected)
    return {"ops": outcomes, "final": stored.everything()}


def _demand(who: str, wanted: Json, said: Json, where: str, operations: list[Json]) -> None:
    for number, (by_rules, outcome) in enumerate(zip(wanted["ops"], said["ops"], strict=True)):
        if _shown(by_rules) != _shown(outcome):
            raise Unexplained(
                f"{where}: {who} answers operation {number} with {_shown(outcome)} where its rules say "
                f"{_shown(by_rules)}: {json.dumps(operations[: number + 1], ensure_ascii=False)}"
            )
    if wanted["final"] != said["final"]:
        raise Unexplained(
            f"{where}: {who} has stored {said['final']} where its rules say {wanted['final']}: "
            f"{json.dumps(operations, ensure_ascii=False)}"
        )


def _shown(outcome: Any) -> str:
    """Return an outcome as text; a refusal is its message without our addition in brackets."""
    if isinstance(outcome, Rejected):
        return f"rejected: {outcome}"
    if isinstance(outcome, dict) and "error" in outcome:
        return f"rejected: {outcome['message'].partition(' [')[0]}"
    return json.dumps(outcome, ensure_ascii=False)


def _operations(chosen: random.Random) -> list[Json]:
    begin = [_create(name, "secret", chosen) for name in chosen.sample(USERS, 3)]
    return begin + [_operation(chosen) for _ in range(OPERATIONS - len(begin))]


def _operation(chosen: random.Random) -> Json:
    name = chosen.choice(USERS)
    maybe = chosen.choice(BLANK_NAMES) if chosen.random() < 0.1 else name
    match chosen.randrange(20):
        case 0:
            return _create(maybe, chosen.choice(("p", 'pä"ss', None, "", " ")), chosen)
        case 1 | 2:
            return _create(maybe, chosen.choice(("p2", "p3", None, " ")), chosen, op="update-user")
        case 3:
            return {"op": "delete-user", "name": maybe}
        case 4:
            return {"op": chosen.choice(("get-user", "is-super")), "name": maybe}
        case 5:
            return {"op": "list-users", "filter": chosen.choice(FILTERS)}
        case 6 | 7 | 8 | 9 | 10 | 11 | 12 | 13:
            acl = {"subject": f"User:{name}", "policies": _policies(chosen)}
            return {"op": chosen.choice(("create-acl", "update-acl")), "acl": acl}
        case 14 | 15 | 16:
            kind = chosen.choice((None, "Custom", "Default"))
            resource = None if chosen.random() < 0.1 else chosen.choice(RESOURCES)
            return {"op": "delete-acl", "subject": f"User:{name}", "policy_type": kind, "resource": resource}
        case 17:
            return {"op": "get-acl", "subject": f"User:{name}"}
        case _:
            filters = {"subject_filter": chosen.choice(FILTERS), "resource_filter": chosen.choice(FILTERS)}
            return {"op": "list-acls", **filters}


def _create(name: str | None, password: str | None, chosen: random.Random, op: str = "create-user") -> Json:
    kind, status = chosen.choice((None, "Normal", "Super", "NORMAL")), chosen.choice((None, "enable", "disable"))
    return {"op": op, "user": {"username": name, "password": password, "userType": kind, "userStatus": status}}


def _policies(chosen: random.Random) -> list[Json]:
    kinds: tuple[str | None, ...] = chosen.choice(
        ((None,), ("Custom",), ("Default",), ("Custom", "Default"), ("Default", None), ())
    )
    repeats = chosen.random() < 0.25
    if repeats and chosen.random() < 0.5:
        kinds += (chosen.choice(("Custom", "Default")),)
    if not repeats:
        kinds = tuple(dict.fromkeys(kinds))
    return [{"policyType": kind, "entries": _entries(chosen, repeats=repeats)} for kind in kinds]


def _entries(chosen: random.Random, *, repeats: bool) -> list[Json]:
    keys = chosen.choices(RESOURCES, k=chosen.randint(1, 4))
    entries = [_entry(key, chosen) for key in (keys if repeats else dict.fromkeys(keys))]
    if chosen.random() < 0.1:
        entries[-1] |= chosen.choice(
            (
                {"resource": "Foo:a"},
                {"actions": []},
                {"actions": ["Any"]},
                {"sourceIps": ["10.0.0.1", " "]},
                {"sourceIps": ["1.2.3"]},
                {"decision": chosen.choice((None, "Maybe"))},
            )
        )
    return entries


def _entry(key: str, chosen: random.Random) -> Json:
    return {
        "resource": key,
        "actions": [
            chosen.choice((str.lower, str.upper, str))(action)
            for action in chosen.choices(ACTIONS, k=chosen.randint(1, 3))
        ],
        "sourceIps": chosen.choice((None, [], chosen.choices(SOURCES, k=chosen.randint(1, 2)))),
        "decision": chosen.choice(("Allow", "Deny", "allow", "DENY")),
    }
