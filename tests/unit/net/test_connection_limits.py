"""ConnectionLimits of a listener, and for whom room is made."""

import pytest

from mqguard.model.peer import Channel, Peer
from mqguard.net.connection_limits import ConnectionLimits
from tests.fixtures.memory import reachable_objects


class Visitor:
    """A connection as far as it is counted."""

    def __init__(self, ip: str) -> None:
        self.peer = Peer(ip, 1, Channel())
        self.is_counted = False
        self.block: str | None = None


def come(
    places: ConnectionLimits[Visitor], ip: str, *, is_anonymous: bool = True
) -> tuple[Visitor, str | None, list[Visitor]]:
    """Return the visitor, the reason to refuse it, and the dropped connections."""
    visitor = Visitor(ip)
    reason, first = places.enter(visitor)
    second = None
    if reason is None:
        reason, second = places.settle(visitor, is_anonymous=is_anonymous)
    return visitor, reason, [one for one in (first, second) if one is not None]


def test_connections_are_counted_in_and_out() -> None:
    places = ConnectionLimits[Visitor](2, 2)
    one, *_ = come(places, "a", is_anonymous=False)
    come(places, "b", is_anonymous=False)
    assert come(places, "c", is_anonymous=False)[1] == "2 connections are open"
    places.leave(one)
    places.leave(one)
    assert places.count == 1
    assert come(places, "c", is_anonymous=False)[1] is None


def test_addresses_are_counted_apart_and_networks_of_ipv6_together() -> None:
    places = ConnectionLimits[Visitor](10, 2)
    for ip in ("10.0.0.1", "10.0.0.2", "2001:db8::1", "2001:db8::2"):
        assert come(places, ip, is_anonymous=False)[1] is None
    assert come(places, "2001:db8::3", is_anonymous=False)[1] == "2 connections from 2001:db8::/64 are open"
    assert come(places, "2001:db8:0:1::3", is_anonymous=False)[1] is None


def test_an_address_that_left_is_forgotten() -> None:
    places = ConnectionLimits[Visitor](10, 2)
    before = reachable_objects(places)
    for number in range(100):
        visitor, *_ = come(places, str(number))
        places.leave(visitor)
    assert reachable_objects(places) == before


def test_the_oldest_connection_of_the_address_with_most_is_dropped() -> None:
    places = ConnectionLimits[Visitor](5, 5)
    come(places, "a")
    first, *_ = come(places, "b")
    for _ in range(2):
        come(places, "b")
    come(places, "c")
    newcomer, reason, gone = come(places, "d")
    assert (reason, gone) == (None, [first])
    assert places.count == 5
    assert not first.is_counted
    assert newcomer.is_counted


def test_an_authenticated_connection_is_not_dropped() -> None:
    places = ConnectionLimits[Visitor](3, 3)
    visitors = [come(places, "a")[0] for _ in range(3)]
    for visitor in visitors:
        places.authenticate(visitor, "u")
        places.authenticate(visitor, "u")
    assert come(places, "b")[1] == "3 connections are open"


@pytest.mark.parametrize("same", [True, False])
def test_anonymous_connections_may_be_half_of_many(same: bool) -> None:
    places = ConnectionLimits[Visitor](2_000, 2_000)
    gone = 0
    for number in range(1_500):
        _, reason, evicted = come(places, "a" if same else str(number))
        assert reason is None
        gone += len(evicted)
    assert gone == 500
    assert places.count == 1_000
    for _ in range(1_000):
        assert come(places, "b", is_anonymous=False)[2] == []


def test_an_address_full_of_anonymous_connections_replaces_its_oldest() -> None:
    places = ConnectionLimits[Visitor](10, 2)
    first, *_ = come(places, "a")
    come(places, "a")
    come(places, "b")
    _, reason, gone = come(places, "a")
    assert (reason, gone) == (None, [first])


def sign_in(places: ConnectionLimits[Visitor], ip: str, user: str) -> str | None:
    """Return the reason to refuse a new connection of a user, which then leaves."""
    visitor, reason, _ = come(places, ip)
    reason = places.authenticate(visitor, user) if reason is None else reason
    if reason is not None:
        places.leave(visitor)
    return reason


def test_one_user_on_many_addresses_leaves_connections_for_other_users() -> None:
    places = ConnectionLimits[Visitor](160, 40)
    taken = sum(sign_in(places, f"127.0.0.{number % 8}", "greedy") is None for number in range(400))
    assert taken == 140
    assert [sign_in(places, "10.0.0.1", "modest") for _ in range(5)] == [None] * 5
    assert sign_in(places, "10.0.0.2", "greedy") is not None


def test_one_user_leaves_connections_for_other_users_of_its_address() -> None:
    places = ConnectionLimits[Visitor](1600, 40)
    taken = sum(sign_in(places, "10.0.0.1", "greedy") is None for _ in range(100))
    assert taken == 35
    assert sign_in(places, "10.0.0.1", "modest") is None
    assert sign_in(places, "10.0.0.2", "greedy") is None


def test_users_that_left_are_forgotten() -> None:
    places = ConnectionLimits[Visitor](16, 16)
    before = reachable_objects(places)
    for number in range(100):
        visitor, *_ = come(places, str(number))
        assert places.authenticate(visitor, "first") is None
        assert places.authenticate(visitor, "second") is None
        places.leave(visitor)
    assert reachable_objects(places) == before
