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
SEND = {"a": "p", "b": "BenchmarkTest", "c": "TBW102", "d": 4, "e": 0, "f": 0, "g": 1, "h": 0}


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
    house.tick(10_000)
    table = runtime(house)
    assert (table["msgPutTotalTodayNow"], table["putMessageSizeTotal"]) == ("50", "500")
    house.call(320, SEND, encode_batch([BatchMessage(b"one"), BatchMessage(b"two")]))
    assert runtime(house)["msgPutTotalTodayNow"] == "52"
    assert table["putTps"].split()[1:] == ["5.0000", "5.0000"]
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


def test_a_missing_statistic_is_an_error(house):
    answer = house.call(315, {"statsName": "TOPIC_PUT_NUMS", "statsKey": "t"})
    assert answer.code == ResponseCode.SYSTEM_ERROR
    assert answer.remark == "The stats <TOPIC_PUT_NUMS> <t> not exist"
