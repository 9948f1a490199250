"""The official clients send requests and replies (324, 325, 326); no other user can answer a request or read its reply."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from tests.fixtures.access import create_topic, create_user, entry, grant, send_fields
from tests.fixtures.server import Server
from tests.fixtures.waiting import eventually
from tests.fixtures.wire import HEARTBEAT, User, Wire
from tests.interop.conftest import DrivenClient, Drivers

Name = Callable[[str], str]
SECRET = "12345678"
PULL = 11
CLIENTS = [
    pytest.param("5.5.0", marks=pytest.mark.xdist_group("java-5.5.0")),
    pytest.param("go", marks=pytest.mark.xdist_group("java-5.5.0")),
]


def new_user(admin: Wire, name: str, *entries: dict[str, object]) -> User:
    """Create a user with these permissions."""
    create_user(admin, name, SECRET)
    grant(admin, name, *entries)
    return User(name, SECRET)


@pytest.fixture
def topic(admin: Wire, name: Name) -> str:
    """Create a topic for requests."""
    made = name("topic")
    create_topic(admin, made, queues=1)
    return made


@pytest.mark.parametrize("mode", ["sync", "async"])
@pytest.mark.parametrize(
    ("asking", "responding"),
    [
        pytest.param(asking, responding, marks=pytest.mark.xdist_group("java-5.5.0"))
        for asking, responding in (
            ("5.5.0", "5.5.0"),
            ("4.9.8", "4.9.8"),
            ("go", "go"),
            ("5.5.0", "go"),
            ("go", "5.5.0"),
        )
    ],
)
def test_requests_get_their_replies(
    drivers: Drivers, server: Server, admin: Wire, name: Name, topic: str, asking: str, responding: str, mode: str
) -> None:
    """The asker may only publish, the responder only consume: neither needs a permission on the reply topic."""
    group = name("group")
    asker = new_user(admin, name("asker"), entry(f"Topic:{topic}", "Pub"))
    responder = new_user(admin, name("responder"), entry(f"Topic:{topic}", "Sub"), entry(f"Group:{group}", "Sub"))

    replies = DrivenClient(drivers.get(responding), server, responder)
    replies.do("respond", handle="r", topic=topic, group=group)
    requests = DrivenClient(drivers.get(asking), server, asker)
    answer = requests.do("request", topic=topic, count=5, body="q", timeout=20_000, mode=mode)
    assert answer["replies"] == [f"q-{number}-answered" for number in range(5)]
    assert replies.do("responded", handle="r")["failures"] == []


class OpenRequest:
    """A request of an official client that waits for its reply.

    Attributes:
        properties: Properties of the request, as a consumer reads them.
        answer: Answer of the client's step.
    """

    def __init__(self, admin: Wire, topic: str, answer: Future[dict[str, Any]]) -> None:
        self.answer = answer
        self.properties: dict[str, str] = {}
        assert eventually(lambda: self._find(admin, topic), seconds=30)

    def _find(self, admin: Wire, topic: str) -> bool:
        ext = {
            "consumerGroup": "observer",
            "topic": topic,
            "queueId": "0",
            "queueOffset": "0",
            "maxMsgNums": "1",
            "sysFlag": "4",
            "commitOffset": "0",
            "suspendTimeoutMillis": "0",
            "subscription": "*",
            "subVersion": "0",
        }
        found = admin.call(PULL, ext)
        if found.code != 0:
            return False
        text = found.body[found.body.index(topic.encode()) + len(topic) + 2 :].decode()
        self.properties = dict(pair.split("\x01", 1) for pair in text.split("\x02") if "\x01" in pair)
        return True

    def reply(self, wire: Wire, body: bytes, code: int = 324, **changes: str) -> int:
        """Send a reply, and return the code of the answer."""
        wanted = {name: self.properties[name] for name in ("REPLY_TO_CLIENT", "CORRELATION_ID", "TTL")}
        pairs = {**wanted, "MSG_TYPE": "reply", **changes}
        fields = send_fields(
            "DefaultCluster_REPLY_TOPIC", properties="".join(f"{name}\x01{value}\x02" for name, value in pairs.items())
        )
        return wire.call(code, fields, body).code


def foreign_wires(server: Server, admin: Wire, name: Name, topic: str) -> list[Wire]:
    """Return connections of users that may not read the requests: with other permissions, and with none."""
    other = name("other")
    create_topic(admin, other)
    users = [
        new_user(
            admin,
            name("foreign"),
            entry(f"Topic:{topic}", "Pub"),
            entry(f"Topic:{other}", "Pub,Sub"),
            entry("Topic:DefaultCluster_REPLY_TOPIC", "Pub,Sub"),
            entry("Group:*", "Sub"),
        ),
        new_user(admin, name("stranger"), entry(f"Topic:{other}", "Pub")),
    ]
    return [Wire(server.broker_port, user) for user in users]


@pytest.mark.parametrize("asking", CLIENTS)
def test_a_foreign_user_can_neither_answer_a_request_nor_read_its_reply(
    drivers: Drivers, server: Server, admin: Wire, name: Name, topic: str, asking: str
) -> None:
    """The foreign users know the ids of the request, and say that they are its client."""
    asker = new_user(admin, name("asker"), entry(f"Topic:{topic}", "Pub"))
    responder = new_user(admin, name("responder"), entry(f"Topic:{topic}", "Sub"))
    client = DrivenClient(drivers.get(asking), server, asker)
    foreign = foreign_wires(server, admin, name, topic)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(client.call, "request", topic=topic, body="q", timeout=30_000)
        request = OpenRequest(admin, topic, waiting)
        for wire in foreign:
            # A client may use any id; the heartbeat takes over what its user may do.
            claim = {
                "clientID": request.properties["REPLY_TO_CLIENT"],
                "producerDataSet": [{"groupName": "interop_asker"}, {"groupName": "interop_go_producer"}],
                "consumerDataSet": [],
            }
            wire.call(HEARTBEAT, {}, json.dumps(claim).encode())
            for code in (324, 325):
                assert request.reply(wire, b"forged", code) != 0
        assert not waiting.done()

        with Wire(server.broker_port, responder) as wire:
            assert request.reply(wire, b"forged", CORRELATION_ID="another") != 0
            assert request.reply(wire, b"forged", REPLY_TO_CLIENT="another") != 0
            assert request.reply(wire, b"the reply") == 0
            assert request.reply(wire, b"a second reply") != 0
        assert waiting.result(timeout=60)["replies"] == ["the reply"]

    for wire in foreign:
        # The reply was not pushed to them, and it is not stored where they could read it.
        wire.socket.settimeout(1)
        with pytest.raises(TimeoutError):
            wire.read()
        wire.socket.settimeout(10)
        ext = {"topic": "DefaultCluster_REPLY_TOPIC", "queueId": "0"}
        assert wire.call(30, ext).ext.get("offset", "0") == "0"
        wire.close()


@pytest.mark.parametrize("asking", CLIENTS)
def test_a_request_without_a_reply_fails_in_the_time_of_its_client(
    drivers: Drivers, server: Server, admin: Wire, name: Name, topic: str, asking: str
) -> None:
    asker = new_user(admin, name("asker"), entry(f"Topic:{topic}", "Pub"))
    responder = new_user(admin, name("responder"), entry(f"Topic:{topic}", "Sub"))
    client = DrivenClient(drivers.get(asking), server, asker)
    began = time.monotonic()
    answer = client.call("request", topic=topic, body="q", timeout=3_000)
    assert not answer["ok"]
    assert "timeout" in answer["message"].lower(), answer
    assert 2 < time.monotonic() - began < 30
    time.sleep(1.5)  # the Go client writes its time in whole seconds, so the broker waits for up to one more
    with Wire(server.broker_port, responder) as wire:
        late = OpenRequest(admin, topic, Future())
        assert late.reply(wire, b"late") != 0
