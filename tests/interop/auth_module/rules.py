"""What a decision is by Apache's rules, by ours, and by any mixture of both: every rule in which they differ is a switch.

Written from the rules alone, naively, on scenarios as they stand in JSON lines; nothing is shared with the code that is
judged. With no rule switched on it must say what Apache's module says, with all of them what we say. Then every
difference between the two is one of these rules, and `attribute` names it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

from tests.interop.auth_module.texts import (
    ACTIONS,
    Key,
    is_source,
    key_means,
    lies_in_family,
    lies_in_number,
    sane_key,
)

Json = dict[str, Any]
Rules = frozenset[str]

OURS: Rules = frozenset(
    {
        "any-of",  # every action is judged by itself; one that is allowed is enough
        "default-policy",  # Default speaks only where no Custom entry is about the resource
        "address",  # addresses are compared within one family, and what is no address lies in no range
        "address-form",  # only addresses in their full form are addresses
        "missing-name",  # a request without a name is refused
        "second-policy",  # of several policies of one type all count, not the first
        "input",  # policies that cannot be meant are not stored
        "odd-request",  # what no client asks for is refused
    }
)
"""The rules by which we differ from Apache 5.5.0."""
APACHES: Rules = frozenset()

ALLOW, DENY, NO_MATCH, UNKNOWN, DISABLED, FAULT = "allow", "deny", "no match", "unknown user", "disabled", "fault"
"""The kinds of outcomes; a fault is a refusal for a reason that is no decision."""


@dataclasses.dataclass(frozen=True)
class Entry:
    """An entry as it can be read."""

    key: Key
    actions: tuple[str, ...]
    sources: tuple[str, ...]
    denies: bool


class World:
    """The users and policies of a scenario."""

    def __init__(self, line: Json) -> None:
        self._users = {f"User:{user['name']}": user for user in line["users"]}
        self._acls = {acl["subject"]: acl for acl in line["acls"]}
        self._entries = {
            subject: [(policy["policyType"], list(map(_read, policy["entries"]))) for policy in acl["policies"]]
            for subject, acl in self._acls.items()
            if apache_stores(acl)
        }

    def outcome(self, request: Json, rules: Rules) -> str:
        """What becomes of a request by these rules."""
        subject, actions = request["subject"], request["actions"]
        if subject is None or ("odd-request" in rules and {"Any", "Unknown"} & set(actions)):
            return FAULT
        user = self._users.get(subject)
        if user is None:
            return UNKNOWN
        if user["status"] == "disable":
            return DISABLED
        if user["type"] == "Super":
            return ALLOW
        if "missing-name" in rules and not (request["name"] or "").strip():
            return NO_MATCH
        if "odd-request" in rules and (request["type"] in {"Any", "Unknown"} or not actions):
            return NO_MATCH
        if "input" in rules and subject in self._acls and not we_store(self._acls[subject]):
            return FAULT
        return self._judge(request, rules)

    def attribute(self, request: Json) -> list[str]:
        """The rules that make the difference between Apache's outcome and ours; empty where there is none.

        Those that make one when each is taken alone into Apache's rules, or left out alone of ours. Where none does
        so, it takes several at once: those that turn the outcome on the way from Apache's rules to ours.
        """
        if self._allows(request, APACHES) == self._allows(request, OURS):
            return []
        return [rule for rule in sorted(OURS) if self._turns(request, rule)] or self._on_the_way(request)

    def _allows(self, request: Json, rules: Rules) -> bool:
        return self.outcome(request, rules) == ALLOW

    def _turns(self, request: Json, rule: str) -> bool:
        into, out_of = APACHES | {rule}, OURS - {rule}
        return self._allows(request, into) != self._allows(request, APACHES) or (
            self._allows(request, out_of) != self._allows(request, OURS)
        )

    def _on_the_way(self, request: Json) -> list[str]:
        found, taken, before = [], APACHES, self._allows(request, APACHES)
        for rule in sorted(OURS):
            taken |= {rule}
            now = self._allows(request, taken)
            if now != before:
                found.append(rule)
            before = now
        return found

    def _judge(self, request: Json, rules: Rules) -> str:
        custom, default = (self._policy(request["subject"], kind, rules) for kind in ("Custom", "Default"))
        if "default-policy" in rules and any(_covers(entry, request) for entry in custom):
            default = []
        if "any-of" not in rules:
            return _verdict(custom, default, request, request["actions"], rules)
        found = {_verdict(custom, default, request, [action], rules) for action in request["actions"]}
        return next((kind for kind in (ALLOW, DENY, FAULT) if kind in found), NO_MATCH)

    def _policy(self, subject: str, kind: str, rules: Rules) -> list[Entry]:
        found = [entries for type_, entries in self._entries.get(subject, ()) if type_ == kind]
        return [entry for entries in (found if "second-policy" in rules else found[:1]) for entry in entries]


def apache_stores(acl: Json) -> bool:
    """Whether Apache's module takes these policies."""
    entries = list(_entries(acl))
    return all(
        key_means(entry["resource"]) is not None
        and "Any" not in entry["actions"]
        and any(action in ACTIONS or action == "Unknown" for action in entry["actions"])
        and all(is_source(source, strictly=False) for source in entry["sourceIps"])
        for entry in entries
    )


