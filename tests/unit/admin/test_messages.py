"""Commands send and receive one message at a time."""

import itertools
import secrets
import time
import zlib

import pytest

from mqguard.admin import messages, topics
from mqguard.admin.errors import PeerRefused
from mqguard.model.record import COMPRESSED
from mqguard.model.topic import TopicConfig
from mqguard.remoting.codes import RequestCode
from mqguard.remoting.headers.send import SendHeaderV2


@pytest.fixture
def topic(admin, server):
    name = f"messages-{secrets.token_hex(4)}"
    topics.create(admin.at(server.broker), TopicConfig(name, 2, 2))
    return name


def taken(admin, topic, group="g", limit=100, seconds=0.3):
    return [message.body for message in messages.receive(admin, topic, group, limit=limit, seconds=seconds)]


def test_a_group_gets_every_message_once(admin, topic):
    sent = {messages.send(admin, topic, b"%d" % number).unique_id for number in range(10)}
    assert len(sent) == 10
    assert sorted(taken(admin, topic, limit=4)) != []
    rest = taken(admin, topic)
    assert len(rest) == 6
    assert taken(admin, topic) == []
    assert sorted(taken(admin, topic, "other")) == [b"%d" % number for number in range(10)]


def test_a_receiver_that_stops_early_gets_the_last_message_again(admin, topic):
    messages.send(admin, topic, b"one")
    stream = messages.receive(admin, topic, "g", limit=5, seconds=0.3)
    assert next(stream).body == b"one"
    stream.close()
    assert taken(admin, topic) == [b"one"]


def test_it_waits_for_a_message_until_its_timeout(admin, topic):
    began = time.monotonic()
    assert taken(admin, topic, seconds=0.3) == []
    assert time.monotonic() - began >= 0.3
    looks = itertools.count()
    assert list(messages.receive(admin, topic, "g", limit=1, seconds=60, stopped=lambda: next(looks) > 1)) == []


def test_a_compressed_body_is_expanded_and_a_damaged_one_unchanged(admin, topic, server):
    text = b"again and again " * 100
    for body, kind in ((zlib.compress(text), 0), (zlib.compress(text), 0x300), (b"none", 0x300), (b"lz4", 0x100)):
        header = SendHeaderV2(
            producer_group="g",
            topic=topic,
            default_topic="TBW102",
            default_topic_queue_nums=4,
            queue_id=0,
            sys_flag=COMPRESSED | kind,
            born_timestamp=0,
            flag=0,
        )
        admin.at(server.broker).call(RequestCode.SEND_MESSAGE_V2, header, body)
    assert taken(admin, topic) == [text, text, b"none", b"lz4"]


def test_a_send_creates_its_topic_if_that_is_allowed(admin):
    name = f"made-{secrets.token_hex(4)}"
    assert messages.send(admin, name, b"x").queue_offset == 0
    assert name in topics.find(admin)


def test_a_topic_that_takes_no_messages_is_refused(admin, server):
    topics.create(admin.at(server.broker), TopicConfig("read-only", 1, 1, 4))
    with pytest.raises(PeerRefused, match="no broker accepts messages for the topic `read-only`"):
        messages.send(admin, "read-only", b"x")
