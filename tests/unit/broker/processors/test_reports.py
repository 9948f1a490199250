"""How far groups have come."""

import json

import pytest

from mqguard.model.topic import TopicConfig
from mqguard.remoting.bodies.codec import MessageQueue, decode
from mqguard.remoting.bodies.groups import ConsumeStats, ConsumeStatsList, TimeSpans
from mqguard.remoting.codes import ResponseCode
from tests.unit.broker.conftest import House
from tests.unit.broker.processors.test_clients import beat

Q0 = MessageQueue("t", "broker-a", 0)


@pytest.fixture
def house():
    house = House()
    for name in ("t", "u"):
        house.engine.topics.put(TopicConfig(name, 2, 2, order=name == "u"))
    house.engine.groups.with_retry_topic("g")
    for n in range(3):
        send(house, "t", b"%d" % n)
    send(house, "u", b"x")
    house.engine.offsets.set("g", "t", 0, 2)
    house.engine.offsets.set("g", "u", 0, 1)
    house.engine.group_commit.commit()
    return house


def send(house, topic, body, tag="A"):
    ext = {"a": "p", "b": topic, "c": "TBW102", "d": 4, "e": 0, "f": 0, "g": 1, "h": 0, "i": f"TAGS\x01{tag}\x02"}
    house.clock.now += 1000
    assert house.call(310, ext, body).code == 0


def stats(house, user="root", **ext):
    answer = house.call(208, {"consumerGroup": "g", **ext}, user=user)
    assert answer.code == 0, answer.remark
    return decode(answer.body, ConsumeStats).offset_table


def test_the_progress_of_a_group_is_returned(house):
    table = stats(house, topic="t")
    assert set(table) == {Q0, MessageQueue("t", "broker-a", 1)}
    progress = table[Q0]
    assert (progress.broker_offset, progress.consumer_offset, progress.pull_offset) == (3, 2, 2)
    assert progress.last_timestamp == house.clock.now - 2000


def test_a_report_without_a_topic_has_all_topics(house):
    assert {queue.topic for queue in stats(house)} == {"t", "u"}
    assert {queue.topic for queue in stats(house, topicList="t;u;nowhere")} == {"t", "u"}


def test_a_report_has_only_topics_that_the_sender_may_see(house):
    house.user("alice", ("Group:g", "Get"), ("Topic:t", "Get"))
    assert {queue.topic for queue in stats(house, user="alice")} == {"t"}
    assert house.call(208, {"consumerGroup": "g", "topic": "u"}, user="alice").code == ResponseCode.NO_PERMISSION
    assert house.call(208, {"consumerGroup": "g", "topicList": "t;u"}, user="alice").code == ResponseCode.NO_PERMISSION


def test_a_group_without_topics_has_an_empty_report(house):
    house.user("alice", ("Group:empty", "Get"))
    answer = house.call(208, {"consumerGroup": "empty"}, user="alice")
    assert (answer.code, decode(answer.body, ConsumeStats).offset_table) == (0, {})


def test_a_connected_group_has_only_its_subscribed_topics(house):
    house.call(34, body=beat(topics=["t"]))
    assert {queue.topic for queue in stats(house)} == {"t"}


def test_the_times_of_offsets_are_returned(house):
    answer = house.call(303, {"group": "g", "topic": "t"})
    span = decode(answer.body, TimeSpans).consume_time_span_set[0]
    now = house.clock.now
    assert (span.min_time_stamp, span.max_time_stamp) == (now - 3000, now - 1000)
    assert (span.consume_time_stamp, span.delay_time) == (now - 2000, 1000)


def test_the_progress_of_all_groups_is_returned(house):
    everything = decode(house.call(317, {"isOrder": "false"}).body, ConsumeStatsList)
    (listed,) = everything.consume_stats_list
    assert list(listed) == ["g"]
    assert len(listed["g"]) == 2
    assert everything.total_diff == 1
    assert everything.broker_addr == "127.0.0.1:10911"
    ordered = decode(house.call(317, {"isOrder": "true"}).body, ConsumeStatsList)
    assert [len(group["g"]) for group in ordered.consume_stats_list] == [1]


def test_the_entries_of_a_queue_are_returned(house):
    send(house, "t", b"other", tag="B")
    house.call(34, body=beat(expression="B"))
    ext = {"topic": "t", "queueId": 0, "index": 2, "count": 10, "consumerGroup": "g"}
    view = json.loads(house.call(321, ext).body)
    assert [entry["eval"] for entry in view["queueData"]] == [False, True]
    assert (view["minQueueIndex"], view["maxQueueIndex"]) == (0, 4)
    assert view["subscriptionData"]["subString"] == "B"
    assert house.call(321, {"topic": "nowhere", "queueId": 0}).code == ResponseCode.TOPIC_NOT_EXIST


def test_topics_and_subscriptions_of_a_group_are_returned(house):
    assert json.loads(house.call(343, {"group": "g"}).body)["topicList"] == ["t", "u"]
    assert house.call(345, {"group": "g", "topic": "t"}).code == ResponseCode.CONSUMER_NOT_ONLINE
    house.call(34, body=beat(topics=["t"]))
    shown = json.loads(house.call(345, {"group": "g", "topic": "t"}).body)
    assert shown["subscriptionData"]["topic"] == "t"
    assert "subscriptionData" not in json.loads(house.call(345, {"group": "g", "topic": "u"}).body)


def test_reports_are_guarded(house):
    house.user("alice", ("Topic:*", "All"), ("Group:mine", "All"))
    for code, ext in [
        (208, {"consumerGroup": "g", "topic": "t"}),
        (303, {"group": "g", "topic": "t"}),
        (317, {"isOrder": "false"}),
        (321, {"topic": "t", "consumerGroup": "g", "queueId": 0, "index": 0, "count": 1}),
        (343, {"group": "g"}),
        (345, {"group": "g", "topic": "t"}),
    ]:
        assert house.call(code, ext, user="alice").code == ResponseCode.NO_PERMISSION, code


def test_topics_that_the_sender_may_not_see_are_left_out(house):
    house.user("alice", ("Group:g", "Get"), ("Topic:u", "Get"))
    house.user("bob", ("Group:g", "Get"))
    assert json.loads(house.call(343, {"group": "g"}, user="alice").body)["topicList"] == ["u"]
    assert json.loads(house.call(343, {"group": "g"}, user="bob").body)["topicList"] == []
    house.call(34, body=beat(topics=["t", "u"]))
    shown = json.loads(house.call(203, {"consumerGroup": "g"}, user="alice").body)
    assert list(shown["subscriptionTable"]) == ["u"]
    assert len(shown["connectionSet"]) == 1
