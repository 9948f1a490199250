"""Merging and splitting of policies by resource, with the semantics of `createAcl`, `updateAcl` and `deleteAcl`."""

from mqguard.auth.policy import Acl, Entry, Policy, PolicyType
from mqguard.auth.resource import Resource


def merge(stored: Acl | None, given: Acl) -> Acl:
    """Return the stored policies merged with the given ones.

    A resource that `given` names has exactly the entries of `given` afterwards, at the position of its first stored
    entry. New resources come last. Nothing else changes.
    """
    if stored is None:
        return given
    kinds = [policy.type for policy in stored.policies]
    kinds += [policy.type for policy in given.policies if policy.type not in kinds]
    return Acl(given.subject, tuple(Policy(kind, _merge(stored.entries(kind), given.entries(kind))) for kind in kinds))


def without(acl: Acl, kind: PolicyType, resource: Resource) -> Acl | None:
    """Return the policies without the entries of one type for exactly that resource, or None if nothing remains."""
    policies = []
    for policy in acl.policies:
        entries = policy.entries
        if policy.type is kind:
            entries = tuple(entry for entry in entries if entry.resource != resource)
        if entries:
            policies.append(Policy(policy.type, entries))
    return Acl(acl.subject, tuple(policies)) if policies else None


def containing(acl: Acl, text: str) -> Acl | None:
    """Return the entries whose printed resource contains the text, or None if no entry does."""
    policies = []
    for policy in acl.policies:
        entries = tuple(entry for entry in policy.entries if text in entry.resource.key)
        if entries:
            policies.append(Policy(policy.type, entries))
    return Acl(acl.subject, tuple(policies)) if policies else None


def _merge(stored: tuple[Entry, ...], given: tuple[Entry, ...]) -> tuple[Entry, ...]:
    said: dict[Resource, list[Entry]] = {}
    for entry in given:
        said.setdefault(entry.resource, []).append(entry)
    # A resource keeps its position: its entries are taken from `said` at its first stored entry. New ones follow.
    merged: list[Entry] = []
    replaced = set(said)
    for entry in stored:
        if entry.resource in replaced:
            merged += said.pop(entry.resource, ())
        else:
            merged.append(entry)
    for entries in said.values():
        merged += entries
    return tuple(merged)
