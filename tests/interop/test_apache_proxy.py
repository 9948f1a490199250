"""Apache's proxy 5.5.0 in cluster mode in front of our broker, with the official gRPC client for Java."""

from __future__ import annotations

import json
import socket
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.access import ADMIN, create_topic, create_user, entry, expect, grant, pull
from tests.fixtures.access import bodies as records_of
from tests.fixtures.server import SUPER, SUPER_SECRET, Server, environment
from tests.fixtures.waiting import eventually
from tests.fixtures.wire import CREATE_TOPIC, User, Wire
from tests.interop.driver import Driver, bodies, expected
from tests.interop.toolchain import java_grpc_driver, java_proxy

pytestmark = pytest.mark.xdist_group("apache-proxy")

Name = Callable[[str], str]
UPDATE_GROUP = 200


@dataclass
class Proxied:
    """A gRPC client of a user at a proxy."""

    driver: Driver
    endpoint: str
    user: User = ADMIN

    def call(self, verb: str, **arguments: object) -> dict[str, Any]:
        """Do a step as this user, and return the answer, which may be a refusal."""
        who = {"endpoint": self.endpoint, "user": self.user.name, "secret": self.user.secret}
        who |= {"tls": "false", "patience": "10"}
        return self.driver.call(verb, **{**who, **arguments})

    def do(self, verb: str, **arguments: object) -> dict[str, Any]:
        """Do a step that must succeed, and return the answer."""
        answer = self.call(verb, **arguments)
        assert answer["ok"], answer
        return answer


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def configure(server: Server, home: Path, remoting: int, grpc: int) -> Path:
    """Write the proxy's configuration, and return its path."""
    provider = "org.apache.rocketmq.auth.{0}.provider.Default{1}Provider"
    values = {
        "rocketMQClusterName": "DefaultCluster",
        "namesrvAddr": server.namesrv,
        "proxyMode": "cluster",
        "enableAclRpcHookForClusterMode": True,
        "remotingListenPort": remoting,
        "grpcServerPort": grpc,
        "authenticationEnabled": True,
        "authenticationProvider": provider.format("authentication", "Authentication"),
        "authenticationMetadataProvider": "org.apache.rocketmq.proxy.auth.ProxyAuthenticationMetadataProvider",
        "innerClientAuthenticationCredentials": json.dumps({"accessKey": SUPER, "secretKey": SUPER_SECRET}),
        "authorizationEnabled": True,
        "authorizationProvider": provider.format("authorization", "Authorization"),
        "authorizationMetadataProvider": "org.apache.rocketmq.proxy.auth.ProxyAuthorizationMetadataProvider",
    }
    path = home / "rmq-proxy.json"
    path.write_text(json.dumps(values))
    return path


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Start a server that gives the proxy the secrets of users, which it needs to check their signatures."""
    settings = {"secretExposure": "plain"}
    with Server(tmp_path_factory.mktemp("server"), settings=settings) as started:
        yield started


@pytest.fixture(scope="module")
def proxied(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxied]:
    """Start the proxy, and a driver of the client."""
    home = tmp_path_factory.mktemp("proxy")
    proxy, driver = java_proxy(home), java_grpc_driver(home)
    grpc = free_port()
    path = configure(server, home, free_port(), grpc)
    log = home / "proxy.log"
    with log.open("wb") as out:
        process = subprocess.Popen([*proxy, "-pc", str(path)], stdout=out, stderr=out, env=environment())
    try:
        started = eventually(lambda: b"startup successfully" in log.read_bytes(), seconds=120, pause=0.2)
        assert started, log.read_text(errors="replace")[-3000:]
        with Driver(driver, home / "driver.log", environment(HOME=str(home))) as opened:
            yield Proxied(opened, f"127.0.0.1:{grpc}")
    finally:
        process.kill()
        process.wait()


def create(admin: Wire, name: Name) -> tuple[str, str]:
    topic, group = name("topic"), name("group")
    create_topic(admin, topic)
    return topic, group


def test_a_simple_consumer_receives_acknowledges_and_changes(proxied: Proxied, admin: Wire, name: Name) -> None:
    topic, group = create(admin, name)
    proxied.do("send", topic=topic, count=3, body="m")
    proxied.do("open", handle=group, topic=topic, group=group)
    received: list[dict[str, Any]] = []
    while len(received) < 3:
        received += proxied.do("receive", handle=group, seconds=30)["messages"]
    assert Counter(message["body"] for message in received) == Counter(expected("m", 3))
    assert {message["attempt"] for message in received} == {1}

    proxied.do("ack", handle=group, id=received[0]["id"])
    proxied.do("change", handle=group, id=received[1]["id"], seconds=10)
    proxied.do("ack", handle=group, id=received[2]["id"])
    again: list[dict[str, Any]] = []
    assert eventually(
        lambda: again.extend(proxied.do("receive", handle=group, seconds=30)["messages"]) or again, seconds=60
    )
    assert [(message["body"], message["attempt"]) for message in again] == [(received[1]["body"], 2)]
    proxied.do("ack", handle=group, id=again[0]["id"])
    assert proxied.do("receive", handle=group)["messages"] == []


def test_a_push_consumer_gets_a_failed_message_again(proxied: Proxied, admin: Wire, name: Name) -> None:
    topic, group = create(admin, name)
    proxied.do("push", handle=group, topic=topic, group=group, failures=1)
    proxied.do("send", topic=topic, count=1, body="m")
    messages = proxied.do("pushed", handle=group, count=2, timeout=60_000, wait=90)["messages"]
    assert [(message["body"], message["attempt"]) for message in messages] == [("m-0", 1), ("m-0", 2)]


def create_fifo(admin: Wire, name: Name, retries: int = 16) -> tuple[str, str]:
    """Create a topic for messages in order, and a group that consumes in order."""
    topic, group = name("topic"), name("group")
    fields = {
        "topic": topic,
        "defaultTopic": "TBW102",
        "readQueueNums": "4",
        "writeQueueNums": "4",
        "perm": "6",
        "topicFilterType": "SINGLE_TAG",
        "topicSysFlag": "0",
        "order": "false",
        "attributes": "+message.type=FIFO",
    }
    expect(admin.call(CREATE_TOPIC, fields))
    config = {"groupName": group, "consumeMessageOrderly": True, "retryMaxTimes": retries}
    expect(admin.call(UPDATE_GROUP, {}, json.dumps(config).encode()))
    return topic, group


def deliveries(messages: list[dict[str, Any]]) -> list[tuple[str, int]]:
    """Return bodies and numbers of deliveries."""
    return [(message["body"], message["attempt"]) for message in messages]


def received(proxied: Proxied, handle: str, **arguments: object) -> list[dict[str, Any]]:
    """Receive until messages come."""
    found: list[dict[str, Any]] = []
    assert eventually(
        lambda: found.extend(proxied.do("receive", handle=handle, **arguments)["messages"]) or found, seconds=60
    )
    return found


def test_a_simple_consumer_receives_in_order(proxied: Proxied, admin: Wire, name: Name) -> None:
    """A batch blocks its message group until it is acknowledged, and comes again from the first open message on."""
    topic, group = create_fifo(admin, name)
    proxied.do("send", topic=topic, count=5, body="m", fifo="one")
    proxied.do("open", handle=group, topic=topic, group=group)
    first = received(proxied, group, count=3, seconds=20)
    assert deliveries(first) == [("m-0", 1), ("m-1", 1), ("m-2", 1)]
    assert proxied.do("receive", handle=group, count=3, seconds=20)["messages"] == []

    proxied.do("ack", handle=group, id=first[0]["id"])
    proxied.do("ack", handle=group, id=first[2]["id"])
    again = received(proxied, group, count=3, seconds=30)
    assert deliveries(again) == [("m-1", 2), ("m-2", 2), ("m-3", 1)]
    assert not proxied.call("ack", handle=group, id=first[1]["id"])["ok"]
    for message in again:
        proxied.do("ack", handle=group, id=message["id"])
    [last] = received(proxied, group, count=3, seconds=30)
    assert deliveries([last]) == [("m-4", 1)]
    proxied.do("change", handle=group, id=last["id"], seconds=10)
    proxied.do("send", topic=topic, count=1, body="n", fifo="one")
    assert deliveries(received(proxied, group, count=3, seconds=30)) == [("m-4", 2), ("n-0", 1)]


def test_a_push_consumer_gets_each_message_group_in_order(proxied: Proxied, admin: Wire, name: Name) -> None:
    """A failed message comes again before the next one of its queue."""
    topic, group = create_fifo(admin, name)
    for fifo in ("one", "two"):
        proxied.do("send", topic=topic, count=4, body=fifo, fifo=fifo)
    proxied.do("push", handle=group, topic=topic, group=group, failures=1)
    messages = proxied.do("pushed", handle=group, count=16, timeout=90_000, wait=120)["messages"]
    for fifo in ("one", "two"):
        seen = [message for message in deliveries(messages) if message[0].startswith(fifo)]
        assert seen == [(f"{fifo}-{number}", attempt) for number in range(4) for attempt in (1, 2)]
    assert len(proxied.do("pushed", handle=group, count=17, timeout=5000)["messages"]) == 16
    proxied.do("stop", handle=group)


def test_messages_in_order_wait_while_one_fails(proxied: Proxied, admin: Wire, name: Name) -> None:
    """A message that always fails is a dead letter after its last attempt, and the next one follows."""
    topic, group = create_fifo(admin, name, retries=1)
    proxied.do("send", topic=topic, count=2, body="m", fifo="one")
    proxied.do("push", handle=group, topic=topic, group=group, failures=99)
    messages = proxied.do("pushed", handle=group, count=4, timeout=90_000, wait=120)["messages"]
    assert deliveries(messages) == [("m-0", 1), ("m-0", 2), ("m-1", 1), ("m-1", 2)]

    def dead() -> list[bytes]:
        return records_of(pull(admin, f"%DLQ%{group}", "TOOLS_CONSUMER", 0, 0).body)

    assert eventually(lambda: dead() == [b"m-0", b"m-1"], seconds=30), dead()
    assert len(proxied.do("pushed", handle=group, count=5, timeout=3000)["messages"]) == 4
    proxied.do("stop", handle=group)


def test_a_user_without_rights_neither_sends_nor_receives(proxied: Proxied, admin: Wire, name: Name) -> None:
    topic, group = create(admin, name)
    user = User(name("user"), "secret-of-a-user")
    create_user(admin, user.name, user.secret)
    other = Proxied(proxied.driver, proxied.endpoint, user)
    assert not other.call("send", topic=topic, body="m")["ok"]
    assert not other.call("open", handle=f"{group}-x", topic=topic, group=group)["ok"]


def test_a_user_with_rights_receives(proxied: Proxied, admin: Wire, name: Name) -> None:
    topic, group = create(admin, name)
    user = User(name("user"), "secret-of-a-user")
    create_user(admin, user.name, user.secret)
    grant(admin, user.name, entry(f"Topic:{topic}", "Pub,Sub"), entry(f"Group:{group}", "Sub"))
    other = Proxied(proxied.driver, proxied.endpoint, user)
    other.do("send", topic=topic, body="m")
    other.do("open", handle=group, topic=topic, group=group)
    assert bodies(other.do("receive", handle=group)) == ["m-0"]


def create_lite(server: Server, name: Name, **attributes: str) -> tuple[str, str]:
    """Create a parent of lite topics, and a group that consumes them."""
    topic, group = name("parent"), name("lite-group")
    changes = {f"+{key}": value for key, value in {"lite.bind.topic": topic, **attributes}.items()}
    # These tests take minutes on a busy machine, in which the server closes a connection without requests.
    with Wire(server.broker_port, ADMIN) as admin:
        create_topic(admin, topic, kind="LITE")
        expect(admin.call(UPDATE_GROUP, {}, json.dumps({"groupName": group, "attributes": changes}).encode()))
    return topic, group


def test_a_lite_push_consumer_gets_the_messages_of_its_lite_topics(
    proxied: Proxied, server: Server, name: Name
) -> None:
    """They come again after a failure, and no more after the client has unsubscribed."""
    topic, group = create_lite(server, name)
    proxied.do("lite", handle=group, topic=topic, group=group, lites="one,two", failures=1)
    for lite, count in (("one", 3), ("two", 1), ("three", 1)):
        proxied.do("send", topic=topic, count=count, body=lite, lite=lite)
    messages = proxied.do("pushed", handle=group, count=8, timeout=120_000, wait=150)["messages"]
    seen = [(message["liteTopic"], message["body"], message["attempt"]) for message in messages]
    assert sorted(seen) == sorted(
        [("one", f"one-{number}", attempt) for number in range(3) for attempt in (1, 2)]
        + [("two", "two-0", attempt) for attempt in (1, 2)]
    )
    proxied.do("unsubscribe", handle=group, lite="two")
    proxied.do("send", topic=topic, count=1, body="gone", lite="two")
    proxied.do("send", topic=topic, count=1, body="end", lite="one")
    messages = proxied.do("pushed", handle=group, count=10, timeout=60_000, wait=90)["messages"]
    assert {message["body"] for message in messages[8:]} == {"end-0"}
    proxied.do("stop", handle=group)


def test_an_exclusive_lite_topic_moves_to_the_last_subscriber(proxied: Proxied, server: Server, name: Name) -> None:
    topic, group = create_lite(server, name, **{"lite.sub.model": "Exclusive"})
    first, second = f"{group}-1", f"{group}-2"
    for handle in (first, second):
        proxied.do("lite", handle=handle, topic=topic, group=group, lites="one")
    proxied.do("send", topic=topic, count=3, body="a", lite="one")
    assert len(proxied.do("pushed", handle=second, count=3, timeout=60_000, wait=90)["messages"]) == 3
    assert proxied.do("pushed", handle=first, count=1, timeout=2_000)["messages"] == []
    proxied.do("stop", handle=first)
    proxied.do("stop", handle=second)


def test_a_user_needs_rights_for_lite_topics(proxied: Proxied, server: Server, name: Name) -> None:
    topic, group = create_lite(server, name)
    user = User(name("user"), "secret-of-a-user")
    with Wire(server.broker_port, ADMIN) as admin:
        create_user(admin, user.name, user.secret)
        grant(admin, user.name, entry(f"Topic:{topic}", "Sub"))
    other = Proxied(proxied.driver, proxied.endpoint, user)
    assert not other.call("lite", handle=f"{group}-x", topic=topic, group=group, lites="one")["ok"]
