"""Live clients, and who must be told of them."""

import itertools

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from mqguard.engine import clients as clients_module
from mqguard.engine.clients import CLIENT_LIFE_MS, Clients, Notices
from mqguard.engine.group_members import Client, ConsumerHeartbeat, Subscription
from tests.fixtures.links import RecordingLink, channel


def client(name, link, user=None):
    return Client(name, link, 0, 513, user)


def consuming(group="g", *subscriptions):
    return ConsumerHeartbeat(group, "CONSUME_PASSIVELY", "CLUSTERING", "CONSUME_FROM_LAST_OFFSET", tuple(subscriptions))


def sub(topic, expression="*", version=1):
    return Subscription(topic, expression, version=version)


def test_a_first_heartbeat_changes_the_group_and_a_second_does_not():
    clients, link = Clients(), RecordingLink("a")
    assert clients.consume(client("c1", link), consuming("g", sub("t")), 0)
    assert not clients.consume(client("c1", link), consuming("g", sub("t", version=2)), 1)
    assert clients.group("g").client_ids() == ["c1"]


def test_a_changed_subscription_is_told_and_an_older_one_ignored():
    clients, link = Clients(), RecordingLink("a")
    clients.consume(client("c1", link), consuming("g", sub("t", "A", 5)), 0)
    assert clients.consume(client("c1", link), consuming("g", sub("t", "B", 6)), 0)
    assert not clients.consume(client("c1", link), consuming("g", sub("t", "A", 5)), 0)
    assert clients.subscription("g", "t").expression == "B"
    assert clients.consume(client("c1", link), consuming("g", sub("u")), 0)
    assert clients.subscription("g", "t") is None
    assert clients.groups_of_topic("u") == ["g"]
    assert clients.subscription("unknown", "t") is None


def test_a_heartbeat_without_subscriptions_keeps_them():
    clients, link = Clients(), RecordingLink("a")
    clients.consume(client("c1", link), consuming("g", sub("t")), 0)
    silent = ConsumerHeartbeat("g", "CONSUME_PASSIVELY", "CLUSTERING", "CONSUME_FROM_LAST_OFFSET", None)
    assert not clients.consume(client("c1", link), silent, 1)
    assert clients.subscription("g", "t") is not None


def test_nobody_unregisters_a_client_of_another_connection():
    clients, mine, other = Clients(), RecordingLink("a"), RecordingLink("b")
    clients.consume(client("c1", mine), consuming("g", sub("t")), 0)
    clients.produce(client("c1", mine), "p", 0)
    assert not clients.stop_consuming(channel("b"), "c1", "g")
    assert not clients.stop_producing(other.peer.channel, "c1", "p")
    assert not clients.stop_consuming(channel("a"), "c2", "g")
    assert clients.stop_consuming(channel("a"), "c1", "g")
    assert clients.group("g") is None
    assert clients.stop_producing(channel("a"), "c1", "p")
    assert clients.all_producers() == {}


def test_a_closed_connection_takes_everything_with_it():
    clients, one, two = Clients(), RecordingLink("a"), RecordingLink("b")
    for group in ("g", "h"):
        clients.consume(client("c1", one), consuming(group, sub("t")), 0)
    clients.consume(client("c2", two), consuming("g", sub("t")), 0)
    clients.produce(client("c1", one), "p", 0)
    assert clients.leave(channel("a")) == ["g", "h"]
    assert clients.group("h") is None
    assert clients.group("g").client_ids() == ["c2"]
    assert clients.producers("p") == []
    assert clients.leave(channel("a")) == []


def test_silent_clients_expire_and_their_connection_is_closed():
    clients, one, two = Clients(), RecordingLink("a"), RecordingLink("b")
    clients.consume(client("c1", one), consuming("g", sub("t")), 0)
    clients.consume(client("c2", two), consuming("g", sub("t")), CLIENT_LIFE_MS)
    assert clients.expire(CLIENT_LIFE_MS - 1) == ([], [])
    assert clients.expire(CLIENT_LIFE_MS) == (["g"], [one])
    assert clients.group("g").client_ids() == ["c2"]


