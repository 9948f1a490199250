"""Any request gets an answer that says what is wrong, and never causes an internal error."""

import json
import logging

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mqguard.dispatch.request import INTERNAL
from mqguard.dispatch.router import UNCHECKED
from mqguard.engine.group_members import ConnectedClient, ConsumerHeartbeat, Subscription
from mqguard.engine.messages import SendRequest
from mqguard.model.topic import TopicConfig
from mqguard.namesrv.kv import KvTable
from mqguard.namesrv.route_table import RouteTable
from mqguard.namesrv.server import NameServer
from mqguard.remoting.codes import FLAG_ONEWAY
from mqguard.remoting.command import Command
from tests.fixtures.clock import ManualClock
from tests.unit.broker.conftest import House, answer_to
from tests.unit.namesrv.conftest import Directory

USUAL = {
    **dict.fromkeys("abcn", "t"),
    **dict.fromkeys("defghj", "0"),
    **dict.fromkeys("km", "false"),
    "i": "KEYS\x01k\x02",
    "l": "16",
    **dict.fromkeys(
        ["topic", "defaultTopic", "key", "namespace", "value", "username", "filter", "statsName", "statsKey"], "t"
    ),
    **dict.fromkeys(["consumerGroup", "producerGroup", "group", "groupName", "srcGroup", "destGroup"], "g"),
    **dict.fromkeys(["clientID", "clientId", "brokerName", "clusterName", "cluster"], "c1"),
    **dict.fromkeys(["brokerAddr", "haServerAddr"], "10.0.0.1:1"),
    **dict.fromkeys(
        ["batch", "unitMode", "order", "isForce", "isOrder", "offline", "jstackEnable", "cleanOffset"], "false"
    ),
    **dict.fromkeys(
        [
            "queueId",
            "queueOffset",
            "sysFlag",
            "commitOffset",
            "subVersion",
            "flag",
            "offset",
            "delayLevel",
            "timestamp",
        ],
        "0",
    ),
    **dict.fromkeys(["bornTimestamp", "beginTimestamp", "brokerId", "index", "defaultTopicQueueNums"], "0"),
    **dict.fromkeys(["maxMsgNums", "maxNum", "count", "readQueueNums", "writeQueueNums"], "2"),
    "endTimestamp": str(2**62),
    "suspendTimeoutMillis": "1000",
    "subscription": "*",
    "properties": "KEYS\x01k\x02",
    "perm": "6",
    "topicFilterType": "SINGLE_TAG",
    "subject": "User:t",
    "resource": "Topic:t",
    "policyType": "Custom",
    "decisionId": "d0",
}
"""A value for every field of every header, so that a request of any code is a good one before it is spoilt."""
NAMES = sorted(
    {
        *USUAL,
        *["expressionType", "maxMsgBytes", "reconsumeTimes", "maxReconsumeTimes", "originMsgId", "indexType", "msgId"],
        *["subjectFilter", "resourceFilter", "attributes", "topicSysFlag", "readable", "topicSeq", "maxTopicNum"],
        *["topicList", "compressed", "bodyCrc32", "liteTopic", "setZeroIfNotFound", "boundaryType"],
    }
)
VALUES = st.one_of(
    st.sampled_from(
        [
            "t",
            "g",
            "%RETRY%g",
            "%DLQ%g",
            "%LMQ%$t$x",
            "",
            " ",
            "0",
            "1",
            "-1",
            "4",
            "6",
            "255",
            "true",
            "false",
            "*",
            "c1",
        ]
    ),
    st.sampled_from(
        [str(2**31 - 1), str(-(2**31)), str(2**63 - 1), str(2**63), "1e9", "0x10", "NaN", "SQL92", "User:u"]
    ),
    st.text(max_size=8),
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=5)
    | st.sampled_from(["t", "g"])
)
MEMBERS = st.sampled_from(
    [
        *["clientID", "clientId", "consumerDataSet", "producerDataSet", "groupName", "subscriptionDataSet", "topic"],
        *["subString", "expressionType", "consumerGroup", "mqSet", "brokerName", "queueId", "topicConfigList"],
        *["topicName", "attributes", "groupConfigList", "retryQueueNums", "policies", "entries", "resource", "actions"],
        *["decision", "sourceIps", "subject", "username", "password", "userType", "topicConfigSerializeWrapper"],
        *["topicConfigTable", "dataVersion", "counter", "queueDatas", "brokerDatas", "subscriptionData", "group"],
    ]
)
QUEUE = {"topic": "t", "brokerName": "broker-a", "queueId": 0}
GOOD = {
    "clientID": "c1",
    "clientId": "c1",
    "consumerGroup": "g",
    "groupName": "g",
    "group": "g",
    "mqSet": [QUEUE],
    "subscriptionData": {"topic": "t"},
    "consumerDataSet": [{"groupName": "g", "subscriptionDataSet": [{"topic": "t", "subString": "*"}]}],
    "producerDataSet": [{"groupName": "p"}],
    "topicConfigList": [{"topicName": "t"}],
    "groupConfigList": [{"groupName": "g"}],
    "topicConfigSerializeWrapper": {"topicConfigTable": {"t": {"topicName": "t"}}, "dataVersion": {"counter": 1}},
    "queueDatas": [{"brokerName": "broker-a", "readQueueNums": 1, "writeQueueNums": 1, "perm": 6}],
    "brokerDatas": [],
    "counter": 1,
}
ENTRY = {"resource": "Topic:t", "actions": ["Pub"], "decision": "Allow", "sourceIps": ["10.0.0.0/8"]}
STRICT = [
    {"username": "t", "password": "x", "userType": "Normal"},
    {"subject": "User:t", "policies": [{"entries": [ENTRY]}]},
]
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(MEMBERS, inner, max_size=4), max_leaves=12
)
SPOILT = st.builds(lambda member, value: {**GOOD, member: value}, st.sampled_from(sorted(GOOD)), JSON)
BODIES = st.one_of(
    st.sampled_from([GOOD, *STRICT]).map(lambda value: json.dumps(value).encode()),
    (SPOILT | JSON).map(lambda value: json.dumps(value).encode()),
    st.binary(max_size=40),
    st.sampled_from([b"", b"{}", b"[]", b"null", b"[" * 500, b"a=b"]),
)


