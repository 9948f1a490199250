"""Pop over the wire: answers in the form of clients, acknowledgements, waiting, and what is refused."""

import base64
import json
import time

import pytest

from mqguard.auth.user import Subject
from mqguard.broker.processors import pop as pop_module
from mqguard.model import properties, record
from mqguard.model.topic import SubscriptionGroupConfig, TopicConfig
from mqguard.remoting.codes import ResponseCode
from mqguard.remoting.pop_handles import parse_handle
from tests.fixtures.pop import about, popped, popping
from tests.unit.broker.conftest import House, answer_to

POP, ACK, PEEK, CHANGE, NOTIFY, POLLING, BATCH_ACK = 200050, 200051, 200052, 200053, 200054, 200055, 200151
FIELDS = {"popTime", "invisibleTime", "reviveQid", "restNum"}


@pytest.fixture
def house(house_with_topic):
    house_with_topic.engine.groups.put(SubscriptionGroupConfig("g", retry_max_times=2))
    house_with_topic.engine.group_commit.commit()
    return house_with_topic


def send(house, body=b"x", queue=0, topic="t", **pairs):
    ext = {"a": "p", "b": topic, "c": "TBW102", "d": 4, "e": queue, "f": 0, "g": 1, "h": 0}
    ext["i"] = properties.text_of(pairs)
    assert house.call(310, ext, body).code == 0


def pop(house, **change):
    return popped(house.call(POP, popping(**change)))


def park(house, wire=None, code=POP, user="root", **change):
    wire = wire or house.connect()
    command = house.command(code, popping(pollTime=15_000, **change), user=user)
    house.give(wire, command)
    return lambda: answer_to(wire, command)


def test_messages_are_delivered_with_handles(house):
    send(house, b"one")
    send(house, b"two", queue=1)
    found = pop(house)
    assert sorted(message.body for message, _ in found) == [b"one", b"two"]
    for message, handle in found:
        assert parse_handle(handle)[1:] == (message.queue_id, message.queue_offset)
        assert house.call(ACK, about(handle)).code == 0
    house.tick(60_000)
    assert house.call(POP, popping()).code == ResponseCode.POLLING_TIMEOUT


def test_an_answer_without_messages_has_the_fields_that_clients_need(house):
    answer = house.call(POP, popping())
    assert answer.code == ResponseCode.POLLING_TIMEOUT
    assert set(answer.ext) == FIELDS


def test_a_message_from_the_retry_topic_looks_like_one_of_its_topic(house):
    send(house, b"one")
    pop(house, invisibleTime=1000)
    house.tick(1100)
    answer = house.call(POP, popping())
    [(message, handle)] = popped(answer)
    assert (message.topic, message.reconsume_times) == ("t", 1)
    assert "1ST_POP_TIME" in properties.parse(message.properties.decode())
    assert handle.split(" ")[4] == "1"
    assert house.call(ACK, about(handle)).code == 0
    house.tick(60_000)
    assert house.call(POP, popping()).code == ResponseCode.POLLING_TIMEOUT


def test_properties_without_room_for_the_handle_leave_it_to_the_client(house):
    send(house, b"one", mine="x" * (properties.MAX_BYTES - 125))
    pop(house, invisibleTime=1000)
    house.tick(1100)
    [(message, handle)] = popped(house.call(POP, popping()))
    assert message.topic == "%RETRY%g_t"
    assert house.call(ACK, about(handle)).code == 0


def test_a_stale_handle_is_answered_as_one_without_message(house):
    send(house)
    [(_, handle)] = pop(house, invisibleTime=1000)
    house.tick(1100)
    assert house.call(ACK, about(handle)).code == ResponseCode.NO_MESSAGE
    assert len(pop(house)) == 1


@pytest.mark.parametrize("handle", ["", "1 2 3", "0 1 2 0 0 broker-a 0 -1", "0 x 2 0 0 b 0 0", "9" * 2000, "0 " * 600])
def test_a_malformed_handle_is_refused(house, handle):
    ext = {"consumerGroup": "g", "topic": "t", "queueId": 0, "offset": 0, "extraInfo": handle}
    assert house.call(ACK, ext).code == ResponseCode.INVALID_PARAMETER
    assert house.call(CHANGE, {**ext, "invisibleTime": 1}).code == ResponseCode.INVALID_PARAMETER


