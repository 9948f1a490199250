"""Questions that only a consumer can answer."""

import pytest

from mqguard.auth.user import Subject
from mqguard.model import record
from mqguard.model.topic import TopicConfig
from mqguard.remoting.bodies.codec import MessageQueue, decode, encode
from mqguard.remoting.bodies.groups import ConsumerStatus
from mqguard.remoting.codes import FLAG_RESPONSE, RequestCode, ResponseCode
from mqguard.remoting.command import Command
from tests.unit.broker.conftest import House, acl, answer_to
from tests.unit.broker.processors.test_clients import beat

QUEUE = MessageQueue("t", "broker-a", 0)


@pytest.fixture
def empty_house():
    house = House()
    house.engine.topics.put(TopicConfig("t", 1, 1))
    return house


@pytest.fixture
def house(empty_house):
    house = empty_house
    house.consumer = house.connect()
    house.call(34, body=beat(), wire=house.consumer)
    return house


def ask(house, code, user="root", **ext):
    asker = house.connect()
    command = house.command(code, {"consumerGroup": "g", "clientId": "c1", **ext}, user=user)
    house.give(asker, command)
    asked = [frame for frame in house.consumer.frames if frame.code == code and not frame.is_response]
    return lambda: answer_to(asker, command), asked[-1] if asked else None


def send(house):
    ext = {"a": "p", "b": "t", "c": "TBW102", "d": 4, "e": 0, "f": 0, "g": 1, "h": 0}
    return house.call(310, ext, b"hello").ext["msgId"]


def test_a_consumer_does_not_get_the_administrators_credentials(house):
    answer, question = ask(house, 307, jstackEnable="true", secret="x")
    assert question.ext == {"consumerGroup": "g", "clientId": "c1", "jstackEnable": "true"}
    assert answer() is None
    house.give(house.consumer, Command(0, question.opaque, FLAG_RESPONSE, remark="fine", body=b"{{raw}:1}"))
    assert (answer().code, answer().remark, answer().body) == (0, "fine", b"{{raw}:1}")


def test_a_message_is_sent_to_a_consumer(house):
    answer, question = ask(house, 309, msgId=send(house), brokerName="elsewhere")
    assert question.ext["brokerName"] == "broker-a"
    assert "Signature" not in question.ext
    assert record.decode(question.body).body == b"hello"
    house.give(house.consumer, Command(0, question.opaque, FLAG_RESPONSE, body=b"{}"))
    assert answer().body == b"{}"


def test_an_administrator_needs_permissions_on_the_message(house):
    message = send(house)
    house.user("mallory", ("Group:g", "All"), ("Topic:mine", "All"))
    for extra in ({}, {"topic": "mine"}):
        answer, question = ask(house, 309, user="mallory", msgId=message, **extra)
        assert question is None
        assert answer().code == ResponseCode.NO_PERMISSION


@pytest.mark.parametrize(
    ("code", "ext", "answered"),
    [
        (307, {"clientId": "c9"}, ResponseCode.SYSTEM_ERROR),
        (307, {"consumerGroup": "nobody"}, ResponseCode.SYSTEM_ERROR),
        (309, {"msgId": "nonsense"}, ResponseCode.INVALID_PARAMETER),
        (309, {}, ResponseCode.INVALID_PARAMETER),
        (309, {"msgId": "7F00000100002A9F0000000000999999"}, ResponseCode.SYSTEM_ERROR),
    ],
)
def test_an_invalid_request_reaches_no_consumer(house, code, ext, answered):
    answer, question = ask(house, code, **ext)
    assert question is None
    assert answer().code == answered


def test_a_consumer_without_an_answer_times_out(house):
    answer, _ = ask(house, 307)
    house.tick(9_999)
    assert answer() is None
    house.tick(1)
    assert answer().code == ResponseCode.CONSUME_MSG_TIMEOUT
    assert "<c1>" in answer().remark


def test_a_consumer_that_disconnects_ends_the_request(house):
    answer, _ = ask(house, 307)
    house.disconnect(house.consumer)
    assert answer().code == ResponseCode.CONSUME_MSG_TIMEOUT


