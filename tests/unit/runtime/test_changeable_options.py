"""Options that are changed over the wire: each is in force at once, and nothing else can be changed."""

import pytest

from mqguard.config import loader
from mqguard.config.loader import Flag
from mqguard.model.record import BatchMessage, encode_batch
from mqguard.model.topic import PERM_BOTH, PERM_INHERIT, TopicConfig
from mqguard.remoting.codes import ResponseCode
from mqguard.runtime.changeable_options import CHANGEABLE, changeable_options, fixed_options
from mqguard.store.ports import Space
from tests.unit.broker.conftest import House

SEND = {"a": "p", "b": "orders", "c": "TBW102", "d": 4, "e": 0, "f": 0, "g": 1, "h": 0}
PULL = {
    "consumerGroup": "g", "topic": "orders", "queueId": 0, "queueOffset": 0, "maxMsgNums": 32, "sysFlag": 4,
    "commitOffset": 0, "suspendTimeoutMillis": 0, "subscription": "*", "subVersion": 0,
}  # fmt: skip
HOUR_MS = 3_600_000


@pytest.fixture
def house():
    house = House()
    config = loader.load(flags=[Flag("--x", "maxMessageSize", "1000")])
    house.configuration.__init__(
        {option.name: config.text(option) for option in loader.OPTIONS},
        options=changeable_options(config, house.engine, lambda: house.broker),
        reasons=fixed_options(),
    )
    return house


def change(house, text, **more):
    return house.call(25, body=text.encode(), **more)


def shown(house):
    return dict(line.split("=", 1) for line in house.call(26).body.decode().splitlines())


def send(house, **more):
    return house.call(310, {**SEND, **more}, b"x").code


def test_the_documented_options_can_be_changed(house):
    config = loader.load()
    assert set(changeable_options(config, house.engine, lambda: house.broker)) == CHANGEABLE
    assert set(fixed_options()) >= {option.name for option in loader.OPTIONS}


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("authenticationEnabled", "access control"),
        ("initAuthenticationUser", "access control"),
        ("secretExposure", "access control"),
        ("auditPath", "access control"),
        ("listenPort", "listeners"),
        ("brokerIP1", "listeners"),
        ("tls.server.mode", "listeners"),
        ("storePathRootDir", "path"),
        ("flushDiskType", "only when it starts"),
        ("noSuchKey", "unknown"),
    ],
)
def test_every_other_key_is_refused_with_a_reason(house, key, reason):
    before = shown(house)
    answer = change(house, f"fileReservedTime=1\n{key}=1")
    assert answer.code == ResponseCode.NO_PERMISSION
    assert f"`{key}` cannot be changed over the wire" in answer.remark
    assert reason in answer.remark
    assert shown(house) == before


@pytest.mark.parametrize(
    "text",
    ["maxTopics=0", "maxTopics=many", "autoCreateTopicEnable=perhaps", "fileReservedTime=0", "maxMessageSize=1001",
     "diskSpaceWarningLevelRatio=5", "maxStoreBytes=-1", "brokerPermission=7"],
)  # fmt: skip
def test_an_invalid_value_changes_nothing(house, text):
    before = house.engine.settings
    answer = change(house, text)
    assert answer.code == ResponseCode.NO_PERMISSION
    assert f"`{text.partition('=')[0]}`: " in answer.remark
    assert house.engine.settings is before


def test_a_change_is_shown_and_logged_with_its_author(house, caplog):
    assert change(house, "fileReservedTime=48").code == 0
    assert shown(house)["fileReservedTime"] == "48"
    assert "User:root has set `fileReservedTime = 48` until the server stops" in caplog.text


def perm_of_template(house):
    return house.engine.topics.get("TBW102").perm


def test_topics_are_created_by_sends_only_while_it_is_enabled(house):
    assert change(house, "autoCreateTopicEnable=false").code == 0
    assert send(house) == ResponseCode.TOPIC_NOT_EXIST
    assert perm_of_template(house) == PERM_BOTH
    assert change(house, "autoCreateTopicEnable=true").code == 0
    assert perm_of_template(house) == PERM_BOTH | PERM_INHERIT
    assert send(house) == 0


def test_groups_are_created_by_pulls_only_while_it_is_enabled(house):
    send(house)
    change(house, "autoCreateSubscriptionGroup=false")
    assert house.call(11, PULL).code == ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST
    change(house, "autoCreateSubscriptionGroup=true")
    assert house.call(11, PULL).code == 0


def test_limits_of_topics_and_groups(house):
    user = house.user("alice", ("Topic:*", "Create,Pub,Sub"), ("Group:*", "Sub"))
    change(house, "maxTopicsPerUser=1")
    assert house.call(310, SEND, b"x", user=user).code == 0
    assert house.call(310, {**SEND, "b": "second"}, b"x", user=user).code == ResponseCode.SERVICE_NOT_AVAILABLE
    assert send(house, b="third") == 0
    change(house, "maxTopics=2")
    assert send(house, b="fourth") == ResponseCode.SERVICE_NOT_AVAILABLE
    change(house, "maxTopics=3")
    assert send(house, b="fourth") == 0
    change(house, "maxSubscriptionGroupsPerUser=0")
    assert house.call(11, PULL, user=user).code == ResponseCode.SERVICE_NOT_AVAILABLE
    change(house, "maxSubscriptionGroups=1")
    assert house.call(11, PULL).code == 0
    assert house.call(11, {**PULL, "consumerGroup": "h"}).code == ResponseCode.SERVICE_NOT_AVAILABLE