def we_store(acl: Json) -> bool:
    """Whether we take these policies."""
    return all(
        sane_key(entry["resource"])
        and entry["actions"]
        and all(action in ACTIONS for action in entry["actions"])
        and all(is_source(source, strictly=True) for source in entry["sourceIps"])
        for entry in _entries(acl)
    )


def _entries(acl: Json) -> Iterable[Json]:
    return (entry for policy in acl["policies"] for entry in policy["entries"])


def _read(entry: Json) -> Entry:
    key = key_means(entry["resource"])
    assert key is not None
    known = tuple(action for action in entry["actions"] if action in ACTIONS or action == "Unknown")
    return Entry(key, known, tuple(entry["sourceIps"]), entry["decision"] == "Deny")


def _verdict(custom: list[Entry], default: list[Entry], request: Json, actions: list[str], rules: Rules) -> str:
    """The outcome for these actions: of the entries that match any of them, the best decides."""
    for entries in (custom, default):
        try:
            matching = [entry for entry in entries if _matches(entry, request, actions, rules)]
        except ValueError:
            return FAULT
        if matching:
            return DENY if min(matching, key=_rank).denies else ALLOW
    return NO_MATCH


def _matches(entry: Entry, request: Json, actions: list[str], rules: Rules) -> bool:
    return _covers(entry, request) and _does(entry, actions) and _from_there(entry, request["ip"], rules)


def _covers(entry: Entry, request: Json) -> bool:
    key = entry.key
    name: str | None = request["name"]
    if key.type == "Any":
        return True
    if key.type != request["type"]:
        return False
    match key.pattern:
        case "ANY":
            return True
        case "LITERAL":
            return name == key.name
        case _:
            return name is not None and name.startswith(key.name)


def _does(entry: Entry, actions: list[str]) -> bool:
    return "Any" in actions or any(action in entry.actions or "All" in entry.actions for action in actions)


def _from_there(entry: Entry, ip: str | None, rules: Rules) -> bool:
    """Whether the request comes from where the entry speaks of.

    Raises:
        ValueError: By Apache's rules this cannot be said, and the request is refused.
    """
    if not entry.sources:
        return True
    strictly = "address-form" in rules
    if "address" in rules:
        return any(lies_in_family(ip, source, strictly=strictly) for source in entry.sources)
    if not ip:
        raise ValueError("a request from nowhere")
    return any(lies_in_number(ip, source, strictly=strictly) for source in entry.sources)


def _rank(entry: Entry) -> tuple[bool, int, int, bool]:
    order = ("LITERAL", "PREFIXED", "ANY").index(entry.key.pattern)
    longest = -len(entry.key.name) if entry.key.pattern == "PREFIXED" else 0
    return entry.key.type == "Any", order, longest, not entry.denies
