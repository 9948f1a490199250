"""Regions of rights, of changes and of holders contain exactly the requests that `decide` allows."""

from hypothesis import given
from hypothesis import strategies as st

from mqguard.auth.analysis.access_state import AccessState, rights_of, who_can
from mqguard.auth.analysis.comparison import Direction, compare
from mqguard.auth.analysis.source_sets import ANYWHERE, SourceSet
from mqguard.auth.decide import decide
from mqguard.auth.policy import Action, Decision
from tests.property.analysis.universe import ACTIONS, ADDRESSES, REQUESTS, acls, directories, effort, resources, sources

addresses = st.sampled_from(ADDRESSES)


def allowed(directory, request):
    return decide(request, directory.rights("u")).decision is Decision.ALLOW


@given(directories)
@effort(80)
def test_rights_are_the_allowed_requests(directory):
    """A request is in one region if it is allowed, and in none if it is refused."""
    regions = rights_of(directory, "u")

    for request in REQUESTS:
        assert sum(region.holds(request) for region in regions) == allowed(directory, request), request
    for region in regions:
        assert region.holds(region.witness.request)
        assert allowed(directory, region.witness.request)


@given(directories, directories)
@effort(80)
def test_a_comparison_is_the_symmetric_difference(old, new):
    """A region is gained if only the new state allows it, and lost if only the old one does."""
    found = compare(old, new)

    for request in REQUESTS:
        before, after = allowed(old, request), allowed(new, request)
        told = [change.direction for change in found.rights if change.region.holds(request)]
        expected = [] if before == after else [Direction.GAINED if after else Direction.LOST]
        assert told == expected, request
    for change in found.rights:
        request = change.region.witness.request
        assert change.old == decide(request, old.rights("u"))
        assert change.new == decide(request, new.rights("u"))
        assert change.old.allowed is not change.new.allowed
        assert change.new.allowed is (change.direction is Direction.GAINED)


@given(directories)
@effort(30)
def test_nothing_changes_between_equal_states(directory):
    """A state compared with itself has no change."""
    assert compare(directory, directory).is_empty


@given(directories, resources, st.sampled_from([*ACTIONS, Action.ALL]), st.one_of(st.just(()), sources))
@effort(80)
def test_holders_may_do_the_requests(directory, resource, action, given_sources):
    """A user is named if it may do a part of the requests, with exactly that part."""
    origins = SourceSet.of(given_sources)
    asked = [
        request
        for request in REQUESTS
        if resource.covers(request.type, request.name)
        and (action is Action.ALL or action in request.actions)
        and request.address in origins
    ]
    holders = who_can(directory, frozenset({action}), resource, origins)

    regions = holders[0].regions if holders else ()
    for request in REQUESTS:
        expected = request in asked and allowed(directory, request)
        assert sum(region.holds(request) for region in regions) == expected, request
    if holders and holders[0].whole:
        assert all(allowed(directory, request) for request in asked)
    elif asked:
        assert not all(allowed(directory, request) for request in asked)


@given(st.one_of(st.just(()), sources), st.one_of(st.just(()), sources))
def test_sets_of_sources_are_sets(left, right):
    """Union, intersection and difference contain exactly the correct addresses, and a sample is in its set."""
    one, two = SourceSet.of(left), SourceSet.of(right)

    for address in ADDRESSES:
        a, b = address in one, address in two
        assert (address in one | two) is (a or b)
        assert (address in one & two) is (a and b)
        assert (address in one - two) is (a and not b)
        assert (address in ANYWHERE) is True
    for origins in (one, two, one | two, one & two, one - two):
        if not origins.is_empty:
            assert origins.sample() in origins
        assert (origins == SourceSet()) is origins.is_empty


@given(acls(), acls())
@effort(30)
def test_a_subject_without_a_user_may_do_nothing(old, new):
    """Policies without a user add no right."""
    assert compare(AccessState.of([], [old]), AccessState.of([], [new])).is_empty
