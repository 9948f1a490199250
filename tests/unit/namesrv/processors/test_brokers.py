"""Brokers that come, stay and go."""

import json
import zlib

import pytest

from mqguard.namesrv.kv import ORDER_NAMESPACE
from mqguard.namesrv.routes import BROKER_LIFE_MS
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


def test_a_broken_body_is_refused(directory):
    body = topics("t")
    assert register(directory, bodyCrc32=zlib.crc32(body)).code == 0
    assert register(directory, bodyCrc32=1).code == ResponseCode.SYSTEM_ERROR
    assert register(directory, b"nonsense").code == ResponseCode.INVALID_PARAMETER
    assert register(directory, b"nonsense", compressed="true").code == ResponseCode.INVALID_PARAMETER


def test_it_goes_with_its_connection_by_its_word_or_by_silence(directory):
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


def test_a_broker_asks_whether_its_topics_are_known(directory):
    answer = directory.call(322, BROKER, json.dumps(VERSION).encode())
    assert (answer.ext, answer.body) == ({"changed": "true"}, b"")
    register(directory)
    answer = directory.call(322, BROKER, json.dumps(VERSION).encode())
    assert (answer.ext, json.loads(answer.body)) == ({"changed": "false"}, VERSION)
    changed = json.dumps({**VERSION, "counter": 2}).encode()
    assert directory.call(322, BROKER, changed).ext == {"changed": "true"}


def test_a_broker_can_be_closed_to_producers(directory):
    register(directory)
    assert directory.call(205, {"brokerName": "b"}).ext == {"wipeTopicCount": "1"}
    assert directory.routes.route("t").queues["b"].perm == 4
    assert directory.call(327, {"brokerName": "b"}).ext == {"addTopicCount": "1"}
    assert directory.routes.route("t").queues["b"].perm == 6


def test_a_master_and_its_slaves(directory):
    register(directory)
    register(directory, brokerAddr="10.0.0.2:1", brokerId=1)
    ext = {"clusterName": "C", "brokerName": "b"}
    group = json.loads(directory.call(901, ext).body)["brokerMemberGroup"]
    assert group == {"cluster": "C", "brokerName": "b", "brokerAddrs": {"0": "10.0.0.1:10911", "1": "10.0.0.2:1"}}
    assert json.loads(directory.call(901, {**ext, "clusterName": "D"}).body)["brokerMemberGroup"]["brokerAddrs"] == {}


@pytest.mark.parametrize("change", [{"brokerName": "broker-a"}, {"brokerAddr": "127.0.0.1:10911"}])
def test_nobody_takes_the_place_of_this_servers_broker(directory, change):
    assert register(directory, **change).code == ResponseCode.NO_PERMISSION
    assert directory.call(104, {**BROKER, **change}).code == ResponseCode.NO_PERMISSION
    assert directory.routes.broker("broker-a").addresses == {0: "127.0.0.1:10911"}


def test_registering_needs_the_permission_on_the_cluster(directory):
    directory.user("alice", ("Topic:*", "All"), ("Cluster:D", "Update"))
    for code, body in [(103, topics("t")), (104, b""), (904, b"")]:
        assert directory.call(code, HEADER, body, user="alice").code == ResponseCode.NO_PERMISSION
    assert directory.call(205, {"brokerName": "broker-a"}, user="alice").code == ResponseCode.NO_PERMISSION
    assert directory.call(103, {**HEADER, "clusterName": "D"}, topics("t"), user="alice").code == 0


@pytest.fixture
def dev(directory):
    """A name server with the broker `b` of cluster C at 10.0.0.1 with topic t; `dev` administers another cluster."""
    register(directory)
    return directory.user("dev", ("Cluster:dev", "Update,Get"))


@pytest.mark.parametrize(
    ("code", "change"),
    [
        (103, {}),
        (103, {"brokerAddr": "10.6.6.6:1"}),
        (103, {"brokerName": "x"}),
        (104, {}),
        (904, {}),
        (322, {}),
    ],
)
def test_a_broker_of_another_cluster_is_not_for_who_administers_one(directory, dev, code, change):
    body = {103: topics(), 322: json.dumps(VERSION).encode()}.get(code, b"")
    answer = directory.call(code, {**HEADER, "clusterName": "dev", **change}, body, user=dev)
    assert answer.code == ResponseCode.NO_PERMISSION
    assert "Cluster:C" in answer.remark
    assert directory.routes.broker("b").addresses == {0: "10.0.0.1:10911"}
    assert directory.routes.broker("b").cluster == "C"


def test_nobody_draws_clients_of_topics_of_another_cluster_to_its_broker(directory, dev):
    mine = {**HEADER, "clusterName": "dev", "brokerName": "x", "brokerAddr": "10.6.6.6:1"}
    for taken in ("t", "TBW102"):
        assert directory.call(103, mine, topics("new", taken), user=dev).code == ResponseCode.NO_PERMISSION
        assert "x" not in directory.routes.route(taken).queues
    assert directory.routes.route("new") is None
    assert directory.call(103, mine, topics("new"), user=dev).code == 0
    assert directory.call(103, mine, topics("new"), user=dev).code == 0
    assert directory.call(904, mine, user=dev).code == 0
    assert directory.call(104, mine, user=dev).code == 0
    both = directory.user("both", ("Cluster:dev", "Update"), ("Cluster:C", "Update"))
    assert directory.call(103, mine, topics("t"), user=both).code == 0
    assert set(directory.routes.route("t").queues) == {"b", "x"}
