"""`mqguard proxy` in front of a cluster of Apache RocketMQ."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator

import pytest

from tests.fixtures.access import ADMIN, create_topic, create_user, entry, expect, grant, send
from tests.fixtures.apache import ApacheCluster
from tests.fixtures.server import INNER, GuardProxy
from tests.fixtures.wire import ROUTE, User, Wire, request

pytestmark = pytest.mark.xdist_group("apache-cluster")

Name = Callable[[str], str]
CLUSTER_INFO, MAX_OFFSET, UNKNOWN_CODE = 106, 30, 29_999
BUSY, NO_PERMISSION, NOT_SUPPORTED = 2, 16, 3


@pytest.fixture(scope="module", params=["acl", "open"])
def guard(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardProxy]:
    """Start a guard in front of a cluster with ACL 2.0, and of one without access control."""
    acl = request.param == "acl"
    cluster: ApacheCluster = request.getfixturevalue("apache_cluster" if acl else "open_apache_cluster")
    settings = INNER if acl else {}
    with GuardProxy(tmp_path_factory.mktemp("guard"), cluster.namesrv, settings=settings) as started:
        yield started


@pytest.fixture
def admin(guard: GuardProxy) -> Iterator[Wire]:
    with Wire(guard.broker_port, ADMIN) as wire:
        yield wire


@pytest.fixture
def alice(admin: Wire, name: Name) -> User:
    """Create a user without permissions."""
    user = User(name("alice"), "secret-of-alice")
    create_user(admin, user.name, user.secret)
    return user


def test_routes_and_cluster_information_name_the_guard(guard: GuardProxy) -> None:
    with Wire(guard.namesrv_port, ADMIN) as wire:
        route = expect(wire.call(ROUTE, {"topic": "TBW102", "acceptStandardJsonOnly": "true"})).json()
        info = expect(wire.call(CLUSTER_INFO)).body.decode()
    assert [data["brokerAddrs"] for data in route["brokerDatas"]] == [{"0": guard.broker}]
    assert re.findall(r"127[.]0[.]0[.]1:[0-9]+", info) == [guard.broker]


def test_only_granted_requests_reach_the_broker(guard: GuardProxy, admin: Wire, alice: User, name: Name) -> None:
    """A refusal is put between the answers of the broker, and each request has exactly one answer."""
    mine, other = name("mine"), name("other")
    create_topic(admin, mine)
    create_topic(admin, other)
    grant(admin, alice.name, entry(f"Topic:{mine}", "Pub"))
    with Wire(guard.broker_port, alice) as wire:
        answers = [send(wire, topic, b"body", 0).code for topic in (mine, other, mine, other, other, mine)]
    assert answers == [0, NO_PERMISSION, 0, NO_PERMISSION, NO_PERMISSION, 0]
    stored = [expect(admin.call(MAX_OFFSET, {"topic": topic, "queueId": "0"})).ext["offset"] for topic in (mine, other)]
    assert stored == ["3", "0"]


def test_a_one_way_request_is_decided(guard: GuardProxy, admin: Wire, alice: User, name: Name) -> None:
    topic = name("topic")
    create_topic(admin, topic)
    with Wire(guard.broker_port, alice) as wire:
        fields = {"topic": topic, "producerGroup": "p", "defaultTopic": "TBW102", "defaultTopicQueueNums": "4",
                  "queueId": "0", "sysFlag": "0", "bornTimestamp": "1", "flag": "0", "properties": "",
                  "reconsumeTimes": "0", "unitMode": "false", "batch": "false"}  # fmt: skip
        wire.socket.sendall(request(10, fields, b"body", user=alice, flag=2))
        assert send(wire, topic, b"body", 0).code == NO_PERMISSION
    assert expect(admin.call(MAX_OFFSET, {"topic": topic, "queueId": "0"})).ext["offset"] == "0"


def test_an_unknown_code_is_for_super_users(guard: GuardProxy, admin: Wire, alice: User) -> None:
    with Wire(guard.broker_port, alice) as wire:
        refused = wire.call(UNKNOWN_CODE, {})
    assert (refused.code, "Super user" in (refused.remark or "")) == (NO_PERMISSION, True)
    assert admin.call(UNKNOWN_CODE, {}).code == NOT_SUPPORTED, "the broker must have answered"


def test_users_and_policies_are_those_of_the_guard(guard: GuardProxy, admin: Wire, alice: User) -> None:
    """A user of the guard needs no account at the broker."""
    listed = expect(admin.call(3005, {"filter": ""})).json()
    assert alice.name in {user["username"] for user in listed}
    with Wire(guard.broker_port, User("nobody", "nothing")) as wire:
        assert wire.call(3005, {"filter": ""}).code == NO_PERMISSION


def test_a_header_that_a_broker_reads_in_another_way_is_encoded_anew(
    guard: GuardProxy, admin: Wire, alice: User, name: Name
) -> None:
    """Apache's parser also accepts other spellings of `extFields` and `code`, and of two the last one counts."""
    mine, other = name("mine"), name("other")
    create_topic(admin, mine)
    create_topic(admin, other)
    grant(admin, alice.name, entry(f"Topic:{mine}", "Pub,Get"))
    expect(send(admin, other, b"secret", 0))
    with Wire(guard.broker_port, alice) as wire:
        honest = request(MAX_OFFSET, {"topic": mine, "queueId": "0"}, user=alice, opaque=7)
        header = json.loads(honest[8:])
        for more in ('"EXTFIELDS":', '"ext_fields":'):
            text = json.dumps(header)[:-1] + f', {more}{{"topic":"{other}","queueId":"0"}}}}'
            data = text.encode()
            wire.socket.sendall((len(data) + 4).to_bytes(4, "big") + len(data).to_bytes(4, "big") + data)
            answer = wire.read()
            assert (answer.opaque, answer.code, answer.ext.get("offset")) == (7, 0, "0"), answer
