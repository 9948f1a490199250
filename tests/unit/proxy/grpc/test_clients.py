"""Telemetry, heartbeats and the end of clients."""

import json

import pytest

from mqguard.auth.user import Subject
from mqguard.proxy.grpc import messages
from mqguard.proxy.grpc.clients import MAX_STREAMS
from mqguard.proxy.grpc.telemetry import MAX_EXPRESSION, MAX_TOPICS
from mqguard.remoting.codes import RequestCode
from mqguard.rpc.protocol import messages_pb2 as pb
from tests.unit.proxy.grpc.conftest import ENDPOINTS, GrpcHouse, message, resource, settings_command


def connections(house, group="g"):
    """Return the client ids of a group, as `mqadmin` gets them."""
    answer = house.call(RequestCode.GET_CONSUMER_CONNECTION_LIST, {"consumerGroup": group})
    return [one["clientId"] for one in json.loads(answer.body)["connectionSet"]] if answer.code == 0 else []


def beating(group="", kind=pb.PRODUCER):
    return pb.HeartbeatRequest(group=resource(group) if group else None, client_type=kind)


def test_a_producer_gets_the_settings_of_the_server(house):
    command = settings_command(topics=("t",))
    command.settings.user_agent.language = pb.JAVA
    command.settings.request_timeout.seconds = 3
    command.settings.access_point.CopyFrom(ENDPOINTS)
    command.settings.metric.on = True
    (answer,) = house.client().stream(command).answers
    settings = answer.settings
    assert answer.status.code == pb.OK
    assert settings.client_type == pb.PRODUCER
    assert [topic.name for topic in settings.publishing.topics] == ["t"]
    assert (settings.publishing.max_body_size, settings.publishing.validate_message_type) == (4 * 1024 * 1024, True)
    assert settings.backoff_policy.max_attempts == 3
    assert settings.backoff_policy.exponential_backoff.max.seconds == 1
    assert (settings.request_timeout.seconds, settings.access_point, settings.metric.on) == (3, ENDPOINTS, False)


def test_a_consumer_gets_the_settings_of_its_group(house):
    house.group("f", consume_orderly=True, retry_max_times=4)
    (answer,) = house.client().register("f", kind=pb.PUSH_CONSUMER).answers
    subscription = answer.settings.subscription
    assert answer.status.code == pb.OK
    assert (subscription.fifo, subscription.receive_batch_size, subscription.long_polling_timeout.seconds) == (
        True,
        32,
        20,
    )
    assert subscription.group.name == "f"
    assert answer.settings.backoff_policy.max_attempts == 5
    assert [delay.seconds for delay in answer.settings.backoff_policy.customized_backoff.next][:4] == [1, 5, 10, 30]


def test_a_client_is_a_member_of_its_group_while_its_stream_is_open(house):
    client = house.client()
    stream = client.register("g", kind=pb.PUSH_CONSUMER)
    assert connections(house) == ["c1"]
    for _ in range(20):
        house.tick(30_000)
        assert client.call("Heartbeat", beating("g", pb.PUSH_CONSUMER)).status.code == pb.OK
    assert connections(house) == ["c1"]
    stream.cancel()
    for _ in range(5):
        house.tick(30_000)
    assert connections(house) == []
    assert len(house.face.clients) == 0


def test_a_client_that_ends_leaves_its_group_at_once(house):
    client = house.client()
    client.register("g", kind=pb.PUSH_CONSUMER)
    ended = client.call("NotifyClientTermination", pb.NotifyClientTerminationRequest(group=resource("g")))
    assert ended.status.code == pb.OK
    assert (connections(house), len(house.face.clients)) == ([], 0)


