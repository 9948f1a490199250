"""Official Java clients at a server that creates no topics: missing topics, and users that are denied."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.fixtures.access import ADMIN, create_topic, create_user
from tests.fixtures.server import Server
from tests.fixtures.wire import User, Wire
from tests.interop.conftest import DrivenClient, Drivers
from tests.interop.outsiders import NO_PERMISSION, WRONG


@pytest.fixture(scope="module")
def server(drivers: Drivers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Start a server without automatic creation of topics."""
    with Server(tmp_path_factory.mktemp("server"), settings={"autoCreateTopicEnable": "false"}) as started:
        with Wire(started.broker_port, ADMIN) as admin:
            create_topic(admin, "orders", queues=1)
            create_user(admin, "paul", "paul-secret")
        yield started
        drivers.close_clients()


def test_a_missing_topic_has_no_route(any_java: DrivenClient) -> None:
    answer = any_java.call("send", topic="missing", body="x")
    assert not answer["ok"]
    assert "No route info of this topic" in answer["remark"]


@pytest.mark.parametrize(
    ("user", "reason"),
    [
        (User("rocketmq", "wrong"), WRONG),
        (None, "username cannot be null"),
        (User("paul", "paul-secret"), "User:paul "),
    ],
    ids=["wrong secret", "no credentials", "no policy"],
)
def test_a_denied_user_reads_the_reason(any_java: DrivenClient, user: User | None, reason: str) -> None:
    answer = any_java.as_(user).call("send", topic="orders", body="intruder")
    assert answer["code"] == NO_PERMISSION, answer
    assert re.match(reason, answer["remark"]), answer
