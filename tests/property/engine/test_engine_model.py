"""The engine compared with a simple model of it, with failed commits and restarts."""

import shutil
import tempfile
from pathlib import Path
from typing import ClassVar
from unittest import mock

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mqguard.engine.errors import EngineError
from mqguard.model import record
from mqguard.store import rocksdb
from mqguard.store.database import Database
from mqguard.store.errors import StoreFailed
from mqguard.store.memory import MemoryMessageStore
from mqguard.store.rocksdb import RocksMessageStore
from tests.fixtures.clock import ManualClock
from tests.fixtures.engine import make_engine, message

TOPICS = ("orders", "other", "%RETRY%g")
QUEUES = 2
topics = st.sampled_from(TOPICS)
queue_ids = st.integers(0, QUEUES - 1)


class FailingDatabase(Database):
    """A database of which a test makes all writes fail until it is closed.

    Attributes:
        written: None while writes work. While they fail, True if a write reaches the log in spite of the failure.
    """

    written: ClassVar[bool | None] = None

    def write(self, batch, *, sync):
        if FailingDatabase.written is None:
            super().write(batch, sync=sync)
            return
        self.lost = batch
        raise StoreFailed("pulled out")

    def close(self):
        if FailingDatabase.written:
            # A write that reached the log returns when the database is opened again.
            super().write(self.lost, sync=True)
        FailingDatabase.written = None
        super().close()


class EngineMachine(RuleBasedStateMachine):
    """Stage, commit, fail, delete, restart: the engine always returns the same as the model."""

    kind = "memory"

    def __init__(self):
        super().__init__()
        self.clock = ManualClock()
        self.directory = Path(tempfile.mkdtemp())
        self.store = self.open()
        self.engine = make_engine(self.store, self.clock)
        self.committed = {}
        self.staged = {}
        self.offsets = {}
        self.staged_offsets = {}
        self.made = 0

    def open(self):
        return MemoryMessageStore() if self.kind == "memory" else RocksMessageStore(self.directory / "messages")

    def teardown(self):
        self.store.close()
        shutil.rmtree(self.directory)

    @initialize()
    def group(self):
        self.engine.groups.with_retry_topic("g")
        self.engine.group_commit.commit()
        self.committed = {"%RETRY%g": {}}
        self.settle_back()

    def settle_back(self):
        self.staged = {
            topic: {queue: list(kept) for queue, kept in queues.items()} for topic, queues in self.committed.items()
        }
        self.staged_offsets = dict(self.offsets)

    @rule(topic=topics, queue_id=queue_ids, size=st.integers(0, 2000), count=st.integers(1, 6))
    def send(self, topic, queue_id, size, count):
        queue_id = 0 if topic == "%RETRY%g" else queue_id
        for _ in range(count):
            body = b"%d" % self.made + b"x" * size
            self.made += 1
            if topic == "%RETRY%g" and topic not in self.staged:
                self.staged[topic] = {}
            sent = self.engine.send(message(body, topic, queue_id=queue_id, default_queues=QUEUES))
            queue = self.staged.setdefault(topic, {}).setdefault(queue_id, [])
            assert sent.queue_offset == len(queue)
            queue.append(body)

    @rule(topic=topics, queue_id=queue_ids, offset=st.integers(0, 50))
    def set_offset(self, topic, queue_id, offset):
        self.engine.offsets.set("g", topic, queue_id, offset)
        self.staged_offsets[topic, queue_id] = offset

    @rule(topic=topics)
    def delete_topic(self, topic):
        assert self.engine.topics.delete(topic) == (topic in self.staged)
        if self.staged.pop(topic, None) is not None:
            self.staged_offsets = {place: offset for place, offset in self.staged_offsets.items() if place[0] != topic}

    @rule()
    def commit(self):
        assert self.engine.group_commit.commit()
        self.committed = self.staged
        self.offsets = self.staged_offsets
        self.settle_back()

    @rule(written=st.booleans())
    @precondition(lambda self: self.engine.group_commit.pending)
    def commit_fails(self, written):
        """Fail a commit; with `written` the write has reached the log in spite of the failure."""
        self.fail(written=written)
        self.settle_back()
        with pytest.raises(EngineError):
            self.engine.send(message(topic="orders"))
        self.check_all()
        self.clock.now += 1000
        self.engine.tick()
        assert self.store.failure is None
        assert self.engine.group_commit.commit()

    def fail(self, *, written):
        if self.kind == "memory":
            self.store.failure = "pulled out"
            assert not self.engine.group_commit.commit()
            return
        FailingDatabase.written = written
        assert not self.engine.group_commit.commit()

    @rule()
    def tick(self):
        self.engine.tick()

    @rule()
    @precondition(lambda self: self.kind != "memory")
    def restart(self):
        self.store.close()
        self.store = self.open()
        self.engine = make_engine(self.store, self.clock)
        self.settle_back()

    @rule(topic=topics, queue_id=queue_ids, offset=st.integers(0, 30), limit=st.integers(1, 40))
    def fetch(self, topic, queue_id, offset, limit):
        if topic not in self.staged or (topic == "%RETRY%g" and queue_id):
            return
        found = self.engine.fetch(topic, queue_id, offset, limit, 0)
        kept = [] if self.replaced(topic) else self.committed.get(topic, {}).get(queue_id, [])
        bodies = [record.decode(data).body for data in found.records]
        assert bodies == kept[offset : offset + min(limit, 32)]
        if bodies:
            assert found.next_offset == offset + len(bodies)

    def replaced(self, topic):
        """Return True if the next commit deletes the topic and creates it again."""
        for queue_id, kept in self.committed.get(topic, {}).items():
            if self.staged[topic].get(queue_id, [])[: len(kept)] != kept:
                return True
        return False

    @invariant()
    def offsets_are_those_of_the_model(self):
        for topic in TOPICS:
            for queue_id in range(QUEUES):
                assert self.engine.offsets.get("g", topic, queue_id) == self.staged_offsets.get((topic, queue_id))

    def check_all(self):
        assert {topic for topic in TOPICS if self.engine.topics.get(topic)} == self.committed.keys()
        for topic, queues in self.committed.items():
            for queue_id, kept in queues.items():
                bodies = []
                while len(bodies) < len(kept):
                    found = self.engine.fetch(topic, queue_id, len(bodies), 32, 0)
                    assert found.records
                    bodies += [record.decode(data).body for data in found.records]
                assert bodies == kept
                assert self.engine.max_offset(topic, queue_id) == len(kept)


class RocksMachine(EngineMachine):
    kind = "rocksdb"

    def __init__(self):
        self.patch = mock.patch.object(rocksdb, "Database", FailingDatabase)
        self.patch.start()
        super().__init__()

    def teardown(self):
        super().teardown()
        self.patch.stop()


TestMemory = EngineMachine.TestCase
TestMemory.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
TestRocks = RocksMachine.TestCase
TestRocks.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
