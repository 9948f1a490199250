"""A connection that keeps failing is slowed by itself, and all new ones by name and address."""

import pytest

from mqguard.auth.errors import AuthenticationFailed
from mqguard.auth.throttle import Throttle, ThrottleLimits
from mqguard.guard.connection_throttle import CONNECTION_BURST, ConnectionThrottle
from mqguard.model.peer import Peer
from tests.fixtures.channels import channel


def peer(name, ip="10.1.2.3"):
    return Peer(ip, 4000, channel(name))


@pytest.fixture(name="throttle")
def a_throttle():
    """One failure is enough to slow a name at an address."""
    return ConnectionThrottle(Throttle(ThrottleLimits(pair_burst=1)))


def is_slowed(throttle, claimed, at, now_ms=0):
    try:
        throttle.check(claimed, at, now_ms)
    except AuthenticationFailed as failed:
        return failed.reason == "throttled"
    return False


def test_a_failure_slows_the_name_at_the_address_on_every_connection(throttle):
    throttle.failed("alice", peer("a"), 0)

    assert is_slowed(throttle, "alice", peer("a"))
    assert is_slowed(throttle, "alice", peer("b"))
    assert not is_slowed(throttle, "bob", peer("a"))
    assert not is_slowed(throttle, "alice", peer("a", "10.9.9.9"))
    assert not is_slowed(throttle, "", peer("a"))

    throttle.failed("", peer("a"), 0)
    assert is_slowed(throttle, "", peer("b"))


def test_a_connection_that_keeps_failing_is_slowed_for_every_name():
    throttle = ConnectionThrottle(Throttle(ThrottleLimits(pair_burst=1_000)))
    for number in range(CONNECTION_BURST):
        assert not is_slowed(throttle, "alice", peer("a"))
        throttle.failed(f"user-{number}", peer("a"), 0)

    assert is_slowed(throttle, "alice", peer("a"))
    assert not is_slowed(throttle, "alice", peer("b"))
    assert is_slowed(throttle, "alice", peer("a"), 990)
    assert not is_slowed(throttle, "alice", peer("a"), 1_010)


def test_the_failures_of_a_connection_have_a_maximum():
    throttle = ConnectionThrottle(Throttle(ThrottleLimits(pair_burst=1_000_000, address_burst=1_000_000)))
    for number in range(1_000):
        throttle.failed(f"user-{number}", peer("a"), 0)

    assert not is_slowed(throttle, "alice", peer("a"), 11_001)


def test_a_success_opens_nothing_for_the_name_that_failed(throttle):
    throttle.failed("alice", peer("a"), 0)
    throttle.succeeded("alice", "alice", peer("b"))

    assert is_slowed(throttle, "alice", peer("a"))
    assert peer("b").channel.user == "alice"


def test_long_claims_are_one_claim_from_their_maximum_length_on(throttle):
    """Names that a peer makes up must not fill the memory of failures."""
    throttle.failed("x" * 5_000, peer("a"), 0)

    assert is_slowed(throttle, "x" * 6_000, peer("a"))
