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

# A member looked up in its class costs as much as a step of the decision.
_ALLOW, _DENY = Decision.ALLOW, Decision.DENY
_ALLOWED, _DENIED, _UNMATCHED = Reason.ALLOWED, Reason.DENIED, Reason.NO_MATCH
_ENABLED, _IS_SUPER, _ANY = UserStatus.ENABLE, UserType.SUPER, ResourceType.ANY

_SUPER = Verdict(Decision.ALLOW, Reason.SUPER)
_UNKNOWN_USER = Verdict(Decision.DENY, Reason.UNKNOWN_USER)
_DISABLED = Verdict(Decision.DENY, Reason.DISABLED)
_MISSING_NAME = Verdict(Decision.DENY, Reason.MISSING_NAME)
_NO_RESOURCE = Verdict(Decision.DENY, Reason.NO_RESOURCE)
_NO_ACTION = Verdict(Decision.DENY, Reason.NO_ACTION)
_NO_MATCH = Verdict(Decision.DENY, Reason.NO_MATCH)
_BARE = 3
"""Parts of a question without an address."""
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
    address = request.address
    if rights.by_address and address is not None:
        # The number and the family: addresses themselves are hashed in Python, which costs more than a decision.
        question: Question = (request.type, request.name, request.actions, int(address), address.__class__)
    else:
        question = (request.type, request.name, request.actions)
    verdict = rights.answers.get(question)
    return _answer(request, rights, question) if verdict is None else verdict


def _answer(request: AccessRequest, rights: Rights, question: Question) -> Verdict:
    settled = _settle(rights.user, request)
    if settled is not None:
        # Users whose policies are not asked need no memory: that would hold every name they ever used.
        return settled
    try:
        index = rights.index
    except RecordCorrupt:
        return _UNREADABLE
    verdict = _NO_MATCH if index is None else _judge(index, request)
    if not rights.by_address or len(question) > _BARE or request.address is None:
        rights.remember(question, verdict)
    # Else the policies were compiled just now, and only now is it known that addresses matter: remember the next time.
    return verdict


def _settle(user: User, request: AccessRequest) -> Verdict | None:
    """What can be said without asking policies."""
    if user.status is not _ENABLED:
        return _DISABLED
    if user.type is _IS_SUPER:
        return _SUPER
    name = request.name
    if not name or name.isspace():
        return _MISSING_NAME
    if request.type is _ANY:
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
                return Verdict(_ALLOW, _ALLOWED, rule.entry, policy, tuple(considered))
            undecided &= ~rule.bits
            if not undecided:
                break
    if not considered:
        return Verdict(_DENY, _UNMATCHED, None, policy)
    return Verdict(_DENY, _DENIED, considered[0], policy, tuple(considered))
