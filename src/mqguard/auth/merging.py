"""Policies put together and taken apart by resource, as `createAcl`, `updateAcl` and `deleteAcl` mean it."""

from mqguard.auth.policy import Acl, Entry, Policy, PolicyType
from mqguard.auth.resource import Resource


def merge(stored: Acl | None, given: Acl) -> Acl:
    """The stored policies with the given ones put in.

    A resource that `given` names has afterwards exactly the entries that `given` says, at the place of its first
    stored one; new resources come last. Nothing else changes.
    """
    if stored is None:
        return given
    kinds = [policy.type for policy in stored.policies]
    kinds += [policy.type for policy in given.policies if policy.type not in kinds]
    return Acl(given.subject, tuple(Policy(kind, _merge(stored.entries(kind), given.entries(kind))) for kind in kinds))


def without(acl: Acl, kind: PolicyType, resource: Resource) -> Acl | None:
    """The policies without the entries of one type for exactly that resource; None when nothing is left."""
    policies = []
    for policy in acl.policies:
        entries = policy.entries
        if policy.type is kind:
            entries = tuple(entry for entry in entries if entry.resource != resource)
        if entries:
            policies.append(Policy(policy.type, entries))
    return Acl(acl.subject, tuple(policies)) if policies else None


def containing(acl: Acl, text: str) -> Acl | None:
    """The entries whose printed resource contains the text; None when there are none."""
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
    # A resource keeps its place; its entries are taken out of `said` where it first stands, the rest is new.
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
