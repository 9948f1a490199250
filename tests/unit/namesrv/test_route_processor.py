"""Routes, clusters and lists of topics over the wire."""

import json

import pytest

from mqguard.model.topic import TopicConfig
from mqguard.namesrv.kv import ORDER_NAMESPACE
from mqguard.namesrv.route_table import QueueLayout, Registration
from mqguard.remoting.codes import ResponseCode
from tests.unit.namesrv.conftest import Directory


@pytest.fixture(autouse=True)
def topic(directory):
    directory.engine.topics.put(TopicConfig("t", 4, 8, 6, sys_flag=1))
    directory.engine.group_commit.commit()


def names(answer):
    return json.loads(answer.body)["topicList"]


def test_a_route_has_the_form_that_every_client_reads(directory):
    answer = directory.call(105, {"topic": "t"})
    assert json.loads(answer.body) == {
        "brokerDatas": [
            {
                "cluster": "DefaultCluster",
                "brokerName": "broker-a",
                "brokerAddrs": {"0": "127.0.0.1:10911"},
                "enableActingMaster": False,
            }
        ],
        "queueDatas": [
            {"brokerName": "broker-a", "readQueueNums": 4, "writeQueueNums": 8, "perm": 6, "topicSysFlag": 1}
        ],
        "filterServerTable": {},
    }
    assert b'"brokerAddrs":{"0":"127.0.0.1:10911"}' in answer.body


def test_an_unknown_topic_is_17(directory):
    answer = directory.call(105, {"topic": "nowhere"})
    assert answer.code == ResponseCode.TOPIC_NOT_EXIST
    assert "nowhere" in answer.remark


def test_a_route_contains_the_order_of_an_ordered_topic(directory):
    directory.kv.put(ORDER_NAMESPACE, "t", "broker-a:4")
    assert json.loads(directory.call(105, {"topic": "t"}).body)["orderTopicConf"] == "broker-a:4"


def test_a_client_of_a_zone_gets_the_brokers_of_that_zone(directory):
    far = Registration(
        cluster="C", broker="far", address="9.9.9.9:1", broker_id=0, zone="z2", topics={"t": QueueLayout(1, 1, 6)}
    )
    directory.routes.register(far, 0)
    zoned = directory.call(105, {"topic": "t", "__ZONE_MODE": "true", "__ZONE_NAME": "z2"})
    route = json.loads(zoned.body)
    assert [b["brokerName"] for b in route["brokerDatas"]] == [q["brokerName"] for q in route["queueDatas"]] == ["far"]
    assert len(json.loads(directory.call(105, {"topic": "t", "__ZONE_NAME": "z2"}).body)["brokerDatas"]) == 2


def test_clusters_are_listed(directory):
    shown = json.loads(directory.call(106).body)
    assert shown["clusterAddrTable"] == {"DefaultCluster": ["broker-a"]}
    assert shown["brokerAddrTable"]["broker-a"]["brokerAddrs"] == {"0": "127.0.0.1:10911"}


def test_topics_are_listed(directory):
    assert "t" in names(directory.call(206))
    assert "t" in names(directory.call(224, {"cluster": "DefaultCluster"}))
    assert names(directory.call(224, {"cluster": "other"})) == []
    assert names(directory.call(304)) == ["DefaultCluster", "broker-a"]
    assert names(directory.call(311)) == ["t"]
    assert names(directory.call(312)) == names(directory.call(313)) == []
    directory.routes.announce_topic("broker-a", "s", TopicConfig("s", sys_flag=2))
    assert names(directory.call(312)) == names(directory.call(313)) == ["s"]


def test_a_topic_is_removed_and_added(directory):
    assert directory.call(216, {"topic": "t", "clusterName": "other"}).code == 0
    assert directory.routes.route("t") is not None
    assert directory.call(216, {"topic": "t", "clusterName": "DefaultCluster"}).code == 0
    assert directory.routes.route("t") is None
    queue = {"brokerName": "broker-a", "readQueueNums": 2, "writeQueueNums": 2, "perm": 6}
    body = json.dumps({"brokerDatas": [], "queueDatas": [queue, {**queue, "brokerName": "ghost"}]}).encode()
    assert directory.call(217, {"topic": "t"}, body).code == 0
    assert list(directory.routes.route("t").queues) == ["broker-a"]
    assert directory.call(217, {"topic": "t"}, b"nonsense").code == ResponseCode.INVALID_PARAMETER


