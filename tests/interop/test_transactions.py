"""Official clients send transactional messages, end their transactions, and answer checks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.fixtures.access import ADMIN, create_topic, create_user, entry, expect, grant, read_all
from tests.fixtures.server import Server
from tests.fixtures.waiting import eventually
from tests.fixtures.wire import ROUTE, User, Wire
from tests.interop.conftest import Connections, DrivenClient, Drivers
from tests.interop.driver import bodies, expected
from tests.interop.outsiders import NO_PERMISSION
from tests.interop.toolchain import JAVA_CLIENTS, OLD_JAVA_CLIENT

Name = Callable[[str], str]
SETTINGS = {"transactionTimeOut": "1000", "transactionCheckInterval": "1500", "transactionCheckMax": "1000"}
UPDATE_CONFIG = 25
COMMIT, ROLLBACK, UNKNOWN = "COMMIT_MESSAGE", "ROLLBACK_MESSAGE", "UNKNOW"
ALICE, MALLORY = User("alice", "alice-secret"), User("mallory", "mallory-secret")
NOT_FOUND = "Find prepared transaction message failed"


@pytest.fixture(scope="module")
def server(drivers: Drivers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Start a server that checks transactions often."""
    with Server(tmp_path_factory.mktemp("server"), settings=SETTINGS) as started:
        yield started
        drivers.close_clients()


@pytest.fixture(scope="module", autouse=True)
def users(server: Server, connections: Connections) -> None:
    """Create a user who may send to topics that begin with `paid`, and one who may not."""
    admin = connections.to(server.broker_port)
    for user in (ALICE, MALLORY):
        create_user(admin, user.name, user.secret)
    grant(admin, "alice", entry("Topic:paid*", "Pub"))
    grant(admin, "mallory", entry("Topic:other*", "Pub,Sub"))


LIBRARIES = (*JAVA_CLIENTS, OLD_JAVA_CLIENT)


@pytest.fixture(params=[*(pytest.param(v, marks=pytest.mark.xdist_group(f"java-{v}")) for v in LIBRARIES), "go"])
def client(request: pytest.FixtureRequest, drivers: Drivers, server: Server) -> DrivenClient:
    """Return a client whose user has only Pub on the topic, with each library that has transactions."""
    return DrivenClient(drivers.get(request.param), server, ALICE)


@pytest.fixture
def topic(admin: Wire, server: Server, name: Name) -> str:
    """Return a topic with one queue."""
    created = name("paid")
    create_with_route(admin, server, created)
    return created


def create_with_route(admin: Wire, server: Server, topic: str) -> None:
    """Create a topic with one queue, and wait until the name server knows it.

    Before that, clients take the queues of TBW102, which has more.
    """
    create_topic(admin, topic, queues=1)
    with Wire(server.namesrv_port, ADMIN) as namesrv:
        assert eventually(lambda: namesrv.call(ROUTE, {"topic": topic}).code == 0)


@pytest.fixture
def producer(client: DrivenClient, name: Name) -> Iterator[Callable[..., None]]:
    """Return a function that starts the transactional producer `p`, or changes how its transactions end."""
    group = name("shop")

    def start(**ends: str) -> None:
        client.do("transact", handle="p", group=group, **ends)

    yield start
    client.call("endTransact", handle="p")


def messages(server: Server, topic: str) -> list[str]:
    """Return the bodies of all messages of a topic."""
    with Wire(server.broker_port, ADMIN) as wire:
        return [body.decode() for body in read_all(wire, topic, "readers", 0)]


