"""Requests whose bodies name resources: everything named is checked, and nothing unnamed is let through."""

import json

import pytest

from mqguard.guard.errors import PermissionsUnclear
from mqguard.guard.requirements.evaluation import Requirements
from mqguard.remoting.command import Command

REQUIREMENTS = Requirements("c")

QUEUE = {"brokerName": "b", "queueId": 0}
ACK = {"r": "0", "so": 0, "q": 0, "rq": 0, "pt": 0, "it": 0, "b": "AQ=="}
SUBSCRIPTION = {"subString": "*"}


def needs(code, body, ext=None):
    found = REQUIREMENTS.permissions(Command(code, ext=ext or {}, body=json.dumps(body).encode()))
    return [need.text for need in found]


ASKED = [
    (
        18,
        {"topicConfigList": [{"topicName": "t"}, {"topicName": "u"}]},
        ["Create or Update on Topic:t", "Create or Update on Topic:u"],
    ),
    (200, {"groupName": "g"}, ["Create or Update on Group:g"]),
    (
        225,
        {"groupConfigList": [{"groupName": "g"}, {"groupName": "h"}]},
        ["Create or Update on Group:g", "Create or Update on Group:h"],
    ),
    (34, {"clientID": "c", "producerDataSet": [{"groupName": "p"}]}, []),
    (
        34,
        {
            "clientID": "c",
            "consumerDataSet": [
                {"groupName": "g", "subscriptionDataSet": [{"topic": "t"}, {"topic": "u"}, {"topic": "%RETRY%g"}]},
                {"groupName": "h", "subscriptionDataSet": [{"topic": "t"}]},
            ],
        },
        ["Sub on Group:g", "Sub on Topic:t", "Sub on Topic:u", "Sub on Group:h"],
    ),
    (34, {"clientID": "c", "consumerDataSet": [{"groupName": "g"}], "withoutSub": True}, ["Sub on Group:g"]),
    (
        41,
        {"consumerGroup": "g", "clientId": "c", "mqSet": [{"topic": "t", **QUEUE}, {"topic": "%RETRY%g", **QUEUE}]},
        ["Sub on Group:g", "Sub on Topic:t"],
    ),
    (42, {"consumerGroup": "g", "clientId": "c", "mqSet": []}, ["Sub on Group:g"]),
    (400, {"topic": "t", "consumerGroup": "g", "clientId": "c"}, ["Sub on Topic:t", "Sub on Group:g"]),
    (401, {"topic": "t", "consumerGroup": "g", "mode": "POP"}, ["Update on Topic:t", "Update on Group:g"]),
    (
        46,
        {"clientId": "c", "group": "g", "subscriptionData": {"topic": "t", **SUBSCRIPTION}},
        ["Sub on Topic:t", "Sub on Group:g"],
    ),
    (
        200151,
        {"brokerName": "b", "acks": [{"c": "g", "t": "t", **ACK}, {"c": "g", "t": "%RETRY%g_u", **ACK}]},
        ["Sub on Topic:t", "Sub on Group:g", "Sub on Topic:u"],
    ),
    (
        200071,
        {"subscriptionSet": [{"group": "g", "topic": "t", "action": "PARTIAL_ADD"}]},
        ["Sub on Topic:t", "Sub on Group:g"],
    ),
    (513, {"topic": "t"}, ["Create on Topic:t"]),
    (513, {"topic": "u"}, ["Create on Topic:t", "Create on Topic:u"]),
]


@pytest.mark.parametrize(("code", "body", "asked"), ASKED)
def test_everything_that_a_body_names_is_needed(code, body, asked):
    """In order, and once."""
    assert needs(code, body, {"topic": "t"} if code == 513 else None) == asked


