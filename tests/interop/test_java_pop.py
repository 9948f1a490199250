"""Push consumers of the official Java client 5.5.0 that let the broker assign queues, by pop and by pull."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fixtures.access import create_topic, create_user, entry, grant
from tests.fixtures.server import environment
from tests.fixtures.waiting import eventually
from tests.fixtures.wire import User, Wire
from tests.interop.conftest import DrivenClient
from tests.interop.driver import Driver, bodies, expected
from tests.interop.toolchain import java_pop_driver

Name = Callable[[str], str]
Start = Callable[[], DrivenClient]


@pytest.fixture
def start(java5: DrivenClient, tmp_path: Path) -> Iterator[Start]:
    """Return a function that starts another process of pop consumers."""
    started: list[Driver] = []

    def start_one() -> DrivenClient:
        home = tmp_path / f"pop-{len(started)}"
        home.mkdir()
        driver = Driver(java_pop_driver(home), home / "driver.log", environment(DRIVER_LOG_LEVEL="warn"))
        started.append(driver)
        return DrivenClient(driver, java5.server, java5.user)

    yield start_one
    for driver in started:
        driver.close()


@pytest.fixture
def popped(java5: DrivenClient, admin: Wire, name: Name) -> tuple[str, str]:
    """Create a topic, and a group that pops it."""
    topic, group = name("topic"), name("group")
    create_topic(admin, topic)
    set_mode(java5, topic, group, "POP")
    return topic, group


def set_mode(client: DrivenClient, topic: str, group: str, mode: str) -> None:
    """Set the mode of a group with the real mqadmin."""
    words = ("setConsumeMode", "-b", client.server.broker, "-t", topic, "-g", group, "-m", mode)
    assert "success" in client.mqadmin(*words).out


def test_popped_messages_arrive_once(java5: DrivenClient, start: Start, popped: tuple[str, str]) -> None:
    topic, group = popped
    consumer = start()
    java5.do("send", topic=topic, count=20, body="m", tag="T", key="K")
    consumer.do("consume", handle="c", topic=topic, group=group)
    messages = consumer.do("received", handle="c", count=20)["messages"]

    assert Counter(message["body"] for message in messages) == Counter(expected("m", 20))
    assert {(message["topic"], message["tag"], message["reconsumed"]) for message in messages} == {(topic, "T", 0)}
    assert consumer.do("modes", handle="c", topic=topic) == {"ok": True, "pulled": [], "popped": [-1]}
    assert_consumed(java5, topic, group)
    assert len(consumer.do("received", handle="c", count=21, timeout=7000)["messages"]) == 20


def progress(client: DrivenClient, topic: str, group: str) -> list[list[str]]:
    """Return the rows that mqadmin shows of a group's progress."""
    words = ("consumerProgress", "-n", client.server.namesrv, "-g", group, "-t", topic)
    return [row for row in client.mqadmin(*words).rows if row[0] == topic]


def assert_consumed(client: DrivenClient, topic: str, group: str) -> None:
    """Wait until mqadmin shows that the group has consumed all messages."""

    def is_consumed() -> bool:
        rows = progress(client, topic, group)
        return len(rows) == 4 and all(row[3] == row[4] for row in rows)

    assert eventually(is_consumed, seconds=30, pause=0.5), progress(client, topic, group)


def test_a_failed_message_comes_again_with_its_attempts(
    java5: DrivenClient, start: Start, popped: tuple[str, str]
) -> None:
    topic, group = popped
    consumer = start()
    consumer.do("consume", handle="c", topic=topic, group=group, failures=2)
    java5.do("send", topic=topic, count=1, body="m")
    messages = consumer.do("received", handle="c", count=3, timeout=40_000)["messages"]

    assert [message["reconsumed"] for message in messages] == [0, 1, 2]
    assert {(message["topic"], message["body"]) for message in messages} == {(topic, "m-0")}
    assert len({message["properties"]["1ST_POP_TIME"] for message in messages}) == 1
    assert len(consumer.do("received", handle="c", count=4, timeout=5000)["messages"]) == 3


