"""Brokers and name servers of Apache RocketMQ 5.5.0 and of mqguard together, with official clients."""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.fixtures.access import ADMIN, create_topic, create_user, disable_user, entry, expect, grant, send
from tests.fixtures.apache import apache_broker, apache_namesrv
from tests.fixtures.server import INNER, SUPER, SUPER_SECRET, Broker, NameServer, TwoBrokers, environment
from tests.fixtures.waiting import eventually
from tests.fixtures.wire import ROUTE, User, Wire
from tests.interop.conftest import DrivenClient, Drivers
from tests.interop.driver import Driver, bodies, expected
from tests.interop.toolchain import java_pop_driver

pytestmark = pytest.mark.xdist_group("java-servers")

Name = Callable[[str], str]
ALICE = User("alice", "alice-secret")
MAX_OFFSET = 30


@dataclass
class Somewhere:
    """The address of a name server, for driven clients."""

    namesrv: str


def client(drivers: Drivers, which: str, namesrv: str, user: User = ADMIN) -> DrivenClient:
    """Return a driven client of a name server that is not the module's own."""
    return DrivenClient(drivers.get(which), Somewhere(namesrv), user)  # type: ignore[arg-type]


def brokers_of(port: int, topic: str) -> set[str]:
    """Return the names of the brokers in the route of a topic at one of our name servers."""
    with Wire(port, ADMIN) as wire:
        answer = wire.call(ROUTE, {"topic": topic})
        return set() if answer.code else {found["brokerName"] for found in answer.json()["queueDatas"]}


def receive(one: DrivenClient, topic: str, group: str, count: int, **more: object) -> list[str]:
    """Return the bodies that a new consumer receives."""
    one.do("consume", handle="c", topic=topic, group=group, **more)
    try:
        return bodies(one.do("received", handle="c", count=count, timeout=60000, wait=80))
    finally:
        one.do("stop", handle="c")


@pytest.mark.parametrize("acl", [True, False], ids=["acl", "no-acl"])
def test_a_broker_of_apache_registers_with_our_name_server(
    drivers: Drivers, tmp_path: Path, name: Name, *, acl: bool
) -> None:
    """Clients find it, and the name server removes it when it has died."""
    topic = name("topic")
    with NameServer(tmp_path / "namesrv") as namesrv, apache_broker(tmp_path / "b", namesrv.namesrv, acl=acl) as broker:
        java = client(drivers, "5.5.0", namesrv.namesrv)
        assert eventually(lambda: brokers_of(namesrv.namesrv_port, "TBW102") == {"apache-a"}, 120)
        java.mqadmin("updateTopic", "-n", namesrv.namesrv, "-c", "DefaultCluster", "-t", topic, "-w", "4", "-r", "4")
        assert eventually(lambda: brokers_of(namesrv.namesrv_port, topic) == {"apache-a"}, 60)
        java.do("send", topic=topic, count=8, body="m")
        assert Counter(receive(java, topic, name("group"), 8)) == Counter(expected("m", 8))
        drivers.close_clients()
        broker.kill()
        assert eventually(lambda: brokers_of(namesrv.namesrv_port, topic) == set(), 60)


def test_our_broker_registers_with_a_name_server_of_apache(drivers: Drivers, tmp_path: Path, name: Name) -> None:
    """It registers again when the name server has died and started again, and leaves when it stops."""
    topic = name("topic")
    with apache_namesrv(tmp_path / "namesrv") as first:
        address = f"127.0.0.1:{first.port}"
        with Broker(tmp_path / "b", "broker-a", address) as broker:
            java = client(drivers, "5.5.0", address)
            assert eventually(lambda: "broker-a" in java.mqadmin("clusterList", "-n", address).out, 60)
            java.mqadmin("updateTopic", "-n", address, "-c", "DefaultCluster", "-t", topic, "-w", "4", "-r", "4")
            java.do("send", topic=topic, count=8, body="m")
            assert Counter(receive(java, topic, name("group"), 8)) == Counter(expected("m", 8))
            first.kill()
            with apache_namesrv(tmp_path / "again", first.port):
                found = lambda: java.mqadmin("topicRoute", "-n", address, "-t", topic).out  # noqa: E731
                assert eventually(lambda: "broker-a" in found(), 60)
                drivers.close_clients()
                assert broker.stop() == 0
                assert eventually(lambda: "broker-a" not in java.mqadmin("clusterList", "-n", address).out, 60)


@pytest.fixture(scope="module")
def cluster(drivers: Drivers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoBrokers]:
    with TwoBrokers(tmp_path_factory.mktemp("two")) as started:
        yield started
        drivers.close_clients()


