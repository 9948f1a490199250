"""Unmodified Java clients and mqadmin through `mqguard proxy`, in front of a cluster of Apache RocketMQ with ACL 2.0."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from tests.fixtures.access import ADMIN, create_topic, create_user, entry, grant
from tests.fixtures.apache import ApacheCluster
from tests.fixtures.server import INNER, GuardProxy
from tests.fixtures.wire import User, Wire
from tests.interop.conftest import DrivenClient, Drivers
from tests.interop.driver import bodies, expected

pytestmark = pytest.mark.xdist_group("apache-cluster")

Name = Callable[[str], str]


@dataclass
class Somewhere:
    """The address of a name server, for driven clients."""

    namesrv: str


@pytest.fixture(scope="module")
def guard(
    apache_cluster: ApacheCluster, drivers: Drivers, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GuardProxy]:
    with GuardProxy(tmp_path_factory.mktemp("guard"), apache_cluster.namesrv, settings=INNER) as started:
        yield started
        drivers.close_clients()


@pytest.fixture
def admin(guard: GuardProxy) -> Iterator[Wire]:
    with Wire(guard.broker_port, ADMIN) as wire:
        yield wire


@pytest.fixture
def java(guard: GuardProxy, drivers: Drivers) -> DrivenClient:
    """Return the Super user of the guard with the Java client 5.5.0."""
    return DrivenClient(drivers.get("5.5.0"), Somewhere(guard.namesrv))  # type: ignore[arg-type]


def new_user(admin: Wire, name: str, *entries: dict[str, object]) -> User:
    """Create a user with permissions. The brokers do not know it."""
    user = User(name, f"secret-of-{name}")
    create_user(admin, user.name, user.secret)
    if entries:
        grant(admin, user.name, *entries)
    return user


@pytest.mark.parametrize("how", ["concurrently", "orderly", "broadcast"])
def test_a_granted_user_sends_and_consumes(admin: Wire, java: DrivenClient, name: Name, how: str) -> None:
    topic, group = name("topic"), name("group")
    create_topic(admin, topic)
    alice = java.as_(new_user(admin, name("alice"), entry(f"Topic:{topic}", "Pub,Sub"), entry(f"Group:{group}", "Sub")))
    options: dict[str, object] = {"orderly": {"orderly": True}, "broadcast": {"model": "BROADCASTING"}}.get(how, {})
    alice.do("consume", handle="c", topic=topic, group=group, **options)
    alice.do("assigned", handle="c", topic=topic, count=4)
    sent = alice.do("send", topic=topic, count=16, body="m")
    assert all(result["status"] == "SEND_OK" for result in sent["results"]), sent
    found = bodies(alice.do("received", handle="c", count=16, timeout=60000, wait=80))
    assert Counter(found) == Counter(expected("m", 16))
    alice.do("stop", handle="c")


def test_a_user_without_a_grant_is_refused(admin: Wire, java: DrivenClient, name: Name) -> None:
    topic = name("topic")
    create_topic(admin, topic)
    bob = java.as_(new_user(admin, name("bob")))
    assert not bob.call("send", topic=topic, count=1, body="refused")["ok"]


def test_mqadmin_sees_the_brokers_at_the_guard(
    guard: GuardProxy, apache_cluster: ApacheCluster, admin: Wire, java: DrivenClient, name: Name
) -> None:
    topic = name("topic")
    create_topic(admin, topic)
    commands = [
        ("clusterList", "-n", guard.namesrv),
        ("topicRoute", "-n", guard.namesrv, "-t", topic),
        ("brokerStatus", "-n", guard.namesrv, "-b", guard.broker),
        ("topicStatus", "-n", guard.namesrv, "-t", topic),
        ("getBrokerConfig", "-n", guard.namesrv, "-b", guard.broker),
    ]
    found = {words[0]: java.mqadmin(*words).out for words in commands}
    assert guard.broker in found["clusterList"]
    assert guard.broker in found["topicRoute"]
    for command, out in found.items():
        assert out.strip(), f"{command} prints nothing"
        assert f":{apache_cluster.broker_port}" not in out, f"{command} shows the broker's own address: {out}"
    assert "12345678" not in found["getBrokerConfig"]
