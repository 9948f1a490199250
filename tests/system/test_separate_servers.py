"""Name servers and brokers as processes of their own: registration, routes, and what each refuses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fixtures.access import ADMIN, create_topic, create_user, entry, expect, grant, send
from tests.fixtures.server import Broker, NameServer
from tests.fixtures.waiting import eventually
from tests.fixtures.wire import CREATE_USER, HEARTBEAT, LIST_USERS, ROUTE, User, Wire

CLUSTER_INFO, REGISTER, UNREGISTER, QUERY_VERSION = 106, 103, 104, 322
QUERY_ASSIGNMENT = 400


def brokers_of(namesrv: NameServer, topic: str) -> set[str]:
    """Return the names of the brokers in the route of a topic."""
    with Wire(namesrv.namesrv_port, ADMIN) as wire:
        answer = wire.call(ROUTE, {"topic": topic})
        return set() if answer.code else {found["brokerName"] for found in answer.json()["queueDatas"]}


def registered(namesrv: NameServer) -> set[str]:
    """Return the names of the registered brokers."""
    with Wire(namesrv.namesrv_port, ADMIN) as wire:
        return set(expect(wire.call(CLUSTER_INFO)).json()["brokerAddrTable"])


@pytest.fixture
def namesrv(tmp_path: Path) -> Iterator[NameServer]:
    with NameServer(tmp_path / "namesrv") as started:
        yield started


def test_two_brokers_of_one_name_server_serve_a_topic(namesrv: NameServer, tmp_path: Path) -> None:
    """A topic that is created later is in the route too. A broker that stops leaves the routes at once."""
    with Broker(tmp_path / "a", "broker-a", namesrv.namesrv) as one:
        with Broker(tmp_path / "b", "broker-b", namesrv.namesrv) as two:
            assert eventually(lambda: registered(namesrv) == {"broker-a", "broker-b"})
            for broker in (one, two):
                with Wire(broker.broker_port, ADMIN) as admin:
                    create_topic(admin, "orders")
                    expect(send(admin, "orders", b"x"))
            assert eventually(lambda: brokers_of(namesrv, "orders") == {"broker-a", "broker-b"})
        assert brokers_of(namesrv, "orders") == {"broker-a"}
        two.start()
        assert eventually(lambda: brokers_of(namesrv, "orders") == {"broker-a", "broker-b"})
        two.kill()
        assert eventually(lambda: brokers_of(namesrv, "orders") == {"broker-a"})


def test_a_broker_registers_again_with_a_name_server_that_was_gone(namesrv: NameServer, tmp_path: Path) -> None:
    """While one of two name servers is down, the broker serves and stays registered with the other."""
    with (
        NameServer(tmp_path / "second") as second,
        Broker(tmp_path / "a", "broker-a", f"{namesrv.namesrv};{second.namesrv}") as broker,
        Wire(broker.broker_port, ADMIN) as admin,
    ):
        assert eventually(lambda: registered(namesrv) == registered(second) == {"broker-a"})
        second.kill()
        create_topic(admin, "while-down")
        assert eventually(lambda: brokers_of(namesrv, "while-down") == {"broker-a"})
        assert eventually(lambda: f"not registered with the name server {second.namesrv}" in broker.log())
        second.start()
        assert eventually(lambda: brokers_of(second, "while-down") == {"broker-a"})


def heartbeat(wire: Wire, client: str) -> None:
    """Register a client as a member of the group `readers`, which consumes `orders`."""
    subscription = {"topic": "orders", "subString": "*", "expressionType": "TAG", "subVersion": 1}
    consumer = {
        "groupName": "readers",
        "consumeType": "CONSUME_PASSIVELY",
        "messageModel": "CLUSTERING",
        "consumeFromWhere": "CONSUME_FROM_FIRST_OFFSET",
        "subscriptionDataSet": [subscription],
    }
    body = {"clientID": client, "consumerDataSet": [consumer], "producerDataSet": []}
    expect(wire.call(HEARTBEAT, {}, json.dumps(body).encode()))


def assigned(wire: Wire, client: str) -> list[tuple[str, int]]:
    """Return the queues of `orders` that a broker assigns to a client."""
    body = {
        "topic": "orders",
        "consumerGroup": "readers",
        "clientId": client,
        "strategyName": "AVG",
        "messageModel": "CLUSTERING",
    }
    found = expect(wire.call(QUERY_ASSIGNMENT, {}, json.dumps(body).encode())).json()
    queues = [one["messageQueue"] for one in found.get("messageQueueAssignments", [])]
    return sorted((queue["brokerName"], queue["queueId"]) for queue in queues)


def test_each_broker_assigns_the_queues_of_both(namesrv: NameServer, tmp_path: Path) -> None:
    """Two members share the queues of both brokers, whichever they ask, also while the name server is down."""
    with (
        Broker(tmp_path / "a", "broker-a", namesrv.namesrv) as one,
        Broker(tmp_path / "b", "broker-b", namesrv.namesrv) as two,
        Wire(one.broker_port, ADMIN) as first,
        Wire(two.broker_port, ADMIN) as second,
        Wire(one.broker_port, ADMIN) as first_again,
        Wire(two.broker_port, ADMIN) as second_again,
    ):
        for client, wires in {"c1": (first, second), "c2": (first_again, second_again)}.items():
            for wire in wires:
                create_topic(wire, "orders", queues=2)
                heartbeat(wire, client)
        assert eventually(lambda: brokers_of(namesrv, "orders") == {"broker-a", "broker-b"})
        shares = {"c1": [("broker-a", 0), ("broker-a", 1)], "c2": [("broker-b", 0), ("broker-b", 1)]}
        for client, share in shares.items():
            assert assigned(second, client) == share
            assert eventually(lambda client=client, share=share: assigned(first, client) == share, 40)
        namesrv.kill()
        for client, share in shares.items():
            assert assigned(first, client) == assigned(second, client) == share
        with Wire(one.broker_port, ADMIN) as admin:
            create_user(admin, "stranger", "stranger-secret")
        with Wire(one.broker_port, User("stranger", "stranger-secret")) as stranger:
            body = {"topic": "orders", "consumerGroup": "readers", "clientId": "c1", "messageModel": "CLUSTERING"}
            assert stranger.call(QUERY_ASSIGNMENT, {}, json.dumps(body).encode()).code == 16


def test_a_broker_without_the_inner_credentials_is_refused(namesrv: NameServer, tmp_path: Path) -> None:
    """The broker's log says which setting it needs."""
    other = '{"accessKey": "rocketmq", "secretKey": "another-secret"}'
    settings = {"innerClientAuthenticationCredentials": other, "initAuthenticationUser": ""}
    with Broker(tmp_path / "a", "broker-a", namesrv.namesrv, settings=settings) as broker:
        assert eventually(lambda: "sign with `innerClientAuthenticationCredentials`" in broker.log())
        assert registered(namesrv) == set()