def test_silent_clients_are_looked_for_a_piece_at_a_time(monkeypatch):
    monkeypatch.setattr(clients_module, "_MAX_SWEPT", 4)
    clients, links = Clients(), [RecordingLink(f"w{number}") for number in range(10)]
    for link in links:
        clients.produce(client("c", link), "p", 0)
    gone = []
    while not gone or clients.is_sweeping:
        _, silent = clients.expire(CLIENT_LIFE_MS)
        assert 0 < len(silent) <= 2
        gone += silent
    assert sorted(link.peer.channel.name for link in gone) == [f"w{number}" for number in range(10)]
    assert clients.all_producers() == {}


def test_a_connection_with_one_live_group_is_not_closed():
    clients, one = Clients(), RecordingLink("a")
    clients.consume(client("c1", one), consuming("g", sub("t")), 0)
    clients.produce(client("c1", one), "old", 0)
    clients.produce(client("c1", one), "p", CLIENT_LIFE_MS)
    assert clients.expire(CLIENT_LIFE_MS) == (["g"], [])
    assert list(clients.all_producers()) == ["p"]


def test_of_two_clients_of_one_user_with_one_id_the_latest_is_found():
    clients, one, two = Clients(), RecordingLink("a"), RecordingLink("b")
    clients.consume(client("c1", one), consuming("g"), 0)
    clients.consume(client("c1", two), consuming("g"), 1)
    assert clients.group("g").find("c1", None).link is two
    assert clients.group("g").find("c9", None) is None
    assert clients.group("g").client_ids() == ["c1"]


def test_a_client_id_means_the_client_of_the_user_who_asks():
    """To everybody else it means that of the user who has had it for longest."""
    clients, one, again, two = Clients(), RecordingLink("a"), RecordingLink("b"), RecordingLink("c")
    clients.consume(client("c1", one, "alice"), consuming("g"), 0)
    clients.consume(client("c1", two, "mallory"), consuming("g"), 1)
    clients.consume(client("c1", again, "alice"), consuming("g"), 2)
    clients.consume(client("c1", two, "mallory"), consuming("g"), 3)
    group = clients.group("g")
    links = [group.find("c1", user).link for user in ("alice", "mallory", "root", None)]
    assert links == [again, two, again, again]


def test_the_subscriptions_of_a_member_are_its_own():
    clients, one, two = Clients(), RecordingLink("a"), RecordingLink("b")
    clients.consume(client("c1", one, "alice"), consuming("g", sub("t", "A", 1)), 0)
    assert clients.consume(client("c2", two, "mallory"), consuming("g", sub("t", "B", 2), sub("u")), 1)
    group = clients.group("g")
    assert clients.subscription("g", "t").expression == "B"
    assert group.consumer(one.peer.channel, "alice").subscriptions["t"].expression == "A"
    assert group.consumer(RecordingLink("d").peer.channel, "alice").subscriptions["t"].expression == "A"
    assert group.consumer(one.peer.channel, "bob") is None

    assert clients.consume(client("c2", two, "mallory"), consuming("g"), 2)
    assert clients.subscription("g", "t").expression == "A"
    assert clients.subscription("g", "u") is None
    assert clients.groups_of_topic("t") == ["g"]


def test_equal_subscriptions_of_many_members_share_their_texts():
    clients, links = Clients(), [RecordingLink(name) for name in "abc"]
    for number, link in enumerate(links):
        words = f"first || second {number}"
        clients.consume(client(f"c{number}", link), consuming("g", sub("t", words[:15], number)), 0)
    kept = [member.subscriptions["t"] for member in clients.group("g").members.values()]
    assert len({id(one.expression) for one in kept}) == 1
    assert [one.version for one in kept] == [0, 1, 2]


