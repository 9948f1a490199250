"""Routes from remote name servers for the assignment of queues, with answers that the test chooses."""

from __future__ import annotations

import json
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqguard.auth.user import Subject
from mqguard.broker import topic_routes as module
from mqguard.broker.topic_routes import ANSWER_S, FRESH_MS, LOG_INTERVAL_MS, MAX_AGE_MS, RETRY_MS, TopicRoutes
from mqguard.remoting.codes import RequestCode, ResponseCode
from tests.fixtures.clock import ManualClock
from tests.fixtures.name_servers import FakeNameServer
from tests.unit.broker.conftest import House, answer_to
from tests.unit.broker.processors.test_clients import beat

ROUTE = int(RequestCode.GET_ROUTEINFO_BY_TOPIC)


def route(**queues: int) -> bytes:
    """Return the body of a route, in which a broker with `_` at the end cannot be read."""
    datas = [
        {
            "brokerName": name.rstrip("_"),
            "readQueueNums": number,
            "writeQueueNums": number,
            "perm": 2 if name.endswith("_") else 6,
        }
        for name, number in queues.items()
    ]
    return json.dumps({"brokerDatas": [], "queueDatas": datas}).encode()


class Seen:
    """A cache of routes with its name servers, and the routes that clients got."""

    def __init__(self, servers: int = 1) -> None:
        self.clock = ManualClock()
        self.routes = TopicRoutes(self.clock)
        self.servers = [FakeNameServer(f"server-{number}") for number in range(servers)]
        self.ends = 0
        self.routes.connect(self.servers, self._ended)
        self.found: list[dict[str, int]] = []

    def _ended(self) -> None:
        self.ends += 1

    def request(self, topic: str = "t", owner: str = "u") -> bool:
        return self.routes.request(topic, owner, lambda queues: self.found.append(dict(queues)))

    def fetched(self, topic: str = "t", owner: str = "u", **queues: int) -> None:
        assert self.request(topic, owner)
        self.servers[0].answer(body=route(**queues))
        self.found.clear()


@pytest.fixture
def seen() -> Seen:
    return Seen()


def test_a_route_is_requested_once_for_all_clients_and_cached(seen: Seen) -> None:
    assert seen.request()
    assert seen.request(owner="v")
    assert seen.found == []
    [server] = seen.servers
    command = server.answer(body=route(a=4, b=2, c_=8))
    assert command.code == ROUTE
    assert command.ext == {"topic": "t", "acceptStandardJsonOnly": "true"}
    assert seen.found == [{"a": 4, "b": 2}] * 2
    assert seen.ends == 1
    assert not seen.request()
    assert seen.routes.queues("t") == {"a": 4, "b": 2}
    assert server.codes == [ROUTE]


def test_an_old_route_is_used_while_a_newer_one_is_requested(seen: Seen) -> None:
    seen.fetched(a=4)
    [server] = seen.servers
    seen.clock.now += FRESH_MS
    assert not seen.request()
    assert not seen.request()
    assert seen.routes.queues("t") == {"a": 4}
    server.answer(body=route(a=4, b=4))
    assert seen.routes.queues("t") == {"a": 4, "b": 4}
    assert seen.found == []
    assert seen.ends == 1
    assert len(server.codes) == 2


def test_a_client_waits_for_a_newer_route_than_a_very_old_one(seen: Seen) -> None:
    seen.fetched(a=4)
    seen.clock.now += MAX_AGE_MS
    assert seen.request()
    seen.servers[0].answer(body=route(a=8))
    assert seen.found == [{"a": 8}]


@pytest.mark.parametrize("failure", ["refused", "broken", "error", "large"])
def test_the_last_route_stays_if_no_name_server_answers(
    seen: Seen, failure: str, caplog: pytest.LogCaptureFixture
) -> None:
    seen.fetched(a=4)
    [server] = seen.servers
    for _ in range(2):
        seen.clock.now += MAX_AGE_MS
        assert seen.request()
        with caplog.at_level(logging.WARNING):
            if failure == "refused":
                server.fail()
            elif failure == "broken":
                server.answer(body=b"{")
            elif failure == "large":
                server.answer(body=route(**{f"b{number}": 1 for number in range(module.MAX_BROKERS + 1)}))
            else:
                server.answer(ResponseCode.SYSTEM_ERROR)
        assert not seen.request()
    assert seen.found == [{"a": 4}] * 2
    assert len(caplog.messages) == 2
    assert "no routes from the name server server-0 for the assignment of queues: " in caplog.text
    seen.clock.now += RETRY_MS
    assert seen.request()


