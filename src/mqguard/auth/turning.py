"""The smallest change of users or policies that turns a verdict. Found by trying: what is told is known to work."""

import enum
from collections.abc import Iterator

import msgspec

from mqguard.auth.action import Action
from mqguard.auth.decide import decide
from mqguard.auth.policy import Acl, Decision, Entry, Policy, PolicyType
from mqguard.auth.request import AccessRequest
from mqguard.auth.resource import Pattern, Resource
from mqguard.auth.rights import Rights
from mqguard.auth.source import Source
from mqguard.auth.subject import Subject
from mqguard.auth.user import User
from mqguard.auth.verdict import Reason


class Step(enum.StrEnum):
    """What is to be done."""

    CREATE_USER = "create-user"
    ENABLE_USER = "enable-user"
    MAKE_NORMAL = "make-normal"
    """A Super user is denied nothing: make it Normal; without policies it is then refused."""
    CHANGE_ENTRIES = "change-entries"


class Turn(msgspec.Struct, frozen=True):
    """A change that turns a verdict.

    Attributes:
        step: What is to be done.
        policy: Of which policy entries are changed.
        removed: Entries to take away.
        added: Entries to put in.
    """

    step: Step
    policy: PolicyType = PolicyType.CUSTOM
    removed: tuple[Entry, ...] = ()
    added: tuple[Entry, ...] = ()

    @property
    def size(self) -> int:
        """How many things change."""
        return len(self.removed) + len(self.added) if self.step is Step.CHANGE_ENTRIES else 1


def find_turn(user: str, request: AccessRequest, rights: Rights | None) -> Turn | None:
    """The smallest change that turns the verdict on a request; of equal ones, the one that touches least else.

    Returns:
        None where no change of users or policies turns it: a request that names nothing stays refused.

    Raises:
        RecordCorrupt: The user's stored policies cannot be read.
    """
    verdict = decide(request, rights)
    match verdict.reason:
        case Reason.UNKNOWN_USER:
            return Turn(Step.CREATE_USER)
        case Reason.DISABLED:
            return Turn(Step.ENABLE_USER)
        case Reason.SUPER:
            return Turn(Step.MAKE_NORMAL)
        case Reason.MISSING_NAME | Reason.NO_RESOURCE | Reason.NO_ACTION | Reason.UNREADABLE:
            return None
        case Reason.ALLOWED | Reason.DENIED | Reason.NO_MATCH:
            acl = (rights.acl if rights is not None else None) or Acl(Subject(user), ())
            return _try_changes(acl, request, verdict.policy or PolicyType.CUSTOM, verdict.allowed)


def changed(acl: Acl, turn: Turn) -> Acl:
    """The policies after a change of entries."""
    kinds = [policy.type for policy in acl.policies]
    kinds += [] if turn.policy in kinds else [turn.policy]
    policies = []
    for kind in kinds:
        entries = acl.entries(kind)
        if kind is turn.policy:
            entries = (*(entry for entry in entries if entry not in turn.removed), *turn.added)
        policies.append(Policy(kind, entries))
    return Acl(acl.subject, tuple(policies))


def _try_changes(acl: Acl, request: AccessRequest, kind: PolicyType, allowed: bool) -> Turn | None:  # noqa: FBT001
    options = _to_deny(acl, request, kind) if allowed else _to_allow(acl, request, kind)
    found: Turn | None = None
    for option in options:
        if found is not None and option.size >= found.size:
            continue
        rights = Rights(User(acl.subject.name, ()), changed(acl, option))
        if decide(request, rights).allowed is not allowed:
            found = option
            if found.size == 1:
                break
    return found


def _to_deny(acl: Acl, request: AccessRequest, kind: PolicyType) -> Iterator[Turn]:
    for entry in _speaking(acl, request, kind, Decision.ALLOW):
        yield Turn(Step.CHANGE_ENTRIES, kind, removed=(entry,))
    if "*" in request.name:
        return  # no entry can say this name
    # Nothing comes before a Deny for the very name.
    actions = tuple(action for action in Action if action in request.actions)
    yield Turn(Step.CHANGE_ENTRIES, kind, added=(_entry(request, actions, Decision.DENY),))


def _to_allow(acl: Acl, request: AccessRequest, kind: PolicyType) -> Iterator[Turn]:
    for entry in _speaking(acl, request, kind, Decision.DENY):
        yield Turn(Step.CHANGE_ENTRIES, kind, removed=(entry,))
    for action in Action:
        if action not in request.actions or "*" in request.name:
            continue
        alone = AccessRequest(request.type, request.name, frozenset({action}), request.address)
        added = _entry(request, (action,), Decision.ALLOW)
        yield Turn(Step.CHANGE_ENTRIES, kind, added=(added,))
        # Only a Deny for the very name can stand against that.
        literal = tuple(
            entry for entry in _speaking(acl, alone, kind, Decision.DENY) if entry.resource.pattern is Pattern.LITERAL
        )
        if literal:
            yield Turn(Step.CHANGE_ENTRIES, kind, removed=literal)
            yield Turn(Step.CHANGE_ENTRIES, kind, removed=literal, added=(added,))


def _speaking(acl: Acl, request: AccessRequest, kind: PolicyType, decision: Decision) -> list[Entry]:
    found = []
    for entry in acl.entries(kind):
        if (
            entry.decision is decision
            and entry.resource.covers(request.type, request.name)
            and entry.speaks_from(request.address)
            and any(entry.speaks_of(action) for action in request.actions)
            and entry not in found
        ):
            found.append(entry)
    return found


def _entry(request: AccessRequest, actions: tuple[Action, ...], decision: Decision) -> Entry:
    # From this address alone: that touches least else.
    sources = (Source.parse(str(request.address)),) if request.address is not None else ()
    return Entry(Resource(request.type, request.name, Pattern.LITERAL), actions, sources, decision)
