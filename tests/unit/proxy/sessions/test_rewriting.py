"""Answers and requests to clients, as they leave the guard."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqguard.model.record import Record, decode_all, encode, offset_id
from mqguard.proxy.sessions import bodies
from mqguard.proxy.sessions.addresses import AddressMap, advertised
from mqguard.proxy.sessions.rewriting import ANSWERS, TO_CLIENTS, UNREADABLE, Rewriter, read, topic_registration
from mqguard.remoting import lenient_json
from mqguard.remoting.codes import FLAG_RESPONSE, RequestCode, ResponseCode
from mqguard.remoting.command import BodyInvalid, Command
from mqguard.remoting.frame import encode_binary, encode_reply, encode_request

UPSTREAM, SLAVE, GUARD, GUARD_OF_SLAVE = "10.0.0.1:10911", "10.0.0.2:10911", "198.51.100.1:20000", "198.51.100.1:20002"
MESSAGE = Record("orders", b"10.0.0.1:10911", store_address=bytes((10, 0, 0, 1)), store_port=10_911)


def rewriter() -> Rewriter:
    addresses = AddressMap()
    addresses.put(UPSTREAM, advertised(GUARD))
    addresses.put(SLAVE, advertised(GUARD_OF_SLAVE))
    return Rewriter(
        addresses,
        advertised(GUARD),
        name_servers="198.51.100.1:9876",
        client={"10.9.9.9:5000": "192.0.2.7:40000"}.get,
    )


def answer(code: int, body: bytes = b"", ext: dict[str, str] | None = None) -> Command:
    """Return the rewritten answer to a request."""
    return read(rewriter().answer(code, encode_reply(7, 0, ext, None, body)))


ROUTES = [
    (
        b'{"brokerDatas":[{"brokerAddrs":{0:"10.0.0.1:10911",1:"10.0.0.2:10911"},"brokerName":"a","cluster":"c",'
        b'"enableActingMaster":false,"new":{"x":[1,null]}}],"filterServerTable":{},"queueDatas":[{"perm":6}]}'
    ),
    b'{"brokerDatas":[{"brokerAddrs":{"0":"10.0.0.1:10911","1":"10.0.0.2:10911"},"brokerName":"\\u00fc"}]}',
    b'{ "brokerDatas" : [ { "brokerAddrs" : { "0" : "10.0.0.1:10911" , "1" : "10.0.0.2:10911" } } ] }',
]


@pytest.mark.parametrize("body", ROUTES)
def test_a_route_keeps_its_dialect_and_unknown_fields(body: bytes) -> None:
    found = answer(RequestCode.GET_ROUTEINFO_BY_TOPIC, body).body
    expected = body.replace(b"10.0.0.1:10911", GUARD.encode()).replace(b"10.0.0.2:10911", GUARD_OF_SLAVE.encode())
    assert found.replace(b" ", b"") == expected.replace(b" ", b"")


def test_unknown_brokers_and_filter_servers_are_left_out() -> None:
    body = (
        b'{"brokerDatas":[{"brokerAddrs":{0:"10.0.0.3:10911",1:"10.0.0.2:10911"}},{"brokerAddrs":{0:"b:1"}},'
        b'{"brokerAddrs":{}},{"brokerAddrs":null}],"filterServerTable":{"10.0.0.1:10911":["10.0.0.5:1"]}}'
    )
    unknown: list[str] = []
    addresses = rewriter().addresses
    assert bodies.route(body, addresses.guard_of, unknown.append) == (
        b'{"brokerDatas":[{"brokerAddrs":{1:"198.51.100.1:20002"}},{"brokerAddrs":{}},{"brokerAddrs":{}},'
        b'{"brokerAddrs":null}],"filterServerTable":{}}'
    )
    assert unknown == ["10.0.0.3:10911", "b:1"]


@given(st.dictionaries(st.integers(0, 9), st.text(max_size=12), max_size=4), st.text(max_size=8), st.booleans())
def test_no_address_of_a_broker_leaves_in_a_route(table: dict[int, str], text: str, strict: bool) -> None:
    """Whatever addresses a route has, its clients get addresses of the guard, and the other members as they were."""
    keys = {str(key) if strict else key: value for key, value in {**table, 8: UPSTREAM, 9: "10.0.0.9:1"}.items()}
    parts = ",".join(f"{json.dumps(key)}:{json.dumps(value)}" for key, value in keys.items())
    body = f'{{"a":{json.dumps(text)},"brokerDatas":[{{"brokerAddrs":{{{parts}}},"b":{json.dumps(text)}}}]}}'.encode()
    found = answer(RequestCode.GET_ROUTEINFO_BY_TOPIC, body)
    if found.code:
        assert found.remark == UNREADABLE
        return
    parsed = lenient_json.parse(found.body)
    assert isinstance(parsed, dict)
    assert parsed["a"] == text
    assert parsed["brokerDatas"] == [{"brokerAddrs": {"8": GUARD}, "b": text}]


@pytest.mark.parametrize(
    "table",
    [
        b'{0:"10.0.0.1:10911",1:{"a":"b"}}',
        b'["10.0.0.1:10911"]',
        b'{0:"10.0.0.1\\u003a10911"}',
        b'{0:"a" 1:"b"}',
        b'"x"',
    ],
)
def test_a_table_in_an_unknown_form_is_not_passed_on(table: bytes) -> None:
    for code in (RequestCode.GET_ROUTEINFO_BY_TOPIC, RequestCode.GET_BROKER_CLUSTER_INFO):
        found = answer(code, b'{"brokerDatas":[{"brokerAddrs":' + table + b"}]}")
        assert (found.code, found.remark, found.body) == (ResponseCode.SYSTEM_ERROR, UNREADABLE, b"")


def test_a_text_of_a_user_cannot_look_like_a_member() -> None:
    body = json.dumps({"topic": '"brokerAddr":"10.0.0.1:10911"', "brokerAddr": UPSTREAM}).encode()
    found = json.loads(answer(RequestCode.GET_BROKER_CONSUME_STATS, body).body)
    assert found == {"topic": '"brokerAddr":"10.0.0.1:10911"', "brokerAddr": GUARD}


def test_lists_of_topics_name_the_guard() -> None:
    for address, expected in ((UPSTREAM, GUARD), ("10.0.0.77:10911", "")):
        body = json.dumps({"brokerAddr": address, "topicList": ["a"]}).encode()
        found = json.loads(answer(RequestCode.GET_SYSTEM_TOPIC_LIST_FROM_NS, body).body)
        assert found == {"brokerAddr": expected, "topicList": ["a"]}


def test_connections_have_the_addresses_of_clients() -> None:
    body = b'{"connectionSet":[{"clientAddr":"10.9.9.9:5000","clientId":"x"},{"clientAddr":"10.9.9.9:5001"}]}'
    assert answer(RequestCode.GET_CONSUMER_CONNECTION_LIST, body).body == (
        b'{"connectionSet":[{"clientAddr":"192.0.2.7:40000","clientId":"x"},{"clientAddr":"10.9.9.9:5001"}]}'
    )


def test_the_replication_status_names_no_broker() -> None:
    body = (
        b'{"haClientRuntimeInfo":{"masterAddr":"10.0.0.1:10912"},"haConnectionInfo":[{"addr":"/10.0.0.2:50001"},'
        b'{"addr":"10.7.7.7:1"},{"addr":""}],"master":true}'
    )
    assert answer(RequestCode.GET_BROKER_HA_STATUS, body).body == (
        b'{"haClientRuntimeInfo":{"masterAddr":"198.51.100.1:0"},"haConnectionInfo":[{"addr":"198.51.100.1:0"},'
        b'{"addr":"unknown:0"},{"addr":""}],"master":true}'
    )


def test_the_configuration_has_no_secret() -> None:
    body = (
        b"brokerIP1=10.0.0.1\nnamesrvAddr=10.0.0.50:9876\nlistenPort=10911\nbrokerName=a\n"
        b'innerClientAuthenticationCredentials={"accessKey":"x","secretKey":"hidden"}\n'
        b'initAuthenticationUser={"username":"y","password":"hidden"}\naclSecretKey=\n'
    )
    assert answer(RequestCode.GET_BROKER_CONFIG, body).body.decode().splitlines() == [
        "brokerIP1=198.51.100.1",
        "namesrvAddr=198.51.100.1:9876",
        "listenPort=10911",
        "brokerName=a",
        "innerClientAuthenticationCredentials=******",
        "initAuthenticationUser=******",
        "aclSecretKey=",
    ]


@pytest.mark.parametrize("encoder", [encode_request, encode_binary])
def test_the_id_of_a_sent_message_leads_to_the_guard(encoder: type[encode_request]) -> None:
    ids = ",".join(offset_id(bytes((10, 0, 0, 1)), 10_911, offset) for offset in (1, 2))
    expected = ",".join(offset_id(bytes((198, 51, 100, 1)), 20_000, offset) for offset in (1, 2))
    for code in (0, ResponseCode.FLUSH_DISK_TIMEOUT):
        command = Command(code, 7, FLAG_RESPONSE, ext={"msgId": ids, "queueId": "1"})
        found = read(rewriter().answer(RequestCode.SEND_MESSAGE_V2, encoder(command)))
        assert (found.code, found.ext) == (code, {"msgId": expected, "queueId": "1"})


def test_the_id_gets_another_length_with_ipv6() -> None:
    own = advertised("[2001:db8::1]:20000")
    frame = encode_reply(7, 0, {"msgId": offset_id(bytes((10, 0, 0, 9)), 10_911, 5)}, None, b"rest")
    found = read(Rewriter(AddressMap(), own).answer(RequestCode.SEND_MESSAGE, frame))
    assert found.ext == {"msgId": offset_id(own.packed[:16], 20_000, 5)}
    assert found.body == b"rest"


@pytest.mark.parametrize("code", [RequestCode.PULL_MESSAGE, RequestCode.POP_MESSAGE, RequestCode.VIEW_MESSAGE_BY_ID])
def test_messages_name_the_guard(code: int) -> None:
    found = answer(code, encode(MESSAGE) * 2, {"minOffset": "0"})
    assert found.ext == {"minOffset": "0"}
    for message in decode_all(found.body):
        assert (message.store_address, message.store_port) == (bytes((198, 51, 100, 1)), 20_000)
        assert message.body == MESSAGE.body
    assert answer(code, b"no record").remark == UNREADABLE


def test_the_remark_of_an_error_names_no_broker() -> None:
    frame = encode_reply(7, 16, None, "the broker[10.0.0.1] sending message is forbidden")
    found = read(rewriter().answer(RequestCode.SEND_MESSAGE, frame))
    assert (found.code, found.remark) == (16, "the broker[198.51.100.1] sending message is forbidden")


@given(st.sampled_from(sorted(set(RequestCode) - ANSWERS)), st.binary(max_size=50))
def test_other_answers_stay_as_they_are(code: int, body: bytes) -> None:
    frame = encode_reply(7, 0, {"a": "10.0.0.1:10911"}, None, body)
    assert rewriter().answer(code, frame) is frame


def test_requests_to_clients_name_the_guard_and_have_no_credentials() -> None:
    upstream_id = offset_id(bytes((10, 0, 0, 1)), 10_911, 5)
    guard_id = offset_id(bytes((198, 51, 100, 1)), 20_000, 5)
    credentials = {"AccessKey": "admin", "Signature": "c2ln", "SecurityToken": "token"}
    for code, ext, expected in (
        (RequestCode.CHECK_TRANSACTION_STATE, {"offsetMsgId": upstream_id}, {"offsetMsgId": guard_id}),
        (RequestCode.CONSUME_MESSAGE_DIRECTLY, {"msgId": guard_id}, {"msgId": guard_id}),
        (RequestCode.PUSH_REPLY_MESSAGE_TO_CLIENT, {"storeHost": "/10.0.0.1:10911"}, {"storeHost": f"/{GUARD}"}),
        (RequestCode.GET_CONSUMER_RUNNING_INFO, {"clientId": "x"}, {"clientId": "x"}),
    ):
        body = b"text" if code == RequestCode.PUSH_REPLY_MESSAGE_TO_CLIENT else encode(MESSAGE)
        found = read(rewriter().to_client(encode_request(Command(code, 9, 0, ext={**ext, **credentials}, body=body))))
        assert (found.code, found.opaque, found.ext) == (code, 9, expected)
        if code in TO_CLIENTS and code != RequestCode.PUSH_REPLY_MESSAGE_TO_CLIENT:
            assert decode_all(found.body)[0].store_port == 20_000
        else:
            assert found.body == body


def test_other_requests_to_clients_stay_as_they_are() -> None:
    frame = encode_request(Command(RequestCode.NOTIFY_CONSUMER_IDS_CHANGED, 9, ext={"consumerGroup": "g"}))
    assert rewriter().to_client(frame) is frame


def test_a_registered_route_has_the_addresses_of_brokers() -> None:
    addresses = rewriter().addresses
    body = b'{"brokerDatas":[{"brokerAddrs":{0:"198.51.100.1:20000"}}]}'
    found = topic_registration(Command(RequestCode.REGISTER_TOPIC_IN_NAMESRV, body=body), addresses)
    assert found.body == b'{"brokerDatas":[{"brokerAddrs":{0:"10.0.0.1:10911"}}]}'
    with pytest.raises(BodyInvalid, match=r"10\.0\.0\.1:10911"):
        topic_registration(Command(RequestCode.REGISTER_TOPIC_IN_NAMESRV, body=found.body), addresses)


@given(st.sampled_from(sorted(ANSWERS)), st.binary(max_size=80))
def test_any_body_is_rewritten_or_refused(code: int, body: bytes) -> None:
    """Any bytes of a server give a whole frame for the client."""
    found = answer(code, body)
    assert found.opaque == 7
    assert found.code in (0, ResponseCode.SYSTEM_ERROR)
