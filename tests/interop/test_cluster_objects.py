"""Requests that reach more than they name, through `mqguard proxy` at a broker of Apache RocketMQ."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from mqguard.model.record import decode_all, parse_offset_id
from tests.fixtures.access import (
    ADMIN,
    bodies,
    create_topic,
    create_user,
    entry,
    expect,
    grant,
    pull_fields,
    send_fields,
)
from tests.fixtures.apache import ApacheCluster
from tests.fixtures.server import INNER, GuardProxy
from tests.fixtures.waiting import eventually
from tests.fixtures.wire import HEARTBEAT, PULL, SEND, Answer, User, Wire, request

pytestmark = pytest.mark.xdist_group("apache-cluster")

Name = Callable[[str], str]
NO_PERMISSION, SYSTEM_ERROR, ILLEGAL = 16, 1, 13
QUERY, VIEW, UNREGISTER, SEND_BACK, END_TRANSACTION = 12, 33, 35, 36, 37
CONSUMER_CONNECTION, CONSUME_STATS, CONSUME_DIRECTLY, CLONE_OFFSETS, RESUME_CHECK = 203, 208, 309, 314, 323
REPLY, TOPICS_OF_GROUP, CORRECTION, BATCH_ACK, POP_LITE, SUBSCRIBE_LITE = 324, 343, 308, 200151, 200070, 200071
CREATE_GROUP, BROKER_CONFIG, MAX_OFFSET = 200, 26, 30


@pytest.fixture(scope="module")
def guard(apache_cluster: ApacheCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardProxy]:
    with GuardProxy(tmp_path_factory.mktemp("guard"), apache_cluster.namesrv, settings=INNER) as started:
        yield started


@pytest.fixture
def admin(guard: GuardProxy) -> Iterator[Wire]:
    with Wire(guard.broker_port, ADMIN) as wire:
        yield wire


@pytest.fixture
def mine(admin: Wire, name: Name) -> str:
    """Create a topic that mallory may use."""
    topic = name("mine")
    create_topic(admin, topic, 1)
    return topic


@pytest.fixture
def other(admin: Wire, name: Name) -> str:
    """Create a topic that mallory may not use."""
    topic = name("other")
    create_topic(admin, topic, 1)
    return topic


@pytest.fixture
def group(name: Name) -> str:
    return name("group")


@pytest.fixture
def mallory(guard: GuardProxy, admin: Wire, name: Name, mine: str, group: str) -> Iterator[Wire]:
    """Connect a user with all rights on one topic and on one group."""
    user = User(name("mallory"), "secret-of-mallory")
    create_user(admin, user.name, user.secret)
    grant(admin, user.name, entry(f"Topic:{mine}", "Pub,Sub,Get,Update"), entry(f"Group:{group}", "Sub,Get,Update"))
    with Wire(guard.broker_port, user) as wire:
        yield wire


def put(wire: Wire, topic: str, body: bytes, properties: str = "") -> Answer:
    return wire.call(SEND, send_fields(topic, 0, properties), body)


def offset_of(answer: Answer) -> str:
    place = parse_offset_id(expect(answer).ext["msgId"])
    assert place is not None
    return str(place.physical_offset)


def heartbeat(client_id: str, group: str = "", topics: tuple[str, ...] = (), producer: str = "") -> bytes:
    subscriptions = [
        {"topic": topic, "subString": "*", "subVersion": 1, "expressionType": "TAG", "tagsSet": [], "codeSet": []}
        for topic in topics
    ]
    consumer = {
        "groupName": group,
        "consumeType": "CONSUME_PASSIVELY",
        "messageModel": "CLUSTERING",
        "consumeFromWhere": "CONSUME_FROM_FIRST_OFFSET",
        "subscriptionDataSet": subscriptions,
        "unitMode": False,
    }
    body = {
        "clientID": client_id,
        "consumerDataSet": [consumer] if group else [],
        "producerDataSet": [{"groupName": producer}] if producer else [],
    }
    return json.dumps(body).encode()


def refused(answer: Answer, code: int = NO_PERMISSION) -> None:
    assert (answer.code, answer.body) == (code, b""), answer


def test_the_id_of_a_message_leads_to_it_through_the_guard(guard: GuardProxy, admin: Wire, mine: str) -> None:
    sent = expect(put(admin, mine, b"body"))
    place = parse_offset_id(sent.ext["msgId"])
    assert place is not None
    assert (place.address, place.port) == (b"\x7f\0\0\1", guard.broker_port)
    viewed = expect(admin.call(VIEW, {"topic": mine, "offset": str(place.physical_offset)}))
    (message,) = decode_all(viewed.body)
    assert (message.body, message.store_port) == (b"body", guard.broker_port)


@pytest.mark.parametrize("named", [True, False])
def test_a_message_is_viewed_only_with_rights_on_its_topic(
    admin: Wire, mallory: Wire, mine: str, other: str, named: bool
) -> None:
    fields = {"topic": mine} if named else {}
    refused(mallory.call(VIEW, {**fields, "offset": offset_of(put(admin, other, b"secret"))}))
    viewed = mallory.call(VIEW, {**fields, "offset": offset_of(put(admin, mine, b"open"))})
    assert bodies(expect(viewed).body) == [b"open"]


def test_a_message_is_sent_back_only_with_rights_on_its_topic(
    admin: Wire, mallory: Wire, mine: str, other: str, group: str
) -> None:
    fields = {"group": group, "delayLevel": "1", "originTopic": mine, "unitMode": "false", "maxReconsumeTimes": "16"}
    expect(admin.call(CREATE_GROUP, body=json.dumps({"groupName": group, "consumeEnable": True}).encode()))
    refused(mallory.call(SEND_BACK, {**fields, "offset": offset_of(put(admin, other, b"secret"))}))
    expect(mallory.call(SEND_BACK, {**fields, "offset": offset_of(put(admin, mine, b"open"))}))


def test_a_consumer_gets_only_messages_of_its_topics(
    guard: GuardProxy, admin: Wire, mallory: Wire, mine: str, other: str, group: str, name: Name
) -> None:
    """Neither mallory nor an administrator can hand mallory's consumer a message that its user may not read."""
    client_id = name("client")
    expect(mallory.call(HEARTBEAT, body=heartbeat(client_id, group, (mine,))))
    secret = expect(put(admin, other, b"secret")).ext["msgId"]
    opened = expect(put(admin, mine, b"open")).ext["msgId"]
    fields = {"consumerGroup": group, "clientId": client_id, "brokerName": "apache-a"}
    refused(mallory.call(CONSUME_DIRECTLY, {**fields, "msgId": secret, "topic": mine}))
    with Wire(guard.broker_port, ADMIN) as second:
        assert second.call(CONSUME_DIRECTLY, {**fields, "msgId": secret}).code != 0
        asked = second.post(CONSUME_DIRECTLY, {**fields, "msgId": opened})
        pushed = mallory.read()
        assert (pushed.code, bodies(pushed.body)) == (CONSUME_DIRECTLY, [b"open"])
        assert not {"AccessKey", "Signature", "SecurityToken"} & pushed.ext.keys()
        reply = request(0, {}, b'{"consumeResult":"CR_SUCCESS"}', opaque=pushed.opaque, flag=1)
        mallory.socket.sendall(reply)
        assert (found := second.read()).opaque == asked
        assert expect(found).json() == {"consumeResult": "CR_SUCCESS"}


