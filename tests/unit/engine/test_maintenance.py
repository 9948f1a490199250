"""Periodic maintenance of the store."""

import pytest

from mqguard.engine.errors import StoreDown
from mqguard.store.errors import StoreFailed
from mqguard.store.memory import MemoryMessageStore
from tests.fixtures.engine import RecordingCompletion, make_engine, message, read, send


@pytest.mark.parametrize("step", ["space", "sweep", "first_physical"])
def test_a_failing_step_does_not_stop_the_others(engine, store, clock, monkeypatch, step):
    send(engine, pairs={"DELAY": "1"}, queue_id=0)
    send(engine, pairs={"TIMER_DELAY_SEC": "1"}, queue_id=1)

    def broken(*_):
        raise StoreFailed(f"no {step}")

    monkeypatch.setattr(store, step, broken)
    clock.now += 20_000
    engine.tick()
    assert engine.group_commit.commit()
    assert engine.trouble == f"no {step}"
    assert len(read(engine)) == len(read(engine, queue_id=1)) == 1
    monkeypatch.undo()
    clock.now += 20_000
    engine.tick()
    assert engine.trouble is None


def test_maintenance_stops_while_the_store_is_down_and_continues_afterwards(clock):
    store = MemoryMessageStore()
    engine = make_engine(store, clock)
    send(engine, pairs={"DELAY": "1"}, queue_id=0)
    store.failure = "cable pulled"
    engine.send(message())
    assert not engine.group_commit.commit()
    store.recover = lambda: False
    clock.now += 5_000
    engine.tick()
    assert not engine.group_commit.pending
    assert engine.trouble == "cable pulled"
    with pytest.raises(StoreDown, match="cable pulled"):
        engine.send(message())
    del store.recover
    clock.now += 1_000
    engine.tick()
    assert engine.group_commit.commit()
    assert len(read(engine)) == 1


def test_changes_staged_before_the_recovery_fail(clock):
    store = MemoryMessageStore()
    engine = make_engine(store, clock)
    store.failure = "cable pulled"
    reply = RecordingCompletion()
    engine.offsets.set("g", "t", 0, 1)
    engine.group_commit.defer(reply)
    engine.tick()
    assert len(reply.outcomes) == 1
    assert reply.outcomes != ["committed"]
    assert engine.offsets.get("g", "t", 0) is None
    assert store.failure is None
    send(engine)
