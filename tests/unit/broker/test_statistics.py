"""Statistics of topics and groups: counting, limits, and what is dropped."""

from typing import NamedTuple

import pytest

from mqguard.broker import statistics
from mqguard.broker.statistics import IDLE_MS, Statistics
from mqguard.model.topic import TopicConfig
from mqguard.store.errors import StoreFailed
from mqguard.store.queues import Queue
from tests.fixtures.clock import START_MS
from tests.fixtures.engine import make_engine, send

SEND = {"a": "p", "b": "t", "c": "TBW102", "d": 4, "e": 0, "f": 0, "g": 1, "h": 0}
PULL = {
    "consumerGroup": "g", "topic": "t", "queueId": 0, "queueOffset": 0, "maxMsgNums": 32, "sysFlag": 4,
    "commitOffset": 0, "suspendTimeoutMillis": 0, "subscription": "*", "subVersion": 0,
}  # fmt: skip


class GroupUser(NamedTuple):
    """A requester with a name."""

    owner: str


def make(*topics, creators=()):
    engine = make_engine()
    for name in topics:
        engine.topics.put(TopicConfig(name, 4, 4), dict(creators).get(name))
    engine.group_commit.commit()
    return engine, Statistics(engine, "C", START_MS)


def minute(found, name, key):
    view = found.view(name, key)
    return None if view is None else view.minute


def test_deliveries_are_counted_by_topic_and_group(house_with_topic):
    house = house_with_topic
    for _ in range(5):
        house.call(310, SEND, b"x")
    answer = house.call(11, PULL)
    house.call(11, {**PULL, "consumerGroup": "other"})
    house.call(11, {**PULL, "queueOffset": 5})
    house.tick(10_000)
    found = house.broker.statistics
    assert minute(found, "GROUP_GET_NUMS", "t@g") == (5, 0.5, 5.0)
    assert minute(found, "GROUP_GET_SIZE", "t@g") == (len(answer.body), len(answer.body) / 10, len(answer.body))
    assert minute(found, "QUEUE_GET_NUMS", "t@0@g").sum == 5
    assert minute(found, "GROUP_GET_LATENCY", "0@t@g") is not None
    assert minute(found, "GROUP_GET_NUMS", "t@third") is None
    assert minute(found, "BROKER_GET_NUMS", "DefaultCluster").sum == 10
    assert minute(found, "BROKER_GET_NUMS_WITHOUT_SYSTEM_TOPIC", "DefaultCluster").sum == 10
    assert (found.throughput.found, found.throughput.missed) == (2, 1)
    assert found.consume_tps("g", "t") == pytest.approx(0.5)
    assert b'"consumeTps":0.5' in house.call(208, {"consumerGroup": "g", "topic": "t"}).body
    assert b'"topicPutTps":0.5' in house.call(202, {"topic": "t"}).body
    house.call(15, {"consumerGroup": "g", "topic": "t", "queueId": 0, "commitOffset": 5})
    assert b'"consumeTps":0.5' in house.call(317, {"isOrder": "false"}).body


def test_a_message_that_is_sent_back_is_counted_for_its_first_topic(house_with_topic):
    house = house_with_topic
    house.call(310, SEND, b"x")
    house.call(11, PULL)
    back = {"group": "g", "offset": 0, "delayLevel": 0}
    assert house.call(36, back).code == 0
    assert house.call(36, {**back, "delayLevel": -1}).code == 0
    house.tick(10_000)
    found = house.broker.statistics
    assert minute(found, "SNDBCK_PUT_NUMS", "t@g").sum == 2
    assert minute(found, "SNDBCK2DLQ_TIMES", "null@t@g@SEND_BACK_TO_DLQ").sum == 1
    assert minute(found, "TOPIC_PUT_NUMS", "SCHEDULE_TOPIC_XXXX").sum == 1
    assert minute(found, "TOPIC_PUT_NUMS", "%DLQ%g").sum == 1


def test_messages_of_a_failed_commit_are_not_counted(house_with_topic, monkeypatch):
    house = house_with_topic
    house.call(310, SEND, b"x")

    def fail(*, sync):
        raise StoreFailed("full")

    with monkeypatch.context() as patch:
        patch.setattr(house.store, "commit", fail)
        assert house.call(310, SEND, b"x").code != 0
    house.tick(10_000)
    found = house.broker.statistics
    assert minute(found, "TOPIC_PUT_NUMS", "t").sum == 1
    assert found.throughput.put == 1