def test_a_transaction_is_ended_only_with_rights_on_its_topic(
    admin: Wire, mallory: Wire, mine: str, other: str, name: Name
) -> None:
    group = name("producer")
    properties = f"TRAN_MSG\x01true\x02PGROUP\x01{group}\x02UNIQ_KEY\x01{name('key')}\x02"
    for wire, topic, expected in ((mallory, other, SYSTEM_ERROR), (mallory, mine, 0), (admin, other, 0)):
        fields = {**send_fields(topic, 0, properties), "producerGroup": group, "sysFlag": "4"}
        half = expect(admin.call(SEND, fields, b"half"))
        end = {
            "topic": mine,
            "producerGroup": group,
            "tranStateTableOffset": half.ext["queueOffset"],
            "commitLogOffset": offset_of(half),
            "commitOrRollback": "8",
            "fromTransactionCheck": "false",
            "msgId": half.ext["msgId"],
        }
        assert wire.call(END_TRANSACTION, end).code == expected
        without = {key: value for key, value in end.items() if key != "topic"}
        if expected:
            assert wire.call(END_TRANSACTION, without).code == expected
            expect(admin.call(END_TRANSACTION, {**end, "commitOrRollback": "12"}))
    stored = [expect(admin.call(MAX_OFFSET, {"topic": topic, "queueId": "0"})).ext["offset"] for topic in (mine, other)]
    assert stored == ["1", "1"]


