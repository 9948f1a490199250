"""Pulling, at once and later."""

import sys

import pytest

from mqguard.auth.user import Subject, UserStatus, UserType
from mqguard.broker.group_rules import with_forbidden
from mqguard.broker.processors import pull as pull_module
from mqguard.engine.group_members import ConnectedClient, ConsumerHeartbeat, Subscription
from mqguard.model import record
from mqguard.model.properties import text_of
from mqguard.model.topic import SubscriptionGroupConfig, TopicConfig
from mqguard.remoting.codes import ResponseCode
from mqguard.remoting.headers.pull import COMMIT_OFFSET, SUBSCRIPTION, SUSPEND
from tests.unit.broker.conftest import SECRET, House, answer_to
from tests.unit.broker.processors.test_clients import beat

POSITION = {"suggestWhichBrokerId", "nextBeginOffset", "minOffset", "maxOffset"}


def pulling(**change):
    return {
        "consumerGroup": "g",
        "topic": "t",
        "queueId": 0,
        "queueOffset": 0,
        "maxMsgNums": 32,
        "sysFlag": SUBSCRIPTION,
        "commitOffset": 0,
        "suspendTimeoutMillis": 15_000,
        "subVersion": 0,
        "subscription": "*",
        **change,
    }


def send(house, body=b"x", tag=None, queue=0, pairs=None):
    pairs = {"TAGS": tag, **(pairs or {})} if tag else pairs or {}
    ext = {"a": "p", "b": "t", "c": "TBW102", "d": 4, "e": queue, "f": 0, "g": 1, "h": 0, "i": text_of(pairs)}
    assert house.call(310, ext, body).code == 0


def bodies(answer):
    return [message.body for message in record.decode_all(answer.body)]


@pytest.fixture
def house(house_with_topic):
    return house_with_topic


def park(house, wire=None, user="root", code=11, **change):
    wire = wire or house.connect()
    command = house.command(code, pulling(sysFlag=SUBSCRIPTION | SUSPEND, **change), user=user)
    house.give(wire, command)
    return lambda: answer_to(wire, command)


@pytest.mark.parametrize("code", [11, 361])
def test_messages_are_delivered_as_they_were_stored(house, code):
    for n in range(3):
        send(house, b"%d" % n)
    answer = house.call(code, pulling(queueOffset=1))
    assert answer.code == 0
    assert bodies(answer) == [b"1", b"2"]
    assert answer.ext == {
        "suggestWhichBrokerId": "0",
        "nextBeginOffset": "3",
        "minOffset": "0",
        "maxOffset": "3",
    }


@pytest.mark.parametrize(
    ("offset", "sent", "subscription", "code", "following"),
    [
        (0, 2, "*", ResponseCode.SUCCESS, 2),
        (0, 2, "other", ResponseCode.PULL_RETRY_IMMEDIATELY, 2),
        (2, 2, "*", ResponseCode.PULL_NOT_FOUND, 2),
        (0, 0, "*", ResponseCode.PULL_NOT_FOUND, 0),
        (5, 0, "*", ResponseCode.PULL_OFFSET_MOVED, 0),
        (5, 2, "*", ResponseCode.PULL_OFFSET_MOVED, 2),
        (-1, 2, "*", ResponseCode.PULL_OFFSET_MOVED, 0),
    ],
)
def test_each_offset_has_its_response_code(house, offset, sent, subscription, code, following):
    for _ in range(sent):
        send(house, tag="A")
    answer = house.call(11, pulling(queueOffset=offset, subscription=subscription))
    assert answer.code == code
    assert set(answer.ext) >= POSITION
    assert int(answer.ext["nextBeginOffset"]) == following


@pytest.mark.parametrize("offset", [5, -1])
def test_an_offset_outside_the_queue_is_answered_at_once(house, offset):
    send(house)
    assert park(house, queueOffset=offset)().code == ResponseCode.PULL_OFFSET_MOVED


def test_a_pull_waits_for_a_message_and_gets_it_after_it_is_stored(house):
    answer = park(house)
    assert answer() is None
    send(house, b"here", queue=1)
    assert answer() is None
    send(house, b"here")
    assert bodies(answer()) == [b"here"]


def test_a_pull_waits_for_its_tags(house):
    answer = park(house, subscription="A || B")
    send(house, b"no", tag="C")
    send(house, b"no")
    assert answer() is None
    send(house, b"yes", tag="B")
    assert bodies(answer()) == [b"yes"]
    assert answer().ext["nextBeginOffset"] == "3"


