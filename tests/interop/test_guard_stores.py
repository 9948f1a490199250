"""`mqguard proxy` whose users and policies are in the brokers behind it, or in etcd."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fixtures.access import ADMIN, create_topic, create_user, disable_user, entry, grant, send
from tests.fixtures.apache import ApacheCluster
from tests.fixtures.etcd import Etcd
from tests.fixtures.server import INNER, GuardProxy
from tests.fixtures.waiting import eventually
from tests.fixtures.wire import User, Wire

pytestmark = [pytest.mark.interop, pytest.mark.xdist_group("apache-cluster")]

ALICE = User("alice", "alice-secret")
DELETE_USER, GET_USER, LIST_USERS = 3003, 3004, 3005
WAIT_S = 60.0
BROKERS = {
    **INNER,
    "authenticationMetadataProvider": "org.apache.rocketmq.proxy.auth.ProxyAuthenticationMetadataProvider",
    "authorizationMetadataProvider": "org.apache.rocketmq.proxy.auth.ProxyAuthorizationMetadataProvider",
    "remoteAccessIntervalMs": "200",
}


@pytest.fixture
def no_users(apache_cluster: ApacheCluster) -> Iterator[None]:
    """Remove the users of the test from the broker, which other modules use too."""
    yield
    with Wire(apache_cluster.broker_port, ADMIN) as admin:
        for name in ("alice", "bob"):
            assert admin.call(DELETE_USER, {"username": name}).code == 0


def names(wire: Wire) -> set[str]:
    body = wire.call(LIST_USERS, {}).body
    return {one["username"] for one in json.loads(body)} if body else set()


@pytest.mark.usefixtures("no_users")
def test_the_brokers_keep_users_and_policies(apache_cluster: ApacheCluster, tmp_path: Path) -> None:
    """The first guard changes them, the second one follows, and the broker itself may be changed too."""
    with contextlib.ExitStack() as opened:
        one, two = (
            opened.enter_context(GuardProxy(tmp_path / name, apache_cluster.namesrv, settings=BROKERS))
            for name in ("one", "two")
        )
        first, second = (opened.enter_context(Wire(guard.broker_port, ADMIN)) for guard in (one, two))
        direct = opened.enter_context(Wire(apache_cluster.broker_port, ADMIN))
        create_topic(first, "stores-orders")
        create_user(first, "alice", "alice-secret")
        assert "alice" in names(direct), "the broker has the user"
        grant(second, "alice", entry("Topic:stores-orders", "Pub"))
        for guard in (one, two):
            with Wire(guard.broker_port, ALICE) as alice:
                assert eventually(lambda alice=alice: send(alice, "stores-orders", b"x").code == 0, WAIT_S)  # type: ignore[misc]
        disable_user(first, "alice")
        with Wire(two.broker_port, ALICE) as alice:
            assert eventually(lambda: send(alice, "stores-orders", b"x").code != 0, WAIT_S)
        create_user(direct, "bob", "bob-secret")
        assert eventually(lambda: "bob" in names(second), WAIT_S), "a change at the broker itself is found"
        assert first.call(DELETE_USER, {"username": "bob"}).code == 0
        assert "bob" not in names(direct)
        assert not first.call(GET_USER, {"username": "bob"}).body


def test_several_guards_share_etcd(apache_cluster: ApacheCluster, tmp_path: Path) -> None:
    """The users of the guards are not those of the broker."""
    with contextlib.ExitStack() as opened:
        etcd = opened.enter_context(Etcd(tmp_path / "etcd"))
        settings = {
            **INNER,
            "authenticationMetadataProvider": "etcd",
            "authorizationMetadataProvider": "etcd",
            "etcdEndpoints": f"127.0.0.1:{etcd.port}",
        }
        guards = []
        for name in ("one", "two"):
            key = tmp_path / name / "data" / "sealing.key"
            key.parent.mkdir(parents=True)
            key.touch(0o600)
            key.write_text("c2VhbGluZyBrZXkgb2YgdGhlIHRlc3RzLCAzMiBieXQ=")
            guards.append(opened.enter_context(GuardProxy(tmp_path / name, apache_cluster.namesrv, settings=settings)))
        first, second = (opened.enter_context(Wire(guard.broker_port, ADMIN)) for guard in guards)
        direct = opened.enter_context(Wire(apache_cluster.broker_port, ADMIN))
        create_topic(first, "etcd-orders")
        create_user(first, "carol", "carol-secret")
        grant(second, "carol", entry("Topic:etcd-orders", "Pub"))
        for guard in guards:
            with Wire(guard.broker_port, User("carol", "carol-secret")) as carol:
                assert eventually(lambda carol=carol: send(carol, "etcd-orders", b"x").code == 0, WAIT_S)  # type: ignore[misc]
        assert "carol" not in names(direct)
