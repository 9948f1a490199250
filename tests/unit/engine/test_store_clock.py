"""Store times, age and delay levels while the machine's date jumps forward and back."""

import pytest

from mqguard.engine.store_clock import FALL_SLACK_MS, MAX_FALLS
from mqguard.store.memory import MemoryMessageStore
from mqguard.store.rocksdb import RocksMessageStore
from tests.fixtures.clock import START_MS, ManualClock
from tests.fixtures.engine import make_engine, message, read, send, ticked

HOUR = 3_600_000
DAY = 24 * HOUR


def times(engine, queue_id=0):
    return [one.store_timestamp for one in read(engine, queue_id=queue_id)]


def test_a_small_fall_of_the_date_keeps_the_store_time(store, clock):
    engine = make_engine(store, clock)
    send(engine)
    clock.jump(-FALL_SLACK_MS)
    send(engine)
    assert times(engine) == [START_MS, START_MS]
    assert len(engine.topics.all()) > 0
    assert make_engine(store, clock).offset_at("orders", 0, START_MS) == 0


def test_after_a_jump_forward_and_back_messages_have_the_right_time(store, clock):
    engine = make_engine(store, clock)
    send(engine, b"before")
    clock.jump(HOUR)
    send(engine, b"ahead")
    clock.jump(-HOUR)
    send(engine, b"after")
    clock.now += 1_000
    send(engine, b"later")
    assert times(engine) == [START_MS, START_MS + HOUR, START_MS, START_MS + 1_000]
    for one in (engine, make_engine(store, clock)):
        assert one.offset_at("orders", 0, START_MS) == 0
        # No message that may have been stored at that time or later is skipped.
        assert one.offset_at("orders", 0, START_MS + 1) == 1
        assert one.offset_at("orders", 0, START_MS + HOUR + 1) == 4
        assert one.offset_at("orders", 0, START_MS, upper=True) == 2
        assert one.offset_at("orders", 0, START_MS + HOUR, upper=True) == 3


def test_a_fall_that_is_not_committed_is_forgotten(store, clock):
    engine = make_engine(store, clock)
    send(engine)
    clock.jump(-HOUR)
    store.failure = "broken"
    engine.send(message())
    assert not engine.group_commit.commit()
    store.failure = None
    clock.now += 1_000
    engine.tick()
    send(engine)
    assert times(engine) == [START_MS, START_MS - HOUR + 1_000]
    assert make_engine(store, clock).offset_at("orders", 0, START_MS - HOUR, upper=True) == 0


def test_the_number_of_falls_is_bounded(clock):
    engine = make_engine(MemoryMessageStore(), clock)
    for _ in range(2 * MAX_FALLS):
        send(engine)
        clock.jump(-2 * FALL_SLACK_MS)
    found = [one.store_timestamp for one in read(engine, offset=MAX_FALLS + 5)]
    assert found == [START_MS - MAX_FALLS * 2 * FALL_SLACK_MS] * len(found)
    assert engine.offset_at("orders", 0, START_MS) == 0


def test_a_restart_after_the_date_fell_keeps_the_order(tmp_path):
    for at, expected in ((START_MS, 0), (START_MS - DAY, 1), (START_MS - 2 * DAY, 2)):
        store = RocksMessageStore(tmp_path)
        engine = make_engine(store, ManualClock(at))
        send(engine)
        assert times(engine)[expected] == at
        assert engine.offset_at("orders", 0, at, upper=True) == expected
        store.close()


@pytest.mark.parametrize("jump", [HOUR, 10 * 365 * DAY])
def test_messages_with_a_time_ahead_are_deleted_with_the_first_after_them(store, clock, jump):
    engine = make_engine(store, clock, reserved_hours=2)
    send(engine, b"before")
    clock.jump(jump)
    send(engine, b"ahead", pairs={"KEYS": "k"})
    clock.jump(-jump)
    send(engine, b"after", pairs={"KEYS": "k"})
    clock.now += HOUR
    send(engine, b"young", pairs={"KEYS": "k"})
    ticked(engine, clock, 11_000)
    assert [one.body for one in read(engine)] == [b"before", b"ahead", b"after", b"young"]
    clock.now += HOUR
    ticked(engine, clock, 11_000)
    # With a jump of an hour, the time of the second message is not over yet, and it keeps the third.
    kept = 1 if jump == HOUR else 3
    assert engine.min_offset("orders", 0) == kept
    assert len(engine.query("orders", "k", 9, 0, 1 << 60)) == 4 - kept
    clock.now += 3 * HOUR
    ticked(engine, clock, 11_000)
    assert engine.min_offset("orders", 0) == 4
    send(engine, b"next")
    assert engine.offset_at("orders", 0, clock.now) == 4


def test_a_date_in_the_past_deletes_no_message(store, clock):
    engine = make_engine(store, clock, reserved_hours=2)
    send(engine, b"before")
    clock.jump(-10 * 365 * DAY)
    send(engine, b"wrong")
    ticked(engine, clock, 11_000)
    clock.jump(10 * 365 * DAY)
    send(engine, b"after")
    ticked(engine, clock, 11_000)
    assert [one.body for one in read(engine)] == [b"before", b"wrong", b"after"]


def delayed(engine, body, level=2):
    send(engine, body, pairs={"DELAY": str(level)}, queue_id=1)


def bodies(engine):
    return [one.body for one in read(engine, queue_id=1)]


def test_a_message_that_waits_while_the_date_is_set_back_is_not_frozen(store, clock):
    """Level 2 is 5 seconds."""
    levels = make_engine(store, clock)
    clock.jump(HOUR)
    delayed(levels, b"ahead")
    ticked(levels, clock, 1_000)
    clock.jump(-HOUR)
    ticked(levels, clock, 5_000)
    assert bodies(levels) == [b"ahead"]
    delayed(levels, b"after")
    ticked(levels, clock, 4_900)
    assert bodies(levels) == [b"ahead"]
    ticked(levels, clock, 200)
    assert bodies(levels) == [b"ahead", b"after"]


def test_a_message_from_before_the_date_was_set_back_keeps_no_other_waiting(store, clock):
    """Level 18 is 2 hours; the first message hides the one with the wrong due time until it is due."""
    levels = make_engine(store, clock)
    delayed(levels, b"before", 18)
    clock.now += 60_000
    clock.jump(HOUR)
    delayed(levels, b"ahead", 18)
    clock.now += 60_000
    clock.jump(-HOUR)
    ticked(levels, clock, 50)
    delayed(levels, b"after", 18)
    for now, expected in (
        (START_MS + 2 * HOUR - 1, []),
        (START_MS + 2 * HOUR, [b"before"]),
        (START_MS + 2 * HOUR + 120_000, [b"before"]),
        (START_MS + 2 * HOUR + 120_050, [b"before", b"ahead", b"after"]),
    ):
        clock.now = now - 1
        ticked(levels, clock, 1)
        assert bodies(levels) == expected


def test_a_small_fall_of_the_date_delivers_nothing_early(store, clock):
    levels = make_engine(store, clock)
    delayed(levels, b"later", 18)
    clock.jump(-FALL_SLACK_MS)
    ticked(levels, clock, 1_000)
    assert bodies(levels) == []