def test_a_handle_must_agree_with_the_request(house):
    for number in range(2):
        send(house, b"%d" % number)
    [(_, handle), (_, other)] = pop(house)
    assert house.call(ACK, {**about(handle), "extraInfo": other}).code == ResponseCode.NO_MESSAGE
    assert house.call(ACK, about(handle)).code == 0


def test_a_changed_time_gives_a_new_handle(house):
    send(house)
    [(_, handle)] = pop(house, invisibleTime=1000)
    changed = house.call(CHANGE, about(handle, invisibleTime=30_000))
    assert changed.code == 0
    house.tick(10_000)
    assert house.call(POP, popping()).code == ResponseCode.POLLING_TIMEOUT
    assert house.call(ACK, about(handle)).code == ResponseCode.NO_MESSAGE
    fields = handle.split(" ")
    fields[1:4] = [changed.ext["popTime"], changed.ext["invisibleTime"], changed.ext["reviveQid"]]
    assert house.call(ACK, about(" ".join(fields))).code == 0


def test_a_change_of_a_stale_handle_has_the_fields_that_clients_need(house):
    send(house)
    [(_, handle)] = pop(house, invisibleTime=1)
    house.tick(50)
    changed = house.call(CHANGE, about(handle, invisibleTime=30_000))
    assert changed.code == ResponseCode.NO_MESSAGE
    assert set(changed.ext) == {"popTime", "invisibleTime", "reviveQid"}


