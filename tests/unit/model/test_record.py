"""The message record."""

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqguard.model import record
from mqguard.model.record import Record, RecordInvalid

# Made and read by Apache's own decoder: topic `T`, body `hi`, queue 1, offset 5, physical 1000.
FIXTURE = bytes.fromhex(
    "0000006a daa320a7 58932aac 00000001 00000000 0000000000000005 00000000000003e8 00000000 0000018bcfe56800"
    "7f000001 00001388 0000018bcfe56801 7f000001 00002a9f 00000000 0000000000000000 00000002 6869 01 54 000c"
    "554e49515f4b455901414202".replace(" ", "")
)

ints = st.integers(-(1 << 31), (1 << 31) - 1)
longs = st.integers(-(1 << 63), (1 << 63) - 1)
addresses = st.one_of(st.binary(min_size=4, max_size=4), st.binary(min_size=16, max_size=16))
records = st.builds(
    Record,
    topic=st.text("aB1%|_-é", min_size=0, max_size=200),
    body=st.binary(max_size=300),
    properties=st.binary(max_size=300),
    queue_id=ints,
    queue_offset=longs,
    physical_offset=longs,
    flag=ints,
    sys_flag=ints,
    born_timestamp=longs,
    born_address=addresses,
    born_port=ints,
    store_timestamp=longs,
    store_address=addresses,
    store_port=ints,
    reconsume_times=ints,
    prepared_offset=longs,
)


def with_address_bits(message):
    bits = (0x10 if len(message.born_address) == 16 else 0) | (0x20 if len(message.store_address) == 16 else 0)
    message.sys_flag = message.sys_flag & ~0x30 | bits
    return message


def fast(message):
    return record.encode_v4(
        message.topic.encode(),
        message.body,
        message.properties,
        message.queue_id,
        message.queue_offset,
        message.physical_offset,
        message.flag,
        message.sys_flag,
        message.born_timestamp,
        message.born_address,
        message.born_port,
        message.store_timestamp,
        message.store_address,
        message.store_port,
        message.reconsume_times,
    )


def test_the_fixture_is_read_and_written():
    message = record.decode(FIXTURE)
    assert message == Record(
        topic="T",
        body=b"hi",
        properties=b"UNIQ_KEY\x01AB\x02",
        queue_id=1,
        queue_offset=5,
        physical_offset=1000,
        born_timestamp=1_700_000_000_000,
        born_address=b"\x7f\0\0\x01",
        born_port=5000,
        store_timestamp=1_700_000_000_001,
        store_address=b"\x7f\0\0\x01",
        store_port=10911,
    )
    assert record.encode(message) == fast(message) == FIXTURE


@given(records)
def test_what_is_written_is_read_again(message):
    with_address_bits(message)
    data = record.encode(message)
    assert record.decode(data) == message
    assert record.size_at(data) == len(data)
    magic = "daa320a7" if len(message.topic.encode()) <= 127 else "daa320ab"
    assert data[4:8].hex() == magic


@given(records)
def test_the_fast_way_writes_the_same(message):
    message.born_address, message.store_address = message.born_address[:4], message.store_address[:4]
    message.topic = message.topic[:60]
    message.prepared_offset = 0
    with_address_bits(message)
    assert fast(message) == record.encode(message)


@given(st.lists(records, max_size=4))
def test_records_follow_each_other(messages):
    for message in messages:
        with_address_bits(message)
    data = b"".join(map(record.encode, messages))
    assert record.decode_all(data) == messages


@given(records, ints, longs, longs)
def test_placing_changes_the_place_only(message, queue_id, queue_offset, physical):
    with_address_bits(message)
    placed = record.place(record.encode(message), queue_id, queue_offset, physical)
    message.queue_id, message.queue_offset, message.physical_offset = queue_id, queue_offset, physical
    assert placed == record.encode(message)


@given(st.binary(max_size=200))
def test_any_bytes_give_a_record_or_a_clear_error(data):
    for start in (data, FIXTURE[:8] + data, FIXTURE[:8] + data + FIXTURE[8 + len(data) :]):
        try:
            message = record.decode(start)
        except RecordInvalid:
            continue
        assert isinstance(message, Record)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "cut off after 0 bytes"),
        (FIXTURE[:50], "claims 106 bytes, but 50 are present"),
        (FIXTURE[:4] + b"\0\0\0\0" + FIXTURE[8:], "unknown magic `00000000`"),
        ((90).to_bytes(4, "big") + FIXTURE[4:], "claims 90 bytes"),
        (b"\xff\xff\xff\xff" + FIXTURE[4:], "claims -1 bytes"),
        (FIXTURE[:84] + b"\x7f\xff\xff\xff" + FIXTURE[88:], "body of 2147483647 bytes reaches beyond"),
        (FIXTURE[:84] + b"\xff\xff\xff\xff" + FIXTURE[88:], "body of -1 bytes"),
        (FIXTURE[:92] + b"\xff" + FIXTURE[93:], "properties|damaged|reaches beyond"),
        (FIXTURE[:91] + b"\xff" + FIXTURE[92:], "damaged"),
    ],
)
def test_damage_is_named(data, words):
    with pytest.raises(RecordInvalid, match=words):
        record.decode(data)


def test_what_does_not_fit_is_refused():
    with pytest.raises(RecordInvalid, match="properties have 32768 bytes"):
        record.encode(Record("t", b"", b"x" * 32768))
    with pytest.raises(RecordInvalid, match="topic has 32768 bytes"):
        record.encode(Record("t" * 32768, b""))


def test_the_checksum_has_31_bits():
    body = next(body for body in (b"%d" % n for n in range(100)) if zlib.crc32(body) >> 31)
    assert int.from_bytes(record.encode(Record("t", body))[8:12], "big") == zlib.crc32(body) & 0x7FFFFFFF
