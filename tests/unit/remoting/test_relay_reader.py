"""Frames of a server on their way to a client."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqguard.remoting.codes import FLAG_RESPONSE
from mqguard.remoting.command import Command, RemoteProtocolError
from mqguard.remoting.frame import encode_binary, encode_reply, encode_request
from mqguard.remoting.relay_reader import RelayReader, read_server_frame

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
            st.integers(-(2**31), 2**31 - 1),
            st.sampled_from(TRICKY) | st.text(max_size=5).filter(lambda text: text.isprintable()),
            st.binary(max_size=20),
        ),
        max_size=8,
    ),
    st.lists(st.integers(0, 5_000), max_size=12),
)
def test_frames_are_found_whole_and_in_order_however_they_arrive(
    frames: list[tuple[str, int, str, bytes]], cuts: list[int]
) -> None:
    """The number of an answer is found, whatever texts its header has."""
    sent = [frame(*one) for one in frames]
    reader = RelayReader()
    found: list[bytes] = []
    opaques: list[int | None] = []
    for piece in split(b"".join(sent), cuts):
        data, places = reader.feed(piece)
        found += [data[at:end] for at, _, end, _ in places]
        opaques += [opaque for *_, opaque in places]
        assert [at for at, *_ in places] == [0, *(end for _, _, end, _ in places)][: len(places)]
        for at, begin, end, _ in places:
            assert read_server_frame(data, at, begin, end).body in {body for *_, body in frames}
    assert found == sent
    assert reader.pending == 0
    assert opaques == [None if "request" in kind else opaque for kind, opaque, *_ in frames]


@given(st.binary(max_size=64))
def test_any_bytes_give_frames_or_a_documented_error(data: bytes) -> None:
    reader = RelayReader()
    try:
        reader.feed(data)
    except RemoteProtocolError:
        return
    assert reader.pending <= len(data)


def test_a_frame_over_the_limit_is_refused_before_it_is_collected() -> None:
    reader = RelayReader(max_frame=100)
    with pytest.raises(RemoteProtocolError):
        reader.feed((101).to_bytes(4, "big") + bytes(4))


def test_an_unfinished_frame_holds_back_only_itself() -> None:
    whole, started = encode_reply(1, 0), encode_reply(2, 0, None, "later")
    reader = RelayReader()
    data, places = reader.feed(whole + started[:9])
    assert [data[at:end] for at, _, end, _ in places] == [whole]
    assert reader.pending == 9
    data, places = reader.feed(started[9:])
    assert [data[at:end] for at, _, end, _ in places] == [started]
