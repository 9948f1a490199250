"""Who counts as proven, what is slowed and what is forgiven."""

import dataclasses

import pytest

from mqguard.auth.user import UserStatus
from mqguard.guard import authenticate
from mqguard.guard.errors import Refused
from mqguard.guard.settings import GuardSettings, Strategy
from mqguard.model.peer import Peer
from mqguard.remoting.command import Command
from tests.unit.guard.world import ON, PEER, World, signed

STATEFUL = dataclasses.replace(ON, authentication_strategy=Strategy.STATEFUL)
RIGHT = signed(310, b="orders")
WRONG = signed(310, b="orders", secret="guess")


@pytest.fixture(name="world")
def a_world():
    world = World()
    world.allow("alice", "Topic:orders", "Pub")
    return world


def reason(world, command, peer=PEER):
    """Why a request is refused; None if it is let in."""
    try:
        world.admit(command, peer)
    except Refused as refused:
        return world.guard.refusals.find(refused.decision_id).reason
    return None


def beside(channel):
    """Another connection from the same address."""
    return Peer(PEER.ip, 4000, channel)


def keep_failing(world, command=WRONG, peer=PEER, times=15):
    return [reason(world, command, peer) for _ in range(times)][-1]


def test_what_may_be_a_guess_slows_down(world):
    """An unknown name, a wrong secret, no signature, a secret whose time is over."""
    world.metadata.update_user("alice", secret="new", keep_old_until=world.clock.ms - 1)
    guesses = {
        "wrong-signature": WRONG,
        "unknown-user": signed(310, b="orders", user="nobody"),
        "no-signature": Command(310, ext={"b": "orders", "AccessKey": "root"}),
        "expired-secret": RIGHT,
    }
    for channel, (expected, command) in enumerate(guesses.items()):
        peer = Peer(f"10.1.2.{channel}", 4000, f"c{channel}")
        assert reason(world, command, peer) == expected
        assert keep_failing(world, command, peer) == "throttled"


def test_what_guesses_nothing_does_not(world):
    """No name at all, nor a disabled user who signs rightly."""
    world.metadata.update_user("alice", status=UserStatus.DISABLE)

    assert keep_failing(world, Command(310, ext={"b": "orders"}), times=150) == "no-credentials"
    assert keep_failing(world, RIGHT, times=150) == "disabled"


def test_who_sends_no_name_hears_that_whatever_its_connection_has_failed(world):
    for number in range(20):
        assert keep_failing(world, signed(310, b="orders", user=f"guess-{number}")) == "throttled"

    assert reason(world, RIGHT) == "throttled", "so many failures slow the address, whoever is claimed"
    assert reason(world, Command(310, ext={"b": "orders"})) == "no-credentials"


def test_a_connection_that_has_proved_is_slowed_for_other_names_only(world):
    """What it fails itself as the user that it proved to be does not shut it out."""
    world.user("bob")
    world.admit(RIGHT)

    assert keep_failing(world, times=150) == "wrong-signature"
    assert reason(world, RIGHT) is None
    assert keep_failing(world, signed(310, b="orders", user="bob", secret="guess")) == "throttled"
    assert reason(world, RIGHT) is None


def test_only_the_first_proof_of_a_connection_forgives(world):
    """Else the owner's traffic would forgive a guesser beside it for ever."""
    world.admit(RIGHT)
    assert keep_failing(world, peer=beside("guesser")) == "throttled"

    world.admit(RIGHT)
    assert reason(world, WRONG, beside("guesser")) == "throttled"

    world.admit(RIGHT, beside("another of the owner"))
    assert reason(world, WRONG, beside("guesser")) == "wrong-signature"


def test_who_has_proved_is_remembered_within_bounds(world, monkeypatch):
    """At the limit everything is forgotten, and proved again; up to it nothing is."""
    monkeypatch.setattr(authenticate, "MOST_CHANNELS", 2)
    for channel in ("a", "b"):
        world.admit(RIGHT, beside(channel))
    assert [keep_failing(world, peer=beside(channel)) for channel in "ab"] == ["wrong-signature"] * 2

    world.admit(RIGHT, beside("c"))

    failed = [keep_failing(world, peer=beside(channel)) for channel in "abc"]
    assert failed == ["throttled", "throttled", "wrong-signature"]


def test_a_claim_is_believed_only_where_the_operator_says_so():
    """Without policies there is nothing that it could be trusted for."""
    world = World(GuardSettings(trust_claimed_user=True))

    assert world.admit(Command(25, ext={"AccessKey": "alice"})).identity is None


def test_how_many_connections_are_believed_and_how_long_are_the_operators_numbers():
    world = World(dataclasses.replace(STATEFUL, stateful_entries=1, stateful_ms=50))
    world.allow("alice", "Topic:orders", "Pub")
    for channel in ("a", "b"):
        world.admit(RIGHT, beside(channel))
    world.clock.ms += 49

    assert reason(world, WRONG, beside("a")) == "wrong-signature"
    assert reason(world, WRONG, beside("b")) is None


def test_a_secret_that_ends_in_this_very_millisecond_proves_nothing_for_the_next():
    world = World(STATEFUL)
    world.allow("alice", "Topic:orders", "Pub")
    world.metadata.update_user("alice", secret="new one", keep_old_until=world.clock.ms)
    world.admit(RIGHT)
    assert reason(world, WRONG) is None
    world.clock.ms += 1

    assert reason(world, WRONG) == "wrong-signature"