@pytest.mark.parametrize("which", ["5.5.0", "4.9.8", "go"])
def test_two_of_our_brokers_are_one_cluster(drivers: Drivers, cluster: TwoBrokers, name: Name, which: str) -> None:
    """A producer uses the queues of both, consumers of one group share all queues, and each broker refuses others."""
    topic, group = name("topic"), name("group")
    for port in cluster.broker_ports:
        with Wire(port, ADMIN) as admin:
            create_topic(admin, topic, queues=2)
    assert eventually(lambda: brokers_of(cluster.namesrv_port, topic) == {"broker-a", "broker-b"})
    with Wire(cluster.broker_ports[1], ADMIN) as admin:
        create_user(admin, "alice", ALICE.secret)
        grant(admin, "alice", entry(f"Topic:{topic}", "Pub,Sub"), entry(f"Group:{group}", "Sub"))
    alice = client(drivers, which, cluster.namesrv, ALICE)
    sent = alice.do("send", topic=topic, count=16, body="m")
    assert all(result["status"] == "SEND_OK" for result in sent["results"]), sent
    assert Counter(receive(alice, topic, group, 16)) == Counter(expected("m", 16))
    for port in cluster.broker_ports:
        with Wire(port, ADMIN) as admin:
            stored = [expect(admin.call(MAX_OFFSET, {"topic": topic, "queueId": str(queue)})) for queue in (0, 1)]
            assert sum(int(answer.ext["offset"]) for answer in stored) > 0, "a broker got no message"
    with Wire(cluster.broker_ports[0], ADMIN) as admin:
        disable_user(admin, "alice")
    assert not alice.call("send", topic=topic, count=4, body="refused")["ok"]
    drivers.close_clients()


@pytest.mark.parametrize("how", ["orderly", "broadcast"])
def test_other_consumers_receive_from_both_brokers(drivers: Drivers, cluster: TwoBrokers, name: Name, how: str) -> None:
    topic, group = name("topic"), name("group")
    for port in cluster.broker_ports:
        with Wire(port, ADMIN) as admin:
            create_topic(admin, topic, queues=2)
    assert eventually(lambda: brokers_of(cluster.namesrv_port, topic) == {"broker-a", "broker-b"})
    java = client(drivers, "5.5.0", cluster.namesrv)
    options: dict[str, object] = {"orderly": True} if how == "orderly" else {"model": "BROADCASTING"}
    handles = ["c1"] if how == "orderly" else ["c1", "c2"]
    for handle in handles:
        java.do("consume", handle=handle, topic=topic, group=group, **options)
        java.do("assigned", handle=handle, topic=topic, count=4)
    java.do("send", topic=topic, count=16, body="m")
    for handle in handles:
        found = bodies(java.do("received", handle=handle, count=16, timeout=60000, wait=80))
        assert Counter(found) == Counter(expected("m", 16))
        java.do("stop", handle=handle)


@pytest.mark.parametrize("whose", ["ours", "apache"])
@pytest.mark.parametrize("mode", ["PULL", "POP"])
def test_consumers_whose_queues_brokers_assign_receive_from_both(tmp_path: Path, whose: str, mode: str) -> None:
    """Each broker assigns the queues of both, which it reads from the name server, also of Apache."""
    settings = {"defaultMessageRequestMode": mode}
    with contextlib.ExitStack() as opened:
        if whose == "ours":
            namesrv = opened.enter_context(NameServer(tmp_path / "namesrv")).namesrv
        else:
            namesrv = f"127.0.0.1:{opened.enter_context(apache_namesrv(tmp_path / 'namesrv')).port}"
        brokers = [
            opened.enter_context(Broker(tmp_path / broker, broker, namesrv, settings=settings))
            for broker in ("broker-a", "broker-b")
        ]
        for broker in brokers:
            with Wire(broker.broker_port, ADMIN) as admin:
                create_topic(admin, "orders", queues=2)
        port = int(namesrv.rpartition(":")[2])
        assert eventually(lambda: brokers_of(port, "orders") == {"broker-a", "broker-b"}, 30)
        for broker in brokers:
            with Wire(broker.broker_port, ADMIN) as admin:
                for number in range(8):
                    expect(send(admin, "orders", f"{broker.broker_name}-{number}".encode(), number % 2))
        consumers = []
        for number in range(2):
            home = tmp_path / f"pop-{number}"
            home.mkdir()
            driver = opened.enter_context(Driver(java_pop_driver(home), home / "driver.log", environment()))
            consumers.append(driver)
            step = {"namesrv": namesrv, "user": SUPER, "secret": SUPER_SECRET, "handle": "c"}
            assert driver.call("consume", topic="orders", group="readers", **step)["ok"]

        def found() -> Counter[str]:
            answers = [driver.call("received", handle="c", count=1, timeout=500) for driver in consumers]
            return Counter(message["body"] for answer in answers for message in answer["messages"])

        everything = Counter(f"{broker.broker_name}-{number}" for broker in brokers for number in range(8))
        assert eventually(lambda: found().keys() == everything.keys(), 60), found()

        def shares() -> list[list[int]]:
            kind = "pulled" if mode == "PULL" else "popped"
            return [driver.call("modes", handle="c", topic="orders")[kind] for driver in consumers]

        wanted = [2, 2]
        assert eventually(lambda: [len(one) for one in shares()] == wanted, 60), shares()