@pytest.mark.parametrize("code", [REGISTER, UNREGISTER, QUERY_VERSION])
def test_only_a_broker_may_register(namesrv: NameServer, code: int) -> None:
    """A user with every permission on the cluster is not a broker."""
    fields = {
        "brokerName": "evil",
        "brokerAddr": "127.0.0.1:1",
        "clusterName": "DefaultCluster",
        "haServerAddr": "127.0.0.1:2",
        "brokerId": "0",
    }
    with Wire(namesrv.namesrv_port, ADMIN) as admin:
        create_user(admin, "operator", "operator-secret")
        grant(admin, "operator", entry("Cluster:*", "All"), entry("Topic:*", "All"))
    for user in (User("operator", "operator-secret"), User("rocketmq", "wrong"), None):
        with Wire(namesrv.namesrv_port, user) as wire:
            assert wire.call(code, fields).code == 16
    assert registered(namesrv) == set()


def test_the_users_of_a_name_server_are_managed_at_its_port(namesrv: NameServer) -> None:
    """Users survive a restart."""
    with Wire(namesrv.namesrv_port, ADMIN) as admin:
        create_user(admin, "reader", "reader-secret")
    with Wire(namesrv.namesrv_port, User("reader", "reader-secret")) as reader:
        assert reader.call(CREATE_USER, {"username": "x"}, b'{"username":"x","password":"y"}').code == 16
    namesrv.kill()
    namesrv.start()
    with Wire(namesrv.namesrv_port, ADMIN) as admin:
        names = {user["username"] for user in expect(admin.call(LIST_USERS)).json()}
        assert names == {"rocketmq", "reader"}
