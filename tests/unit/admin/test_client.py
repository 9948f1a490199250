"""The client finds brokers and topics, and reports peers that are not servers."""

import socket
import threading

import pytest

from mqguard.admin.client import Broker, Client
from mqguard.admin.errors import AnswerInvalid, ClusterUnknown, PeerRefused
from mqguard.admin.session import ConnectionOptions, KnownBrokers
from mqguard.admin.topics import create
from mqguard.auth.user import Secret
from mqguard.config.secret import Credentials
from mqguard.model.topic import TopicConfig
from mqguard.net.errors import LinkClosed, LinkRefused
from mqguard.remoting.frame import FrameReader, encode_reply


class Canned:
    """A name server that answers every request with one body."""

    def __init__(self, body, code=0):
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, args=(body, code), daemon=True)

    def _serve(self, body, code):
        peer, _ = self._listener.accept()
        reader = FrameReader()
        with peer:
            while data := peer.recv(65536):
                for command in reader.feed(data):
                    peer.sendall(encode_reply(command.opaque, code, None, None, body))

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._listener.close()
        self._thread.join(5)


def client_of(body):
    return Canned(body)


CLUSTERS = (
    b'{"brokerAddrTable":{"a":{"cluster":"C1","brokerName":"a","brokerAddrs":{0:"10.0.0.1:1",1:"10.0.0.2:1"}},'
    b'"b":{"cluster":"C2","brokerName":"b","brokerAddrs":{"1":"10.0.0.3:1"}}},'
    b'"clusterAddrTable":{"C1":["a"],"C2":["b"]}}'
)


def test_the_only_cluster_needs_no_name(admin, server):
    assert admin.brokers() == [Broker("DefaultCluster", "broker-a", server.broker)]
    assert admin.brokers("DefaultCluster") == admin.brokers()


def test_one_of_several_clusters_must_be_named_and_only_masters_are_used():
    known = KnownBrokers(pins={"10.0.0.1:1": ""})
    with client_of(CLUSTERS) as canned, Client(canned.address, ConnectionOptions(known=known)) as client:
        with pytest.raises(ClusterUnknown, match="knows the clusters C1, C2: choose one with `--cluster`"):
            client.brokers()
        assert client.brokers("C1") == [Broker("C1", "a", "10.0.0.1:1")]
        with pytest.raises(ClusterUnknown, match="knows no broker of the cluster `C2`; clusters: C1, C2"):
            client.brokers("C2")


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"brokerAddrTable":7,"clusterAddrTable":{}}'])
def test_a_malformed_answer_is_reported(body):
    refused = pytest.raises(AnswerInvalid, match="the server's answer cannot be read")
    with client_of(body) as canned, Client(canned.address, ConnectionOptions()) as client, refused:
        client.brokers()


def test_an_empty_cluster_table_is_reported():
    refused = pytest.raises(ClusterUnknown, match="clusters: none")
    tables = b'{"brokerAddrTable":{},"clusterAddrTable":{}}'
    with client_of(tables) as canned, Client(canned.address, ConnectionOptions()) as client, refused:
        client.brokers()


def test_a_peer_that_is_not_a_rocketmq_server_is_reported():
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        peer, _ = listener.accept()
        with peer:
            peer.recv(100)
            peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    thread = threading.Thread(target=serve)
    thread.start()
    refused = pytest.raises(LinkClosed, match="sent bytes that are not valid in the remoting protocol")
    with listener, Client(f"127.0.0.1:{listener.getsockname()[1]}", ConnectionOptions()) as client, refused:
        client.brokers()
    thread.join()


def test_the_next_name_server_is_tried(server):
    credentials = Credentials("rocketmq", Secret("12345678"))
    with Client(f"127.0.0.1:1; {server.namesrv}", ConnectionOptions(credentials)) as client:
        assert len(client.brokers()) == 1
    with (
        Client("127.0.0.1:1;127.0.0.1:2", ConnectionOptions(credentials)) as client,
        pytest.raises(LinkRefused, match=r"127\.0\.0\.1:2"),
    ):
        client.brokers()


def test_a_route_counts_only_queues_that_may_be_used(admin, server):
    session = admin.at(server.broker)
    create(session, TopicConfig("readable", 3, 5, 4))
    create(session, TopicConfig("writable", 3, 5, 2))
    assert [(place.read_queues, place.write_queues) for place in admin.route("readable")] == [(3, 0)]
    assert [(place.read_queues, place.write_queues) for place in admin.route("writable")] == [(0, 5)]
    with pytest.raises(PeerRefused, match="topic not exist"):
        admin.route("no-such-topic")
