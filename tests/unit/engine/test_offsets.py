"""Committed offsets."""

import pytest

from mqguard.engine.errors import ConfigIllegal
from mqguard.store.memory import MemoryMessageStore
from tests.fixtures.engine import make_engine, message


@pytest.fixture
def store():
    return MemoryMessageStore()


@pytest.fixture
def engine(store):
    return make_engine(store)


def test_offsets_are_kept_per_group_topic_and_queue(engine, store):
    assert engine.offsets.get("g", "t", 0) is None
    engine.offsets.set("g", "t", 0, 5)
    engine.offsets.set("g", "t", 1, 6)
    engine.offsets.set("g", "u", 0, 7)
    engine.offsets.set("h", "t", 0, 8)
    engine.offsets.set("g", "t", 0, 3)
    engine.turn.commit()
    for offsets in (engine.offsets, make_engine(store).offsets):
        assert offsets.get("g", "t", 0) == 3
        assert offsets.of("g", "t") == {0: 3, 1: 6}
        assert offsets.of("g", "nothing") == {}
        assert offsets.topics_of("g") == ["t", "u"]
        assert offsets.groups_of("t") == ["g", "h"]
        assert offsets.everything() == {("g", "t"): {0: 3, 1: 6}, ("g", "u"): {0: 7}, ("h", "t"): {0: 8}}


def test_committing_the_same_offset_again_writes_nothing(engine):
    engine.offsets.set("g", "t", 0, 5)
    engine.turn.commit()
    engine.offsets.set("g", "t", 0, 5)
    assert not engine.turn.pending


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
def test_what_could_not_be_read_again_is_refused(engine, group, topic, queue_id, offset):
    with pytest.raises(ConfigIllegal):
        engine.offsets.set(group, topic, queue_id, offset)
    assert not engine.turn.pending


def test_removing(engine, store):
    for group in ("g", "h"):
        for topic in ("t", "u"):
            engine.offsets.set(group, topic, 0, 1)
            engine.offsets.set_pulled(group, topic, 0, 9)
    engine.turn.commit()
    engine.offsets.remove_group("g")
    engine.offsets.remove_topic("u")
    engine.turn.commit()
    assert make_engine(store).offsets.everything() == engine.offsets.everything() == {("h", "t"): {0: 1}}
    assert engine.offsets.pulled("g", "t", 0) is None
    assert engine.offsets.pulled("h", "u", 0) is None
    assert engine.offsets.pulled("h", "t", 0) == 9


def test_a_failed_commit_takes_everything_back(engine, store):
    engine.offsets.set("g", "t", 0, 5)
    engine.offsets.set("g", "u", 0, 5)
    engine.turn.commit()
    before = engine.offsets.everything()
    store.room = 10
    engine.send(message(may_create=True))
    engine.offsets.set("g", "t", 0, 6)
    engine.offsets.set("g", "t", 0, 7)
    engine.offsets.set("g", "t", 1, 1)
    engine.offsets.set("new", "t", 0, 1)
    engine.offsets.remove_topic("t")
    engine.offsets.set("g", "t", 0, 8)
    engine.offsets.remove_group("g")
    assert not engine.turn.commit()
    assert engine.offsets.everything() == before


def test_what_was_pulled_is_not_what_was_consumed(engine, store):
    assert engine.offsets.pulled("g", "t", 0) is None
    engine.offsets.set_pulled("g", "t", 0, 9)
    assert engine.offsets.pulled("g", "t", 0) == 9
    assert engine.offsets.pulled("g", "t", 1) is None
    assert engine.offsets.get("g", "t", 0) is None
    assert not engine.turn.pending


def test_what_can_not_be_committed_leaves_nothing(engine):
    for offset, queue_id in ((-1, 0), (1 << 63, 0), (5, -1)):
        with pytest.raises(ConfigIllegal):
            engine.offsets.set("g", "orders", queue_id, offset)
    assert engine.offsets.topics_of("g") == []
    assert engine.offsets.everything() == {}