def test_a_waiting_pull_times_out(house):
    answer = park(house, suspendTimeoutMillis=1000)
    house.tick(999)
    assert answer() is None
    house.tick(1)
    assert answer().code == ResponseCode.PULL_NOT_FOUND
    assert set(answer().ext) == POSITION


def test_a_waiting_pull_skips_messages_that_do_not_match(house):
    answer = park(house, subscription="A")
    send(house, tag="B")
    house.tick(15_000)
    assert answer().code == ResponseCode.PULL_RETRY_IMMEDIATELY
    assert answer().ext["nextBeginOffset"] == "1"


def test_no_pull_waits_longer_than_a_minute(house):
    answer = park(house, suspendTimeoutMillis=10**12)
    house.tick(60_000)
    assert answer().code == ResponseCode.PULL_NOT_FOUND


def test_without_long_polling_a_pull_waits_a_second():
    house = House(long_polling=False)
    house.engine.topics.put(TopicConfig("t", 4, 4))
    answer = park(house)
    assert answer() is None
    house.tick(1000)
    assert answer().code == ResponseCode.PULL_NOT_FOUND


def test_a_pull_without_room_to_wait_is_answered_at_once():
    house = House(waiting_pulls=1)
    house.engine.topics.put(TopicConfig("t", 4, 4))
    first, second = park(house), park(house)
    assert first() is None
    assert second().code == ResponseCode.PULL_NOT_FOUND


def test_a_waiting_pull_whose_user_loses_its_permission_gets_nothing(house):
    house.user("alice", ("Topic:t", "Sub"), ("Group:g", "Sub"))
    answer = park(house, user="alice")
    house.manager.delete_acl(Subject("alice"))
    send(house, b"secret")
    assert answer().code == ResponseCode.PULL_RETRY_IMMEDIATELY
    assert answer().body == b""
    assert answer().ext["nextBeginOffset"] == "0"
    assert house.call(11, pulling(), user="alice").code == ResponseCode.NO_PERMISSION


@pytest.mark.parametrize("change", ["disabled", "forbidden", "deleted"])
def test_a_waiting_pull_whose_group_is_disabled_gets_nothing(house, change):
    answer = park(house)
    groups = house.engine.groups
    if change == "disabled":
        groups.put(SubscriptionGroupConfig("g", consume_enable=False))
    elif change == "forbidden":
        groups.put(with_forbidden(groups.get("g"), "t", forbidden=True))
    else:
        groups.delete("g")
    send(house, b"secret")
    assert (answer().code, answer().body) == (ResponseCode.PULL_RETRY_IMMEDIATELY, b"")
    assert (groups.get("g") is None) == (change == "deleted")


def test_a_closed_connection_has_no_waiting_pulls(house):
    wire = house.connect()
    park(house, wire)
    house.disconnect(wire)
    send(house)
    assert wire.frames == []
    assert house.broker.pending.waiting_pulls == 0


def test_pulls_that_wait_on_a_deleted_topic_are_answered(house):
    answer = park(house)
    house.engine.topics.delete("t")
    house.app.end_of_iteration()
    assert answer().code == ResponseCode.TOPIC_NOT_EXIST


def test_the_commit_offset_counts_only_with_its_flag(house):
    send(house)
    house.call(11, pulling(commitOffset=1))
    assert house.engine.offsets.get("g", "t", 0) is None
    house.call(11, pulling(commitOffset=1, sysFlag=SUBSCRIPTION | COMMIT_OFFSET))
    assert house.engine.offsets.get("g", "t", 0) == 1


def test_no_offset_is_stored_for_missing_topics_and_queues(house):
    flag = SUBSCRIPTION | COMMIT_OFFSET
    for change in ({"topic": "nowhere"}, {"queueId": 9}):
        assert house.call(11, pulling(commitOffset=1, sysFlag=flag, **change)).code != 0
    assert house.engine.offsets.topics_of("g") == []


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"topic": "nowhere"}, ResponseCode.TOPIC_NOT_EXIST),
        ({"queueId": 4}, ResponseCode.INVALID_PARAMETER),
        ({"queueId": -1}, ResponseCode.INVALID_PARAMETER),
        ({"consumerGroup": "a b"}, ResponseCode.INVALID_PARAMETER),
        ({"expressionType": "SQL92"}, ResponseCode.SYSTEM_ERROR),
        ({"expressionType": "REGEX"}, ResponseCode.SYSTEM_ERROR),
        ({"subscription": "A" * 17_000}, ResponseCode.SUBSCRIPTION_PARSE_FAILED),
        ({"sysFlag": 0}, ResponseCode.SUBSCRIPTION_NOT_EXIST),
        ({"liteTopic": "l"}, ResponseCode.REQUEST_CODE_NOT_SUPPORTED),
    ],
)
def test_an_invalid_pull_is_refused(house, change, code):
    answer = house.call(11, pulling(**change))
    assert answer.code == code
    assert answer.remark


