"""Sending messages."""

import math
import zlib

import pytest

from mqguard.engine.errors import (
    ConfigIllegal,
    MessageIllegal,
    NoSuchGroup,
    NoSuchQueue,
    NoSuchTopic,
    NotSupported,
    NotWritable,
    StoreDown,
    StoreFull,
)
from mqguard.engine.fetch import FetchStatus
from mqguard.model import properties
from mqguard.model.record import BatchMessage, encode_batch, parse_offset_id
from mqguard.model.topic import SubscriptionGroupConfig, TopicConfig
from mqguard.store.memory import MemoryMessageStore
from tests.fixtures.clock import START_MS, ManualClock
from tests.fixtures.engine import begin_batch, make_engine, message, pairs_of, read, send, send_batch


@pytest.fixture
def engine():
    made = make_engine(region="Hangzhou", cluster="C1", trace_on=False, address="10.0.0.9", port=10911)
    made.topics.put(TopicConfig("orders", 4, 4))
    made.group_commit.commit()
    return made


def test_a_message_is_stored_unchanged_with_the_properties_of_the_broker(engine):
    sent = send(
        engine,
        b"hello",
        pairs={"UNIQ_KEY": "AB", "TAGS": "TagA", "KEYS": "k1 k2", "WAIT": "true", "mine": "ä"},
        queue_id=2,
        flag=-7,
        sys_flag=0x1,
        born_timestamp=123,
        born_ip="10.1.2.3",
        born_port=5000,
    )
    (stored,) = read(engine, queue_id=2)
    assert stored.body == b"hello"
    assert (stored.topic, stored.queue_id, stored.queue_offset, stored.physical_offset) == ("orders", 2, 0, 0)
    assert (stored.flag, stored.sys_flag, stored.born_timestamp) == (-7, 1, 123)
    assert (stored.born_address, stored.born_port) == (bytes([10, 1, 2, 3]), 5000)
    assert (stored.store_address, stored.store_port, stored.store_timestamp) == (bytes([10, 0, 0, 9]), 10911, START_MS)
    assert pairs_of(stored) == {
        "UNIQ_KEY": "AB",
        "TAGS": "TagA",
        "KEYS": "k1 k2",
        "WAIT": "true",
        "mine": "ä",
        "MSG_REGION": "Hangzhou",
        "TRACE_ON": "false",
        "CLUSTER": "C1",
    }
    assert sent.unique_id == "AB"
    assert parse_offset_id(sent.message_id) == (bytes([10, 0, 0, 9]), 10911, 0)
    assert (sent.queue_id, sent.queue_offset) == (2, 0)


def test_hosts_may_be_ipv6(engine):
    engine.advertise("2001:db8::9", 10911)
    sent = send(engine, born_ip="2001:db8::1", born_port=5)
    (stored,) = read(engine)
    assert stored.sys_flag == 0x30
    assert len(stored.born_address) == len(stored.store_address) == 16
    assert len(sent.message_id) == 56


def test_address_bits_of_the_system_flag_are_ignored(engine):
    send(engine, sys_flag=0x30, born_ip="10.0.0.1")
    (stored,) = read(engine)
    assert stored.sys_flag == 0
    assert stored.born_address == bytes([10, 0, 0, 1])


def test_a_message_without_a_unique_id_gets_one(engine):
    sent = [send(engine) for _ in range(300)]
    assert len({one.unique_id for one in sent}) == 300
    assert all(len(one.unique_id) == 32 for one in sent)
    assert pairs_of(read(engine)[0])["UNIQ_KEY"] == sent[0].unique_id


@pytest.mark.parametrize("name", ["MSG_REGION", "TRACE_ON", "CLUSTER", "POP_CK"])
def test_properties_of_the_broker_are_dropped_from_a_clients_message(engine, name):
    send(engine, pairs={name: "forged", "mine": "kept"})
    (stored,) = read(engine)
    found = pairs_of(stored)
    assert found.get(name) != "forged"
    assert found["mine"] == "kept"
    assert stored.properties.count(name.encode() + b"\x01") <= 1


def test_properties_without_a_closing_mark_are_separated_from_those_of_the_broker(engine):
    engine.send(message().__class__("orders", b"x", properties="a\x01b", queue_id=0))
    engine.group_commit.commit()
    assert pairs_of(read(engine)[0])["a"] == "b"


def test_messages_are_visible_after_the_commit_only(engine):
    engine.send(message())
    assert engine.max_offset("orders", 0) == 0
    assert engine.fetch("orders", 0, 0, 32, 0).status is FetchStatus.NO_MESSAGE_IN_QUEUE
    engine.group_commit.commit()
    assert engine.max_offset("orders", 0) == 1