def test_a_check_of_a_transaction_reaches_only_a_producer_with_rights(
    guard: GuardProxy, admin: Wire, mallory: Wire, mine: str, other: str, name: Name
) -> None:
    """Apache's broker sends the half message to each client that has named the producer group."""
    group = name("producer")
    expect(mallory.call(HEARTBEAT, body=heartbeat(name("spy"), producer=group)))
    for topic in (other, mine):
        properties = f"TRAN_MSG\x01true\x02PGROUP\x01{group}\x02UNIQ_KEY\x01{name('key')}\x02"
        fields = {**send_fields(topic, 0, properties), "producerGroup": group, "sysFlag": "4"}
        with Wire(guard.broker_port, ADMIN) as wire:
            expect(wire.call(SEND, fields, f"half of {topic}".encode()))
    mallory.socket.settimeout(60)
    check = mallory.read()
    assert check.code == 39
    (message,) = decode_all(check.body)
    assert (message.body, message.store_port) == (f"half of {mine}".encode(), guard.broker_port)


def test_a_discarded_transaction_is_resumed_only_where_it_is_one(admin: Wire, mallory: Wire, mine: str) -> None:
    """Apache's broker takes any stored message for a discarded half message."""
    sent = expect(put(admin, mine, b"body")).ext["msgId"]
    refused(mallory.call(RESUME_CHECK, {"msgId": sent, "topic": mine}), SYSTEM_ERROR)


def test_offsets_are_cloned_only_with_rights_on_each_topic(
    admin: Wire, mallory: Wire, mine: str, other: str, group: str, name: Name
) -> None:
    """The request names no topic, and the source has offsets in two."""
    victim = name("victim")
    for one in (victim, group):
        expect(admin.call(CREATE_GROUP, body=json.dumps({"groupName": one, "consumeEnable": True}).encode()))
    for topic in (mine, other):
        expect(admin.call(15, {"consumerGroup": victim, "topic": topic, "queueId": "0", "commitOffset": "0"}))
    fields = {"srcGroup": victim, "destGroup": group, "offline": "false"}
    refused(mallory.call(CLONE_OFFSETS, fields))
    user = mallory.user
    assert user is not None
    grant(admin, user.name, entry(f"Group:{victim}", "Get"))
    refused(mallory.call(CLONE_OFFSETS, fields))
    refused(mallory.call(CLONE_OFFSETS, {**fields, "topic": other}))
    expect(mallory.call(CLONE_OFFSETS, {**fields, "topic": mine}))


def test_reports_leave_out_topics_that_the_sender_may_not_see(
    admin: Wire, mallory: Wire, mine: str, other: str, group: str, name: Name
) -> None:
    expect(admin.call(CREATE_GROUP, body=json.dumps({"groupName": group, "consumeEnable": True}).encode()))
    for topic in (mine, other):
        expect(admin.call(15, {"consumerGroup": group, "topic": topic, "queueId": "0", "commitOffset": "0"}))
    expect(admin.call(HEARTBEAT, body=heartbeat(name("client"), group, (mine, other))))
    for wire, expected in ((admin, {mine, other}), (mallory, {mine})):
        listed = set(expect(wire.call(TOPICS_OF_GROUP, {"group": group})).json()["topicList"])
        assert {topic for topic in listed if topic in {mine, other}} == expected
        connected = expect(wire.call(CONSUMER_CONNECTION, {"consumerGroup": group})).json()
        assert set(connected["subscriptionTable"]) & {mine, other} == expected
        stats = expect(wire.call(CONSUME_STATS, {"consumerGroup": group})).body.decode()
        assert {topic for topic in (mine, other) if f'"{topic}"' in stats} == expected


def test_a_query_gives_out_messages_of_the_topic_only(admin: Wire, mallory: Wire, mine: str, name: Name) -> None:
    key = name("key")
    expect(put(admin, mine, b"body", f"KEYS\x01{key}\x02"))
    fields = {"topic": mine, "key": key, "maxNum": "32", "beginTimestamp": "0", "endTimestamp": str(2**62)}
    assert eventually(lambda: mallory.call(QUERY, fields).code == 0, 60)
    assert bodies(expect(mallory.call(QUERY, fields)).body) == [b"body"]
    refused(mallory.call(QUERY, {**fields, "topic": "TBW102"}))