def test_a_pull_creates_no_group_if_the_operator_forbids_it():
    house = House(engine={"auto_create_group": False})
    house.engine.topics.put(TopicConfig("t", 4, 4))
    assert house.call(11, pulling()).code == ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST


def test_a_disabled_group_gets_nothing(house):
    house.engine.groups.put(SubscriptionGroupConfig("g", consume_enable=False))
    assert house.call(11, pulling()).code == ResponseCode.NO_PERMISSION


def subscribe(house, expression="*", *, version=1, model="CLUSTERING", kind="TAG", topic="t", others=()):
    wire = house.connect()
    subscriptions = (Subscription(topic, expression, kind, version=version), *others)
    consuming = ConsumerHeartbeat("g", "CONSUME_PASSIVELY", model, "CONSUME_FROM_LAST_OFFSET", subscriptions)
    house.broker.clients.consume(ConnectedClient("c", wire.peer, 0, 513, "root"), consuming, house.clock.now)


def test_a_pull_without_a_subscription_uses_that_of_the_heartbeat(house):
    send(house, b"a", tag="A")
    send(house, b"b", tag="B")
    subscribe(house, "B", version=7)
    answer = house.call(11, pulling(sysFlag=0, subscription="A", subVersion=7))
    assert bodies(answer) == [b"b"]


@pytest.mark.parametrize(
    ("known", "asked", "code"),
    [
        ({}, {"topic": "BenchmarkTest"}, ResponseCode.SUBSCRIPTION_NOT_EXIST),
        ({"version": 7}, {"subVersion": 8}, ResponseCode.SUBSCRIPTION_NOT_LATEST),
        ({"kind": "SQL92"}, {}, ResponseCode.SYSTEM_ERROR),
    ],
)
def test_a_missing_or_old_subscription_is_refused(house, known, asked, code):
    subscribe(house, **known)
    assert house.call(11, pulling(**{"sysFlag": 0, "subscription": "", **asked})).code == code


def test_a_groups_own_retry_topic_needs_no_subscription(house):
    house.engine.groups.with_retry_topic("g")
    subscribe(house)
    answer = house.call(11, pulling(sysFlag=0, subscription="", topic="%RETRY%g"))
    assert answer.code == ResponseCode.PULL_NOT_FOUND


def test_broadcast_can_be_forbidden(house):
    house.engine.groups.put(SubscriptionGroupConfig("g", consume_broadcast_enable=False))
    subscribe(house, model="BROADCASTING")
    assert house.call(11, pulling(sysFlag=0)).code == ResponseCode.NO_PERMISSION


@pytest.mark.parametrize("code", [11, 361])
def test_a_group_cannot_read_the_retry_messages_of_another(house, code):
    house.engine.groups.with_retry_topic("victim")
    house.user("mallory", ("Topic:*", "Sub"), ("Group:mine", "Sub"))
    ext = pulling(consumerGroup="mine", topic="%RETRY%victim")
    assert house.call(code, ext, user="mallory").code == ResponseCode.NO_PERMISSION


def test_a_lite_pull_is_guarded_like_a_pull(house):
    send(house)
    house.user("mallory", ("Group:mine", "Sub"))
    assert house.call(361, pulling(consumerGroup="mine"), user="mallory").code == ResponseCode.NO_PERMISSION


def test_a_waiting_pull_keeps_neither_fields_nor_body(house):
    wire = house.connect()
    long = ["b" * 5000, "A" * 5000 + " || B", "m" * 5000, bytes(100_000)]
    before = [sys.getrefcount(one) for one in long]
    bname, subscription, more, body = long
    ext = pulling(sysFlag=SUBSCRIPTION | SUSPEND, bname=bname, subscription=subscription, more=more)
    command = house.command(11, ext, body)
    del bname, subscription, more, body, ext
    house.give(wire, command)
    opaque = command.opaque
    del command
    assert [sys.getrefcount(one) for one in long] == before
    send(house, b"here", tag="A" * 5000)
    (answer,) = wire.frames
    assert (answer.opaque, bodies(answer)) == (opaque, [b"here"])