def test_messages_from_before_the_start_are_not_counted():
    engine, _ = make("t")
    send(engine, topic="t")
    found = Statistics(engine, "C", START_MS)
    # The store counts from its own start, so it is opened again here.
    for queue in engine.queues():
        queue.opened_at = queue.max_offset
    found.tick(START_MS)
    assert found.view("TOPIC_PUT_NUMS", "t") is None
    send(engine, topic="t")
    found.tick(START_MS + 10_000)
    assert minute(found, "TOPIC_PUT_NUMS", "t").sum == 1


def test_a_deleted_topic_or_group_has_no_statistics(house_with_topic):
    house = house_with_topic
    house.call(310, SEND, b"x")
    house.call(11, PULL)
    house.call(11, {**PULL, "consumerGroup": "other"})
    house.tick(10_000)
    found = house.broker.statistics
    assert house.call(207, {"groupName": "g", "cleanOffset": "true"}).code == 0
    assert found.view("GROUP_GET_NUMS", "t@g") is None
    assert found.view("GROUP_GET_NUMS", "t@other") is not None
    assert house.call(215, {"topic": "t"}).code == 0
    house.tick(10_000)
    assert found.view("GROUP_GET_NUMS", "t@other") is None
    assert found.view("TOPIC_PUT_NUMS", "t") is None
    assert found.series_count == 0
    # A new topic of the same name begins at zero.
    house.engine.topics.put(TopicConfig("t", 4, 4))
    house.call(310, SEND, b"x")
    house.tick(10_000)
    assert minute(found, "TOPIC_PUT_NUMS", "t").sum == 1


def test_idle_statistics_are_dropped_and_counted_anew():
    engine, found = make("t")
    send(engine, topic="t")
    found.tick(START_MS)
    assert found.series_count == 1
    found.tick(START_MS + IDLE_MS)
    assert found.series_count == 1
    found.tick(START_MS + IDLE_MS + 10_000)
    assert found.series_count == 0
    send(engine, topic="t")
    send(engine, topic="t")
    found.tick(START_MS + IDLE_MS + 20_000)
    assert minute(found, "TOPIC_PUT_NUMS", "t").sum == 2


def test_a_user_with_many_groups_leaves_room_for_others(monkeypatch):
    monkeypatch.setattr(statistics, "MAX_SERIES", 10)
    engine, found = make("t", "orders", creators=[("orders", "bob")])
    for number in range(100):
        found.delivered("t", 0, f"g{number}", GroupUser("mallory"), 1, 1, 0.0)
    assert found.series_count == 10
    send(engine, topic="orders")
    found.delivered("orders", 0, "consumers", GroupUser("carol"), 1, 1, 0.0)
    found.tick(START_MS + 10_000)
    assert found.series_count == 10
    assert minute(found, "GROUP_GET_NUMS", "orders@consumers").sum == 1
    assert minute(found, "TOPIC_PUT_NUMS", "orders").sum == 1
    # The totals count all of them.
    assert found.throughput.got == 101


def test_windows_of_queues_are_limited_and_the_sums_of_topics_are_not(monkeypatch):
    monkeypatch.setattr(statistics, "MAX_QUEUE_SERIES", 16)
    engine, found = make("t")
    for queue_id in range(4):
        send(engine, topic="t", queue_id=queue_id)
    found.tick(START_MS + 10_000)
    assert minute(found, "TOPIC_PUT_NUMS", "t").sum == 4
    shown = [found.view("QUEUE_PUT_NUMS", f"t@{queue_id}") is not None for queue_id in range(4)]
    assert shown.count(True) == 2


def test_one_tick_samples_a_bounded_number_of_queues(monkeypatch):
    monkeypatch.setattr(statistics, "MAX_WORK", 3)
    engine, found = make("t", "u")
    for topic in ("t", "u"):
        for queue_id in range(4):
            send(engine, topic=topic, queue_id=queue_id)
    now, ticks = START_MS, 0
    while found.view("TOPIC_PUT_NUMS", "u") is None or not minute(found, "TOPIC_PUT_NUMS", "u").sum:
        found.tick(now := now + 50)
        ticks += 1
        assert ticks < 50
    assert ticks > 1


