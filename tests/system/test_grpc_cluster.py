"""gRPC calls through `mqguard proxy` to brokers of mqguard: what the guard decides itself, and faults of brokers."""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from mqguard.rpc.protocol import messages_pb2 as pb
from tests.fixtures.access import ADMIN, create_topic, create_user, entry, expect, grant, read_all
from tests.fixtures.server import INNER, Broker, GuardProxy, NameServer
from tests.fixtures.waiting import eventually
from tests.fixtures.wire import User, Wire
from tests.interop.grpc_client import create_group
from tests.interop.raw_grpc import DIALECTS, RawClient

OK, REGISTER = pb.OK, 103
SETTINGS = {**INNER, "minInvisibleTimeMillsForRecv": "1000", "defaultInvisibleTimeMills": "10000"}


class House:
    """A name server, two brokers and a guard in front of them.

    Attributes:
        namesrv: The name server.
        brokers: The brokers, by name.
        guard: The guard.
    """

    def __init__(self, directory: Path) -> None:
        self.namesrv = NameServer(directory / "namesrv").start()
        quick = {"transactionTimeOut": "1000", "transactionCheckInterval": "1000"}
        self.brokers = {
            name: Broker(directory / name, name, self.namesrv.namesrv, settings=quick).start() for name in ("b1", "b2")
        }
        self.guard = GuardProxy(directory / "guard", self.namesrv.namesrv, settings=SETTINGS)
        assert eventually(lambda: set(self._registered()) == set(self.brokers), 60)
        self.guard.start()
        self._clients: list[RawClient] = []
        self._count = 0

    def _registered(self) -> dict[str, Any]:
        with Wire(self.namesrv.namesrv_port, ADMIN) as wire:
            return dict(expect(wire.call(106)).json()["brokerAddrTable"])

    def name(self, what: str) -> str:
        self._count += 1
        return f"{what}{self._count}"

    def admin(self, broker: str = "") -> Wire:
        """Return a connection of the Super user to the guard, or to a broker itself."""
        return Wire(self.brokers[broker].broker_port if broker else self.guard.broker_port, ADMIN)

    def topic(self, kind: str = "", brokers: tuple[str, ...] = ("b1",)) -> str:
        """Create a topic of one queue on these brokers."""
        topic = self.name("topic")
        for broker in brokers:
            with self.admin(broker) as wire:
                create_topic(wire, topic, 1, kind)
        return topic

    def group(self) -> str:
        group = self.name("group")
        for broker in self.brokers:
            with self.admin(broker) as wire:
                create_group(wire, group)
        return group

    def user(self, *entries: dict[str, object]) -> User:
        user = User(self.name("user"), "secret-of-a-user")
        with self.admin() as wire:
            create_user(wire, user.name, user.secret)
            if entries:
                grant(wire, user.name, *entries)
        return user

    def client(self, user: User) -> RawClient:
        self._clients.append(RawClient(self.guard.grpc, DIALECTS["C++"], user))
        return self._clients[-1]

    def producer(self, topic: str) -> RawClient:
        """Return a producer that may publish to the topic alone."""
        client = self.client(self.user(entry(f"Topic:{topic}", "Pub")))
        assert client.as_producer(topic).status.code == OK
        return client

    def consumer(self, topic: str, group: str) -> tuple[RawClient, pb.MessageQueue]:
        """Return a consumer that may consume the topic with the group alone, and its first queue."""
        client = self.client(self.user(entry(f"Topic:{topic}", "Sub"), entry(f"Group:{group}", "Sub")))
        assert client.as_consumer(topic, group).status.code == OK
        return client, assignments(client, topic, group)[0].message_queue

    def close_clients(self) -> None:
        for client in self._clients:
            client.__exit__(None, None, None)
        self._clients.clear()

    def close(self) -> None:
        self.close_clients()
        for server in (self.guard, *self.brokers.values(), self.namesrv):
            if server.running:
                server.kill()


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    house = House(tmp_path_factory.mktemp("house"))
    yield house
    house.close()