def codes(kind):
    if kind is House:
        return sorted(House().app.codes)
    return sorted(NameServer(RouteTable(), KvTable(), ManualClock(), {}).handlers())


@pytest.fixture(scope="module", params=[House, Directory], ids=["broker", "name server"])
def server(request):
    return request.param(auth=False), codes(request.param)


def furnish(house):
    """Create a topic with a message, a group with an offset, and a connected consumer."""
    house.engine.topics.put(TopicConfig("t", 2, 2))
    house.engine.groups.with_retry_topic("g")
    house.engine.send(SendRequest("t", b"x", "KEYS\x01k\x02", queue_id=0))
    house.engine.offsets.set("g", "t", 0, 0)
    subscription = Subscription("t", version=1)
    consuming = ConsumerHeartbeat("g", "CONSUME_PASSIVELY", "CLUSTERING", "CONSUME_FROM_LAST_OFFSET", (subscription,))
    client = ConnectedClient("c1", house.connect().peer, 0, 513)
    house.broker.clients.consume(client, consuming, house.clock.now)
    house.broker.clients.produce(client, "g", house.clock.now)
    house.engine.group_commit.commit()


@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_request_is_answered(server, caplog, data):
    house, served = server
    furnish(house)
    code = data.draw(st.sampled_from(served))
    spoilt = data.draw(st.dictionaries(st.sampled_from(NAMES), st.none() | VALUES, max_size=4))
    ext = {name: value for name, value in {**USUAL, **spoilt}.items() if value is not None}
    wire = house.connect()
    command = Command(code, 7, data.draw(st.sampled_from([0, 0, 0, FLAG_ONEWAY])), 513, 0, None, ext, data.draw(BODIES))
    with caplog.at_level(logging.ERROR):
        house.give(wire, command)
        house.tick(61_000)
    assert caplog.records == []
    answer = answer_to(wire, command)
    if command.is_oneway:
        assert answer is None
    else:
        assert answer is not None
        assert answer.remark not in (INTERNAL, UNCHECKED)
        assert answer.code == 0 or answer.remark
        assert "Traceback" not in (answer.remark or "")
