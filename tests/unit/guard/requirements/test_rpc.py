"""Permissions of RPCs, without the holes of Apache. `tests/vectors` compares them with the checks of Apache."""

import json

import pytest

from mqguard.guard.errors import PermissionsUnclear
from mqguard.guard.requirements.rpc import RPC_TABLE, rpc_permissions
from tests.unit.guard.requirements.shape import permissions


def told(needs):
    return [(need.type.value, need.name, tuple(sorted(action.value for action in need.actions))) for need in needs]


GROUP, TOPIC = {"group": {"name": "g"}}, {"topic": {"name": "t"}}
QUEUE = {"messageQueue": TOPIC}
READS = ["Sub on Group:g", "Sub on Topic:t"]

PROMISED = [
    ("QueryRoute", TOPIC, ["Pub or Sub on Topic:t"]),
    ("Heartbeat", {**GROUP, "clientType": "PUSH_CONSUMER"}, ["Sub on Group:g"]),
    ("SendMessage", {"messages": [TOPIC]}, ["Pub on Topic:t"]),
    ("QueryAssignment", GROUP | TOPIC, READS),
    ("ReceiveMessage", GROUP | QUEUE, READS),
    ("PullMessage", GROUP | QUEUE, READS),
    ("AckMessage", GROUP | TOPIC, READS),
    ("ForwardMessageToDeadLetterQueue", GROUP | TOPIC, READS),
    ("ChangeInvisibleDuration", GROUP | TOPIC, READS),
    ("SyncLiteSubscription", GROUP | TOPIC, READS),
    ("GetOffset", GROUP | QUEUE, ["Sub or Get on Group:g", "Sub or Get on Topic:t"]),
    ("UpdateOffset", GROUP | QUEUE, ["Sub or Update on Group:g", "Sub or Update on Topic:t"]),
    ("QueryOffset", QUEUE, ["Sub or Get on Topic:t"]),
    ("EndTransaction", TOPIC, ["Pub on Topic:t"]),
    ("RecallMessage", TOPIC, ["Pub on Topic:t"]),
    ("Telemetry", {"settings": {"publishing": {"topics": [TOPIC["topic"]]}}}, ["Pub on Topic:t"]),
    ("Telemetry", {"settings": {"subscription": {**GROUP, "subscriptions": [TOPIC]}}}, READS),
    ("NotifyClientTermination", GROUP, ["Sub on Group:g"]),
]
"""The permissions of each call with all names, in order: the promise, written down a second time."""
OPTIONAL = {("NotifyClientTermination", "group")}


@pytest.mark.parametrize(("rpc", "message", "promised"), PROMISED)
def test_a_call_needs_what_is_promised(rpc, message, promised):
    """Its request is of that name, and whatever is missing refuses it: a message, a name, a name that is blank."""
    assert RPC_TABLE[rpc].request == ("TelemetryCommand" if rpc == "Telemetry" else rpc + "Request")
    assert [need.text for need in permissions(rpc, message)] == promised
    for part in message.keys() - {"clientType", "settings"}:
        absent = {name: value for name, value in message.items() if name != part}
        blank = [{}, {"name": ""}, {"name": " "}]
        parts = blank if part in {"group", "topic"} else [[{"topic": name}] for name in blank] + [[]]
        for message_without in (absent, *({**absent, part: value} for value in parts if part != "messageQueue")):
            if (rpc, part) in OPTIONAL:
                assert permissions(rpc, message_without) == ()
                continue
            with pytest.raises(PermissionsUnclear) as refused:
                permissions(rpc, message_without)
            assert refused.value.reason == "missing-field"


@pytest.mark.parametrize(
    ("rpc", "message"), [(rpc, message) for rpc, message, _ in PROMISED if '"g"' in json.dumps(message)]
)
def test_a_group_is_not_named_by_its_topics(rpc, message):
    """The message names the missing field."""
    named = json.loads(json.dumps(message).replace('"g"', '"%RETRY%g"'))

    with pytest.raises(PermissionsUnclear, match="`%RETRY%g` in the field `group` is the name of a topic") as refused:
        permissions(rpc, named)
    assert refused.value.reason == "topic-for-group"


def test_every_call_is_promised_something():
    assert {rpc for rpc, _, _ in PROMISED} == set(RPC_TABLE)


def test_every_message_of_a_send_is_checked():
    """The second message's topic is checked as the first one's."""
    message = {"messages": [{"topic": {"name": "a"}}, {"topic": {"name": "b"}}]}

    assert told(permissions("SendMessage", message)) == [("Topic", "a", ("Pub",)), ("Topic", "b", ("Pub",))]


@pytest.mark.parametrize("kind", [0, 1, 2, 3, 4, 5, 6, 99])
def test_hg3_a_heartbeat_with_a_group_needs_the_group(kind):
    """Whatever kind of client a heartbeat says to be, a group that it names is checked."""
    needs = permissions("Heartbeat", {"group": {"name": "g"}, "clientType": kind})

    assert told(needs) == [("Group", "g", ("Sub",))]


def test_hg3_only_a_producer_names_no_group():
    """A heartbeat without a group is a producer's, or refused."""
    assert permissions("Heartbeat", {"clientType": 1}) == ()
    for kind in (0, 2, 5, 6):
        with pytest.raises(PermissionsUnclear):
            permissions("Heartbeat", {"clientType": kind})


