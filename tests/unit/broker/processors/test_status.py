"""The broker about itself."""

import json

import pytest

from mqguard.model.record import BatchMessage, encode_batch
from mqguard.remoting.codes import ResponseCode

INTEGERS = [
    "msgPutTotalTodayNow",
    "msgGetTotalTodayNow",
    "msgPutTotalTodayMorning",
    "msgGetTotalTodayMorning",
    "msgPutTotalYesterdayMorning",
    "msgGetTotalYesterdayMorning",
    "sendThreadPoolQueueHeadWaitTimeMills",
    "queryThreadPoolQueueHeadWaitTimeMills",
    "pullThreadPoolQueueHeadWaitTimeMills",
    "ackThreadPoolQueueHeadWaitTimeMills",
    "litePullThreadPoolQueueHeadWaitTimeMills",
    "queryThreadPoolQueueSize",
    "pullThreadPoolQueueSize",
    "sendThreadPoolQueueSize",
    "ackThreadPoolQueueSize",
    "sendThreadPoolQueueCapacity",
    "pullThreadPoolQueueCapacity",
    "queryThreadPoolQueueCapacity",
    "ackThreadPoolQueueCapacity",
    "commitLogMinOffset",
    "commitLogMaxOffset",
    "bootTimestamp",
    "dispatchMaxBuffer",
    "brokerVersion",
    "pageCacheLockTimeMills",
    "getMessageEntireTimeMax",
    "putMessageTimesTotal",
    "startAcceptSendRequestTimeStamp",
    "putMessageEntireTimeMax",
    "earliestMessageTimeStamp",
    "remainTransientStoreBufferNumbs",
    "putMessageSizeTotal",
    "dispatchBehindBytes",
    "putMessageFailedTimes",
    "timerReadBehind",
    "timerOffsetBehind",
    "timerCongestNum",
    "EndTransactionQueueSize",
    "EndTransactionThreadPoolQueueCapacity",
]
"""Keys that rocketmq-exporter, rocketmq-dashboard and mqadmin parse as whole numbers."""
DECIMALS = [
    "consumeQueueDiskRatio",
    "commitLogDiskRatio",
    "putMessageAverageSize",
    "putLatency99",
    "putLatency999",
    "timerEnqueueTps",
    "timerDequeueTps",
]
RATES = ["putTps", "getMissTps", "getTransferredTps", "getTotalTps", "getFoundTps"]
CLASSES = [
    "<=0ms",
    "0~10ms",
    "10~50ms",
    "50~100ms",
    "100~200ms",
    "200~500ms",
    "500ms~1s",
    "1~2s",
    "2~3s",
    "3~4s",
    "4~5s",
    "5~10s",
    "10s~",
]
SEND = {"a": "p", "b": "orders", "c": "TBW102", "d": 4, "e": 0, "f": 0, "g": 1, "h": 0}


def runtime(house):
    return json.loads(house.call(28).body)["table"]


def test_tools_can_parse_every_key_that_they_read(house):
    for _ in range(2):
        table = runtime(house)
        for key in INTEGERS:
            int(table[key])
        for key in DECIMALS:
            float(table[key])
        for key in RATES:
            assert len([float(word) for word in table[key].split()]) == 3
        # The exporter takes the words of these texts by their position.
        words = table["commitLogDirCapacity"].split(" ")
        assert [words[0], words[4], words[3][-1], words[7][-1]] == ["Total", "Free", ",", "."]
        assert float(words[2]) >= float(words[6]) or words[3] != words[7]
        assert float(table["remainHowManyDataToFlush"].split(" ")[0]) == 0
        classes = dict(
            pair.strip("[").replace("]", "").rsplit(":", 1) for pair in table["putMessageDistributeTime"].split()
        )
        assert list(classes) == CLASSES
        assert table["runtime"].startswith("[ 0 days, ")
        assert (table["brokerActive"], table["brokerVersionDesc"]) == ("true", "V5_5_0")
        assert all(isinstance(value, str) for value in table.values())
        house.call(310, SEND, b"x")
        house.tick(60_000)


def test_the_progress_of_each_delay_level_is_shown(house):
    assert not [key for key in runtime(house) if key.startswith("scheduleMessageOffset")]
    for _ in range(3):
        house.call(310, {**SEND, "i": "DELAY\x012\x02"}, b"x")
    assert runtime(house)["scheduleMessageOffset_2"] == "0,3"
    house.tick(6_000)
    assert runtime(house)["scheduleMessageOffset_2"] == "3,3"


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


def test_messages_for_a_time_have_a_rate(house):
    assert runtime(house)["timerEnqueueTps"] == "0.0000"
    for _ in range(5):
        house.call(310, {**SEND, "i": "TIMER_DELAY_SEC\x01600\x02UNIQ_KEY\x01u\x02"}, b"x")
    house.tick(10_000)
    assert runtime(house)["timerEnqueueTps"] == "0.5000"