def test_long_names_of_a_heartbeat_take_more_places():
    def fitting(name: str) -> int:
        clients, number = Clients(places=10_000), 0
        while clients.has_room(client("c", RecordingLink(str(number)), "u"), (), (name + str(number),)):
            clients.produce(client("c", RecordingLink(str(number)), "u"), name + str(number), 0)
            number += 1
        return number

    assert fitting("") == 2_500
    assert fitting("\N{GRINNING FACE}" * 240) < 600


def test_the_places_of_a_heartbeat_are_those_that_it_takes():
    clients, link = Clients(places=64), RecordingLink("a")
    wanted = consuming("g" * 100, sub("t", "x" * 100), sub("u"))
    assert clients.has_room(client("c" * 100, link), (wanted,), ("p" * 100,))
    clients.consume(client("c" * 100, link), wanted, 0)
    clients.produce(client("c" * 100, link), "p" * 100, 0)
    assert len(clients._shares) == 4 + 3 + 2 + 1 + 4 + 3
    clients.leave(channel("a"))
    assert len(clients._shares) == 0


def test_every_member_is_told_once_the_newcomer_too():
    clients, notices, links = Clients(), Notices(), [RecordingLink(name) for name in "abc"]
    for number, link in enumerate(links):
        clients.consume(client(f"c{number}", link), consuming("g", sub("t")), 0)
    notices.changed("g")
    notices.changed("g")
    assert bool(notices)
    assert [link.peer.channel.name for link, _ in notices.take(clients, 0)] == ["a", "b", "c"]
    assert not notices
    notices.changed("gone")
    assert list(notices.take(clients, 1)) == []


class ClientsAgainstModel(RuleBasedStateMachine):
    """Groups and channels against one flat dictionary (group, name of the channel) -> (client id, time)."""

    def __init__(self):
        super().__init__()
        self.clients = Clients()
        self.links = {name: RecordingLink(name) for name in "abc"}
        self.model: dict = {}
        self.now = 0

    @rule(link=st.sampled_from("abc"), group=st.sampled_from("gh"), name=st.sampled_from(["c1", "c2"]))
    def consume(self, link, group, name):
        self.clients.consume(client(name, self.links[link]), consuming(group, sub("t")), self.now)
        self.model["consume", group, link] = (name, self.now)

    @rule(link=st.sampled_from("abc"), group=st.sampled_from("gh"), name=st.sampled_from(["c1", "c2"]))
    def produce(self, link, group, name):
        self.clients.produce(client(name, self.links[link]), group, self.now)
        self.model["produce", group, link] = (name, self.now)

    @rule(link=st.sampled_from("abc"), group=st.sampled_from("gh"), name=st.sampled_from(["c1", "c2"]))
    def stop(self, link, group, name):
        key = ("consume", group, link)
        known = self.model.get(key, ("",))[0] == name
        assert self.clients.stop_consuming(channel(link), name, group) == known
        if known:
            del self.model[key]

    @rule(link=st.sampled_from("abc"))
    def leave(self, link):
        expected = sorted(group for kind, group, at in self.model if kind == "consume" and at == link)
        assert self.clients.leave(channel(link)) == expected
        self.model = {key: value for key, value in self.model.items() if key[2] != link}

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
        for group, link in itertools.product("gh", "abc"):
            found = self.clients.group(group)
            member = found.members.get(channel(link)) if found else None
            expected = self.model.get(("consume", group, link))
            assert (member.client.client_id if member else None) == (expected[0] if expected else None)
        assert len(self.clients._shares) == sum(5 if key[0] == "consume" else 4 for key in self.model)
        for group, link in itertools.product("gh", "abc"):
            produced = {m.client.link.peer.channel.name for m in self.clients.producers(group)}
            assert (link in produced) == (("produce", group, link) in self.model)


TestClientsAgainstModel = ClientsAgainstModel.TestCase