def checks(client: DrivenClient, count: int, **more: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.do("checked", handle="p", count=count, **more)["checks"]
    return found


def test_commit_and_rollback(
    client: DrivenClient, server: Server, topic: str, producer: Callable[..., None], name: Name
) -> None:
    producer(execute=COMMIT, check=UNKNOWN)
    sent = client.do("half", handle="p", topic=topic, body="committed", tag="T", key="K", count=3)["results"]
    assert [result["status"] for result in sent] == ["SEND_OK"] * 3
    assert all(result["transactionId"] == result["msgId"] for result in sent)
    producer(execute=ROLLBACK)
    client.do("half", handle="p", topic=topic, body="rolled-back", count=3)

    admin = client.as_(ADMIN)
    admin.do("consume", handle="c", topic=topic, group=name("readers"))
    received = admin.do("received", handle="c", count=3)["messages"]
    admin.do("stop", handle="c")
    assert sorted(bodies({"messages": received})) == expected("committed", 3)
    assert {message["msgId"] for message in received} == {result["msgId"] for result in sent}
    assert checks(client, 1, timeout=3_000) == []
    assert sorted(messages(server, topic)) == expected("committed", 3)


def test_an_unknown_result_is_checked_until_it_is_known(
    client: DrivenClient, server: Server, topic: str, producer: Callable[..., None]
) -> None:
    producer(execute=UNKNOWN, check=UNKNOWN)
    (sent,) = client.do("half", handle="p", topic=topic, body="slow")["results"]
    first, second = checks(client, 2, timeout=20_000)[:2]
    assert (first["body"], first["topic"], first["transactionId"]) == ("slow-0", topic, sent["msgId"])
    # A slow client may miss a later check.
    times = [int(one["properties"]["TRANSACTION_CHECK_TIMES"]) for one in (first, second)]
    assert times[0] == 1 < times[1]
    assert messages(server, topic) == []

    producer(check=COMMIT)
    assert eventually(lambda: messages(server, topic) == ["slow-0"], 20, pause=0.5)
    producer(execute=UNKNOWN, check=ROLLBACK)
    client.do("half", handle="p", topic=topic, body="gone")
    assert len(checks(client, 4, timeout=20_000)) >= 4
    assert messages(server, topic) == ["slow-0"]


def test_a_transaction_without_a_result_is_discarded(
    client: DrivenClient, server: Server, topic: str, producer: Callable[..., None], admin: Wire
) -> None:
    expect(admin.call(UPDATE_CONFIG, body=b"transactionCheckMax=4"))
    producer(execute=UNKNOWN, check=UNKNOWN)
    client.do("half", handle="p", topic=topic, body=topic)
    assert len(checks(client, 4, timeout=30_000)) == 4
    discarded = "TRANS_CHECK_MAX_TIME_TOPIC"

    def moved() -> bool:
        return any(body.startswith(topic.encode()) for body in read_all(admin, discarded, "readers", 0))

    assert eventually(moved, 20, pause=0.5)
    expect(admin.call(UPDATE_CONFIG, body=b"transactionCheckMax=1000"))
    assert len(checks(client, 5, timeout=2_000)) == 4
    assert messages(server, topic) == []


@pytest.mark.parametrize("crash", [False, True], ids=["stop", "kill"])
def test_an_open_transaction_is_checked_after_a_restart(
    client: DrivenClient, server: Server, topic: str, producer: Callable[..., None], *, crash: bool
) -> None:
    producer(execute=UNKNOWN, check=COMMIT)
    client.do("half", handle="p", topic=topic, body="open", count=2)
    if crash:
        server.kill()
    else:
        server.stop()
    server.start()
    assert eventually(lambda: sorted(messages(server, topic)) == expected("open", 2), 100, pause=0.5)


def test_a_half_message_needs_pub_on_its_topic(client: DrivenClient, server: Server, topic: str, name: Name) -> None:
    mallory = client.as_(MALLORY)
    mallory.do("transact", handle="m", group=name("shop"), execute=COMMIT)
    answer = mallory.call("half", handle="m", topic=topic, body="stolen")
    assert not answer["ok"]
    assert "has no permission to access Topic" in str(answer)
    mallory.do("endTransact", handle="m")
    assert messages(server, topic) == []


def test_a_member_of_the_group_without_pub_gets_no_check_and_ends_nothing(
    client: DrivenClient, server: Server, topic: str, admin: Wire, name: Name
) -> None:
    group, other = name("shop"), name("other")
    create_with_route(admin, server, other)
    client.do("transact", handle="p", group=group, execute=UNKNOWN, check=UNKNOWN)
    (sent,) = client.do("half", handle="p", topic=topic, body="paid")["results"]
    mallory = client.as_(MALLORY)
    # Its transaction on its own topic makes it a member that the broker knows.
    mallory.do("transact", handle="m", group=group, execute=COMMIT, check=COMMIT)
    mallory.do("half", handle="m", topic=other, body="own")
    assert eventually(lambda: messages(server, other) == ["own-0"], 20, pause=0.5)
    client.do("endTransact", handle="p")

    offset = str(int(sent["offsetMsgId"][-16:], 16)) if "offsetMsgId" in sent else str((1 << 62) + sent["offset"])
    fields = {
        "producerGroup": group,
        "tranStateTableOffset": str(sent["offset"]),
        "commitLogOffset": offset,
        "commitOrRollback": "8",
        "fromTransactionCheck": "true",
    }
    with Wire(server.broker_port, MALLORY) as wire:
        for more in ({}, {"topic": other}, {"topic": "RMQ_SYS_TRANS_HALF_TOPIC"}):
            answer = wire.call(37, {**fields, **more})
            assert (answer.code, answer.remark) == (1, NOT_FOUND)
        assert wire.call(37, {**fields, "topic": topic}).code == NO_PERMISSION
    assert mallory.do("checked", handle="m", count=1, timeout=4_000)["checks"] == []
    assert messages(server, topic) == []
    mallory.do("endTransact", handle="m")
    with Wire(server.broker_port, ALICE) as wire:
        expect(wire.call(37, fields))
    assert messages(server, topic) == ["paid-0"]


CPP = pytest.mark.xdist_group("cpp")


@pytest.fixture
def cpp_half(cpp: DrivenClient, topic: str, name: Name) -> Callable[..., tuple[str, dict[str, Any]]]:
    """Return a function that sends a half message, and returns its group and its result.

    The package `rocketmq` 0.4.4 has no transactional producer. Its producer sends half messages by their properties.
    """
    group = name("shop")

    def send(user: User = ALICE) -> tuple[str, dict[str, Any]]:
        properties = {"property__TRAN_MSG": "true", "property__PGROUP": group}
        (sent,) = cpp.as_(user).do("send", topic=topic, group=group, body="half", **properties)["results"]
        return group, sent

    return send


def end_fields(group: str, sent: dict[str, Any], how: str) -> dict[str, str]:
    """Return the fields of the request that commits (8) or rolls back (12) a half message."""
    return {
        "producerGroup": group,
        "tranStateTableOffset": str(sent["offset"]),
        "commitLogOffset": str((1 << 62) + sent["offset"]),
        "commitOrRollback": how,
        "fromTransactionCheck": "false",
    }


@CPP
@pytest.mark.parametrize(("how", "delivered"), [("8", ["half-0"]), ("12", [])], ids=["commit", "rollback"])
def test_a_half_message_of_the_cpp_core_ends_once(
    server: Server, topic: str, cpp_half: Callable[..., tuple[str, dict[str, Any]]], how: str, delivered: list[str]
) -> None:
    group, sent = cpp_half()
    assert sent["status"] == "SEND_OK"
    assert messages(server, topic) == []
    fields = end_fields(group, sent, how)
    with Wire(server.broker_port, MALLORY) as wire:
        answer = wire.call(37, fields)
        assert (answer.code, answer.remark) == (1, NOT_FOUND)
    with Wire(server.broker_port, ALICE) as wire:
        expect(wire.call(37, fields))
        assert wire.call(37, fields).remark == NOT_FOUND
    assert messages(server, topic) == delivered


@CPP
@pytest.mark.parametrize(("check", "delivered"), [(COMMIT, ["half-0"]), (ROLLBACK, [])])
def test_a_half_message_of_the_cpp_core_is_checked_by_a_member_of_its_group(
    server: Server,
    topic: str,
    admin: Wire,
    name: Name,
    drivers: Drivers,
    cpp: DrivenClient,
    cpp_half: Callable[..., tuple[str, dict[str, Any]]],
    check: str,
    delivered: list[str],
) -> None:
    """The core itself cannot answer checks: it gets the first one, stays connected, and another member gets the next."""
    group, sent = cpp_half()
    java = DrivenClient(drivers.get(JAVA_CLIENTS[0]), server, ALICE)
    own = name("paid")
    create_with_route(admin, server, own)
    # A transaction on its own topic makes it a member that the broker knows.
    java.do("transact", handle="p", group=group, execute=COMMIT, check=check)
    java.do("half", handle="p", topic=own, body="own")
    found = checks(java, 1, timeout=30_000)
    assert [one["body"] for one in found] == ["half-0"]
    assert int(found[0]["properties"]["TRANSACTION_CHECK_TIMES"]) >= 1
    fields = end_fields(group, sent, "8")
    with Wire(server.broker_port, ALICE) as wire:
        assert eventually(lambda: wire.call(37, {**fields, "producerGroup": "another"}).remark == NOT_FOUND, 20)
    assert messages(server, topic) == delivered
    java.do("endTransact", handle="p")
    assert cpp.as_(ALICE).do("send", topic=topic, group=group, body="after")["results"][0]["status"] == "SEND_OK"


@CPP
def test_the_cpp_core_sends_no_half_message_without_pub(cpp: DrivenClient, server: Server, topic: str) -> None:
    refused = cpp.as_(MALLORY).call("send", topic=topic, property__TRAN_MSG="true", property__PGROUP="shop")
    assert not refused["ok"]
    assert messages(server, topic) == []