@pytest.fixture
def sql_house():
    house = House(engine={"property_filter": True})
    house.engine.topics.put(TopicConfig("t", 4, 4))
    house.engine.group_commit.commit()
    return house


SQL = {"expressionType": "SQL92"}


def test_a_pull_gets_the_messages_that_an_expression_selects(sql_house):
    for number in range(5):
        send(sql_house, b"%d" % number, pairs={"n": str(number)})
    answer = sql_house.call(11, pulling(subscription="n > 1 AND n <> 3", **SQL))
    assert bodies(answer) == [b"2", b"4"]
    assert answer.ext["nextBeginOffset"] == "5"
    answer = sql_house.call(11, pulling(subscription="n > 9", **SQL))
    assert (answer.code, answer.ext["nextBeginOffset"]) == (ResponseCode.PULL_RETRY_IMMEDIATELY, "5")


def test_a_pull_with_an_invalid_expression_is_refused(sql_house):
    send(sql_house, b"secret")
    answer = sql_house.call(11, pulling(subscription="n >", **SQL))
    assert (answer.code, answer.body) == (ResponseCode.SUBSCRIPTION_PARSE_FAILED, b"")
    assert answer.remark.startswith("parse the consumer's subscription failed: character 4: ")


def test_a_subscription_with_an_expression_selects_messages(sql_house):
    send(sql_house, b"a", pairs={"n": "1"})
    send(sql_house, b"b", pairs={"n": "2"})
    subscribe(sql_house, "n = 2", kind="SQL92")
    assert bodies(sql_house.call(11, pulling(sysFlag=0, subscription="", **SQL))) == [b"b"]


def test_members_with_different_expressions_get_their_own_messages(sql_house):
    send(sql_house, b"1", pairs={"n": "1"})
    send(sql_house, b"2", pairs={"n": "2"})
    for wished, version in (("1", 1), ("2", 2)):
        wire = sql_house.connect()
        sql_house.give(
            wire, sql_house.command(34, body=beat(expression=f"n = {wished}", kind="SQL92", version=version))
        )
        command = sql_house.command(11, pulling(sysFlag=0, subscription="", subVersion=version))
        sql_house.give(wire, command)
        assert bodies(answer_to(wire, command)) == [wished.encode()]


def test_a_subscription_with_an_invalid_expression_gets_nothing(sql_house):
    send(sql_house, b"secret")
    subscribe(sql_house, "n >", kind="SQL92")
    answer = sql_house.call(11, pulling(sysFlag=0, subscription="", **SQL))
    assert (answer.code, answer.body) == (ResponseCode.FILTER_DATA_NOT_EXIST, b"")
    assert answer.remark.startswith(
        "The broker's consumer filter data is not exist!Your expression may be wrong! parse the consumer's"
    )


def test_a_waiting_pull_gets_the_first_message_that_an_expression_selects(sql_house):
    answer = park(sql_house, subscription="n = 2", **SQL)
    send(sql_house, b"a", pairs={"n": "1"})
    assert answer() is None
    send(sql_house, b"b", pairs={"n": "2"})
    assert bodies(answer()) == [b"b"]


def test_the_retry_topic_of_a_group_with_an_expression_is_not_filtered(sql_house):
    sql_house.engine.groups.with_retry_topic("g")
    subscribe(sql_house, "n = 2", kind="SQL92")
    ext = {"a": "p", "b": "%RETRY%g", "c": "TBW102", "d": 1, "e": 0, "f": 0, "g": 1, "h": 0, "i": ""}
    assert sql_house.call(310, ext, b"again").code == 0
    assert bodies(sql_house.call(11, pulling(sysFlag=0, subscription="", topic="%RETRY%g"))) == [b"again"]


def retried(house, **pairs):
    """Store a message in the retry topic of the group."""
    ext = {"a": "p", "b": "%RETRY%g", "c": "TBW102", "d": 1, "e": 0, "f": 0, "g": 1, "h": 0}
    text = "".join(f"{name}\x01{value}\x02" for name, value in pairs.items())
    body = "-".join(pairs.values()).encode() or b"none"
    assert house.call(310, ext | {"i": text}, body).code == 0