REFUSED = [
    (18, {"topicConfigList": []}),
    (18, {"topicConfigList": [{"topicName": "t"}, {"topicName": ""}]}),
    (18, {}),
    (200, {"groupName": " "}),
    (200, {"groupName": "%RETRY%g"}),
    (200, {}),
    (225, {"groupConfigList": []}),
    (225, {"groupConfigList": [{"groupName": ""}]}),
    (34, {"clientID": " "}),
    (34, {"clientID": "c", "producerDataSet": [{"groupName": ""}]}),
    (34, {"clientID": "c", "consumerDataSet": [{"groupName": ""}]}),
    (34, {"clientID": "c", "consumerDataSet": [{"groupName": "g", "subscriptionDataSet": [{"topic": ""}]}]}),
    (34, {"clientID": "c", "consumerDataSet": [{"groupName": "g", "subscriptionDataSet": [{"topic": "%RETRY%h"}]}]}),
    (41, {"consumerGroup": "", "clientId": "c", "mqSet": []}),
    (41, {"consumerGroup": "g", "clientId": "c", "mqSet": [{"topic": "", **QUEUE}]}),
    (42, {"consumerGroup": "g", "clientId": "c", "mqSet": [{"topic": "%RETRY%h", **QUEUE}]}),
    (400, {"topic": "", "consumerGroup": "g", "clientId": "c"}),
    (400, {"topic": "%RETRY%h", "consumerGroup": "g", "clientId": "c"}),
    (401, {"topic": "", "consumerGroup": "g", "mode": "POP"}),
    (401, {"topic": "t", "consumerGroup": "", "mode": "POP"}),
    (46, {"clientId": "c", "group": "", "subscriptionData": {"topic": "t"}}),
    (46, {"clientId": "c", "group": "g"}),
    (200151, {"brokerName": "b", "acks": []}),
    (200151, {"brokerName": "b", "acks": [{"c": "g", "t": "", **ACK}]}),
    (200151, {"brokerName": "b", "acks": [{"c": "", "t": "t", **ACK}]}),
    (200151, {"brokerName": "b", "acks": [{"c": "g", "t": "%RETRY%h_t", **ACK}]}),
    (200071, {"subscriptionSet": []}),
    (200071, {"subscriptionSet": [{"group": "g", "topic": ""}]}),
    (200071, {"subscriptionSet": [{"group": "", "topic": "t"}]}),
    (513, {"topic": ""}),
]


@pytest.mark.parametrize(("code", "body"), REFUSED)
def test_a_body_that_leaves_a_name_out_refuses(code, body):
    """One nameless part refuses the whole request."""
    with pytest.raises(PermissionsUnclear):
        needs(code, body, {"topic": "t"} if code == 513 else None)


NAMING = [
    (18, {"topicConfigList": [{"topicName": "t"}, {"topicName": "@"}]}, "topic", "topicName"),
    (200, {"groupName": "@"}, "group", "groupName"),
    (225, {"groupConfigList": [{"groupName": "g"}, {"groupName": "@"}]}, "group", "groupName"),
    (34, {"clientID": "@"}, "client id", "clientID"),
    (34, {"clientID": "c", "producerDataSet": [{"groupName": "@"}]}, "producer group", "producerDataSet[].groupName"),
    (34, {"clientID": "c", "consumerDataSet": [{"groupName": "@"}]}, "group", "groupName"),
    (
        34,
        {"clientID": "c", "consumerDataSet": [{"groupName": "g", "subscriptionDataSet": [{"topic": "@"}]}]},
        "topic",
        "topic",
    ),
    (41, {"consumerGroup": "@", "clientId": "c", "mqSet": []}, "group", "consumerGroup"),
    (42, {"consumerGroup": "g", "clientId": "c", "mqSet": [{"topic": "@", **QUEUE}]}, "topic", "topic"),
    (400, {"topic": "@", "consumerGroup": "g", "clientId": "c"}, "topic", "topic"),
    (400, {"topic": "t", "consumerGroup": "@", "clientId": "c"}, "group", "consumerGroup"),
    (401, {"topic": "@", "consumerGroup": "g", "mode": "POP"}, "topic", "topic"),
    (401, {"topic": "t", "consumerGroup": "@", "mode": "POP"}, "group", "consumerGroup"),
    (46, {"clientId": "c", "group": "@", "subscriptionData": {"topic": "t", **SUBSCRIPTION}}, "group", "group"),
    (46, {"clientId": "c", "group": "g", "subscriptionData": {"topic": "@", **SUBSCRIPTION}}, "topic", "topic"),
    (200151, {"brokerName": "b", "acks": [{"c": "@", "t": "t", **ACK}]}, "group", "c"),
    (200151, {"brokerName": "b", "acks": [{"c": "g", "t": "@", **ACK}]}, "topic", "t"),
    (200071, {"subscriptionSet": [{"group": "@", "topic": "t"}]}, "group", "group"),
    (200071, {"subscriptionSet": [{"group": "g", "topic": "@"}]}, "topic", "topic"),
    (513, {"topic": "@"}, "topic", "topic"),
]
"""Every name in a body: the code, a body with `@` in its place, its resources, and the field in the message."""
LISTS = [
    (18, {"topicConfigList": []}, "topicConfigList"),
    (225, {"groupConfigList": []}, "groupConfigList"),
    (200151, {"brokerName": "b", "acks": []}, "acks"),
    (200071, {"subscriptionSet": []}, "subscriptionSet"),
]


