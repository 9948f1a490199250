"""Group commit: all changes are stored together, and replies leave afterwards."""

import pytest

from tests.fixtures.engine import RecordingCompletion, make_engine, message


def test_completions_wait_for_the_commit(engine):
    reply = RecordingCompletion()
    engine.send(message())
    engine.group_commit.defer(reply)
    assert engine.group_commit.pending
    assert reply.outcomes == []
    assert engine.group_commit.commit()
    assert reply.outcomes == ["committed"]
    assert not engine.group_commit.pending
    assert engine.group_commit.commit()
    assert reply.outcomes == ["committed"]


def test_a_completion_without_changes_is_committed_too(engine):
    reply = RecordingCompletion()
    engine.group_commit.defer(reply)
    assert engine.group_commit.pending
    assert engine.group_commit.commit()
    assert reply.outcomes == ["committed"]


def test_a_failed_commit_fails_every_completion_with_its_reason(engine, store):
    first, second = RecordingCompletion(), RecordingCompletion()
    reasons, arrivals = [], []
    engine.group_commit.on_failure(reasons.append)
    engine.on_arrival(lambda *arrival: arrivals.append(arrival))
    store.room = 10
    engine.send(message())
    engine.group_commit.defer(first)
    engine.group_commit.defer(second)
    assert not engine.group_commit.commit()
    assert len(reasons) == 1
    assert "no room: the limit of 10 bytes of memory is reached" in reasons[0]
    assert first.outcomes == second.outcomes == reasons
    assert arrivals == []

    store.room = 1 << 30
    engine.tick()
    engine.send(message())
    engine.group_commit.defer(first)
    assert engine.group_commit.commit()
    assert first.outcomes == [*reasons, "committed"]
    assert arrivals == [("orders", 0, 1, {0})]


def test_refused_changes_are_not_stored_and_their_requests_get_the_reason(engine):
    """The next message gets the offset of the refused one."""
    refused, stored = RecordingCompletion(), RecordingCompletion()
    engine.send(message())
    engine.group_commit.defer(refused)
    engine.group_commit.refuse("out of date")
    assert refused.outcomes == ["out of date"]
    assert not engine.group_commit.pending
    assert engine.send(message()).queue_offset == 0
    engine.group_commit.defer(stored)
    assert engine.group_commit.commit()
    assert stored.outcomes == ["committed"]
    assert refused.outcomes == ["out of date"]


def test_a_refusal_without_changes_has_no_effect(engine):
    engine.group_commit.refuse("out of date")
    assert engine.group_commit.commit()


def test_arrival_callbacks_run_after_the_completions_in_order(engine):
    events = []
    engine.on_arrival(lambda *arrival: events.append(arrival))
    for n in range(2):
        engine.send(message(pairs={"TAGS": "TagA"}, queue_id=n))
        engine.group_commit.defer(RecordingCompletion(events))
    engine.group_commit.commit()
    assert events == ["committed", "committed", ("orders", 0, 1, {2598919}), ("orders", 1, 1, {2598919})]


def test_a_queue_arrives_once_whatever_number_of_messages_it_got(engine):
    """Thousands of requests may wait for the queue, with tags that no message has."""
    arrivals = []
    engine.on_arrival(lambda *arrival: arrivals.append(arrival))
    for tag in ("TagA", "TagB", "TagA", ""):
        engine.send(message(pairs={"TAGS": tag}))
    engine.group_commit.commit()
    assert arrivals == [("orders", 0, 4, {2598919, 2598920, 0})]


def test_changes_staged_by_an_arrival_callback_belong_to_the_next_commit(engine):
    engine.on_arrival(lambda topic, queue_id, next_offset, _: engine.offsets.set("g", topic, queue_id, next_offset))
    engine.send(message())
    engine.group_commit.commit()
    assert engine.group_commit.pending
    assert engine.group_commit.commit()
    assert not engine.group_commit.pending
    assert engine.offsets.get("g", "orders", 0) == 1


def test_actions_after_a_commit_run_before_its_completions(engine):
    events = []
    engine.send(message())
    engine.group_commit.after(lambda: events.append("after"))
    engine.group_commit.defer(RecordingCompletion(events))
    engine.group_commit.commit()
    assert events == ["after", "committed"]


def test_changes_in_memory_are_undone_last_first(engine, store):
    events = []
    store.room = 10
    engine.group_commit.undo(lambda: events.append(1))
    engine.group_commit.undo(lambda: events.append(2))
    engine.send(message())
    engine.group_commit.after(lambda: events.append("never"))
    assert not engine.group_commit.commit()
    assert events == [2, 1]


@pytest.mark.parametrize("sync", [True, False])
def test_the_setting_decides_if_a_commit_waits_for_the_disk(store, sync, monkeypatch):
    commits = []
    monkeypatch.setattr(store, "commit", lambda *, sync: commits.append(sync))
    engine = make_engine(store, sync_flush=sync)
    engine.send(message())
    engine.group_commit.commit()
    assert commits == [sync]


def test_a_closed_store_fails_the_commit(engine, store):
    reply = RecordingCompletion()
    engine.send(message())
    engine.group_commit.defer(reply)
    store.close()
    assert not engine.group_commit.commit()
    assert len(reply.outcomes) == 1
    assert reply.outcomes != ["committed"]
