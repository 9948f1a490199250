"""Calls as the official clients for C++ and C# make them: these have no package that could run here."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from mqguard.rpc.protocol import messages_pb2 as pb
from tests.fixtures.access import create_topic, create_user, entry, grant
from tests.fixtures.server import Server
from tests.fixtures.waiting import eventually
from tests.fixtures.wire import User, Wire
from tests.interop.grpc_client import create_group, dead_letters, stored
from tests.interop.raw_grpc import COMPRESSED_FROM, DIALECTS, Dialect, RawClient

pytestmark = pytest.mark.xdist_group("grpc-raw")

Name = Callable[[str], str]
Start = Callable[..., RawClient]
SERVER_SETTINGS = {"transactionTimeOut": "1000", "transactionCheckInterval": "1500", "recallMessageEnable": "true"}
OK = pb.OK


@pytest.fixture(params=["C++", "C#"])
def dialect(request: pytest.FixtureRequest) -> Dialect:
    """Return how the client of each language writes."""
    return DIALECTS[request.param]


@pytest.fixture
def start(server: Server, admin: Wire, dialect: Dialect, name: Name) -> Iterator[Start]:
    """Return a function that starts clients of users with these policies."""
    started: list[RawClient] = []

    def start_one(*entries: dict[str, object]) -> RawClient:
        user = User(name("user"), "secret-of-a-user")
        create_user(admin, user.name, user.secret)
        if entries:
            grant(admin, user.name, *entries)
        started.append(RawClient(server.grpc, dialect, user))
        return started[-1]

    yield start_one
    for client in started:
        client.__exit__(None, None, None)


def producer_of(start: Start, topic: str) -> RawClient:
    """Return a started producer with the least rights."""
    client = start(entry(f"Topic:{topic}", "Pub"))
    assert client.route(topic).status.code == OK
    answer = client.as_producer(topic)
    assert answer.status.code == OK
    assert answer.settings.publishing.max_body_size == 4 * 1024 * 1024
    assert answer.settings.backoff_policy.HasField("exponential_backoff")
    return client


def consumer_of(
    start: Start, topic: str, group: str, kind: pb.ClientType = pb.SIMPLE_CONSUMER
) -> tuple[RawClient, pb.MessageQueue]:
    """Return a started consumer with the least rights, and the queue that it is assigned."""
    client = start(entry(f"Topic:{topic}", "Sub"), entry(f"Group:{group}", "Sub"))
    assert client.route(topic).status.code == OK
    assert client.as_consumer(topic, group, kind).status.code == OK
    request = pb.QueryAssignmentRequest(endpoints=client.endpoints)
    request.topic.name, request.group.name = topic, group
    answer = client.call("QueryAssignment", request, pb.QueryAssignmentResponse)
    assert answer.status.code == OK
    heartbeat = pb.HeartbeatRequest(client_type=kind)
    heartbeat.group.name = group
    assert client.call("Heartbeat", heartbeat, pb.HeartbeatResponse).status.code == OK
    return client, answer.assignments[0].message_queue


def receive(client: RawClient, queue: pb.MessageQueue, group: str, *, push: bool = False) -> list[pb.Message]:
    """Receive until messages have come."""
    found: list[pb.Message] = []
    assert eventually(lambda: found.extend(client.receive(queue, group, push=push)[1]) or found, 30)
    return found


@pytest.fixture
def topic(admin: Wire, name: Name) -> str:
    """Return a topic of normal messages with one queue."""
    created = name("topic")
    create_topic(admin, created, 1)
    return created


@pytest.fixture
def group(admin: Wire, name: Name) -> str:
    """Return a group."""
    created = name("group")
    create_group(admin, created)
    return created


@pytest.mark.parametrize("size", [1, COMPRESSED_FROM, 200_000], ids=["small", "packed", "large"])
def test_a_message_is_sent_received_and_acknowledged(
    start: Start, admin: Wire, topic: str, group: str, size: int
) -> None:
    body = bytes(number % 251 for number in range(size))
    message = producer_of(start, topic)
    sent = message.message(topic, body)
    answer = message.send(sent)
    assert (answer.status.code, [one.status.code for one in answer.entries]) == (OK, [OK])
    assert answer.entries[0].message_id == sent.system_properties.message_id
    assert stored(admin, topic) == [[body]]

    client, queue = consumer_of(start, topic, group)
    (received,) = receive(client, queue, group)
    assert (received.body, dict(received.user_properties)) == (body, {"a": "b"})
    system = received.system_properties
    assert (system.tag, list(system.keys), system.delivery_attempt) == ("T", ["K"], 1)
    assert system.body_encoding == pb.IDENTITY

    change = pb.ChangeInvisibleDurationRequest(receipt_handle=system.receipt_handle, message_id=system.message_id)
    change.group.name, change.topic.name, change.invisible_duration.seconds = group, topic, 30
    changed = client.call("ChangeInvisibleDuration", change, pb.ChangeInvisibleDurationResponse)
    assert changed.status.code == OK
    assert changed.receipt_handle != system.receipt_handle
    ack = pb.AckMessageRequest()
    ack.group.name, ack.topic.name = group, topic
    ack.entries.add(message_id=system.message_id, receipt_handle=changed.receipt_handle)
    assert client.call("AckMessage", ack, pb.AckMessageResponse).status.code == OK
    end = pb.NotifyClientTerminationRequest()
    end.group.name = group
    assert client.call("NotifyClientTermination", end, pb.NotifyClientTerminationResponse).status.code == OK


def test_a_failed_message_of_a_push_consumer_is_forwarded(start: Start, admin: Wire, topic: str, group: str) -> None:
    assert producer_of(start, topic).send(producer_of(start, topic).message(topic, b"m")).status.code == OK
    client, queue = consumer_of(start, topic, group, pb.PUSH_CONSUMER)
    (received,) = receive(client, queue, group, push=True)
    system = received.system_properties
    forward = pb.ForwardMessageToDeadLetterQueueRequest(
        receipt_handle=system.receipt_handle,
        message_id=system.message_id,
        delivery_attempt=system.delivery_attempt,
        max_delivery_attempts=16,
    )
    forward.group.name, forward.topic.name = group, topic
    answer = client.call("ForwardMessageToDeadLetterQueue", forward, pb.ForwardMessageToDeadLetterQueueResponse)
    assert answer.status.code == OK
    assert eventually(lambda: dead_letters(admin, group) == [b"m"])


def test_a_delayed_message_is_recalled(start: Start, admin: Wire, name: Name) -> None:
    topic = name("topic")
    create_topic(admin, topic, 1, "DELAY")
    client = producer_of(start, topic)
    recalled = client.send(client.delayed(topic, b"recalled", 4)).entries[0]
    assert client.send(client.delayed(topic, b"kept", 5)).status.code == OK
    request = pb.RecallMessageRequest(recall_handle=recalled.recall_handle)
    request.topic.name = topic
    answer = client.call("RecallMessage", request, pb.RecallMessageResponse)
    assert (answer.status.code, answer.message_id) == (OK, recalled.message_id)
    assert stored(admin, topic) == [[]]
    assert eventually(lambda: stored(admin, topic) == [[b"kept"]], 30, pause=0.1)


@pytest.mark.parametrize(
    ("resolution", "visible"), [(pb.COMMIT, [b"m"]), (pb.ROLLBACK, [])], ids=["commit", "rollback"]
)
def test_a_checked_transaction_ends_without_a_source(
    start: Start, admin: Wire, name: Name, resolution: pb.TransactionResolution, visible: list[bytes]
) -> None:
    topic = name("topic")
    create_topic(admin, topic, 1, "TRANSACTION")
    client = producer_of(start, topic)
    sent = client.send(client.message(topic, b"m", pb.TRANSACTION)).entries[0]
    command = client.next_command().recover_orphaned_transaction_command
    assert (command.message.body, command.transaction_id) == (b"m", sent.transaction_id)
    request = pb.EndTransactionRequest(
        message_id=sent.message_id, transaction_id=command.transaction_id, resolution=resolution
    )
    request.topic.name = topic
    assert client.call("EndTransaction", request, pb.EndTransactionResponse).status.code == OK
    assert eventually(lambda: stored(admin, topic) == [visible])


def test_a_refusal_is_a_status_and_not_an_error_of_the_transport(
    server: Server, dialect: Dialect, start: Start, admin: Wire, topic: str
) -> None:
    for user in (None, User("nobody", "secret"), User("rocketmq", "wrong")):
        with RawClient(server.grpc, dialect, user) as client:
            assert client.route(topic).status.code == pb.UNAUTHORIZED
            assert client.send(client.message(topic, b"m")).status.code == pb.UNAUTHORIZED
    other = start(entry(f"Topic:{topic}", "Sub"))
    answer = other.send(other.message(topic, b"m"))
    assert answer.status.code == pb.UNAUTHORIZED
    assert f"has no permission to access Topic:{topic}" in answer.status.message
    assert stored(admin, topic) == [[]]


@pytest.mark.parametrize("dialect", [DIALECTS["gzip"]])
def test_a_body_in_the_form_of_gzip_arrives_unpacked(start: Start, admin: Wire, topic: str) -> None:
    client = start(entry(f"Topic:{topic}", "Pub"))
    assert client.send(client.message(topic, b"x" * 10_000)).status.code == OK
    assert stored(admin, topic) == [[b"x" * 10_000]]
    damaged = client.message(topic, b"x" * 10_000)
    damaged.body = damaged.body[:-5]
    assert client.send(damaged).status.code == pb.MESSAGE_CORRUPTED
    assert stored(admin, topic) == [[b"x" * 10_000]]
