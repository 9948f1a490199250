"""What is told to turn a verdict turns it, and nothing smaller does."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from mqguard.auth.decide import decide
from mqguard.auth.explain import Standing, explain
from mqguard.auth.policy import Decision
from mqguard.auth.rights import Rights
from mqguard.auth.turning import Step, changed, find_turn
from mqguard.auth.user import User
from tests.property.auth import oracle
from tests.property.auth.worlds import acls, quick, requests

USER = User("u", ())


@quick
@given(acls, requests)
def test_the_change_that_is_told_turns_the_verdict(acl, request):
    rights = Rights(USER, acl)
    verdict = decide(request, rights)
    turn = find_turn("u", request, rights)
    if turn is None:
        assert not request.name.strip() or not request.actions or request.type.value == "*" or "*" in request.name
        return
    assert turn.step is Step.CHANGE_ENTRIES
    assert oracle.allowed(USER, changed(acl, turn), request) is not verdict.allowed


@quick
@given(acls, requests)
def test_no_smaller_change_turns_it(acl, request):
    """A change of one entry is the smallest there is; where two are told, no single entry can be taken away or added."""
    rights = Rights(USER, acl)
    turn = find_turn("u", request, rights)
    if turn is None or turn.size == 1:
        return
    allowed = decide(request, rights).allowed
    for policy in acl.policies:
        for entry in policy.entries:
            without = type(turn)(Step.CHANGE_ENTRIES, policy.type, removed=(entry,))
            assert oracle.allowed(USER, changed(acl, without), request) is allowed
    for added in turn.added:
        alone = type(turn)(Step.CHANGE_ENTRIES, turn.policy, added=(added,))
        assert oracle.allowed(USER, changed(acl, alone), request) is allowed


@quick
@given(acls, requests, st.booleans())
def test_an_explanation_tells_every_covering_entry_once_and_who_decided(acl, request, stored):
    rights = Rights(USER, acl)
    found = explain("u", request, rights)
    covering = [e for policy in acl.policies for e in policy.entries if oracle.names(e, request)]
    assert len(found.considered) == len(covering)
    assert all(one.entry in covering for one in found.considered)
    decided = [one.entry for one in found.considered if one.standing is Standing.DECIDED]
    assert decided == ([found.verdict.decided_by] if found.verdict.decided_by is not None else [])
    for one, other in itertools.pairwise(found.considered):
        assert one.policy is not other.policy or oracle.before(one.entry, other.entry) <= 0
    if found.verdict.decision is Decision.ALLOW:
        assert decided
