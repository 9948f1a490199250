"""Giving out messages."""

import pytest

from mqguard.engine.errors import NoSuchQueue, NoSuchTopic, NotReadable, StoreDown
from mqguard.engine.fetch import FetchStatus
from mqguard.model.properties import tags_code_of
from mqguard.model.topic import TopicConfig
from mqguard.store.errors import StoreFailed
from tests.fixtures.clock import START_MS
from tests.fixtures.engine import make_engine, read, send


@pytest.fixture
def engine(clock):
    made = make_engine(clock=clock)
    made.topics.put(TopicConfig("orders", 2, 2))
    made.group_commit.commit()
    return made


def filled(engine, clock, count, size=1):
    for n in range(count):
        clock.now = START_MS + 10 * n
        send(engine, b"%d" % n + b"x" * size, pairs={"TAGS": f"T{n % 3}"})


def trimmed(engine, low):
    queue = engine._store.queue("orders", 0)
    engine._store.stage_trim(queue, low)
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
def test_every_offset_has_its_answer(engine, clock, count, low, offset, status, next_offset):
    filled(engine, clock, count)
    if low:
        trimmed(engine, low)
    found = engine.fetch("orders", 0, offset, 32, 0)
    assert (found.status, found.next_offset) == (status, next_offset)
    assert (found.min_offset, found.max_offset) == (low, count)
    assert bool(found.records) is (status is FetchStatus.FOUND)


def test_at_most_as_many_messages_as_wished_and_never_more_than_32(engine, clock):
    filled(engine, clock, 100)
    for wished, given in ((1, 1), (5, 5), (32, 32), (1000, 32), (0, 32), (-1, 32)):
        found = engine.fetch("orders", 0, 3, wished, 0)
        assert (len(found.records), found.next_offset) == (given, 3 + given)


def test_at_most_256_kib_but_one_message_whatever_its_size(engine, clock):
    filled(engine, clock, 40, size=20_000)
    found = engine.fetch("orders", 0, 0, 32, 0)
    assert sum(map(len, found.records)) <= 256 * 1024
    assert len(found.records) == found.next_offset == 12
    assert len(engine.fetch("orders", 0, 0, 32, 50_000).records) == 2
    assert len(engine.fetch("orders", 0, 0, 32, 1).records) == 1
    send(engine, b"x" * 1_000_000, queue_id=1)
    assert len(engine.fetch("orders", 1, 0, 32, 0).records) == 1


def test_messages_that_fill_the_room_exactly_are_given(engine, clock):
    filled(engine, clock, 3, size=100)
    sizes = [len(data) for data in engine.fetch("orders", 0, 0, 32, 0).records]
    assert len(engine.fetch("orders", 0, 0, 32, sum(sizes)).records) == 3
    assert len(engine.fetch("orders", 0, 0, 32, sum(sizes) - 1).records) == 2


def test_tags_let_through_only_what_has_them(engine, clock):
    filled(engine, clock, 30)
    tags = frozenset({tags_code_of("T0"), tags_code_of("T2")})
    found = engine.fetch("orders", 0, 0, 32, 0, tags)
    assert len(found.records) == 20
    assert found.next_offset == 30
    found = engine.fetch("orders", 0, 0, 5, 0, tags)
    assert len(found.records) == 5
    # The next offset stands before the message that no longer fitted, not behind it.
    assert found.next_offset == 8
    assert engine.fetch("orders", 0, 8, 1, 0, tags).next_offset == 9


def test_when_no_tag_matches_the_next_offset_moves_on(engine, clock):
    filled(engine, clock, 30)
    found = engine.fetch("orders", 0, 0, 32, 0, frozenset({tags_code_of("other")}))
    assert (found.status, found.records, found.next_offset) == (FetchStatus.NO_MATCHED_MESSAGE, [], 30)


def test_a_walk_with_any_tags_and_sizes_sees_every_match_once(engine, clock):
    filled(engine, clock, 300, size=100)
    for tags in (None, frozenset({tags_code_of("T1")}), frozenset({tags_code_of("T1"), tags_code_of("T2")})):
        for wished, room in ((1, 0), (7, 0), (32, 500), (32, 0)):
            offset, seen = 0, []
            while offset < 300:
                found = engine.fetch("orders", 0, offset, wished, room, tags)
                assert found.next_offset > offset
                seen += found.records
                offset = found.next_offset
            codes = tags or frozenset({tags_code_of("T0"), tags_code_of("T1"), tags_code_of("T2")})
            assert len(seen) == len(set(seen)) == 100 * len(codes)


def test_what_can_not_be_read(engine):
    with pytest.raises(NoSuchTopic):
        engine.fetch("unknown", 0, 0, 32, 0)
    for queue_id in (-1, 2):
        with pytest.raises(NoSuchQueue):
            engine.fetch("orders", queue_id, 0, 32, 0)
    engine.topics.put(TopicConfig("orders", 2, 2, perm=2))
    with pytest.raises(NotReadable):
        engine.fetch("orders", 0, 0, 32, 0)


def test_damage_is_an_error_and_never_a_silent_gap(engine, clock, monkeypatch):
    store = engine._store
    filled(engine, clock, 5)
    monkeypatch.setattr(store, "entries", lambda *_: [])
    with pytest.raises(StoreDown, match="no message at offset 2"):
        engine.fetch("orders", 0, 2, 32, 0)
    with pytest.raises(StoreDown, match="no message at offset 2"):
        engine.fetch("orders", 0, 2, 32, 0, tags=frozenset({0}))

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


def test_offsets_by_time(engine, clock):
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
    trimmed(engine, 4)
    assert engine.offset_at("orders", 0, 0) == engine.min_offset("orders", 0) == 4
    assert engine.earliest_store_time("orders", 0) == START_MS + 40
    assert engine.last_store_time("orders", 0) == START_MS + 90


def test_of_messages_stored_at_once_the_first_and_the_last_are_found(engine, clock):
    for step in range(3):
        clock.now = START_MS + step
        for _ in range(4):
            send(engine)
    assert engine.offset_at("orders", 0, START_MS + 1) == 4
    assert engine.offset_at("orders", 0, START_MS + 1, upper=True) == 7


def test_an_empty_queue_has_offsets_and_times_too(engine, clock):
    assert (engine.min_offset("orders", 1), engine.max_offset("orders", 1)) == (0, 0)
    assert engine.offset_at("orders", 1, START_MS) == 0
    assert engine.earliest_store_time("orders", 1) == -1
    assert engine.last_store_time("orders", 1) == 0
    filled(engine, clock, 3)
    trimmed(engine, 3)
    assert engine.offset_at("orders", 0, START_MS) == 3
    assert engine.earliest_store_time("orders", 0) == -1
    with pytest.raises(NoSuchQueue):
        engine.max_offset("orders", 2)


def test_queues_of_a_shrunken_topic_can_still_be_read_up_to_the_larger_number(engine, clock):
    send(engine, queue_id=1)
    engine.topics.put(TopicConfig("orders", 2, 1))
    engine.group_commit.commit()
    assert len(read(engine, queue_id=1)) == 1


def test_the_time_of_a_message_is_known_without_reading_it(engine, clock, monkeypatch):
    for _ in range(2):
        clock.now += 100
        send(engine)
    monkeypatch.setattr(engine._store, "records", None)
    monkeypatch.setattr(engine._store, "record", None)
    assert [engine.time_of("orders", 0, offset) for offset in (-1, 0, 1, 2)] == [0, clock.now - 100, clock.now, 0]
    assert engine.time_of("orders", 1, 0) == 0
    with pytest.raises(NoSuchQueue):
        engine.time_of("orders", 99, 0)
