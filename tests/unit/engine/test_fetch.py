"""Fetching messages."""

import pytest

from mqguard.engine.errors import NoSuchQueue, NoSuchTopic, NotReadable, StoreDown
from mqguard.engine.fetch import FetchStatus
from mqguard.engine.filters import TagFilter
from mqguard.model import record
from mqguard.model.properties import tags_code_of
from mqguard.model.topic import TopicConfig
from mqguard.store.errors import StoreFailed
from mqguard.store.memory import MemoryMessageStore
from tests.fixtures.clock import START_MS
from tests.fixtures.engine import make_engine, read, send

STORES = ("memory", "rocksdb")
"""The second store has the newest records in memory, where tags are compared without the entries of the queue."""


@pytest.fixture
def engine(store, clock):
    made = make_engine(store, clock)
    made.topics.put(TopicConfig("orders", 2, 2))
    made.group_commit.commit()
    return made


def filled(engine, clock, count, size=1):
    for n in range(count):
        clock.now = START_MS + 10 * n
        send(engine, b"%d" % n + b"x" * size, pairs={"TAGS": f"T{n % 3}"})


def trimmed(engine, store, low):
    queue = store.queue("orders", 0)
    store.stage_trim(queue, low)
    engine.group_commit.commit()


@pytest.mark.parametrize(
    ("count", "low", "offset", "status", "next_offset"),
    [
        (0, 0, 0, FetchStatus.NO_MESSAGE_IN_QUEUE, 0),
        (0, 0, 7, FetchStatus.NO_MESSAGE_IN_QUEUE, 0),
        (10, 0, 0, FetchStatus.FOUND, 10),
        (10, 0, 9, FetchStatus.FOUND, 10),
        (10, 0, 10, FetchStatus.OFFSET_OVERFLOW_ONE, 10),
        (10, 0, 11, FetchStatus.OFFSET_OVERFLOW_BADLY, 10),
        (10, 0, 1 << 62, FetchStatus.OFFSET_OVERFLOW_BADLY, 10),
        (10, 0, -1, FetchStatus.OFFSET_TOO_SMALL, 0),
        (10, 4, 3, FetchStatus.OFFSET_TOO_SMALL, 4),
        (10, 4, 4, FetchStatus.FOUND, 10),
        (10, 10, 9, FetchStatus.OFFSET_TOO_SMALL, 10),
        (10, 10, 10, FetchStatus.OFFSET_OVERFLOW_ONE, 10),
    ],
)
def test_each_offset_has_its_status(engine, store, clock, count, low, offset, status, next_offset):
    filled(engine, clock, count)
    if low:
        trimmed(engine, store, low)
    found = engine.fetch("orders", 0, offset, 32, 0)
    assert (found.status, found.next_offset) == (status, next_offset)
    assert (found.min_offset, found.max_offset) == (low, count)
    assert bool(found.records) is (status is FetchStatus.FOUND)


def test_a_fetch_has_at_most_32_messages_and_no_more_than_requested(engine, clock):
    filled(engine, clock, 100)
    for wished, given in ((1, 1), (5, 5), (32, 32), (1000, 32), (0, 32), (-1, 32)):
        found = engine.fetch("orders", 0, 3, wished, 0)
        assert (len(found.records), found.next_offset) == (given, 3 + given)


def test_a_fetch_has_at_most_256_kib_or_one_larger_message(engine, clock):
    filled(engine, clock, 40, size=20_000)
    found = engine.fetch("orders", 0, 0, 32, 0)
    assert sum(map(len, found.records)) <= 256 * 1024
    assert len(found.records) == found.next_offset == 12
    assert len(engine.fetch("orders", 0, 0, 32, 50_000).records) == 2
    assert len(engine.fetch("orders", 0, 0, 32, 1).records) == 1
    send(engine, b"x" * 1_000_000, queue_id=1)
    assert len(engine.fetch("orders", 1, 0, 32, 0).records) == 1


def test_messages_of_exactly_the_maximum_size_are_fetched(engine, clock):
    filled(engine, clock, 3, size=100)
    sizes = [len(data) for data in engine.fetch("orders", 0, 0, 32, 0).records]
    assert len(engine.fetch("orders", 0, 0, 32, sum(sizes)).records) == 3
    assert len(engine.fetch("orders", 0, 0, 32, sum(sizes) - 1).records) == 2


def test_tags_filter_messages(engine, clock):
    filled(engine, clock, 30)
    tags = TagFilter({"T0", "T2"})
    found = engine.fetch("orders", 0, 0, 32, 0, tags)
    assert len(found.records) == 20
    assert found.next_offset == 30
    found = engine.fetch("orders", 0, 0, 5, 0, tags)
    assert len(found.records) == 5
    assert found.next_offset == 7
    assert engine.fetch("orders", 0, 7, 1, 0, tags).next_offset == 9


def test_the_next_offset_advances_if_no_tag_matches(engine, clock):
    filled(engine, clock, 30)
    found = engine.fetch("orders", 0, 0, 32, 0, TagFilter({"other"}))
    assert (found.status, found.records, found.next_offset) == (FetchStatus.NO_MATCHED_MESSAGE, [], 30)


@pytest.mark.parametrize(
    ("pairs", "is_found"),
    [
        ({"TAGS": "Aa"}, True),
        ({"first": "x", "TAGS": "Aa"}, True),
        ({"TAGS": "BB"}, False),
        ({"TAGS": "BB", "XTAGS": "Aa"}, False),
        ({"TAGS": "AaBB"}, False),
        ({}, False),
    ],
)
@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("topic", ["orders", "o" * 127])
def test_tags_are_compared_as_text(clock, pairs, is_found, address, topic):
    engine = make_engine(clock=clock)
    send(engine, topic=topic, pairs=pairs, born_ip=address)
    assert tags_code_of("Aa") == tags_code_of("BB")
    found = engine.fetch(topic, 0, 0, 32, 0, TagFilter({"Aa"}))
    assert (len(found.records), found.next_offset) == (is_found, 1)


