"""The separated deployment of ACL 2.0: the proxy decides, and the brokers keep users and policies.

`rmq-proxy.json` and `broker.conf` are the samples of Apache's documentation. Only addresses and directories differ.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mqguard.rpc.protocol import messages_pb2 as pb
from tests.fixtures.access import ADMIN, create_topic, create_user, disable_user, entry, expect, grant, read_all, send
from tests.fixtures.apache import ApacheCluster, free_port
from tests.fixtures.server import SUPER, SUPER_SECRET, Broker, GuardProxy, NameServer
from tests.fixtures.waiting import eventually
from tests.fixtures.wire import User, Wire
from tests.interop.grpc_client import create_group
from tests.interop.raw_grpc import DIALECTS, RawClient

pytestmark = pytest.mark.xdist_group("apache-cluster")

_AUTH = "org.apache.rocketmq.auth"
_SAMPLE = {
    "authenticationEnabled": True,
    "authenticationProvider": f"{_AUTH}.authentication.provider.DefaultAuthenticationProvider",
    "authenticationMetadataProvider": "org.apache.rocketmq.proxy.auth.ProxyAuthenticationMetadataProvider",
    "innerClientAuthenticationCredentials": json.dumps({"accessKey": SUPER, "secretKey": SUPER_SECRET}),
    "authorizationEnabled": True,
    "authorizationProvider": f"{_AUTH}.authorization.provider.DefaultAuthorizationProvider",
    "authorizationMetadataProvider": "org.apache.rocketmq.proxy.auth.ProxyAuthorizationMetadataProvider",
}
_BROKER_SAMPLE = {
    "brokerClusterName": "DefaultCluster",
    "brokerId": "0",
    "deleteWhen": "04",
    "fileReservedTime": "48",
    "brokerRole": "ASYNC_MASTER",
    "flushDiskType": "ASYNC_FLUSH",
    "authenticationEnabled": "true",
    "authenticationProvider": f"{_AUTH}.authentication.provider.DefaultAuthenticationProvider",
    "authenticationMetadataProvider": f"{_AUTH}.authentication.provider.LocalAuthenticationMetadataProvider",
    "authorizationEnabled": "true",
    "authorizationProvider": f"{_AUTH}.authorization.provider.DefaultAuthorizationProvider",
    "authorizationMetadataProvider": f"{_AUTH}.authorization.provider.LocalAuthorizationMetadataProvider",
}


class SeparatedProxy(GuardProxy):
    """`mqguard proxy` with a `rmq-proxy.json`."""

    options = ("--set", "proxyBrokerPorts=0", "--set", "vipChannelEnable=false")

    def configure(self) -> Path:
        self.directory.mkdir(parents=True, exist_ok=True)
        path = self.directory / "rmq-proxy.json"
        path.write_text(json.dumps({**self._settings, **_SAMPLE}, indent=2))
        return path


def _proxy(directory: Path, namesrv: str) -> SeparatedProxy:
    addresses: dict[str, object] = {
        "rocketMQClusterName": "DefaultCluster",
        "namesrvAddr": namesrv,
        "proxyMode": "cluster",
        "enableAclRpcHookForClusterMode": True,
        "localServeAddr": "127.0.0.1",
        "remotingListenPort": free_port(),
        "grpcServerPort": free_port(),
    }
    proxy = SeparatedProxy(directory, namesrv)
    proxy._settings = addresses  # type: ignore[assignment]
    return proxy


@pytest.fixture(scope="module", params=["apache", "mqguard"])
def deployment(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[SeparatedProxy, int]]:
    """Start the proxy with a broker of Apache and one of mqguard; yield it and the port of the broker."""
    directory = tmp_path_factory.mktemp("separated")
    if request.param == "apache":
        cluster: ApacheCluster = request.getfixturevalue("apache_cluster")
        with _proxy(directory, cluster.namesrv) as proxy:
            yield proxy, cluster.broker_port
        return
    with NameServer(directory / "namesrv") as namesrv:
        broker = Broker(directory / "broker", "broker-a", namesrv.namesrv, settings=_BROKER_SAMPLE)
        with broker:
            assert eventually(lambda: _brokers(namesrv) == {"broker-a"}, 60)
            with _proxy(directory / "proxy", namesrv.namesrv) as proxy:
                yield proxy, broker.broker_port


def _brokers(namesrv: NameServer) -> set[str]:
    with Wire(namesrv.namesrv_port, ADMIN) as wire:
        return set(expect(wire.call(106)).json()["brokerAddrTable"])


def test_users_of_the_broker_are_those_of_the_proxy(
    deployment: tuple[SeparatedProxy, int], name: Callable[[str], str]
) -> None:
    """Both protocols decide by what the broker has, and a change there counts a moment later."""
    proxy, broker_port = deployment
    topic, other, group, user = name("topic"), name("topic"), name("group"), User(name("user"), "secret-of-a-user")
    with Wire(broker_port, ADMIN) as broker:
        for one in (topic, other):
            create_topic(broker, one, 1)
        create_group(broker, group)
        create_user(broker, user.name, user.secret)
        grant(broker, user.name, entry(f"Topic:{topic}", "Pub,Sub"), entry(f"Group:{group}", "Sub"))
        with RawClient(proxy.grpc, DIALECTS["C++"], user) as client:
            assert eventually(lambda: client.route(topic).status.code == pb.OK, 60)
            assert client.as_producer(topic).status.code == pb.OK
            assert client.send(client.message(topic, b"grpc")).status.code == pb.OK
            assert client.route(other).status.code == pb.UNAUTHORIZED
            assert client.send(client.message(other, b"refused")).status.code == pb.UNAUTHORIZED
            with Wire(proxy.broker_port, user) as wire:
                assert send(wire, topic, b"remoting").code == 0
                assert send(wire, other, b"refused").code == 16
            assert sorted(read_all(broker, topic, "TOOLS_CONSUMER", 0)) == [b"grpc", b"remoting"]
            assert read_all(broker, other, "TOOLS_CONSUMER", 0) == []
            disable_user(broker, user.name)
            assert eventually(lambda: client.route(topic).status.code == pb.UNAUTHORIZED, 60)


def test_an_administrator_changes_the_users_of_the_broker_at_the_proxy(
    deployment: tuple[SeparatedProxy, int], name: Callable[[str], str]
) -> None:
    proxy, broker_port = deployment
    user = User(name("user"), "secret-of-a-user")
    topic = name("topic")
    with Wire(proxy.broker_port, ADMIN) as admin:
        create_topic(admin, topic, 1)
        create_user(admin, user.name, user.secret)
        grant(admin, user.name, entry(f"Topic:{topic}", "Pub"))
    with RawClient(proxy.grpc, DIALECTS["C++"], user) as client:
        assert eventually(lambda: client.route(topic).status.code == pb.OK, 60)
    with Wire(broker_port, user) as wire:
        assert send(wire, topic, b"m").code == 0
