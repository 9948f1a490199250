"""The smallest change of users or policies that reverses a verdict. Each returned change was tried and works."""

import enum
from collections.abc import Iterator

import msgspec

from mqguard.auth.decide import decide
from mqguard.auth.policy import Acl, Action, Decision, Entry, Policy, PolicyType
from mqguard.auth.policy_index import PolicyIndex, Rights, mask_of
from mqguard.auth.resource import Pattern, Resource
from mqguard.auth.source import Source
from mqguard.auth.user import Subject, User, UserStatus, UserType
from mqguard.auth.verdict import AccessRequest, Reason


class ChangeKind(enum.StrEnum):
    """The kind of change."""

    CREATE_USER = "create-user"
    ENABLE_USER = "enable-user"
    MAKE_NORMAL = "make-normal"
    """The policies of a Super user have no effect: as a Normal user, they would deny the request."""
    DISABLE_USER = "disable-user"
    """As a Normal user, its policies would still allow the request."""
    CHANGE_ENTRIES = "change-entries"


class MinimalChange(msgspec.Struct, frozen=True):
    """A change that reverses a verdict.

    Attributes:
        kind: The kind of change; a user that is created or enabled may also need entries.
        policy: The policy whose entries change.
        removed: Entries to remove.
        added: Entries to add.
    """

    kind: ChangeKind
    policy: PolicyType = PolicyType.CUSTOM
    removed: tuple[Entry, ...] = ()
    added: tuple[Entry, ...] = ()

    @property
    def size(self) -> int:
        """The number of changed things."""
        return len(self.removed) + len(self.added) + (self.kind is not ChangeKind.CHANGE_ENTRIES)


def find_minimal_change(
    user: str, request: AccessRequest, rights: Rights | None, orphan: Acl | None = None
) -> MinimalChange | None:
    """Return the smallest change that reverses the verdict; on a tie, preferably one that affects only this request.

    Args:
        user: The name in the request, which need not be that of a user.
        request: The request.
        rights: The rights of that user; None if no such user exists.
        orphan: Policies under that name, if no such user exists.

    Returns:
        None if no change of users or policies reverses it: a request that names nothing stays denied.

    Raises:
        RecordCorrupt: The user's stored policies cannot be read.
    """
    verdict = decide(request, rights)
    acl = rights.acl if rights is not None else orphan
    match verdict.reason:
        case Reason.UNKNOWN_USER:
            return _let_in(ChangeKind.CREATE_USER, User(user, ()), request, acl)
        case Reason.DISABLED:
            kind = rights.user.type if rights is not None else UserType.NORMAL
            return _let_in(ChangeKind.ENABLE_USER, User(user, (), kind), request, acl)
        case Reason.SUPER:
            stays = decide(request, Rights(User(user, ()), acl)).allowed
            return MinimalChange(ChangeKind.DISABLE_USER if stays else ChangeKind.MAKE_NORMAL)
        case Reason.MISSING_NAME | Reason.NO_RESOURCE | Reason.NO_ACTION | Reason.UNREADABLE:
            return None
        case Reason.ALLOWED | Reason.DENIED | Reason.NO_MATCH:
            kept = acl or Acl(Subject(user), ())
            return _try_changes(kept, request, verdict.policy or PolicyType.CUSTOM, verdict.allowed)


def _let_in(step: ChangeKind, user: User, request: AccessRequest, acl: Acl | None) -> MinimalChange | None:
    """Return a step after which policies are evaluated, with the change of entries that is required then."""
    rights = Rights(user, acl)
    if decide(request, rights).allowed:
        return MinimalChange(step)
    rest = find_minimal_change(user.name, request, rights)
    return None if rest is None else MinimalChange(step, rest.policy, rest.removed, rest.added)


def apply_to_acl(acl: Acl, change: MinimalChange) -> Acl:
    """Return the policies after a change of entries."""
    kinds = [policy.type for policy in acl.policies]
    kinds += [] if change.policy in kinds else [change.policy]
    policies = []
    for kind in kinds:
        entries = acl.entries(kind)
        if kind is change.policy:
            entries = (*(entry for entry in entries if entry not in change.removed), *change.added)
        policies.append(Policy(kind, entries))
    return Acl(acl.subject, tuple(policies))


def apply_to_user(name: str, user: User | None, change: MinimalChange) -> User:
    """Return the user after a change, without its secrets."""
    if user is None:
        return User(name, ())
    kind = UserType.NORMAL if change.kind is ChangeKind.MAKE_NORMAL else user.type
    status = {ChangeKind.ENABLE_USER: UserStatus.ENABLE, ChangeKind.DISABLE_USER: UserStatus.DISABLE}.get(
        change.kind, user.status
    )
    return User(name, (), kind, status)