@pytest.fixture
def house(opened: House) -> Iterator[House]:
    yield opened
    opened.close_clients()
    assert opened.guard.running, opened.guard.log()[-3000:]
    assert "internal error" not in opened.guard.log()


def assignments(client: RawClient, topic: str, group: str) -> list[pb.Assignment]:
    request = pb.QueryAssignmentRequest(endpoints=client.endpoints)
    request.topic.name, request.group.name = topic, group
    answer = client.call("QueryAssignment", request, pb.QueryAssignmentResponse)
    assert answer.status.code == OK, answer
    return list(answer.assignments)


def sent(client: RawClient, topic: str, body: bytes, kind: pb.MessageType = pb.NORMAL) -> pb.SendResultEntry:
    answer = client.send(client.message(topic, body, kind))
    assert answer.status.code == OK, answer.status
    entry_: pb.SendResultEntry = answer.entries[0]
    return entry_


def receive(client: RawClient, queue: pb.MessageQueue, group: str, count: int = 1) -> list[pb.Message]:
    found: list[pb.Message] = []
    assert eventually(lambda: found.extend(client.receive(queue, group)[1]) or len(found) >= count, 60)
    return found


def forward(client: RawClient, topic: str, group: str, handle: str) -> pb.Code:
    request = pb.ForwardMessageToDeadLetterQueueRequest(receipt_handle=handle)
    request.group.name, request.topic.name = group, topic
    answer = client.call("ForwardMessageToDeadLetterQueue", request, pb.ForwardMessageToDeadLetterQueueResponse)
    code: pb.Code = answer.status.code
    return code


def end(client: RawClient, topic: str, transaction: str) -> pb.Code:
    request = pb.EndTransactionRequest(transaction_id=transaction, resolution=pb.COMMIT, message_id="id")
    request.topic.name = topic
    code: pb.Code = client.call("EndTransaction", request, pb.EndTransactionResponse).status.code
    return code


def stored(house: House, topic: str, broker: str = "b1") -> list[bytes]:
    with house.admin(broker) as wire:
        return read_all(wire, topic, "TOOLS_CONSUMER", 0)


def test_messages_of_all_brokers_are_sent_and_received(house: House) -> None:
    topic, group = house.topic(brokers=("b1", "b2")), house.group()
    producer = house.producer(topic)
    bodies = {b"%d" % number for number in range(8)}
    for body in bodies:
        sent(producer, topic, body)
    assert stored(house, topic, "b1")
    assert stored(house, topic, "b2")
    client, _ = house.consumer(topic, group)
    queues = [one.message_queue for one in assignments(client, topic, group)]
    assert {queue.broker.name for queue in queues} == {"b1", "b2"}
    found = [message for queue in queues for message in receive(client, queue, group, 4)]
    assert {message.body for message in found} == bodies
    ack = pb.AckMessageRequest()
    ack.group.name, ack.topic.name = group, topic
    for message in found:
        ack.entries.add(receipt_handle=message.system_properties.receipt_handle)
    ack.entries.add(receipt_handle="0 1 2 3 0 unknown-broker 0 0 0")
    answer = client.call("AckMessage", ack, pb.AckMessageResponse)
    assert answer.status.code == pb.MULTIPLE_RESULTS
    assert [one.status.code for one in answer.entries] == [OK] * 8 + [pb.INVALID_RECEIPT_HANDLE]


def test_the_brokers_get_the_signature_of_the_guard_only(house: House) -> None:
    """Users of the guard are unknown to the brokers, and users of the brokers to the guard."""
    topic = house.topic()
    user = User(house.name("user"), "secret-of-a-user")
    with house.admin("b1") as wire:
        create_user(wire, user.name, user.secret, "Super")
    assert house.client(user).route(topic).status.code == pb.UNAUTHORIZED
    sent(house.producer(topic), topic, b"m")
    assert stored(house, topic) == [b"m"]


