"""Users cannot fill memory with settings, streams and messages that are extended."""

import gc

import pytest

from mqguard.proxy.grpc.telemetry import MAX_SETTINGS
from mqguard.rpc.protocol import messages_pb2 as pb
from tests.unit.proxy.grpc.conftest import GrpcHouse, message, resource, settings_command


def test_large_settings_are_refused(house):
    command = settings_command("g")
    command.settings.user_agent.hostname = "h" * MAX_SETTINGS
    assert house.client().stream(command).result.code == pb.PAYLOAD_TOO_LARGE
    assert len(house.face.clients) == 0


def test_only_the_needed_parts_of_settings_are_kept(house):
    command = settings_command("g")
    command.settings.user_agent.hostname = "h" * 100_000
    command.settings.subscription.group.resource_namespace = "n" * 100_000
    stream = house.client().stream(command)
    assert len(stream.answers[0].settings.user_agent.hostname) == 100_000
    assert house.face.clients.find("root", "c1").size < 100


def test_unknown_fields_of_settings_are_not_sent_back(house):
    command = settings_command("g")
    command.settings.MergeFromString(b"\xfa\x3f\x03abc")
    (answer,) = house.client().stream(command).answers
    assert b"abc" not in answer.SerializeToString()


def test_the_settings_of_all_clients_of_a_user_are_bounded():
    house = GrpcHouse(proxy={"max_settings_of_one": 2_500})
    house.topic()
    house.user("alice", ("Topic:*", "Pub"))
    house.user("bob", ("Topic:*", "Pub"))
    topics = tuple("t" * 50 + str(number) for number in range(16))  # about 900 bytes

    def code(user, client_id):
        return house.client(user, client_id).register(topics=topics).result.code

    assert [code("alice", f"c{number}") for number in range(3)] == [pb.OK, pb.OK, pb.TOO_MANY_REQUESTS]
    assert code("alice", "c0") == pb.OK  # the same client again
    assert code("bob", "c0") == pb.OK
    ended = house.client("alice", "c0").call("NotifyClientTermination", pb.NotifyClientTerminationRequest())
    assert ended.status.code == pb.OK
    assert code("alice", "c9") == pb.OK


def test_the_settings_of_all_clients_are_bounded():
    """Many users, or many addresses without a user, have no more than their share together."""
    house = GrpcHouse(auth=False, proxy={"max_settings": 2_500})
    house.topic()
    topics = tuple("t" * 50 + str(number) for number in range(16))  # about 900 bytes
    clients = [house.client("", "c", ip=f"192.0.2.{number}") for number in range(4)]
    codes = [client.register(topics=topics).result.code for client in clients]
    assert codes == [pb.OK, pb.OK, pb.TOO_MANY_REQUESTS, pb.TOO_MANY_REQUESTS]
    clients[0].call("NotifyClientTermination", pb.NotifyClientTerminationRequest())
    assert clients[3].register(topics=topics).result.code == pb.OK


def test_nothing_is_left_of_a_client_that_has_ended(house):
    clients = house.face.clients
    for number in range(20):
        client = house.client("root", f"c{number}")
        stream = client.register("g", kind=pb.PUSH_CONSUMER)
        client.call("NotifyClientTermination", pb.NotifyClientTerminationRequest(group=resource("g")))
        stream.end()
    gc.collect()
    assert len(clients) == 0
    assert {name: len(value) for name, value in vars(clients).items() if isinstance(value, dict) and value} == {}


@pytest.mark.parametrize("limit", ["max_renewals", "max_renewals_of_one"])
def test_the_messages_that_are_extended_are_bounded(limit):
    house = GrpcHouse(proxy={limit: 3})
    house.topic()
    house.group()
    client = house.client()
    client.register("g", kind=pb.PUSH_CONSUMER)
    client.send(*(message(b"%d" % number) for number in range(10)))
    got = client.receive(invisible_s=None, auto_renew=True)
    assert len(got.messages) == 10
    assert house.face.renewed == 3
    client.ack(*got.messages)
    assert house.face.renewed == 0


def test_a_message_that_is_received_again_is_extended_once(house):
    """The client repeats a receive in order, whose answer it has lost."""
    house.group("f", consume_orderly=True)
    client = house.client()
    client.register("f", kind=pb.PUSH_CONSUMER)
    client.send(message(b"1", message_type=pb.FIFO, message_group="x"))
    for _ in range(5):
        got = client.receive("f", attempt_id="a", invisible_s=None, auto_renew=True)
        assert got.bodies == [b"1"]
    assert client.ack(*got.messages, group="f").status.code == pb.OK
    for _ in range(3):
        house.tick(60_000)
    assert house.face.renewed == 0