@pytest.fixture(params=[False, True])
def retry_house(request):
    """A server with expressions, whose `filterSupportRetry` is off, and on."""
    house = House(engine={"property_filter": True}, filter_support_retry=request.param)
    for topic in ("t", "u", "v", "w"):
        house.engine.topics.put(TopicConfig(topic, 4, 4))
    house.engine.groups.with_retry_topic("g")
    house.engine.group_commit.commit()
    house.filters_retries = request.param
    return house


@pytest.mark.parametrize("inline", [False, True])
def test_an_expression_for_a_retry_topic_is_replaced_only_if_the_operator_wants_it(retry_house, inline):
    """With `filterSupportRetry`, messages of other topics, of topics with tags and of invalid expressions come again."""
    others = (
        Subscription("u", "n = 1", "SQL92"),
        Subscription("v", "A"),
        Subscription("w", "n >", "SQL92"),
        Subscription("%RETRY%g", "n = 7", "SQL92"),
    )
    subscribe(retry_house, "n = 2", kind="SQL92", others=others)
    for topic, n in (("t", "1"), ("t", "2"), ("u", "1"), ("u", "7"), ("v", "1"), ("w", "1"), ("x", "1")):
        retried(retry_house, RETRY_TOPIC=topic, n=n)
    retried(retry_house)

    pull = (
        pulling(topic="%RETRY%g", subscription="n = 7", **SQL)
        if inline
        else pulling(topic="%RETRY%g", sysFlag=0, subscription="")
    )
    expected = [b"t-2", b"u-1", b"v-1", b"w-1", b"x-1", b"none"] if retry_house.filters_retries else [b"u-7"]
    assert bodies(retry_house.call(11, pull)) == expected


def test_the_expression_of_another_topic_stays(retry_house):
    subscribe(retry_house, "n = 2", kind="SQL92")
    send(retry_house, b"a", pairs={"n": "1", "RETRY_TOPIC": "x"})
    send(retry_house, b"b", pairs={"n": "2", "RETRY_TOPIC": "x"})
    assert bodies(retry_house.call(11, pulling(sysFlag=0, subscription=""))) == [b"b"]
    assert bodies(retry_house.call(11, pulling(subscription="n = 1", **SQL))) == [b"a"]


def test_a_retry_topic_without_an_expression_is_not_filtered(retry_house):
    subscribe(retry_house, "n = 2", kind="SQL92", others=(Subscription("%RETRY%g"),))
    retried(retry_house, RETRY_TOPIC="t", n="1")
    for pull in (pulling(topic="%RETRY%g", sysFlag=0, subscription=""), pulling(topic="%RETRY%g")):
        assert bodies(retry_house.call(11, pull)) == [b"t-1"]


def test_a_pull_of_no_connected_consumer_gets_all_retried_messages(retry_house):
    retried(retry_house, RETRY_TOPIC="t", n="1")
    answer = retry_house.call(11, pulling(topic="%RETRY%g", subscription="n = 2", **SQL))
    assert bool(answer.body) is retry_house.filters_retries


def test_a_pull_gets_no_message_whose_tag_only_has_the_same_code(house):
    send(house, b"other", tag="BB")
    answer = house.call(11, pulling(subscription="Aa"))
    assert answer.code == ResponseCode.PULL_RETRY_IMMEDIATELY
    assert answer.ext["nextBeginOffset"] == "1"


def test_a_waiting_pull_skips_messages_whose_tag_only_has_the_same_code(house):
    answer = park(house, subscription="Aa")
    send(house, b"other", tag="BB")
    assert answer() is None
    send(house, b"wanted", tag="Aa")
    assert bodies(answer()) == [b"wanted"]
    assert answer().ext["nextBeginOffset"] == "2"


def test_a_waiting_pull_that_skipped_messages_ends_with_the_next_offset(house):
    answer = park(house, subscription="Aa")
    send(house, b"other", tag="BB")
    house.tick(15_000)
    assert answer().code == ResponseCode.PULL_NOT_FOUND
    assert answer().ext["nextBeginOffset"] == "1"


def test_a_pull_with_too_many_tags_does_not_wait(house):
    many = "||".join(f"{number:x}" for number in range(pull_module.MAX_WAITING_WEIGHT + 1))
    assert park(house, subscription=many)().code == ResponseCode.PULL_NOT_FOUND
    assert house.broker.pending.waiting_pulls == 0


def test_one_message_for_thousands_of_pulls_is_delivered_over_several_cycles(house, monkeypatch):
    monkeypatch.setattr(pull_module, "MAX_WOKEN_BYTES", 10_000)
    answers = [park(house) for _ in range(10)]
    send(house, bytes(4_000))
    assert [answer() is not None for answer in answers] == [True] * 3 + [False] * 7
    for _ in range(3):
        house.tick(50)
    assert all(bodies(answer()) == [bytes(4_000)] for answer in answers)


