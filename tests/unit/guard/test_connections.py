"""What a connection has proved holds for that user and one version of the users, and for a limited time."""

import pytest

from mqguard.guard.connections import VerifiedConnections
from mqguard.guard.context import Identity

ALICE, BOB = Identity("alice", "signature"), Identity("bob", "signature")


@pytest.fixture(name="known")
def some_connections():
    known = VerifiedConnections(limit=2, keep_ms=1_000)
    known.add("a", ALICE, version=0, now_ms=0, not_after=None)
    return known


def test_nobody_is_known_before_a_proof():
    for version in (0, 1):
        assert VerifiedConnections(limit=2, keep_ms=1_000).find("a", "alice", version, 0) is None


def test_a_proof_is_for_one_connection_and_one_user(known):
    assert known.find("a", "alice", 0, 0) is ALICE
    assert known.find("b", "alice", 0, 0) is None
    assert known.find("a", "bob", 0, 0) is None


def test_a_proof_of_another_version_is_never_believed(known):
    """However often it is asked for, and whoever proves something meanwhile."""
    assert [known.find("a", "alice", 1, 0) for _ in range(2)] == [None, None]

    known.add("b", BOB, version=1, now_ms=0, not_after=None)

    assert known.find("b", "bob", 1, 0) is BOB
    assert known.find("a", "alice", 1, 0) is None


def test_a_proof_of_a_new_version_ends_all_of_the_old_one(known):
    """Without anything being asked in between."""
    known.add("b", BOB, version=1, now_ms=0, not_after=None)

    assert known.find("b", "bob", 1, 0) is BOB
    assert known.find("a", "alice", 1, 0) is None


@pytest.mark.parametrize(("not_after", "last"), [(None, 999), (998, 998), (999, 999), (5_000, 999), (0, 0), (-1, -1)])
def test_a_proof_ends_with_its_time_or_with_the_secret(not_after, last):
    """The secret counts at its end, and not behind it."""
    known = VerifiedConnections(limit=2, keep_ms=1_000)
    known.add("a", ALICE, version=0, now_ms=0, not_after=not_after)

    assert known.find("a", "alice", 0, last) is ALICE
    assert known.find("a", "alice", 0, last + 1) is None


def test_at_the_limit_everything_is_forgotten(known):
    """And proved again."""
    known.add("b", BOB, version=0, now_ms=0, not_after=None)
    assert (known.find("a", "alice", 0, 0), known.find("b", "bob", 0, 0)) == (ALICE, BOB)

    known.add("c", ALICE, version=0, now_ms=0, not_after=None)

    assert [known.find(channel, user, 0, 0) for channel, user in (("a", "alice"), ("b", "bob"))] == [None, None]
    assert known.find("c", "alice", 0, 0) is ALICE