def test_the_broker_chooses_a_queue_when_the_client_does_not(engine):
    chosen = [send(engine, queue_id=-1).queue_id for _ in range(40)]
    assert {chosen.count(queue_id) for queue_id in range(4)} == {10}


def test_a_missing_topic_is_created_from_the_template(engine):
    send(engine, topic="new", default_queues=3)
    assert engine.topics.get("new") == TopicConfig("new", 3, 3)
    send(engine, topic="wide", default_queues=100)
    assert engine.topics.get("wide") == TopicConfig("wide", 8, 8)


@pytest.mark.parametrize(
    ("settings", "fields"),
    [
        ({}, {"may_create": False}),
        ({"auto_create_topic": False}, {}),
        ({}, {"default_topic": "unknown"}),
        ({}, {"default_topic": "BenchmarkTest"}),
        ({}, {"topic": "%DLQ%g"}),
    ],
)
def test_a_missing_topic_is_created_only_if_all_settings_allow_it(settings, fields):
    engine = make_engine(**settings)
    with pytest.raises(NoSuchTopic, match="not exist"):
        engine.send(message(**{"topic": "new", **fields}))
    assert engine.topics.get("new") is None


@pytest.mark.parametrize(
    "topic",
    [
        "SCHEDULE_TOPIC_XXXX",
        "rmq_sys_wheel_timer",
        "RMQ_SYS_TRANS_HALF_TOPIC",
        "RMQ_SYS_TRANS_OP_HALF_TOPIC",
        "TRANS_CHECK_MAX_TIME_TOPIC",
        "SELF_TEST_TOPIC",
        "OFFSET_MOVED_EVENT",
    ],
)
def test_clients_cannot_write_to_the_topics_of_the_broker(engine, topic):
    with pytest.raises(NotWritable, match="is forbidden"):
        engine.send(message(topic=topic))


@pytest.mark.parametrize("topic", ["BenchmarkTest", "RMQ_SYS_TRACE_TOPIC", "C1_REPLY_TOPIC", "TBW102"])
def test_clients_can_write_to_topics_for_tools(engine, topic):
    send(engine, topic=topic)
    assert len(read(engine, topic)) == 1


def test_a_topic_without_write_permission_rejects_messages(engine):
    engine.topics.put(TopicConfig("orders", 4, 4, perm=4))
    with pytest.raises(NotWritable):
        engine.send(message())


@pytest.mark.parametrize(
    ("fields", "error", "words"),
    [
        ({"queue_id": 4}, NoSuchQueue, "queueId"),
        ({"topic": "a b"}, MessageIllegal, "characters other than"),
        ({"topic": "ä"}, MessageIllegal, "characters other than"),
        ({"topic": ""}, MessageIllegal, "blank"),
        ({"topic": "t" * 128}, MessageIllegal, "longer than 127"),
        ({"body": b"x" * (4 * 1024 * 1024 + 1)}, MessageIllegal, "body size exceeded"),
        ({"pairs": {"a": "x" * 32767}}, MessageIllegal, "properties length too long"),
        ({"pairs": {"a": "x" * 32700}}, MessageIllegal, "properties length too long"),
        ({"pairs": {"a": "\ud800"}}, MessageIllegal, "not valid text"),
        ({"flag": 1 << 31}, MessageIllegal, "does not fit"),
        ({"sys_flag": -(1 << 40)}, MessageIllegal, "does not fit"),
        ({"born_timestamp": 1 << 63}, MessageIllegal, "does not fit"),
        ({"reconsume_times": -1}, MessageIllegal, "does not fit"),
        ({"pairs": {"DELAY": "soon"}}, MessageIllegal, "DELAY is `soon`"),
        ({"pairs": {"TRAN_MSG": "true"}}, MessageIllegal, "PGROUP has 0 characters"),
        ({"pairs": {"TRAN_MSG": "true", "PGROUP": "p" * 256}}, MessageIllegal, "PGROUP has 256 characters"),
        ({"pairs": {"TRAN_MSG": "true", "PGROUP": "p", "DELAY": "soon"}}, MessageIllegal, "DELAY is `soon`"),
        ({"pairs": {"TRAN_MSG": "true", "PGROUP": "p", "TIMER_DELAY_SEC": "x"}}, MessageIllegal, "a whole number"),
        ({"pairs": {"TRAN_MSG": "true", "PGROUP": "p", "a": "x" * 32530}}, MessageIllegal, "too long"),
        ({"pairs": {"TRAN_MSG": "true", "PGROUP": "p"}, "sys_flag": 0x80}, NotSupported, "stored as one message"),
        (
            {"topic": "RMQ_SYS_TRACE_TOPIC", "pairs": {"TRAN_MSG": "true", "PGROUP": "p"}},
            MessageIllegal,
            "transactional",
        ),
        ({"sys_flag": 0x4}, MessageIllegal, "bits of a transaction"),
        ({"sys_flag": 0xC, "pairs": {"TRAN_MSG": "false"}}, MessageIllegal, "bits of a transaction"),
        ({"sys_flag": 0x80}, NotSupported, "stored as one message"),
        ({"topic": "%RETRY%unknown"}, NoSuchGroup, "not exist"),
    ],
)
def test_illegal_messages_are_rejected_and_change_nothing(engine, fields, error, words):
    with pytest.raises(error, match=words):
        engine.send(message(**fields))
    engine.group_commit.commit()
    assert read(engine) == []