def test_a_forged_handle_moves_no_message_of_others_to_a_dead_letter_topic(house: House) -> None:
    """The handle names the message by its position, and the position is that of a topic without permission."""
    secret, topic, group = house.topic(), house.topic(), house.group()
    place = int(base_offset(house, secret), 16)
    sent(house.producer(topic), topic, b"mine")
    client, queue = house.consumer(topic, group)
    (message,) = receive(client, queue, group)
    fields = message.system_properties.receipt_handle.split(" ")
    fields[8] = str(place)
    assert forward(client, topic, group, " ".join(fields)) == pb.UNAUTHORIZED
    assert forward(client, topic, group, message.system_properties.receipt_handle) in {OK, pb.INVALID_RECEIPT_HANDLE}
    with house.admin("b1") as wire:
        answer = wire.call(351, {"topic": f"%DLQ%{group}"})
        found = read_all(wire, f"%DLQ%{group}", "TOOLS_CONSUMER", 0) if answer.code == 0 else []
    assert b"secret" not in found


def base_offset(house: House, topic: str) -> str:
    """Store a message in a topic, and return its physical offset in hexadecimal digits."""
    with house.admin("b1") as wire:
        ext = {"producerGroup": "p", "topic": topic, "defaultTopic": "TBW102", "defaultTopicQueueNums": "4"}
        ext |= {"queueId": "0", "sysFlag": "0", "bornTimestamp": str(int(time.time() * 1000)), "flag": "0"}
        ext |= {"properties": "", "reconsumeTimes": "0", "unitMode": "false", "batch": "false"}
        return expect(wire.call(10, ext, b"secret")).ext["msgId"][-16:]


def test_a_transaction_of_another_topic_is_unknown(house: House) -> None:
    """The name of the topic in the request is that of the caller; the half message has another one."""
    secret, topic = house.topic("TRANSACTION"), house.topic("TRANSACTION")
    owner, stranger = house.producer(secret), house.producer(topic)
    half = sent(owner, secret, b"half", pb.TRANSACTION)
    assert half.transaction_id
    assert end(stranger, topic, half.transaction_id) == pb.INVALID_TRANSACTION_ID
    assert end(stranger, topic, "00000000000FFFFF-1-b1") == pb.INVALID_TRANSACTION_ID
    assert end(stranger, topic, "0000000000000000-1-unknown") == pb.INVALID_TRANSACTION_ID
    assert stored(house, secret) == []
    assert end(owner, secret, half.transaction_id) == OK
    assert eventually(lambda: stored(house, secret) == [b"half"])


def test_a_transaction_is_checked_with_a_client_of_the_guard(house: House) -> None:
    """A client of another topic gets no check, and a client without the right any more gets none either."""
    topic, other = house.topic("TRANSACTION"), house.topic("TRANSACTION")
    house.producer(other)
    producer = house.producer(topic)
    sent(producer, topic, b"half", pb.TRANSACTION)
    command = producer.next_command().recover_orphaned_transaction_command
    assert command.message.body == b"half"
    assert end(producer, topic, command.transaction_id) == OK
    assert eventually(lambda: stored(house, topic) == [b"half"])


def test_a_consumer_that_loses_its_right_while_it_waits_gets_nothing(house: House) -> None:
    """The broker delivers to the guard, which gives the message back."""
    topic, group = house.topic(), house.group()
    producer = house.producer(topic)
    user = house.user(entry(f"Topic:{topic}", "Sub"), entry(f"Group:{group}", "Sub"))
    client = house.client(user)
    assert client.as_consumer(topic, group).status.code == OK
    queue = assignments(client, topic, group)[0].message_queue
    found: list[tuple[pb.Status, list[pb.Message]]] = []
    thread = threading.Thread(target=lambda: found.append(client.receive(queue, group)))
    thread.start()
    time.sleep(0.5)  # either way the message must not be delivered, so the test does not depend on the time
    with house.admin() as wire:
        expect(wire.call(3008, {"subject": f"User:{user.name}"}))
    sent(producer, topic, b"m")
    thread.join(60)
    assert [message for _, messages in found for message in messages] == []
    other, queue = house.consumer(topic, group)
    assert [message.body for message in receive(other, queue, group)] == [b"m"]


