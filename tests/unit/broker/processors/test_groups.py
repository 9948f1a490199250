"""Consumer groups over the wire."""

import json

import pytest

from mqguard.broker.group_rules import FORBIDDEN
from mqguard.model.topic import TopicConfig
from mqguard.remoting.bodies.codec import decode
from mqguard.remoting.bodies.groups import GroupTable
from mqguard.remoting.codes import ResponseCode
from tests.unit.broker.conftest import House

PULL = {
    "consumerGroup": "g",
    "topic": "t",
    "queueId": 0,
    "queueOffset": 0,
    "maxMsgNums": 32,
    "sysFlag": 4,
    "commitOffset": 0,
    "suspendTimeoutMillis": 0,
    "subVersion": 0,
    "subscription": "*",
}


def put(house, code=200, **config):
    body = {"groupName": "g", "retryMaxTimes": 3, **config}
    return house.call(code, body=json.dumps(body).encode())


def shown(house, group="g"):
    return json.loads(house.call(352, {"group": group}).body)


def test_a_group_is_created_changed_and_deleted(house):
    assert put(house).code == 0
    assert shown(house)["retryMaxTimes"] == 3
    assert house.routes.route("%RETRY%g") is not None
    assert put(house, retryMaxTimes=5, consumeEnable=False).code == 0
    assert (shown(house)["retryMaxTimes"], shown(house)["consumeEnable"]) == (5, False)
    assert house.call(207, {"groupName": "g", "cleanOffset": "true"}).code == 0
    assert house.engine.groups.get("g") is None
    assert house.call(207, {"groupName": "g"}).code == 0


def test_offsets_are_deleted_only_on_request(house):
    for clean, left in (("false", 7), ("true", None)):
        put(house)
        house.engine.offsets.set("g", "TBW102", 0, 7)
        house.call(207, {"groupName": "g", "cleanOffset": clean})
        assert house.engine.offsets.get("g", "TBW102", 0) == left


def test_attributes_are_added_and_removed(house):
    put(house, attributes={"+a": "1", "b": "2"})
    put(house, attributes={"-b": ""})
    assert shown(house)["attributes"] == {"a": "1"}


@pytest.mark.parametrize(
    "change", [{"groupName": "a b"}, {"groupName": ""}, {"retryQueueNums": -1}, {"retryMaxTimes": "many"}]
)
def test_an_invalid_group_is_refused(open_house, change):
    body = json.dumps({"groupName": "g", **change}).encode()
    assert open_house.call(200, body=body, user=None).code == ResponseCode.INVALID_PARAMETER


def test_several_groups_are_created_together(house):
    body = json.dumps({"groupConfigList": [{"groupName": "a"}, {"groupName": "b"}]}).encode()
    assert house.call(225, body=body).code == 0
    assert house.engine.groups.get("b") is not None


def test_all_groups_are_returned_at_once_or_in_pages(house):
    put(house)
    whole = decode(house.call(201).body, GroupTable).subscription_group_table
    assert "g" in whole
    answer = house.call(201, {"groupSeq": 0, "maxGroupNum": 3})
    assert len(decode(answer.body, GroupTable).subscription_group_table) == 3
    assert int(answer.ext["totalGroupNum"]) == len(whole)


def test_reading_a_missing_group_returns_what_consuming_would_create(house):
    assert shown(house, "new")["groupName"] == "new"
    assert "attributes" in shown(house, "new")
    closed = House(engine={"auto_create_group": False})
    assert closed.call(352, {"group": "new"}).code == ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST


def test_a_group_can_be_forbidden_to_read_a_topic(house):
    put(house)
    house.engine.topics.put(TopicConfig("t", 1, 1))
    assert house.call(11, PULL).code == ResponseCode.PULL_NOT_FOUND
    answer = house.call(353, {"group": "g", "topic": "t", "readable": "false"})
    assert json.loads(answer.body) == {"group": "g", "topic": "t", "readable": False}
    assert house.call(11, PULL).code == ResponseCode.NO_PERMISSION
    assert json.loads(house.call(353, {"group": "g", "topic": "t"}).body)["readable"] is False
    assert FORBIDDEN not in json.dumps(shown(house))
    assert FORBIDDEN.encode() not in house.call(201).body
    put(house, attributes={f"+{FORBIDDEN}": "x", FORBIDDEN: "x", f"-{FORBIDDEN}": ""})
    assert house.call(11, PULL).code == ResponseCode.NO_PERMISSION
    assert json.loads(house.call(353, {"group": "g", "topic": "t", "readable": "true"}).body)["readable"] is True
    assert house.call(11, PULL).code == ResponseCode.PULL_NOT_FOUND
    assert house.call(353, {"group": "nobody", "topic": "t"}).code == ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST


def test_the_group_of_the_broker_cannot_be_changed(house):
    for code, ext, body in [
        (200, {}, json.dumps({"groupName": "CID_RMQ_SYS_DELAY"}).encode()),
        (207, {"groupName": "CID_RMQ_SYS_DELAY", "cleanOffset": "true"}, b""),
        (
            15,
            {"consumerGroup": "CID_RMQ_SYS_DELAY", "topic": "SCHEDULE_TOPIC_XXXX", "queueId": 0, "commitOffset": 0},
            b"",
        ),
        (222, {"group": "CID_RMQ_SYS_DELAY", "topic": "SCHEDULE_TOPIC_XXXX", "timestamp": 0, "isForce": "true"}, b""),
        (314, {"srcGroup": "g", "destGroup": "CID_RMQ_SYS_DELAY", "topic": "SCHEDULE_TOPIC_XXXX"}, b""),
        (11, {**PULL, "consumerGroup": "CID_RMQ_SYS_DELAY", "topic": "SCHEDULE_TOPIC_XXXX"}, b""),
    ]:
        assert house.call(code, ext, body).code == ResponseCode.NO_PERMISSION, code


def test_groups_are_guarded(house):
    put(house)
    house.user("alice", ("Topic:*", "All"), ("Group:mine", "All"))
    for code, ext in [(352, {"group": "g"}), (207, {"groupName": "g"}), (201, {})]:
        assert house.call(code, ext, user="alice").code == ResponseCode.NO_PERMISSION
    body = json.dumps({"groupName": "g"}).encode()
    assert house.call(200, body=body, user="alice").code == ResponseCode.NO_PERMISSION
