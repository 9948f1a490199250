"""Registration of brokers over the wire."""

import json
import zlib

import pytest

from mqguard.namesrv.kv import ORDER_NAMESPACE
from mqguard.namesrv.route_table import BROKER_LIFE_MS
from mqguard.remoting.codes import ResponseCode

HEADER = {
    "brokerName": "b",
    "brokerAddr": "10.0.0.1:10911",
    "clusterName": "C",
    "haServerAddr": "10.0.0.1:10912",
    "brokerId": 0,
}
BROKER = {name: HEADER[name] for name in ("brokerName", "brokerAddr", "clusterName", "brokerId")}
VERSION = {"counter": 1, "stateVersion": 0, "timestamp": 5}


def topics(*names):
    table = {name: {"topicName": name, "readQueueNums": 4, "writeQueueNums": 4, "perm": 6} for name in names}
    return json.dumps({"topicConfigSerializeWrapper": {"dataVersion": VERSION, "topicConfigTable": table}}).encode()


def register(directory, body=None, wire=None, **change):
    return directory.call(103, {**HEADER, **change}, topics("t") if body is None else body, wire=wire)


def test_a_broker_registers_and_its_topics_are_routed(directory):
    directory.kv.put(ORDER_NAMESPACE, "x", "b:4")
    answer = register(directory)
    assert json.loads(answer.body) == {"table": {"x": "b:4"}}
    route = json.loads(directory.call(105, {"topic": "t"}).body)
    assert route["brokerDatas"][0]["brokerAddrs"] == {"0": "10.0.0.1:10911"}
    slave = register(directory, brokerAddr="10.0.0.2:1", brokerId=1)
    assert slave.ext == {"haServerAddr": "10.0.0.1:10912", "masterAddr": "10.0.0.1:10911"}


def test_a_corrupt_body_is_refused(directory):
    body = topics("t")
    assert register(directory, bodyCrc32=zlib.crc32(body)).code == 0
    assert register(directory, bodyCrc32=1).code == ResponseCode.SYSTEM_ERROR
    assert register(directory, b"nonsense").code == ResponseCode.INVALID_PARAMETER
    assert register(directory, b"nonsense", compressed="true").code == ResponseCode.INVALID_PARAMETER


def test_a_broker_is_removed_if_it_disconnects_unregisters_or_sends_no_heartbeat(directory):
    wire = directory.connect()
    register(directory, wire=wire)
    directory.disconnect(wire)
    assert directory.routes.broker("b") is None

    register(directory)
    assert directory.call(104, BROKER).code == 0
    assert directory.routes.broker("b") is None

    register(directory)
    directory.clock.now += BROKER_LIFE_MS - 1
    assert directory.call(904, BROKER).code == 0
    directory.clock.now += BROKER_LIFE_MS - 1
    directory.namesrv.tick()
    assert directory.routes.broker("b") is not None
    directory.clock.now += 1
    directory.namesrv.tick()
    assert directory.routes.broker("b") is None


def test_a_broker_can_query_the_version_of_its_topics(directory):
    answer = directory.call(322, BROKER, json.dumps(VERSION).encode())
    assert (answer.ext, answer.body) == ({"changed": "true"}, b"")
    register(directory)
    answer = directory.call(322, BROKER, json.dumps(VERSION).encode())
    assert (answer.ext, json.loads(answer.body)) == ({"changed": "false"}, VERSION)
    changed = json.dumps({**VERSION, "counter": 2}).encode()
    assert directory.call(322, BROKER, changed).ext == {"changed": "true"}


def test_a_broker_can_be_hidden_from_producers(directory):
    register(directory)
    assert directory.call(205, {"brokerName": "b"}).ext == {"wipeTopicCount": "1"}
    assert directory.routes.route("t").queues["b"].perm == 4
    assert directory.call(327, {"brokerName": "b"}).ext == {"addTopicCount": "1"}
    assert directory.routes.route("t").queues["b"].perm == 6


def test_the_addresses_of_master_and_slaves_are_returned(directory):
    register(directory)
    register(directory, brokerAddr="10.0.0.2:1", brokerId=1)
    ext = {"clusterName": "C", "brokerName": "b"}
    group = json.loads(directory.call(901, ext).body)["brokerMemberGroup"]
    assert group == {"cluster": "C", "brokerName": "b", "brokerAddrs": {"0": "10.0.0.1:10911", "1": "10.0.0.2:1"}}
    assert json.loads(directory.call(901, {**ext, "clusterName": "D"}).body)["brokerMemberGroup"]["brokerAddrs"] == {}


@pytest.mark.parametrize("change", [{"brokerName": "broker-a"}, {"brokerAddr": "127.0.0.1:10911"}])
def test_the_broker_of_this_server_cannot_be_replaced(directory, change):
    assert register(directory, **change).code == ResponseCode.NO_PERMISSION
    assert directory.call(104, {**BROKER, **change}).code == ResponseCode.NO_PERMISSION
    assert directory.routes.broker("broker-a").addresses == {0: "127.0.0.1:10911"}


@pytest.mark.parametrize(
    ("code", "ext", "body"),
    [
        (103, HEADER, topics("t")),
        (103, {**HEADER, "clusterName": "dev", "brokerName": "x", "brokerAddr": "10.6.6.6:1"}, topics("new")),
        (104, BROKER, b""),
        (904, BROKER, b""),
        (322, BROKER, json.dumps(VERSION).encode()),
        (205, {"brokerName": "b"}, b""),
        (327, {"brokerName": "b"}, b""),
        (216, {"topic": "t", "clusterName": "C"}, b""),
        (217, {"topic": "t"}, b'{"brokerDatas":[],"queueDatas":[]}'),
        (100, {"namespace": ORDER_NAMESPACE, "key": "t", "value": "evil:4"}, b""),
        (102, {"namespace": ORDER_NAMESPACE, "key": "t"}, b""),
    ],
)
def test_no_policy_lets_a_user_register_a_broker(directory, code, ext, body):
    """All actions on all resources are not enough: only the inner credentials or a Super user may send these requests."""
    register(directory)
    directory.kv.put(ORDER_NAMESPACE, "t", "b:4")
    before = directory.routes.route("t"), directory.routes.topics(), directory.kv.all(ORDER_NAMESPACE)
    directory.user("operator", ("*", "All"), ("Cluster:*", "All"), ("Cluster:C", "Update"))

    answer = directory.call(code, ext, body, user="operator")

    assert answer.code == ResponseCode.NO_PERMISSION
    assert "a Super user" in answer.remark
    assert (directory.routes.route("t"), directory.routes.topics(), directory.kv.all(ORDER_NAMESPACE)) == before
    assert directory.call(code, ext, body).code == 0


def test_an_operator_of_the_cluster_reads_its_brokers(directory):
    register(directory)
    directory.user("operator", ("Cluster:C", "Get"))
    ext = {"clusterName": "C", "brokerName": "b"}
    assert directory.call(901, ext, user="operator").code == 0
