"""Who keeps failing is slowed, connection by connection; who has proved to be somebody is not."""

import pytest

from mqguard.auth.errors import AuthenticationFailed
from mqguard.auth.throttle import Throttle, ThrottleLimits
from mqguard.guard import pace
from mqguard.model.peer import Peer


def peer(channel, ip="10.1.2.3"):
    return Peer(ip, 4000, channel)


@pytest.fixture(name="paced")
def a_pace():
    """One failure is enough to be slowed."""
    return pace.Pace(Throttle(ThrottleLimits(user_burst=1)))


def is_slowed(paced, claimed, at):
    try:
        paced.check(claimed, at, 0)
    except AuthenticationFailed as failed:
        return failed.reason == "throttled"
    return False


def test_only_the_connection_that_failed_is_slowed(paced):
    """As that user, at that address; who claims nobody is told apart from all who claim somebody."""
    paced.failed("alice", peer("a"), 0)

    assert is_slowed(paced, "alice", peer("a"))
    assert not is_slowed(paced, "alice", peer("b"))
    assert not is_slowed(paced, "bob", peer("a"))
    assert not is_slowed(paced, "alice", peer("a", "10.9.9.9"))
    assert not is_slowed(paced, "", peer("a"))

    paced.failed("", peer("a"), 0)
    assert is_slowed(paced, "", peer("a"))
    assert not is_slowed(paced, "", peer("b"))


def test_a_proof_forgives_the_user_at_the_address(paced):
    paced.failed("alice", peer("a"), 0)
    paced.proved("bob", peer("b"))
    paced.proved("alice", peer("b", "10.9.9.9"))
    assert is_slowed(paced, "alice", peer("a"))

    paced.proved("alice", peer("b"))

    assert not is_slowed(paced, "alice", peer("a"))


def test_long_claims_are_one_claim_from_their_greatest_length_on(paced):
    """What a peer makes up must not fill the memory of failures."""
    paced.failed("x" * 5_000, peer("a"), 0)
    assert is_slowed(paced, "x" * 6_000, peer("a"))

    paced.proved("x" * 7_000, peer("b"))

    assert not is_slowed(paced, "x" * 6_000, peer("a"))


def test_the_connection_that_failed_longest_ago_is_forgotten_first(paced, monkeypatch):
    """Peers make connections as they like: memory is bounded."""
    monkeypatch.setattr(pace, "MOST_CHANNELS", 2)
    for channel in ("a", "b"):
        paced.failed("alice", peer(channel), 0)
    assert [is_slowed(paced, "alice", peer(channel)) for channel in "ab"] == [True, True]

    paced.failed("alice", peer("c"), 0)

    assert [is_slowed(paced, "alice", peer(channel)) for channel in "abc"] == [False, True, True]
