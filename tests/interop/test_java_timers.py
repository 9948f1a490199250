"""The official Java client 5.5.0 sends messages for a time, recalls them, and sends messages with a priority."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable

import pytest

from mqguard.model import recall_handle
from tests.fixtures.access import create_topic, create_user, entry, grant
from tests.fixtures.wire import User, Wire
from tests.interop.conftest import DrivenClient

Name = Callable[[str], str]
LATE_MS = 5_000
"""A busy machine delivers late, and Apache's broker up to a second later than the time."""


@pytest.mark.parametrize("setter", ["setDelayTimeSec", "setDelayTimeMs", "setDeliverTimeMs"])
def test_a_message_arrives_at_its_time(java5: DrivenClient, admin: Wire, name: Name, setter: str) -> None:
    topic, group = name("topic"), name("group")
    create_topic(admin, topic)
    java5.do("consume", handle="c", topic=topic, group=group)

    began = int(time.time() * 1000)
    value = {"setDelayTimeSec": 2, "setDelayTimeMs": 2_000, "setDeliverTimeMs": began + 2_000}[setter]
    sent = java5.do("sendTimed", topic=topic, body="timed", **{setter: value})
    (message,) = java5.do("received", handle="c", timeout=45_000)["messages"]
    java5.do("stop", handle="c")

    assert 2_000 <= message["stored"] - began <= 2_000 + LATE_MS
    assert (message["body"], message["topic"], message["msgId"]) == ("timed", topic, sent["msgId"])
    assert (message["properties"]["REAL_TOPIC"], message["queue"]) == (topic, sent["queue"])
    assert "TIMER_OUT_MS" in message["properties"]


def test_a_recalled_message_does_not_arrive(java5: DrivenClient, admin: Wire, name: Name) -> None:
    topic, group = name("topic"), name("group")
    create_topic(admin, topic)
    java5.do("consume", handle="c", topic=topic, group=group)

    recalled = java5.do("sendTimed", topic=topic, body="recalled", setDelayTimeSec=4)
    java5.do("sendTimed", topic=topic, body="kept", setDelayTimeSec=5)
    answer = java5.do("recall", topic=topic, recallHandle=recalled["handle"])
    assert answer["msgId"] == recalled["msgId"]
    messages = java5.do("received", handle="c", timeout=45_000)["messages"]
    java5.do("stop", handle="c")

    assert [message["body"] for message in messages] == ["kept"]
    late = java5.call("recall", topic=topic, recallHandle=recalled["handle"])
    assert (late["code"], late["ok"]) == (604, False)


def test_only_a_user_with_pub_on_the_topic_recalls(java5: DrivenClient, admin: Wire, name: Name) -> None:
    topic, other = name("topic"), name("other")
    create_topic(admin, topic)
    create_topic(admin, other)
    alice, mallory = (User(name(who), "secret-of-a-test") for who in ("alice", "mallory"))
    for user, granted in ((alice, topic), (mallory, other)):
        create_user(admin, user.name, user.secret)
        grant(admin, user.name, entry(f"Topic:{granted}", "Pub"))

    sent = java5.as_(alice).do("sendTimed", topic=topic, body="m", setDelayTimeSec=60)
    handle = recall_handle.decode(sent["handle"])
    assert handle.topic == topic

    refused = java5.as_(mallory).call("recall", topic=topic, recallHandle=sent["handle"])
    assert refused["code"] == 16
    # The client finds no route with a topic that it may not use; so the handle is sent as it is.
    forged = recall_handle.encode(handle._replace(topic=other))
    fields = {"ext__producerGroup": "p", "ext__topic": other}
    for text, code in ((sent["handle"], 604), (forged, 0), (base64.b64encode(b"v2 x").decode(), 604)):
        answer = java5.as_(mallory).do(
            "invoke", address=java5.server.broker, code=370, ext__recallHandle=text, body="", **fields
        )
        assert answer["code"] == code
    assert java5.as_(alice).do("recall", topic=topic, recallHandle=sent["handle"])["msgId"] == sent["msgId"]


def test_a_priority_chooses_the_queue(java5: DrivenClient, admin: Wire, name: Name) -> None:
    topic, group = name("topic"), name("group")
    create_topic(admin, topic)
    java5.do("consume", handle="c", topic=topic, group=group)

    for priority in (0, 2, 9):
        java5.do("sendTimed", topic=topic, body=str(priority), setPriority=priority)
    messages = java5.do("received", handle="c", count=3)["messages"]
    java5.do("stop", handle="c")

    assert {message["body"]: message["queue"] for message in messages} == {"0": 0, "2": 2, "9": 3}
