"""The limits of administrators that are not Super: `Cluster` Update alone grants no further rights.

Rule 1: only Super users may change Super users and their policies, or make a user Super.
Rule 2: an administrator may only grant rights that it holds itself.
Rule 3: setting the secret of a user, or enabling it, requires all rights of that user. The administrator could
otherwise act as that user. Setting the secret that the user already has is not an exception.
Rule 4: removing rights from users that are not Super, and disabling them, is allowed.
Rule 5: deleting a user requires all rights of that user, because another user of its name could be created.

Held rights are compared exactly, with one request for each distinguishable kind. Entries distinguish two names only by
a literal name or a prefix, and two addresses only by an end of a range. One name for each literal, one for each prefix,
and one address for each end of a range represent all others.

`analysis.comparison` finds the same for users to read: whole regions, and without a limit on the work. This search runs
inside a change and blocks all requests, so it stops at the first excess right and rejects policies that are too large.
A property test compares the two.
"""

import ipaddress
from collections.abc import Iterable, Iterator

import msgspec

from mqguard.auth.decide import allowed_actions
from mqguard.auth.errors import MetadataRejected
from mqguard.auth.policy import Acl, Action, Entry, Policy, PolicyType
from mqguard.auth.policy_index import CompiledEntry, PolicyIndex, Rights, mask_of
from mqguard.auth.resource import NAMESPACE_END, REQUEST_TYPES, Pattern, Resource, ResourceType
from mqguard.auth.snapshot import Snapshot
from mqguard.auth.source import Address
from mqguard.auth.user import User

_ASKED = tuple(action for action in Action if action is not Action.ALL)
_MAX_CHECKS = 50_000
"""Maximum number of tried requests: at worst a second of work, during which no other request is served."""
_MAX_LOOKS = 2_000_000
"""Maximum number of prefix lookups: one for each occurring length, for every name."""
_MAX_RULES = 5_000_000
"""Maximum number of evaluated entries: all that match a name, for every request with that name."""
_MAX = {4: (1 << 32) - 1, 6: (1 << 128) - 1}


class Escalation(msgspec.Struct, frozen=True):
    """A right that others do not have.

    Attributes:
        action: The allowed action.
        resource: The resource.
        address: The source; None for any address outside all ranges.
    """

    action: Action
    resource: Resource
    address: Address | None


def find_escalation(new: Acl | None, *others: Acl | None) -> Escalation | None:
    """Return a request that `new` allows and none of the others does, or None if no such request exists.

    Args:
        new: The policies to check; None allows nothing.
        others: Other policies; one that allows the request is enough.

    Raises:
        MetadataRejected: The policies are so large that comparing them would block all requests.
    """
    if new is None:
        return None
    known = [acl for acl in others if acl is not None]
    # If the first of the others has the very same entries, nothing can have changed.
    scope = _difference(new, known[0]) if known else _entries(new)
    index = PolicyIndex(new)
    indexes = [PolicyIndex(acl) for acl in known]
    checks = asked = 0
    for kind, name, said in _names([new, *known], scope):
        rules = index.rules(kind, name)
        if not any(not rule.denies for rule in rules):
            continue
        held = [other.rules(kind, name) for other in indexes]
        addresses = _addresses([rules, *held])
        checks += len(addresses)
        asked += len(addresses) * (len(rules) + sum(map(len, held)))
        if checks > _MAX_CHECKS or asked > _MAX_RULES:
            raise _too_large()
        for address in addresses:
            excess = allowed_actions(rules, address) & ~_held_actions(held, address)
            for action in _ASKED:
                if excess & mask_of(frozenset({action})):
                    return Escalation(action, said, address)
    return None


def _held_actions(held: Iterable[Iterable[CompiledEntry]], address: Address | None) -> int:
    bits = 0
    for rules in held:
        bits |= allowed_actions(rules, address)
    return bits


def _entries(acl: Acl) -> list[Entry]:
    return [entry for policy in acl.policies for entry in policy.entries]


def _difference(one: Acl, other: Acl) -> list[Entry]:
    """Return the entries that only one of two policies has."""
    found: list[Entry] = []
    for kind in PolicyType:
        found += set(one.entries(kind)) ^ set(other.entries(kind))
    return found


def _names(acls: list[Acl], scope: list[Entry]) -> Iterator[tuple[ResourceType, str, Resource]]:
    """Yield one name for all names that no entry distinguishes, if an entry in scope covers it, with its resource."""
    within = PolicyIndex(Acl(acls[0].subject, (Policy(PolicyType.CUSTOM, tuple(scope)),)))
    everyone = [entry.resource for acl in acls for entry in _entries(acl) if entry.resource.name]
    spans = any(entry.resource.spans_namespaces for acl in acls for entry in _entries(acl))
    for kind in REQUEST_TYPES:
        named = list(dict.fromkeys(resource.compared for resource in everyone if kind in resource.types))
        if len(named) * len({len(text) for pattern, text in named if pattern is Pattern.PREFIXED}) > _MAX_LOOKS:
            raise _too_large()
        fresh = _fresh_names(named)
        for pattern, text in (*named, (Pattern.ANY, "")):
            name = text if pattern is Pattern.LITERAL else fresh[text]
            if within.rules(kind, name):
                yield kind, name, Resource(kind, text, pattern)
            # A prefix can have other entries for its names with a namespace.
            if spans and pattern is not Pattern.LITERAL and NAMESPACE_END not in text:
                name += f"{NAMESPACE_END}x"
                said = Resource(ResourceType.NAMESPACE, text, pattern)
                if kind in said.types and within.rules(kind, name):
                    yield kind, name, said