def test_the_largest_body_fits(engine):
    send(engine, b"x" * (4 * 1024 * 1024))
    (stored,) = read(engine)
    assert len(stored.body) == 4 * 1024 * 1024


def test_a_batch_becomes_single_messages(engine):
    parts = [
        BatchMessage(b"%d" % n, properties.text_of({"UNIQ_KEY": f"U{n}", "TAGS": "T"}).encode(), n) for n in range(3)
    ]
    sent = send_batch(engine, parts, queue_id=1, born_ip="10.0.0.1")
    stored = read(engine, queue_id=1)
    assert [one.body for one in stored] == [b"0", b"1", b"2"]
    assert [one.flag for one in stored] == [0, 1, 2]
    assert [one.queue_offset for one in stored] == [0, 1, 2]
    assert sent.unique_id == "U0,U1,U2"
    assert [parse_offset_id(one).physical_offset for one in sent.message_id.split(",")] == [
        one.physical_offset for one in stored
    ]
    assert sent.queue_offset == 0
    assert [len(engine.query("orders", f"U{n}", 9, 0, 1 << 60, unique=True)) for n in range(3)] == [1, 1, 1]


@pytest.mark.parametrize(
    ("body", "fields", "words"),
    [
        (b"", {}, "no message"),
        (b"junk", {}, "cannot be read"),
        (encode_batch([BatchMessage(b"a"), BatchMessage(b"b", b"DELAY\x013\x02")]), {}, "delayed"),
        (encode_batch([BatchMessage(b"a"), BatchMessage(b"b", b"\xff\x01x\x02")]), {}, "not UTF-8"),
        (encode_batch([BatchMessage(b"")] * 32_769), {}, "holds more than 32768 messages"),
        (encode_batch([BatchMessage(b"a", b"TRAN_MSG\x01true\x02")]), {}, "transactional"),
        (encode_batch([BatchMessage(b"a")]), {"sys_flag": 0x80}, "stored as one message"),
        (
            encode_batch([BatchMessage(b"a"), BatchMessage(b"b", b"TIMER_DELIVER_MS\x011700000009000\x02")]),
            {},
            "delayed",
        ),
        (encode_batch([BatchMessage(b"a")]), {"topic": "%RETRY%g"}, "retry or dead-letter"),
        (encode_batch([BatchMessage(b"a"), BatchMessage(b"b", b"a\x01" + b"x" * 32700)]), {}, "too long"),
    ],
)
def test_an_illegal_batch_is_rejected_as_a_whole(engine, body, fields, words):
    engine.groups.with_retry_topic("g")
    with pytest.raises((MessageIllegal, NotSupported), match=words):
        begin_batch(engine, body, **fields).advance(math.inf)
    engine.group_commit.commit()
    assert read(engine) == []


