"""Messages between processes that share users and policies."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqguard.auth.manager import MetadataManager
from mqguard.auth.ports import DeleteAcl, DeleteUser, PutAcl, PutUser
from mqguard.auth.seal import SealingKey
from mqguard.auth.user import Subject, UserType
from mqguard.runtime.sharing import messages
from mqguard.store.metadata.memory import MemoryMetadataStore
from mqguard.testing.metadata_contract import acl, user

KEY = SealingKey(bytes(32))


@given(st.lists(st.integers(0, 2**40), max_size=6), st.lists(st.integers(1, 30), max_size=40))
def test_any_split_of_the_bytes_gives_the_same_messages(revisions: list[int], sizes: list[int]) -> None:
    data = b"".join(messages.encode(messages.Applied(revision)) for revision in revisions)
    reader = messages.MessageReader(messages.FromMember, 1000)
    found: list[object] = []
    for size in sizes:
        found += reader.feed(data[:size])
        data = data[size:]
    assert found + reader.feed(data) == [messages.Applied(revision) for revision in revisions]


@given(st.binary(max_size=200))
def test_any_bytes_give_messages_or_the_documented_error(data: bytes) -> None:
    reader = messages.MessageReader(messages.FromMember, 100)
    try:
        reader.feed(data)
    except messages.MessageInvalid:
        return


def test_a_message_beyond_the_maximum_is_refused_before_it_is_received() -> None:
    with pytest.raises(messages.MessageInvalid, match="longer than 10 bytes"):
        messages.MessageReader(messages.FromMember, 10).feed((11).to_bytes(4, "big"))


def test_changes_arrive_as_they_were_and_secrets_are_sealed() -> None:
    """The incarnation is compared separately, because `==` of users ignores it."""
    alice = dataclasses.replace(user("alice", ("very-secret", None)), incarnation="i-1", confirmed=True)
    changes = [PutUser(alice), DeleteAcl(Subject("bob")), PutAcl(acl("alice", "Topic:a*")), DeleteUser("bob")]
    found = messages.change_records(changes, KEY)
    assert b"very-secret" not in b"".join(value or b"" for _, value in found)
    again = messages.read_records(found, KEY)
    assert again == changes
    assert isinstance(again[0], PutUser)
    assert (again[0].user.incarnation, again[0].user.confirmed) == ("i-1", True)


def test_a_state_has_all_users_and_policies() -> None:
    manager = MetadataManager(MemoryMetadataStore())
    manager.create_user("root", "r", UserType.SUPER)
    manager.create_user("alice", "a")
    manager.create_acl(acl("alice"))
    changes = messages.read_records(messages.state_records(manager.snapshot, KEY), KEY)
    users = [change.user for change in changes if isinstance(change, PutUser)]
    assert users == list(manager.snapshot.users())
    assert [change.acl for change in changes if isinstance(change, PutAcl)] == list(manager.snapshot.acls())
