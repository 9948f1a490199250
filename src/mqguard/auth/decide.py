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
from mqguard.auth.rights import Answer, Open, Question, Rights
from mqguard.auth.source import Address
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
    question = (request.type, request.name, request.actions)
    answer = rights.answers.get(question)
    if answer is None:
        answer = _answer(question, rights)
    return _judge(answer, request.address) if isinstance(answer, Open) else answer


def _answer(question: Question, rights: Rights) -> Answer:
    settled = _settle(question, rights)
    if settled is not None:
        # Users whose policies are not asked need no memory: that would hold every name they ever used.
        return settled
    try:
        index = rights.index
    except RecordCorrupt:
        return _UNREADABLE
    answer = _find(question, index) if index is not None else _NO_MATCH
    rights.remember(question, answer)
    return answer


def _settle(question: Question, rights: Rights) -> Verdict | None:
    """What can be said without asking policies."""
    kind, name, actions = question
    if not rights.user.is_enabled:
        return _DISABLED
    if rights.user.is_super:
        return _SUPER
    if not name or name.isspace():
        return _MISSING_NAME
    if kind is ResourceType.ANY:
        return _NO_RESOURCE
    return None if actions else _NO_ACTION


def _find(question: Question, index: Index) -> Answer:
    kind, name, actions = question
    policy, rules = index.rules(kind, name)
    if policy is None:
        return _NO_MATCH
    wanted = mask_of(actions)
    rules = tuple(rule for rule in rules if rule.bits & wanted)
    answer = Open(policy, rules, wanted)
    return answer if any(rule.v4 is not None for rule in rules) else _judge(answer, None)


def _judge(answer: Open, address: Address | None) -> Verdict:
    considered: list[Entry] = []
    undecided = answer.wanted
    denier: Entry | None = None
    # INVARIANT: rules come best first, so the first that matches an action decides that action.
    for rule in answer.rules:
        if rule.bits & undecided and rule.admits(address):
            considered.append(rule.entry)
            if not rule.denies:
                return Verdict(Decision.ALLOW, Reason.ALLOWED, rule.entry, answer.policy, tuple(considered))
            denier = denier or rule.entry
            undecided &= ~rule.bits
            if not undecided:
                break
    if denier is None:
        return Verdict(Decision.DENY, Reason.NO_MATCH, None, answer.policy)
    return Verdict(Decision.DENY, Reason.DENIED, denier, answer.policy, tuple(considered))
