"""Answers from templates have the bytes that the general encoder would write."""

from hypothesis import example, given
from hypothesis import strategies as st

from mqguard.remoting.command import LocalProtocolError
from mqguard.remoting.frame import encode_reply
from mqguard.remoting.headers.codec import write
from mqguard.remoting.headers.pull import PullAnswer, PullAnswerTemplate
from mqguard.remoting.headers.send import SendAnswerTemplate

int32 = st.integers(-(2**31), 2**31 - 1)
int64 = st.integers(-(2**63), 2**63 - 1)
ids = st.one_of(st.text(max_size=12), st.text("0123456789ABCDEF", min_size=1, max_size=64))
traces = st.dictionaries(st.text('AB%"\\ø', max_size=4), st.text('ab%"\\\x01s ', max_size=4), max_size=3)


@given(int32, ids, int32, int64, ids, traces)
@example(1, "7F", 0, 0, "𝒜é", {})
@example(1, "7F", 0, 0, "\ud800", {"MSG_REGION": '","queueId":"'})
@example(123456789, "7F", 0, 0, "", {"123456789": '"transactionId":"'})
def test_the_answer_to_a_send_has_the_bytes_of_the_encoder(opaque, msg_id, queue_id, queue_offset, unique_id, trace):
    frame = SendAnswerTemplate(trace).frame(opaque, msg_id, queue_id, queue_offset, unique_id)
    texts = {
        "msgId": msg_id,
        "queueId": str(queue_id),
        "queueOffset": str(queue_offset),
        "transactionId": unique_id,
        **trace,
    }
    try:
        expected = encode_reply(opaque, 0, texts)
    except LocalProtocolError:
        expected = b""
    assert frame in {expected, b""}
    assert bool(frame) == (msg_id.isalnum() and unique_id.isalnum())


@given(int32, int64, int64, int64, int64, st.binary(max_size=40), st.text('FOUND"\\ø', max_size=8))
def test_the_answer_to_a_pull_has_the_bytes_of_the_encoder(opaque, broker_id, next_offset, low, high, body, remark):
    answer = PullAnswer(
        suggest_which_broker_id=broker_id, next_begin_offset=next_offset, min_offset=low, max_offset=high
    )
    expected = encode_reply(opaque, 0, write(answer), remark, body)
    assert PullAnswerTemplate(broker_id, remark).frame(opaque, next_offset, low, high, body) == expected