def test_hg4_changing_the_invisible_time_needs_the_topic():
    """Group and topic are both checked."""
    needs = permissions("ChangeInvisibleDuration", {"group": {"name": "g"}, "topic": {"name": "t"}})

    assert told(needs) == [("Group", "g", ("Sub",)), ("Topic", "t", ("Sub",))]


@pytest.mark.parametrize("action", ["PARTIAL_ADD", "PARTIAL_REMOVE", "COMPLETE_ADD", "COMPLETE_REMOVE"])
def test_n4_an_empty_set_of_lite_topics_is_checked_too(action):
    """Group and parent topic are checked whatever the set."""
    message = {"action": action, "group": {"name": "g"}, "topic": {"name": "t"}, "liteTopicSet": []}

    assert told(permissions("SyncLiteSubscription", message)) == [
        ("Group", "g", ("Sub",)),
        ("Topic", "t", ("Sub",)),
    ]


@pytest.mark.parametrize("rpc", ["Heartbeat", "Telemetry", "NotifyClientTermination", "SyncLiteSubscription"])
def test_n5_n6_calls_that_act_for_a_client_id_ask_whose_it_is(rpc):
    """The client id must be the sender's own."""
    assert "client id" in RPC_TABLE[rpc].touched


def test_a_retry_topic_belongs_to_its_group():
    """Receiving from another group's retry topic is refused; acknowledging one's own needs the group and the topic."""
    foreign = {"group": {"name": "mine"}, "messageQueue": {"topic": {"name": "%RETRY%victim"}}}
    own = {"group": {"name": "mine"}, "topic": {"name": "%RETRY%mine+t"}}

    with pytest.raises(PermissionsUnclear, match="not the retry topic"):
        permissions("ReceiveMessage", foreign)
    assert told(permissions("AckMessage", own)) == [("Group", "mine", ("Sub",)), ("Topic", "t", ("Sub",))]


@pytest.mark.parametrize(
    ("rpc", "actions"),
    [("PullMessage", ("Sub",)), ("GetOffset", ("Get", "Sub")), ("UpdateOffset", ("Sub", "Update"))],
)
def test_calls_that_apache_does_not_serve_have_rows(rpc, actions):
    """Pulling and positions by RPC need the same as by remoting."""
    message = {"group": {"name": "g"}, "messageQueue": {"topic": {"name": "t"}}}

    assert told(permissions(rpc, message)) == [("Group", "g", actions), ("Topic", "t", actions)]
    assert told(permissions("QueryOffset", {"messageQueue": message["messageQueue"]})) == [
        ("Topic", "t", ("Get", "Sub"))
    ]


def test_other_telemetry_needs_an_authenticated_sender():
    """A command without settings names no resource."""
    assert permissions("Telemetry", {"threadStackTrace": {"nonce": "1"}}) == ()


def test_settings_need_what_they_publish_and_subscribe():
    """Pub on each topic published to; Sub on the group and each topic subscribed to; settings for neither are refused."""
    publishing = {"settings": {"publishing": {"topics": [{"name": "t"}, {"name": "u"}]}}}
    entries = [{"topic": {"name": "t"}}, {"topic": {"name": "%RETRY%g"}}]
    subscription = {"settings": {"subscription": {"group": {"name": "g"}, "subscriptions": entries}}}
    foreign = {
        "settings": {"subscription": {"group": {"name": "g"}, "subscriptions": [{"topic": {"name": "%RETRY%h"}}]}}
    }

    assert told(permissions("Telemetry", publishing)) == [
        ("Topic", "t", ("Pub",)),
        ("Topic", "u", ("Pub",)),
    ]
    assert told(permissions("Telemetry", subscription)) == [
        ("Group", "g", ("Sub",)),
        ("Topic", "t", ("Sub",)),
    ]
    for refused in ({"settings": {}}, foreign, {"settings": {"publishing": {"topics": [{}]}}}):
        with pytest.raises(PermissionsUnclear):
            permissions("Telemetry", refused)


@pytest.mark.parametrize("rpc", ["RecallMessage", "EndTransaction"])
def test_calls_on_a_topic_need_pub(rpc):
    """And a topic."""
    assert told(permissions(rpc, {"topic": {"name": "t"}})) == [("Topic", "t", ("Pub",))]
    with pytest.raises(PermissionsUnclear, match=r"topic is null\."):
        permissions(rpc, {})


def test_a_route_needs_pub_or_sub():
    """As Apache's proxy asks."""
    assert told(permissions("QueryRoute", {"topic": {"name": "t"}})) == [("Topic", "t", ("Pub", "Sub"))]


def test_the_end_of_a_client_needs_its_group_if_there_is_one():
    """A producer has none."""
    assert permissions("NotifyClientTermination", {}) == ()
    assert told(permissions("NotifyClientTermination", {"group": {"name": "g"}})) == [("Group", "g", ("Sub",))]


def test_a_send_of_nothing_is_refused():
    """No message, no topic."""
    with pytest.raises(PermissionsUnclear, match=r"message is null\."):
        permissions("SendMessage", {"messages": []})
    with pytest.raises(PermissionsUnclear, match=r"messageQueue is null\."):
        permissions("ReceiveMessage", {"group": {"name": "g"}})


def test_an_unknown_call_is_refused():
    """An RPC without a row is refused."""
    with pytest.raises(PermissionsUnclear, match="only a Super user"):
        rpc_permissions("Surprise", None)