WRONG = {
    "neither kind": pb.TelemetryCommand(settings=pb.Settings(client_type=pb.PRODUCER)),
    "a producer that subscribes": settings_command("g", kind=pb.PRODUCER),
    "a consumer that publishes": settings_command(kind=pb.PUSH_CONSUMER),
    "illegal group": settings_command("a b"),
    "no group": settings_command(""),
    "illegal topic": settings_command(topics=("a b",)),
    "illegal subscribed topic": settings_command("g", topics=("a b",)),
    "many topics": settings_command(topics=tuple(f"t{number}" for number in range(MAX_TOPICS + 1))),
    "long filter": settings_command(
        "g", filters={"t": pb.FilterExpression(type=pb.TAG, expression="a" * (MAX_EXPRESSION + 1))}
    ),
    "unknown filter": settings_command("g", filters={"t": pb.FilterExpression(type=9, expression="a")}),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_settings_have_a_code_and_register_no_client(house, caplog, wrong):
    stream = house.client().stream(WRONG[wrong])
    assert 40_000 <= stream.result.code < 50_000
    assert stream.result.message
    assert [one.HasField("settings") for one in stream.answers] == [False]
    assert stream.status == "3"  # INVALID_ARGUMENT
    assert (len(house.face.clients), connections(house)) == (0, [])
    assert not caplog.records


def test_a_malformed_filter_ends_no_start(house):
    """Users of clients read the error of a receive, and not that of a start."""
    client = house.client()
    malformed = pb.FilterExpression(type=pb.SQL, expression="a = = 1")
    assert client.stream(settings_command("g", filters={"t": malformed})).result.code == pb.OK
    assert client.receive(filter=malformed).code == pb.ILLEGAL_FILTER_EXPRESSION


def test_settings_need_the_permissions_of_their_kind(house):
    house.user("alice", ("Topic:t", "Pub"))
    house.user("bob", ("Topic:t", "Sub"))
    streams = [
        house.client("bob").register(topics=("t",)),
        house.client("alice").register("g"),
        house.client("bob").register("g"),
        house.client("bob").register("g", kind=pb.PUSH_CONSUMER),
    ]
    assert [stream.result.code for stream in streams] == [pb.UNAUTHORIZED] * 4
    assert len(house.face.clients) == 0


def test_a_client_keeps_its_settings_if_new_ones_are_refused(house):
    client = house.client()
    stream = client.register("g")
    stream.send(settings_command("g", topics=("a b",)))
    last = stream.answers[-1]
    assert (last.status.code, [one.topic.name for one in last.settings.subscription.subscriptions]) == (
        pb.ILLEGAL_TOPIC,
        ["t"],
    )
    assert (stream.status, connections(house)) == (None, ["c1"])


def test_a_client_belongs_to_its_user(house):
    """Two users may have one client id, and neither reaches the other's client."""
    for name in ("alice", "bob"):
        house.user(name, ("Topic:t", "Sub"), ("Group:g", "Sub"))
    alice, bob = house.client("alice"), house.client("bob")
    alice.register("g")
    assert bob.call("Heartbeat", beating("g", pb.SIMPLE_CONSUMER)).status.code == pb.UNRECOGNIZED_CLIENT_TYPE
    assert bob.call("NotifyClientTermination", pb.NotifyClientTerminationRequest(group=resource("g"))).status.code == (
        pb.OK
    )
    assert connections(house) == ["c1"]
    bob.register("g")
    assert connections(house) == ["c1", "c1"]
    bob.call("NotifyClientTermination", pb.NotifyClientTerminationRequest(group=resource("g")))
    assert connections(house) == ["c1"]


def test_a_heartbeat_names_the_group_of_the_settings(house):
    house.group("h")
    client = house.client()
    client.register("g")
    assert client.call("Heartbeat", beating("h", pb.SIMPLE_CONSUMER)).status.code == pb.ILLEGAL_CONSUMER_GROUP
    assert connections(house, "h") == []


def test_one_stream_has_one_client(house):
    client = house.client()
    stream = client.register("g")
    client.fields["x-mq-client-id"] = "c2"
    stream.send(settings_command("g"))
    assert [one.status.code for one in stream.answers] == [pb.OK, pb.OK]
    assert connections(house) == ["c1"]  # the id is that of the call, not of later ones


def test_the_streams_of_a_client_are_limited(house):
    client = house.client()
    codes = [client.register("g").result.code for _ in range(MAX_STREAMS + 2)]
    assert codes == [pb.OK] * MAX_STREAMS + [pb.TOO_MANY_REQUESTS] * 2


def test_a_stream_without_settings_registers_nothing(house):
    house.client().stream(pb.TelemetryCommand(thread_stack_trace=pb.ThreadStackTrace(nonce="x")))
    assert len(house.face.clients) == 0


def test_the_clients_of_a_user_are_limited():
    house = GrpcHouse(proxy={"max_clients_of_one": 2})
    house.topic()
    house.user("alice", ("Topic:t", "Pub"))
    codes = [house.client("alice", f"c{number}").register(topics=("t",)).result.code for number in range(3)]
    assert codes == [pb.OK, pb.OK, pb.TOO_MANY_REQUESTS]
    assert house.client("root", "c9").register(topics=("t",)).answers[0].status.code == pb.OK


# Transactions


def half(client, body=b"1", **more):
    answer = client.send(message(body, message_type=pb.TRANSACTION, **more))
    return answer.entries[0].transaction_id


def ending(transaction, resolution=pb.COMMIT, topic="t", **more):
    return pb.EndTransactionRequest(
        topic=resource(topic),
        message_id="0102030405060708090A0B0C0D0E0F",
        transaction_id=transaction,
        resolution=resolution,
        source=pb.SOURCE_CLIENT,
        **more,
    )


def test_a_committed_transaction_is_delivered(house):
    client = house.client()
    transaction = half(client)
    assert client.receive(timeout=100).messages == []
    assert client.call("EndTransaction", ending(transaction)).status.code == pb.OK
    got = client.receive()
    assert got.bodies == [b"1"]
    assert got.messages[0].system_properties.message_type == pb.TRANSACTION


def test_a_rolled_back_transaction_is_not_delivered(house):
    client = house.client()
    transaction = half(client)
    assert client.call("EndTransaction", ending(transaction, pb.ROLLBACK)).status.code == pb.OK
    assert client.call("EndTransaction", ending(transaction)).status.code == pb.INVALID_TRANSACTION_ID
    assert client.receive(timeout=100).messages == []


def test_no_invented_transaction_id_reaches_a_transaction(house, caplog):
    house.topic("u")
    client = house.client()
    transaction = half(client)
    place, number, broker = transaction.split("-", 2)
    wrong = ["", "x", transaction.lower() + "x", f"{place}-{int(number) + 1}-{broker}", f"{place}-{number}-other"]
    wrong += [f"{int(place, 16) + 1:016X}-{number}-{broker}", f"{place}-{'9' * 19}-{broker}", "0" * 16 + "-0-broker-a"]
    for one in wrong[:-1] if int(place, 16) == 0 else wrong:
        assert client.call("EndTransaction", ending(one)).status.code == pb.INVALID_TRANSACTION_ID, one
    assert client.call("EndTransaction", ending(transaction, topic="u")).status.code == pb.INVALID_TRANSACTION_ID
    assert client.call("EndTransaction", ending(transaction, topic="a b")).status.code == pb.ILLEGAL_TOPIC
    assert client.call("EndTransaction", ending(transaction, 0)).status.code == pb.BAD_REQUEST
    assert client.call("EndTransaction", ending(transaction)).status.code == pb.OK
    assert not caplog.records


def test_a_user_ends_no_transaction_of_a_topic_without_permission(house):
    house.topic("own")
    house.user("eve", ("Topic:own", "Pub"))
    transaction = half(house.client())
    eve = house.client("eve")
    assert eve.call("EndTransaction", ending(transaction)).status.code == pb.UNAUTHORIZED
    assert eve.call("EndTransaction", ending(transaction, topic="own")).status.code == pb.INVALID_TRANSACTION_ID
    assert house.client().call("EndTransaction", ending(transaction)).status.code == pb.OK


def checks(stream):
    found = [one.recover_orphaned_transaction_command for one in stream.answers]
    return [one for one in found if one.transaction_id]


def let_checks_come(house, client):
    for _ in range(8):
        house.tick(10_000)
        client.end_iteration()


def test_a_producer_is_asked_about_a_transaction_without_result(house):
    client = house.client()
    stream = client.register(topics=("t",))
    transaction = half(client, tag="a")
    let_checks_come(house, client)
    check = checks(stream)[0]
    assert check.transaction_id == transaction
    assert (check.message.body, check.message.topic.name, check.message.system_properties.tag) == (b"1", "t", "a")
    assert check.message.system_properties.message_type == pb.TRANSACTION
    assert check.message.system_properties.message_id == "0102030405060708090A0B0C0D0E0F"
    answer = ending(check.transaction_id)
    answer.source = pb.SOURCE_SERVER_CHECK
    assert client.call("EndTransaction", answer).status.code == pb.OK
    assert client.receive().bodies == [b"1"]


def test_a_producer_whose_permission_is_gone_is_not_asked(house):
    """The question has the message."""
    house.user("alice", ("Topic:t", "Pub"))
    alice = house.client("alice")
    stream = alice.register(topics=("t",))
    half(alice)
    house.manager.delete_acl(Subject("alice"))
    let_checks_come(house, alice)
    assert checks(stream) == []


def test_a_producer_of_another_user_without_permission_is_not_asked(house):
    house.topic("own")
    house.user("eve", ("Topic:own", "Pub"))
    eve = house.client("eve")
    stream = eve.register(topics=("own",))
    half(house.client())
    let_checks_come(house, eve)
    assert checks(stream) == []


# Recall


def delayed(client, topic="t"):
    due = messages.timestamp(client.house.clock.now + 60_000)
    return client.send(message(b"later", topic, message_type=pb.DELAY, delivery_timestamp=due)).entries[0].recall_handle


def recalling(handle, topic="t"):
    return pb.RecallMessageRequest(topic=resource(topic), recall_handle=handle)


def test_a_recalled_message_is_not_delivered(house):
    client = house.client()
    handle = delayed(client)
    answer = client.call("RecallMessage", recalling(handle))
    assert (answer.status.code, answer.message_id) == (pb.OK, "0102030405060708090A0B0C0D0E0F")
    for _ in range(8):
        house.tick(10_000)
    assert client.receive(timeout=100).messages == []


def test_a_handle_of_another_topic_recalls_nothing(house, caplog):
    house.topic("own")
    house.user("eve", ("Topic:own", "Pub"))
    client, eve = house.client(), house.client("eve")
    handle = delayed(client)
    assert eve.call("RecallMessage", recalling(handle)).status.code == pb.UNAUTHORIZED
    assert eve.call("RecallMessage", recalling(handle, "own")).status.code == pb.BAD_REQUEST
    for wrong in ("", "x", handle[:20]):
        assert client.call("RecallMessage", recalling(wrong)).status.code == pb.BAD_REQUEST
    assert client.call("RecallMessage", recalling(handle, "unknown")).status.code == pb.TOPIC_NOT_FOUND
    assert client.call("RecallMessage", recalling(handle)).status.code == pb.OK
    assert not caplog.records