def refusal(code, body):
    with pytest.raises(PermissionsUnclear) as refused:
        needs(code, body, {"topic": "t"})
    return refused.value


def named(body, name):
    return json.loads(json.dumps(body).replace('"@"', json.dumps(name)))


@pytest.mark.parametrize(("code", "body", "what", "field"), NAMING)
def test_the_field_that_is_shown_is_one_of_that_body(code, body, what, field):
    for blank in ("", "  "):
        refused = refusal(code, named(body, blank))
        assert str(refused) == f"the {what} is missing: the field `{field}` is absent or empty"
        assert refused.reason == "missing-field"


@pytest.mark.parametrize(("code", "body", "field"), LISTS)
def test_a_list_that_names_nothing_is_shown(code, body, field):
    assert f"the field `{field}` is absent or empty" in str(refusal(code, body))


@pytest.mark.parametrize(
    ("code", "body", "field"), [(code, body, field) for code, body, what, field in NAMING if what == "group"]
)
@pytest.mark.parametrize("name", ["%RETRY%g", "%DLQ%g"])
def test_a_group_in_a_body_is_not_named_by_its_topics(code, body, field, name):
    """The message names the missing field."""
    refused = refusal(code, named(body, name))

    assert str(refused) == f"`{name}` in the field `{field}` is the name of a topic, not of a group"
    assert refused.reason == "topic-for-group"


LOCKING = [(code, {"consumerGroup": "g", "clientId": "@", "mqSet": []}) for code in (41, 42)]


@pytest.mark.parametrize(("code", "body"), [*((code, body) for code, body, _, _ in NAMING), *LOCKING])
def test_a_name_in_a_body_that_nothing_has_is_refused(code, body):
    """This holds for names without a permission too, such as those of clients, because the server stores them."""
    assert refusal(code, named(body, "n" * 600)).reason == "long-name"


@pytest.mark.parametrize("code", sorted({code for code, _, _ in ASKED}))
@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"7", b"{", b"\xff", b"[" * 50_000, b'{"a":' * 50_000])
def test_an_invalid_body_is_denied(code, body):
    """Whatever else it is, and however deep."""
    with pytest.raises(PermissionsUnclear) as refused:
        REQUIREMENTS.permissions(Command(code, ext={"topic": "t"}, body=body))

    assert (refused.value.reason, str(refused.value)) == ("missing-body", "the body is missing") or (
        body and refused.value.reason in {"unreadable-body", "missing-field"}
    )


def test_creating_topics_needs_names_in_the_header_too():
    """Codes 17 and 513 name the topic in the header."""
    with pytest.raises(PermissionsUnclear):
        needs(17, {}, {"topicFilterType": "SINGLE_TAG"})
    with pytest.raises(PermissionsUnclear):
        needs(17, {}, {"topic": "t", "topicFilterType": "SOME_TAG"})
    with pytest.raises(PermissionsUnclear):
        needs(513, {"topic": "t"})


