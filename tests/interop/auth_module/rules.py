"""Decisions by Apache's rules, by ours, and by any mixture: every rule in which they differ is a switch.

This implementation follows the rules naively, reads scenarios as JSON lines, and shares no code with mqguard. With all
rules off it must decide as Apache's module, with all of them on as mqguard. Then every difference between the two is one
of these rules, and `attribute` names it.
"""

from __future__ import annotations

import dataclasses
import functools
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
        "any-of",  # Every action is decided by itself, and one that is allowed is enough.
        "default-policy",  # Default entries apply only to a resource without a Custom entry.
        "address",  # Addresses are compared within one family, and an invalid address is in no range.
        "address-form",  # Only the full form of an address is valid.
        "missing-name",  # A request without a name is refused.
        "second-policy",  # All policies of one type count, not only the first.
        "input",  # Meaningless policies are not stored.
        "odd-request",  # A request that no client sends is refused.
        "namespace",  # An entry for a namespace matches its topics and groups; no request names a namespace.
    }
)
"""The rules by which mqguard differs from Apache 5.5.0."""
APACHES: Rules = frozenset()

ALLOW, DENY, NO_MATCH, UNKNOWN, DISABLED, FAULT = "allow", "deny", "no match", "unknown user", "disabled", "fault"
"""The kinds of outcomes; a fault is a refusal for another reason than a decision."""


@dataclasses.dataclass(frozen=True)
class Entry:
    """An entry that could be read."""

    key: Key
    actions: tuple[str, ...]
    sources: tuple[str, ...]
    denies: bool


class State:
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
        """Return the outcome of a request by these rules."""
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
        if "namespace" in rules and request["type"] == "Namespace":
            return NO_MATCH
        if "input" in rules and subject in self._acls and not we_store(self._acls[subject]):
            return FAULT
        return self._judge(request, rules)

    def attribute(self, request: Json) -> list[str]:
        """Return the rules that cause the difference between Apache's outcome and ours; empty if there is none.

        A rule causes it if it alone, added to Apache's rules or removed from ours, changes the outcome. If no single
        rule does so, the result is those that change the outcome on the way from Apache's rules to ours.
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
        if "default-policy" in rules and any(_covers(entry, request, rules) for entry in custom):
            default = []
        if "any-of" not in rules:
            return _verdict(custom, default, request, request["actions"], rules)
        found = {_verdict(custom, default, request, [action], rules) for action in request["actions"]}
        return next((kind for kind in (ALLOW, DENY, FAULT) if kind in found), NO_MATCH)

    def _policy(self, subject: str, kind: str, rules: Rules) -> list[Entry]:
        found = [entries for type_, entries in self._entries.get(subject, ()) if type_ == kind]
        return [entry for entries in (found if "second-policy" in rules else found[:1]) for entry in entries]


def apache_stores(acl: Json) -> bool:
    """True if Apache's module takes these policies."""
    entries = list(_entries(acl))
    return all(
        key_means(entry["resource"]) is not None
        and "Any" not in entry["actions"]
        and any(action in ACTIONS or action == "Unknown" for action in entry["actions"])
        and all(is_source(source, strictly=False) for source in entry["sourceIps"])
        for entry in entries
    )


def we_store(acl: Json) -> bool:
    """True if mqguard takes these policies."""
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
    """Return the outcome for these actions, by the best of the entries that match any of them."""
    for entries in (custom, default):
        try:
            matching = [entry for entry in entries if _matches(entry, request, actions, rules)]
        except ValueError:
            return FAULT
        if matching:
            return DENY if min(matching, key=functools.partial(_rank, rules)).denies else ALLOW
    return NO_MATCH


def _matches(entry: Entry, request: Json, actions: list[str], rules: Rules) -> bool:
    return _covers(entry, request, rules) and _does(entry, actions) and _from_there(entry, request["ip"], rules)


def _covers(entry: Entry, request: Json, rules: Rules) -> bool:
    key = entry.key
    name: str | None = request["name"]
    if key.type == "Any":
        return True
    if "namespace" in rules and key.type == "Namespace":
        return request["type"] in {"Topic", "Group"} and _is_in_namespace(key, name or "")
    if key.type != request["type"]:
        return False
    match key.pattern:
        case "ANY":
            return True
        case "LITERAL":
            return name == key.name
        case _:
            return name is not None and name.startswith(key.name)


def _is_in_namespace(key: Key, name: str) -> bool:
    if key.pattern == "LITERAL":
        return name.startswith(f"{key.name}%")
    namespace, percent, _ = name.partition("%")
    return bool(namespace and percent) and namespace.startswith(key.name)


def _does(entry: Entry, actions: list[str]) -> bool:
    return "Any" in actions or any(action in entry.actions or "All" in entry.actions for action in actions)


def _from_there(entry: Entry, ip: str | None, rules: Rules) -> bool:
    """True if the source of the request is one of the entry's.

    Raises:
        ValueError: By Apache's rules this cannot be decided, and the request is refused.
    """
    if not entry.sources:
        return True
    strictly = "address-form" in rules
    if "address" in rules:
        return any(lies_in_family(ip, source, strictly=strictly) for source in entry.sources)
    if not ip:
        raise ValueError("a request from nowhere")
    return any(lies_in_number(ip, source, strictly=strictly) for source in entry.sources)


def _rank(rules: Rules, entry: Entry) -> tuple[bool, int, int, bool]:
    key = entry.key
    if "namespace" in rules and key.type == "Namespace" and key.pattern == "LITERAL":
        key = Key("Topic", f"{key.name}%", "PREFIXED")
    order = ("LITERAL", "PREFIXED", "ANY").index(key.pattern)
    longest = -len(key.name) if key.pattern == "PREFIXED" else 0
    return entry.key.type == "Any", order, longest, not entry.denies
