"""Request and reply."""

import gc
import weakref

import pytest

from mqguard.auth.policy import Acl, Action, Decision, Entry, Policy, PolicyType
from mqguard.auth.resource import Resource
from mqguard.auth.user import Subject, UserStatus
from mqguard.dispatch import client_calls, open_requests
from mqguard.model import properties
from mqguard.model.topic import TopicConfig
from mqguard.remoting.codes import FLAG_ONEWAY, FLAG_RESPONSE, LanguageCode, ResponseCode
from mqguard.remoting.command import Command
from tests.unit.broker.conftest import House, answer_to

TOPIC = "DefaultCluster_REPLY_TOPIC"
PROPERTIES = {"REPLY_TO_CLIENT": "c1", "CORRELATION_ID": "42", "MSG_TYPE": "reply"}


@pytest.fixture
def house():
    return asking(House())


def asking(house):
    """Add a client whose request on topic `questions` is open to a house."""
    house.engine.topics.put(TopicConfig("questions", 4, 4))
    house.asker = house.connect()
    assert ask(house).code == 0
    return house


def ask(
    house, wire=None, client="c1", correlation="42", ttl="3000", topic="questions", user="root", language=0, **more
):
    pairs = {"REPLY_TO_CLIENT": client, "CORRELATION_ID": correlation, "TTL": ttl, **more}
    ext = {"a": "p", "b": topic, "c": "TBW102", "d": 4, "e": 0, "f": 0, "g": 9, "h": 3}
    ext["i"] = properties.text_of(pairs)
    return house.call(310, ext, b"question", wire=wire or house.asker, user=user, language=language)


def reply_command(house, code=325, pairs=PROPERTIES, topic=TOPIC, **more):
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
    return house.command(code, ext, b"answer", **more)


def reply(house, code=325, **more):
    responder = house.connect()
    command = reply_command(house, code, **more)
    before = len(house.asker.frames)
    house.give(responder, command)
    frames = house.asker.frames[before:]
    pushed = [f for f in frames if f.code == 326 and not f.is_response]
    return lambda: answer_to(responder, command), pushed[-1] if pushed else None


@pytest.mark.parametrize("code", [324, 325])
def test_a_reply_reaches_the_client_that_sent_the_request(house, code):
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


def test_a_reply_that_the_client_does_not_accept_is_an_error(house):
    answer, pushed = reply(house)
    house.give(house.asker, Command(1, pushed.opaque, FLAG_RESPONSE))
    assert answer().code == ResponseCode.SYSTEM_ERROR
    answer, pushed = reply(house)
    assert pushed is not None
    house.tick(10_000)
    assert "did not answer" in answer().remark


def test_a_one_way_reply_is_not_answered(house):
    answer, pushed = reply(house, flag=FLAG_ONEWAY)
    house.give(house.asker, Command(0, pushed.opaque, FLAG_RESPONSE))
    assert answer() is None


@pytest.mark.parametrize(
    "change", [{"REPLY_TO_CLIENT": "c9"}, {"REPLY_TO_CLIENT": ""}, {"CORRELATION_ID": "43"}, {"CORRELATION_ID": ""}]
)
def test_a_reply_without_a_request_gets_no_information(house, change):
    """The answer is the same for clients that are connected, clients that are not, and requests of other topics."""
    house.user("mallory", ("Topic:Default*", "Pub"))
    answer, pushed = reply(house, pairs={**PROPERTIES, **change})
    assert pushed is None
    assert answer().code == ResponseCode.SYSTEM_ERROR
    foreign, pushed = reply(house, user="mallory")
    assert pushed is None
    assert (foreign().code, foreign().remark) == (answer().code, answer().remark)


def test_a_request_gets_one_reply(house):
    _, pushed = reply(house)
    assert len(house.asker.frames) == 2
    again, _ = reply(house)
    assert (again().code, len(house.asker.frames)) == (ResponseCode.SYSTEM_ERROR, 2)
    house.give(house.asker, Command(0, pushed.opaque, FLAG_RESPONSE))
    assert reply(house)[0]().code == ResponseCode.SYSTEM_ERROR


@pytest.mark.parametrize(
    ("ttl", "lives"), [("5000", 4_999), ("", 2_999), ("x", 2_999), ("9" * 20, 599_999), ("0", None)]
)
def test_a_request_is_open_until_its_timeout(ttl, lives):
    house = House()
    house.engine.topics.put(TopicConfig("questions", 4, 4))
    house.asker = house.connect()
    ask(house, ttl=ttl)
    if lives is not None:
        house.clock.now += lives
        assert reply(house)[1] is not None
        ask(house, ttl=ttl, correlation="43")
        house.clock.now += lives + 1
    assert reply(house, pairs={**PROPERTIES, "CORRELATION_ID": "43"})[0]().code == ResponseCode.SYSTEM_ERROR
    house.tick()
    assert house.broker.pending.open_requests == 0


@pytest.mark.parametrize(("ttl", "lives"), [("20", 20_999), ("0", 999), ("9" * 20, 599_999)])
def test_the_go_client_gives_its_time_in_seconds(ttl, lives):
    for waited in (lives, lives + 1):
        house = House()
        house.engine.topics.put(TopicConfig("questions", 4, 4))
        house.asker = house.connect()
        ask(house, ttl=ttl, language=LanguageCode.GO)
        house.clock.now += waited
        assert (reply(house)[1] is not None) is (waited == lives)


def test_a_reader_of_a_request_cannot_get_its_reply(house):
    house.user("mallory", ("Topic:questions", "Pub,Sub"))
    thief = house.connect()
    assert ask(house, thief, user="mallory").code == 0
    _, pushed = reply(house)
    assert pushed is not None
    assert [frame.code for frame in thief.frames] == [0]


