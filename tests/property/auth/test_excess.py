"""`find_escalation` against every request of a universe that its entries can distinguish."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from mqguard.auth.analysis.access_state import AccessState
from mqguard.auth.analysis.comparison import Direction, compare
from mqguard.auth.escalation import find_escalation
from mqguard.auth.policy import Action
from mqguard.auth.resource import ResourceType
from mqguard.auth.user import User
from mqguard.auth.verdict import AccessRequest
from tests.property.auth import oracle
from tests.property.auth.worlds import ADDRESSES, NAMES, PREFIXES, TYPES, acls, quick

USER = User("u", ())
ASKED = tuple(action for action in Action if action is not Action.ALL)
EVERY_NAME = (*NAMES, *PREFIXES, *(prefix + end for prefix in ("", *PREFIXES) for end in ("~", "~%~")))


def everything():
    return (
        AccessRequest(kind, name, frozenset({action}), address)
        for kind, name, action, address in itertools.product(TYPES, EVERY_NAME, ASKED, ADDRESSES)
    )


@quick
@given(acls, st.lists(acls, max_size=2))
def test_excess_rights_are_found_and_nothing_else(new, others):
    excess = find_escalation(new, *others)
    brute = [
        request
        for request in everything()
        if oracle.allowed(USER, new, request) and not any(oracle.allowed(USER, other, request) for other in others)
    ]
    if excess is None:
        assert not brute, brute[0]
        return
    resource = excess.resource
    end = {"LITERAL": "", "PREFIXED": "\U0010ffff", "ANY": "\U0010ffff"}[resource.pattern.value]
    name = resource.name + end + ("%x" if resource.type is ResourceType.NAMESPACE else "")
    found = [AccessRequest(kind, name, frozenset({excess.action}), excess.address) for kind in resource.types]
    assert any(
        oracle.allowed(USER, new, request) and not any(oracle.allowed(USER, other, request) for other in others)
        for request in found
    )


@quick
@given(acls)
def test_equal_rights_exceed_nothing(acl):
    assert find_escalation(acl, acl) is None
    assert find_escalation(None, acl) is None
    assert ResourceType.ANY not in {excess.resource.type for excess in [find_escalation(acl)] if excess is not None}


@quick
@given(acls, acls)
def test_the_analysis_finds_the_same(old, new):
    """Both comparisons find the same: the quick one inside a change, and the complete one for users."""
    gained = [
        change
        for change in compare(AccessState.of([USER], [old]), AccessState.of([USER], [new])).rights
        if change.direction is Direction.GAINED
    ]
    assert (find_escalation(new, old) is not None) == bool(gained)
