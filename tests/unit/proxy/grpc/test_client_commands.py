"""Requests of administrators that only gRPC clients can answer."""

import json

import pytest

from mqguard.remoting.codes import RequestCode, ResponseCode
from mqguard.rpc.protocol import messages_pb2 as pb
from tests.unit.broker.conftest import answer_to
from tests.unit.proxy.grpc.conftest import message


class Admin:
    """An administrator that asks about a consumer."""

    def __init__(self, house):
        self.house = house
        self.wire = house.connect()

    def ask(self, code, **ext):
        fields = {"consumerGroup": "g", "clientId": "c1", **ext}
        command = self.house.command(code, fields)
        self.house.give(self.wire, command)
        return lambda: answer_to(self.wire, command)


@pytest.fixture
def admin(house):
    return Admin(house)


def told(stream, kind):
    """Return the last command of a kind."""
    stream.client.wire.run()
    return getattr([one for one in stream.answers if one.HasField(kind)][-1], kind)


def traced(nonce, trace="main: waiting", code=pb.OK):
    found = pb.ThreadStackTrace(nonce=nonce, thread_stack_trace=trace)
    return pb.TelemetryCommand(status=pb.Status(code=code), thread_stack_trace=found)


def verified(nonce, code=pb.OK):
    return pb.TelemetryCommand(status=pb.Status(code=code), verify_message_result=pb.VerifyMessageResult(nonce=nonce))


def test_the_threads_of_a_client_reach_the_administrator(house, admin):
    stream = house.client().register("g", kind=pb.PUSH_CONSUMER)
    answer = admin.ask(RequestCode.GET_CONSUMER_RUNNING_INFO, jstackEnable="true")
    nonce = told(stream, "print_thread_stack_trace_command").nonce
    assert answer() is None
    stream.send(traced(nonce))
    assert (answer().code, json.loads(answer().body)["jstack"]) == (0, "main: waiting")


def offset_id(house, client):
    """Send a message, and return its id by which administrators name it."""
    client.send(message(b"look", tag="a"))
    return house.engine.message_id(0)


@pytest.mark.parametrize(
    ("code", "result"),
    [
        (pb.OK, "CR_SUCCESS"),
        (pb.FAILED_TO_CONSUME_MESSAGE, "CR_LATER"),
        (pb.MESSAGE_CORRUPTED, "CR_RETURN_NULL"),
    ],
)
def test_a_client_consumes_a_message_for_the_administrator(house, admin, code, result):
    client = house.client()
    stream = client.register("g", kind=pb.PUSH_CONSUMER)
    answer = admin.ask(RequestCode.CONSUME_MESSAGE_DIRECTLY, msgId=offset_id(house, client))
    command = told(stream, "verify_message_command")
    assert (command.message.body, command.message.topic.name, command.message.system_properties.tag) == (
        b"look",
        "t",
        "a",
    )
    stream.send(verified(command.nonce, code))
    assert (answer().code, json.loads(answer().body)["consumeResult"]) == (0, result)


def test_a_client_that_cannot_verify_is_reported(house, admin):
    client = house.client()
    stream = client.register("g", kind=pb.PUSH_CONSUMER)
    answer = admin.ask(RequestCode.CONSUME_MESSAGE_DIRECTLY, msgId=offset_id(house, client))
    stream.send(verified(told(stream, "verify_message_command").nonce, pb.VERIFY_FIFO_MESSAGE_UNSUPPORTED))
    assert answer().code == ResponseCode.NO_PERMISSION


def test_only_the_client_that_was_asked_answers(house, admin):
    """Another client, another user, another kind of answer and another nonce have no effect."""
    house.user("eve", ("Topic:t", "Sub"), ("Group:g", "Sub"))
    stream = house.client().register("g", kind=pb.PUSH_CONSUMER)
    answer = admin.ask(RequestCode.GET_CONSUMER_RUNNING_INFO)
    nonce = told(stream, "print_thread_stack_trace_command").nonce
    house.client("eve").register("g", kind=pb.PUSH_CONSUMER).send(traced(nonce, "forged"))
    house.client("root", "c2").register("g", kind=pb.PUSH_CONSUMER).send(traced(nonce, "forged"))
    house.client("eve", "c1").stream(traced(nonce, "forged"))
    stream.send(verified(nonce))
    stream.send(traced("0" * 32))
    assert answer() is None
    stream.send(traced(nonce))
    stream.send(traced(nonce, "repeated"))
    assert json.loads(answer().body)["jstack"] == "main: waiting"


def test_a_client_that_does_not_answer_is_reported(house, admin):
    house.client().register("g", kind=pb.PUSH_CONSUMER)
    answer = admin.ask(RequestCode.GET_CONSUMER_RUNNING_INFO)
    house.tick(20_000)
    assert answer().code == ResponseCode.CONSUME_MSG_TIMEOUT


def test_a_client_without_a_stream_is_reported_at_once(house, admin):
    stream = house.client().register("g", kind=pb.PUSH_CONSUMER)
    stream.cancel()
    answer = admin.ask(RequestCode.GET_CONSUMER_RUNNING_INFO)
    assert answer().code == ResponseCode.CONSUMER_NOT_ONLINE


def test_a_request_without_a_form_for_these_clients_is_answered_at_once(house, admin):
    house.client().register("g", kind=pb.PUSH_CONSUMER)
    wire = house.connect()
    command = house.command(RequestCode.INVOKE_BROKER_TO_GET_CONSUMER_STATUS, {"topic": "t", "group": "g"})
    house.give(wire, command)
    assert json.loads(answer_to(wire, command).body)["consumerTable"] == {}


def test_the_questions_to_a_client_are_bounded(house, admin):
    client = house.client()
    client.register("g", kind=pb.PUSH_CONSUMER)
    for _ in range(300):
        admin.ask(RequestCode.GET_CONSUMER_RUNNING_INFO)
    assert len(house.face.clients.find("root", "c1").questions) == 256


def test_the_secrets_of_the_administrator_stay_here(house, admin):
    stream = house.client().register("g", kind=pb.PUSH_CONSUMER)
    admin.ask(RequestCode.GET_CONSUMER_RUNNING_INFO)
    assert "Signature" not in str(stream.answers)
