"""Who is connected."""

import json

from mqguard.remoting.codes import ResponseCode
from tests.unit.broker.processors.test_membership import beat


def test_the_consumers_of_a_group(house):
    answer = house.call(203, {"consumerGroup": "g"})
    assert answer.code == ResponseCode.CONSUMER_NOT_ONLINE
    assert answer.remark == "the consumer group[g] not online"
    house.call(34, body=beat(expression="A"))
    shown = json.loads(house.call(203, {"consumerGroup": "g"}).body)
    (connection,) = shown["connectionSet"]
    assert connection["clientId"] == "c1"
    assert connection["language"] == "JAVA"
    assert connection["version"] == 513
    assert connection["clientAddr"].startswith("127.0.0.1:")
    assert shown["subscriptionTable"]["t"]["subString"] == "A"
    assert (shown["consumeType"], shown["messageModel"]) == ("CONSUME_PASSIVELY", "CLUSTERING")


def test_the_producers_of_a_group_and_of_all(house):
    assert house.call(204, {"producerGroup": "p"}).code == ResponseCode.SYSTEM_ERROR
    house.call(34, body=beat(groups=(), producers=["p"]))
    (connection,) = json.loads(house.call(204, {"producerGroup": "p"}).body)["connectionSet"]
    assert connection["clientId"] == "c1"
    (producer,) = json.loads(house.call(328).body)["data"]["p"]
    assert producer["lastUpdateTimestamp"] == house.clock.now
    assert set(producer) == {"clientId", "remoteIP", "language", "version", "lastUpdateTimestamp"}


def test_connections_are_guarded(house):
    house.user("alice", ("Topic:*", "All"), ("Group:mine", "All"))
    for code, ext in [(203, {"consumerGroup": "g"}), (204, {"producerGroup": "p"}), (328, {})]:
        assert house.call(code, ext, user="alice").code == ResponseCode.NO_PERMISSION