def _fresh_names(named: list[tuple[Pattern, str]]) -> dict[str, str]:
    """Return, for each prefix and the empty one, a name that it covers and no longer prefix covers."""
    prefixes = {"", *(text for pattern, text in named if pattern is Pattern.PREFIXED)}
    lengths = sorted({len(prefix) for prefix in prefixes})
    following: dict[str, set[str]] = {prefix: set() for prefix in prefixes}
    for _, text in named:
        for length in lengths:
            if length >= len(text):
                break
            start = text[:length]
            if start in following:
                following[start].add(text[length])
    return {prefix: prefix + _unused(taken) for prefix, taken in following.items()}


def _too_large() -> MetadataRejected:
    return MetadataRejected("the policies are too large to compare with the rights of their author: ask a Super user")


def _unused(taken: set[str]) -> str:
    code = ord("0")
    while chr(code) in taken:
        code += 1
    return chr(code)


def _addresses(all_rules: Iterable[Iterable[CompiledEntry]]) -> list[Address | None]:
    """Return one address for all addresses that no range distinguishes."""
    points: dict[int, set[int]] = {4: set(), 6: set()}
    for rules in all_rules:
        for rule in rules:
            if rule.ranges is not None:
                points[4].update(rule.ranges.starts4, (end + 1 for end in rule.ranges.ends4))
                points[6].update(rule.ranges.starts6, (end + 1 for end in rule.ranges.ends6))
    found: list[Address | None] = [None]
    found += [ipaddress.IPv4Address(point) for point in sorted(points[4]) if point <= _MAX[4]]
    found += [ipaddress.IPv6Address(point) for point in sorted(points[6]) if point <= _MAX[6]]
    return found


ONLY_SUPER_CREATES = "The super user can only be create by super user"
"""Apache's sentence (`AdminBrokerProcessor`)."""
ONLY_SUPER_UPDATES = "The super user can only be update by super user"
"""Apache's sentence (`AdminBrokerProcessor`)."""


def check_delegation(by: str, before: Snapshot, after: Snapshot, names: Iterable[str]) -> None:
    """Reject a change that its author may not make.

    Args:
        by: Name of the user that makes the change.
        before: Users and policies before the change.
        after: Users and policies after the change.
        names: Users and subjects that the change touches.

    Raises:
        MetadataRejected: The author is unknown or disabled, or a rule above forbids the change.
    """
    author = before.rights(by)
    if author is None:
        raise MetadataRejected(f"User:{by} is not found")
    if not author.user.is_enabled:
        raise MetadataRejected(f"User:{by} is disabled.")
    if author.user.is_super:
        return
    for name in dict.fromkeys(names):
        _check_one(author, name, before, after)


def _check_one(author: Rights, name: str, before: Snapshot, after: Snapshot) -> None:
    old, new = before.user(name), after.user(name)
    if old is not None and old.is_super:
        raise MetadataRejected(ONLY_SUPER_UPDATES)
    if new is not None and new.is_super:
        raise MetadataRejected(ONLY_SUPER_CREATES if old is None else ONLY_SUPER_UPDATES)
    if new is None:
        if old is not None:
            _check_deletion(author, name, before.acl(name))
        return
    # Rights that the user had before are not a grant, unless the change lets a client act as the user that could not.
    had = before.acl(name) if _stays_itself(old, new, author.user.name) else None
    _check_grant(author, name, after.acl(name), had)


def _stays_itself(old: User | None, new: User, author: str) -> bool:
    if old is None or (new.is_enabled and not old.is_enabled):
        return False
    # This checks whether a secret was sent, not whether it is a new one: otherwise the answer would confirm a guess.
    return new.name == author or new.secrets is old.secrets


def _check_deletion(author: Rights, name: str, had: Acl | None) -> None:
    excess = find_escalation(had, author.acl)
    if excess is not None:
        raise MetadataRejected(
            f"User:{author.user.name} cannot delete User:{name}, who has {excess.action.value} on "
            f"`{excess.resource.key}`: it does not hold that right itself; it may disable the user"
        )


def _check_grant(author: Rights, name: str, new: Acl | None, had: Acl | None) -> None:
    excess = find_escalation(new, had, author.acl)
    if excess is not None:
        where = f" from `{excess.address}`" if excess.address is not None else ""
        raise MetadataRejected(
            f"User:{author.user.name} cannot grant User:{name} {excess.action.value} on `{excess.resource.key}`"
            f"{where}: it does not hold that right itself"
        )
