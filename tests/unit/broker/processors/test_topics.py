"""Topics over the wire."""

import json

import pytest

from mqguard.model.topic import TopicConfig
from mqguard.remoting.bodies.codec import decode
from mqguard.remoting.bodies.topics import TopicStats, TopicTable
from mqguard.remoting.codes import ResponseCode

HEADER = {
    "topic": "t",
    "defaultTopic": "TBW102",
    "readQueueNums": 4,
    "writeQueueNums": 4,
    "perm": 6,
    "topicFilterType": "SINGLE_TAG",
    "topicSysFlag": 0,
    "order": "false",
}


def put(house, **change):
    return house.call(17, {**HEADER, **change})


def test_a_topic_is_created_changed_routed_and_deleted(house):
    assert put(house).code == 0
    assert house.routes.route("t").queues["broker-a"].write_queues == 4
    assert put(house, writeQueueNums=8, perm=4).code == 0
    assert house.routes.route("t").queues["broker-a"].write_queues == 8
    shown = json.loads(house.call(351, {"topic": "t"}).body)
    assert (shown["topicName"], shown["writeQueueNums"], shown["perm"]) == ("t", 8, 4)
    assert house.call(215, {"topic": "t"}).code == 0
    assert house.routes.route("t") is None
    assert house.call(351, {"topic": "t"}).code == ResponseCode.TOPIC_NOT_EXIST
    assert house.call(215, {"topic": "t"}).code == 0


def test_attributes_are_added_and_removed(house):
    assert put(house, attributes="+message.type=FIFO").code == 0
    assert put(house).code == 0
    assert house.engine.topics.get("t").attributes == {"message.type": "FIFO"}
    assert put(house, attributes="-message.type").code == 0
    assert house.engine.topics.get("t").attributes == {}


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        ({"topic": "a b"}, "a b"),
        ({"topic": "TBW102"}, "system topic"),
        ({"perm": 77}, "77"),
        ({"readQueueNums": 100_000}, "readQueueNums"),
        ({"readQueueNums": "many"}, "readQueueNums"),
        ({"attributes": "+message.type=BIG"}, "BIG"),
        ({"attributes": "+colour=red"}, "colour"),
    ],
)
def test_an_invalid_topic_is_refused(house, change, hint):
    answer = put(house, **change)
    assert answer.code == ResponseCode.INVALID_PARAMETER
    assert hint in answer.remark


def test_system_topics_cannot_be_deleted(house):
    assert house.call(215, {"topic": "SCHEDULE_TOPIC_XXXX"}).code == ResponseCode.INVALID_PARAMETER
    assert house.call(215, {"topic": " "}).code == ResponseCode.INVALID_PARAMETER


def test_several_topics_are_created_together(house):
    topics = [
        {"topicName": name, "readQueueNums": 2, "writeQueueNums": 2, "attributes": {"+message.type": "FIFO"}}
        for name in "ab"
    ]
    assert house.call(18, body=json.dumps({"topicConfigList": topics}).encode()).code == 0
    assert house.engine.topics.get("b").attributes == {"message.type": "FIFO"}
    house.user("alice", ("Topic:a", "Create"))
    answer = house.call(18, body=json.dumps({"topicConfigList": topics}).encode(), user="alice")
    assert answer.code == ResponseCode.NO_PERMISSION


def test_all_topics_are_returned_at_once_or_in_pages(house):
    put(house)
    whole = decode(house.call(21).body, TopicTable).topic_config_table
    assert "t" in whole
    assert "TBW102" in whole
    paged: dict = {}
    while True:
        answer = house.call(21, {"topicSeq": len(paged), "maxTopicNum": 5})
        table = decode(answer.body, TopicTable).topic_config_table
        paged.update(table)
        assert len(table) <= 5
        if len(paged) == int(answer.ext["totalTopicNum"]):
            break
    assert paged == whole


def test_the_offsets_of_queues_are_returned(house):
    put(house)
    house.call(310, {"a": "p", "b": "t", "c": "TBW102", "d": 4, "e": 1, "f": 0, "g": 1, "h": 0}, b"x")
    table = decode(house.call(202, {"topic": "t"}).body, TopicStats).offset_table
    reach = {
        queue.queue_id: (stats.min_offset, stats.max_offset, stats.last_update_timestamp)
        for queue, stats in table.items()
    }
    assert reach == {0: (0, 0, 0), 1: (0, 1, house.clock.now), 2: (0, 0, 0), 3: (0, 0, 0)}
    assert b'{{"topic":"t"' in house.call(202, {"topic": "t"}).body
    assert house.call(202, {"topic": "nowhere"}).code == ResponseCode.TOPIC_NOT_EXIST


def test_the_consumers_of_a_topic_are_returned(house):
    put(house)
    house.engine.offsets.set("g", "t", 0, 0)
    house.engine.offsets.set("CID_RMQ_SYS_DELAY", "t", 0, 0)
    assert json.loads(house.call(300, {"topic": "t"}).body) == {"groupList": ["g"]}


def test_system_topics_are_listed(house):
    put(house)
    names = json.loads(house.call(305).body)["topicList"]
    assert "TBW102" in names
    assert "t" not in names


def test_topics_are_guarded(house):
    house.engine.topics.put(TopicConfig("t", 1, 1))
    house.user("alice", ("Topic:mine", "All"), ("Group:*", "All"))
    for code in (202, 215, 300, 351):
        assert house.call(code, {"topic": "t"}, user="alice").code == ResponseCode.NO_PERMISSION
    assert house.call(17, HEADER, user="alice").code == ResponseCode.NO_PERMISSION
    assert house.call(21, user="alice").code == ResponseCode.NO_PERMISSION
    assert house.call(17, {**HEADER, "topic": "mine"}, user="alice").code == 0
