"""The brokers and routes of a cluster, from real name servers. Brokers are registered by requests of the test."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import pytest

from mqguard.auth.user import Secret
from mqguard.config.secret import Credentials
from mqguard.net.errors import LinkBusy, LinkClosed, LinkError, LinkRefused
from mqguard.net.upstream import Outcome, UpstreamSettings
from mqguard.proxy.cluster.connections import Connections, NameServers, split_address
from mqguard.proxy.cluster.directory import Broker, Directory, DirectorySettings
from mqguard.proxy.cluster.errors import ClusterUnavailable
from mqguard.proxy.cluster.lookups import LookupSettings
from mqguard.proxy.cluster.routes import Routes
from mqguard.remoting.bodies.topics import TopicRouteData
from mqguard.remoting.codes import RequestCode
from mqguard.remoting.command import Command
from mqguard.remoting.frame import encode_reply
from tests.fixtures.access import ADMIN, expect
from tests.fixtures.server import SUPER, SUPER_SECRET, NameServer
from tests.fixtures.wire import Wire
from tests.unit.net.test_upstream import Peer, in_loop, until

REGISTER, UNREGISTER = 103, 104
CREDENTIALS = Credentials(SUPER, Secret(SUPER_SECRET))
UPSTREAM = UpstreamSettings(CREDENTIALS, min_retry_s=0.02, max_retry_s=0.1)
QUICK = DirectorySettings(poll_s=0.05, retry_s=0.05, refresh_s=0.01, settle_s=0.0)
Change = tuple[Broker | None, Broker | None]


class RegisteredBroker:
    """A broker as a name server sees it: a connection that has registered it and its topics."""

    def __init__(self, namesrv: NameServer, name: str, address: str, broker_id: int = 0) -> None:
        self.wire = Wire(namesrv.namesrv_port, ADMIN)
        self.ext = {"brokerName": name, "brokerAddr": address, "clusterName": "c", "brokerId": str(broker_id)}

    def register(self, *topics: str) -> None:
        table = {topic: {"topicName": topic, "readQueueNums": 4, "writeQueueNums": 4} for topic in topics}
        body = {"topicConfigSerializeWrapper": {"topicConfigTable": table, "dataVersion": {"counter": 1}}}
        ext = {**self.ext, "haServerAddr": "127.0.0.1:1", "enableActingMaster": "true"}
        expect(self.wire.call(REGISTER, ext, json.dumps(body).encode()))

    def unregister(self) -> None:
        expect(self.wire.call(UNREGISTER, self.ext))


@pytest.fixture
def namesrv(tmp_path: Path) -> Iterator[NameServer]:
    with NameServer(tmp_path / "namesrv") as started:
        yield started


@contextlib.contextmanager
def registered(namesrv: NameServer, name: str, address: str, broker_id: int = 0) -> Iterator[RegisteredBroker]:
    broker = RegisteredBroker(namesrv, name, address, broker_id)
    with broker.wire:
        broker.register("orders")
        yield broker


@contextlib.asynccontextmanager
async def followed(
    *addresses: str, settings: DirectorySettings = QUICK, upstream: UpstreamSettings = UPSTREAM
) -> AsyncIterator[tuple[Directory, list[Change]]]:
    connections = Connections(upstream, asyncio.get_running_loop())
    directory = Directory(NameServers(connections, addresses, 5.0), settings)
    changes: list[Change] = []
    directory.add_listener(lambda old, new: changes.append((old, new)))
    directory.start()
    try:
        yield directory, changes
    finally:
        directory.close()
        connections.close()


async def outcome_of(connections: Connections | Directory, target: str, code: int = 105) -> Outcome:
    found: asyncio.Queue[Outcome] = asyncio.Queue()
    connections.call(target, Command(code, ext={"topic": "orders"}), found.put_nowait, 5.0)
    async with asyncio.timeout(20):
        return await found.get()


def names(directory: Directory) -> set[str]:
    return set(directory.brokers)


@in_loop
async def test_brokers_come_fail_over_and_go(namesrv: NameServer) -> None:
    """Each change is reported once, with the broker before and after it."""
    async with followed(namesrv.namesrv) as (directory, changes):
        await until(lambda: directory.age_s is not None)
        assert names(directory) == set()
        with registered(namesrv, "a", "127.0.0.1:101") as master, registered(namesrv, "a", "127.0.0.1:102", 1):
            await until(lambda: directory.brokers and len(directory.brokers["a"].addresses) == 2)
            found = directory.get("a")
            assert found is not None
            assert (found.cluster, found.master, found.serving) == ("c", "127.0.0.1:101", "127.0.0.1:101")
            assert directory.find_address("127.0.0.1:102") == found
            master.unregister()
            await until(lambda: directory.brokers["a"].serving == "127.0.0.1:102")
            assert directory.brokers["a"].master is None
            master.register("orders")
            await until(lambda: directory.brokers["a"].serving == "127.0.0.1:101")
        await until(lambda: not directory.brokers)
        came, left = changes[0], changes[-1]
        assert came[0] is None
        assert came[1] is not None
        assert left[1] is None
        assert all(old == before for (_, before), (old, _) in itertools.pairwise(changes))


@in_loop
async def test_a_listener_that_comes_later_gets_the_known_brokers(namesrv: NameServer) -> None:
    async with followed(namesrv.namesrv) as (directory, _changes):
        with registered(namesrv, "a", "127.0.0.1:101"):
            await until(lambda: directory.brokers)
            changes: list[Change] = []

            def broken(old: Broker | None, new: Broker | None) -> None:
                raise ZeroDivisionError

            directory.add_listener(broken)
            directory.add_listener(lambda old, new: changes.append((old, new)))
            assert changes == [(None, directory.brokers["a"])]
        await until(lambda: not directory.brokers)
        assert changes[-1][1] is None, "a listener that fails must not stop the others"


@in_loop
async def test_another_name_server_takes_over(namesrv: NameServer, tmp_path: Path) -> None:
    """The known brokers stay while no name server answers, and a new one removes none until it has settled."""
    with NameServer(tmp_path / "second") as second, registered(second, "b", "127.0.0.1:103"):
        settings = QUICK._replace(settle_s=3_600.0)
        async with followed(namesrv.namesrv, second.namesrv, settings=settings) as (directory, _changes):
            with registered(namesrv, "a", "127.0.0.1:101"):
                await until(lambda: names(directory) == {"a"})
            namesrv.kill()
            await until(lambda: names(directory) == {"a", "b"})
            second.kill()
            await asyncio.sleep(0.3)
            assert names(directory) == {"a", "b"}
            assert isinstance(await outcome_of(directory, "a"), LinkRefused)
            second.start()
            with registered(second, "a", "127.0.0.1:109"):
                await until(lambda: directory.brokers["a"].serving == "127.0.0.1:109")
            assert names(directory) == {"a", "b"}


@in_loop
async def test_a_promoted_slave_is_not_a_slave_any_more() -> None:
    """An answer of a new name server replaces the ids of addresses that it names."""
    answers = [{"0": "127.0.0.1:1", "1": "127.0.0.1:2"}, {"0": "127.0.0.1:2"}]

    def answer(command: Command) -> bytes:
        addresses = answers.pop(0) if len(answers) > 1 else answers[0]
        broker = {"cluster": "c", "brokerName": "a", "brokerAddrs": addresses}
        info = {"brokerAddrTable": {"a": broker}, "clusterAddrTable": {"c": ["a"]}}
        return encode_reply(command.opaque, 0, None, None, json.dumps(info).encode())

    async with peer(answer) as server, followed(server, settings=QUICK._replace(settle_s=3_600.0)) as (directory, _):
        await until(lambda: directory.brokers and directory.brokers["a"].serving == "127.0.0.1:2")
        assert directory.brokers["a"].addresses == {0: "127.0.0.1:2"}


@contextlib.asynccontextmanager
async def peer(answer: object) -> AsyncIterator[str]:
    server = Peer(answer)  # type: ignore[arg-type]
    await server.start()
    try:
        yield f"127.0.0.1:{server.port}"
    finally:
        await server.stop()


def _info(count: int, address: str = "127.0.0.1:1", replicas: int = 1) -> bytes:
    addresses = {str(number): address for number in range(replicas)}
    table = {f"b{n}": {"cluster": "c", "brokerName": f"b{n}", "brokerAddrs": addresses} for n in range(count)}
    return json.dumps({"brokerAddrTable": table, "clusterAddrTable": {}}).encode()


@pytest.mark.parametrize(
    ("code", "body"),
    [
        (0, b"\xff\x00"),
        (0, b""),
        (0, b"[]"),
        (0, _info(2_000)),
        (0, _info(1, replicas=100)),
        (0, _info(1, "127.0.0.1")),
        (0, _info(1, "127.0.0.1:99999")),
        (16, b""),
    ],
)
def test_an_answer_that_cannot_be_used_is_followed_by_the_next_server(
    namesrv: NameServer, code: int, body: bytes
) -> None:
    """Garbage, too many brokers and refusals never change the brokers, and the reason is logged once."""

    @in_loop
    async def test() -> None:
        def answer(command: Command) -> bytes:
            return encode_reply(command.opaque, code, "no\nway", None, body)

        async with peer(answer) as bad, followed(bad, namesrv.namesrv) as (directory, changes):
            with registered(namesrv, "a", "127.0.0.1:101"):
                await until(lambda: names(directory) == {"a"})
                await asyncio.sleep(0.2)
                assert len(changes) == 1

    test()


@in_loop
async def test_requests_to_a_broker_are_signed_and_end_when_it_leaves(namesrv: NameServer) -> None:
    seen: list[Command] = []

    def keep(command: Command) -> bytes | None:
        seen.append(command)
        return None

    async with peer(keep) as address, followed(namesrv.namesrv) as (directory, _changes):
        with registered(namesrv, "a", address):
            await until(lambda: directory.brokers)
            outcomes: list[Outcome] = []
            directory.call("a", Command(105), outcomes.append)
            await until(lambda: seen)
        await until(lambda: outcomes)
        assert isinstance(outcomes[0], LinkClosed)
        assert seen[0].ext["AccessKey"] == SUPER
        assert seen[0].ext["Signature"]
        unknown = await outcome_of(directory, "a")
        assert isinstance(unknown, ClusterUnavailable)
        assert "`a`" in str(unknown)


@in_loop
async def test_the_number_of_connections_is_bounded() -> None:
    """The connection that was unused longest makes room, unless it has open calls."""
    answering = True

    def answer(command: Command) -> bytes | None:
        return encode_reply(command.opaque, 0, None, None, b"") if answering else None

    async with contextlib.AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(peer(answer)) for _ in range(3)]
        connections = Connections(UPSTREAM, asyncio.get_running_loop(), max_addresses=2)
        stack.callback(connections.close)
        for server in servers:
            assert isinstance(await outcome_of(connections, server), Command)
        assert [connections.is_connected(server) for server in servers] == [False, True, True]
        answering = False
        outcomes: list[Outcome] = []
        for server in servers[1:]:
            connections.call(server, Command(105), outcomes.append)
        await until(lambda: connections.open_calls == 2)
        assert isinstance(await outcome_of(connections, servers[0]), LinkBusy)
        connections.close()
        await until(lambda: len(outcomes) == 2)
        assert {type(one) for one in outcomes} == {LinkClosed}
        assert isinstance(await outcome_of(connections, servers[0]), LinkRefused)
        assert not connections.send(servers[0], Command(1))


@pytest.mark.parametrize(
    "text", ["", ":", "host", "host:", ":1", "host:x", "host:65536", "host:-1", "host:\u0661", "[]:1"]
)
def test_a_text_that_is_not_an_address_is_refused(text: str) -> None:
    assert split_address(text) == ("", 0)


def test_addresses_have_hosts_of_both_families() -> None:
    assert split_address("[::1]:10911") == ("::1", 10911)
    assert split_address("broker-a.example:65535") == ("broker-a.example", 65535)


Found = TopicRouteData | LinkError | None


async def route_of(routes: Routes, topic: str, owner: str = "alice") -> Found:
    found: asyncio.Queue[Found] = asyncio.Queue()
    routes.get(topic, owner, found.put_nowait)
    async with asyncio.timeout(20):
        return await found.get()


@contextlib.asynccontextmanager
async def routed(addresses: Sequence[str], settings: LookupSettings) -> AsyncIterator[Routes]:
    connections = Connections(UPSTREAM, asyncio.get_running_loop())
    try:
        yield Routes(NameServers(connections, addresses, 5.0), settings)
    finally:
        connections.close()


@in_loop
async def test_routes_are_cached_and_outlive_the_name_servers(namesrv: NameServer) -> None:
    settings = LookupSettings(fresh_s=0.05, absent_s=0.05, max_age_s=0.1)
    async with routed([namesrv.namesrv], settings) as routes:
        with registered(namesrv, "a", "127.0.0.1:101") as broker:
            assert await route_of(routes, "later") is None
            broker.register("orders", "later")
            route = await route_of(routes, "orders")
            assert isinstance(route, TopicRouteData)
            assert [(one.broker_name, one.read_queue_nums) for one in route.queue_datas] == [("a", 4)]
            await asyncio.sleep(0.1)
            assert isinstance(await route_of(routes, "later"), TopicRouteData)
            namesrv.kill()
            await asyncio.sleep(0.2)
            assert isinstance(await route_of(routes, "orders"), TopicRouteData)
            assert isinstance(await route_of(routes, "unknown"), ClusterUnavailable)
            routes.forget("orders")
            assert isinstance(await route_of(routes, "orders"), ClusterUnavailable)


@in_loop
async def test_one_user_cannot_displace_the_routes_of_another() -> None:
    asked: list[str] = []

    def answer(command: Command) -> bytes:
        asked.append(command.ext["topic"])
        return encode_reply(command.opaque, 0, None, None, b'{"brokerDatas":[],"queueDatas":[]}')

    async with peer(answer) as server, routed([server], LookupSettings(max_values=8)) as routes:
        await route_of(routes, "mine", "bob")
        for number in range(50):
            await route_of(routes, f"t{number}", "mallory")
        assert len(routes) == 8
        asked.clear()
        await route_of(routes, "mine", "bob")
        assert asked == []
        await route_of(routes, "second", "bob")
        await route_of(routes, "second", "bob")
        assert asked == ["second"]


@in_loop
async def test_open_requests_are_bounded_and_shared() -> None:
    """Receivers of one topic share a request; a user with too many open ones is refused, and others are not."""
    asked: list[Command] = []
    async with peer(asked.append) as server:
        async with routed([server], LookupSettings(max_open=4)) as routes:
            found: list[Found] = []
            for number in range(8):
                routes.get(f"t{number // 2}", "mallory", found.append)
            assert found == []
            routes.get("t9", "mallory", found.append)
            assert isinstance(found[0], LinkBusy)
            routes.get("t8", "bob", found.append)
            await until(lambda: len(asked) == 5)
            assert {one.code for one in asked} == {RequestCode.GET_ROUTEINFO_BY_TOPIC}
        await until(lambda: len(found) == 10)
        assert all(isinstance(one, LinkError) for one in found)
