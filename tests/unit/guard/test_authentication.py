"""Authentication: credentials, what a connection may keep of them, and the throttle of failed attempts."""

import dataclasses

import pytest

from mqguard.auth.errors import AuthenticationFailed
from mqguard.auth.throttle import Throttle, ThrottleLimits
from mqguard.auth.user import UserStatus
from mqguard.dispatch import admission
from mqguard.guard.admitted_request import Identity
from mqguard.guard.authentication import (
    CONNECTION_BURST,
    AuthenticationCache,
    ChannelAuthentication,
    ConnectionThrottle,
    authentication_of,
)
from mqguard.guard.errors import Refused
from mqguard.guard.settings import GuardSettings, Strategy
from mqguard.model.peer import Channel, Peer
from mqguard.remoting.command import Command
from tests.fixtures.links import channel
from tests.unit.guard.world import ON, PEER, World, signed

STATEFUL = dataclasses.replace(ON, authentication_strategy=Strategy.STATEFUL)
RIGHT = signed(310, b="orders")
WRONG = signed(310, b="orders", secret="guess")


def reason(world, command, peer=PEER):
    """Return the reason for a denial; None if the request is admitted."""
    try:
        world.admit(command, peer)
    except Refused as refused:
        return world.guard.denials.find(refused.decision_id).event.reason
    return None


def beside(name):
    """Another connection from the same address."""
    return Peer(PEER.ip, 4000, channel(name))


def keep_failing(world, command=WRONG, peer=PEER, times=15):
    return [reason(world, command, peer) for _ in range(times)][-1]


def test_what_may_be_a_guess_slows_down(world):
    """An unknown name, a wrong secret, no signature, a secret whose time is over."""
    world.metadata.update_user("alice", secret="new", keep_old_until=world.clock.now - 1)
    guesses = {
        "wrong-signature": WRONG,
        "unknown-user": signed(310, b="orders", user="nobody"),
        "no-signature": Command(310, ext={"b": "orders", "AccessKey": "root"}),
        "expired-secret": RIGHT,
    }
    for number, (expected, command) in enumerate(guesses.items()):
        peer = Peer(f"10.1.2.{number}", 4000, channel(f"c{number}"))
        assert reason(world, command, peer) == expected
        assert keep_failing(world, command, peer) == "throttled"


def test_what_guesses_nothing_does_not(world):
    """No name at all, nor a disabled user who signs rightly."""
    world.metadata.update_user("alice", status=UserStatus.DISABLE)

    assert keep_failing(world, Command(310, ext={"b": "orders"}), times=150) == "no-credentials"
    assert keep_failing(world, RIGHT, times=150) == "disabled"


def test_a_request_without_a_name_is_not_throttled(world):
    for number in range(20):
        keep_failing(world, signed(310, b="orders", user=f"guess-{number}"), beside(f"guesser-{number}"))

    assert reason(world, RIGHT, beside("newcomer")) == "throttled", "the address has no room for a further failure"
    assert reason(world, Command(310, ext={"b": "orders"})) == "no-credentials"


def test_a_connection_that_has_proved_is_slowed_for_other_names_only(world):
    """Its own failures as the authenticated user do not exclude it."""
    world.user("bob")
    world.admit(RIGHT)

    assert keep_failing(world, times=150) == "wrong-signature"
    assert reason(world, RIGHT) is None
    assert keep_failing(world, signed(310, b="orders", user="bob", secret="guess")) == "throttled"
    assert reason(world, RIGHT) is None


def test_a_success_at_the_same_address_does_not_help_the_guesser(world):
    """Otherwise the traffic of the owner would reset the counts for an attacker at the same address."""
    world.admit(RIGHT)
    assert keep_failing(world, peer=beside("guesser")) == "throttled"

    world.admit(RIGHT)
    world.admit(RIGHT, beside("another of the owner"))

    assert reason(world, WRONG, beside("guesser")) == "throttled"


def test_guesses_over_new_connections_are_slowed(world):
    """A guess costs a connection, and that is not enough: 2,000 guesses at once are not verified."""
    reasons = [reason(world, WRONG, Peer(PEER.ip, 1, Channel())) for _ in range(2_000)]

    assert reasons.count("wrong-signature") <= 60
    assert set(reasons) == {"wrong-signature", "throttled"}


def test_failures_under_other_names_lock_no_user_out(world):
    """Users share addresses: behind a balancer, in a Kubernetes node, on a jump host."""
    world.admit(RIGHT, beside("before"))
    for number in range(3_000):
        reason(world, signed(310, b="orders", user=f"x{number % 100}"), Peer(PEER.ip, 1, Channel()))

    assert [reason(world, RIGHT, Peer(PEER.ip, 1, Channel())) for _ in range(20)] == [None] * 20


def test_an_address_is_open_again_seconds_after_an_attack(world):
    """The counts have a maximum, so a long attack does not exclude users for long."""
    for _ in range(20_000):
        reason(world, WRONG, Peer(PEER.ip, 1, Channel()))
        world.clock.now += 1

    assert reason(world, RIGHT, Peer(PEER.ip, 1, Channel())) == "throttled"
    world.clock.now += 2_100
    assert reason(world, RIGHT, Peer(PEER.ip, 1, Channel())) is None


def test_a_changed_user_is_verified_anew_within_the_same_bounds(world):
    """A connection that knew the old secret may not guess the new one without a limit."""
    world.admit(RIGHT)
    world.metadata.update_user("alice", secret="new one")

    assert keep_failing(world, times=150) == "throttled"
    world.clock.now += 15_000
    assert reason(world, signed(310, b="orders", secret="new one")) is None