@pytest.mark.parametrize("code", [324, 325])
def test_replies_name_a_reply_topic(code):
    """And need Pub on it."""
    field = "topic" if code == 324 else "b"

    assert needs(code, {}, {field: "c_REPLY_TOPIC"}) == ["Pub on Topic:c_REPLY_TOPIC"]
    for topic in ({}, {field: " "}, {field: "t"}):
        with pytest.raises(PermissionsUnclear):
            needs(code, {}, topic)


def many(form, count):
    return [json.loads(json.dumps(form).replace("@", str(number))) for number in range(count)]


TOO_MANY = [
    (18, lambda n: {"topicConfigList": many({"topicName": "t@"}, n)}, 128, "topics"),
    (225, lambda n: {"groupConfigList": many({"groupName": "g@"}, n)}, 128, "groups"),
    (
        34,
        lambda n: {"clientID": "c", "consumerDataSet": many({"groupName": "g@"}, n)},
        256,
        "producer and consumer groups",
    ),
    (
        34,
        lambda n: {
            "clientID": "c",
            "consumerDataSet": [
                {"groupName": "g", "subscriptionDataSet": many({"topic": "t@"}, n - 1)},
                {"groupName": "h", "subscriptionDataSet": [{"topic": "t"}]},
            ],
        },
        1_000,
        "subscriptions",
    ),
    (
        41,
        lambda n: {"consumerGroup": "g", "clientId": "c", "mqSet": many({"topic": "t@", **QUEUE}, n)},
        1_000,
        "queues",
    ),
    (
        42,
        lambda n: {"consumerGroup": "g", "clientId": "c", "mqSet": many({"topic": "t@", **QUEUE}, n)},
        1_000,
        "queues",
    ),
    (
        200151,
        lambda n: {"brokerName": "b", "acks": many({"c": "g", "t": "t@", **ACK}, n)},
        1_000,
        "acknowledgements",
    ),
    (200071, lambda n: {"subscriptionSet": many({"group": "g", "topic": "t@"}, n)}, 1_000, "subscriptions"),
]


@pytest.mark.parametrize(("code", "body", "most", "what"), TOO_MANY)
def test_a_request_that_names_too_much_refuses(code, body, most, what):
    """Each resource costs a decision, and others wait for it. The message has the maximum."""
    assert len(needs(code, body(most))) >= most
    with pytest.raises(PermissionsUnclear, match=f"^one request has at most {most} {what}: split it$") as refused:
        needs(code, body(most + 1))
    assert refused.value.reason == "too-many-resources"


@pytest.mark.parametrize(("code", "field", "sign"), [(208, "topicList", ";"), (308, "filterGroups", ",")])
def test_a_field_that_names_too_much_refuses(code, field, sign):
    """Names in one ext field are as costly as those in a body."""
    ext = {"consumerGroup": "g", "compareGroup": "g", "topic": "t"}

    assert len(needs(code, {}, {**ext, field: sign.join(f"n{number}" for number in range(256))})) > 256
    for many_names in (257, 100_000):
        with pytest.raises(PermissionsUnclear, match=f"at most 256 names in the field `{field}`"):
            needs(code, {}, {**ext, field: sign.join(f"n{number}" for number in range(many_names))})


@pytest.mark.parametrize("code", sorted({code for code, _, _ in ASKED}))
def test_a_body_that_is_too_long_is_not_read(code):
    """Reading it is work that others wait for, before anybody knows whether its sender may send it."""
    body = b"{" + b" " * (256 * 1024)

    with pytest.raises(PermissionsUnclear, match="a request of this code at most 262144") as refused:
        REQUIREMENTS.permissions(Command(code, ext={"topic": "t"}, body=body))
    assert refused.value.reason == "long-body"


@pytest.mark.parametrize("code", sorted({code for code, _, _ in ASKED}))
def test_a_body_is_not_read_before_a_need_is_asked_for(code):
    """So the guard looks at the sender first, and stops at the first need that is not met."""
    found = REQUIREMENTS.operation(code).find(Command(code, ext={"topic": "t"}, body=b"nonsense"))

    with pytest.raises(PermissionsUnclear, match="is not JSON"):
        list(found)
