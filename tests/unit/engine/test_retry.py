"""Messages that consumers send back."""

import math

import pytest

from mqguard.engine.errors import NoSuchGroup, NoSuchMessage, NotWritable
from mqguard.engine.messages import SendBack
from mqguard.model.record import BatchMessage, encode_batch
from mqguard.model.topic import SubscriptionGroupConfig, TopicConfig
from tests.fixtures.engine import begin_batch, make_engine, message, pairs_of, read, send, ticked


@pytest.fixture
def engine(clock):
    made = make_engine(clock=clock)
    made.groups.put(SubscriptionGroupConfig("g", retry_max_times=2))
    send(made, b"hello", pairs={"TAGS": "T", "KEYS": "k", "UNIQ_KEY": "U"}, born_ip="10.0.0.1", flag=5)
    return made


def back(engine, physical, **fields):
    engine.send_back(SendBack("g", physical, **fields))
    assert engine.group_commit.commit()


def test_a_message_is_delivered_again_by_the_retry_topic(engine, clock):
    (first,) = read(engine)
    back(engine, first.physical_offset)
    ticked(engine, clock, 9_900)
    assert read(engine, "%RETRY%g") == []
    ticked(engine, clock, 200)
    (again,) = read(engine, "%RETRY%g")
    assert (again.body, again.flag, again.reconsume_times) == (b"hello", 5, 1)
    assert (again.born_address, again.born_timestamp) == (first.born_address, first.born_timestamp)
    pairs = pairs_of(again)
    assert pairs["RETRY_TOPIC"] == "orders"
    assert pairs["ORIGIN_MESSAGE_ID"] == "7F00000100002A9F0000000000000000"
    assert (pairs["TAGS"], pairs["KEYS"], pairs["UNIQ_KEY"]) == ("T", "k", "U")
    assert (pairs["DELAY"], pairs["REAL_TOPIC"]) == ("3", "%RETRY%g")


def test_each_redelivery_waits_longer_until_the_message_is_a_dead_letter(engine, clock):
    (message,) = read(engine)
    back(engine, message.physical_offset)
    ticked(engine, clock, 10_100)
    (message,) = read(engine, "%RETRY%g")
    back(engine, message.physical_offset)
    ticked(engine, clock, 29_900)
    assert len(read(engine, "%RETRY%g")) == 1
    ticked(engine, clock, 200)
    message = read(engine, "%RETRY%g")[1]
    assert message.reconsume_times == 2

    back(engine, message.physical_offset)
    (dead,) = read(engine, "%DLQ%g")
    pairs = pairs_of(dead)
    assert pairs["RETRY_TOPIC"] == pairs["DLQ_ORIGIN_TOPIC"] == "orders"
    assert pairs["ORIGIN_MESSAGE_ID"] == pairs["DLQ_ORIGIN_MESSAGE_ID"] == "7F00000100002A9F0000000000000000"
    assert "DELAY" not in pairs
    assert dead.reconsume_times == 3
    ticked(engine, clock, 3_600_000)
    assert len(read(engine, "%RETRY%g")) == 2


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"delay_level": 0}, ("SCHEDULE_TOPIC_XXXX", 2)),
        ({"delay_level": 1}, ("SCHEDULE_TOPIC_XXXX", 0)),
        ({"delay_level": 99}, ("SCHEDULE_TOPIC_XXXX", 17)),
        ({"delay_level": -1}, ("%DLQ%g", 0)),
        ({"max_reconsume_times": 0}, ("%DLQ%g", 0)),
        ({"max_reconsume_times": 1}, ("SCHEDULE_TOPIC_XXXX", 2)),
    ],
)
def test_the_consumer_chooses_the_delay_and_the_number_of_redeliveries(engine, fields, place):
    back(engine, 0, **fields)
    assert len(read(engine, *place)) == 1


def test_retries_spread_over_the_queues_of_the_retry_topic(engine, clock):
    engine.groups.put(SubscriptionGroupConfig("g", retry_queues=3))
    for _ in range(9):
        back(engine, 0, delay_level=1)
    ticked(engine, clock, 1_100)
    assert [len(read(engine, "%RETRY%g", queue_id)) for queue_id in range(3)] == [3, 3, 3]


