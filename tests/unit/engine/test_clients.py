"""Connected clients, and the notifications of their groups."""

import itertools

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from mqguard.engine import clients as clients_module
from mqguard.engine.clients import CLIENT_LIFE_MS, Clients, RebalanceNotifications
from mqguard.engine.group_members import ConnectedClient, ConsumerHeartbeat, Subscription
from mqguard.model.peer import Peer
from tests.fixtures.links import channel


def peer(name):
    return Peer("127.0.0.1", 1, channel(name))


def client(name, peer, user=None):
    return ConnectedClient(name, peer, 0, 513, user)


def consuming(group="g", *subscriptions):
    return ConsumerHeartbeat(group, "CONSUME_PASSIVELY", "CLUSTERING", "CONSUME_FROM_LAST_OFFSET", tuple(subscriptions))


def sub(topic, expression="*", version=1):
    return Subscription(topic, expression, version=version)


def free_units(clients, limit):
    """Return how many units a new member can take."""
    probe = client("probe", peer("probe"))
    wanted = [sub(str(number)) for number in range(limit)]
    fitting = [n for n in range(limit) if clients.has_room(probe, (consuming("g0", *wanted[:n]),), ())]
    return 4 + max(fitting)


def test_a_first_heartbeat_changes_the_group_and_a_second_does_not():
    clients, connection = Clients(), peer("a")
    assert clients.consume(client("c1", connection), consuming("g", sub("t")), 0)
    assert not clients.consume(client("c1", connection), consuming("g", sub("t", version=2)), 1)
    assert clients.group("g").client_ids() == ["c1"]


def test_a_changed_subscription_changes_the_group_and_an_older_one_is_ignored():
    clients, connection = Clients(), peer("a")
    clients.consume(client("c1", connection), consuming("g", sub("t", "A", 5)), 0)
    assert clients.consume(client("c1", connection), consuming("g", sub("t", "B", 6)), 0)
    assert not clients.consume(client("c1", connection), consuming("g", sub("t", "A", 5)), 0)
    assert clients.subscription("g", "t").expression == "B"
    assert clients.consume(client("c1", connection), consuming("g", sub("u")), 0)
    assert clients.subscription("g", "t") is None
    assert clients.groups_of_topic("u") == ["g"]
    assert clients.subscription("unknown", "t") is None


def test_a_heartbeat_without_subscriptions_keeps_them():
    clients, connection = Clients(), peer("a")
    clients.consume(client("c1", connection), consuming("g", sub("t")), 0)
    without = ConsumerHeartbeat("g", "CONSUME_PASSIVELY", "CLUSTERING", "CONSUME_FROM_LAST_OFFSET", None)
    assert not clients.consume(client("c1", connection), without, 1)
    assert clients.subscription("g", "t") is not None


def test_a_client_cannot_unregister_one_of_another_connection():
    clients, mine, other = Clients(), peer("a"), peer("b")
    clients.consume(client("c1", mine), consuming("g", sub("t")), 0)
    clients.produce(client("c1", mine), "p", 0)
    assert not clients.stop_consuming(channel("b"), "c1", "g")
    assert not clients.stop_producing(other.channel, "c1", "p")
    assert not clients.stop_consuming(channel("a"), "c2", "g")
    assert clients.stop_consuming(channel("a"), "c1", "g")
    assert clients.group("g") is None
    assert clients.stop_producing(channel("a"), "c1", "p")
    assert clients.all_producers() == {}


def test_a_closed_connection_leaves_all_of_its_groups():
    clients, one, two = Clients(), peer("a"), peer("b")
    for group in ("g", "h"):
        clients.consume(client("c1", one), consuming(group, sub("t")), 0)
    clients.consume(client("c2", two), consuming("g", sub("t")), 0)
    clients.produce(client("c1", one), "p", 0)
    assert clients.leave(channel("a")) == ["g", "h"]
    assert clients.group("h") is None
    assert clients.group("g").client_ids() == ["c2"]
    assert clients.producers("p") == []
    assert clients.leave(channel("a")) == []


def test_clients_without_heartbeats_expire_and_their_connections_are_returned():
    clients, one, two = Clients(), peer("a"), peer("b")
    clients.consume(client("c1", one), consuming("g", sub("t")), 0)
    clients.consume(client("c2", two), consuming("g", sub("t")), CLIENT_LIFE_MS)
    assert clients.expire(CLIENT_LIFE_MS - 1) == ([], [])
    assert clients.expire(CLIENT_LIFE_MS) == (["g"], [one.channel])
    assert clients.group("g").client_ids() == ["c2"]


