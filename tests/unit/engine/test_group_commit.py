"""A turn: stored as a whole, answered afterwards."""

import pytest

from mqguard.store.memory import MemoryMessageStore
from tests.fixtures.engine import make_engine, message
from tests.fixtures.links import RecordingLink


@pytest.fixture
def store():
    return MemoryMessageStore()


@pytest.fixture
def engine(store):
    return make_engine(store)


def test_answers_wait_for_the_commit(engine):
    link = RecordingLink()
    engine.send(message())
    engine.turn.defer(link, b"stored", b"failed")
    assert engine.turn.pending
    assert link.sent == []
    assert engine.turn.commit()
    assert link.sent == [b"stored"]
    assert not engine.turn.pending
    assert engine.turn.commit()
    assert link.sent == [b"stored"]


def test_an_answer_without_changes_leaves_all_the_same(engine):
    link = RecordingLink()
    engine.turn.defer(link, b"stored", b"failed")
    assert engine.turn.pending
    assert engine.turn.commit()
    assert link.sent == [b"stored"]


def test_of_a_failed_turn_every_answer_is_a_failure(engine, store):
    first, second = RecordingLink(), RecordingLink()
    reasons, arrivals = [], []
    engine.turn.on_failure(reasons.append)
    engine.on_arrival(lambda *arrival: arrivals.append(arrival))
    store.room = 10
    engine.send(message())
    engine.turn.defer(first, b"stored", b"failed")
    engine.turn.defer(second, b"stored", lambda reason: reason.encode())
    assert not engine.turn.commit()
    assert first.sent == [b"failed"]
    assert second.sent == [b"the store can not be written: no room: 10 bytes of memory are in use"]
    assert reasons == [second.sent[0].decode()]
    assert arrivals == []

    store.room = 1 << 30
    assert store.recover()
    engine._producer.down = None
    engine.send(message())
    engine.turn.defer(first, b"stored", b"failed")
    assert engine.turn.commit()
    assert first.sent == [b"failed", b"stored"]
    assert arrivals == [("orders", 0, 1, {0})]


def test_arrivals_are_told_after_the_answers_in_order(engine):
    happened = []

    class TellingLink(RecordingLink):
        def send(self, frame):
            happened.append(frame)

    engine.on_arrival(lambda *arrival: happened.append(arrival))
    for n in range(2):
        engine.send(message(pairs={"TAGS": "TagA"}, queue_id=n))
        engine.turn.defer(TellingLink(), b"%d" % n, b"")
    engine.turn.commit()
    assert happened == [b"0", b"1", ("orders", 0, 1, {2598919}), ("orders", 1, 1, {2598919})]


def test_a_queue_is_told_of_once_whatever_it_has_got(engine):
    """Thousands may wait for it, with tags that nobody sends."""
    told = []
    engine.on_arrival(lambda *arrival: told.append(arrival))
    for tag in ("TagA", "TagB", "TagA", ""):
        engine.send(message(pairs={"TAGS": tag}))
    engine.turn.commit()
    assert told == [("orders", 0, 4, {2598919, 2598920, 0})]


def test_what_an_arrival_stages_belongs_to_the_next_turn(engine):
    engine.on_arrival(lambda topic, queue_id, next_offset, _: engine.offsets.set("g", topic, queue_id, next_offset))
    engine.send(message())
    engine.turn.commit()
    assert engine.turn.pending
    assert engine.turn.commit()
    assert not engine.turn.pending
    assert engine.offsets.get("g", "orders", 0) == 1


def test_what_runs_after_a_commit_runs_before_its_answers(engine):
    happened = []

    class TellingLink(RecordingLink):
        def send(self, frame):
            happened.append(frame)

    engine.send(message())
    engine.turn.after(lambda: happened.append("after"))
    engine.turn.defer(TellingLink(), b"answer", b"")
    engine.turn.commit()
    assert happened == ["after", b"answer"]


def test_changes_are_taken_back_last_first(engine, store):
    happened = []
    store.room = 10
    engine.turn.undo(lambda: happened.append(1))
    engine.turn.undo(lambda: happened.append(2))
    engine.send(message())
    engine.turn.after(lambda: happened.append("never"))
    assert not engine.turn.commit()
    assert happened == [2, 1]


@pytest.mark.parametrize("sync", [True, False])
def test_the_setting_says_whether_the_disk_is_waited_for(store, sync, monkeypatch):
    asked = []
    monkeypatch.setattr(store, "commit", lambda *, sync: asked.append(sync))
    engine = make_engine(store, sync_flush=sync)
    engine.send(message())
    engine.turn.commit()
    assert asked == [sync]


def test_a_store_that_was_closed_fails_the_turn(engine, store):
    link = RecordingLink()
    engine.send(message())
    engine.turn.defer(link, b"stored", b"failed")
    store.close()
    assert not engine.turn.commit()
    assert link.sent == [b"failed"]
