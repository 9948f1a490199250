"""Errors that an official Java client gets when it is denied, and checks that nothing was changed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.fixtures.access import create_topic, create_user, disable_user, entry, grant, read_all, send_fields
from tests.fixtures.server import Server
from tests.fixtures.waiting import eventually
from tests.fixtures.wire import HEARTBEAT, LIST_ACLS, LIST_USERS, PULL, ROUTE, SEND, User, Wire
from tests.interop.conftest import Connections, DrivenClient
from tests.interop.driver import bodies
from tests.interop.outsiders import NO_PERMISSION, WRONG, Outsider

ORDERS, GROUP = "orders", "orders_group"

ALICE = User("alice", "alice-secret")


@pytest.fixture(scope="module", autouse=True)
def users(server: Server, connections: Connections) -> None:
    """Create one user with the permissions, and one of each kind without."""
    everything = (entry("Topic:*", "Pub,Sub,Get,Create"), entry("Group:*", "Sub,Get"), entry("Cluster:*", "Get,Update"))
    admin = connections.to(server.broker_port)
    create_topic(admin, ORDERS, queues=1)
    for name in ("alice", "dora", "paul", "dan", "wanda", "walter"):
        create_user(admin, name, f"{name}-secret")
    grant(admin, "alice", entry(f"Topic:{ORDERS}", "Pub,Sub"), entry("Group:orders_*", "Sub"))
    grant(admin, "walter", *everything)
    grant(admin, "dora", *everything)
    disable_user(admin, "dora")
    grant(admin, "dan", *everything)
    denied = (f"Topic:{ORDERS}", f"Group:{GROUP}", "Cluster:DefaultCluster", "Topic:forbidden")
    grant(admin, "dan", *(entry(resource, "All", "Deny") for resource in denied))
    elsewhere = ("10.0.0.0/8", "2001:db8::/32", "127.0.0.2")
    grant(
        admin,
        "wanda",
        entry("Topic:*", "All", sources=elsewhere),
        entry("Group:*", "All", sources=elsewhere),
        entry("Cluster:*", "All", sources=elsewhere),
    )


@pytest.fixture
def nothing_changes(admin: Wire) -> Iterator[None]:
    """Check that the topic has the same messages before and after the test."""
    before = read_all(admin, ORDERS, "watch", 0)
    yield
    assert read_all(admin, ORDERS, "watch", 0) == before


def assert_refused(answer: dict[str, Any], remark: str) -> None:
    assert answer["code"] == NO_PERMISSION, answer
    assert re.match(remark, answer["remark"]), answer
    assert "secret" not in answer["remark"]


def invoke(
    client: DrivenClient, code: int, ext: dict[str, str] | None = None, body: str | None = None
) -> dict[str, Any]:
    """Send a request with the client's own transport and signing hook directly to the broker."""
    named: dict[str, Any] = {f"ext__{key}": value for key, value in (ext or {}).items()}
    return client.do("invoke", address=client.server.broker, code=code, body=body, **named)


def heartbeat(group: str, topic: str, client_id: str) -> str:
    subscription = {
        "topic": topic,
        "subString": "*",
        "tagsSet": [],
        "codeSet": [],
        "subVersion": 1,
        "expressionType": "TAG",
    }
    consumer = {
        "groupName": group,
        "consumeType": "CONSUME_PASSIVELY",
        "messageModel": "CLUSTERING",
        "consumeFromWhere": "CONSUME_FROM_FIRST_OFFSET",
        "subscriptionDataSet": [subscription],
        "unitMode": False,
    }
    return json.dumps({"clientID": client_id, "consumerDataSet": [consumer], "producerDataSet": []})


def pull_fields(group: str) -> dict[str, str]:
    return {
        "consumerGroup": group,
        "topic": ORDERS,
        "queueId": "0",
        "queueOffset": "0",
        "maxMsgNums": "32",
        "sysFlag": "4",
        "commitOffset": "0",
        "suspendTimeoutMillis": "0",
        "subscription": "*",
        "subVersion": "0",
        "expressionType": "TAG",
    }