def test_pulls_that_time_out_are_answered_over_several_cycles(house, monkeypatch):
    monkeypatch.setattr(pull_module, "MAX_WOKEN", 4)
    answers = [park(house) for _ in range(10)]
    house.tick(15_000)
    assert [answer() is not None for answer in answers] == [True] * 4 + [False] * 6
    house.tick(50)
    house.tick(50)
    assert {answer().code for answer in answers} == {ResponseCode.PULL_NOT_FOUND}


def test_the_ready_pulls_of_a_user_are_limited(monkeypatch):
    monkeypatch.setattr(pull_module, "MAX_WOKEN", 1)
    monkeypatch.setattr(pull_module, "READY_SHARE", 1)
    house = House(waiting_pulls=24)
    house.engine.topics.put(TopicConfig("t", 4, 4))
    house.engine.group_commit.commit()
    for _ in range(8):
        wire = house.connect()
        for _ in range(3):
            park(house, wire)
    house.clock.now += 15_000
    house.broker.tick()
    assert (house.broker.pending.waiting_pulls, house.broker.pending.ready_pulls) == (0, 24)

    wire = house.connect()
    pull = house.command(11, pulling(sysFlag=SUBSCRIPTION | SUSPEND))
    house.app.commands(wire, [pull])
    assert (answer_to(wire, pull).code, house.broker.pending.waiting_pulls) == (ResponseCode.PULL_NOT_FOUND, 0)
    house.app.end_of_iteration()
    later = house.command(11, pulling(sysFlag=SUBSCRIPTION | SUSPEND))
    house.app.commands(wire, [later])
    assert (answer_to(wire, later), house.broker.pending.ready_pulls) == (None, 23)


def test_a_ready_pull_continues_to_wait_if_its_message_was_deleted_before_the_answer(house, monkeypatch):
    monkeypatch.setattr(pull_module, "TIME_SLICE_S", -1)
    first, second = park(house), park(house)
    send(house)
    assert (first() is None, second() is None) == (False, True)
    house.engine.topics.delete("t")
    house.engine.topics.put(TopicConfig("t", 4, 4))
    house.app.end_of_iteration()
    assert (second(), house.broker.pending.waiting_pulls, house.broker.pending.ready_pulls) == (None, 1, 0)


def places(user, house, count, ip="127.0.0.1"):
    """Send pulls that wait, each over its own connection."""
    return [park(house, house.connect(ip), user=user) for _ in range(count)]


def consumers(*names, waiting_pulls=8):
    house = House(waiting_pulls=waiting_pulls)
    house.engine.topics.put(TopicConfig("t", 4, 4))
    house.engine.group_commit.commit()
    for name in names:
        house.user(name, ("Topic:t", "Sub"), ("Group:g", "Sub"))
    return house


def test_a_user_with_many_waiting_pulls_is_displaced_by_others():
    house = consumers("greedy", "alice", "bob")
    greedy = places("greedy", house, 8)
    others = places("alice", house, 2) + places("bob", house, 1)
    assert [answer() for answer in others] == [None] * 3
    codes = [answer().code if answer() else None for answer in greedy]
    assert codes == [ResponseCode.PULL_NOT_FOUND] * 3 + [None] * 5
    assert places("greedy", house, 1)[0]().code == ResponseCode.PULL_NOT_FOUND
    house.tick(14_999)
    assert [answer() for answer in others] == [None] * 3


def test_a_user_keeps_an_equal_share_when_others_arrive():
    house = consumers("alice", "bob", waiting_pulls=2)
    (first,), (second,) = places("alice", house, 1), places("bob", house, 1)
    assert places("bob", house, 1)[0]().code == ResponseCode.PULL_NOT_FOUND
    assert (first(), second()) == (None, None)


def test_anonymous_pulls_share_places_by_address():
    house = House(auth=False, waiting_pulls=8)
    house.engine.topics.put(TopicConfig("t", 4, 4))
    house.engine.group_commit.commit()
    places("", house, 8, ip="10.0.0.1")
    assert places("", house, 1, ip="10.0.0.2")[0]() is None


def test_ready_pulls_of_one_user_do_not_delay_those_of_others(monkeypatch):
    monkeypatch.setattr(pull_module, "MAX_WOKEN", 4)
    house = consumers("greedy", "alice", waiting_pulls=100)
    places("greedy", house, 20)
    (answer,) = places("alice", house, 1)
    send(house, b"for all")
    assert bodies(answer()) == [b"for all"]


