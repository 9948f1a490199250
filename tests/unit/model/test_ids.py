"""Message ids."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqguard.model.record import UniqueIds, offset_id, parse_offset_id

addresses = st.one_of(st.binary(min_size=4, max_size=4), st.binary(min_size=16, max_size=16))


def test_the_fixture_of_the_java_decoder():
    assert offset_id(b"\x7f\0\0\x01", 10911, 1000) == "7F00000100002A9F00000000000003E8"


@given(addresses, st.integers(-(1 << 31), (1 << 31) - 1), st.integers(-(1 << 63), (1 << 63) - 1))
def test_offset_ids_are_read_again(address, port, physical):
    text = offset_id(address, port, physical)
    assert len(text) == (32 if len(address) == 4 else 56)
    assert text == text.upper()
    assert parse_offset_id(text) == (address, port, physical)
    assert parse_offset_id(text.lower()) == (address, port, physical)


@pytest.mark.parametrize("text", ["", "7F", "x" * 32, "01" * 17, "7F 0001" + "0" * 25, "-" * 32, "٣" * 32])
def test_other_texts_are_not_offset_ids(text):
    assert parse_offset_id(text) is None


def test_unique_ids_have_javas_form_and_differ():
    made = UniqueIds(b"\x0a\0\0\x01", 0x12345, 7)
    now = 1_700_000_000_000
    found = [made.next(now) for _ in range(65_536)]
    assert len(set(found)) == 65_536
    assert all(len(one) == 32 and one == one.upper() for one in found[:10])
    assert found[0].startswith("0A0000012345" + "00000007")
    assert UniqueIds(b"\x0a\0\0\x01", 1, 8).next(now) != UniqueIds(b"\x0a\0\0\x01", 1, 7).next(now)
    assert len(UniqueIds(b"\0" * 16, 1, 1).next(now)) == 56