def test_a_message_that_always_fails_is_a_dead_letter(
    java5: DrivenClient, start: Start, popped: tuple[str, str]
) -> None:
    topic, group = popped
    java5.mqadmin("updateSubGroup", "-b", java5.server.broker, "-g", group, "-r", "1")
    consumer = start()
    consumer.do("consume", handle="c", topic=topic, group=group, failures=99)
    sent = java5.do("send", topic=topic, count=1, body="m")["results"][0]
    assert len(consumer.do("received", handle="c", count=2, timeout=40_000)["messages"]) == 2

    java5.do("consume", handle="d", topic=f"%DLQ%{group}", group=f"{group}_dead")
    (dead,) = java5.do("received", handle="d", timeout=40_000)["messages"]
    java5.do("stop", handle="d")
    assert dead["body"] == "m-0"
    assert dead["msgId"] == sent["msgId"]
    assert dead["properties"]["DLQ_ORIGIN_TOPIC"] == topic
    assert len(consumer.do("received", handle="c", count=3, timeout=3000)["messages"]) == 2


def test_messages_of_a_killed_consumer_come_to_another(
    java5: DrivenClient, start: Start, popped: tuple[str, str]
) -> None:
    topic, group = popped
    first, second = start(), start()
    first.do("consume", handle="c", topic=topic, group=group, hold=600_000)
    java5.do("send", topic=topic, count=4, body="m")
    first.do("received", handle="c", count=4)
    first.driver.kill()

    second.do("consume", handle="c", topic=topic, group=group)
    messages = second.do("received", handle="c", count=4, timeout=40_000)["messages"]
    assert Counter(message["body"] for message in messages) == Counter(expected("m", 4))
    assert {message["reconsumed"] for message in messages} == {1}


def test_the_broker_assigns_queues_to_pull_unless_a_mode_is_set(
    java5: DrivenClient, start: Start, admin: Wire, name: Name
) -> None:
    topic, group = name("topic"), name("group")
    create_topic(admin, topic)
    consumer = start()
    java5.do("send", topic=topic, count=8, body="m")
    consumer.do("consume", handle="c", topic=topic, group=group)
    messages = consumer.do("received", handle="c", count=8)["messages"]
    assert Counter(message["body"] for message in messages) == Counter(expected("m", 8))
    assert consumer.do("modes", handle="c", topic=topic)["popped"] == []
    assert_consumed(java5, topic, group)

    set_mode(java5, topic, group, "POP")
    assert eventually(lambda: consumer.do("modes", handle="c", topic=topic)["popped"] == [-1], seconds=40)
    java5.do("send", topic=topic, count=8, body="n")
    messages = consumer.do("received", handle="c", count=16)["messages"]
    assert Counter(message["body"] for message in messages[8:]) == Counter(expected("n", 8))


def test_a_tag_selects_messages(java5: DrivenClient, start: Start, popped: tuple[str, str]) -> None:
    topic, group = popped
    java5.do("send", topic=topic, count=3, body="a", tag="A")
    java5.do("send", topic=topic, count=3, body="b", tag="B")
    consumer = start()
    consumer.do("consume", handle="c", topic=topic, group=group, expression="B")
    assert sorted(bodies(consumer.received("c", 3))) == expected("b", 3)


def test_a_user_without_rights_pops_nothing(
    java5: DrivenClient, start: Start, admin: Wire, popped: tuple[str, str], name: Name
) -> None:
    topic, group = popped
    java5.do("send", topic=topic, count=1, body="m")
    for rights in ([entry(f"Topic:{topic}", "Sub")], [entry(f"Group:{group}", "Sub")]):
        consumer = start().as_(new_user(admin, name, *rights))
        consumer.do("consume", handle="c", topic=topic, group=group)
        assert consumer.do("received", handle="c", timeout=3000)["messages"] == []
    both = new_user(admin, name, entry(f"Topic:{topic}", "Sub"), entry(f"Group:{group}", "Sub"))
    consumer = start().as_(both)
    consumer.do("consume", handle="c", topic=topic, group=group)
    assert bodies(consumer.do("received", handle="c")) == ["m-0"]


def new_user(admin: Wire, name: Name, *entries: dict[str, object]) -> User:
    """Create a Normal user with entries of an ACL."""
    user = User(name("user"), "secret-of-a-user")
    create_user(admin, user.name, user.secret)
    grant(admin, user.name, *entries)
    return user