def batch(handles, group="g", topic="t", **change):
    """Return the body of a batch of acknowledgements with one part."""
    first = handles[0].split(" ")
    bits = 0
    for handle in handles:
        bits |= 1 << (int(handle.split(" ")[7]) - int(first[0]))
    part = {
        "c": group,
        "t": topic,
        "r": first[4],
        "so": int(first[0]),
        "q": int(first[6]),
        "rq": int(first[3]),
        "pt": int(first[1]),
        "it": int(first[2]),
        "b": base64.b64encode(bits.to_bytes(bits.bit_length() // 8 + 1, "little")).decode(),
        **change,
    }
    return json.dumps({"brokerName": "broker-a", "acks": [part]}).encode()


def test_the_place_of_bits_in_a_batch_costs_no_time(house):
    def seconds(zeros):
        bits = base64.b64encode(bytes(zeros) + b"\xff" * 500).decode()
        body = batch(["0 0 0 0 0 broker-a 0 0"], b=bits)
        begin = time.perf_counter()
        assert house.call(BATCH_ACK, None, body).code == ResponseCode.NO_MESSAGE
        return time.perf_counter() - begin

    # When the bits were one large number, each of them took the time of the whole number: 30 times as long here.
    assert min(seconds(48_000) for _ in range(3)) < 8 * min(seconds(0) for _ in range(3))


def test_a_batch_of_acknowledgements_ends_all_of_its_messages(house):
    for number in range(10):
        send(house, b"%d" % number)
    handles = [handle for _, handle in pop(house)]
    assert house.call(BATCH_ACK, None, batch([handles[0], handles[3], handles[9]])).code == 0
    assert house.engine.pop.in_flight_count == 7
    assert house.call(BATCH_ACK, None, batch([handles[0], handles[1]])).code == ResponseCode.NO_MESSAGE
    assert house.engine.pop.in_flight_count == 6


def test_a_batch_acknowledges_messages_of_the_retry_topic(house):
    send(house)
    pop(house, invisibleTime=1000)
    house.tick(1100)
    [(_, handle)] = pop(house)
    assert house.call(BATCH_ACK, None, batch([handle])).code == 0
    assert house.engine.pop.in_flight_count == 0


@pytest.mark.parametrize("bits", ["%%%", "A" * 70_000, base64.b64encode(b"\xff" * 1_000).decode()])
def test_a_batch_with_impossible_bits_is_refused(house, bits):
    send(house)
    [(_, handle)] = pop(house)
    answer = house.call(BATCH_ACK, None, batch([handle], b=bits))
    assert answer.code == ResponseCode.INVALID_PARAMETER
    assert house.engine.pop.in_flight_count == 1


def test_messages_in_order_block_their_queue_and_are_counted(house):
    for number in range(2):
        send(house, b"%d" % number)
    first = pop(house, order="true", maxMsgNums=1)
    assert house.call(POP, popping(order="true")).code == ResponseCode.POLLING_TIMEOUT
    house.tick(11_000)
    answer = house.call(POP, popping(order="true"))
    assert answer.ext["reviveQid"] == "999"
    assert answer.ext["orderCountInfo"] == "0 qo0%0 1;0 0 0"
    again = popped(answer)
    assert [message.body for message, _ in again] == [b"0", b"1"]
    assert house.call(ACK, about(first[0][1])).code == ResponseCode.NO_MESSAGE
    changed = house.call(CHANGE, about(again[0][1], invisibleTime=30_000))
    assert changed.ext["reviveQid"] == "999"
    for _, handle in again:
        assert house.call(ACK, about(handle)).code == 0
    assert house.engine.pop.in_flight_count == 0


def test_a_waiting_pop_gets_the_next_message(house):
    answer = park(house)
    assert answer() is None
    send(house, b"one")
    assert [message.body for message, _ in popped(answer())] == [b"one"]
    assert house.engine.pop.in_flight_count == 1


def test_one_message_wakes_one_pop_of_each_group(house):
    waiting = [park(house), park(house), park(house, consumerGroup="other")]
    send(house)
    answered = [answer() is not None for answer in waiting]
    assert sum(answered[:2]) == 1
    assert answered[2]


def test_messages_that_are_left_wake_further_pops(house):
    waiting = [park(house, maxMsgNums=1) for _ in range(3)]
    wire = house.connect()
    commands = [
        house.command(
            310, {"a": "p", "b": "t", "c": "TBW102", "d": 4, "e": 0, "f": 0, "g": 1, "h": 0, "i": ""}, b"%d" % n
        )
        for n in range(3)
    ]
    house.give(wire, *commands)
    for _ in range(3):
        house.tick()
    assert all(answer() is not None for answer in waiting)


def test_a_pop_that_waits_for_one_queue_is_not_woken_by_others(house):
    answer = park(house, queueId=1)
    send(house, queue=0)
    assert answer() is None
    send(house, queue=1)
    assert answer() is not None


def test_a_redelivered_message_wakes_a_waiting_pop(house):
    send(house)
    pop(house, invisibleTime=1000)
    answer = park(house)
    house.tick(1100)
    house.tick()
    assert [message.reconsume_times for message, _ in popped(answer())] == [1]


def test_an_acknowledgement_wakes_a_pop_in_order(house):
    for number in range(2):
        send(house, b"%d" % number)
    [(_, handle)] = pop(house, order="true", maxMsgNums=1)
    answer = park(house, order="true")
    assert answer() is None
    house.call(ACK, about(handle))
    assert [message.body for message, _ in popped(answer())] == [b"1"]


def test_a_message_that_does_not_match_wakes_no_pop(house):
    answer = park(house, exp="A", expType="TAG")
    send(house, TAGS="B")
    assert answer() is None
    send(house, TAGS="A")
    assert len(popped(answer())) == 1


def test_a_pop_times_out(house):
    answer = park(house)
    house.tick(15_001)
    assert answer().code == ResponseCode.POLLING_TIMEOUT
    assert set(answer().ext) == FIELDS


def test_a_pop_for_which_there_is_no_room_is_answered_at_once():
    house = House(auth=False, waiting_pulls=1)
    house.engine.topics.put(TopicConfig("t", 4, 4))
    house.engine.group_commit.commit()
    park(house, user=None)
    assert park(house, user=None)().code == ResponseCode.POLLING_FULL


def test_a_closed_connection_wakes_another_pop(house):
    wire = house.connect()
    park(house, wire)
    answer = park(house)
    wire.closed = True
    send(house)
    house.tick()
    assert answer() is not None


@pytest.mark.parametrize("change", ["topic", "group"])
def test_a_deletion_ends_the_wait(house, change):
    answer = park(house)
    notified = park(house, code=NOTIFY)
    if change == "topic":
        house.engine.topics.delete("t")
    else:
        house.engine.groups.delete("g")
    house.engine.group_commit.commit()
    house.tick()
    assert answer().code != 0
    assert notified() is not None


def test_a_waiting_pop_whose_user_lost_the_rights_gets_nothing(house):
    house.user("u", ("Topic:t", "Sub"), ("Group:g", "Sub"))
    answer = park(house, user="u")
    house.manager.delete_acl(Subject("u"))
    send(house, b"secret")
    house.tick()
    assert answer().code == ResponseCode.POLLING_TIMEOUT
    assert not answer().body
    assert len(pop(house)) == 1


def test_a_notification_takes_no_message(house):
    waiting = [park(house, code=NOTIFY), park(house, code=NOTIFY)]
    assert [answer() for answer in waiting] == [None, None]
    send(house)
    assert [answer().ext["hasMsg"] for answer in waiting] == ["true", "true"]
    assert house.call(NOTIFY, popping(pollTime=15_000)).ext["hasMsg"] == "true"
    assert len(pop(house, invisibleTime=60_000)) == 1
    expired = park(house, code=NOTIFY)
    house.tick(15_001)
    assert expired().ext == {"hasMsg": "false", "pollingFull": "false"}


def test_waiting_pops_are_counted(house):
    park(house)
    park(house)
    ext = {"consumerGroup": "g", "topic": "t", "queueId": -1}
    assert house.call(POLLING, ext).ext == {"pollingNum": "2"}
    assert house.call(POLLING, {**ext, "queueId": 0}).ext == {"pollingNum": "0"}
    assert house.call(POLLING, {**ext, "consumerGroup": "none"}).code == ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST


def test_a_peek_takes_no_message(house):
    send(house, b"one")
    answer = house.call(PEEK, {"consumerGroup": "g", "topic": "t", "queueId": -1, "maxMsgNums": 8})
    assert [message.body for message in record.decode_all(answer.body)] == [b"one"]
    assert len(pop(house)) == 1
    empty = house.call(PEEK, {"consumerGroup": "g", "topic": "t", "queueId": -1, "maxMsgNums": 8})
    assert empty.code == ResponseCode.PULL_NOT_FOUND


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"maxMsgNums": 33}, ResponseCode.INVALID_PARAMETER),
        ({"maxMsgNums": 0}, ResponseCode.INVALID_PARAMETER),
        ({"maxMsgNums": -1}, ResponseCode.INVALID_PARAMETER),
        ({"queueId": 99}, ResponseCode.INVALID_PARAMETER),
        ({"topic": "none"}, ResponseCode.TOPIC_NOT_EXIST),
        ({"invisibleTime": -1}, ResponseCode.INVALID_PARAMETER),
        ({"invisibleTime": 1 << 62}, ResponseCode.INVALID_PARAMETER),
        ({"consumerGroup": "CID_RMQ_SYS_DELAY"}, ResponseCode.NO_PERMISSION),
        ({"exp": "x", "expType": "other"}, ResponseCode.SUBSCRIPTION_PARSE_FAILED),
        ({"exp": "a >> 1", "expType": "SQL92"}, ResponseCode.SUBSCRIPTION_PARSE_FAILED),
    ],
)
def test_impossible_pops_are_refused(house, change, code):
    assert house.call(POP, popping(**change)).code == code