def test_unknown_groups_and_messages_are_errors(engine):
    with pytest.raises(NoSuchGroup):
        engine.send_back(SendBack("unknown", 0))
    for physical in (1, 10_000, -5):
        with pytest.raises(NoSuchMessage, match="look message by offset failed"):
            back(engine, physical)
    engine.topics.put(TopicConfig("%RETRY%g", 1, 1, perm=4))
    with pytest.raises(NotWritable):
        back(engine, 0)


def test_nothing_is_stored_for_a_group_without_retry_queues(engine):
    engine.groups.put(SubscriptionGroupConfig("g", retry_queues=0))
    back(engine, 0)
    assert engine.topics.get("%RETRY%g") is None


def test_a_message_of_a_deleted_topic_cannot_be_sent_back(engine):
    engine.topics.delete("orders")
    engine.group_commit.commit()
    with pytest.raises(NoSuchMessage):
        back(engine, 0)


def test_a_message_with_the_largest_reconsume_count_is_sent_back_too(engine):
    send(engine, b"tired", queue_id=1, reconsume_times=(1 << 31) - 1)
    (tired,) = read(engine, queue_id=1)
    back(engine, tired.physical_offset)
    (dead,) = read(engine, "%DLQ%g")
    assert (dead.body, dead.reconsume_times) == (b"tired", (1 << 31) - 1)


def test_the_sender_of_a_message_cannot_choose_the_origin_of_its_copies(engine, clock):
    """Consumers treat a copy as a message of the topic in RETRY_TOPIC."""
    forged = {
        "RETRY_TOPIC": "payments",
        "ORIGIN_MESSAGE_ID": "1",
        "DLQ_ORIGIN_TOPIC": "payments",
        "DLQ_ORIGIN_MESSAGE_ID": "1",
        "REAL_TOPIC": "payments",
    }
    sent = send(engine, b"pay", pairs=forged)
    message = read(engine, offset=sent.queue_offset)[0]
    assert not forged.keys() & pairs_of(message).keys()

    back(engine, message.physical_offset, delay_level=-1)
    pairs = pairs_of(read(engine, "%DLQ%g")[0])
    assert (pairs["RETRY_TOPIC"], pairs["DLQ_ORIGIN_TOPIC"]) == ("orders", "orders")
    assert pairs["ORIGIN_MESSAGE_ID"] == pairs["DLQ_ORIGIN_MESSAGE_ID"] == sent.message_id
    assert "REAL_TOPIC" not in pairs


def test_messages_of_a_batch_have_no_origin_properties(engine):
    parts = [BatchMessage(b"x", b"RETRY_TOPIC\x01payments\x02KEYS\x01k\x02")]
    begin_batch(engine, encode_batch(parts)).advance(math.inf)
    engine.group_commit.commit()
    pairs = pairs_of(read(engine)[-1])
    assert "RETRY_TOPIC" not in pairs
    assert pairs["KEYS"] == "k"


def test_a_copy_sent_by_a_client_has_one_origin_property(engine):
    """The guard checks the topic in RETRY_TOPIC, the last one of two. All other origin properties are dropped."""
    engine.topics.ensure("%RETRY%g")
    engine.topics.ensure("%DLQ%g")
    pairs = [
        ("RETRY_TOPIC", "payments"),
        ("RETRY_TOPIC", "orders"),
        ("ORIGIN_MESSAGE_ID", "1"),
        ("DLQ_ORIGIN_TOPIC", "payments"),
        ("DLQ_ORIGIN_MESSAGE_ID", "1"),
        ("REAL_TOPIC", "payments"),
        ("KEYS", "k"),
    ]
    for topic, reconsumed in (("%RETRY%g", 0), ("%DLQ%g", 0), ("%RETRY%g", 3)):
        engine.send(message(b"pay", topic, pairs, reconsume_times=reconsumed))
    engine.group_commit.commit()
    copies = read(engine, "%RETRY%g") + read(engine, "%DLQ%g")
    assert len(copies) == 3
    for copy in copies:
        assert b"payments" not in copy.properties
        assert (pairs_of(copy)["RETRY_TOPIC"], pairs_of(copy)["KEYS"]) == ("orders", "k")

    back(engine, read(engine, "%RETRY%g")[0].physical_offset, delay_level=-1)
    assert pairs_of(read(engine, "%DLQ%g")[-1])["DLQ_ORIGIN_TOPIC"] == "orders"