def _try_changes(acl: Acl, request: AccessRequest, kind: PolicyType, allowed: bool) -> MinimalChange | None:  # noqa: FBT001
    options = _to_deny(acl, request, kind) if allowed else _to_allow(acl, request, kind)
    found: MinimalChange | None = None
    for option in options:
        if found is not None and option.size >= found.size:
            continue
        rights = Rights(User(acl.subject.name, ()), apply_to_acl(acl, option))
        if decide(request, rights).allowed is not allowed:
            found = option
            if found.size == 1:
                break
    return found


def _to_deny(acl: Acl, request: AccessRequest, kind: PolicyType) -> Iterator[MinimalChange]:
    allowing = _matching(acl, request, kind, Decision.ALLOW)
    removals = [MinimalChange(ChangeKind.CHANGE_ENTRIES, kind, removed=(entry,)) for entry in allowing]
    exact = [change for change in removals if _is_exact(acl, request, change)]
    yield from exact
    if "*" not in request.name:  # otherwise no entry can name it
        rights = Rights(User(acl.subject.name, ()), acl)
        actions = tuple(
            one for one in Action if one in request.actions and decide(_alone(request, one), rights).allowed
        )
        # A Deny for the exact name has the highest precedence.
        yield MinimalChange(ChangeKind.CHANGE_ENTRIES, kind, added=(_entry(request, actions, Decision.DENY),))
    yield from removals


def _to_allow(acl: Acl, request: AccessRequest, kind: PolicyType) -> Iterator[MinimalChange]:
    removals = [
        MinimalChange(ChangeKind.CHANGE_ENTRIES, kind, removed=(entry,))
        for entry in _matching(acl, request, kind, Decision.DENY)
    ]
    yield from (change for change in removals if _is_exact(acl, request, change))
    for action in Action:
        if action not in request.actions or "*" in request.name:
            continue
        added = _entry(request, (action,), Decision.ALLOW)
        yield MinimalChange(ChangeKind.CHANGE_ENTRIES, kind, added=(added,))
        # Only a Deny for the exact name has precedence over that.
        denying = _matching(acl, _alone(request, action), kind, Decision.DENY)
        literal = tuple(entry for entry in denying if entry.resource.pattern is Pattern.LITERAL)
        if literal:
            yield MinimalChange(ChangeKind.CHANGE_ENTRIES, kind, removed=literal)
            yield MinimalChange(ChangeKind.CHANGE_ENTRIES, kind, removed=literal, added=(added,))
            # No Default entry has precedence over a Custom one; but Default entries then no longer apply to that name.
            yield MinimalChange(ChangeKind.CHANGE_ENTRIES, PolicyType.CUSTOM, added=(added,))
    yield from removals


def _is_exact(acl: Acl, request: AccessRequest, change: MinimalChange) -> bool:
    """True if the removed entry matches only the request, and its removal makes no Default entry apply."""
    (entry,) = change.removed
    resource, networks = entry.resource, [source.network for source in entry.sources]
    if (resource.type, resource.name, resource.pattern) != (request.type, request.name, Pattern.LITERAL):
        return False
    if networks != [source.network for source in _sources(request)] or not request.actions >= {*entry.actions}:
        return False
    return change.policy is PolicyType.DEFAULT or not any(
        other.resource.covers(request.type, request.name) for other in acl.entries(PolicyType.DEFAULT)
    )


def _alone(request: AccessRequest, action: Action) -> AccessRequest:
    return AccessRequest(request.type, request.name, frozenset({action}), request.address)


def _matching(acl: Acl, request: AccessRequest, kind: PolicyType, decision: Decision) -> list[Entry]:
    """Return the entries of one policy and decision that match the request, in order of precedence."""
    rules = PolicyIndex(Acl(acl.subject, (Policy(kind, acl.entries(kind)),))).rules(request.type, request.name)
    asked = mask_of(request.actions)
    matching = (rule.entry for rule in rules if rule.bits & asked and rule.matches_source(request.address))
    return list(dict.fromkeys(entry for entry in matching if entry.decision is decision))


def _entry(request: AccessRequest, actions: tuple[Action, ...], decision: Decision) -> Entry:
    return Entry(Resource(request.type, request.name, Pattern.LITERAL), actions, _sources(request), decision)


def _sources(request: AccessRequest) -> tuple[Source, ...]:
    # This source alone affects the fewest other requests. No range contains an unknown one.
    return (Source.parse(str(request.address)),) if request.address is not None else ()