def test_messages_of_a_retry_topic_need_rights_on_their_topic(
    admin: Wire, mallory: Wire, mine: str, other: str, group: str
) -> None:
    expect(
        admin.call(
            CREATE_GROUP, body=json.dumps({"groupName": group, "consumeEnable": True, "retryQueueNums": 1}).encode()
        )
    )
    retry = f"%RETRY%{group}"
    for topic in (other, mine):
        expect(put(admin, retry, f"of {topic}".encode(), f"RETRY_TOPIC\x01{topic}\x02"))
    found: list[bytes] = []

    def read() -> bool:
        answer = mallory.call(PULL, pull_fields(retry, group, 0, 0))
        found[:] = bodies(answer.body)
        return answer.code == 0

    assert eventually(read, 60)
    assert found == [f"of {mine}".encode()]
    refused(mallory.call(PULL, pull_fields(f"%RETRY%{group}x", group, 0, 0)))


def test_an_answer_cannot_be_exchanged_for_an_earlier_one(admin: Wire, mallory: Wire, other: str, group: str) -> None:
    """The answers of two requests with one number must not let the second one pass without its filter."""
    expect(
        admin.call(
            CREATE_GROUP, body=json.dumps({"groupName": group, "consumeEnable": True, "retryQueueNums": 1}).encode()
        )
    )
    retry = f"%RETRY%{group}"
    expect(put(admin, retry, b"secret", f"RETRY_TOPIC\x01{other}\x02"))
    user = mallory.user
    assert user is not None
    first = request(14, {"consumerGroup": group, "topic": retry, "queueId": "0"}, user=user, opaque=7)
    second = request(PULL, pull_fields(retry, group, 0, 0), user=user, opaque=7)
    mallory.socket.sendall(first + second)
    answers = [mallory.read(), mallory.read()]
    assert [answer.opaque for answer in answers] == [7, 7]
    assert all(b"secret" not in answer.body for answer in answers)


def test_a_client_id_belongs_to_its_user(guard: GuardProxy, admin: Wire, mallory: Wire, group: str, name: Name) -> None:
    client_id = name("client")
    with Wire(guard.broker_port, ADMIN) as owner:
        expect(owner.call(HEARTBEAT, body=heartbeat(client_id, producer=name("producer"))))
        refused(mallory.call(HEARTBEAT, body=heartbeat(client_id, producer=name("producer"))))
        answer = mallory.call(UNREGISTER, {"clientID": client_id, "producerGroup": name("producer")})
        assert "not registered" in (answer.remark or "")
        locks = {"consumerGroup": group, "clientId": client_id, "mqSet": []}
        refused(mallory.call(41, body=json.dumps(locks).encode()))
    assert eventually(
        lambda: mallory.call(HEARTBEAT, body=heartbeat(client_id, producer=name("producer"))).code == 0, 30
    )


def test_a_heartbeat_is_taken_without_the_denied_parts(
    admin: Wire, mallory: Wire, mine: str, other: str, group: str, name: Name
) -> None:
    answer = mallory.call(HEARTBEAT, body=heartbeat(name("client"), group, (mine, other)))
    assert (answer.code, other in (answer.remark or "")) == (NO_PERMISSION, True)
    connected = expect(admin.call(CONSUMER_CONNECTION, {"consumerGroup": group})).json()
    assert set(connected["subscriptionTable"]) & {mine, other} == {mine}