def test_sizes_of_messages_and_pulls(house):
    change(house, "maxMessageSize=10")
    assert house.call(310, SEND, b"x" * 11).code == ResponseCode.MESSAGE_ILLEGAL
    assert house.call(310, SEND, b"x" * 10).code == 0
    one = len(house.call(11, PULL).body)
    send(house)
    assert len(house.call(11, PULL).body) > one
    change(house, "maxTransferCountOnMessageInMemory=1")
    assert len(house.call(11, PULL).body) == one
    change(house, "maxTransferCountOnMessageInMemory=32\nmaxTransferBytesOnMessageInMemory=1")
    assert len(house.call(11, PULL).body) == one


def test_old_messages_are_deleted_at_the_next_tick(house):
    send(house)
    house.tick(3 * HOUR_MS)
    house.tick(3 * HOUR_MS)
    send(house)
    assert house.engine.min_offset("orders", 0) == 0
    change(house, "fileReservedTime=4")
    house.tick(50)
    house.tick(50)
    assert house.engine.min_offset("orders", 0) == 1


def test_the_oldest_messages_beyond_the_size_are_deleted(house):
    for _ in range(100):
        send(house)
    for _ in range(5):
        house.tick(50)
    assert house.engine.min_offset("orders", 0) == 0
    change(house, f"maxStoreBytes={house.engine.next_physical // 2}")
    for _ in range(20):
        house.tick(50)
    assert 40 <= house.engine.min_offset("orders", 0) <= 60


def test_a_disk_beyond_the_ratio_refuses_messages(house, monkeypatch):
    monkeypatch.setattr(house.store, "space", lambda: Space(100, 50, 50))
    house.tick(50)
    assert send(house) == 0
    change(house, "diskSpaceWarningLevelRatio=40")
    house.tick(50)
    assert send(house) == ResponseCode.SERVICE_NOT_AVAILABLE


def test_a_broker_can_be_closed_for_writing_or_for_reading(house):
    assert send(house) == 0
    change(house, "brokerPermission=4")
    answer = house.call(310, SEND, b"x")
    assert (answer.code, answer.remark) == (
        ResponseCode.NO_PERMISSION,
        "the broker[127.0.0.1] sending message is forbidden",
    )
    batch = house.call(320, SEND, encode_batch([BatchMessage(b"one")]))
    assert batch.code == ResponseCode.NO_PERMISSION
    assert house.call(36, {"group": "g", "offset": 0, "delayLevel": 0}).code == ResponseCode.NO_PERMISSION
    assert house.call(11, PULL).code == 0
    change(house, "brokerPermission=2")
    assert send(house) == 0
    answer = house.call(11, PULL)
    assert (answer.code, answer.remark) == (
        ResponseCode.NO_PERMISSION,
        "the broker[127.0.0.1] pulling message is forbidden",
    )
    change(house, "brokerPermission=6")
    assert send(house) == 0
    assert house.call(11, PULL).code == 0


def test_a_pull_that_waits_ends_when_reading_is_forbidden(house):
    send(house)
    wire = house.connect()
    house.give(wire, house.command(11, {**PULL, "queueOffset": 1, "sysFlag": 6, "suspendTimeoutMillis": 10_000}))
    assert not wire.frames
    change(house, "brokerPermission=2")
    send(house)
    house.tick(50)
    assert wire.frames[-1].code == ResponseCode.NO_PERMISSION


def test_pulls_wait_one_second_at_most_without_long_polling(house):
    house.engine.topics.put(TopicConfig("orders", 1, 1))
    wire = house.connect()
    waiting = {**PULL, "sysFlag": 6, "suspendTimeoutMillis": 30_000}
    change(house, "longPollingEnable=false")
    house.give(wire, house.command(11, waiting))
    assert not wire.frames
    house.tick(1_100)
    assert wire.frames[-1].code == ResponseCode.PULL_NOT_FOUND


def test_normal_users_cannot_change_options(house):
    house.user("alice", ("*", "All"))
    assert change(house, "fileReservedTime=1", user="alice").code == ResponseCode.NO_PERMISSION


def test_times_and_limits_of_transactions(house):
    def half():
        pairs = "TRAN_MSG\x01true\x02PGROUP\x01g\x02"
        return send(house, b="t", i=pairs, f=4)

    house.engine.topics.put(TopicConfig("t", 4, 4))
    assert change(house, "maxPendingTransactions=1\ntransactionCheckMax=1\ntransactionTimeOut=100").code == 0
    assert [half(), half()] == [0, ResponseCode.SERVICE_NOT_AVAILABLE]
    assert change(house, "maxPendingTransactions=2\ntransactionCheckInterval=200").code == 0
    assert half() == 0
    beat = b'{"clientID":"c","producerDataSet":[{"groupName":"g"}],"consumerDataSet":[]}'
    assert house.call(34, {}, beat).code == 0
    house.tick(100)
    assert len(house.engine.transactions) == 2
    house.tick(200)
    assert len(house.engine.transactions) == 0


def test_a_broker_that_is_closed_for_writing_ends_transactions(house):
    house.engine.topics.put(TopicConfig("t", 4, 4))
    sent = house.call(310, {**SEND, "b": "t", "i": "TRAN_MSG\x01true\x02PGROUP\x01g\x02"}, b"x")
    assert change(house, "brokerPermission=4").code == 0
    fields = {"producerGroup": "g", "tranStateTableOffset": sent.ext["queueOffset"], "commitOrRollback": 8}
    assert house.call(37, {**fields, "commitLogOffset": int(sent.ext["msgId"][-16:], 16)}).code == 0
    assert house.engine.max_offset("t", 0) == 1
