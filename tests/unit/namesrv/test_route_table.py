"""The route table."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from mqguard.model.topic import DataVersion, TopicConfig
from mqguard.namesrv.route_table import (
    BROKER_LIFE_MS,
    BrokerRoute,
    QueueLayout,
    Registration,
    RouteTable,
    in_zone,
)

LAYOUT = QueueLayout(4, 4, 6)


def topics(*names, **more):
    return [TopicConfig(name, 4, 4, **more) for name in names]


def registration(broker="b", address="1.1.1.1:1", broker_id=0, cluster="C", **more):
    return Registration(cluster=cluster, broker=broker, address=address, broker_id=broker_id, **more)


def test_an_announced_topic_is_routed_at_once_and_a_withdrawn_one_is_removed():
    table = RouteTable()
    table.announce("C", "b", "1.1.1.1:1", topics("t", "u"))
    route = table.route("t")
    assert route.queues == {"b": LAYOUT}
    assert route.brokers == [BrokerRoute("C", "b", {0: "1.1.1.1:1"}, acting_master=False, zone=None)]
    table.announce("C", "b", "1.1.1.1:1", topics("u"))
    assert table.route("t") is None
    assert table.topics() == ["u"]
    assert table.expire(10**15) == []


def test_a_remote_broker_expires_without_a_heartbeat():
    table = RouteTable()
    table.register(registration(topics={"t": LAYOUT}), 0)
    assert table.renew("1.1.1.1:1", 1)
    assert table.expire(BROKER_LIFE_MS) == []
    assert table.expire(BROKER_LIFE_MS + 1) == ["1.1.1.1:1"]
    assert table.route("t") is None
    assert table.clusters() == {}
    assert not table.renew("1.1.1.1:1", 2)


def test_a_broker_is_removed_with_its_connection():
    table = RouteTable()
    table.register(registration(channel="x", topics={"t": LAYOUT}), 0)
    assert table.leave("y") == []
    assert table.leave("x") == ["1.1.1.1:1"]
    assert table.topics() == []


def test_a_registration_adds_topics_and_removes_none():
    table = RouteTable()
    table.register(registration(topics={"t": LAYOUT}, version=DataVersion(1)), 0)
    table.register(registration(topics={"u": LAYOUT}, version=DataVersion(2)), 0)
    table.register(registration(topics=None, version=DataVersion(2)), 0)
    assert table.topics() == ["t", "u"]
    assert table.version_of("1.1.1.1:1") == DataVersion(2)
    assert table.version_of("9.9.9.9:9") is None


def test_a_slave_gets_the_address_of_its_master_and_adds_no_topics():
    table = RouteTable()
    assert table.register(registration(ha_address="1.1.1.1:2"), 0) == ("", "")
    slave = registration(address="2.2.2.2:1", broker_id=1, topics={"t": LAYOUT})
    assert table.register(slave, 0) == ("1.1.1.1:1", "1.1.1.1:2")
    assert table.topics() == []
    assert table.broker("b").addresses == {0: "1.1.1.1:1", 1: "2.2.2.2:1"}
    assert table.broker("nobody") is None


def test_an_address_has_one_broker_and_a_broker_id_one_address():
    table = RouteTable()
    table.register(registration(topics={"t": LAYOUT}), 0)
    table.register(registration(address="2.2.2.2:1"), 0)
    assert table.broker("b").addresses == {0: "2.2.2.2:1"}
    table.register(registration(broker="other", address="2.2.2.2:1"), 0)
    assert table.broker("b") is None
    assert table.topics() == []
    table.register(registration(broker="other", address="2.2.2.2:1", broker_id=3), 0)
    assert table.broker("other").addresses == {3: "2.2.2.2:1"}


def test_a_broker_unregisters_with_its_own_name_only():
    table = RouteTable()
    table.register(registration(), 0)
    assert not table.unregister("other", "1.1.1.1:1")
    assert table.unregister("b", "1.1.1.1:1")
    assert not table.unregister("b", "1.1.1.1:1")


def test_a_hidden_broker_stays_hidden_until_it_is_shown_again():
    table = RouteTable()
    table.announce("C", "b", "1.1.1.1:1", [*topics("t"), TopicConfig("r", 1, 1, 4)])
    assert table.forbid_writes("b") == 2
    assert table.route("t").queues["b"].perm == 4
    table.announce("C", "b", "1.1.1.1:1", [*topics("t"), TopicConfig("r", 1, 1, 4)])
    assert table.route("t").queues["b"].perm == 4
    assert table.permit_writes("b") == 2
    assert table.route("t").queues["b"].perm == 6
    assert table.route("r").queues["b"].perm == 4
    assert table.forbid_writes("nobody") == 0


def test_a_new_broker_with_the_name_of_a_hidden_one_is_shown():
    table = RouteTable()
    for _ in range(2):
        table.register(registration(topics={"t": LAYOUT}), 0)
        assert table.route("t").queues == {"b": LAYOUT}
        table.forbid_writes("b")
        table.unregister("b", "1.1.1.1:1")


def test_topics_are_found_by_cluster_and_flag():
    table = RouteTable()
    table.announce("C", "b", "1.1.1.1:1", [*topics("t"), TopicConfig("unit", 1, 1, sys_flag=1)])
    table.announce("D", "d", "2.2.2.2:1", topics("t", "u"))
    assert table.topics_of("D") == ["t", "u"]
    assert table.topics_flagged(lambda flag: bool(flag & 1)) == ["unit"]
    assert table.clusters() == {"C": ["b"], "D": ["d"]}
    table.delete_topic("t", "D")
    assert list(table.route("t").queues) == ["b"]
    table.delete_topic("t")
    assert table.route("t") is None
    table.delete_topic("t")


def test_a_topic_is_added_to_registered_brokers_only():
    table = RouteTable()
    table.register(registration(), 0)
    table.place("t", {"b": LAYOUT, "ghost": LAYOUT})
    assert list(table.route("t").queues) == ["b"]


def test_a_zone_selects_its_own_brokers_and_those_without_a_master():
    near = BrokerRoute("C", "near", {0: "1"}, acting_master=False, zone="Z1")
    far = BrokerRoute("C", "far", {0: "2"}, acting_master=False, zone="z2")
    orphan = BrokerRoute("C", "orphan", {1: "3"}, acting_master=False, zone="z2")
    assert in_zone([near, far, orphan], "z1") == [near, orphan]


NAMES = st.sampled_from(["b1", "b2"])
ADDRESSES = st.sampled_from(["1:1", "2:2", "3:3"])
TOPICS = st.sets(st.sampled_from(["t", "u", "v"]))


class RoutesAgainstInvariants(RuleBasedStateMachine):
    """After any sequence of changes, the parts of the table agree."""

    def __init__(self):
        super().__init__()
        self.table = RouteTable()
        self.now = 0

    @rule(broker=NAMES, address=ADDRESSES, broker_id=st.integers(0, 1), topics=st.none() | TOPICS)
    def register(self, broker, address, broker_id, topics):
        shapes = None if topics is None else dict.fromkeys(topics, LAYOUT)
        self.table.register(registration(broker, address, broker_id, topics=shapes, channel=address), self.now)
        assert self.table.broker(broker).addresses[broker_id] == address
        if broker_id == 0 and topics:
            assert all(broker in self.table.route(topic).queues for topic in topics)

    @rule(broker=NAMES, address=ADDRESSES, names=TOPICS)
    def announce(self, broker, address, names):
        self.table.announce("C", broker, address, topics(*names))
        offered = {t for t in self.table.topics() if broker in self.table.route(t).queues}
        assert offered == names

    @rule(broker=NAMES, name=st.sampled_from(["t", "u"]), exists=st.booleans())
    def announce_topic(self, broker, name, exists):
        self.table.announce_topic(broker, name, TopicConfig(name) if exists else None)
        route = self.table.route(name)
        known = self.table.broker(broker) is not None
        assert (route is not None and broker in route.queues) == (exists and known)

    @rule(broker=NAMES, address=ADDRESSES)
    def unregister(self, broker, address):
        self.table.unregister(broker, address)

    @rule(address=ADDRESSES)
    def close(self, address):
        self.table.leave(address)

    @rule(step=st.sampled_from([1, BROKER_LIFE_MS]))
    def pass_time(self, step):
        self.now += step
        self.table.expire(self.now)

    @rule(broker=NAMES, wipe=st.booleans())
    def wipe(self, broker, wipe):
        (self.table.forbid_writes if wipe else self.table.permit_writes)(broker)

    @rule(topic=st.sampled_from(["t", "u"]), cluster=st.none() | st.sampled_from(["C", "D"]))
    def delete(self, topic, cluster):
        self.table.delete_topic(topic, cluster)

    @invariant()
    def consistent(self):
        table = self.table
        brokers = {b.name: b for b in table.brokers()}
        addresses = [a for b in brokers.values() for a in b.addresses.values()]
        assert len(addresses) == len(set(addresses))
        assert all(table.version_of(address) is not None for address in addresses)
        assert all(b.addresses for b in brokers.values())
        for topic in table.topics():
            route = table.route(topic)
            assert route.queues
            assert set(route.queues) == {b.name for b in route.brokers} <= set(brokers)


TestRoutesAgainstInvariants = RoutesAgainstInvariants.TestCase