def test_a_receive_that_was_cancelled_loses_no_message(house: House) -> None:
    topic, group = house.topic(), house.group()
    client, queue = house.consumer(topic, group)
    request = pb.ReceiveMessageRequest(message_queue=queue, batch_size=1)
    request.group.name, request.invisible_duration.seconds = group, 600
    request.filter_expression.type, request.filter_expression.expression = pb.TAG, "*"
    request.long_polling_timeout.seconds = 15
    client.cancel("ReceiveMessage", request, seconds=1)
    sent(house.producer(topic), topic, b"m")
    assert [message.body for message in receive(client, queue, group)] == [b"m"]


def test_a_broker_that_does_not_answer_is_a_timeout_for_its_clients_only(house: House) -> None:
    slow, quick = house.topic(brokers=("b2",)), house.topic(brokers=("b1",))
    waiting, served = house.producer(slow), house.producer(quick)
    sent(waiting, slow, b"m")
    os.kill(house.brokers["b2"].pid, signal.SIGSTOP)
    try:
        answer = waiting.send(waiting.message(slow, b"late"))
        assert answer.status.code == pb.PROXY_TIMEOUT
        assert "127.0.0.1" not in str(answer)
        sent(served, quick, b"m")
    finally:
        os.kill(house.brokers["b2"].pid, signal.SIGCONT)
    assert eventually(lambda: waiting.send(waiting.message(slow, b"again")).status.code == OK, 60)


def test_a_broker_that_was_killed_serves_again_after_its_restart(house: House) -> None:
    topic, group = house.topic(brokers=("b2",)), house.group()
    producer = house.producer(topic)
    client, queue = house.consumer(topic, group)
    sent(producer, topic, b"before")
    house.brokers["b2"].kill()
    answer = producer.send(producer.message(topic, b"lost"))
    assert answer.status.code in {pb.INTERNAL_SERVER_ERROR, pb.PROXY_TIMEOUT}
    assert "127.0.0.1" not in str(answer)
    status, messages = client.receive(queue, group)
    assert (status.code, messages) == (pb.INTERNAL_SERVER_ERROR, [])
    house.brokers["b2"].start()
    assert eventually(lambda: producer.send(producer.message(topic, b"after")).status.code == OK, 60)
    assert {b"before", b"after"} <= {message.body for message in receive(client, queue, group, 2)}


def test_a_topic_that_is_created_or_unknown_is_found_or_not(house: House) -> None:
    name = house.name("topic")
    client = house.client(house.user(entry("Topic:*", "Pub", "Allow")))
    assert client.route(name).status.code == pb.TOPIC_NOT_FOUND
    with house.admin("b1") as wire:
        create_topic(wire, name)
    assert eventually(lambda: client.route(name).status.code == OK, 60)


def test_a_broker_that_answers_garbage_ends_only_its_own_calls(house: House) -> None:
    """The broker is one of the cluster: it has registered with the signature of a Super user."""
    topic, quick = house.name("topic"), house.topic()
    served = house.producer(quick)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        stop = threading.Event()
        thread = threading.Thread(target=_answer_garbage, args=(listening, stop))
        thread.start()
        address = f"127.0.0.1:{listening.getsockname()[1]}"
        ext = {"brokerName": "bad", "brokerAddr": address, "clusterName": "c", "brokerId": "0", "haServerAddr": address}
        table = {topic: {"topicName": topic, "readQueueNums": 1, "writeQueueNums": 1}}
        body = {"topicConfigSerializeWrapper": {"topicConfigTable": table, "dataVersion": {"counter": 1}}}
        with Wire(house.namesrv.namesrv_port, ADMIN) as wire:
            expect(wire.call(REGISTER, ext, json.dumps(body).encode()))
            producer = house.client(house.user(entry(f"Topic:{topic}", "Pub")))
            answers = []

            def refused() -> bool:
                answers.append(producer.send(producer.message(topic, b"m")).status)
                return bool(answers[-1].code in {pb.INTERNAL_SERVER_ERROR, pb.PROXY_TIMEOUT} and "bad" in str(answers))

            assert eventually(refused, 60), answers
            sent(served, quick, b"m")
        stop.set()
        thread.join()


