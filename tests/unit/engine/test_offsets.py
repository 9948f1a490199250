"""Committed offsets."""

import pytest

from mqguard.engine import offsets as offsets_module
from mqguard.engine.errors import ConfigIllegal, LimitReached
from tests.fixtures.engine import make_engine, message


def test_offsets_are_kept_per_group_topic_and_queue(engine, store):
    assert engine.offsets.get("g", "t", 0) is None
    engine.offsets.set("g", "t", 0, 5)
    engine.offsets.set("g", "t", 1, 6)
    engine.offsets.set("g", "u", 0, 7)
    engine.offsets.set("h", "t", 0, 8)
    engine.offsets.set("g", "t", 0, 3)
    engine.group_commit.commit()
    for offsets in (engine.offsets, make_engine(store).offsets):
        assert offsets.get("g", "t", 0) == 3
        assert offsets.of("g", "t") == {0: 3, 1: 6}
        assert offsets.of("g", "nothing") == {}
        assert offsets.topics_of("g") == ["t", "u"]
        assert offsets.groups_of("t") == ["g", "h"]
        assert offsets.everything() == {("g", "t"): {0: 3, 1: 6}, ("g", "u"): {0: 7}, ("h", "t"): {0: 8}}


def test_committing_the_same_offset_again_writes_nothing(engine):
    engine.offsets.set("g", "t", 0, 5)
    engine.group_commit.commit()
    engine.offsets.set("g", "t", 0, 5)
    assert not engine.group_commit.pending


@pytest.mark.parametrize(
    ("group", "topic", "queue_id", "offset"),
    [
        ("g", "t", 0, -1),
        ("g", "t", 0, 1 << 63),
        ("g", "t", -1, 0),
        ("g", "t", 1 << 31, 0),
        ("g\0", "t", 0, 0),
        ("", "t", 0, 0),
        ("g", "t\0", 0, 0),
        ("g", "", 0, 0),
    ],
)
def test_names_that_could_not_be_stored_are_rejected(engine, group, topic, queue_id, offset):
    with pytest.raises(ConfigIllegal):
        engine.offsets.set(group, topic, queue_id, offset)
    assert not engine.group_commit.pending


def test_offsets_are_removed_by_group_and_by_topic(engine, store):
    for group in ("g", "h"):
        for topic in ("t", "u"):
            engine.offsets.set(group, topic, 0, 1)
            engine.offsets.set_pulled(group, topic, 0, 9)
    engine.group_commit.commit()
    engine.offsets.remove_group("g")
    engine.offsets.remove_topics({"u"})
    engine.group_commit.commit()
    assert make_engine(store).offsets.everything() == engine.offsets.everything() == {("h", "t"): {0: 1}}
    assert engine.offsets.pulled("g", "t", 0) is None
    assert engine.offsets.pulled("h", "u", 0) is None
    assert engine.offsets.pulled("h", "t", 0) == 9


def test_a_failed_commit_reverts_all_offsets(engine, store):
    engine.offsets.set("g", "t", 0, 5)
    engine.offsets.set("g", "u", 0, 5)
    engine.group_commit.commit()
    before = engine.offsets.everything()
    store.room = 10
    engine.send(message(may_create=True))
    engine.offsets.set("g", "t", 0, 6)
    engine.offsets.set("g", "t", 0, 7)
    engine.offsets.set("g", "t", 1, 1)
    engine.offsets.set("new", "t", 0, 1)
    engine.offsets.remove_topics({"t"})
    engine.offsets.set("g", "t", 0, 8)
    engine.offsets.remove_group("g")
    assert not engine.group_commit.commit()
    assert engine.offsets.everything() == before


def test_pulled_offsets_are_not_committed_offsets(engine, store):
    assert engine.offsets.pulled("g", "t", 0) is None
    engine.offsets.set_pulled("g", "t", 0, 9)
    assert engine.offsets.pulled("g", "t", 0) == 9
    assert engine.offsets.pulled("g", "t", 1) is None
    assert engine.offsets.get("g", "t", 0) is None
    assert not engine.group_commit.pending


def test_an_illegal_offset_changes_nothing(engine):
    for offset, queue_id in ((-1, 0), (1 << 63, 0), (5, -1)):
        with pytest.raises(ConfigIllegal):
            engine.offsets.set("g", "orders", queue_id, offset)
    assert engine.offsets.topics_of("g") == []
    assert engine.offsets.everything() == {}


def committed(engine, owner, count, group="g"):
    """Return how many of `count` new offsets a user can commit."""
    done = 0
    for number in range(count):
        try:
            engine.offsets.set(f"{group}-{owner}", f"t{number // 4}", number % 4, 1, owner)
        except LimitReached:
            continue
        done += 1
    return done


def test_one_user_commits_a_bounded_number_of_offsets_and_leaves_others_their_share(store, monkeypatch):
    monkeypatch.setattr(offsets_module, "MAX_OFFSETS", 100)
    engine = make_engine(store)
    assert committed(engine, "greedy", 150) == 100
    assert committed(engine, "modest", 60) == 50
    engine.offsets.set("g-greedy", "t0", 0, 2, "greedy")
    engine.group_commit.commit()
    engine.offsets.remove_group("g-greedy")
    assert committed(engine, "greedy", 50, "h") == 50
    assert ("g-greedy", "t30") not in engine.offsets.everything()


def free_offsets(engine, store):
    """Return how many offsets a new user can commit. The commit fails, so that it changes nothing."""
    found = committed(engine, "probe", 150)
    store.failure = "cable pulled"
    assert not engine.group_commit.commit()
    assert store.recover()
    return found


def test_offsets_are_counted_after_a_restart_and_after_failed_commits(store, monkeypatch):
    monkeypatch.setattr(offsets_module, "MAX_OFFSETS", 100)
    first = make_engine(store)
    committed(first, "alice", 8)
    first.group_commit.commit()
    engine = make_engine(store)
    assert free_offsets(engine, store) == 92

    engine.offsets.set("g-alice", "t0", 7, 1, "alice")
    assert free_offsets(engine, store) == 91
    assert free_offsets(engine, store) == 92

    engine.offsets.remove_topics({"t0"})
    engine.offsets.remove_topics({"t1"})
    assert free_offsets(engine, store) == 100
    assert free_offsets(engine, store) == 92


def test_offsets_from_before_a_restart_count_for_the_user_that_commits_there_next(store, monkeypatch):
    monkeypatch.setattr(offsets_module, "MAX_OFFSETS", 100)
    first = make_engine(store)
    committed(first, "alice", 8)
    first.group_commit.commit()
    engine = make_engine(store)
    engine.offsets.set("g-alice", "t0", 7, 1, "alice")
    assert committed(engine, "greedy", 150) == 91
    assert committed(engine, "alice", 60, "h") == 100 // 3 - 5


def test_pulled_offsets_have_the_same_maximum(store, monkeypatch):
    monkeypatch.setattr(offsets_module, "MAX_OFFSETS", 3)
    engine = make_engine(store)
    for queue_id in (0, 1, 2, 3, 0):
        engine.offsets.set_pulled("g", "t", queue_id, 5)
    assert [engine.offsets.pulled("g", "t", queue_id) for queue_id in range(4)] == [5, 5, 5, None]
    engine.offsets.remove_topics({"t"})
    engine.offsets.set_pulled("g", "u", 3, 5)
    assert engine.offsets.pulled("g", "u", 3) == 5
