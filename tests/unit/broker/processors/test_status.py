"""The broker about itself."""

import json

import pytest

from mqguard.model.record import BatchMessage, encode_batch
from mqguard.remoting.codes import ResponseCode

NEEDED = {
    "brokerVersionDesc",
    "putTps",
    "getTransferredTps",
    "sendThreadPoolQueueSize",
    "pullThreadPoolQueueSize",
    "ackThreadPoolQueueSize",
    "sendThreadPoolQueueHeadWaitTimeMills",
    "pullThreadPoolQueueHeadWaitTimeMills",
    "ackThreadPoolQueueHeadWaitTimeMills",
    "pageCacheLockTimeMills",
    "earliestMessageTimeStamp",
    "commitLogDiskRatio",
    "timerReadBehind",
    "timerOffsetBehind",
    "timerCongestNum",
    "timerEnqueueTps",
    "timerDequeueTps",
    "brokerActive",
    "msgPutTotalYesterdayMorning",
    "msgPutTotalTodayMorning",
    "msgPutTotalTodayNow",
    "msgGetTotalYesterdayMorning",
    "msgGetTotalTodayMorning",
    "msgGetTotalTodayNow",
}
SEND = {"a": "p", "b": "orders", "c": "TBW102", "d": 4, "e": 0, "f": 0, "g": 1, "h": 0}


def runtime(house):
    return json.loads(house.call(28).body)["table"]


def test_every_key_that_tools_read_exists(house):
    table = runtime(house)
    assert set(table) >= NEEDED
    assert all(isinstance(value, str) for value in table.values())
    assert table["earliestMessageTimeStamp"] == "-1"
    assert table["brokerVersionDesc"] == "V5_5_0"


def test_messages_and_rates_are_counted(house):
    for _ in range(50):
        house.call(310, SEND, b"x" * 10)
    house.call(310, {**SEND, "b": "BenchmarkTest"}, b"x" * 10)
    house.tick(10_000)
    table = runtime(house)
    assert (table["msgPutTotalTodayNow"], table["putMessageSizeTotal"]) == ("50", "10768")
    house.call(320, SEND, encode_batch([BatchMessage(b"one"), BatchMessage(b"two")]))
    assert runtime(house)["msgPutTotalTodayNow"] == "52"
    assert table["putTps"].split()[1:] == ["5.1000", "5.1000"]
    assert int(table["earliestMessageTimeStamp"]) > 0
    assert int(table["commitLogMaxOffset"]) > 0
    assert table["runtime"] == "[ 0 days, 0 hours, 0 minutes, 10 seconds ]"


def test_the_configuration_is_returned_without_secrets(house):
    answer = house.call(26)
    assert answer.body == b"brokerName=broker-a\ninitAuthenticationUser=********\n"
    assert json.loads(answer.ext["version"])["counter"] == 0


@pytest.mark.parametrize("body", [b"authenticationEnabled=false", b"brokerName=x\nlistenPort=1", b""])
def test_keys_of_security_paths_and_listeners_cannot_be_changed(house, body):
    answer = house.call(25, body=body)
    assert answer.code == ResponseCode.NO_PERMISSION
    assert "changed" in answer.remark or "key=value" in answer.remark


def test_only_super_users_see_and_change_the_configuration(house):
    house.user("alice", ("*", "All"))
    assert house.call(25, body=b"x=y", user="alice").code == ResponseCode.NO_PERMISSION
    answer = house.call(26, user="alice")
    assert (answer.code, answer.body) == (ResponseCode.NO_PERMISSION, b"")


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("TOPIC_PUT_NUMS", "t"),
        ("TOPIC_PUT_NUMS", "orders@g"),
        ("GROUP_GET_NUMS", "orders"),
        ("BROKER_PUT_NUMS", "OtherCluster"),
        ("SNDBCK2DLQ_TIMES", "owner@orders@g@SEND_BACK_TO_DLQ"),
        ("QUEUE_PUT_NUMS", "orders@" + "9" * 5000),
        ("QUEUE_PUT_NUMS", "orders@x"),
        ("GROUP_GET_FALL_SIZE", "0@orders@g"),
        ("", ""),
    ],
)
def test_a_missing_statistic_is_an_error(house, name, key):
    house.call(310, SEND, b"x")
    house.tick(10_000)
    answer = house.call(315, {"statsName": name, "statsKey": key})
    assert answer.code == ResponseCode.SYSTEM_ERROR
    assert answer.remark == f"The stats <{name}> <{key}> not exist"


def statistic(house, name, key):
    return json.loads(house.call(315, {"statsName": name, "statsKey": key}).body)


def test_a_statistic_has_sums_of_a_minute_an_hour_and_a_day(house):
    for _ in range(3):
        house.call(310, SEND, b"x" * 10)
    house.call(320, SEND, encode_batch([BatchMessage(b"one"), BatchMessage(b"two")]))
    house.tick(3_600_000)
    found = statistic(house, "TOPIC_PUT_NUMS", "orders")
    assert {window: one["sum"] for window, one in found.items()} == {"statsMinute": 5, "statsHour": 5, "statsDay": 5}
    assert found["statsMinute"]["tps"] == pytest.approx(0.5)
    assert found["statsMinute"]["avgpt"] == pytest.approx(5 / 4)
    assert found["statsDay"]["tps"] == pytest.approx(5 / 3600)
    assert statistic(house, "QUEUE_PUT_NUMS", "orders@0")["statsMinute"]["sum"] == 5
    assert statistic(house, "BROKER_PUT_NUMS", "DefaultCluster")["statsMinute"]["sum"] == 5
    size = house.engine.next_physical
    assert statistic(house, "TOPIC_PUT_SIZE", "orders")["statsMinute"]["sum"] == size


def test_statistics_need_the_permission_to_read_the_cluster(house):
    house.user("alice", ("Topic:orders", "All"))
    house.user("watch", ("Cluster:*", "Get"))
    house.call(310, SEND, b"x")
    house.tick(10_000)
    asked = {"statsName": "TOPIC_PUT_NUMS", "statsKey": "orders"}
    assert house.call(315, asked, user="alice").code == ResponseCode.NO_PERMISSION
    assert house.call(315, asked, user="watch").code == ResponseCode.SUCCESS
