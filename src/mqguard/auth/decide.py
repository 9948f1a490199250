"""The decision: a request and the rights of its user in, a verdict out. Total and pure.

Rule 1: no user, or a disabled one (Super too): refused.
Rule 2: a Super user is allowed; of all others, a request without a name or an action is refused.
Rule 3: Custom entries speak; Default entries only for a resource that no Custom entry covers.
Rule 4: of the entries that match resource, action and address, the first by precedence decides; no entry, no access.
Rule 5: of several actions, each is judged by itself, and one that is allowed is enough.
"""

from mqguard.auth.errors import RecordCorrupt
from mqguard.auth.index import Place, mask_of
from mqguard.auth.policy import Decision, Entry
from mqguard.auth.request import AccessRequest
from mqguard.auth.resource import ResourceType
from mqguard.auth.rights import Rights
from mqguard.auth.user import User, UserStatus, UserType
from mqguard.auth.verdict import Reason, Verdict

# A member looked up in its class costs as much as a step of the decision.
_ALLOW, _DENY = Decision.ALLOW, Decision.DENY
_ALLOWED, _DENIED = Reason.ALLOWED, Reason.DENIED
_ENABLED, _IS_SUPER, _ANY = UserStatus.ENABLE, UserType.SUPER, ResourceType.ANY

_SUPER = Verdict(_ALLOW, Reason.SUPER)
_UNKNOWN_USER = Verdict(_DENY, Reason.UNKNOWN_USER)
_DISABLED = Verdict(_DENY, Reason.DISABLED)
_MISSING_NAME = Verdict(_DENY, Reason.MISSING_NAME)
_NO_RESOURCE = Verdict(_DENY, Reason.NO_RESOURCE)
_NO_ACTION = Verdict(_DENY, Reason.NO_ACTION)
_UNREADABLE = Verdict(_DENY, Reason.UNREADABLE)


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
    names = rights.names.get(request.type)
    name = request.name
    if names is None or not name or name.isspace():
        return _decide_rest(request, rights)
    # As `names.find`, without its call.
    place = names.literals.get(name) or names.around(name)
    verdict = place.answers.get(request.actions)
    return _answer(request, place) if verdict is None else verdict


def _decide_rest(request: AccessRequest, rights: Rights) -> Verdict:
    """Decide what policies need not be asked for, and what is asked before they are compiled."""
    settled = _settle(rights.user, request)
    if settled is not None:
        return settled
    try:
        rights.compile()
    except RecordCorrupt:
        return _UNREADABLE
    return _answer(request, rights.names[request.type].find(request.name))


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
    return None


def _answer(request: AccessRequest, place: Place) -> Verdict:
    """Ask the rules, and remember what they say to those actions at that place, whatever the name."""
    if not request.actions:
        return _NO_ACTION
    verdict = _judge(request, place)
    if not place.by_address:
        place.answers[request.actions] = verdict
    return verdict


def _judge(request: AccessRequest, place: Place) -> Verdict:
    undecided = mask_of(request.actions)
    considered: list[Entry] = []
    # INVARIANT: rules come best first, so the first that matches an action decides that action.
    rule = place.rule
    policy = None if rule is None else place.policy
    while rule is not None and undecided:
        if rule.bits & undecided and (rule.ranges is None or rule.ranges.hold(request.address)):
            considered.append(rule.entry)
            if not rule.denies:
                return Verdict(_ALLOW, _ALLOWED, rule.entry, policy, tuple(considered))
            undecided &= ~rule.bits
        rule = rule.next
    if not considered:
        return Verdict(_DENY, Reason.NO_MATCH, None, policy)
    return Verdict(_DENY, _DENIED, considered[0], policy, tuple(considered))
