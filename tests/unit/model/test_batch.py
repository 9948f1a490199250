"""Batch bodies."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqguard.model import batch
from mqguard.model.batch import BatchMessage
from mqguard.model.errors import RecordInvalid

messages = st.builds(
    BatchMessage,
    body=st.binary(max_size=50),
    properties=st.binary(max_size=50),
    flag=st.integers(-(1 << 31), (1 << 31) - 1),
)


@given(st.lists(messages, max_size=5))
def test_what_is_written_is_read_again(sent):
    assert batch.decode(batch.encode(sent)) == sent


def test_the_form_is_javas():
    data = batch.encode([BatchMessage(b"hi", b"a\x01b\x02", 3)])
    assert data.hex() == "0000001c" + "00000000" * 2 + "00000003" + "00000002" + b"hi".hex() + "0004" + "61016202"


@given(st.binary(max_size=80))
def test_any_bytes_give_messages_or_a_clear_error(data):
    try:
        found = batch.decode(data)
    except RecordInvalid:
        return
    assert sum(22 + len(one.body) + len(one.properties) for one in found) == len(data)


@pytest.mark.parametrize("cut", range(1, 28))
def test_a_batch_that_is_cut_off_is_named(cut):
    data = batch.encode([BatchMessage(b"hi", b"a\x01b\x02", 3)])
    with pytest.raises(RecordInvalid, match="the batch message at byte 0"):
        batch.decode(data[:cut])


def test_lengths_that_contradict_each_other_are_named():
    data = batch.encode([BatchMessage(b"hi")])
    with pytest.raises(RecordInvalid, match="claims 25 bytes but its parts take 24"):
        batch.decode((25).to_bytes(4, "big") + data[4:])
    with pytest.raises(RecordInvalid, match="claims -1 body bytes"):
        batch.decode(data[:16] + b"\xff\xff\xff\xff" + data[20:])
    with pytest.raises(RecordInvalid, match="claims -1 bytes of properties"):
        batch.decode(data[:-2] + b"\xff\xff")
