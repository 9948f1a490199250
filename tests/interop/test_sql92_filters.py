"""The official clients filter messages with SQL92 expressions."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.fixtures.access import create_topic
from tests.fixtures.server import Server
from tests.fixtures.waiting import eventually
from tests.fixtures.wire import Wire
from tests.interop.conftest import Connections, DrivenClient, Drivers
from tests.interop.driver import bodies

Name = Callable[[str], str]
EXPRESSION = "n BETWEEN 2 AND 4 AND (color IN ('red') OR color IS NULL)"


@pytest.fixture(scope="module")
def server(drivers: Drivers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Start a server that accepts expressions."""
    with Server(tmp_path_factory.mktemp("server"), settings={"enablePropertyFilter": "true"}) as started:
        yield started
        drivers.close_clients()


def positions(admin: Wire, topic: str, group: str) -> int:
    """Return the sum of the committed offsets of a group in the queues of a topic."""
    total = 0
    for queue in range(2):
        answer = admin.call(14, {"consumerGroup": group, "topic": topic, "queueId": str(queue)})
        total += int(answer.ext["offset"]) if answer.code == 0 else 0
    return total


def send_both(client: DrivenClient, topic: str) -> None:
    """Send messages 0 to 7 of a colour, and 0 to 7 without one."""
    client.do("send", topic=topic, count=8, body="red", property__n="{}", property__color="red")
    client.do("send", topic=topic, count=8, body="plain", property__n="{}")
    client.do("send", topic=topic, count=8, body="blue", property__n="{}", property__color="blue")


WANTED = sorted(f"{body}-{number}" for body in ("plain", "red") for number in (2, 3, 4))


def test_a_push_consumer_gets_what_its_expression_selects(java: DrivenClient, admin: Wire, name: Name) -> None:
    topic, group = name("topic"), name("group")
    create_topic(admin, topic, queues=2)
    send_both(java, topic)

    java.do("consume", handle="c", topic=topic, group=group, expression=EXPRESSION, language="SQL92")
    received = java.do("received", handle="c", count=6)["messages"]
    assert sorted(message["body"] for message in received) == WANTED
    # Messages that arrive while the consumer waits are selected, too. The position passes the others.
    send_both(java, topic)
    received = java.do("received", handle="c", count=12)["messages"]
    assert sorted(message["body"] for message in received) == sorted(WANTED * 2)
    java.do("send", topic=topic, count=8, body="blue", property__n="{}", property__color="blue")
    assert eventually(lambda: positions(admin, topic, group) == 56, seconds=30)
    java.do("stop", handle="c")


def comes_again(client: DrivenClient, topic: str, group: str) -> None:
    """Let a consumer with an expression fail once, and check that it gets the message again."""
    client.do("send", topic=topic, count=3, body="red", property__n="{}")
    client.do("consume", handle="c", topic=topic, group=group, expression="n = 2", language="SQL92", failures=1)
    received = client.do("received", handle="c", count=2, timeout=30_000)["messages"]
    client.do("stop", handle="c")
    assert [(message["body"], message["reconsumed"]) for message in received] == [("red-2", 0), ("red-2", 1)]


def test_messages_come_again_whatever_the_expression(java: DrivenClient, admin: Wire, name: Name) -> None:
    topic = name("topic")
    create_topic(admin, topic, queues=2)
    comes_again(java, topic, name("group"))


def test_messages_come_again_if_retry_topics_are_filtered(
    drivers: Drivers, tmp_path_factory: pytest.TempPathFactory, name: Name
) -> None:
    """Official clients subscribe to their retry topics without an expression, so `filterSupportRetry` filters nothing."""
    settings = {"enablePropertyFilter": "true", "filterSupportRetry": "true"}
    with Server(tmp_path_factory.mktemp("retries"), settings=settings) as started:
        client = DrivenClient(drivers.get("5.5.0"), started)
        topic = name("topic")
        client.do("createTopic", topic=topic)
        comes_again(client, topic, name("group"))
        drivers.close_clients()


