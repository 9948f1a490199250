"""Frames of a server on their way to a client."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqguard.remoting.codes import FLAG_ONEWAY, FLAG_RESPONSE
from mqguard.remoting.command import Command, RemoteProtocolError
from mqguard.remoting.frame import encode_binary, encode_reply, encode_request
from mqguard.remoting.relay_reader import RelayReader

TRICKY = ['"flag":1,', '\\"flag\\":1,', '{"flag":1,"a":"b"}', "flag", '"', "\\"]


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[first:second] for first, second in itertools.pairwise(places)]


def frame(kind: str, opaque: int, text: str, body: bytes) -> bytes:
    command = Command(39, opaque, 0, 500, 0, text, {"name": text, "AccessKey": "admin"}, body)
    match kind:
        case "answer":
            return encode_reply(opaque, 0, {"name": text}, text, body)
        case "binary-answer":
            return encode_binary(Command(0, opaque, FLAG_RESPONSE, 500, 0, text, {"name": text}, body))
        case "binary-request":
            return encode_binary(command)
        case _:
            return encode_request(command)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["answer", "binary-answer", "request", "binary-request"]),
            st.integers(0, 5),
            st.sampled_from(TRICKY) | st.text(max_size=5).filter(lambda text: text.isprintable()),
            st.binary(max_size=20),
        ),
        max_size=8,
    ),
    st.sets(st.integers(0, 5), max_size=3),
    st.lists(st.integers(0, 5_000), max_size=12),
)
def test_frames_pass_whole_and_in_order_however_they_arrive(
    frames: list[tuple[str, int, str, bytes]], wanted: set[int], cuts: list[int]
) -> None:
    """Requests and wanted answers are read; all others are passed on as bytes."""
    data = [frame(*one) for one in frames]
    reader = RelayReader(wanted)
    parts = [part for piece in split(b"".join(data), cuts) for part in reader.feed(piece)]
    assert b"".join(part if isinstance(part, bytes) else part.frame for part in parts) == b"".join(data)
    assert reader.pending == 0
    read = [part.opaque for part in parts if isinstance(part, Command)]
    assert read == [opaque for kind, opaque, *_ in frames if "request" in kind or opaque in wanted]


@given(st.binary(max_size=64))
def test_any_bytes_give_frames_or_a_documented_error(data: bytes) -> None:
    reader = RelayReader(())
    try:
        reader.feed(data)
    except RemoteProtocolError:
        return
    assert reader.pending <= len(data)


def test_a_frame_over_the_limit_is_refused_before_it_is_collected() -> None:
    reader = RelayReader((), max_frame=100)
    with pytest.raises(RemoteProtocolError):
        reader.feed((101).to_bytes(4, "big") + bytes(4))


def test_an_unfinished_frame_holds_back_only_itself() -> None:
    whole, started = encode_reply(1, 0), encode_reply(2, 0, None, "later")
    reader = RelayReader(())
    assert reader.feed(whole + started[:9]) == [whole]
    assert reader.pending == 9
    assert reader.feed(started[9:]) == [started]


def test_a_one_way_request_of_the_server_is_read() -> None:
    check = encode_request(Command(39, 7, FLAG_ONEWAY, 500, 0, None, {"transactionId": "t"}, b"half"))
    (part,) = RelayReader(()).feed(check)
    assert isinstance(part, Command)
    assert part.is_oneway
    assert part.frame == check