def test_a_reply_reaches_only_a_client_that_waits_for_it(
    guard: GuardProxy, admin: Wire, mallory: Wire, mine: str, other: str, name: Name
) -> None:
    client_id, correlation = name("asker"), name("correlation")
    asked = f"CORRELATION_ID\x01{correlation}\x02REPLY_TO_CLIENT\x01{client_id}\x02TTL\x0160000\x02"
    fields = send_fields("DefaultCluster_REPLY_TOPIC", 0, asked)
    with Wire(guard.broker_port, ADMIN) as asker:
        expect(asker.call(HEARTBEAT, body=heartbeat(client_id, producer=name("producer"))))
        assert admin.call(REPLY, fields, b"too early").code != 0
        expect(put(asker, other, b"question", asked))
        assert mallory.call(REPLY, fields, b"foreign").code != 0
        refused(mallory.call(REPLY, send_fields(mine, 0, asked), b"to another topic"))
        number = admin.post(REPLY, fields, b"reply")
        pushed = asker.read()
        assert (pushed.code, pushed.body) == (326, b"reply")
        assert pushed.ext["storeHost"] == f"/{guard.broker}"
        asker.socket.sendall(request(0, {}, opaque=pushed.opaque, flag=1))
        assert expect(admin.read()).opaque == number


@pytest.mark.parametrize("name_of", ["INNER_MULTI_DISPATCH", "TIMER_DEL_UNIQKEY", "INNER_MULTI_QUEUE_OFFSET"])
def test_properties_of_brokers_are_refused(mallory: Wire, mine: str, other: str, name_of: str) -> None:
    refused(put(mallory, mine, b"body", f"{name_of}\x01%LMQ%${other}$lite\x02"), ILLEGAL)


def test_lite_topics_need_an_own_client_id(mallory: Wire, mine: str, other: str, group: str, name: Name) -> None:
    pop = {"clientId": name("foreign"), "consumerGroup": group, "topic": mine, "maxMsgNum": "1", "pollTime": "0",
           "invisibleTime": "10000", "bornTime": "0"}  # fmt: skip
    refused(mallory.call(POP_LITE, pop))
    refused(mallory.call(POP_LITE, {**pop, "topic": other}))
    change = {"action": "COMPLETE_REMOVE", "clientId": name("foreign"), "group": group, "topic": mine}
    refused(mallory.call(SUBSCRIBE_LITE, body=json.dumps({"subscriptionSet": [change]}).encode()))


@pytest.mark.parametrize(
    "body",
    [
        '{"groupName":"{mine}","GroupName":"victim"}',
        '{"groupName":"{mine}","group_name":"victim"}',
        '{"groupName":"{mine}","groupName":"victim"}',
        "{groupName:'{mine}'}",
    ],
)
def test_a_body_has_one_meaning(mallory: Wire, admin: Wire, group: str, body: str) -> None:
    """Brokers of 4.9 ignore case and underscores in names, and of two names the last one counts."""
    user = mallory.user
    assert user is not None
    grant(admin, user.name, entry(f"Group:{group}", "Create,Update"))
    answer = mallory.call(CREATE_GROUP, body=body.replace("{mine}", group).encode())
    assert answer.code != 0


def test_unnamed_codes_of_apache_need_permissions(mallory: Wire, group: str, other: str) -> None:
    """Each of these is served to any authenticated user by Apache's broker."""
    for code in (25, 26, 28, 43, 21, 201, 45, 60, 61, 305, 306, 316, 329, 402, 907, 1007, 2001, 2002, 2003, 2004, 200056,
                 5001, 200074):  # fmt: skip
        refused(mallory.call(code, {"E_T": "F"}))
    for code, body in (
        (CREATE_GROUP, {"groupName": "victim"}),
        (225, {"groupConfigList": [{"groupName": "victim"}]}),
        (18, {"topicConfigList": [{"topicName": other}]}),
        (400, {"topic": other, "consumerGroup": group, "clientId": "c", "strategyName": "AVG"}),
        (401, {"topic": other, "consumerGroup": group, "mode": "POP"}),
        (
            BATCH_ACK,
            {
                "b": "apache-a",
                "acks": [{"c": group, "t": other, "r": "0", "so": 0, "q": 0, "rq": 0, "pt": 0, "it": 1, "b": "AQ=="}],
            },
        ),
    ):
        refused(mallory.call(code, body=json.dumps(body).encode()))
    refused(mallory.call(361, pull_fields(other, group, 0, 0)))
    refused(mallory.call(CORRECTION, {"compareGroup": group, "topic": other}))


def test_the_configuration_of_the_broker_has_no_secret(guard: GuardProxy, admin: Wire) -> None:
    text = expect(admin.call(BROKER_CONFIG)).body.decode()
    assert "brokerName=apache-a" in text
    assert ADMIN.secret not in text
    with Wire(guard.namesrv_port, ADMIN) as wire:
        expect(wire.call(319))