def test_mqadmin_sees_one_cluster(drivers: Drivers, cluster: TwoBrokers, name: Name) -> None:
    """A command for the cluster changes users once, though mqadmin sends it to each broker."""
    java = client(drivers, "5.5.0", cluster.namesrv)
    topic, user = name("topic"), name("user")
    where = ("-n", cluster.namesrv, "-c", "DefaultCluster")
    rows = java.mqadmin("clusterList", "-n", cluster.namesrv).out
    assert "broker-a" in rows
    assert "broker-b" in rows
    java.mqadmin("updateTopic", *where, "-t", topic, "-w", "4", "-r", "4")
    route = lambda: java.mqadmin("topicRoute", "-n", cluster.namesrv, "-t", topic).out  # noqa: E731
    assert eventually(lambda: "broker-a" in route() and "broker-b" in route())
    for words in (
        ("createUser", "-u", user, "-p", "some-secret"),
        ("createAcl", "-s", f"User:{user}", "-r", f"Topic:{topic}", "-a", "Pub", "-d", "Allow"),
        ("deleteAcl", "-s", f"User:{user}", "-r", f"Topic:{topic}"),
        ("deleteUser", "-u", user),
    ):
        answer = java.mqadmin(words[0], *where, *words[1:])
        assert answer.out.count("success") == 2, (words, answer)
        assert "Exception" not in answer.out + answer.err, (words, answer)
    log = cluster.data / "audit" / "namesrv" / "audit.jsonl"
    made = lambda: Counter(re.findall(rf'"operation":"([a-z-]+)","subject":"User:{user}"', log.read_text()))  # noqa: E731
    assert eventually(lambda: made()["delete-user"])
    assert made() == Counter(["create-user", "create-acl", "delete-acl", "delete-user"])


def test_clients_go_on_with_the_other_broker(drivers: Drivers, tmp_path: Path, name: Name) -> None:
    """A producer of Java and a consumer of Go keep working while one broker is dead; nothing of it is lost."""
    topic, group = name("topic"), name("group")
    with (
        NameServer(tmp_path / "namesrv") as namesrv,
        Broker(tmp_path / "a", "broker-a", namesrv.namesrv) as one,
        Broker(tmp_path / "b", "broker-b", namesrv.namesrv) as two,
    ):
        for broker in (one, two):
            with Wire(broker.broker_port, ADMIN) as admin:
                create_topic(admin, topic, queues=2)
        assert eventually(lambda: brokers_of(namesrv.namesrv_port, topic) == {"broker-a", "broker-b"})
        java, go = (client(drivers, which, namesrv.namesrv) for which in ("5.5.0", "go"))
        go.do("consume", handle="c", topic=topic, group=group)
        java.do("send", topic=topic, count=8, body="before")
        two.kill()
        # The driver's producer does not try again itself, and uses both brokers alternately until its route is new.
        for number in range(8):
            assert eventually(lambda body=f"during-{number}": java.call("send", topic=topic, body=body)["ok"], 60)  # type: ignore[misc]
        two.start()
        wanted = {*expected("before", 8), *(f"during-{number}-0" for number in range(8))}
        found = bodies(go.do("received", handle="c", count=16, timeout=90000, wait=100))
        assert set(found) == wanted
        go.do("stop", handle="c")
        drivers.close_clients()


def test_one_broker_registers_with_name_servers_of_apache_and_ours(
    drivers: Drivers, tmp_path: Path, name: Name
) -> None:
    """The inner credentials do no harm at a name server that ignores signatures."""
    assert INNER
    topic = name("topic")
    with (
        NameServer(tmp_path / "ours") as ours,
        apache_namesrv(tmp_path / "theirs") as theirs,
        Broker(tmp_path / "b", "broker-a", f"{ours.namesrv};127.0.0.1:{theirs.port}") as broker,
        Wire(broker.broker_port, ADMIN) as admin,
    ):
        create_topic(admin, topic)
        assert eventually(lambda: brokers_of(ours.namesrv_port, topic) == {"broker-a"})
        java = client(drivers, "5.5.0", f"127.0.0.1:{theirs.port}")
        assert eventually(
            lambda: "broker-a" in java.mqadmin("topicRoute", "-n", java.server.namesrv, "-t", topic).out, 60
        )
