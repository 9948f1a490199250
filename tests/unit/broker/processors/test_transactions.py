"""Transactions over the wire: half messages, their ends, checks and resumptions, with the rights of users."""

import pytest

from mqguard.model import properties, record
from mqguard.model.record import parse_offset_id
from mqguard.model.topic import TopicConfig
from mqguard.remoting.codes import FLAG_ONEWAY, RequestCode, ResponseCode
from tests.fixtures.engine import read
from tests.unit.broker.conftest import House, acl, answer_to

END, CHECK, RESUME, VIEW = 37, 39, 323, 33
COMMIT, ROLLBACK, UNKNOWN = 8, 12, 0
NOT_FOUND = "Find prepared transaction message failed"


@pytest.fixture
def house():
    """Return a house with the topic `t`, a user who may publish to it, and one who may not."""
    return prepared(House(engine={"transaction_check_interval_ms": 3_000}))


def prepared(house):
    for topic in ("t", "other"):
        house.engine.topics.put(TopicConfig(topic, 4, 4))
    house.engine.group_commit.commit()
    house.user("alice", ("Topic:t", "Pub"))
    house.user("bob", ("Topic:t", "Pub"))
    house.user("mallory", ("Topic:other", "Pub,Sub,Get,Update"))
    return house


def half(house, user="alice", wire=None, topic="t", group="g", code=310, **more):
    """Send a half message, and return the answer."""
    pairs = {"TRAN_MSG": "true", "PGROUP": group, "UNIQ_KEY": "U1", **more}
    ext = {"a": group, "b": topic, "c": "TBW102", "d": 4, "e": 1, "f": 4, "g": 9, "h": 3}
    ext["i"] = properties.text_of(pairs)
    return house.call(code, ext, b"paid", wire=wire, user=user)


def end_fields(answer, result=COMMIT, **changes):
    """Return the fields with which a client ends the transaction of an answered send."""
    fields = {
        "producerGroup": "g",
        "tranStateTableOffset": answer.ext["queueOffset"],
        "commitLogOffset": parse_offset_id(answer.ext["msgId"]).physical_offset,
        "commitOrRollback": result,
        "fromTransactionCheck": "false",
        "msgId": "U1",
        "transactionId": "U1",
        "topic": "t",
        **changes,
    }
    return {name: value for name, value in fields.items() if value is not None}


def end(house, answer, result=COMMIT, user="alice", wire=None, **changes):
    return house.call(END, end_fields(answer, result, **changes), wire=wire, user=user)


def join(house, user, group="g", ip="127.0.0.1"):
    """Connect a producer, and return its connection."""
    wire = house.connect(ip)
    body = f'{{"clientID":"{user}","producerDataSet":[{{"groupName":"{group}"}}],"consumerDataSet":[]}}'.encode()
    assert house.call(RequestCode.HEART_BEAT, {}, body, wire=wire, user=user).code == 0
    return wire


def checks(wire):
    return [frame for frame in wire.frames if frame.code == CHECK and not frame.is_response]


@pytest.mark.parametrize("topic", ["t", None, "", "RMQ_SYS_TRANS_HALF_TOPIC"])
def test_a_half_message_is_delivered_once_it_is_committed(house, topic):
    sent = half(house)
    assert (sent.code, sent.ext["queueId"], sent.ext["transactionId"]) == (0, "1", "U1")
    assert read(house.engine, "t", 1) == []
    assert end(house, sent, topic=topic).code == 0
    (found,) = read(house.engine, "t", 1)
    assert (found.body, found.flag) == (b"paid", 3)
    again = end(house, sent)
    assert (again.code, again.remark) == (ResponseCode.SYSTEM_ERROR, NOT_FOUND)
    assert len(read(house.engine, "t", 1)) == 1


def test_a_half_message_is_gone_once_it_is_rolled_back(house):
    sent = half(house)
    assert end(house, sent, ROLLBACK).code == 0
    assert read(house.engine, "t", 1) == []
    assert end(house, sent).remark == NOT_FOUND


def test_an_unknown_result_ends_nothing(house):
    sent = half(house)
    for from_check in ("false", "true"):
        assert end(house, sent, UNKNOWN, fromTransactionCheck=from_check).code == 0
    assert read(house.engine, "t", 1) == []
    assert end(house, sent).code == 0


def test_one_way_ends_are_not_answered(house):
    wire = house.connect()
    sent = half(house, wire=wire)
    command = house.command(END, end_fields(sent), user="alice", flag=FLAG_ONEWAY)
    house.give(wire, command)
    assert answer_to(wire, command) is None
    assert len(read(house.engine, "t", 1)) == 1


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"producerGroup": "others"}, 1, "The producer group wrong"),
        ({"tranStateTableOffset": 77}, 1, "The transaction state table offset wrong"),
        ({"commitLogOffset": 77}, 1, NOT_FOUND),
        ({"commitLogOffset": -1}, 1, NOT_FOUND),
        ({"commitOrRollback": 4}, 29, "use 8 to commit, 12 to roll back, or 0"),
        ({"commitOrRollback": "x"}, 29, "not a whole number"),
        ({"producerGroup": None}, 29, "is missing"),
    ],
)
def test_an_end_with_wrong_fields_is_refused_with_the_reason(house, changes, code, words):
    answer = end(house, half(house), **changes)
    assert answer.code == code
    assert words in answer.remark
    assert len(house.engine.transactions) == 1