@pytest.mark.parametrize("change", ["demoted", "disabled", "made anew", "deleted"])
@pytest.mark.parametrize("topic", ["t", "SCHEDULE_TOPIC_XXXX"])
def test_a_waiting_pull_of_a_demoted_super_user_gets_nothing(house, change, topic):
    house.manager.create_user("boss", SECRET, UserType.SUPER)
    house.user("bob", ("Topic:t", "Pub"))
    answer = park(house, user="boss", topic=topic)
    assert answer() is None
    if change == "demoted":
        house.manager.update_user("boss", user_type=UserType.NORMAL)
    elif change == "disabled":
        house.manager.update_user("boss", status=UserStatus.DISABLE)
    else:
        house.manager.delete_user("boss")
        if change == "made anew":
            house.manager.create_user("boss", SECRET, UserType.SUPER)
    ext = {"a": "p", "b": "t", "c": "TBW102", "d": 4, "e": 0, "f": 0, "g": 1, "h": 0}
    if topic != "t":
        ext["i"] = "DELAY\x011\x02"
    assert house.call(310, ext, b"secret", user="bob").code == 0
    assert (answer().code, answer().body) == (ResponseCode.PULL_RETRY_IMMEDIATELY, b"")


def test_a_waiting_pull_of_a_deleted_user_gets_nothing_without_authorization():
    house = House(guard={"authorization_enabled": False})
    house.engine.topics.put(TopicConfig("t", 4, 4))
    house.engine.group_commit.commit()
    house.user("alice")
    answer = park(house, user="alice")
    house.manager.update_user("alice", status=UserStatus.DISABLE)
    send(house, b"secret")
    assert (answer().code, answer().body) == (ResponseCode.PULL_RETRY_IMMEDIATELY, b"")


def dead_letters_of(house, *topics):
    """Store one message of each topic in `%DLQ%g`."""
    for topic in topics:
        house.engine.topics.put(TopicConfig(topic, 1, 1))
        house.engine.groups.with_retry_topic("g")
        house.engine.group_commit.commit()
        ext = {"a": "p", "b": topic, "c": "TBW102", "d": 1, "e": 0, "f": 0, "g": 1, "h": 0, "i": "KEYS\x01k\x02"}
        sent = house.call(310, ext, topic.encode())
        place = int(sent.ext["msgId"][16:], 16)
        assert house.call(36, {"offset": place, "group": "g", "delayLevel": -1}).code == 0


@pytest.mark.parametrize("code", [11, 361])
def test_dead_letters_need_a_permission_on_their_original_topics(house, code):
    dead_letters_of(house, "payments", "news", "payments", "news")
    house.user("alice", ("Topic:news", "Sub"), ("Group:g", "Sub"))
    house.user("bob", ("Group:g", "Sub"))
    house.user("carol", ("Topic:*", "Sub"), ("Group:g", "Sub"))
    dlq = pulling(topic="%DLQ%g")
    answer = house.call(code, dlq, user="alice")
    assert (bodies(answer), answer.ext["nextBeginOffset"]) == ([b"news", b"news"], "4")
    answer = house.call(code, dlq, user="bob")
    assert (answer.code, answer.body) == (ResponseCode.PULL_RETRY_IMMEDIATELY, b"")
    assert answer.ext["nextBeginOffset"] == "4"
    assert len(bodies(house.call(code, dlq, user="carol"))) == 4


def test_a_waiting_pull_on_a_retry_topic_gets_no_message_of_a_forbidden_topic(house):
    house.engine.groups.with_retry_topic("g")
    house.engine.topics.put(TopicConfig("payments", 1, 1))
    house.engine.group_commit.commit()
    house.user("bob", ("Topic:t", "Sub"), ("Group:g", "Sub"))
    answer = park(house, user="bob", topic="%RETRY%g")
    ext = {"a": "p", "b": "%RETRY%g", "c": "TBW102", "d": 1, "e": 0, "f": 0, "g": 1, "h": 0}
    assert house.call(310, {**ext, "i": "RETRY_TOPIC\x01payments\x02"}, b"secret").code == 0
    assert (answer().code, answer().body) == (ResponseCode.PULL_RETRY_IMMEDIATELY, b"")
    answer = park(house, user="bob", topic="%RETRY%g", queueOffset=1)
    assert house.call(310, {**ext, "i": "RETRY_TOPIC\x01t\x02"}, b"mine", user="bob").code == 0
    assert bodies(answer()) == [b"mine"]