def test_the_failures_of_one_connection_end_soon(world):
    assert keep_failing(world, times=500) == "throttled"
    world.clock.now += 11_000
    assert reason(world, RIGHT) is None


def test_a_claim_is_trusted_only_where_the_operator_says_so():
    """Without policies there is nothing that it could be trusted for."""
    world = World(GuardSettings(trust_claimed_user=True))

    assert world.admit(Command(25, ext={"AccessKey": "alice"})).identity is None


def test_how_long_an_authentication_is_cached_is_the_number_of_the_operator():
    world = World(dataclasses.replace(STATEFUL, stateful_ms=50))
    world.allow("alice", "Topic:orders", "Pub")
    world.admit(RIGHT)
    world.clock.now += 49
    assert reason(world, WRONG) is None
    world.clock.now += 1
    assert reason(world, WRONG) == "wrong-signature"


def test_a_connection_of_another_listener_is_another_connection():
    """Listeners number their connections alike, and one guard serves them all."""
    world = World(STATEFUL)
    world.admit(signed(3005, user="root"), Peer(PEER.ip, 1, Channel("00000007")))

    forged = signed(3005, user="root", secret="guess")

    assert reason(world, forged, Peer(PEER.ip, 2, Channel("00000007"))) == "wrong-signature"


def test_a_secret_that_ends_in_this_millisecond_is_not_valid_in_the_next():
    world = World(STATEFUL)
    world.allow("alice", "Topic:orders", "Pub")
    world.metadata.update_user("alice", secret="new one", keep_old_until=world.clock.now)
    world.admit(RIGHT)
    assert reason(world, WRONG) is None
    world.clock.now += 1

    assert reason(world, WRONG) == "wrong-signature"


def test_what_shows_no_signature_is_not_worth_sorting(world, monkeypatch):
    """Very many fields are sorted only for a request that shows credentials, whether there is such a user or not."""
    built = []
    monkeypatch.setattr(admission, "signed_content", lambda ext, *_: built.append(len(ext)) or b"")
    fields = {f"f{number}": "" for number in range(1_000)} | {"SecurityToken": "t"}

    for shown in (
        {},
        {"AccessKey": "alice"},
        {"AccessKey": "nobody"},
        {"Signature": "s"},
        {"AccessKey": "alice", "Signature": ""},
    ):
        assert reason(world, Command(310, ext={**fields, **shown}))
    assert built == []
    for name in ("alice", "nobody"):
        assert reason(world, Command(310, ext={**fields, "AccessKey": name, "Signature": "s"}))
    assert built == [1_003, 1_002, 1_003, 1_002]


ALICE, BOB = Identity("alice", "signature"), Identity("bob", "signature")
CACHE = AuthenticationCache(keep_ms=1_000, limit=2)


@pytest.fixture(name="state")
def a_state_with_alice():
    state = ChannelAuthentication("a", object())
    CACHE.add(state, ALICE, version=0, now_ms=0, not_after=None)
    return state


def test_a_new_connection_has_no_user():
    for version in (0, 1):
        assert CACHE.find(ChannelAuthentication("a", object()), "alice", version, 0, 0) is None


def test_an_authentication_is_valid_for_one_connection_and_one_user(state):
    assert CACHE.find(state, "alice", 0, 0, 0) is ALICE
    assert CACHE.find(ChannelAuthentication("a", state.owner), "alice", 0, 0, 0) is None
    assert CACHE.find(state, "bob", 0, 0, 0) is None


def test_an_authentication_of_another_version_is_not_used(state):
    assert [CACHE.find(state, "alice", 1, 0, 0) for _ in range(2)] == [None, None]
    assert CACHE.find(state, "alice", 0, 0, 0) is None


def test_an_authentication_with_a_new_version_ends_all_of_the_old_one(state):
    CACHE.add(state, BOB, version=1, now_ms=0, not_after=None)

    assert CACHE.find(state, "bob", 1, 0, 0) is BOB
    assert CACHE.find(state, "alice", 1, 0, 0) is None


@pytest.mark.parametrize(("not_after", "last"), [(None, 999), (998, 998), (999, 999), (5_000, 999), (0, 0), (-1, -1)])
def test_an_authentication_ends_with_its_time_or_with_the_secret(not_after, last):
    """The secret is valid at its end, and not after it."""
    state = ChannelAuthentication("a", object())
    CACHE.add(state, ALICE, version=0, now_ms=0, not_after=not_after)

    assert CACHE.find(state, "alice", 0, last, last) is ALICE
    assert CACHE.find(state, "alice", 0, last + 1, last + 1) is None


@pytest.mark.parametrize("jump", [3_600_000, -3_600_000])
def test_an_authentication_ends_at_its_time_whatever_the_date_is(jump):
    state = ChannelAuthentication("a", object())
    CACHE.add(state, ALICE, version=0, now_ms=0, not_after=None)
    assert CACHE.find(state, "alice", 0, 999, jump) is ALICE
    assert CACHE.find(state, "alice", 0, 1_000, jump) is None


def test_the_number_of_users_of_one_connection_is_bounded(state):
    CACHE.add(state, BOB, version=0, now_ms=0, not_after=None)
    assert (CACHE.find(state, "alice", 0, 0, 0), CACHE.find(state, "bob", 0, 0, 0)) == (ALICE, BOB)

    CACHE.add(state, Identity("carol", "signature"), version=0, now_ms=0, not_after=None)

    assert len(state.cached) <= 2
    assert CACHE.find(state, "alice", 0, 0, 0) is None


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


def peer(name, ip="10.1.2.3"):
    return Peer(ip, 4000, channel(name))


@pytest.fixture(name="throttle")
def a_throttle():
    """Return a throttle that one failure is enough to slow a name at an address."""
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
