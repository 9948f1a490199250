"""Topics."""

import pytest

from mqguard.engine.errors import ConfigIllegal, NoSuchTopic
from mqguard.model import names
from mqguard.model.topic import MAX_QUEUES, TopicConfig
from mqguard.store.memory import MemoryMessageStore
from tests.fixtures.clock import ManualClock
from tests.fixtures.engine import make_engine, message, read, send


@pytest.fixture
def engine(store):
    return make_engine(store, cluster="C1", broker="b1")


def test_built_in_topics_exist_at_the_start(engine):
    found = {topic.name: topic for topic in engine.topics.all()}
    assert found["TBW102"] == TopicConfig("TBW102", 8, 8, perm=7)
    assert found["SCHEDULE_TOPIC_XXXX"].read_queues == 18
    assert {
        "SELF_TEST_TOPIC",
        "BenchmarkTest",
        "OFFSET_MOVED_EVENT",
        "RMQ_SYS_TRACE_TOPIC",
        "rmq_sys_TRACE_DATA_DefaultRegion",
        "RMQ_SYS_TRANS_HALF_TOPIC",
        "TRANS_CHECK_MAX_TIME_TOPIC",
        "C1",
        "b1",
        "C1_REPLY_TOPIC",
    } <= found.keys()
    assert list(found) == sorted(found)
    assert make_engine(auto_create_topic=False).topics.get("TBW102").perm == 6


def test_a_start_writes_nothing(engine):
    assert not engine.group_commit.pending
    assert engine.topics.data_version.counter == 0


def test_topics_survive_a_restart_with_their_version():
    store = MemoryMessageStore()
    engine = make_engine(store)
    engine.topics.put(TopicConfig("orders", 4, 2, perm=4, order=True, attributes={"message.type": "FIFO"}))
    engine.topics.put(TopicConfig("other"))
    engine.topics.delete("other")
    engine.group_commit.commit()
    again = make_engine(store, ManualClock(1))
    assert again.topics.get("orders") == engine.topics.get("orders")
    assert again.topics.get("other") is None
    assert again.topics.data_version == engine.topics.data_version
    assert again.topics.data_version.counter == 3


def test_an_unchanged_topic_is_not_written_again(engine):
    engine.topics.put(TopicConfig("orders"))
    engine.group_commit.commit()
    version = engine.topics.data_version
    engine.topics.put(TopicConfig("orders"))
    assert not engine.group_commit.pending
    assert engine.topics.data_version == version


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (TopicConfig("a b"), "characters other than"),
        (TopicConfig(""), "blank"),
        (TopicConfig("orders", 0, 0), "at least one queue"),
        (TopicConfig("orders", -1, 4), "readQueueNums"),
        (TopicConfig("orders", 4, MAX_QUEUES + 1), "writeQueueNums"),
        (TopicConfig("orders", perm=16), "unknown bits"),
        (TopicConfig("orders", perm=-1), "unknown bits"),
        (TopicConfig("TBW102"), "conflict with system topic"),
        (TopicConfig("C1"), "conflict with system topic"),
        (TopicConfig("rmq_sys_wheel_timer"), "conflict with system topic"),
    ],
)
def test_illegal_topics_are_refused(engine, config, words):
    with pytest.raises(ConfigIllegal, match=words):
        engine.topics.put(config)
    assert not engine.group_commit.pending


@pytest.mark.parametrize("topic", ["TBW102", "SCHEDULE_TOPIC_XXXX", "b1", "RMQ_SYS_TRACE_TOPIC", "rmq_sys_x"])
def test_system_topics_cannot_be_deleted(engine, topic):
    with pytest.raises(ConfigIllegal, match="system topic"):
        engine.topics.delete(topic)


def test_a_topic_that_is_created_again_has_no_messages_and_offsets(engine, store):
    for n in range(10):
        send(engine, b"%d" % n, queue_id=n % 2)
    engine.offsets.set("g", "orders", 0, 5)
    send(engine, topic="kept")
    engine.group_commit.commit()

    assert engine.topics.delete("orders")
    assert not engine.topics.delete("orders")
    engine.group_commit.commit()
    with pytest.raises(NoSuchTopic):
        read(engine)
    assert engine.offsets.get("g", "orders", 0) is None

    send(engine, b"new")
    assert [one.body for one in read(engine)] == [b"new"]
    assert (engine.min_offset("orders", 0), engine.max_offset("orders", 0)) == (0, 1)
    assert engine.max_offset("orders", 1) == 0
    for _ in range(5):
        engine.tick()
        engine.group_commit.commit()
    assert [one.body for one in read(engine)] == [b"new"]
    assert len(read(engine, "kept")) == 1
    assert record_count(store) == 2, "the records of the deleted topic are removed"


def record_count(store):
    """Return the number of all records in a store."""
    count, offset = 0, 0
    while (found := store.next_record(offset)) is not None:
        count, offset = count + 1, found[0] + 1
    return count


def test_messages_of_a_removed_queue_are_deleted_with_its_topic(engine, store):
    engine.topics.put(TopicConfig("orders", 4, 4))
    send(engine, queue_id=3)
    engine.topics.put(TopicConfig("orders", 1, 1))
    engine.topics.delete("orders")
    engine.group_commit.commit()
    assert [queue for queue in store.queues() if queue.topic == "orders"] == []


def test_listeners_are_called_once_changes_are_stored():
    store = MemoryMessageStore()
    engine = make_engine(store)
    heard = []
    engine.topics.on_change(heard.append)
    engine.topics.put(TopicConfig("orders"))
    assert heard == []
    engine.group_commit.commit()
    assert heard == ["orders"]
    engine.topics.delete("orders")
    engine.group_commit.commit()
    assert heard == ["orders", "orders"]


def test_a_failed_commit_reverts_changes_of_topics():
    store = MemoryMessageStore()
    engine = make_engine(store)
    heard = []
    engine.topics.on_change(heard.append)
    engine.topics.put(TopicConfig("orders", 4, 4))
    engine.group_commit.commit()
    version = engine.topics.data_version

    store.room = 10
    engine.topics.put(TopicConfig("orders", 8, 8))
    engine.send(message(topic="new"))
    engine.topics.put(TopicConfig("orders", 9, 9))
    engine.topics.delete("orders")
    assert not engine.group_commit.commit()
    assert engine.topics.get("orders") == TopicConfig("orders", 4, 4)
    assert engine.topics.get("new") is None
    assert engine.topics.data_version == version
    assert heard == ["orders"]
    assert make_engine(store).topics.data_version == version


def test_deleting_a_topic_with_many_retry_topics_looks_at_each_queue_once():
    class Counting(MemoryMessageStore):
        looked_up = 0

        def queue(self, topic, queue_id):
            self.looked_up += 1
            return super().queue(topic, queue_id)

    store = Counting()
    engine = make_engine(store)
    engine.topics.put(TopicConfig("orders", 4, 4))
    retries = [names.pop_retry_topic(f"g{number}", "orders") for number in range(50)]
    other = names.pop_retry_topic("g0", "other")
    for name in (*retries, other):
        engine.topics.ensure(name)
    send(engine, topic="orders", queue_id=3)
    store.looked_up = 0
    assert engine.topics.delete("orders")
    assert store.looked_up < MAX_QUEUES
    assert engine.group_commit.commit()
    assert all(engine.topics.get(name) is None for name in ("orders", *retries))
    assert engine.topics.get(other) is not None
    assert not [queue for queue in store.queues() if queue.topic == "orders"]