def test_one_call_checks_a_bounded_number_of_clients(monkeypatch):
    monkeypatch.setattr(clients_module, "MAX_SWEPT", 4)
    clients, peers = Clients(), [peer(f"w{number}") for number in range(10)]
    for connection in peers:
        clients.produce(client("c", connection), "p", 0)
    gone = []
    while not gone or clients.is_sweeping:
        _, expired = clients.expire(CLIENT_LIFE_MS)
        assert 0 < len(expired) <= 2
        gone += expired
    assert sorted(found.name for found in gone) == [f"w{number}" for number in range(10)]
    assert clients.all_producers() == {}


def test_a_connection_with_one_live_group_is_not_closed():
    clients, one = Clients(), peer("a")
    clients.consume(client("c1", one), consuming("g", sub("t")), 0)
    clients.produce(client("c1", one), "old", 0)
    clients.produce(client("c1", one), "p", CLIENT_LIFE_MS)
    assert clients.expire(CLIENT_LIFE_MS) == (["g"], [])
    assert list(clients.all_producers()) == ["p"]


def test_of_two_clients_of_one_user_with_one_id_the_latest_is_found():
    clients, one, two = Clients(), peer("a"), peer("b")
    clients.consume(client("c1", one), consuming("g"), 0)
    clients.consume(client("c1", two), consuming("g"), 1)
    assert clients.group("g").find("c1", None).peer is two
    assert clients.group("g").find("c9", None) is None
    assert clients.group("g").client_ids() == ["c1"]


def test_a_client_id_means_the_client_of_the_requesting_user():
    """For all other users it means the client of the user that has had it for longest."""
    clients, one, again, two = Clients(), peer("a"), peer("b"), peer("c")
    clients.consume(client("c1", one, "alice"), consuming("g"), 0)
    clients.consume(client("c1", two, "mallory"), consuming("g"), 1)
    clients.consume(client("c1", again, "alice"), consuming("g"), 2)
    clients.consume(client("c1", two, "mallory"), consuming("g"), 3)
    group = clients.group("g")
    found = [group.find("c1", user).peer for user in ("alice", "mallory", "root", None)]
    assert found == [again, two, again, again]


def test_the_subscriptions_of_a_member_are_its_own():
    clients, one, two = Clients(), peer("a"), peer("b")
    clients.consume(client("c1", one, "alice"), consuming("g", sub("t", "A", 1)), 0)
    assert clients.consume(client("c2", two, "mallory"), consuming("g", sub("t", "B", 2), sub("u")), 1)
    group = clients.group("g")
    assert clients.subscription("g", "t").expression == "B"
    assert group.consumer(one.channel, "alice").subscriptions["t"].expression == "A"
    assert group.consumer(channel("d"), "alice").subscriptions["t"].expression == "A"
    assert group.consumer(one.channel, "bob") is None

    assert clients.consume(client("c2", two, "mallory"), consuming("g"), 2)
    assert clients.subscription("g", "t").expression == "A"
    assert clients.subscription("g", "u") is None
    assert clients.groups_of_topic("t") == ["g"]


def test_equal_subscriptions_of_many_members_share_their_texts():
    clients, peers = Clients(), [peer(name) for name in "abc"]
    for number, connection in enumerate(peers):
        words = f"first || second {number}"
        clients.consume(client(f"c{number}", connection), consuming("g", sub("t", words[:15], number)), 0)
    kept = [member.subscriptions["t"] for member in clients.group("g").members.values()]
    assert len({id(one.expression) for one in kept}) == 1
    assert [one.version for one in kept] == [0, 1, 2]


def test_long_names_of_a_heartbeat_take_more_units():
    def fitting(name: str) -> int:
        clients, number = Clients(units=10_000), 0
        while clients.has_room(client("c", peer(str(number)), "u"), (), (name + str(number),)):
            clients.produce(client("c", peer(str(number)), "u"), name + str(number), 0)
            number += 1
        return number

    assert fitting("") == 2_500
    assert fitting("\N{GRINNING FACE}" * 240) < 600


@pytest.mark.parametrize(
    ("kind", "expression", "units"), [("TAG", "A", 1), ("TAG", "A||B||C", 3), ("SQL92", "a > 1 OR b > 1", 3)]
)
def test_filters_take_the_units_of_their_compiled_form(kind, expression, units):
    clients, connection = Clients(units=64), peer("a")
    clients.consume(client("c", connection), consuming("g", Subscription("t", expression, kind, version=1)), 0)
    assert free_units(clients, 64) == 64 - 4 - units