def test_a_pop_filters_with_an_expression_whatever_pulls_may_do(house):
    """Apache's broker looks at `enablePropertyFilter` for pulls only."""
    send(house, b"one")
    assert house.call(POP, popping(exp="TAGS IS NULL", expType="SQL92")).code == 0
    send(house, b"two")
    assert house.call(POP, popping(exp="TAGS IS NOT NULL", expType="SQL92")).code != 0


def test_a_disabled_group_is_refused(house):
    house.engine.groups.put(SubscriptionGroupConfig("g", consume_enable=False))
    house.engine.group_commit.commit()
    assert house.call(POP, popping()).code == ResponseCode.NO_PERMISSION


class TestRights:
    """A user with Sub on its own group and topic reaches nothing of another user."""

    @pytest.fixture
    def other(self, house):
        house.engine.groups.put(SubscriptionGroupConfig("mine"))
        house.engine.topics.put(TopicConfig("own", 4, 4))
        house.engine.group_commit.commit()
        return house.user("u", ("Topic:own", "Sub"), ("Group:mine", "Sub"))

    @pytest.mark.parametrize("group", ["g", "mine"])
    @pytest.mark.parametrize("topic", ["t", "%RETRY%g_t", "%RETRY%g+t"])
    def test_foreign_messages_are_not_acknowledged(self, house, other, group, topic):
        send(house)
        [(_, handle)] = pop(house)
        ext = {**about(handle), "consumerGroup": group, "topic": topic}
        assert house.call(ACK, ext, user=other).code == ResponseCode.NO_PERMISSION
        assert house.call(CHANGE, {**ext, "invisibleTime": 0}, user=other).code == ResponseCode.NO_PERMISSION
        assert house.call(BATCH_ACK, None, batch([handle], group, topic), user=other).code == ResponseCode.NO_PERMISSION
        assert house.engine.pop.in_flight_count == 1

    def test_a_foreign_handle_of_an_own_group_reaches_nothing(self, house, other):
        send(house)
        [(_, handle)] = pop(house)
        send(house, topic="own")
        ext = about(handle, "mine", "own")
        assert house.call(ACK, ext, user=other).code == ResponseCode.NO_MESSAGE
        answer = house.call(BATCH_ACK, None, batch([handle], "mine", "own"), user=other)
        assert answer.code == ResponseCode.NO_MESSAGE
        assert house.engine.pop.in_flight_count == 1

    @pytest.mark.parametrize("code", [POP, PEEK, NOTIFY, POLLING])
    @pytest.mark.parametrize(("group", "topic"), [("g", "own"), ("mine", "t"), ("mine", "%RETRY%g+t"), ("g", "t")])
    def test_foreign_topics_and_groups_are_refused(self, house, other, code, group, topic):
        answer = house.call(code, popping(consumerGroup=group, topic=topic), user=other)
        assert answer.code == ResponseCode.NO_PERMISSION

    def test_only_readable_messages_of_a_dead_letter_topic_are_popped(self, house, other):
        house.engine.groups.put(SubscriptionGroupConfig("mine", retry_max_times=0))
        for origin in ("own", "t"):
            send(house, origin.encode(), topic=origin)
            assert house.call(POP, popping(consumerGroup="mine", topic=origin, invisibleTime=1)).code == 0
        house.tick(50)
        answer = house.call(POP, popping(consumerGroup="mine", topic="%DLQ%mine"), user=other)
        assert [message.body for message in record.decode_all(answer.body)] == [b"own"]


