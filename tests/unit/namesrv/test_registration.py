"""The body with which brokers register."""

import contextlib
import json
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqguard.model.topic import DataVersion, TopicConfig
from mqguard.namesrv import registration
from mqguard.namesrv.registration import read_registration
from mqguard.remoting.errors import BodyInvalid


def part(data):
    return struct.pack(">i", len(data)) + data


def inflated(*lines, version=b'{"counter":3,"stateVersion":0,"timestamp":9}', count=None, tail=b"\0\0\0\2[]"):
    number = struct.pack(">i", len(lines) if count is None else count)
    return part(version) + number + b"".join(map(part, lines)) + tail


def test_the_deflated_form():
    body = inflated(b"t 4 8 6 SINGLE_TAG", b"u 1 1 2 MULTI_TAG {}")
    assert read_registration(zlib.compress(body), compressed=True) == (
        DataVersion(3, 9),
        [TopicConfig("t", 4, 8, 6), TopicConfig("u", 1, 1, 2)],
    )


def test_the_plain_form():
    table = {"t": {"topicName": "t", "readQueueNums": 4, "writeQueueNums": 8, "perm": 6}}
    body = {"topicConfigSerializeWrapper": {"topicConfigTable": table, "dataVersion": {"counter": 3}}, "x": []}
    found = read_registration(json.dumps(body).encode(), compressed=False)
    assert found == (DataVersion(3), [TopicConfig("t", 4, 8, 6)])
    assert read_registration(b"", compressed=False).topics == []


@pytest.mark.parametrize(
    ("data", "hint"),
    [
        (b"nonsense", "inflated"),
        (zlib.compress(inflated(b"t 4 8 6"))[:-6], "cut off"),
        (zlib.compress(inflated(b"t 4")), "none"),
        (zlib.compress(inflated(b"t 4 x 6")), "none"),
        (zlib.compress(inflated(b"\xff 4 4 6")), "none"),
        (zlib.compress(inflated(b"t 4 99999 6")), "99999"),
        (zlib.compress(inflated(b" 4 4 6")), "topic"),
        (zlib.compress(inflated(count=-1)), "-1 topics"),
        (zlib.compress(inflated(count=2**30)), "topics"),
        (zlib.compress(inflated(version=b"{")), "JSON"),
        (zlib.compress(b"\0\0\0"), "number"),
        (zlib.compress(struct.pack(">i", -5)), "-5 bytes"),
    ],
)
def test_what_is_refused(data, hint):
    with pytest.raises(BodyInvalid, match=hint):
        read_registration(data, compressed=True)


def test_a_bomb_is_not_inflated(monkeypatch):
    monkeypatch.setattr(registration, "MAX_INFLATED", 1000)
    with pytest.raises(BodyInvalid, match="more than 1000 bytes"):
        read_registration(zlib.compress(bytes(100_000)), compressed=True)


def test_what_a_registration_is_inflated_to_is_bounded():
    """A frame of some kilobytes must not become minutes of work, not even for a broker."""
    data = zlib.compress(bytes(5 * 1024 * 1024))
    assert len(data) < 8 * 1024
    with pytest.raises(BodyInvalid, match="more than 4194304 bytes"):
        read_registration(data, compressed=True)


def test_the_topics_of_a_registration_are_bounded(monkeypatch):
    """They are counted before the first is read."""
    monkeypatch.setattr(registration, "MAX_TOPICS", 2)
    line = struct.pack(">i", 7) + b"a 1 1 6"
    for count, lines in ((3, line * 3), (2_000_000, b"")):
        body = struct.pack(">i", 2) + b"{}" + struct.pack(">i", count) + lines
        with pytest.raises(BodyInvalid, match=f"has {count} topics, and one registration at most 2"):
            read_registration(zlib.compress(body), compressed=True)
    table = {name: {"topicName": name} for name in ("a", "b", "c")}
    body = json.dumps({"topicConfigSerializeWrapper": {"topicConfigTable": table}}).encode()
    with pytest.raises(BodyInvalid, match="has 3 topics"):
        read_registration(body, compressed=False)


@given(st.binary(max_size=200), st.booleans(), st.booleans())
def test_any_bytes_are_read_or_refused(data, deflate, compressed):
    with contextlib.suppress(BodyInvalid):
        read_registration(zlib.compress(data) if deflate else data, compressed=compressed)


@given(st.data())
def test_any_cut_of_a_good_body_is_read_or_refused(data):
    body = inflated(b"t 4 8 6 SINGLE_TAG", b"u 1 1 2 MULTI_TAG {}")
    cut = data.draw(st.integers(0, len(body)))
    with contextlib.suppress(BodyInvalid):
        read_registration(zlib.compress(body[:cut]), compressed=True)