class TestRetryTopics:
    @pytest.fixture
    def engine(self):
        made = make_engine()
        made.groups.put(SubscriptionGroupConfig("g", retry_max_times=3, retry_queues=2))
        made.group_commit.commit()
        return made

    def test_the_retry_topic_of_a_group_is_created_when_needed(self, engine):
        send(engine, topic="%RETRY%g", may_create=False, queue_id=1)
        assert engine.topics.get("%RETRY%g") == TopicConfig("%RETRY%g", 2, 2)

    @pytest.mark.parametrize(
        ("times", "limit", "dead"),
        [(3, None, False), (4, None, True), (4, 16, False), (17, 16, True), (0, 0, False), (1, 0, True)],
    )
    def test_exhausted_messages_go_to_the_dead_letter_topic(self, engine, times, limit, dead):
        sent = send(
            engine,
            topic="%RETRY%g",
            pairs={"DELAY": "3", "RETRY_TOPIC": "orders"},
            reconsume_times=times,
            max_reconsume_times=limit,
            queue_id=1,
        )
        place = "%DLQ%g" if dead else "SCHEDULE_TOPIC_XXXX"
        (stored,) = read(engine, place, 0 if dead else 2)
        assert stored.reconsume_times == times
        assert pairs_of(stored)["RETRY_TOPIC"] == "orders"
        assert ("DELAY" in pairs_of(stored)) is not dead
        assert sent.queue_id == (0 if dead else 1)

    def test_a_message_sent_back_by_a_group_that_consumes_in_order_is_a_dead_letter(self, engine):
        send(engine, topic="%RETRY%g", pairs={"DELAY": "3"}, reconsume_times=1, in_order=True)
        (stored,) = read(engine, "%DLQ%g")
        assert "DELAY" not in pairs_of(stored)
        assert read(engine, "SCHEDULE_TOPIC_XXXX", 2) == []

    def test_a_deleted_group_takes_no_messages(self, engine):
        send(engine, topic="%RETRY%g")
        engine.groups.delete("g")
        with pytest.raises(NoSuchGroup):
            engine.send(message(topic="%RETRY%g"))


def test_messages_are_rejected_before_the_disk_is_full():
    clock = ManualClock()
    store = MemoryMessageStore(room=100_000)
    engine = make_engine(store, clock, max_disk_ratio=0.5)
    send(engine, b"x" * 60_000)
    engine.tick()
    with pytest.raises(StoreFull, match="60% of the disk is in use, 50% is the limit"):
        engine.send(message())
    store.room = 1_000_000
    clock.now += 1000
    engine.tick()
    send(engine)


def test_messages_are_rejected_until_a_failed_store_has_recovered():
    clock = ManualClock()
    store = MemoryMessageStore(room=1000)
    engine = make_engine(store, clock)
    engine.send(message(b"x" * 2000))
    assert not engine.group_commit.commit()
    with pytest.raises(StoreDown, match="no room"):
        engine.send(message())
    clock.now += 1000
    engine.tick()
    send(engine)
    store.room = 10
    engine.send(message())
    assert not engine.group_commit.commit()
    store.failure = "broken for good"
    store.recover = lambda: False
    clock.now += 1000
    engine.tick()
    with pytest.raises(StoreDown, match="broken for good"):
        engine.send(message())


def test_small_falls_of_the_date_keep_store_times():
    clock, store = ManualClock(), MemoryMessageStore()
    engine = make_engine(store, clock)
    send(engine)
    clock.now -= 5000
    send(engine)
    assert [one.store_timestamp for one in read(engine)] == [START_MS, START_MS]
    again = make_engine(store, ManualClock(START_MS - 3000))
    send(again)
    assert read(again)[-1].store_timestamp == START_MS
    # If a clock was far ahead once, later messages do not keep its time.
    later = make_engine(store, ManualClock(START_MS - 10_000_000))
    send(later)
    assert read(later)[-1].store_timestamp == START_MS - 10_000_000


def test_the_checksum_is_that_of_the_body(engine):
    send(engine, b"hello")
    data = engine.fetch("orders", 0, 0, 1, 0).records[0]
    assert int.from_bytes(data[8:12], "big") == zlib.crc32(b"hello") & 0x7FFFFFFF


@pytest.mark.parametrize("topic", ["traces", "rmq_sys_TRACE_DATA_Hangzhou"])
@pytest.mark.parametrize("delay", [{"DELAY": "18"}, {"TIMER_DELAY_SEC": "80000"}, {"TIMER_DELAY_MS": "900"}])
def test_traces_cannot_be_deferred(delay, topic):
    """Users without grants may send traces, and deferred ones would use the space of deferred messages."""
    engine = make_engine(trace_topic="traces", region="Hangzhou")
    send(engine, topic=topic)
    with pytest.raises(MessageIllegal, match=f"trace topic `{topic}`"):
        send(engine, topic=topic, pairs=delay)
    send(engine, topic="orders", pairs=delay)


def test_traces_of_another_region_are_refused():
    """Only the topic of the broker's own region exists; the broker gives its clients the name of this region."""
    engine = make_engine(region="Hangzhou")
    with pytest.raises(ConfigIllegal, match="rmq_sys_TRACE_DATA_Shanghai"):
        send(engine, topic="rmq_sys_TRACE_DATA_Shanghai")
