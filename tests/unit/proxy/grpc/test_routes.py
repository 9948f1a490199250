"""Routes and the queues of push consumers."""

import pytest

from mqguard.model.topic import TopicConfig
from mqguard.rpc.protocol import messages_pb2 as pb
from tests.unit.proxy.grpc.conftest import ENDPOINTS, resource


def route(client, topic="t", endpoints=ENDPOINTS):
    return client.call("QueryRoute", pb.QueryRouteRequest(topic=resource(topic), endpoints=endpoints))


def assigned(client, group="g", topic="t", endpoints=ENDPOINTS):
    request = pb.QueryAssignmentRequest(topic=resource(topic), group=resource(group), endpoints=endpoints)
    return client.call("QueryAssignment", request)


def test_a_route_has_the_queues_at_the_address_of_the_client(house):
    answer = route(house.client())
    assert answer.status.code == pb.OK
    assert [queue.id for queue in answer.message_queues] == [0, 1, 2, 3]
    for queue in answer.message_queues:
        assert (queue.broker.name, queue.broker.id, queue.broker.endpoints) == ("broker-a", 0, ENDPOINTS)
        assert (queue.permission, queue.topic.name) == (pb.READ_WRITE, "t")
        assert list(queue.accept_message_types) == [pb.NORMAL, pb.FIFO, pb.DELAY, pb.TRANSACTION]


@pytest.mark.parametrize("kind", ["NORMAL", "FIFO", "DELAY", "TRANSACTION", "PRIORITY", "LITE"])
def test_a_route_has_the_kind_of_its_topic(house, kind):
    house.topic("k", message_type=kind)
    answer = route(house.client(), "k")
    assert {tuple(queue.accept_message_types) for queue in answer.message_queues} == {(pb.MessageType.Value(kind),)}


def test_queues_for_one_direction_come_first(house):
    house.engine.topics.put(TopicConfig("more", 4, 2))
    rights = [queue.permission for queue in route(house.client(), "more").message_queues]
    assert rights == [pb.READ, pb.READ, pb.READ_WRITE, pb.READ_WRITE]


WRONG = [
    ({"topic": "unknown"}, pb.TOPIC_NOT_FOUND),
    ({"topic": "a b"}, pb.ILLEGAL_TOPIC),
    ({"topic": ""}, pb.ILLEGAL_TOPIC),
    ({"topic": "RMQ_SYS_TRANS_HALF_TOPIC"}, pb.ILLEGAL_TOPIC),
    ({"endpoints": pb.Endpoints()}, pb.ILLEGAL_ACCESS_POINT),
]


@pytest.mark.parametrize(("change", "code"), WRONG)
def test_a_wrong_route_has_the_documented_code(house, caplog, change, code):
    answer = route(house.client(), **change)
    assert (answer.status.code, len(answer.message_queues)) == (code, 0)
    assert not caplog.records


@pytest.mark.parametrize(("change", "code"), [*WRONG, ({"group": "a b"}, pb.ILLEGAL_CONSUMER_GROUP)])
def test_a_wrong_assignment_has_the_documented_code(house, caplog, change, code):
    answer = assigned(house.client(), **change)
    assert (answer.status.code, len(answer.assignments)) == (code, 0)
    assert not caplog.records


def test_a_push_consumer_gets_each_broker_once(house):
    answer = assigned(house.client())
    (one,) = answer.assignments
    assert (answer.status.code, one.message_queue.id, one.message_queue.permission) == (pb.OK, -1, pb.READ)
    assert assigned(house.client()) == answer


def test_a_push_consumer_of_a_group_in_order_gets_each_queue(house):
    house.group("f", consume_orderly=True)
    answer = assigned(house.client(), "f")
    assert [one.message_queue.id for one in answer.assignments] == [0, 1, 2, 3]


def test_a_topic_that_is_not_readable_has_no_assignment(house):
    house.engine.topics.put(TopicConfig("w", 4, 4, perm=2))
    assert assigned(house.client(), topic="w").status.code == pb.FORBIDDEN


def test_a_route_needs_a_permission_for_the_topic(house):
    house.user("alice", ("Topic:other", "Pub"))
    assert route(house.client("alice")).status.code == pb.UNAUTHORIZED
    house.user("bob", ("Topic:t", "Sub"))
    assert route(house.client("bob")).status.code == pb.OK
