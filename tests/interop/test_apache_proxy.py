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

from tests.fixtures.access import ADMIN, create_topic, create_user, entry, grant
from tests.fixtures.server import SUPER, SUPER_SECRET, Server, environment
from tests.fixtures.waiting import eventually
from tests.fixtures.wire import User, Wire
from tests.interop.driver import Driver, bodies, expected
from tests.interop.toolchain import java_grpc_driver, java_proxy

Name = Callable[[str], str]


@dataclass
class Proxied:
    """A gRPC client of a user at a proxy."""

    driver: Driver
    endpoint: str
    user: User = ADMIN

    def call(self, verb: str, **arguments: object) -> dict[str, Any]:
        """Do a step as this user, and return the answer, which may be a refusal."""
        who = {"endpoint": self.endpoint, "user": self.user.name, "secret": self.user.secret}
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