def test_a_user_with_the_permissions_is_allowed(any_java: DrivenClient) -> None:
    alice = any_java.as_(ALICE)

    (sent,) = alice.do("send", topic=ORDERS, body="admitted")["results"]
    assert sent["status"] == "SEND_OK"
    alice.do("consume", handle="alice", topic=ORDERS, group=GROUP)
    assert alice.do("heartbeat", handle="alice", broker=any_java.server.broker)["version"] > 0
    # The topic also has messages of other tests, and queues have any order.
    assert eventually(lambda: "admitted-0" in bodies(alice.do("received", handle="alice", timeout=0)), seconds=60)
    alice.do("stop", handle="alice")
    pulled = alice.do("pull", topic=ORDERS, group=GROUP, broker=any_java.server.broker_name)
    assert pulled["status"] == "FOUND"
    assert invoke(alice, HEARTBEAT, body=heartbeat(GROUP, ORDERS, "alice@1"))["code"] == 0


def test_a_forbidden_topic_does_not_stop_the_other_consumers_of_a_process(any_java: DrivenClient, admin: Wire) -> None:
    """All consumers of a process share one heartbeat."""
    create_topic(admin, "hidden", queues=1)
    alice = any_java.as_(ALICE)
    alice.do("send", topic=ORDERS, body="shared heartbeat")
    alice.do("consume", handle="forbidden", topic="hidden", group="orders_hidden")
    alice.do("consume", handle="allowed", topic=ORDERS, group="orders_shared")
    assert eventually(
        lambda: "shared heartbeat-0" in bodies(alice.do("received", handle="allowed", timeout=0)), seconds=60
    )
    alice.do("stop", handle="forbidden")
    alice.do("stop", handle="allowed")


@pytest.mark.parametrize("mode", ["sync", "async", "batch", "oneway"])
@pytest.mark.usefixtures("nothing_changes")
def test_sending_is_refused(any_java: DrivenClient, outsider: Outsider, mode: str) -> None:
    answer = any_java.as_(outsider.user).call("send", topic=ORDERS, body="intruder", mode=mode)

    failures = [answer] if not answer["ok"] else [r for r in answer["results"] if r.get("status") is None]
    if mode == "oneway" and not failures:
        return  # The client expects no answer; `nothing_changes` checks that no message was stored.
    assert len(failures) == 1
    assert_refused(failures[0], outsider.remark)


@pytest.mark.usefixtures("nothing_changes")
def test_a_send_to_the_broker_itself_is_refused(any_java: DrivenClient, outsider: Outsider) -> None:
    assert_refused(invoke(any_java.as_(outsider.user), SEND, send_fields(ORDERS), "intruder"), outsider.remark)


def test_pulling_is_refused(any_java: DrivenClient, outsider: Outsider) -> None:
    client = any_java.as_(outsider.user)

    answer = client.call("pull", topic=ORDERS, group=GROUP, broker=any_java.server.broker_name)
    assert not answer["ok"]
    answer = invoke(client, PULL, pull_fields(GROUP))
    assert_refused(answer, outsider.remark)
    assert not answer["body"]


def test_a_push_consumer_gets_nothing(any_java: DrivenClient, outsider: Outsider) -> None:
    any_java.do("send", topic=ORDERS, body="for others")
    client = any_java.as_(outsider.user)

    client.do("consume", handle="outsider", topic=ORDERS, group=GROUP)
    messages = client.do("received", handle="outsider", timeout=1500)["messages"]
    client.do("stop", handle="outsider")

    assert messages == []


def test_a_heartbeat_is_refused(any_java: DrivenClient, admin: Wire, outsider: Outsider) -> None:
    answer = invoke(any_java.as_(outsider.user), HEARTBEAT, body=heartbeat(GROUP, ORDERS, "outsider@1"))

    assert_refused(answer, outsider.remark)
    known = admin.call(203, {"consumerGroup": GROUP})
    assert known.code != 0 or "outsider@1" not in known.body.decode()


