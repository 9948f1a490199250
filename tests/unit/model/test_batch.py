"""Batch bodies."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqguard.model.record import BatchMessage, RecordInvalid, decode_batch, encode_batch

messages = st.builds(
    BatchMessage,
    body=st.binary(max_size=50),
    properties=st.binary(max_size=50),
    flag=st.integers(-(1 << 31), (1 << 31) - 1),
)


@given(st.lists(messages, max_size=5))
def test_what_is_written_is_read_again(sent):
    assert decode_batch(encode_batch(sent)) == sent


def test_the_form_is_javas():
    data = encode_batch([BatchMessage(b"hi", b"a\x01b\x02", 3)])
    assert data.hex() == "0000001c" + "00000000" * 2 + "00000003" + "00000002" + b"hi".hex() + "0004" + "61016202"


@given(st.binary(max_size=80))
def test_any_bytes_give_messages_or_a_clear_error(data):
    try:
        found = decode_batch(data)
    except RecordInvalid:
        return
    assert sum(22 + len(one.body) + len(one.properties) for one in found) == len(data)


@pytest.mark.parametrize("cut", range(1, 28))
def test_a_batch_that_is_cut_off_is_named(cut):
    data = encode_batch([BatchMessage(b"hi", b"a\x01b\x02", 3)])
    with pytest.raises(RecordInvalid, match="the batch message at byte 0"):
        decode_batch(data[:cut])


def test_lengths_that_contradict_each_other_are_named():
    data = encode_batch([BatchMessage(b"hi")])
    with pytest.raises(RecordInvalid, match="claims 25 bytes but its parts take 24"):
        decode_batch((25).to_bytes(4, "big") + data[4:])
    with pytest.raises(RecordInvalid, match="claims -1 body bytes"):
        decode_batch(data[:16] + b"\xff\xff\xff\xff" + data[20:])
    with pytest.raises(RecordInvalid, match="claims -1 bytes of properties"):
        decode_batch(data[:-2] + b"\xff\xff")