@pytest.mark.parametrize(
    ("topic", "change"),
    [
        ("t", {"readQueueNums": -1}),
        ("t", {"writeQueueNums": 1 << 31}),
        ("t", {"perm": 99}),
        ("a b", {}),
    ],
)
def test_a_topic_that_clients_could_not_use_is_refused(directory, topic, change):
    before = directory.routes.route("t")
    queue = {"brokerName": "broker-a", "readQueueNums": 2, "writeQueueNums": 2, "perm": 6, **change}
    body = json.dumps({"brokerDatas": [], "queueDatas": [queue]}).encode()
    answer = directory.call(217, {"topic": topic}, body)
    assert answer.code == ResponseCode.INVALID_PARAMETER
    assert answer.remark
    assert directory.routes.route("t") == before
    assert directory.routes.route("a b") is None


def test_a_route_needs_a_permission_on_its_topic(directory):
    directory.user("alice", ("Topic:mine", "Pub"))
    assert directory.call(105, {"topic": "t"}, user="alice").code == ResponseCode.NO_PERMISSION
    assert directory.call(105, {"topic": "TBW102"}, user="alice").code == 0
    assert directory.call(105, {"topic": "mine"}, user="alice").code == ResponseCode.TOPIC_NOT_EXIST
    for code in (106, 206, 304, 311, 312, 313):
        assert directory.call(code, user="alice").code == ResponseCode.NO_PERMISSION
    for code, ext in [
        (216, {"topic": "t", "clusterName": "DefaultCluster"}),
        (217, {"topic": "t"}),
        (224, {"cluster": "DefaultCluster"}),
    ]:
        assert directory.call(code, ext, b"{}", user="alice").code == ResponseCode.NO_PERMISSION
    assert directory.call(105, {"topic": "t"}, user=None).code == ResponseCode.NO_PERMISSION


@pytest.fixture
def fixed_topics():
    """Return a name server whose broker does not create topics."""
    return Directory(engine={"auto_create_topic": False})


def test_the_template_topic_has_no_route_if_no_broker_creates_topics(fixed_topics):
    assert fixed_topics.call(105, {"topic": "TBW102"}).code == ResponseCode.TOPIC_NOT_EXIST


def test_only_brokers_that_create_topics_are_in_the_route_of_the_template_topic(fixed_topics):
    layouts = {"TBW102": QueueLayout(8, 8, 7)}
    other = Registration(cluster="C", broker="other", address="9.9.9.9:1", broker_id=0, topics=layouts)
    fixed_topics.routes.register(other, 0)
    route = json.loads(fixed_topics.call(105, {"topic": "TBW102"}).body)
    assert [broker["brokerName"] for broker in route["brokerDatas"]] == ["other"]
    assert [queue["brokerName"] for queue in route["queueDatas"]] == ["other"]


def test_a_client_whose_route_was_denied_finds_a_broker_that_gives_the_reason(fixed_topics):
    """This holds for a user without permission, and for wrong credentials; other connections still get code 17."""
    fixed_topics.engine.topics.put(TopicConfig("t"))
    fixed_topics.engine.group_commit.commit()
    for user in (fixed_topics.user("bob"), "nobody"):
        wire = fixed_topics.connect()
        assert fixed_topics.call(105, {"topic": "t"}, wire=wire, user=user).code == ResponseCode.NO_PERMISSION
        assert fixed_topics.call(105, {"topic": "TBW102"}, wire=wire, user=user).code == ResponseCode.SUCCESS
    assert fixed_topics.call(105, {"topic": "TBW102"}).code == ResponseCode.TOPIC_NOT_EXIST
