"""Batches that are stored in slices, with changes between the slices."""

import math

import pytest

from mqguard.engine.errors import NoSuchQueue, NoSuchTopic, NotWritable, StoreDown, StoreFull
from mqguard.model.record import BatchMessage, encode_batch
from mqguard.model.topic import PERM_READ, TopicConfig
from mqguard.store.ports import Space
from tests.fixtures.engine import begin_batch, make_engine, read


@pytest.fixture
def engine(store, clock):
    made = make_engine(store, clock)
    made.topics.put(TopicConfig("orders", 4, 4))
    made.group_commit.commit()
    return made


@pytest.fixture
def begun(engine):
    """Return a batch of five messages of which two are committed."""
    found = begin_batch(engine, encode_batch([BatchMessage(b"%d" % n) for n in range(5)]), queue_id=3)
    while found.staged < 2:
        assert found.advance(-math.inf) is None
        assert engine.group_commit.commit()
    return found


def test_a_commit_that_fails_ends_the_batch(engine, store, begun):
    store.room = 10
    assert begun.advance(-math.inf) is None
    assert not engine.group_commit.commit()
    store.room = 1 << 30
    assert store.recover()
    with pytest.raises(StoreDown, match="could not write a part of the batch"):
        begun.advance(math.inf)
    engine.group_commit.commit()
    assert [one.body for one in read(engine, queue_id=3)] == [b"0", b"1"]


def fill_disk(engine, store):
    store.space = lambda: Space(100, 1, 99)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda engine, store: engine.topics.delete("orders"), NoSuchTopic),
        (lambda engine, store: engine.topics.put(TopicConfig("orders", 4, 4, PERM_READ)), NotWritable),
        (lambda engine, store: engine.topics.put(TopicConfig("orders", 3, 3)), NoSuchQueue),
        (fill_disk, StoreFull),
    ],
)
def test_a_change_that_forbids_sends_ends_the_batch(engine, store, clock, begun, change, error):
    change(engine, store)
    clock.now += 1_000
    engine.tick()
    engine.group_commit.commit()
    with pytest.raises(error):
        begun.advance(math.inf)
    assert begun.staged == 2


def test_a_batch_without_a_queue_goes_to_one(engine):
    sending = begin_batch(engine, encode_batch([BatchMessage(b"x")] * 8), queue_id=-1)
    while (sent := sending.advance(-math.inf)) is None:
        engine.group_commit.commit()
    engine.group_commit.commit()
    assert len(read(engine, queue_id=sent.queue_id)) == 8