def test_a_failure_that_lasts_is_logged_once_a_minute(seen: Seen, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        for _ in range(10):
            assert seen.request()
            seen.servers[0].fail()
            seen.clock.now += RETRY_MS
        assert len(caplog.messages) == 1
        seen.clock.now += LOG_INTERVAL_MS
        assert seen.request()
        seen.servers[0].fail()
    assert len(caplog.messages) == 2
    assert seen.found == [{}] * 11


def test_a_missing_topic_is_requested_again_soon(seen: Seen) -> None:
    [server] = seen.servers
    assert seen.request()
    server.answer(ResponseCode.TOPIC_NOT_EXIST)
    assert seen.found == [{}]
    assert not seen.request()
    seen.clock.now += RETRY_MS
    assert seen.request()
    server.answer(body=route(a=1))
    assert seen.found == [{}, {"a": 1}]


def test_a_topic_that_no_longer_exists_has_no_route(seen: Seen) -> None:
    seen.fetched(a=4)
    seen.clock.now += FRESH_MS
    assert not seen.request()
    seen.servers[0].answer(ResponseCode.TOPIC_NOT_EXIST)
    assert seen.routes.queues("t") == {}


def test_the_other_name_servers_are_tried_first_the_one_that_works() -> None:
    seen = Seen(servers=2)
    first, second = seen.servers
    assert seen.request()
    first.fail()
    second.answer(body=route(a=1))
    assert seen.found == [{"a": 1}]
    assert seen.request("other")
    second.fail()
    first.fail()
    assert seen.found == [{"a": 1}, {}]
    assert (len(first.codes), len(second.codes)) == (2, 2)


def test_a_change_at_this_broker_has_the_route_requested_again(seen: Seen) -> None:
    seen.fetched(a=4)
    [server] = seen.servers
    seen.routes.changed("t")
    seen.routes.changed("other")
    assert seen.request()
    seen.routes.changed("t")
    server.answer(body=route(a=5))
    assert seen.request() is False
    server.answer(body=route(a=6))
    assert seen.routes.queues("t") == {"a": 6}
    assert seen.request() is False
    assert server.open == []


def test_nothing_is_requested_without_a_name_server() -> None:
    seen = Seen(servers=0)
    assert not seen.request()
    assert seen.routes.queues("t") == {}


@pytest.mark.parametrize("topic", ["", "a b", "x" * 128, "%RETRY%" + "x" * 4_000_000])
def test_impossible_names_are_neither_requested_nor_kept(seen: Seen, topic: str) -> None:
    assert not seen.request(topic)
    assert seen.servers[0].open == []
    assert len(seen.routes) == 0


def test_one_user_cannot_use_all_requests(seen: Seen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "OPEN_REQUESTS", 4)
    seen = Seen()
    assert [seen.request(f"t{number}", "u") for number in range(5)] == [True] * 4 + [False]
    assert [seen.request(f"v{number}", "v") for number in range(3)] == [True, True, False]
    assert seen.request("t0", "w")
    for _ in range(6):
        seen.servers[0].answer(body=route(a=1))
    assert len(seen.found) == 7
    assert [seen.request(f"x{number}", "u") for number in range(5)] == [True] * 4 + [False]


def test_one_user_cannot_use_all_places_of_waiting_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAITING_CLIENTS", 4)
    seen = Seen()
    assert [seen.request() for _ in range(5)] == [True] * 4 + [False]
    assert [seen.request(owner="v") for _ in range(3)] == [True, True, False]
    assert len(seen.servers[0].codes) == 1
    seen.servers[0].answer(body=route(a=1))
    assert len(seen.found) == 6
    assert [seen.request("t2") for _ in range(5)] == [True] * 4 + [False]


def test_the_cache_is_bounded_with_shares_of_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ROUTES", 4)
    seen = Seen()
    for number in range(6):
        seen.fetched(f"u{number}", a=1)
    assert len(seen.routes) == 4
    assert seen.routes.queues("u5") == {}
    for number in range(2):
        seen.fetched(f"v{number}", "v", a=1)
    assert len(seen.routes) == 4
    assert seen.routes.queues("v1") == {"a": 1}
    seen.fetched("v2", "v", a=1)
    assert seen.routes.queues("v2") == {}
    seen.clock.now += MAX_AGE_MS
    seen.fetched("v3", "v", a=1)
    assert len(seen.routes) == 1


def test_a_route_that_is_not_cached_is_answered_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ROUTES", 1)
    seen = Seen()
    seen.fetched("t0", a=1)
    assert seen.request("t1")
    seen.servers[0].answer(body=route(a=2))
    assert seen.found == [{"a": 2}]
    assert seen.request("t1")


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["request", "answer", "missing", "fail", "wait", "long wait", "changed"]),
            st.sampled_from("tuv"),
            st.sampled_from("ab"),
        ),
        max_size=60,
    )
)
def test_every_client_is_answered_once_whatever_name_servers_do(steps: list[tuple[str, str, str]]) -> None:
    seen = Seen(servers=2)
    waiting = 0
    for step, topic, owner in steps:
        server = next((one for one in seen.servers if one.open), seen.servers[0])
        if step == "request":
            waiting += seen.request(topic, owner)
        elif step == "wait":
            seen.clock.now += RETRY_MS
        elif step == "long wait":
            seen.clock.now += MAX_AGE_MS
        elif step == "changed":
            seen.routes.changed(topic)
        elif server.open and step == "answer":
            server.answer(body=route(a=1, b=2))
        elif server.open and step == "missing":
            server.answer(ResponseCode.TOPIC_NOT_EXIST)
        elif server.open and step == "fail":
            server.fail()
    for server in seen.servers * 2:
        while server.open:
            server.fail()
    assert len(seen.found) == waiting
    assert all(queues in ({}, {"a": 1, "b": 2}) for queues in seen.found)
    assert [seen.request(f"new-{number}") for number in range(module.OPEN_REQUESTS)] == [True] * module.OPEN_REQUESTS


