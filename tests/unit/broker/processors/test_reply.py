"""Request and reply."""

import weakref

import pytest

from mqguard.model import properties
from mqguard.remoting.codes import FLAG_ONEWAY, FLAG_RESPONSE, RequestCode, ResponseCode
from mqguard.remoting.command import Command
from tests.unit.broker.conftest import House, answer_to
from tests.unit.broker.processors.test_membership import beat

TOPIC = "DefaultCluster_REPLY_TOPIC"
PROPERTIES = {"REPLY_TO_CLIENT": "c1", "CORRELATION_ID": "42", "MSG_TYPE": "reply"}


@pytest.fixture
def house():
    house = House()
    house.asker = house.connect()
    house.call(34, body=beat(groups=(), producers=["p"]), wire=house.asker)
    return house


def reply(house, code=325, pairs=PROPERTIES, topic=TOPIC, **more):
    values = {
        "a": "p", "b": topic, "c": "TBW102", "d": 4, "e": 0, "f": 0, "g": 9, "h": 3, "i": properties.text_of(pairs),
    }  # fmt: skip
    long = [
        "producerGroup",
        "topic",
        "defaultTopic",
        "defaultTopicQueueNums",
        "queueId",
        "sysFlag",
        "bornTimestamp",
        "flag",
    ]
    ext = values if code == 325 else dict(zip([*long, "properties"], values.values(), strict=True))
    responder = house.connect()
    command = house.command(code, ext, b"answer", **more)
    house.give(responder, command)
    pushed = [f for f in house.asker.frames if f.code == RequestCode.PUSH_REPLY_MESSAGE_TO_CLIENT and not f.is_response]
    return lambda: answer_to(responder, command), pushed[-1] if pushed else None


@pytest.mark.parametrize("code", [324, 325])
def test_a_reply_reaches_the_client_that_asked(house, code):
    answer, pushed = reply(house, code)
    assert pushed.body == b"answer"
    assert (pushed.ext["topic"], pushed.ext["flag"], pushed.ext["bornTimestamp"]) == (TOPIC, "3", "9")
    assert pushed.ext["storeHost"] == "127.0.0.1:10911"
    assert pushed.ext["bornHost"].startswith("127.0.0.1:")
    pairs = properties.parse(pushed.ext["properties"])
    assert pairs == {**PROPERTIES, "PUSH_REPLY_TIME": str(house.clock.now)}
    assert "Signature" not in pushed.ext
    assert answer() is None
    house.give(house.asker, Command(0, pushed.opaque, FLAG_RESPONSE))
    assert answer().code == 0
    assert set(answer().ext) == {"msgId", "queueId", "queueOffset", "MSG_REGION", "TRACE_ON"}


def test_a_client_that_does_not_take_it(house):
    answer, pushed = reply(house)
    house.give(house.asker, Command(1, pushed.opaque, FLAG_RESPONSE))
    assert answer().code == ResponseCode.SYSTEM_ERROR
    answer, _ = reply(house)
    house.tick(10_000)
    assert "does not answer" in answer().remark


def test_a_one_way_reply_is_not_answered(house):
    answer, pushed = reply(house, flag=FLAG_ONEWAY)
    house.give(house.asker, Command(0, pushed.opaque, FLAG_RESPONSE))
    assert answer() is None


@pytest.mark.parametrize("pairs", [{}, {"REPLY_TO_CLIENT": "c9"}])
def test_nobody_to_reply_to(house, pairs):
    answer, pushed = reply(house, pairs=pairs)
    assert pushed is None
    assert answer().code == ResponseCode.SYSTEM_ERROR


def test_a_reply_needs_pub_on_a_topic_for_replies(house):
    house.user("alice", ("Topic:mine", "Pub"))
    house.user("bob", ("Topic:*", "Pub"))
    assert reply(house, user="alice")[0]().code == ResponseCode.NO_PERMISSION
    assert reply(house, topic="BenchmarkTest", user="bob")[0]().code == ResponseCode.NO_PERMISSION
    assert reply(house, user="bob")[1] is not None


def test_a_reply_goes_to_the_connection_that_registered_the_client_id(house):
    house.user("mallory", ("Topic:*", "Pub"))
    thief = house.connect()
    assert house.call(34, body=beat(groups=(), producers=["q"]), wire=thief, user="mallory").code == 16
    reply(house)
    assert [frame.code for frame in thief.frames] == [16]


def test_a_reply_is_no_larger_than_a_message():
    house = House(engine={"max_message_bytes": 5})
    house.asker = house.connect()
    house.call(34, body=beat(groups=(), producers=["p"]), wire=house.asker)
    answer, pushed = reply(house)
    assert (answer().code, pushed) == (ResponseCode.MESSAGE_ILLEGAL, None)


def test_neither_a_reply_that_waits_nor_one_that_was_answered_is_kept(house):
    _, pushed = reply(house)
    (waits,) = house.broker._questions._open[house.asker.peer.channel].values()
    assert (waits.__self__._request.command.ext, waits.__self__._request.command.body) == ({}, b"")
    house.give(house.asker, Command(0, pushed.opaque, FLAG_RESPONSE))
    gone = weakref.ref(waits.__self__)
    del waits
    assert gone() is None
