"""The decision: a request and the rights of its user in, a verdict out. Total and pure.

Rule 1: without a user, or with a disabled one (Super too), the request is denied.
Rule 2: a Super user is allowed. For all others, a request without a name or an action is denied.
Rule 3: Custom entries decide; Default entries decide only for a resource that no Custom entry covers.
Rule 4: of the entries that match resource, action and address, the first by precedence decides. Without a matching
entry, the request is denied.
Rule 5: each of several actions is evaluated alone, and one allowed action is enough.
"""

from collections.abc import Iterable

from mqguard.auth.errors import RecordCorrupt
from mqguard.auth.policy import Decision, Entry
from mqguard.auth.policy_index import CompiledEntry, NameBucket, Rights, mask_of
from mqguard.auth.resource import REQUEST_TYPES
from mqguard.auth.source import Address
from mqguard.auth.user import User, UserStatus, UserType
from mqguard.auth.verdict import AccessRequest, Reason, Verdict

# A module constant is cheaper than an enum member, whose lookup costs as much as a step of the decision.
_ALLOW, _DENY = Decision.ALLOW, Decision.DENY
_ALLOWED, _DENIED = Reason.ALLOWED, Reason.DENIED
_ENABLED, _IS_SUPER = UserStatus.ENABLE, UserType.SUPER
_TYPES = frozenset(REQUEST_TYPES)

_SUPER = Verdict(_ALLOW, Reason.SUPER)
_UNKNOWN_USER = Verdict(_DENY, Reason.UNKNOWN_USER)
_DISABLED = Verdict(_DENY, Reason.DISABLED)
_MISSING_NAME = Verdict(_DENY, Reason.MISSING_NAME)
_NO_RESOURCE = Verdict(_DENY, Reason.NO_RESOURCE)
_NO_ACTION = Verdict(_DENY, Reason.NO_ACTION)
_UNREADABLE = Verdict(_DENY, Reason.UNREADABLE)


def decide(request: AccessRequest, rights: Rights | None) -> Verdict:
    """Decide whether the owner of `rights` may do what the request asks for.

    Args:
        request: Resource, actions and address.
        rights: The rights of the authenticated user; None if no such user exists, which is denied.

    Returns:
        The verdict. Equal arguments give equal verdicts, whatever was decided before.
    """
    if rights is None:
        return _UNKNOWN_USER
    names = rights.names.get(request.type)
    name = request.name
    if names is None or not name or name.isspace():
        return _decide_rest(request, rights)
    # Same as `names.find`, without the cost of its call.
    place = names.literals.get(name) or names.longest_prefix(name)
    verdict = place.answers.get(request.actions)
    return _answer(request, place) if verdict is None else verdict


def _decide_rest(request: AccessRequest, rights: Rights) -> Verdict:
    """Decide requests that need no policies, and those whose policies are not yet compiled."""
    settled = _settle(rights.user, request)
    if settled is not None:
        return settled
    try:
        rights.compile()
    except RecordCorrupt:
        return _UNREADABLE
    return _answer(request, rights.names[request.type].find(request.name))


def _settle(user: User, request: AccessRequest) -> Verdict | None:
    """Return the verdict if it does not depend on policies."""
    if user.status is not _ENABLED:
        return _DISABLED
    if user.type is _IS_SUPER:
        return _SUPER
    name = request.name
    if not name or name.isspace():
        return _MISSING_NAME
    if request.type not in _TYPES:
        return _NO_RESOURCE
    return None


def _answer(request: AccessRequest, place: NameBucket) -> Verdict:
    """Evaluate the entries, and cache the verdict for those actions at that place, whatever the name."""
    if not request.actions:
        return _NO_ACTION
    verdict = _evaluate(request, place)
    if not place.by_address:
        place.answers[request.actions] = verdict
    return verdict


def _evaluate(request: AccessRequest, place: NameBucket) -> Verdict:
    undecided = mask_of(request.actions)
    considered: list[Entry] = []
    # INVARIANT: rules are in order of precedence, so the first that matches an action decides that action.
    rule = place.rule
    policy = None if rule is None else place.policy
    while rule is not None and undecided:
        if rule.bits & undecided and (rule.ranges is None or rule.ranges.contains(request.address)):
            considered.append(rule.entry)
            if not rule.denies:
                return Verdict(_ALLOW, _ALLOWED, rule.entry, policy, tuple(considered))
            undecided &= ~rule.bits
        rule = rule.next
    if not considered:
        return Verdict(_DENY, Reason.NO_MATCH, None, policy)
    return Verdict(_DENY, _DENIED, considered[0], policy, tuple(considered))


def allowed_actions(rules: Iterable[CompiledEntry], address: Address | None) -> int:
    """Return every action that rules allow from an address, as bits: what `_evaluate` finds for each action alone.

    Args:
        rules: The rules of one place, in order of precedence.
        address: The source.
    """
    undecided, allowed = -1, 0
    for rule in rules:
        decided = rule.bits & undecided
        if decided and rule.matches_source(address):
            undecided &= ~decided
            if not rule.denies:
                allowed |= decided
    return allowed
