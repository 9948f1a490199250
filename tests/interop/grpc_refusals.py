"""Denials of users of official gRPC clients of all languages, and what they read. See `grpc_cases`."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.fixtures.access import create_topic, create_user, entry, grant
from tests.fixtures.server import Server
from tests.fixtures.wire import User, Wire
from tests.interop.conftest import Connections
from tests.interop.driver import bodies
from tests.interop.grpc_client import UNAUTHORIZED, GrpcUser, LeastRights, create_group, stored
from tests.interop.outsiders import INSIDER, OUTSIDERS, Outsider, create_insider_and_outsiders

ELSEWHERE = "MQGUARD_INTEROP_SERVER"
"""Name of the variable that names a server of Apache RocketMQ, which has no decision ids."""
Name = Callable[[str], str]


@pytest.fixture(scope="module")
def insiders(server: Server, connections: Connections) -> None:
    """Create the topic `orders`, the group `orders_group`, one user with the permissions, and one of each kind without."""
    admin = connections.to(server.broker_port)
    create_insider_and_outsiders(admin)
    create_group(admin, "orders_group")


def check_refused(answer: dict[str, Any], remark: str) -> None:
    """Check that a client was refused, and that its user reads why."""
    assert not answer["ok"], answer
    assert answer["code"] in UNAUTHORIZED or "desc = 40100 " in answer["message"], answer
    decision = "" if ELSEWHERE in os.environ else r" \[decision \w+\]"
    assert re.search(f"({remark}){decision}", answer["message"]), answer


@pytest.mark.usefixtures("insiders")
class RefusalCases:
    """Users who may not do what they ask for."""

    def test_the_user_with_the_permissions_is_allowed(self, client: GrpcUser) -> None:
        alice = client.as_(INSIDER)
        alice.do("send", topic="orders", body="admitted")
        alice.do("open", handle="alice", topic="orders", group="orders_alice")
        assert "admitted-0" in bodies(alice.do("receive", handle="alice", topic="orders"))
        alice.do("stop", handle="alice")

    def test_sending_is_refused_and_nothing_is_stored(self, client: GrpcUser, admin: Wire, outsider: Outsider) -> None:
        before = stored(admin, "orders")
        answer = client.as_(outsider.user).call("send", topic="orders", body="intruder")
        check_refused(answer, outsider.remark)
        assert stored(admin, "orders") == before

    def test_receiving_is_refused(self, client: GrpcUser, outsider: Outsider) -> None:
        client.as_(INSIDER).do("send", topic="orders", body="for others")
        user = client.as_(outsider.user)
        answer = user.call("open", handle="outsider", topic="orders", group="orders_group")
        if answer["ok"]:
            answer = user.call("receive", handle="outsider", topic="orders")
        check_refused(answer, outsider.remark)

    def test_a_topic_without_the_group_is_not_enough_to_receive(
        self, client: GrpcUser, admin: Wire, name: Name
    ) -> None:
        topic, group = name("topic"), name("group")
        create_topic(admin, topic, 1)
        create_group(admin, group)
        user = granted(admin, client, name, entry(f"Topic:{topic}", "Pub,Sub"))
        user.do("send", topic=topic, body="m")
        answer = user.call("open", handle=group, topic=topic, group=group)
        if answer["ok"]:
            answer = user.call("receive", handle=group, topic=topic)
        check_refused(answer, rf"has no permission to access Group:{group} from .*, no matched policies\.")

    def test_a_user_who_may_receive_may_not_send(self, client: GrpcUser, admin: Wire, name: Name) -> None:
        topic = name("topic")
        create_topic(admin, topic, 1)
        user = granted(admin, client, name, entry(f"Topic:{topic}", "Sub"))
        check_refused(
            user.call("send", topic=topic, body="m"),
            rf"has no permission to access Topic:{topic} from .*, no matched policies\.",
        )
        assert stored(admin, topic) == [[]]

    def test_a_right_that_is_taken_away_ends_at_the_next_message(
        self, client: GrpcUser, rights: LeastRights, admin: Wire, name: Name
    ) -> None:
        topic = name("topic")
        create_topic(admin, topic, 1)
        producer = rights.producer(topic)
        producer.do("send", topic=topic, body="before")
        assert producer.user is not None
        grant(admin, producer.user.name, entry(f"Topic:{topic}", "Pub", "Deny"))
        check_refused(producer.call("send", topic=topic, body="after"), r"the decision is deny\.")
        assert stored(admin, topic) == [[b"before-0"]]


@pytest.mark.usefixtures("insiders")
class PushRefusalCases:
    """Push consumers of users who may not receive."""

    @pytest.mark.parametrize("who", ["no credentials", "wrong secret", "denied under a wider allow"])
    def test_pushing_is_refused(self, client: GrpcUser, who: str) -> None:
        client.as_(INSIDER).do("send", topic="orders", body="for others")
        user = client.as_(OUTSIDERS[who].user)
        check_refused(user.call("push", handle="outsider", topic="orders", group="orders_group"), OUTSIDERS[who].remark)

    def test_a_topic_without_the_group_is_not_enough(self, client: GrpcUser, admin: Wire, name: Name) -> None:
        topic, group = name("topic"), name("group")
        create_topic(admin, topic, 1)
        create_group(admin, group)
        user = granted(admin, client, name, entry(f"Topic:{topic}", "Pub,Sub"))
        user.do("send", topic=topic, body="m")
        answer = user.call("push", handle=group, topic=topic, group=group)
        check_refused(answer, rf"has no permission to access Group:{group} from .*, no matched policies\.")
        assert stored(admin, topic) == [[b"m-0"]]


def granted(admin: Wire, client: GrpcUser, name: Name, *entries: dict[str, object]) -> GrpcUser:
    """Return a new user with these policies."""
    user = User(name("user"), "secret-of-a-user")
    create_user(admin, user.name, user.secret)
    grant(admin, user.name, *entries)
    return client.as_(user)
