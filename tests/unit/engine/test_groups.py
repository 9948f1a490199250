"""Consumer groups."""

import pytest

from mqguard.engine.errors import ConfigIllegal, NoSuchGroup
from mqguard.model.topic import SubscriptionGroupConfig, TopicConfig
from mqguard.store.memory import MemoryMessageStore
from tests.fixtures.engine import make_engine, message


def test_the_groups_of_the_tools_always_exist(engine):
    assert engine.groups.get("TOOLS_CONSUMER") == SubscriptionGroupConfig("TOOLS_CONSUMER")
    assert not engine.group_commit.pending


def test_a_consumer_creates_its_group_and_retry_topic(engine):
    assert engine.groups.get("g") is None
    assert engine.groups.with_retry_topic("g") == SubscriptionGroupConfig("g")
    assert engine.groups.get("g") == SubscriptionGroupConfig("g")
    assert engine.topics.get("%RETRY%g") == TopicConfig("%RETRY%g", 1, 1)
    engine.group_commit.commit()
    engine.groups.with_retry_topic("g")
    assert not engine.group_commit.pending


def test_a_group_without_retry_queues_gets_no_retry_topic(engine):
    engine.groups.put(SubscriptionGroupConfig("g", retry_queues=0))
    engine.groups.with_retry_topic("g")
    assert engine.topics.get("%RETRY%g") is None


def test_a_missing_group_is_an_error_if_consuming_creates_none():
    engine = make_engine(auto_create_group=False)
    with pytest.raises(NoSuchGroup, match=r"\[g\] does not exist"):
        engine.groups.find("g")
    engine.groups.put(SubscriptionGroupConfig("g"))
    assert engine.groups.find("g").name == "g"


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (SubscriptionGroupConfig("a b"), "characters other than"),
        (SubscriptionGroupConfig(""), "blank"),
        (SubscriptionGroupConfig("g" * 121), "longer than 120"),
        (SubscriptionGroupConfig("g", retry_queues=-1), "retryQueueNums"),
        (SubscriptionGroupConfig("g", retry_queues=129), "retryQueueNums"),
        (SubscriptionGroupConfig("g", retry_max_times=-2), "retryMaxTimes"),
        (SubscriptionGroupConfig("g", consume_timeout_minutes=0), "consumeTimeoutMinute"),
    ],
)
def test_illegal_groups_are_refused(engine, config, words):
    with pytest.raises(ConfigIllegal, match=words):
        engine.groups.put(config)
    assert not engine.group_commit.pending


def test_groups_survive_a_restart():
    store = MemoryMessageStore()
    engine = make_engine(store)
    config = SubscriptionGroupConfig("g", retry_max_times=3, retry_policy={"type": "CUSTOMIZED", "n": [1, 2]})
    engine.groups.put(config)
    engine.groups.put(SubscriptionGroupConfig("gone"))
    assert engine.groups.delete("gone")
    engine.group_commit.commit()
    again = make_engine(store)
    assert again.groups.get("g") == config
    assert again.groups.get("gone") is None
    assert again.groups.data_version.counter == 3


def test_deleting_a_group_keeps_or_cleans_its_offsets(engine):
    for group in ("g", "h"):
        engine.groups.put(SubscriptionGroupConfig(group))
        engine.offsets.set(group, "orders", 0, 5)
    assert engine.groups.delete("g")
    assert engine.offsets.get("g", "orders", 0) == 5
    assert engine.groups.delete("h", clean_offsets=True)
    assert engine.offsets.get("h", "orders", 0) is None
    assert not engine.groups.delete("h", clean_offsets=True)


def test_a_failed_commit_reverts_a_new_group():
    store = MemoryMessageStore(room=10)
    engine = make_engine(store)
    engine.groups.with_retry_topic("g")
    engine.send(message(topic="%RETRY%g"))
    assert not engine.group_commit.commit()
    assert engine.groups.get("g") is None
    assert engine.topics.get("%RETRY%g") is None