def test_a_pull_and_a_lite_consumer_send_their_expressions(java: DrivenClient, admin: Wire, name: Name) -> None:
    topic, group = name("topic"), name("group")
    create_topic(admin, topic, queues=1)
    send_both(java, topic)

    pull = {"topic": topic, "group": group, "broker": java.server.broker_name}
    answer = java.do("sqlPull", expression=EXPRESSION, **pull)
    assert (answer["status"], answer["next"], sorted(bodies(answer))) == ("FOUND", 24, WANTED)
    answer = java.do("sqlPull", expression="n > 100", **pull)
    assert (answer["status"], answer["next"], bodies(answer)) == ("NO_MATCHED_MSG", 24, [])
    refused = java.call("sqlPull", expression="n >", **pull)
    assert not refused["ok"]
    assert "CODE: 23" in refused["message"], refused
    assert "character 4: expected" in refused["message"], refused
    lite = java.do("litePull", topic=topic, group=name("lite"), expression=EXPRESSION, language="SQL92", count=6)
    assert sorted(bodies(lite)) == WANTED


def test_a_consumer_with_an_invalid_expression_does_not_start(java: DrivenClient, admin: Wire, name: Name) -> None:
    topic = name("topic")
    create_topic(admin, topic)
    refused = java.call("consume", handle="c", topic=topic, group=name("g"), expression="n LIKE 'x'", language="SQL92")
    assert not refused["ok"]
    assert "CODE: 23" in refused["message"], refused
    assert "character 3: expected AND, OR or the end of the expression, got `LIKE`" in refused["message"], refused


def test_the_go_client_filters(go: DrivenClient, admin: Wire, name: Name) -> None:
    topic, group = name("topic"), name("group")
    create_topic(admin, topic, queues=2)
    send_both(go, topic)
    go.do("consume", handle="c", topic=topic, group=group, expression=EXPRESSION, language="SQL92")
    received = go.do("received", handle="c", count=6)["messages"]
    send_both(go, topic)
    received = go.do("received", handle="c", count=12)["messages"]
    go.do("stop", handle="c")
    assert sorted(message["body"] for message in received) == sorted(WANTED * 2)


def test_a_consumer_finds_its_position_after_a_crash(
    java: DrivenClient, server: Server, connections: Connections, name: Name
) -> None:
    topic, group = name("topic"), name("group")
    create_topic(connections.to(server.broker_port), topic, queues=2)
    java.do("send", topic=topic, count=8, body="before", property__n="{}")
    java.do("consume", handle="c", topic=topic, group=group, expression="n = 5", language="SQL92")
    assert bodies(java.do("received", handle="c", count=1)) == ["before-5"]

    server.kill()
    server.start()
    create_topic(connections.to(server.broker_port), topic, queues=2)
    java.do("send", topic=topic, count=8, body="after", property__n="{}", timeout=20_000)
    received = java.do("received", handle="c", count=2, timeout=60_000)["messages"]
    java.do("stop", handle="c")
    assert [message["body"] for message in received][-1] == "after-5"
    assert {message["body"] for message in received} == {"before-5", "after-5"}


@pytest.mark.parametrize("settings", [{}, {"enablePropertyFilter": "false", "filterSupportRetry": "true"}])
def test_expressions_are_refused_by_default(
    drivers: Drivers, tmp_path_factory: pytest.TempPathFactory, name: Name, settings: dict[str, str]
) -> None:
    with Server(tmp_path_factory.mktemp("default"), settings=settings) as started:
        for client in (DrivenClient(drivers.get("5.5.0"), started), DrivenClient(drivers.get("4.9.8"), started)):
            topic = name("topic")
            client.do("createTopic", topic=topic)
            refused = client.call(
                "consume", handle="d", topic=topic, group=name("group"), expression="n = 1", language="SQL92"
            )
            assert not refused["ok"]
            expected = "CODE: 1  DESC: The broker does not support consumer to filter message by SQL92"
            assert expected in refused["message"], refused
        drivers.close_clients()
