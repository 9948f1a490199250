"""The meaning of a decision, written again naively: one rule after the other, without an index, bits or a cache.

It shares only the values of requests and policies with the tested code.
"""

import functools
import ipaddress
from collections.abc import Sequence

from mqguard.auth.policy import Acl, Action, Decision, Entry
from mqguard.auth.user import User
from mqguard.auth.verdict import AccessRequest

PATTERN_ORDER = ["LITERAL", "PREFIXED", "ANY"]


def allowed(user: User | None, acl: Acl | None, request: AccessRequest) -> bool:
    """Return True if the request is allowed."""
    return allowed_each(user, acl, request, [request.actions])[0]


def allowed_each(
    user: User | None, acl: Acl | None, request: AccessRequest, asked: Sequence[frozenset[Action]]
) -> list[bool]:
    """Return, for each set of actions, if the request would be allowed with it."""
    if user is None or user.status.value == "disable":
        return [False] * len(asked)
    if user.type.value == "Super":
        return [True] * len(asked)
    if request.name.strip() == "" or request.type.value in ("*", "Namespace"):
        return [False] * len(asked)
    speaking = entries_for_resource(acl, request)
    alone = {action for action in frozenset().union(*asked) if allowed_alone(speaking, action, request)}
    return [any(action in alone for action in actions) for actions in asked]


def entries_for_resource(acl: Acl | None, request: AccessRequest) -> list[Entry]:
    """Return the Custom entries for the resource; only if there are none, the Default entries."""
    for kind in ("Custom", "Default"):
        found = [
            entry
            for policy in (acl.policies if acl is not None else ())
            if policy.type.value == kind
            for entry in policy.entries
            if names(entry, request)
        ]
        if found:
            return found
    return []


def names(entry: Entry, request: AccessRequest) -> bool:
    """Return True if the entry's resource is that of the request, or includes it."""
    resource = entry.resource
    if resource.type.value == "Namespace":
        return request.type.value in ("Topic", "Group") and in_namespace(entry, request.name)
    if resource.type.value not in ("*", request.type.value):
        return False
    match resource.pattern.value:
        case "LITERAL":
            return resource.name == request.name
        case "PREFIXED":
            return request.name[: len(resource.name)] == resource.name
        case _:
            return True


def in_namespace(entry: Entry, name: str) -> bool:
    """Return True if a name belongs to a namespace of the entry: `n%…` for `Namespace:n`, `x%…` for every other."""
    resource = entry.resource
    if resource.pattern.value == "LITERAL":
        return name.startswith(f"{resource.name}%")
    namespace, percent, _ = name.partition("%")
    return namespace != "" and percent == "%" and namespace.startswith(resource.name)


def pattern_and_length(entry: Entry) -> tuple[str, int]:
    """Return how exactly an entry names resources: `Namespace:n` as the prefix `n%`, all others as they are written."""
    resource = entry.resource
    if resource.type.value == "Namespace" and resource.pattern.value == "LITERAL":
        return "PREFIXED", len(resource.name) + 1
    return resource.pattern.value, len(resource.name)


def allowed_alone(entries: list[Entry], action: Action, request: AccessRequest) -> bool:
    """Return True if the entries for the resource allow one action."""
    matching = [entry for entry in entries if does(entry, action) and from_there(entry, request)]
    if not matching:
        return False
    return min(matching, key=functools.cmp_to_key(before)).decision is Decision.ALLOW


def does(entry: Entry, action: Action) -> bool:
    """Return True if the entry matches the action."""
    said = [spoken.value for spoken in entry.actions]
    return "All" in said or action.value in said


def from_there(entry: Entry, request: AccessRequest) -> bool:
    """Return True if the entry matches requests from that address."""
    if len(entry.sources) == 0:
        return True
    address = request.address
    if address is None:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return any(address.version == source.network.version and address in source.network for source in entry.sources)


def before(one: Entry, other: Entry) -> int:
    """Return a negative number if `one` has precedence over `other`: the first difference decides."""
    (pattern, length), (other_pattern, other_length) = pattern_and_length(one), pattern_and_length(other)
    steps = (
        (one.resource.type.value == "*") - (other.resource.type.value == "*"),
        PATTERN_ORDER.index(pattern) - PATTERN_ORDER.index(other_pattern),
        other_length - length if pattern == "PREFIXED" else 0,
        (one.decision is not Decision.DENY) - (other.decision is not Decision.DENY),
    )
    return next((step for step in steps if step != 0), 0)