def test_a_message_with_a_tag_of_the_same_code_does_not_hide_the_others(engine):
    for tag in ("BB", "Aa", "BB", "BB", "Aa"):
        send(engine, pairs={"TAGS": tag})
    offset, seen = 0, []
    while offset < 5:
        found = engine.fetch("orders", 0, offset, 1, 0, TagFilter({"Aa"}))
        assert found.next_offset > offset
        seen += [record.decode(data).queue_offset for data in found.records]
        offset = found.next_offset
    assert seen == [1, 4]


def test_repeated_fetches_return_every_match_once(engine, clock):
    filled(engine, clock, 300, size=100)
    for tags in (None, TagFilter({"T1"}), TagFilter({"T1", "T2"})):
        for wished, room in ((1, 0), (7, 0), (32, 500), (32, 0)):
            offset, seen = 0, []
            while offset < 300:
                found = engine.fetch("orders", 0, offset, wished, room, tags)
                assert found.next_offset > offset
                seen += found.records
                offset = found.next_offset
            assert len(seen) == len(set(seen)) == 100 * (tags.weight if tags else 3)


def test_unreadable_topics_and_unknown_queues_are_errors(engine):
    with pytest.raises(NoSuchTopic):
        engine.fetch("unknown", 0, 0, 32, 0)
    for queue_id in (-1, 2):
        with pytest.raises(NoSuchQueue):
            engine.fetch("orders", queue_id, 0, 32, 0)
    engine.topics.put(TopicConfig("orders", 2, 2, perm=2))
    with pytest.raises(NotReadable):
        engine.fetch("orders", 0, 0, 32, 0)


def test_damage_is_an_error_and_never_a_gap(clock, monkeypatch):
    store = MemoryMessageStore()
    engine = make_engine(store, clock)
    filled(engine, clock, 5)
    monkeypatch.setattr(store, "entries", lambda *_: [])
    with pytest.raises(StoreDown, match="no message at offset 2"):
        engine.fetch("orders", 0, 2, 32, 0)
    with pytest.raises(StoreDown, match="no message at offset 2"):
        engine.fetch("orders", 0, 2, 32, 0, wanted=TagFilter({"T0"}))

    def broken(*_):
        raise StoreFailed("can not be read")

    monkeypatch.setattr(store, "entries", broken)
    monkeypatch.setattr(store, "read", broken)
    for ask in (
        lambda: engine.fetch("orders", 0, 0, 32, 0),
        lambda: engine.offset_at("orders", 0, START_MS),
        lambda: engine.earliest_store_time("orders", 0),
    ):
        with pytest.raises(StoreDown, match="can not be read"):
            ask()


def test_offsets_by_time(engine, store, clock):
    filled(engine, clock, 10)
    assert engine.min_offset("orders", 0) == 0
    assert engine.max_offset("orders", 0) == 10
    for time, lower, upper in (
        (0, 0, 0),
        (START_MS, 0, 0),
        (START_MS + 1, 1, 0),
        (START_MS + 50, 5, 5),
        (START_MS + 55, 6, 5),
        (START_MS + 90, 9, 9),
        (START_MS + 91, 10, 9),
    ):
        assert engine.offset_at("orders", 0, time) == lower, time
        assert engine.offset_at("orders", 0, time, upper=True) == upper, time
    trimmed(engine, store, 4)
    assert engine.offset_at("orders", 0, 0) == engine.min_offset("orders", 0) == 4
    assert engine.earliest_store_time("orders", 0) == START_MS + 40
    assert engine.last_store_time("orders", 0) == START_MS + 90


def test_the_first_and_the_last_of_messages_with_one_time_are_found(engine, clock):
    for step in range(3):
        clock.now = START_MS + step
        for _ in range(4):
            send(engine)
    assert engine.offset_at("orders", 0, START_MS + 1) == 4
    assert engine.offset_at("orders", 0, START_MS + 1, upper=True) == 7


def test_an_empty_queue_has_offsets_and_times_too(engine, store, clock):
    assert (engine.min_offset("orders", 1), engine.max_offset("orders", 1)) == (0, 0)
    assert engine.offset_at("orders", 1, START_MS) == 0
    assert engine.earliest_store_time("orders", 1) == -1
    assert engine.last_store_time("orders", 1) == 0
    filled(engine, clock, 3)
    trimmed(engine, store, 3)
    assert engine.offset_at("orders", 0, START_MS) == 3
    assert engine.earliest_store_time("orders", 0) == -1
    with pytest.raises(NoSuchQueue):
        engine.max_offset("orders", 2)


def test_queues_of_a_shrunken_topic_can_still_be_read_up_to_the_larger_number(engine, clock):
    send(engine, queue_id=1)
    engine.topics.put(TopicConfig("orders", 2, 1))
    engine.group_commit.commit()
    assert len(read(engine, queue_id=1)) == 1


def test_the_time_of_a_message_is_returned_without_reading_its_record(engine, clock, monkeypatch, store):
    for _ in range(2):
        clock.now += 100
        send(engine)
    monkeypatch.setattr(store, "records", None)
    monkeypatch.setattr(store, "record", None)
    assert [engine.time_of("orders", 0, offset) for offset in (-1, 0, 1, 2)] == [0, clock.now - 100, clock.now, 0]
    assert engine.time_of("orders", 1, 0) == 0
    with pytest.raises(NoSuchQueue):
        engine.time_of("orders", 99, 0)