def test_an_answer_that_cannot_be_encoded_is_an_error(house):
    answer, question = ask(house, 307)
    house.give(house.consumer, Command(70_000, question.opaque, FLAG_RESPONSE))
    assert answer().code == ResponseCode.SYSTEM_ERROR
    assert "cannot be sent as a frame" in answer().remark


@pytest.mark.parametrize("topic", ["t", "%RETRY%g"])
def test_a_consumer_needs_permissions_on_the_message(house, topic):
    house.engine.topics.put(TopicConfig("mine", 1, 1))
    house.user("mallory", ("Group:g", "Sub"), ("Topic:mine", "Sub"))
    house.call(34, body=beat("c2", topics=["mine"]), wire=house.consumer, user="mallory")
    house.engine.topics.ensure(topic)
    ext = {"a": "p", "b": topic, "c": "TBW102", "d": 4, "e": 0, "f": 0, "g": 1, "h": 0, "i": "RETRY_TOPIC\x01t\x02"}
    message = house.call(310, ext, b"hello").ext["msgId"]
    answer, question = ask(house, 309, clientId="c2", msgId=message)
    assert question is None
    assert answer().code == ResponseCode.NO_PERMISSION

    house.manager.create_acl(acl("mallory", ("Topic:t", "Sub")))
    _, question = ask(house, 309, clientId="c2", msgId=message)
    assert record.decode(question.body).body == b"hello"


def test_a_consumer_whose_user_lost_its_rights_gets_no_request(house):
    house.user("mallory", ("Group:g", "Sub"), ("Topic:t", "Sub"))
    house.call(34, body=beat("c2"), wire=house.consumer, user="mallory")
    house.manager.delete_acl(Subject("mallory"))
    answer, question = ask(house, 307, clientId="c2")
    assert question is None
    assert answer().code == ResponseCode.NO_PERMISSION


def ask_positions(house, wires, user="root", **ext):
    asker = house.connect()
    command = house.command(223, {"topic": "t", "group": "g", **ext}, user=user)
    house.give(asker, command)
    questions = [
        next((frame for frame in wire.frames if frame.code == RequestCode.GET_CONSUMER_STATUS_FROM_CLIENT), None)
        for wire in wires
    ]
    return lambda: answer_to(asker, command), questions


def respond_positions(house, wire, question, body, code=0):
    house.give(wire, Command(code, question.opaque, FLAG_RESPONSE, body=body))


def test_clients_return_their_offsets(empty_house):
    wires = [empty_house.connect(), empty_house.connect()]
    for number, wire in enumerate(wires):
        empty_house.call(34, body=beat(f"c{number}"), wire=wire)
    answer, questions = ask_positions(empty_house, wires)
    assert "AccessKey" not in questions[0].ext
    respond_positions(empty_house, wires[0], questions[0], encode(ConsumerStatus(message_queue_table={QUEUE: 2})))
    assert answer() is None
    respond_positions(empty_house, wires[1], questions[1], b"nonsense")
    assert decode(answer().body, ConsumerStatus).consumer_table == {"c0": {QUEUE: 2}, "c1": {}}


def test_one_client_can_be_selected_and_a_late_one_is_left_out(empty_house):
    wires = [empty_house.connect(), empty_house.connect()]
    for number, wire in enumerate(wires):
        empty_house.call(34, body=beat(f"c{number}"), wire=wire)
    answer, questions = ask_positions(empty_house, wires, clientAddr="c1")
    assert questions[0] is None
    empty_house.tick(10_000)
    assert decode(answer().body, ConsumerStatus).consumer_table == {}


def test_an_offline_group_is_an_error(empty_house):
    answer, _ = ask_positions(empty_house, [])
    assert answer().code == ResponseCode.CONSUMER_NOT_ONLINE


def test_a_sender_that_loses_its_permission_gets_no_offsets(empty_house):
    wire = empty_house.connect()
    empty_house.call(34, body=beat(), wire=wire)
    empty_house.user("alice", ("Topic:t", "Get"), ("Group:g", "Get"))
    answer, (question,) = ask_positions(empty_house, [wire], user="alice")
    empty_house.manager.delete_acl(Subject("alice"))
    respond_positions(empty_house, wire, question, encode(ConsumerStatus(message_queue_table={QUEUE: 2})))
    assert answer().code == ResponseCode.NO_PERMISSION
    assert answer().body == b""