def test_a_late_end_has_the_code_of_apache(house):
    sent = half(house, CHECK_IMMUNITY_TIME_IN_SECONDS="10")
    house.clock.now += 10_001
    assert end(house, sent).code == ResponseCode.ILLEGAL_OPERATION
    assert end(house, sent, fromTransactionCheck="true").code == 0


class TestRights:
    def test_sending_a_half_message_needs_pub_on_its_topic(self, house):
        assert half(house, "mallory").code == ResponseCode.NO_PERMISSION
        assert half(house, "mallory", REAL_TOPIC="other").code == ResponseCode.NO_PERMISSION
        assert len(house.engine.transactions) == 0

    @pytest.mark.parametrize("topic", ["other", None, "", "RMQ_SYS_TRANS_HALF_TOPIC"])
    @pytest.mark.parametrize("result", [COMMIT, ROLLBACK, UNKNOWN])
    @pytest.mark.parametrize("from_check", ["true", "false"])
    def test_a_user_without_pub_on_the_topic_of_the_message_ends_nothing(self, house, topic, result, from_check):
        sent = half(house)
        join(house, "mallory")
        answer = end(house, sent, result, "mallory", topic=topic, fromTransactionCheck=from_check)
        assert (answer.code, answer.remark) == (ResponseCode.SYSTEM_ERROR, NOT_FOUND)
        assert len(house.engine.transactions) == 1

    @pytest.mark.parametrize("changes", [{}, {"producerGroup": "others"}, {"tranStateTableOffset": 99}])
    def test_the_answer_is_the_same_if_there_is_no_half_message(self, house, changes):
        sent = half(house)
        there = end(house, sent, user="mallory", topic="other", **changes)
        nowhere = end(house, sent, user="mallory", topic="other", **{**changes, "commitLogOffset": 12345})
        assert (there.code, there.remark) == (nowhere.code, nowhere.remark)

    def test_a_denial_is_in_the_audit_log(self, house):
        sent = half(house)
        end(house, sent, user="mallory", topic=None)
        denied = [one for one in house.sink.records if getattr(one, "decision_id", "")]
        assert [permission.name for one in denied for permission in one.permissions] == ["t"]

    def test_the_topic_of_a_request_does_not_count(self, house):
        house.manager.update_acl(acl("mallory", ("Topic:t", "Pub")))
        sent = half(house)
        assert end(house, sent, user="mallory", topic="other").code == 0

    def test_every_user_who_may_publish_can_end_a_transaction_of_the_group(self, house):
        assert end(house, half(house, "alice"), user="bob").code == 0

    @pytest.mark.parametrize("user", ["mallory", "bob", None])
    def test_a_half_message_can_be_viewed_with_get_on_its_topic_only(self, house, user):
        sent = half(house)
        offset = {"offset": parse_offset_id(sent.ext["msgId"]).physical_offset}
        there, nowhere = (house.call(VIEW, {"offset": one}, user=user) for one in (*offset.values(), 1 << 62 | 99))
        assert (there.code, there.body) == (nowhere.code, b"")
        house.user("reader", ("Topic:t", "Get"))
        viewed = house.call(VIEW, offset, user="reader")
        assert record.decode(viewed.body).body == b"paid"

    def test_a_half_message_cannot_be_given_to_a_consumer(self, house):
        sent = half(house)
        fields = {"consumerGroup": "cg", "clientId": "c", "msgId": sent.ext["msgId"]}
        assert "can not find message" in house.call(309, fields).remark
        back = {"group": "cg", "offset": parse_offset_id(sent.ext["msgId"]).physical_offset, "delayLevel": 0}
        assert house.call(36, back).code != 0
        assert house.engine.topics.get("%RETRY%cg") is None


