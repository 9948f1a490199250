"""Users of official gRPC clients at one server, and the topics and groups that they use."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.fixtures.access import ADMIN, CREATE_TOPIC, create_user, entry, expect, grant
from tests.fixtures.server import GuardProxy, Server, environment
from tests.fixtures.waiting import eventually
from tests.fixtures.wire import User, Wire
from tests.interop.driver import Driver
from tests.interop.toolchain import java_grpc_driver, python_grpc_driver

COMMANDS: dict[str, Callable[[Path], list[str]]] = {"java": java_grpc_driver, "python": python_grpc_driver}
QUICK = {
    "transactionTimeOut": "2000",
    "transactionCheckInterval": "1000",
    "grpcClientConsumerMinLongPollingTimeoutMillis": "500",
    "minInvisibleTimeMillsForRecv": "1000",
    "defaultInvisibleTimeMills": "10000",
}
"""Settings of a server whose times are short."""
_IS_OURS = "MQGUARD_INTEROP_SERVER" not in os.environ
AWAIT_SECONDS, INVISIBLE_SECONDS, RENEWED_SECONDS = (1, 3, 10) if _IS_OURS else (5, 10, 60)
"""Times of receives, of messages that are not acknowledged, and of those of a dead listener; Apache's are longer."""
CREATE_GROUP = 200
_NUMBERS = itertools.count(1)


def unique(what: str) -> str:
    """Return a name that no other test has."""
    return f"{what}_{os.getpid()}_{next(_NUMBERS)}"


@dataclasses.dataclass(frozen=True)
class GrpcClient:
    """A user of one client at a server.

    Attributes:
        driver: The process with the client.
        endpoint: Address of the server.
        user: Name and secret; None for a client without credentials.
    """

    driver: Driver
    endpoint: str
    user: User | None

    def call(self, verb: str, **arguments: object) -> dict[str, Any]:
        """Do a step as this user, and return the answer, which may be a refusal."""
        who: dict[str, Any] = {"user": self.user.name, "secret": self.user.secret} if self.user else {}
        return self.driver.call(verb, **{"endpoint": self.endpoint, **who, **arguments})

    def do(self, verb: str, **arguments: object) -> dict[str, Any]:
        """Do a step that must succeed, and return the answer."""
        answer = self.call(verb, **arguments)
        assert answer["ok"], answer
        return answer

    def as_(self, user: User | None) -> GrpcClient:
        """Return the same client with other credentials, or none."""
        return dataclasses.replace(self, user=user)

    def receive(self, handle: str, count: int, *, seconds: int = 30, within: float = 40) -> list[dict[str, Any]]:
        """Receive so many messages with a simple consumer.

        Args:
            handle: Name of the consumer.
            count: Number of messages to wait for.
            seconds: Their invisible time.
            within: Maximum seconds to wait.
        """
        found: list[dict[str, Any]] = []

        def enough() -> bool:
            found.extend(self.do("receive", handle=handle, seconds=seconds)["messages"])
            return len(found) >= count

        assert eventually(enough, within), found
        return found

    def ack_all(self, handle: str, messages: list[dict[str, Any]]) -> None:
        """Acknowledge messages of a simple consumer."""
        for message in messages:
            self.do("ack", handle=handle, id=message["id"])

    def pushed(self, handle: str, count: int, *, seconds: float = 40) -> list[dict[str, Any]]:
        """Return the messages of a listener once there are so many."""
        answer = self.do("pushed", handle=handle, count=count, timeout=int(seconds * 1000), wait=seconds + 20)
        messages: list[dict[str, Any]] = answer["messages"]
        assert len(messages) >= count, messages
        return messages


