"""The shown change reverses a verdict, and no smaller one does."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from mqguard.auth.analysis.access_state import AccessState
from mqguard.auth.analysis.comparison import compare
from mqguard.auth.analysis.source_sets import ANYWHERE, SourceSet
from mqguard.auth.decide import decide
from mqguard.auth.explain import EntryOutcome, explain
from mqguard.auth.minimal_change import ChangeKind, apply_to_acl, find_minimal_change
from mqguard.auth.policy import Action, Decision, PolicyType
from mqguard.auth.policy_index import Rights
from mqguard.auth.resource import REQUEST_TYPES, Pattern, Resource
from mqguard.auth.user import User, UserStatus, UserType
from tests.property.auth import oracle
from tests.property.auth.worlds import acls, quick, requests

USER = User("u", ())


@quick
@given(acls, requests)
def test_the_shown_change_reverses_the_verdict(acl, request):
    rights = Rights(USER, acl)
    verdict = decide(request, rights)
    turn = find_minimal_change("u", request, rights)
    if turn is None:
        assert (
            not request.name.strip() or not request.actions or request.type not in REQUEST_TYPES or "*" in request.name
        )
        return
    assert turn.kind is ChangeKind.CHANGE_ENTRIES
    assert oracle.allowed(USER, apply_to_acl(acl, turn), request) is not verdict.allowed


@quick
@given(acls, requests)
def test_no_smaller_change_reverses_it(acl, request):
    """A change of one entry is the smallest. If two are shown, no single removed or added entry is enough."""
    rights = Rights(USER, acl)
    turn = find_minimal_change("u", request, rights)
    if turn is None or turn.size == 1:
        return
    allowed = decide(request, rights).allowed
    for policy in acl.policies:
        for entry in policy.entries:
            without = type(turn)(ChangeKind.CHANGE_ENTRIES, policy.type, removed=(entry,))
            assert oracle.allowed(USER, apply_to_acl(acl, without), request) is allowed
    for policy in PolicyType:
        for added in turn.added:
            alone = type(turn)(ChangeKind.CHANGE_ENTRIES, policy, added=(added,))
            assert oracle.allowed(USER, apply_to_acl(acl, alone), request) is allowed


@quick
@given(acls, requests)
def test_a_change_of_one_entry_affects_nothing_else_if_possible(acl, request):
    """An added entry matches only the request. A removed entry does too, unless no added one reverses the verdict."""
    rights = Rights(USER, acl)
    turn = find_minimal_change("u", request, rights)
    if turn is None or turn.size > 1 or "*" in request.name or Action.ALL in request.actions:
        return
    found = compare(AccessState.of([USER], [acl]), AccessState.of([USER], [apply_to_acl(acl, turn)]))
    place = SourceSet.single(request.address) if request.address is not None else ANYWHERE
    exact = all(
        change.region.resource == Resource(request.type, request.name, Pattern.LITERAL)
        and set(change.region.actions) <= request.actions
        and (change.region.sources - place).is_empty
        for change in found.rights
    )
    if turn.added:
        assert exact or (turn.policy, decide(request, rights).policy) == (PolicyType.CUSTOM, PolicyType.DEFAULT)
    elif not exact:
        denied = [entry for entry in acl.entries(turn.policy) if entry in turn.removed]
        assert all(entry.decision is Decision.DENY and entry.resource.name == request.name for entry in denied)


@quick
@given(acls, requests, st.sampled_from(UserType), st.sampled_from(UserStatus), st.booleans())
def test_a_change_of_the_user_reverses_the_verdict(acl, request, kind, status, exists):
    """The change works with the entries that it requires, and not without them."""
    user = User("u", (), kind, status)
    rights = Rights(user, acl) if exists else None
    verdict = decide(request, rights)
    turn = find_minimal_change("u", request, rights, acl)
    if turn is None or turn.kind is ChangeKind.CHANGE_ENTRIES:
        return
    becomes = {
        ChangeKind.CREATE_USER: USER,
        ChangeKind.ENABLE_USER: User("u", (), kind),
        ChangeKind.MAKE_NORMAL: USER,
        ChangeKind.DISABLE_USER: User("u", (), kind, UserStatus.DISABLE),
    }[turn.kind]
    assert decide(request, Rights(becomes, apply_to_acl(acl, turn))).allowed is not verdict.allowed
    if turn.size > 1:
        assert decide(request, Rights(becomes, acl)).allowed is verdict.allowed
    if turn.kind is ChangeKind.DISABLE_USER:
        assert decide(request, Rights(USER, acl)).allowed


@quick
@given(acls, requests, st.booleans())
def test_an_explanation_lists_every_covering_entry_once_and_the_deciding_one(acl, request, stored):
    rights = Rights(USER, acl)
    found = explain("u", request, rights)
    everyone = [e for policy in acl.policies for e in policy.entries]
    covering = [e for e in everyone if request.type in REQUEST_TYPES and oracle.names(e, request)]
    assert len(found.considered) == len(covering)
    assert all(one.entry in covering for one in found.considered)
    decided = [one.entry for one in found.considered if one.outcome is EntryOutcome.DECIDED]
    assert decided == ([found.verdict.decided_by] if found.verdict.decided_by is not None else [])
    for one, other in itertools.pairwise(found.considered):
        assert one.policy is not other.policy or oracle.before(one.entry, other.entry) <= 0
    if found.verdict.decision is Decision.ALLOW:
        assert decided
