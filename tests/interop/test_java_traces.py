"""The official Java clients send traces, to the usual topic and to that of `AccessChannel.CLOUD`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fixtures.access import create_topic, create_user, entry, grant, read_all
from tests.fixtures.server import Server, environment
from tests.fixtures.waiting import eventually
from tests.fixtures.wire import User, Wire
from tests.interop.conftest import DrivenClient
from tests.interop.driver import Driver
from tests.interop.toolchain import JAVA_CLIENTS, java_driver

Name = Callable[[str], str]

TOPICS = {"LOCAL": "RMQ_SYS_TRACE_TOPIC", "CLOUD": "rmq_sys_TRACE_DATA_DefaultRegion"}


@pytest.fixture(params=JAVA_CLIENTS)
def java(request: pytest.FixtureRequest, server: Server, tmp_path: Path) -> Iterator[DrivenClient]:
    """Return a client in a process of its own: all producers of a process send their traces as the first user."""
    with Driver(java_driver(request.param, tmp_path), tmp_path / "driver.log", environment()) as driver:
        yield DrivenClient(driver, server)
        driver.call("close")


def traces_of(admin: Wire, channel: str, topic: str) -> list[bytes]:
    """Return the traces of a topic's messages."""
    return [body for body in read_all(admin, TOPICS[channel], "watch", 0) if topic.encode() in body]


def denials_of(audit: Path, user: User) -> str:
    """Return the lines of the audit log about a user that was denied."""
    return "".join(line for line in audit.read_text().splitlines() if user.name in line and '"deny"' in line.lower())


@pytest.mark.parametrize("channel", list(TOPICS))
def test_a_user_needs_no_grant_for_its_traces(java: DrivenClient, admin: Wire, name: Name, channel: str) -> None:
    topic, user = name("topic"), User(name("user"), "12345678")
    create_topic(admin, topic)
    create_user(admin, user.name, user.secret)
    grant(admin, user.name, entry(f"Topic:{topic}", "Pub"))

    assert java.as_(user).do("traced", topic=topic, channel=channel, body="traced")["status"] == "SEND_OK"
    assert eventually(lambda: traces_of(admin, channel, topic))


@pytest.mark.parametrize("channel", list(TOPICS))
def test_a_policy_may_deny_traces(java: DrivenClient, admin: Wire, name: Name, channel: str) -> None:
    topic, user = name("topic"), User(name("user"), "12345678")
    create_topic(admin, topic)
    create_user(admin, user.name, user.secret)
    grant(admin, user.name, entry(f"Topic:{topic}", "Pub"), entry(f"Topic:{TOPICS[channel]}", "Pub", "Deny"))

    client = java.as_(user)
    assert client.do("traced", topic=topic, channel=channel, body="traced")["status"] == "SEND_OK"
    audit = java.server.data / "audit" / "audit.jsonl"
    assert eventually(lambda: f"Topic:{TOPICS[channel]}" in denials_of(audit, user))
    assert traces_of(admin, channel, topic) == []