def test_queries_for_dead_letters_need_a_permission_on_their_original_topics(house):
    dead_letters_of(house, "payments", "news")
    house.user("alice", ("Topic:news", "Get"), ("Group:g", "Get"))
    house.user("bob", ("Group:g", "Get,Sub"))
    query = {"topic": "%DLQ%g", "key": "k", "maxNum": 9, "beginTimestamp": 0, "endTimestamp": 1 << 60}
    assert bodies(house.call(12, query, user="alice")) == [b"news"]
    assert house.call(12, query, user="bob").code == ResponseCode.QUERY_NOT_FOUND


def heartbeat(house, wire, user, expression, version=1, topics=("t",), client="c"):
    body = beat(client, topics=topics, expression=expression, version=version)
    assert house.call(34, body=body, wire=wire, user=user).code == 0


def test_the_filter_of_a_member_is_not_changed_by_other_members(house):
    """Neither an empty heartbeat of another member nor a newer filter reaches it."""
    for name in ("alice", "mallory"):
        house.user(name, ("Topic:t", "Sub"), ("Group:g", "Sub"))
    send(house, b"a", tag="A")
    send(house, b"b", tag="B")
    mine, other = house.connect(), house.connect()
    heartbeat(house, mine, "alice", "A")
    pull = pulling(sysFlag=0, subscription="", subVersion=1)
    for topics, expression, version in [((), "*", 9), (("t",), "B", 9), (("t",), "*", 1 << 62)]:
        heartbeat(house, other, "mallory", expression, version, topics)
        assert bodies(house.call(11, pull, wire=mine, user="alice")) == [b"a"]
        assert bodies(house.call(11, pull, user="alice")) == [b"a"]
    assert house.call(11, {**pull, "subVersion": 2}, wire=mine, user="alice").code == 25
    heartbeat(house, other, "mallory", "*", 10, ())
    assert house.call(11, pull, wire=other, user="mallory").code == ResponseCode.SUBSCRIPTION_NOT_EXIST


def test_a_cycle_removes_a_limited_number_of_pulls_first_from_short_queues(monkeypatch):
    monkeypatch.setattr(pull_module, "MAX_WOKEN", 4)
    house = consumers("greedy", "alice", waiting_pulls=100)
    greedy = places("greedy", house, 30)
    answer = park(house, user="alice", queueId=1)
    wire = house.connect()
    for queue in (0, 1):
        ext = {"a": "p", "b": "t", "c": "TBW102", "d": 4, "e": queue, "f": 0, "g": 1, "h": 0}
        house.app.commands(wire, [house.command(310, ext, b"x")])
    house.app.end_of_iteration()
    assert bodies(answer()) == [b"x"]
    assert house.broker.pending.waiting_pulls >= 26
    for _ in range(10):
        house.tick(1)
    assert all(bodies(one()) == [b"x"] for one in greedy)
    assert not house.broker.is_behind


def test_pulls_on_a_deleted_topic_are_answered_over_several_cycles(monkeypatch):
    monkeypatch.setattr(pull_module, "MAX_WOKEN", 4)
    house = consumers("alice", waiting_pulls=100)
    answers = [*places("alice", house, 10), park(house, user="alice", queueId=2)]
    house.engine.topics.delete("t")
    house.app.end_of_iteration()
    assert sum(answer() is not None for answer in answers) <= 4
    for _ in range(5):
        house.tick(1)
    assert {answer().code for answer in answers} == {ResponseCode.TOPIC_NOT_EXIST}


def test_a_message_without_waiting_pulls_leaves_no_state(house):
    answer = park(house, subscription="A")
    send(house, b"other", tag="B")
    assert not house.broker.is_behind
    send(house, b"mine", tag="A")
    assert bodies(answer()) == [b"mine"]


def test_a_cycle_answers_ready_pulls_for_a_limited_time(house, monkeypatch):
    monkeypatch.setattr(pull_module, "TIME_SLICE_S", -1)
    answers = [park(house) for _ in range(5)]
    assert not house.broker.is_behind
    send(house, b"x")
    assert [answer() is not None for answer in answers] == [True, False, False, False, False]
    assert house.broker.is_behind
    for _ in range(4):
        house.app.end_of_iteration()
    assert all(bodies(answer()) == [b"x"] for answer in answers)
    assert not house.broker.is_behind