def test_the_same_connection_may_send_its_request_again(house):
    house.clock.now += 2_000
    ask(house)
    house.clock.now += 2_000
    assert reply(house)[1] is not None


def test_a_user_who_may_read_a_request_may_reply(house):
    house.user("alice", ("Topic:questions", "Sub"))
    house.user("bob", ("Topic:questions", "Pub,Get"))
    assert reply(house, user="bob")[1] is None
    assert reply(house, user="alice")[1] is not None


def test_a_policy_may_forbid_replies(house):
    house.user("alice", ("Topic:questions", "Sub"))
    deny = Entry(Resource.parse(f"Topic:{TOPIC}"), (Action.PUB,), (), Decision.DENY)
    allow = Entry(Resource.parse("Topic:questions"), (Action.SUB,), (), Decision.ALLOW)
    house.manager.update_acl(Acl(Subject("alice"), (Policy(PolicyType.CUSTOM, (deny, allow)),)))
    answer, pushed = reply(house, user="alice")
    assert (answer().code, pushed) == (ResponseCode.NO_PERMISSION, None)


@pytest.mark.parametrize("change", ["closed", "disabled", "right"])
def test_a_sender_that_loses_its_permission_gets_no_reply(house, change):
    house.user("alice", ("Topic:questions", "Pub"))
    house.asker = house.connect()
    assert ask(house, correlation="7", user="alice").code == 0
    if change == "closed":
        house.disconnect(house.asker)
    elif change == "disabled":
        house.manager.update_user("alice", status=UserStatus.DISABLE)
    else:
        house.manager.delete_acl(Subject("alice"))
    answer, pushed = reply(house, pairs={**PROPERTIES, "CORRELATION_ID": "7"})
    assert (answer().code, pushed) == (ResponseCode.SYSTEM_ERROR, None)


def test_a_retried_request_still_belongs_to_its_sender(house):
    """A consumer that sends a request back must not get the reply."""
    house.engine.groups.with_retry_topic("g")
    other = house.connect()
    ask(house, other, topic="%RETRY%g", correlation="8", RETRY_TOPIC="questions")
    assert reply(house, pairs={**PROPERTIES, "CORRELATION_ID": "8"})[1] is None


def test_unread_replies_of_a_slow_client_are_limited_and_it_stays_connected(house, monkeypatch):
    monkeypatch.setattr(client_calls, "MAX_BYTES_PER_LINK", 15)
    for number in range(3):
        ask(house, correlation=f"n{number}")
    answers = [reply(house, pairs={**PROPERTIES, "CORRELATION_ID": f"n{number}"})[0] for number in range(3)]
    assert [answer().code if answer() else None for answer in answers] == [None, None, ResponseCode.SYSTEM_BUSY]
    assert not house.asker.closed
    for pushed in [frame for frame in house.asker.frames if frame.code == 326]:
        house.give(house.asker, Command(0, pushed.opaque, FLAG_RESPONSE))
    assert reply(house, pairs={**PROPERTIES, "CORRELATION_ID": "n2"})[1] is not None


def test_a_user_with_many_open_requests_is_displaced_by_others(monkeypatch):
    monkeypatch.setattr(open_requests, "MAX_OPEN", 4)
    house = asking(House())
    house.user("greedy", ("Topic:questions", "Pub"))
    house.user("alice", ("Topic:questions", "Pub"))
    codes = [ask(house, house.connect(), correlation=f"g{n}", user="greedy").code for n in range(4)]
    assert codes == [0, 0, 0, ResponseCode.SYSTEM_BUSY]
    house.asker = house.connect()
    assert ask(house, correlation="a", user="alice").code == 0
    assert house.broker.pending.open_requests == 4
    assert reply(house, pairs={**PROPERTIES, "CORRELATION_ID": "a"})[1] is not None
    assert reply(house, pairs={**PROPERTIES, "CORRELATION_ID": "g0"})[1] is None


def test_a_reply_is_sent_to_the_reply_topic_of_the_cluster(house):
    house.user("alice", ("Topic:mine", "Pub"))
    house.user("bob", ("Topic:*", "Pub,Sub"))
    house.engine.topics.put(TopicConfig("bob_REPLY_TOPIC", 1, 1))
    assert reply(house, topic="mine", user="alice")[0]().code == ResponseCode.NO_PERMISSION
    assert reply(house, topic="BenchmarkTest", user="bob")[0]().code == ResponseCode.NO_PERMISSION
    assert reply(house, topic="bob_REPLY_TOPIC", user="bob")[0]().code == ResponseCode.NO_PERMISSION
    assert reply(house, user="bob")[1] is not None


def test_a_reply_cannot_be_larger_than_a_message():
    house = House(engine={"max_message_bytes": 5})
    house.asker = house.connect()
    answer, pushed = reply(house)
    assert (answer().code, pushed) == (ResponseCode.MESSAGE_ILLEGAL, None)


class Fields(dict):
    """Ext fields to which a weak reference can be made."""


def test_a_waiting_reply_keeps_no_fields_and_an_answered_one_keeps_no_connection(house):
    responder, command = house.connect(), reply_command(house)
    command.ext = Fields(command.ext)
    fields, connection = weakref.ref(command.ext), weakref.ref(responder)
    house.give(responder, command)
    pushed = house.asker.frames[-1]
    del command
    gc.collect()
    assert fields() is None
    house.disconnect(responder)
    del responder
    gc.collect()
    assert connection() is not None
    house.give(house.asker, Command(0, pushed.opaque, FLAG_RESPONSE))
    gc.collect()
    assert connection() is None