def test_a_heartbeat_takes_the_units_of_its_members_and_subscriptions():
    clients, connection = Clients(units=64), peer("a")
    wanted = consuming("g" * 100, sub("t", "x" * 100), sub("u"))
    assert clients.has_room(client("c" * 100, connection), (wanted,), ("p" * 100,))
    clients.consume(client("c" * 100, connection), wanted, 0)
    clients.produce(client("c" * 100, connection), "p" * 100, 0)
    assert free_units(clients, 64) == 64 - (4 + 3 + 2 + 1 + 4 + 3)
    clients.leave(channel("a"))
    assert free_units(clients, 64) == 64


def test_every_member_is_notified_once_the_new_one_too():
    clients, notices, peers = Clients(), RebalanceNotifications(), [peer(name) for name in "abc"]
    for number, connection in enumerate(peers):
        clients.consume(client(f"c{number}", connection), consuming("g", sub("t")), 0)
    notices.changed("g")
    notices.changed("g")
    assert bool(notices)
    assert [found.name for found, _ in notices.take(clients, 0)] == ["a", "b", "c"]
    assert not notices
    notices.changed("gone")
    assert list(notices.take(clients, 1)) == []


class ClientsAgainstModel(RuleBasedStateMachine):
    """Groups and channels compared with a dictionary of (kind, group, name of the channel) -> (client id, time)."""

    def __init__(self):
        super().__init__()
        self.clients = Clients(units=100)
        self.model: dict = {}
        self.now = 0

    @rule(connection=st.sampled_from("abc"), group=st.sampled_from("gh"), name=st.sampled_from(["c1", "c2"]))
    def consume(self, connection, group, name):
        self.clients.consume(client(name, peer(connection)), consuming(group, sub("t")), self.now)
        self.model["consume", group, connection] = (name, self.now)

    @rule(connection=st.sampled_from("abc"), group=st.sampled_from("gh"), name=st.sampled_from(["c1", "c2"]))
    def produce(self, connection, group, name):
        self.clients.produce(client(name, peer(connection)), group, self.now)
        self.model["produce", group, connection] = (name, self.now)

    @rule(connection=st.sampled_from("abc"), group=st.sampled_from("gh"), name=st.sampled_from(["c1", "c2"]))
    def stop(self, connection, group, name):
        key = ("consume", group, connection)
        known = self.model.get(key, ("",))[0] == name
        assert self.clients.stop_consuming(channel(connection), name, group) == known
        if known:
            del self.model[key]

    @rule(connection=st.sampled_from("abc"))
    def leave(self, connection):
        expected = sorted(group for kind, group, at in self.model if kind == "consume" and at == connection)
        assert self.clients.leave(channel(connection)) == expected
        self.model = {key: value for key, value in self.model.items() if key[2] != connection}

    @rule(step=st.sampled_from([1, CLIENT_LIFE_MS // 2, CLIENT_LIFE_MS]))
    def expire(self, step):
        self.now += step
        changed, _ = self.clients.expire(self.now)
        dead = {key for key, (_, at) in self.model.items() if self.now - at >= CLIENT_LIFE_MS}
        assert changed == sorted({group for kind, group, _ in dead if kind == "consume"})
        for key in dead:
            del self.model[key]

    @invariant()
    def agree(self):
        for group, connection in itertools.product("gh", "abc"):
            found = self.clients.group(group)
            member = found.members.get(channel(connection)) if found else None
            expected = self.model.get(("consume", group, connection))
            assert (member.client.client_id if member else None) == (expected[0] if expected else None)
        used = sum(5 if key[0] == "consume" else 4 for key in self.model)
        assert free_units(self.clients, 100) == 100 - used
        for group, connection in itertools.product("gh", "abc"):
            produced = {m.client.peer.channel.name for m in self.clients.producers(group)}
            assert (connection in produced) == (("produce", group, connection) in self.model)


TestClientsAgainstModel = ClientsAgainstModel.TestCase


def test_a_duplicate_has_the_same_user_and_id_and_sent_a_heartbeat_since():
    clients = Clients()
    one, two = client("c", peer("a"), "alice"), client("c", peer("b"), "alice")
    for name, user in (("c", "bob"), ("d", "alice")):
        clients.consume(client(name, peer("x"), user), consuming(), 9)
    clients.consume(one, consuming(), 0)
    assert clients.duplicate_of(one, "g") is None
    assert clients.duplicate_of(two, "g") is None
    clients.consume(two, consuming(), 5)
    assert clients.duplicate_of(one, "g") is two
    assert clients.duplicate_of(two, "g") is None
    clients.consume(one, consuming(), 10)
    assert clients.duplicate_of(two, "g") is one
    clients.consume(client("e", two.peer, "alice"), consuming(), 20)
    assert clients.duplicate_of(one, "g") is None
    clients.consume(two, consuming(), 30)
    clients.leave(two.peer.channel)
    assert clients.duplicate_of(one, "g") is None
