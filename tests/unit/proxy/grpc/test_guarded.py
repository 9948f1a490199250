"""The guard in front of every RPC: refusals, identities, client ids and fields that other servers trust."""

import pytest

from mqguard.auth.user import UserStatus
from mqguard.guard.requirements.rpc import RPC_TABLE
from mqguard.rpc.protocol import messages_pb2 as pb
from tests.fixtures import policies
from tests.unit.proxy.grpc.conftest import (
    ENDPOINTS,
    GrpcHouse,
    authorization,
    message,
    receiving,
    resource,
    settings_command,
)

QUEUE = pb.MessageQueue(topic=resource("t"), id=0, broker=pb.Broker(name="broker-a"))
REQUESTS = {
    "QueryRoute": pb.QueryRouteRequest(topic=resource("t"), endpoints=ENDPOINTS),
    "Heartbeat": pb.HeartbeatRequest(group=resource("g"), client_type=pb.PUSH_CONSUMER),
    "SendMessage": pb.SendMessageRequest(messages=[message()]),
    "QueryAssignment": pb.QueryAssignmentRequest(topic=resource("t"), group=resource("g"), endpoints=ENDPOINTS),
    "ReceiveMessage": receiving(),  # without messages, `status` gives it no time to wait
    "AckMessage": pb.AckMessageRequest(group=resource("g"), topic=resource("t"), entries=[pb.AckMessageEntry()]),
    "ForwardMessageToDeadLetterQueue": pb.ForwardMessageToDeadLetterQueueRequest(
        group=resource("g"), topic=resource("t")
    ),
    "PullMessage": pb.PullMessageRequest(group=resource("g"), message_queue=QUEUE),
    "UpdateOffset": pb.UpdateOffsetRequest(group=resource("g"), message_queue=QUEUE),
    "GetOffset": pb.GetOffsetRequest(group=resource("g"), message_queue=QUEUE),
    "QueryOffset": pb.QueryOffsetRequest(message_queue=QUEUE),
    "EndTransaction": pb.EndTransactionRequest(topic=resource("t")),
    "Telemetry": settings_command("g"),
    "NotifyClientTermination": pb.NotifyClientTerminationRequest(group=resource("g")),
    "ChangeInvisibleDuration": pb.ChangeInvisibleDurationRequest(group=resource("g"), topic=resource("t")),
    "RecallMessage": pb.RecallMessageRequest(topic=resource("t")),
    "SyncLiteSubscription": pb.SyncLiteSubscriptionRequest(group=resource("g"), topic=resource("t")),
}


def status(client, name, request=None):
    """Return the status of a call of any kind."""
    request = REQUESTS[name] if request is None else request
    if name == "Telemetry":
        return client.stream(request).result
    answer = client.call(name, request, grpc_timeout="100m")
    return answer[0].status if isinstance(answer, list) else answer.status


@pytest.fixture(params=sorted(REQUESTS))
def rpc(request):
    return request.param


def test_the_requests_below_are_those_of_all_rpcs():
    assert set(REQUESTS) == set(RPC_TABLE)


def test_a_user_without_permission_is_refused_with_a_decision_id(house, rpc):
    house.user("eve", ("Topic:other", "All"))
    found = status(house.client("eve"), rpc)
    assert found.code == pb.UNAUTHORIZED
    (denial,) = house.guard.denials.last(1)
    assert denial.event.decision_id in found.message


@pytest.mark.parametrize(
    "how", ["no user", "unknown user", "wrong secret", "no signature", "disabled", "nonsense", "wrong address", "Deny"]
)
def test_every_wrong_identity_is_refused(house, rpc, how):
    house.user("alice", ("Topic:*", "All"), ("Group:*", "All"), sources=("192.0.2.1",))
    client = house.client("alice", ip="127.0.0.1" if how == "wrong address" else "192.0.2.1")
    if how == "no user":
        client.user = ""
    elif how == "unknown user":
        client.user = "nobody"
    elif how == "wrong secret":
        client.secret = "wrong-secret"
    elif how == "no signature":
        client.fields["authorization"] = "MQv2-HMAC-SHA1 Credential=alice, SignedHeaders=x-mq-date-time"
    elif how == "nonsense":
        client.fields["authorization"] = "Basic YWxpY2U6MTIzNDU2Nzg="
    elif how == "disabled":
        house.manager.update_user("alice", status=UserStatus.DISABLE)
    elif how == "Deny":
        entry = policies.entry("Topic:t", "All", "", decision="Deny")
        group = policies.entry("Group:g", "All", "", decision="Deny")
        house.manager.create_acl(policies.acl("alice", entry, group))
    found = status(client, rpc)
    assert found.code == pb.UNAUTHORIZED, found
    assert "12345678" not in found.message


