"""A batch stored in slices equals one that is stored at once."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqguard.engine import batch_send
from mqguard.engine.errors import MessageIllegal
from mqguard.model import properties
from mqguard.model.record import BatchMessage, encode_batch, parse_offset_id
from tests.fixtures.engine import begin_batch, make_engine, read, send

PAIRS = st.dictionaries(
    st.sampled_from(["TAGS", "KEYS", "mine", "CLUSTER", "REAL_TOPIC", "ORDELAYED"]), st.text("abc \u00e9", max_size=5)
)
BAD = st.sampled_from([b"DELAY\x013\x02", b"TIMER_DELAY_MS\x013\x02", b"\xff\x01x\x02", b"a\x01" + b"x" * 32_700])


@st.composite
def parts(draw, bad=False):
    found = []
    for number, (body, flag, pairs) in enumerate(
        draw(st.lists(st.tuples(st.binary(max_size=20), st.integers(-9, 9), PAIRS), min_size=1, max_size=12))
    ):
        text = properties.text_of({**pairs, "UNIQ_KEY": f"U{number}"}).encode()
        found.append(BatchMessage(body, text, flag))
    if bad:
        found.insert(draw(st.integers(0, len(found))), BatchMessage(b"", draw(BAD)))
    return found


def engine_with_topic():
    engine = make_engine()
    send(engine, b"first", queue_id=1)
    return engine


def advance_to_end(engine, sending, commits):
    """Store a batch one message at a time, and commit after the steps for which `commits` is true."""
    steps = 0
    while (sent := sending.advance(-math.inf)) is None:
        if commits[steps % len(commits)]:
            assert engine.group_commit.commit()
        steps += 1
    assert engine.group_commit.commit()
    return sent


@given(parts(), st.lists(st.booleans(), min_size=1, max_size=5))
def test_slices_store_and_answer_the_same(found, commits):
    whole, sliced = engine_with_topic(), engine_with_topic()
    body = encode_batch(found)
    expected = begin_batch(whole, body, queue_id=1).advance(math.inf)
    assert whole.group_commit.commit()

    sent = advance_to_end(sliced, begin_batch(sliced, body, queue_id=1), commits)

    assert sent == expected
    assert sent.queue_offset == 1
    assert read(sliced, queue_id=1) == read(whole, queue_id=1)
    for key in ("U0", f"U{len(found) - 1}"):
        assert sliced.query("orders", key, 9, 0, 1 << 60, unique=True) == whole.query(
            "orders", key, 9, 0, 1 << 60, unique=True
        )


@given(parts(), st.lists(st.booleans(), min_size=1, max_size=5))
def test_messages_of_other_producers_may_be_stored_between_slices(found, others):
    engine = engine_with_topic()
    sending = begin_batch(engine, encode_batch(found), queue_id=1)
    steps = 0
    while (sent := sending.advance(-math.inf)) is None:
        if others[steps % len(others)]:
            send(engine, b"of another producer", queue_id=1)
        steps += 1
    assert engine.group_commit.commit()

    records = {one.physical_offset: one for one in engine_records(engine)}
    mine = [records[parse_offset_id(one).physical_offset] for one in sent.message_id.split(",")]
    assert [one.body for one in mine] == [one.body for one in found]
    offsets = [one.queue_offset for one in mine]
    assert offsets == sorted(set(offsets))
    assert sent.queue_offset == offsets[0]


def engine_records(engine):
    offset, found = 0, []
    while batch_of := read(engine, queue_id=1, offset=offset):
        found += batch_of
        offset = found[-1].queue_offset + 1
    return found


@given(parts(bad=True))
def test_an_illegal_batch_is_rejected_before_anything_is_stored(found):
    engine = engine_with_topic()
    sending = begin_batch(engine, encode_batch(found), queue_id=1)
    with pytest.raises(MessageIllegal):
        advance_to_end(engine, sending, [True])
    assert sending.staged == 0
    assert [one.body for one in read(engine, queue_id=1)] == [b"first"]


def test_a_batch_of_the_maximum_is_stored_and_a_larger_one_rejected(monkeypatch):
    monkeypatch.setattr(batch_send, "MAX_BATCH", 3)
    engine = engine_with_topic()
    body = encode_batch([BatchMessage(b"x")] * 3)
    assert begin_batch(engine, body).advance(math.inf) is not None
    with pytest.raises(MessageIllegal, match="more than 3 messages"):
        begin_batch(engine, body + body).advance(math.inf)