def test_the_answers_of_one_iteration_are_limited(house, monkeypatch):
    monkeypatch.setattr(pop_module, "MAX_WOKEN_BYTES", 1)
    groups = [f"g{number}" for number in range(4)]
    waiting = [park(house, consumerGroup=group) for group in groups]
    send(house)
    assert sum(answer() is not None for answer in waiting) == 1
    for _ in groups:
        house.tick()
    assert all(answer() is not None for answer in waiting)


def test_deliveries_and_acknowledgements_are_counted_under_the_names_of_apache(house):
    for _ in range(3):
        send(house)
    handles = [handle for _, handle in popped(house.call(POP, popping()))]
    assert house.call(ACK, about(handles[0])).code == 0
    assert house.call(ACK, about(handles[1])).code == 0
    house.tick(10_000)

    def minute(name, key):
        view = house.broker.statistics.view(name, key)
        return None if view is None else view.minute.sum

    assert minute("GROUP_GET_NUMS", "t@g") == 3
    assert minute("QUEUE_GET_NUMS", "t@0@g") == 3
    assert minute("GROUP_CK_NUMS", "t@g") == minute("BROKER_CK_NUMS", "DefaultCluster") == 1
    assert minute("GROUP_ACK_NUMS", "t@g") == minute("BROKER_ACK_NUMS", "DefaultCluster") == 2
    assert minute("BROKER_GET_NUMS", "DefaultCluster") == 3


def test_a_reset_offset_is_where_the_group_pops_next(house):
    for number in range(3):
        send(house, b"%d" % number)
    [(_, handle), *_] = pop(house)
    answer = park(house)
    reset = {"topic": "t", "group": "g", "timestamp": -1, "isForce": "true", "queueId": 0, "offset": 1}
    assert house.call(222, reset).code == 0
    house.tick()
    assert [message.body for message, _ in popped(answer())] == [b"1", b"2"]
    assert house.call(ACK, about(handle)).code == ResponseCode.NO_MESSAGE