def test_a_user_with_the_permissions_is_admitted(house, rpc):
    house.user("alice", ("Topic:t", "Pub,Sub"), ("Group:g", "Sub"))
    assert status(house.client("alice"), rpc).code != pb.UNAUTHORIZED


def test_fields_in_which_other_servers_pass_on_an_identity_have_no_effect(house, rpc):
    house.user("eve", ("Topic:other", "All"))
    fields = {"x-mq-authorization-ak": "root", "x-mq-channel-id": "c", "rpc-remote-address": "192.0.2.1:1"}
    house.user("remote", ("Topic:*", "All"), ("Group:*", "All"), sources=("192.0.2.1",))
    for user in ("eve", "remote", ""):
        assert status(house.client(user, **fields), rpc).code == pb.UNAUTHORIZED


def test_a_call_without_a_client_id_is_refused(house, rpc, caplog):
    for wrong, code in (("", pb.CLIENT_ID_REQUIRED), ("  ", pb.CLIENT_ID_REQUIRED), ("c" * 256, pb.BAD_REQUEST)):
        assert status(house.client("root", wrong), rpc).code == code
    assert (len(house.face.clients), house.face.server.waiting) == (0, 0)
    assert not caplog.records


def test_the_guard_decides_before_the_client_id_is_read(house, rpc):
    """The audit log has every refused call."""
    house.user("eve", ("Topic:other", "All"))
    assert status(house.client("eve", ""), rpc).code == pb.UNAUTHORIZED


def test_of_repeated_credentials_only_the_last_ones_count(house):
    house.user("eve", ("Topic:other", "All"))
    client = house.client("eve")
    fields = client.headers()
    date = fields["x-mq-date-time"]
    forged = [("authorization", authorization("root", "guessed", date)), ("authorization", fields["authorization"])]
    assert field_status(client, forged) == pb.UNAUTHORIZED
    assert field_status(client, forged[::-1]) == pb.UNAUTHORIZED


def field_status(client, credentials):
    fields = [(name, value) for name, value in client.headers().items() if name != "authorization"]
    stream = client.wire.client.get_next_available_stream_id()
    head = [(":method", "POST"), (":scheme", "http"), (":path", "/apache.rocketmq.v2.MessagingService/SendMessage")]
    head += [(":authority", "localhost"), ("content-type", "application/grpc"), ("te", "trailers")]
    client.wire.client.send_headers(stream, [*head, *fields, *credentials])
    data = REQUESTS["SendMessage"].SerializeToString()
    client.wire.send(stream, b"\0" + len(data).to_bytes(4, "big") + data, is_end=True)
    client.end_iteration()
    return pb.SendMessageResponse.FromString(client.wire.answers[stream][5:]).status.code


@pytest.mark.parametrize("rpc", sorted(set(REQUESTS) - {"Heartbeat", "NotifyClientTermination", "Telemetry"}))
def test_a_message_without_a_resource_is_refused_for_users(house, rpc):
    """A request that does not name its resource never skips its check. A producer names no group."""
    house.user("alice", ("Topic:*", "All"), ("Group:*", "All"))
    request = house.rpcs[rpc].request()
    assert status(house.client("alice"), rpc, request).code == pb.UNAUTHORIZED


@pytest.mark.parametrize("rpc", sorted(set(REQUESTS) - {"Telemetry"}))
def test_an_empty_message_is_answered_for_a_super_user(house, rpc, caplog):
    found = status(house.client(), rpc, house.rpcs[rpc].request())
    assert found.code not in {0, pb.INTERNAL_SERVER_ERROR, pb.INTERNAL_ERROR}
    assert not caplog.records


def test_without_authentication_a_client_belongs_to_its_address():
    house = GrpcHouse(auth=False)
    house.topic()
    house.client("", "c1", ip="192.0.2.1").register(topics=("t",))
    other = house.client("", "c1", ip="192.0.2.2")
    beat = pb.HeartbeatRequest(client_type=pb.PRODUCER)
    assert other.call("Heartbeat", beat).status.code == pb.UNRECOGNIZED_CLIENT_TYPE
    assert house.client("", "c1", ip="192.0.2.1").call("Heartbeat", beat).status.code == pb.OK
