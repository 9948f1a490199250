"""Users of official gRPC clients, and the groups that they use."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from tests.fixtures.access import ADMIN, create_user, entry, expect, grant, pull, read_all
from tests.fixtures.wire import User, Wire
from tests.interop.driver import Driver

UPDATE_GROUP, TOPIC_NOT_EXIST = 200, 17
UNAUTHORIZED = {40100, "UNAUTHORIZED"}
"""The status code of a refusal, as clients show it."""


@dataclasses.dataclass(frozen=True)
class GrpcUser:
    """A user of an official gRPC client.

    Attributes:
        driver: Process with the client.
        endpoint: Address of the server, `host:port`.
        user: Credentials; None sends none.
    """

    driver: Driver
    endpoint: str
    user: User | None = ADMIN

    def call(self, verb: str, *, wait: float = 60, **arguments: object) -> dict[str, Any]:
        """Do a step as this user, and return the answer, which may be a refusal."""
        who = {"user": self.user.name, "secret": self.user.secret} if self.user else {}
        return self.driver.call(verb, wait=wait, **{"endpoint": self.endpoint, **who, **arguments})

    def do(self, verb: str, *, wait: float = 60, **arguments: object) -> dict[str, Any]:
        """Do a step that must succeed, and return the answer."""
        answer = self.call(verb, wait=wait, **arguments)
        assert answer["ok"], answer
        return answer

    def as_(self, user: User | None) -> GrpcUser:
        """Return the same client with other credentials, or none."""
        return dataclasses.replace(self, user=user)

    def messages(self, verb: str, *, count: int = 1, seconds: float = 30, **arguments: object) -> list[dict[str, Any]]:
        """Return what a push consumer or a producer of transactions was given, when it is enough or time is over."""
        answer = self.do(verb, wait=seconds + 30, count=count, timeout=int(seconds * 1000), **arguments)
        messages: list[dict[str, Any]] = answer["messages"]
        return messages


class LeastRights:
    """Creates users with the least rights that a producer or a consumer needs.

    Args:
        admin: Connection of the Super user.
        client: The client that the users have.
    """

    def __init__(self, admin: Wire, client: GrpcUser) -> None:
        self._admin = admin
        self._client = client

    def producer(self, topic: str) -> GrpcUser:
        """Return a user with `Pub` on the topic alone."""
        return self._user(f"p_{topic}", entry(f"Topic:{topic}", "Pub"))

    def consumer(self, topic: str, group: str) -> GrpcUser:
        """Return a user with `Sub` on the topic and the group alone."""
        return self._user(f"c_{group}", entry(f"Topic:{topic}", "Sub"), entry(f"Group:{group}", "Sub"))

    def _user(self, name: str, *entries: dict[str, object]) -> GrpcUser:
        create_user(self._admin, name, f"{name}-secret")
        grant(self._admin, name, *entries)
        return self._client.as_(User(name, f"{name}-secret"))


def create_group(
    admin: Wire,
    group: str,
    *,
    orderly: bool = False,
    retries: int = 16,
    pauses_ms: tuple[int, ...] = (),
    doubled_from_ms: int = 0,
    lite_of: str = "",
) -> None:
    """Create a consumer group.

    Args:
        admin: Connection of the Super user.
        group: Name of the group.
        orderly: True if its consumers get messages in order.
        retries: How often a failed message is delivered again before it becomes a dead letter.
        pauses_ms: Pauses before each retry; by default those of the broker.
        doubled_from_ms: The first pause, and half of the next one, and so on.
        lite_of: The topic whose lite topics the group consumes.
    """
    values: dict[str, object] = {
        "groupName": group,
        "consumeEnable": True,
        "consumeFromMinEnable": True,
        "consumeMessageOrderly": orderly,
        "retryQueueNums": 1,
        "retryMaxTimes": retries,
        "brokerId": 0,
        "whichBrokerWhenConsumeSlowly": 1,
        "notifyConsumerIdsChangedEnable": True,
    }
    if pauses_ms:
        customized = {"next": list(pauses_ms)}
        values["groupRetryPolicy"] = {"type": "CUSTOMIZED", "customizedRetryPolicy": customized}
    if doubled_from_ms:
        doubled = {"initial": doubled_from_ms, "max": 60_000, "multiplier": 2}
        values["groupRetryPolicy"] = {"type": "EXPONENTIAL", "exponentialRetryPolicy": doubled}
    if lite_of:
        values["attributes"] = {"+lite.bind.topic": lite_of}
    expect(admin.call(UPDATE_GROUP, {}, json.dumps(values).encode()))


def stored(admin: Wire, topic: str, queues: int = 1) -> list[list[bytes]]:
    """Return the bodies in each queue of a topic, as the Super user reads them by remoting."""
    return [read_all(admin, topic, f"reader_{topic}", queue) for queue in range(queues)]


def dead_letters(admin: Wire, group: str) -> list[bytes]:
    """Return the bodies of the dead letters of a group, whose topic is created with the first of them."""
    topic = f"%DLQ%{group}"
    if pull(admin, topic, f"reader_{group}", 0, 0).code == TOPIC_NOT_EXIST:
        return []
    return read_all(admin, topic, f"reader_{group}", 0)