@pytest.mark.parametrize(
    ("code", "ext", "body"),
    [
        pytest.param(3005, {"filter": ""}, None, id="list users"),
        pytest.param(3004, {"username": "alice"}, None, id="get user"),
        pytest.param(3001, {"username": "eve"}, '{"username":"eve","password":"p"}', id="create user"),
        pytest.param(3002, {"username": "alice"}, '{"username":"alice","password":"taken"}', id="update user"),
        pytest.param(3003, {"username": "alice"}, None, id="delete user"),
        pytest.param(
            3006,
            {"subject": "User:paul"},
            '{"subject":"User:paul","policies":[{"entries":[{"resource":"*","actions":["All"],"decision":"Allow"}]}]}',
            id="create acl",
        ),
        pytest.param(3008, {"subject": "User:dan"}, None, id="delete acl"),
        pytest.param(3010, {"subjectFilter": ""}, None, id="list acls"),
        pytest.param(25, {}, "authenticationEnabled=false\n", id="update configuration"),
        pytest.param(26, {}, None, id="read configuration"),
    ],
)
def test_administration_is_refused(
    any_java: DrivenClient, admin: Wire, outsider: Outsider, code: int, ext: dict[str, str], body: str | None
) -> None:
    before = state(admin)

    answer = invoke(any_java.as_(outsider.user), code, ext, body)

    assert_refused(answer, rf"{outsider.remark}|User:dan |only a Super user may send the request code {code}")
    assert not answer["body"]
    assert state(admin) == before


def state(admin: Wire) -> tuple[object, object]:
    """Return all users and policies, without the form of secrets in answers."""
    listed = admin.call(LIST_USERS, {"filter": ""}).json()
    return [{**user, "password": ""} for user in listed], admin.call(LIST_ACLS, {}).body


def test_creating_a_topic_is_refused(any_java: DrivenClient, namesrv: Wire, outsider: Outsider) -> None:
    answer = any_java.as_(outsider.user).call("createTopic", topic="forbidden")

    if not outsider.stranger:
        assert_refused(answer, outsider.remark)
    assert not answer["ok"], answer
    assert namesrv.call(ROUTE, {"topic": "forbidden"}).code == 17


def test_a_user_may_not_create_a_topic_by_a_send(any_java: DrivenClient, namesrv: Wire) -> None:
    answer = any_java.as_(ALICE).call("send", topic="unknown_topic", body="x")

    assert not answer["ok"]
    assert namesrv.call(ROUTE, {"topic": "unknown_topic"}).code == 17


def test_a_change_is_in_force_for_the_next_request(any_java: DrivenClient, admin: Wire) -> None:
    user = User("carl", "carl-secret")
    client = any_java.as_(user)
    admin.call(3003, {"username": "carl"})
    create_user(admin, user.name, user.secret)

    assert_refused(
        invoke(client, SEND, send_fields(ORDERS), "1"), r"User:carl has no permission to access Topic:orders "
    )
    grant(admin, "carl", entry(f"Topic:{ORDERS}", "Pub"))
    assert invoke(client, SEND, send_fields(ORDERS), "2")["code"] == 0
    assert client.do("send", topic=ORDERS, body="3")["ok"]
    grant(admin, "carl", entry(f"Topic:{ORDERS}", "Pub", "Deny"))
    assert_refused(client.call("send", topic=ORDERS, body="4"), r"User:carl .* the decision is deny\.")
    grant(admin, "carl", entry(f"Topic:{ORDERS}", "Pub"))
    assert client.do("send", topic=ORDERS, body="5")["ok"]
    disable_user(admin, "carl")
    assert_refused(client.call("send", topic=ORDERS, body="6"), r"User:carl is disabled\.")
    admin.call(3003, {"username": "carl"})
    assert_refused(client.call("send", topic=ORDERS, body="7"), WRONG + r"|User:carl is not found\.")