class TestChecks:
    def test_a_check_has_all_that_clients_need_and_no_more(self, house):
        wire = join(house, "alice")
        sent = half(house, wire=wire)
        house.tick(5_999)
        assert checks(wire) == []
        house.tick(1)
        (check,) = checks(wire)
        assert check.flag & FLAG_ONEWAY
        assert check.ext == {
            "topic": "t",
            "tranStateTableOffset": sent.ext["queueOffset"],
            "commitLogOffset": str(parse_offset_id(sent.ext["msgId"]).physical_offset),
            "offsetMsgId": sent.ext["msgId"],
            "msgId": "U1",
            "transactionId": "U1",
            "bname": "broker-a",
        }
        message = record.decode(check.body)
        assert (message.topic, message.queue_id, message.body, message.flag) == ("t", 1, b"paid", 3)
        pairs = properties.parse(message.properties.decode())
        assert (pairs["PGROUP"], pairs["TRANSACTION_CHECK_TIMES"]) == ("g", "1")

    @pytest.mark.parametrize(("result", "count"), [(COMMIT, 1), (ROLLBACK, 0)])
    def test_its_answer_ends_the_transaction(self, house, result, count):
        wire = join(house, "alice")
        half(house, wire=wire, CHECK_IMMUNITY_TIME_IN_SECONDS="1")
        house.tick(60_000)
        (check,) = checks(wire)
        names = ("tranStateTableOffset", "commitLogOffset", "msgId", "transactionId", "topic")
        fields = {name: check.ext[name] for name in names}
        answer = {**fields, "producerGroup": "g", "commitOrRollback": result, "fromTransactionCheck": "true"}
        assert house.call(END, answer, wire=wire, user="alice").code == 0
        assert len(read(house.engine, "t", 1)) == count
        assert len(house.engine.transactions) == 0

    def test_a_producer_without_pub_on_the_topic_gets_no_check(self, house):
        half(house)
        wires = [join(house, "mallory", ip=f"10.0.0.{number}") for number in range(5)]
        for _ in range(5):
            house.tick(6_000)
        assert not any(map(checks, wires))
        bob = join(house, "bob")
        house.tick(3_000)
        assert len(checks(bob)) == 1
        assert not any(map(checks, wires))

    def test_the_rights_are_those_of_the_moment_of_the_check(self, house):
        wire = join(house, "alice")
        half(house, wire=wire)
        house.manager.delete_user("alice")
        house.tick(6_000)
        house.user("alice", ("Topic:t", "Pub"))
        house.tick(3_000)
        # The new user of the same name is another one.
        assert checks(wire) == []
        again = join(house, "alice")
        house.tick(3_000)
        assert len(checks(again)) == 1

    def test_the_check_of_a_closed_connection_goes_to_another_one(self, house):
        alice, bob = join(house, "alice"), join(house, "bob")
        half(house, wire=alice)
        house.tick(6_000)
        assert (len(checks(alice)), len(checks(bob))) == (1, 0)
        house.disconnect(alice)
        house.tick(1_000)
        assert len(checks(bob)) == 1

    def test_an_answer_without_rights_does_not_count(self, house):
        alice, bob = join(house, "alice"), join(house, "bob")
        sent = half(house, wire=alice)
        house.tick(6_000)
        end(house, sent, UNKNOWN, "mallory", topic=None, fromTransactionCheck="true")
        house.disconnect(alice)
        house.tick(1_000)
        assert len(checks(bob)) == 1


class TestResumption:
    @pytest.fixture
    def discarded(self, house):
        """Return the offset id of the message of a discarded transaction."""
        half(house)
        member = join(house, "alice")
        for _ in range(17):
            house.tick(6_000)
        assert len(checks(member)) == 15
        house.disconnect(member)
        (found,) = read(house.engine, "TRANS_CHECK_MAX_TIME_TOPIC")
        assert len(house.engine.transactions) == 0
        return house.engine.message_id(found.physical_offset)

    def test_an_administrator_of_the_topic_can_begin_the_checks_again(self, house, discarded):
        house.user("admin", ("Topic:t", "Update"))
        assert house.call(RESUME, {"topic": "t", "msgId": discarded}, user="admin").code == 0
        wire = join(house, "alice")
        house.tick(6_000)
        assert len(checks(wire)) == 1
        again = house.call(RESUME, {"topic": "t", "msgId": discarded}, user="admin")
        assert again.code == ResponseCode.SYSTEM_ERROR

    @pytest.mark.parametrize("topic", ["other", None])
    def test_the_topic_of_the_message_decides(self, house, discarded, topic):
        fields = {} if topic is None else {"topic": topic}
        there = house.call(RESUME, {**fields, "msgId": discarded}, user="mallory")
        nowhere = house.call(RESUME, {**fields, "msgId": house.engine.message_id(12345)}, user="mallory")
        assert (there.code, there.remark) == (nowhere.code, nowhere.remark)
        assert there.code == ResponseCode.SYSTEM_ERROR
        assert len(house.engine.transactions) == 0

    def test_only_discarded_messages_can_be_resumed(self, house):
        sent = half(house)
        plain = {"a": "p", "b": "t", "c": "TBW102", "d": 4, "e": 0, "f": 0, "g": 9, "h": 3, "i": ""}
        stored = house.call(310, plain, b"x")
        for message_id in (sent.ext["msgId"], stored.ext["msgId"]):
            assert house.call(RESUME, {"topic": "t", "msgId": message_id}).code == ResponseCode.SYSTEM_ERROR
        assert house.call(RESUME, {"topic": "t", "msgId": "U1"}).code == ResponseCode.INVALID_PARAMETER
