"""Diagnosis of clients, for any policies."""

from hypothesis import given
from hypothesis import strategies as st

from mqguard.admin.doctor import consumer_requests, diagnose, producer_requests
from mqguard.auth.analysis.access_state import AccessState
from mqguard.auth.minimal_change import apply_to_acl, apply_to_user
from mqguard.auth.policy import Acl, Action, Decision, Entry, Policy, PolicyType
from mqguard.auth.resource import Resource
from mqguard.auth.source import Source, parse_address
from mqguard.auth.user import Subject, User, UserStatus

RESOURCES = st.sampled_from(["Topic:t", "Topic:t*", "Topic:*", "Group:g", "Group:*", "*", "Topic:other"])
ENTRIES = st.builds(
    Entry,
    RESOURCES.map(Resource.parse),
    st.lists(st.sampled_from(Action), min_size=1, max_size=3, unique=True).map(tuple),
    st.sampled_from([(), ("10.0.0.0/8",), ("192.0.2.0/24",)]).map(lambda texts: tuple(map(Source.parse, texts))),
    st.sampled_from(Decision),
)
POLICIES = st.lists(ENTRIES, max_size=4).map(tuple)
ADDRESSES = st.sampled_from([None, "10.1.2.3", "::1"])


def state_of(custom, default, status=UserStatus.ENABLE):
    policies = (Policy(PolicyType.CUSTOM, custom), Policy(PolicyType.DEFAULT, default))
    return AccessState.of([User("u", (), status=status)], [Acl(Subject("u"), policies)])


def diagnosed(state, requests, address):
    return diagnose(state, "u", requests, None if address is None else parse_address(address), "DefaultCluster")


@given(POLICIES, POLICIES, ADDRESSES, st.booleans(), st.sampled_from(UserStatus))
def test_the_changes_make_every_step_work(custom, default, address, is_consumer, status):
    """The suggested changes are enough, and none are suggested if nothing is denied."""
    requests = consumer_requests("t", "g") if is_consumer else producer_requests("t")
    state = state_of(custom, default, status)
    first = diagnosed(state, requests, address)
    assert first.is_allowed is not bool(first.changes)
    assert first.is_complete
    for change in first.changes:
        acl = apply_to_acl(state.acls["u"], change)
        state = AccessState.of([apply_to_user("u", state.users["u"], change)], [acl])
    assert diagnosed(state, requests, address).is_allowed


def test_a_consumer_without_permissions_needs_two_entries():
    found = diagnosed(AccessState.of([User("u", ())], []), consumer_requests("t", "g"), None)
    added = [entry.text for change in found.changes for entry in change.added]
    assert sorted(added) == ["Allow Sub on Group:g from anywhere", "Allow Sub on Topic:t from anywhere"]
    assert not any(step.is_allowed for step in found.requests)


def test_a_user_that_does_not_exist_is_created_first():
    found = diagnosed(AccessState.of([], []), producer_requests("t"), None)
    assert next(change.kind.value for change in found.changes) == "create-user"
    assert found.requests[0].message == "User:u not found."
