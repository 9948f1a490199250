"""The addresses of brokers in records and message ids."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqguard.model import record
from mqguard.model.record import Record, RecordInvalid
from mqguard.proxy.sessions.addresses import AddressMap, advertised
from mqguard.proxy.sessions.record_hosts import RecordHosts

V4, V6 = st.binary(min_size=4, max_size=4), st.binary(min_size=16, max_size=16)
RECORDS = st.builds(
    Record,
    topic=st.text(min_size=1, max_size=200).filter(lambda text: len(text.encode()) < 300),
    body=st.binary(max_size=60),
    properties=st.binary(max_size=60),
    queue_id=st.integers(0, 100),
    physical_offset=st.integers(0, 2**62),
    sys_flag=st.sampled_from([0, 1, 4, 8]),
    born_address=st.one_of(V4, V6),
    born_port=st.integers(0, 65_535),
    store_address=st.one_of(V4, V6),
    store_port=st.integers(0, 65_535),
)
GUARDS = st.sampled_from(["198.51.100.1:20000", "[2001:db8::1]:20000", "guard.example:20000"])


@given(st.lists(RECORDS, max_size=5), GUARDS, GUARDS, st.booleans())
def test_only_the_address_of_the_broker_changes(records: list[Record], own: str, other: str, known: bool) -> None:
    """A known address becomes its own counterpart, and an unknown one that of the broker which answers."""
    addresses = AddressMap()
    mapped = advertised(own).packed
    if known and records:
        host = record.offset_id(records[0].store_address, records[0].store_port, 0)
        addresses.packed[bytes.fromhex(host[:-16])] = advertised(other).packed
    hosts = RecordHosts(addresses, mapped)
    found = record.decode_all(hosts.records(b"".join(map(record.encode, records))))
    assert len(found) == len(records)
    for before, after in zip(records, found, strict=True):
        key = before.store_address + before.store_port.to_bytes(4, "big")
        packed = addresses.packed.get(key, mapped)
        assert after.store_address + after.store_port.to_bytes(4, "big") == packed
        flags = record.STORE_HOST_V6 | record.BORN_HOST_V6
        same = {"store_address": b"", "store_port": 0, "sys_flag": before.sys_flag}
        assert msgspec.structs.replace(after, **same) == msgspec.structs.replace(before, **same)
        assert after.sys_flag & ~flags == before.sys_flag & ~flags
        assert hosts.message_ids(record.offset_id(before.store_address, before.store_port, 7)) == (
            packed.hex().upper() + "0000000000000007"
        )


@given(st.binary(max_size=300))
def test_other_bytes_are_an_error(data: bytes) -> None:
    """Any bytes are records or an error, so that nothing unread is passed on."""
    hosts = RecordHosts(AddressMap(), advertised("198.51.100.1:20000").packed)
    try:
        hosts.records(data)
    except RecordInvalid:
        pass
    else:
        assert not data


@given(RECORDS, st.integers(1, 200))
def test_a_cut_record_is_an_error(message: Record, cut: int) -> None:
    data = record.encode(message)
    hosts = RecordHosts(AddressMap(), advertised("198.51.100.1:20000").packed)
    with pytest.raises(RecordInvalid):
        hosts.records((data + data)[: -min(cut, len(data) - 1)])


@pytest.mark.parametrize("ids", ["", "abc", "7F000001ACE818B4AAC2", "Z" * 32, "é" * 32, ",,", " " * 32])
def test_other_ids_stay(ids: str) -> None:
    assert RecordHosts(AddressMap(), advertised("198.51.100.1:20000").packed).message_ids(ids) == ids


def test_each_id_of_a_batch_is_replaced() -> None:
    guard = advertised("198.51.100.1:20000").packed
    ids = ",".join(record.offset_id(b"\x0a\0\0\1", 10_911, offset) for offset in (1, 2))
    expected = ",".join(record.offset_id(guard[:4], 20_000, offset) for offset in (1, 2))
    assert RecordHosts(AddressMap(), guard).message_ids(ids) == expected
