"""The decision: a request and the rights of its user in, a verdict out. Total and pure.

Rule 1: no user, or a disabled one (Super too): refused.
Rule 2: a Super user is allowed; of all others, a request without a name or an action is refused.
Rule 3: Custom entries speak; Default entries only for a resource that no Custom entry covers.
Rule 4: of the entries that match resource, action and address, the first by precedence decides; no entry, no access.
Rule 5: of several actions, each is judged by itself, and one that is allowed is enough.
"""

from mqguard.auth.errors import RecordCorrupt
from mqguard.auth.index import Index, mask_of
from mqguard.auth.policy import Decision, Entry
from mqguard.auth.request import AccessRequest
from mqguard.auth.resource import ResourceType
from mqguard.auth.rights import Question, Rights
from mqguard.auth.user import User, UserStatus, UserType
from mqguard.auth.verdict import Reason, Verdict

_SUPER = Verdict(Decision.ALLOW, Reason.SUPER)
_UNKNOWN_USER = Verdict(Decision.DENY, Reason.UNKNOWN_USER)
_DISABLED = Verdict(Decision.DENY, Reason.DISABLED)
_MISSING_NAME = Verdict(Decision.DENY, Reason.MISSING_NAME)
_NO_RESOURCE = Verdict(Decision.DENY, Reason.NO_RESOURCE)
_NO_ACTION = Verdict(Decision.DENY, Reason.NO_ACTION)
_NO_MATCH = Verdict(Decision.DENY, Reason.NO_MATCH)
_UNREADABLE = Verdict(Decision.DENY, Reason.UNREADABLE)


def decide(request: AccessRequest, rights: Rights | None) -> Verdict:
    """Whether the owner of `rights` may do what the request asks.

    Args:
        request: Resource, actions and address.
        rights: Of the user that authentication proved; None when there is no such user, which is refused.

    Returns:
        The verdict. Equal arguments give equal verdicts, whatever was asked before.
    """
    if rights is None:
        return _UNKNOWN_USER
    verdict = rights.answers.get(_question(request, by_address=rights.by_address))
    return _answer(request, rights) if verdict is None else verdict


def _question(request: AccessRequest, *, by_address: bool) -> Question:
    address = request.address
    if by_address and address is not None:
        # The number and the family: addresses themselves are hashed in Python, which costs more than a decision.
        return request.type, request.name, request.actions, int(address), address.__class__
    return request.type, request.name, request.actions


def _answer(request: AccessRequest, rights: Rights) -> Verdict:
    settled = _settle(rights.user, request)
    if settled is not None:
        # Users whose policies are not asked need no memory: that would hold every name they ever used.
        return settled
    try:
        index = rights.index
    except RecordCorrupt:
        return _UNREADABLE
    verdict = _NO_MATCH if index is None else _judge(index, request)
    # Only now is it known whether addresses matter to these rights.
    rights.remember(_question(request, by_address=rights.by_address), verdict)
    return verdict


def _settle(user: User, request: AccessRequest) -> Verdict | None:
    """What can be said without asking policies."""
    if user.status is not UserStatus.ENABLE:
        return _DISABLED
    if user.type is UserType.SUPER:
        return _SUPER
    name = request.name
    if not name or name.isspace():
        return _MISSING_NAME
    if request.type is ResourceType.ANY:
        return _NO_RESOURCE
    return None if request.actions else _NO_ACTION


def _judge(index: Index, request: AccessRequest) -> Verdict:
    policy, rules = index.rules(request.type, request.name)
    if policy is None:
        return _NO_MATCH
    undecided = mask_of(request.actions)
    considered: list[Entry] = []
    # INVARIANT: rules come best first, so the first that matches an action decides that action.
    for rule in rules:
        if rule.bits & undecided and (rule.ranges is None or rule.ranges.hold(request.address)):
            considered.append(rule.entry)
            if not rule.denies:
                return Verdict(Decision.ALLOW, Reason.ALLOWED, rule.entry, policy, tuple(considered))
            undecided &= ~rule.bits
            if not undecided:
                break
    if not considered:
        return Verdict(Decision.DENY, Reason.NO_MATCH, None, policy)
    return Verdict(Decision.DENY, Reason.DENIED, considered[0], policy, tuple(considered))