@dataclasses.dataclass(frozen=True)
class Access:
    """The Super user's connection to the broker, and the address at which gRPC clients reach it."""

    admin: Wire
    endpoint: str

    def topic(self, kind: str = "NORMAL", queues: int = 4) -> str:
        """Create a topic for one kind of messages, and return its name."""
        topic = unique("topic")
        create_typed_topic(self.admin, topic, kind, queues)
        return topic

    def group(self, **settings: object) -> str:
        """Create a group with the settings of remoting's `SubscriptionGroupConfig`, and return its name."""
        group = unique("group")
        create_group(self.admin, group, **settings)
        return group

    def user(self, *permissions: tuple[str, str]) -> User:
        """Create a Normal user with these permissions and no others."""
        user = User(unique("user"), "secret-of-a-user")
        create_user(self.admin, user.name, user.secret)
        if permissions:
            grant(self.admin, user.name, *(entry(resource, actions) for resource, actions in permissions))
        return user


def create_typed_topic(admin: Wire, topic: str, kind: str, queues: int = 4) -> None:
    """Create a topic for one kind of messages.

    Args:
        admin: The Super user's connection to the broker.
        topic: Name of the topic.
        kind: The kind, such as `FIFO`.
        queues: Number of queues.
    """
    ext = {
        "topic": topic,
        "defaultTopic": "TBW102",
        "readQueueNums": str(queues),
        "writeQueueNums": str(queues),
        "perm": "6",
        "topicFilterType": "SINGLE_TAG",
        "topicSysFlag": "0",
        "order": "false",
        "attributes": f"+message.type={kind}",
    }
    expect(admin.call(CREATE_TOPIC, ext))


def create_group(admin: Wire, group: str, **settings: object) -> None:
    """Create a group with Apache's defaults and these settings."""
    defaults = {
        "groupName": group,
        "consumeEnable": True,
        "consumeFromMinEnable": True,
        "consumeBroadcastEnable": True,
        "consumeMessageOrderly": False,
        "retryQueueNums": 1,
        "retryMaxTimes": 16,
        "brokerId": 0,
        "whichBrokerWhenConsumeSlowly": 1,
        "notifyConsumerIdsChangedEnable": True,
    }
    expect(admin.call(CREATE_GROUP, {}, json.dumps(defaults | settings).encode()))


def endpoint_of(server: Server) -> str:
    """Return the address for gRPC clients: the broker's port of our broker, another port of another server."""
    return server.broker if _IS_OURS and not isinstance(server, GuardProxy) else server.grpc


@contextmanager
def started(which: str, directory: Path, **variables: str) -> Iterator[Driver]:
    """Start the driver of a client.

    Args:
        which: Name of the client.
        directory: Its home directory.
        **variables: Environment variables of the process.
    """
    directory.mkdir(parents=True, exist_ok=True)
    env = environment(HOME=str(directory), **variables)
    with Driver(COMMANDS[which](directory), directory / "driver.log", env) as driver:
        yield driver


def client_log(driver: Driver) -> str:
    """Return the log that a client writes for its user."""
    return "".join(path.read_text(errors="replace") for path in driver.log.parent.glob("logs/*/rocketmq?client.log"))


def super_client(driver: Driver, endpoint: str) -> GrpcClient:
    """Return the Super user of a client."""
    return GrpcClient(driver, endpoint, ADMIN)


def sender(grpc: GrpcClient, access: Access, topic: str, **settings: object) -> tuple[GrpcClient, str]:
    """Start a producer of a user who may only publish to the topic."""
    client, handle = grpc.as_(access.user((f"Topic:{topic}", "Pub"))), unique("producer")
    client.do("produce", handle=handle, topics=topic, **settings)
    return client, handle


def reader_of(access: Access, topic: str, group: str) -> User:
    """Create a user who may only consume the topic with the group."""
    return access.user((f"Topic:{topic}", "Sub"), (f"Group:{group}", "Sub"))


def reader(
    grpc: GrpcClient, access: Access, topic: str, settings: dict[str, object] | None = None, **arguments: object
) -> tuple[GrpcClient, str]:
    """Start a simple consumer of a user who may only consume the topic; its handle is its group.

    Args:
        grpc: The client.
        access: The means to create the group and the user.
        topic: The topic.
        settings: Settings of the group.
        **arguments: Arguments of the step.
    """
    group = access.group(**(settings or {}))
    client = grpc.as_(reader_of(access, topic, group))
    client.do("open", handle=group, topic=topic, group=group, await_=AWAIT_SECONDS, **arguments)
    return client, group