def _answer_garbage(listening: socket.socket, stop: threading.Event) -> None:
    listening.settimeout(0.1)
    while not stop.is_set():
        try:
            connection, _ = listening.accept()
        except TimeoutError:
            continue
        with connection:
            connection.settimeout(5)
            try:
                connection.recv(65_536)
                connection.sendall(b"\x00\x00\x00\x08\xff\xff\xff\xffgarbage" * 100)
            except OSError:
                continue


def test_clients_that_come_and_go_leave_nothing(house: House) -> None:
    """Neither connections to brokers nor memory grow with the number of clients."""
    topic, group = house.topic(), house.group()
    user = house.user(entry(f"Topic:{topic}", "Pub", "Allow"), entry(f"Group:{group}", "Sub"))
    process = psutil.Process(house.guard.pid)

    def come_and_go(count: int) -> None:
        for _ in range(count):
            with RawClient(house.guard.grpc, DIALECTS["C++"], user) as client:
                assert client.as_producer(topic).status.code == OK
                sent(client, topic, b"m")

    come_and_go(50)
    assert eventually(lambda: _clients(process, house.guard.grpc_port) == 0, 60)
    before, size = process.num_fds(), process.memory_info().rss
    come_and_go(300)
    assert eventually(lambda: process.num_fds() <= before + 2, 60)
    assert process.memory_info().rss - size < 16 << 20


def _clients(process: psutil.Process, port: int) -> int:
    return sum(one.status == "ESTABLISHED" and one.laddr.port == port for one in process.net_connections())


def test_two_users_with_one_client_id_have_their_own_lite_topics(house: House) -> None:
    """Brokers know lite clients by their ids. A user cannot remove the subscriptions of another one."""
    parent = house.topic("LITE")
    groups = [house.name("group"), house.name("group")]
    for group in groups:
        with house.admin("b1") as wire:
            create_group(wire, group, lite_of=parent)
    clients = []
    for group in groups:
        client = house.client(house.user(entry(f"Topic:{parent}", "Sub"), entry(f"Group:{group}", "Sub")))
        client.set_id("same-id")
        assert client.as_consumer(parent, group, pb.LITE_SIMPLE_CONSUMER).status.code == OK
        clients.append(client)
    assert subscribe(clients[0], parent, groups[0], pb.COMPLETE_ADD, "a") == OK
    assert subscribe(clients[1], parent, groups[1], pb.COMPLETE_ADD, "b") == OK
    assert subscribe(clients[1], parent, groups[1], pb.COMPLETE_REMOVE) == OK
    producer = house.producer(parent)
    message = producer.message(parent, b"m", pb.LITE)
    message.system_properties.lite_topic = "a"
    assert producer.send(message).status.code == OK
    queue = assignments(clients[0], parent, groups[0])[0].message_queue
    assert [one.body for one in receive(clients[0], queue, groups[0])] == [b"m"]


def subscribe(client: RawClient, parent: str, group: str, action: pb.LiteSubscriptionAction, *lites: str) -> pb.Code:
    request = pb.SyncLiteSubscriptionRequest(action=action, lite_topic_set=lites)
    request.topic.name, request.group.name = parent, group
    code: pb.Code = client.call("SyncLiteSubscription", request, pb.SyncLiteSubscriptionResponse).status.code
    return code


def test_a_recall_goes_to_the_broker_that_has_the_message(house: House) -> None:
    topic = house.topic("DELAY", brokers=("b1", "b2"))
    producer = house.producer(topic)
    handles = {}
    while len(handles) < 2:
        answer = producer.send(producer.delayed(topic, b"late", 120))
        assert answer.status.code == OK
        handle = answer.entries[0].recall_handle
        broker = base64.urlsafe_b64decode(handle + "=" * (-len(handle) % 4)).split(b" ")[2]
        handles[broker] = (handle, answer.entries[0].message_id)
    for handle, message_id in handles.values():
        request = pb.RecallMessageRequest(recall_handle=handle)
        request.topic.name = topic
        recalled = producer.call("RecallMessage", request, pb.RecallMessageResponse)
        assert (recalled.status.code, recalled.message_id) == (OK, message_id)
