"""For any changes in any order, the state in force is the stored one, and no change affects another."""

import contextlib
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mqguard.auth.decide import decide
from mqguard.auth.errors import MetadataRejected
from mqguard.auth.manager import MetadataManager
from mqguard.auth.policy import Acl, Action, Policy, PolicyType
from mqguard.auth.ports import MetadataStore
from mqguard.auth.seal import SealingKey
from mqguard.auth.user import Subject, UserStatus, UserType
from mqguard.auth.verdict import AccessRequest
from mqguard.store.metadata.memory import MemoryMetadataStore
from mqguard.store.metadata.rocksdb import RocksMetadataStore
from tests.property.auth.worlds import ADDRESSES, EXAMPLES, NAMES, TYPES, entries, resources

USERS = ("a", "b", "é")
users = st.sampled_from(USERS)
policies = st.builds(Policy, st.sampled_from(PolicyType), st.lists(entries, min_size=1, max_size=3).map(tuple))
acls = st.builds(
    Acl, users.map(Subject), st.lists(policies, min_size=1, max_size=2, unique_by=lambda policy: policy.type).map(tuple)
)
secrets = st.sampled_from(["s", "t", "u", None])
types = st.none() | st.sampled_from(UserType)
statuses = st.none() | st.sampled_from(UserStatus)
operations = st.one_of(
    st.tuples(st.just("create_user"), st.tuples(users, secrets, types, statuses)),
    st.tuples(st.just("update_user"), st.tuples(users, secrets, types, statuses)),
    st.tuples(st.just("delete_user"), st.tuples(users)),
    st.tuples(st.just("create_acl"), st.tuples(acls)),
    st.tuples(st.just("create_acl"), st.tuples(acls)),
    st.tuples(
        st.just("delete_acl"),
        st.tuples(users.map(Subject), st.none() | st.sampled_from(PolicyType), st.none() | resources),
    ),
)
histories = st.lists(operations, min_size=5, max_size=20)
QUESTIONS = [
    AccessRequest(kind, name, frozenset({action}), address)
    for kind in TYPES[:2]
    for name in NAMES[:3]
    for action in (Action.PUB, Action.GET)
    for address in ADDRESSES[:2]
]


def everything(manager: MetadataManager) -> object:
    """Return everything visible of users and policies, and their decisions."""
    snapshot = manager.snapshot
    verdicts = [[decide(question, snapshot.rights(name)) for question in QUESTIONS] for name in USERS]
    return list(snapshot.users()), list(snapshot.acls()), snapshot.live_supers, verdicts


def check(store: MetadataStore, history: list[tuple[str, tuple[object, ...]]]) -> None:
    manager = MetadataManager(store)
    for name in USERS[:2]:
        manager.create_user(name, "s")
    # Requests are decided between the changes too, because cached verdicts must not outlive a change.
    seen = everything(manager)
    for name, arguments in history:
        try:
            getattr(manager, name)(*arguments)
        except MetadataRejected:
            assert everything(manager) == seen
        seen = everything(manager)
        assert seen == everything(MetadataManager(store))


@settings(max_examples=EXAMPLES, deadline=None)
@given(histories)
def test_the_state_in_force_is_the_one_that_would_be_loaded(history):
    check(MemoryMetadataStore(), history)


@settings(max_examples=10, deadline=None)
@given(histories)
def test_the_state_in_force_is_the_one_on_disk(history):
    with (
        tempfile.TemporaryDirectory() as directory,
        contextlib.closing(RocksMetadataStore(Path(directory) / "users", SealingKey(bytes(32)))) as store,
    ):
        check(store, history)


@pytest.mark.parametrize("name", USERS)
def test_a_new_user_of_an_old_name_inherits_nothing(name):
    manager = MetadataManager(MemoryMetadataStore())
    empty = everything(manager)
    manager.create_user(name, "s", UserType.SUPER)
    assert everything(manager) != empty
    manager.delete_user(name, force=True)
    assert everything(manager) == empty
