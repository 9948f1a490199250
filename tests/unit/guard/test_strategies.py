"""The stateful strategy caches a connection for one version of the users, and decides as the stateless one."""

import pytest

from mqguard.auth.user import UserStatus
from mqguard.guard.admitted_request import Identity
from mqguard.guard.errors import GuardMisconfigured
from mqguard.guard.settings import GuardSettings, Strategy, parse_whitelist
from mqguard.model.peer import Channel, Peer
from mqguard.remoting.command import Command
from tests.unit.guard.world import PEER, World, signed

STATEFUL = GuardSettings(
    authentication_enabled=True,
    authorization_enabled=True,
    authentication_strategy=Strategy.STATEFUL,
    authorization_strategy=Strategy.STATEFUL,
)
ALICE = Identity("alice", "signature")


@pytest.fixture(name="world")
def a_stateful_world():
    world = World(STATEFUL)
    world.allow("alice", "Topic:orders", "Pub")
    return world


def altered(command):
    """Return the request with the signature of another one."""
    command.ext["Signature"] = "AAAAAAAAAAAAAAAAAAAAAAAAAAA="
    return command


def test_a_connection_that_has_authenticated_is_used(world):
    """That is what stateful means: the signature is verified once."""
    world.admit(signed(310, b="orders"))

    world.admit(altered(signed(310, b="orders")))


def test_another_connection_or_another_user_is_not_used(world):
    """An authentication is valid for one connection and one user."""
    world.admit(signed(310, b="orders"))

    world.refusal(altered(signed(310, b="orders")), Peer(PEER.ip, PEER.port, Channel("channel-2")))
    world.refusal(altered(signed(310, b="orders", user="root")))
    world.refusal(Command(310, ext={"b": "orders", "AccessKey": "alice"}))


def test_a_failure_is_not_cached(world):
    """A wrong signature spoils nothing for the right one that follows."""
    world.refusal(altered(signed(310, b="orders")))

    world.admit(signed(310, b="orders"))


@pytest.mark.parametrize("change", ["disable", "delete", "secret", "another"])
def test_any_change_of_users_ends_what_was_proved(world, change):
    """Disabling, deleting, a new secret: the next request sees it; any change needs a new signature."""
    world.admit(signed(310, b="orders"))
    if change == "disable":
        world.metadata.update_user("alice", status=UserStatus.DISABLE)
    elif change == "delete":
        world.metadata.delete_user("alice")
    elif change == "secret":
        world.metadata.update_user("alice", secret="another")
    else:
        world.user("bob")

    world.refusal(altered(signed(310, b="orders")))


def test_a_change_of_policies_is_seen_at_once(world):
    """An authorization is never older than the policies."""
    world.admit(signed(310, b="orders"))
    world.deny("alice", "Topic:orders", "Pub")

    assert "the decision is deny." in world.refusal(signed(310, b="orders")).message


def test_the_end_of_a_secret_ends_the_authentication(world):
    """A rotated secret is valid until its end, and so is its authentication."""
    world.metadata.update_user("alice", secret="new one", keep_old_until=world.clock.now + 5_000)
    world.admit(signed(310, b="orders"))
    world.clock.now += 5_000
    world.admit(altered(signed(310, b="orders")))
    world.clock.now += 1

    world.refusal(altered(signed(310, b="orders")))


def test_an_authentication_is_not_used_after_its_time(world):
    """`statefulAuthenticationCacheExpiredSecond`."""
    world.admit(signed(310, b="orders"))
    world.clock.now += STATEFUL.stateful_ms

    world.refusal(altered(signed(310, b="orders")))


def test_the_whitelist_leaves_nothing_behind():
    """A whitelisted request authenticates nothing for later ones."""
    world = World(
        GuardSettings(
            authentication_enabled=True,
            authorization_enabled=True,
            authentication_whitelist=frozenset({"105"}),
            authorization_whitelist=frozenset({"105"}),
            authentication_strategy=Strategy.STATEFUL,
            authorization_strategy=Strategy.STATEFUL,
        )
    )
    world.allow("alice", "Topic:orders", "Pub")
    world.admit(altered(signed(105, topic="orders")))
    world.admit(Command(105, ext={"topic": "orders", "AccessKey": "root"}))

    world.refusal(altered(signed(310, b="orders")))
    world.refusal(altered(signed(310, b="orders", user="root")))
    world.refusal(signed(12, topic="orders"))


@pytest.mark.parametrize(
    ("name", "strategy"),
    [
        ("", Strategy.STATELESS),
        (" Stateful ", Strategy.STATEFUL),
        ("StatefulAuthenticationStrategy", Strategy.STATEFUL),
        ("org.apache.rocketmq.auth.authorization.strategy.StatelessAuthorizationStrategy", Strategy.STATELESS),
    ],
)
def test_strategies_are_known_by_our_names_and_apaches(name, strategy):
    """Existing configuration files work unchanged."""
    assert Strategy.parse(name) is strategy


@pytest.mark.parametrize("name", ["stateful", "Statefull", "org.example.Mine"])
def test_an_unknown_strategy_does_not_start(name):
    """A strategy is never guessed."""
    with pytest.raises(GuardMisconfigured, match="unknown strategy"):
        Strategy.parse(name)


def test_a_whitelist_is_a_comma_list():
    """Trimmed, without empty items, compared exactly."""
    assert parse_whitelist(" 105, 310 ,,apache.rocketmq.v2.QueryRouteRequest,") == {
        "105",
        "310",
        "apache.rocketmq.v2.QueryRouteRequest",
    }
