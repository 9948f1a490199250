"""A cached authentication is valid for one connection, one user, one version of the users, and a limited time."""

import pytest

from mqguard.guard.authentication_cache import AuthenticationCache, ChannelAuthentication, authentication_of
from mqguard.guard.context import Identity
from mqguard.model.channel import Channel

ALICE, BOB = Identity("alice", "signature"), Identity("bob", "signature")
CACHE = AuthenticationCache(keep_ms=1_000, limit=2)


@pytest.fixture(name="state")
def a_state_with_alice():
    state = ChannelAuthentication("a", object())
    CACHE.add(state, ALICE, version=0, now_ms=0, not_after=None)
    return state


def test_a_new_connection_has_no_user():
    for version in (0, 1):
        assert CACHE.find(ChannelAuthentication("a", object()), "alice", version, 0) is None


def test_an_authentication_is_valid_for_one_connection_and_one_user(state):
    assert CACHE.find(state, "alice", 0, 0) is ALICE
    assert CACHE.find(ChannelAuthentication("a", state.owner), "alice", 0, 0) is None
    assert CACHE.find(state, "bob", 0, 0) is None


def test_an_authentication_of_another_version_is_not_used(state):
    assert [CACHE.find(state, "alice", 1, 0) for _ in range(2)] == [None, None]
    assert CACHE.find(state, "alice", 0, 0) is None


def test_an_authentication_with_a_new_version_ends_all_of_the_old_one(state):
    CACHE.add(state, BOB, version=1, now_ms=0, not_after=None)

    assert CACHE.find(state, "bob", 1, 0) is BOB
    assert CACHE.find(state, "alice", 1, 0) is None


@pytest.mark.parametrize(("not_after", "last"), [(None, 999), (998, 998), (999, 999), (5_000, 999), (0, 0), (-1, -1)])
def test_an_authentication_ends_with_its_time_or_with_the_secret(not_after, last):
    """The secret is valid at its end, and not after it."""
    state = ChannelAuthentication("a", object())
    CACHE.add(state, ALICE, version=0, now_ms=0, not_after=not_after)

    assert CACHE.find(state, "alice", 0, last) is ALICE
    assert CACHE.find(state, "alice", 0, last + 1) is None


def test_the_number_of_users_of_one_connection_is_bounded(state):
    CACHE.add(state, BOB, version=0, now_ms=0, not_after=None)
    assert (CACHE.find(state, "alice", 0, 0), CACHE.find(state, "bob", 0, 0)) == (ALICE, BOB)

    CACHE.add(state, Identity("carol", "signature"), version=0, now_ms=0, not_after=None)

    assert len(state.cached) <= 2
    assert CACHE.find(state, "alice", 0, 0) is None


def test_a_configured_limit_does_not_pass_the_fixed_one():
    state, cache = ChannelAuthentication("a", object()), AuthenticationCache(1_000, 10_000_000)
    for number in range(100):
        cache.add(state, Identity(f"user-{number}", "signature"), 0, 0, None)
        assert len(state.cached) <= 16


def test_two_connections_never_share_their_state():
    """Connections of two listeners may have the same name."""
    owner, one, other = object(), Channel("00000007"), Channel("00000007")

    state = authentication_of(one, owner)

    assert authentication_of(one, owner) is state
    assert authentication_of(other, owner) is not state
    assert one != other


def test_the_state_of_another_guard_is_not_used():
    channel = Channel()
    state = authentication_of(channel, object())
    state.identity = ALICE

    assert authentication_of(channel, object()).identity is None