def test_slow_commits_are_latencies_of_their_queues(house_with_topic):
    house = house_with_topic
    house.call(310, SEND, b"x")
    house.tick(10_000)
    found = house.broker.statistics
    queue = next(queue for queue in house.engine.queues() if queue.topic == "t")
    found.committed([(queue, 2, 0)] * 3, 0.0125)
    house.tick(10_000)
    assert minute(found, "TOPIC_PUT_LATENCY", "0@t").sum == 36
    assert found.put_times.longest_ms == 12


def test_connections_and_heartbeats_are_counted(house_with_topic):
    house = house_with_topic
    wire = house.connect()
    beat = b'{"clientID":"c","consumerDataSet":[{"groupName":"g","consumeType":"CONSUME_PASSIVELY","messageModel":'
    beat += b'"CLUSTERING","consumeFromWhere":"CONSUME_FROM_FIRST_OFFSET","subscriptionDataSet":[]}],'
    beat += b'"producerDataSet":[{"groupName":"p"},{"groupName":"q"}]}'
    assert house.call(34, {}, beat, wire=wire).code == 0
    house.disconnect(wire)
    house.tick(10_000)
    found = house.broker.statistics
    assert minute(found, "CHANNEL_ACTIVITY", "CONNECT").sum >= 1
    assert minute(found, "CHANNEL_ACTIVITY", "CLOSE").sum == 1
    assert minute(found, "CHANNEL_ACTIVITY", "IDLE") is None
    assert minute(found, "CONSUMER_REGISTER_TIME", "DefaultCluster").sum >= 0
    assert minute(found, "PRODUCER_REGISTER_TIME", "DefaultCluster") is not None
    assert minute(found, "PRODUCER_REGISTER_TIME", "OtherCluster") is None


def test_queues_of_groups_beyond_the_limit_are_counted_together(monkeypatch):
    monkeypatch.setattr(statistics, "MAX_PARTS", 16)
    _, found = make("t")
    for group in ("g", "h"):
        for queue_id in range(4):
            found.delivered("t", queue_id, group, GroupUser("alice"), 10, 100, 0.0)
    found.delivered("t", 0, "other", GroupUser("bob"), 1, 1, 0.0)
    found.tick(START_MS + 10_000)
    assert minute(found, "GROUP_GET_NUMS", "t@g") == (40, 4.0, 10.0)
    assert minute(found, "GROUP_GET_SIZE", "t@h").sum == 400
    assert minute(found, "QUEUE_GET_NUMS", "t@1@g").sum == 10
    assert minute(found, "QUEUE_GET_NUMS", "t@3@h") is None
    assert minute(found, "QUEUE_GET_NUMS", "t@-1@h") is None
    assert minute(found, "QUEUE_GET_NUMS", "t@0@other").sum == 1
    found.group_deleted("g")
    found.delivered("t", 0, "third", GroupUser("alice"), 1, 1, 0.0)
    found.tick(START_MS + 20_000)
    assert minute(found, "QUEUE_GET_NUMS", "t@0@third").sum == 1


def test_counting_goes_on_after_the_store_has_recovered(monkeypatch):
    engine, found = make("t", "u")
    for topic in ("t", "u"):
        send(engine, topic=topic)
    found.tick(START_MS)
    size = minute(found, "TOPIC_PUT_SIZE", "t").sum
    found.drop_topic("u")
    before = {queue.number: queue.max_bytes for queue in engine.queues()}
    for topic in ("t", "u"):
        send(engine, topic=topic)

    def recovered():
        """Return new objects of the queues, which have counted their bytes since the store has recovered."""
        for queue in engine_queues():
            again = Queue(queue.topic, queue.queue_id, queue.number, queue.min_offset, queue.max_offset)
            again.max_bytes = queue.max_bytes - before[queue.number]
            yield again

    engine_queues = engine.queues
    monkeypatch.setattr(engine, "queues", lambda: list(recovered()))
    found.tick(START_MS + 10_000)
    assert minute(found, "TOPIC_PUT_NUMS", "t").sum == 2
    assert minute(found, "TOPIC_PUT_SIZE", "t").sum == 2 * size
    assert minute(found, "TOPIC_PUT_NUMS", "u").sum == 1
    assert minute(found, "TOPIC_PUT_SIZE", "u").sum >= 0
