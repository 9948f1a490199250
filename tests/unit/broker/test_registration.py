"""The registration of a broker with remote name servers, with outcomes that the test chooses."""

from __future__ import annotations

import itertools
import json

import pytest

from mqguard.broker.registration import MAX_SINGLE_TOPICS, Registrations
from mqguard.model.topic import DataVersion, TopicConfig
from mqguard.remoting.codes import RequestCode
from mqguard.remoting.command import Command
from tests.fixtures.name_servers import FakeNameServer

PERIOD = 10_000


class FakeTopics:
    def __init__(self) -> None:
        self.topics = {"orders": TopicConfig("orders", 4, 4)}
        self.data_version = DataVersion(1, 1)

    def all(self) -> list[TopicConfig]:
        return list(self.topics.values())

    def get(self, name: str) -> TopicConfig | None:
        return self.topics.get(name)

    def add(self, name: str) -> TopicConfig:
        self.data_version = self.data_version.next(2)
        self.topics[name] = TopicConfig(name, 1, 1)
        return self.topics[name]


@pytest.fixture
def server() -> FakeNameServer:
    return FakeNameServer()


@pytest.fixture
def topics() -> FakeTopics:
    return FakeTopics()


@pytest.fixture
def registrations(server: FakeNameServer, topics: FakeTopics) -> Registrations:
    made = Registrations(topics, PERIOD)
    made.connect([server])
    made.tick(0)
    assert not server.open, "the address is not known yet"
    made.announce("DefaultCluster", "broker-a", "10.0.0.1:10911", topics.all())
    return made


def names(command: Command) -> set[str]:
    """Return the topics of a registration."""
    return set(json.loads(command.body)["topicConfigSerializeWrapper"]["topicConfigTable"])


def test_all_topics_are_registered_first_and_then_only_asked_for(
    registrations: Registrations, server: FakeNameServer
) -> None:
    registrations.tick(0)
    registrations.tick(50)
    command = server.answer()
    assert command.code == RequestCode.REGISTER_BROKER
    assert command.ext["brokerAddr"] == "10.0.0.1:10911"
    assert names(command) == {"orders"}
    assert registrations.registered == {server.address: True}
    registrations.tick(PERIOD - 1)
    assert not server.open
    for period in (1, 2):
        registrations.tick(50 + period * PERIOD)
        assert server.answer(changed="false").code == RequestCode.QUERY_DATA_VERSION
    assert not server.open


def test_a_changed_topic_is_registered_at_once_and_alone(
    registrations: Registrations, server: FakeNameServer, topics: FakeTopics
) -> None:
    """Changes during a request follow in the next one, together."""
    registrations.tick(0)
    for name in ("early", "early-too"):
        registrations.announce_topic("broker-a", name, topics.add(name))
    server.answer()
    registrations.tick(50)
    assert names(server.answer()) == {"early", "early-too"}
    registrations.announce_topic("broker-a", "later", topics.add("later"))
    registrations.announce_topic("broker-a", "even-later", topics.add("even-later"))
    assert names(server.answer()) == {"later"}
    registrations.tick(100)
    assert names(server.answer()) == {"even-later"}


def test_many_changed_topics_are_registered_with_all_others(
    registrations: Registrations, server: FakeNameServer, topics: FakeTopics
) -> None:
    registrations.tick(0)
    for number in range(MAX_SINGLE_TOPICS + 1):
        registrations.announce_topic("broker-a", f"t{number}", topics.add(f"t{number}"))
    server.answer()
    registrations.tick(50)
    assert names(server.answer()) == set(topics.topics)


@pytest.mark.parametrize("answer", [{"changed": "true"}, {}])
def test_a_name_server_with_another_version_gets_all_topics(
    registrations: Registrations, server: FakeNameServer, answer: dict[str, str]
) -> None:
    registrations.tick(0)
    server.answer()
    registrations.tick(PERIOD)
    server.answer(**answer)
    assert names(server.answer()) == {"orders"}


def test_a_name_server_that_does_not_know_the_question_gets_all_topics(
    registrations: Registrations, server: FakeNameServer
) -> None:
    registrations.tick(0)
    server.answer()
    registrations.tick(PERIOD)
    server.answer(3)
    assert server.answer().code == RequestCode.REGISTER_BROKER


def test_a_failed_registration_is_repeated_less_and_less_often(
    registrations: Registrations, server: FakeNameServer, caplog: pytest.LogCaptureFixture
) -> None:
    """The same reason is logged once in a minute."""
    attempts = []
    for now in range(0, 60_000, 50):
        registrations.tick(now)
        if server.open:
            attempts.append(now)
            server.fail()
    assert [after - before for before, after in itertools.pairwise(attempts)] == [
        1000, 2000, 4000, 8000, *[PERIOD] * (len(attempts) - 5)
    ]  # fmt: skip
    assert registrations.registered == {server.address: False}
    assert len([record for record in caplog.records if "not registered" in record.message]) == 1


def test_a_refusal_names_the_setting(
    registrations: Registrations, server: FakeNameServer, caplog: pytest.LogCaptureFixture
) -> None:
    registrations.tick(0)
    server.answer(16)
    assert "innerClientAuthenticationCredentials" in caplog.text
    assert "because" in caplog.text


def test_a_lost_connection_leads_to_a_registration_of_all_topics(
    registrations: Registrations, server: FakeNameServer, topics: FakeTopics
) -> None:
    registrations.tick(0)
    server.answer()
    registrations.lost(server)
    registrations.announce_topic("broker-a", "new", topics.add("new"))
    assert not server.open, "the name server does not know the broker any more"
    registrations.tick(1000)
    assert names(server.answer()) == {"orders", "new"}


def test_leaving_waits_for_the_name_servers(registrations: Registrations, server: FakeNameServer) -> None:
    left: list[bool] = []
    registrations.tick(0)
    server.answer()
    registrations.leave(lambda: left.append(True))
    assert not left
    assert server.answer().code == RequestCode.UNREGISTER_BROKER
    assert left
    registrations.tick(10 * PERIOD)
    assert not server.open, "the broker has left"
    registrations.leave(lambda: left.append(True))
    assert len(left) == 2
