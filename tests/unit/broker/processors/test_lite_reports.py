"""Reports about lite topics: their numbers, and what they leave out."""

import json

import pytest

from mqguard.model.topic import SubscriptionGroupConfig, TopicConfig
from mqguard.remoting.codes import ResponseCode
from tests.unit.broker.processors.test_lite import change, group, house, pop, send, subscribe

__all__ = ["house"]

BROKER, PARENT, TOPIC, CLIENT, GROUP, DISPATCH = range(200074, 200080)


def report(house, code, user="root", **ext):
    answer = house.call(code, ext, user=user)
    assert answer.code == 0, answer.remark
    return json.loads(answer.body) if answer.body else None


@pytest.fixture
def busy(house):
    group(house, "other")
    for number, lite in enumerate("aab"):
        house.clock.now += 1000
        send(house, lite, b"%d" % number)
    subscribe(house, "a", "b", "c")
    subscribe(house, "a", client="d", name="other")
    pop(house, maxMsgNum=1)
    return house


def test_the_broker_reports_its_numbers(busy):
    found = report(busy, BROKER)
    assert (found["currentLmqNum"], found["maxLmqNum"], found["liteSubscriptionCount"]) == (2, 20_000, 6)
    assert found["topicMeta"] == {"p": -1}
    assert found["groupMeta"] == {"p": ["g", "other"]}


def test_a_parent_reports_its_groups_and_lite_topics(busy):
    found = report(busy, PARENT, topic="p")
    assert found == {"topic": "p", "ttl": -1, "groups": ["g", "other"], "lmqNum": 2, "liteTopicCount": 2}


def test_a_lite_topic_reports_its_offsets_and_subscribers(busy):
    found = report(busy, TOPIC, parentTopic="p", liteTopic="a")
    assert found["subscriber"] == [{"clientId": "c", "group": "g"}, {"clientId": "d", "group": "other"}]
    stored = busy.clock.now_ms() - 1000
    assert found["topicOffset"] == {"minOffset": 0, "maxOffset": 2, "lastUpdateTimestamp": stored}
    assert found["shardingToBroker"] is True
    none = report(busy, TOPIC, parentTopic="p", liteTopic="none")
    assert none["topicOffset"] == {"minOffset": 0, "maxOffset": 0, "lastUpdateTimestamp": 0}


def test_a_client_reports_its_lite_topics(busy):
    found = report(busy, CLIENT, parentTopic="p", group="g", clientId="c", maxCount=2)
    assert found["liteTopicCount"] == 3
    assert len(found["liteTopicSet"]) == 2
    assert set(found["liteTopicSet"]) < {"%LMQ%$p$a", "%LMQ%$p$b", "%LMQ%$p$c"}
    assert found["lastConsumeTime"] == busy.clock.now_ms()
    unknown = report(busy, CLIENT, parentTopic="p", group="g", clientId="x", maxCount=9)
    assert (unknown["liteTopicCount"], unknown["liteTopicSet"]) == (-1, [])


def test_a_group_reports_its_lags(busy):
    pop(busy)
    for number in range(4):
        send(busy, "b", b"%d" % number)
    found = report(busy, GROUP, group="g", topK=1)
    assert found["totalLagCount"] == 7
    assert [(one["liteTopic"], one["lagCount"]) for one in found["lagCountTopK"]] == [("b", 5)]
    assert [one["liteTopic"] for one in found["lagTimestampTopK"]] == ["a"]
    assert found["earliestUnconsumedTimestamp"] == busy.clock.now_ms() - 2000


def test_a_group_reports_its_progress_in_one_lite_topic(busy):
    found = report(busy, GROUP, group="g", liteTopic="a")
    assert found["liteTopicOffsetWrapper"] == {
        "brokerOffset": 2,
        "consumerOffset": 0,
        "pullOffset": 1,
        "lastTimestamp": 0,
    }
    assert found["totalLagCount"] == 2
    assert report(busy, GROUP, group="g", liteTopic="none")["totalLagCount"] == -1


def test_a_dispatch_looks_for_messages(busy):
    assert report(busy, DISPATCH, group="g") is None
    assert report(busy, DISPATCH, group="g", clientId="c") is None
    busy.tick(60)


def test_reports_leave_out_what_the_sender_may_not_get(busy):
    busy.user("alice", ("Cluster:DefaultCluster", "Get"), ("Topic:p", "Get"), ("Group:g", "Get"))
    busy.user("bob", ("Cluster:DefaultCluster", "Get"), ("Group:g", "Get"))
    assert report(busy, BROKER, "alice")["groupMeta"] == {"p": ["g"]}
    assert report(busy, BROKER, "bob")["topicMeta"] == report(busy, BROKER, "bob")["groupMeta"] == {}
    assert report(busy, PARENT, "alice", topic="p")["groups"] == ["g"]
    assert [one["group"] for one in report(busy, TOPIC, "alice", parentTopic="p", liteTopic="a")["subscriber"]] == ["g"]
    assert busy.call(GROUP, {"group": "g"}, user="bob").code == ResponseCode.NO_PERMISSION
    assert busy.call(PARENT, {"topic": "p"}, user="bob").code == ResponseCode.NO_PERMISSION
    fields = {"parentTopic": "p", "group": "other", "clientId": "d", "maxCount": 1}
    assert busy.call(CLIENT, fields, user="alice").code == ResponseCode.NO_PERMISSION


@pytest.mark.parametrize(
    ("code", "ext", "answer"),
    [
        (PARENT, {"topic": "plain"}, ResponseCode.INVALID_PARAMETER),
        (PARENT, {"topic": "none"}, ResponseCode.TOPIC_NOT_EXIST),
        (TOPIC, {"parentTopic": "plain", "liteTopic": "a"}, ResponseCode.INVALID_PARAMETER),
        (CLIENT, {"parentTopic": "p", "group": "plain", "clientId": "c"}, ResponseCode.INVALID_PARAMETER),
        (CLIENT, {"parentTopic": "p", "group": "none", "clientId": "c"}, ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST),
        (GROUP, {"group": "none"}, ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST),
        (GROUP, {"group": "plain"}, ResponseCode.INVALID_PARAMETER),
        (DISPATCH, {"group": "plain"}, ResponseCode.INVALID_PARAMETER),
    ],
)
def test_what_has_no_lite_topics_has_no_report(house, code, ext, answer):
    house.engine.groups.put(SubscriptionGroupConfig("plain"))
    house.engine.topics.put(TopicConfig("plain"))
    assert house.call(code, ext).code == answer


def test_a_wildcard_client_has_all_lite_topics(house):
    group(house, lite_sub_wildcard="true")
    send(house, "a")
    assert change(house, "COMPLETE_ADD").code == 0
    found = report(house, CLIENT, parentTopic="p", group="g", clientId="c", maxCount=10)
    assert (found["liteTopicCount"], found["liteTopicSet"]) == (1, ["%LMQ%$p$a"])
