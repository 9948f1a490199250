"""The body of a registration."""

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
from mqguard.remoting.command import BodyInvalid


def part(data):
    return struct.pack(">i", len(data)) + data


def uncompressed(*lines, version=b'{"counter":3,"stateVersion":0,"timestamp":9}', count=None, tail=b"\0\0\0\2[]"):
    number = struct.pack(">i", len(lines) if count is None else count)
    return part(version) + number + b"".join(map(part, lines)) + tail


def test_a_compressed_body_is_read():
    body = uncompressed(b"t 4 8 6 SINGLE_TAG", b"u 1 1 2 MULTI_TAG {}")
    assert read_registration(zlib.compress(body), compressed=True) == (
        DataVersion(3, 9),
        [TopicConfig("t", 4, 8, 6), TopicConfig("u", 1, 1, 2)],
    )


def test_a_json_body_is_read():
    table = {"t": {"topicName": "t", "readQueueNums": 4, "writeQueueNums": 8, "perm": 6}}
    body = {"topicConfigSerializeWrapper": {"topicConfigTable": table, "dataVersion": {"counter": 3}}, "x": []}
    found = read_registration(json.dumps(body).encode(), compressed=False)
    assert found == (DataVersion(3), [TopicConfig("t", 4, 8, 6)])
    assert read_registration(b"", compressed=False).topics == []


@pytest.mark.parametrize(
    ("data", "hint"),
    [
        (b"nonsense", "decompressed"),
        (zlib.compress(uncompressed(b"t 4 8 6"))[:-6], "incomplete"),
        (zlib.compress(uncompressed(b"t 4")), "invalid line"),
        (zlib.compress(uncompressed(b"t 4 x 6")), "invalid line"),
        (zlib.compress(uncompressed(b"\xff 4 4 6")), "invalid line"),
        (zlib.compress(uncompressed(b"t 4 99999 6")), "99999"),
        (zlib.compress(uncompressed(b" 4 4 6")), "topic"),
        (zlib.compress(uncompressed(count=-1)), "number of topics: -1"),
        (zlib.compress(uncompressed(count=2**30)), "topics"),
        (zlib.compress(uncompressed(version=b"{")), "JSON"),
        (zlib.compress(b"\0\0\0"), "number"),
        (zlib.compress(struct.pack(">i", -5)), "-5 bytes"),
    ],
)
def test_a_malformed_body_is_refused(data, hint):
    with pytest.raises(BodyInvalid, match=hint):
        read_registration(data, compressed=True)


def test_a_decompression_bomb_is_refused(monkeypatch):
    monkeypatch.setattr(registration, "MAX_INFLATED_BYTES", 1000)
    with pytest.raises(BodyInvalid, match="more than 1000 bytes"):
        read_registration(zlib.compress(bytes(100_000)), compressed=True)


def test_the_decompressed_size_is_limited():
    """A frame of some kilobytes must not cost minutes of work, even if a broker sends it."""
    data = zlib.compress(bytes(5 * 1024 * 1024))
    assert len(data) < 8 * 1024
    with pytest.raises(BodyInvalid, match="more than 4194304 bytes"):
        read_registration(data, compressed=True)


def test_the_number_of_topics_is_limited(monkeypatch):
    """The server checks the number before it reads the first topic."""
    monkeypatch.setattr(registration, "MAX_TOPICS", 2)
    line = struct.pack(">i", 7) + b"a 1 1 6"
    for count, lines in ((3, line * 3), (2_000_000, b"")):
        body = struct.pack(">i", 2) + b"{}" + struct.pack(">i", count) + lines
        with pytest.raises(BodyInvalid, match=f"has {count} topics: one registration can have at most 2"):
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
    body = uncompressed(b"t 4 8 6 SINGLE_TAG", b"u 1 1 2 MULTI_TAG {}")
    cut = data.draw(st.integers(0, len(body)))
    with contextlib.suppress(BodyInvalid):
        read_registration(zlib.compress(body[:cut]), compressed=True)