class TestAssignment:
    @pytest.fixture
    def server(self) -> FakeNameServer:
        return FakeNameServer()

    @pytest.fixture
    def house(self, server: FakeNameServer) -> House:
        def topic_routes(clock: ManualClock) -> TopicRoutes:
            routes = TopicRoutes(clock)
            routes.connect([server], lambda: None)
            return routes

        house = House(topic_routes=topic_routes)
        house.engine.groups.put(house.engine.groups.preview("g"))
        house.engine.group_commit.commit()
        for client in ("c1", "c2"):
            assert house.call(34, None, beat(client=client)).code == 0
        house.user("ann", ("Topic:t", "Sub"), ("Group:g", "Sub"))
        return house

    @staticmethod
    def query(house: House, client: str, user: str = "root", strategy: str = "AVG"):
        body = {
            "topic": "t",
            "consumerGroup": "g",
            "clientId": client,
            "strategyName": strategy,
            "messageModel": "CLUSTERING",
        }
        wire = house.connect()
        command = house.command(400, None, json.dumps(body).encode(), user=user)
        house.give(wire, command)
        return lambda: answer_to(wire, command)

    @staticmethod
    def queues(answer) -> list[tuple[str, int]] | None:
        assert answer.code == 0
        found = json.loads(answer.body).get("messageQueueAssignments")
        return found and [(one["messageQueue"]["brokerName"], one["messageQueue"]["queueId"]) for one in found]

    def test_queues_of_all_brokers_are_shared(self, house: House, server: FakeNameServer) -> None:
        first, second = self.query(house, "c1"), self.query(house, "c2")
        assert first() is None
        server.answer(body=route(**{"broker-a": 2, "broker-b": 2}))
        assert self.queues(first()) == [("broker-a", 0), ("broker-a", 1)]
        assert self.queues(second()) == [("broker-b", 0), ("broker-b", 1)]
        assert self.queues(self.query(house, "c2")()) == [("broker-b", 0), ("broker-b", 1)]
        assert server.open == []

    def test_a_client_keeps_its_queues_if_no_name_server_answers(self, house: House, server: FakeNameServer) -> None:
        answer = self.query(house, "c1")
        server.fail()
        assert self.queues(answer()) is None
        assert self.queues(self.query(house, "c1")()) is None

    def test_a_user_that_loses_its_rights_meanwhile_gets_no_queues(self, house: House, server: FakeNameServer) -> None:
        answer = self.query(house, "c1", user="ann")
        assert answer() is None
        house.manager.delete_acl(Subject("ann"))
        server.answer(body=route(a=1))
        assert answer().code == ResponseCode.NO_PERMISSION

    def test_a_user_without_rights_causes_no_request(self, house: House, server: FakeNameServer) -> None:
        house.user("eve", ("Topic:t", "Sub"))
        assert self.query(house, "c1", user="eve")().code == ResponseCode.NO_PERMISSION
        assert server.open == []

    def test_a_large_request_does_not_wait(self, house: House, server: FakeNameServer) -> None:
        assert self.queues(self.query(house, "c1", strategy="x" * 4_000_000)()) is None
        assert server.open == []

    def test_a_changed_topic_is_requested_again(self, house: House, server: FakeNameServer) -> None:
        first = self.query(house, "c1")
        server.answer(body=route(a=1))
        assert self.queues(first()) == [("a", 0)]
        fields = {"topic": "t", "defaultTopic": "TBW102", "readQueueNums": 3, "writeQueueNums": 3, "perm": 6}
        assert (
            house.call(17, {**fields, "topicFilterType": "SINGLE_TAG", "topicSysFlag": 0, "order": "false"}).code == 0
        )
        second = self.query(house, "c1")
        assert second() is None
        server.answer(body=route(a=4))
        assert self.queues(second()) == [("a", 0), ("a", 1)]


def test_java_clients_wait_longer_for_the_broker_than_it_waits_for_a_name_server() -> None:
    assert ANSWER_S * 2 < 3
