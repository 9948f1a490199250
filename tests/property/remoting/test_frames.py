"""Frames under arbitrary bytes and arbitrary splits."""

import itertools
import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqguard.remoting.body_limits import FrameLimits
from mqguard.remoting.command import Command, FrameRefused, RemoteProtocolError
from mqguard.remoting.frame import FrameReader, encode_binary, encode_reply, encode_request

MAX_FRAME = 4096

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
int32 = st.integers(-(2**31), 2**31 - 1)
int16 = st.integers(-(2**15), 2**15 - 1)
exts = st.dictionaries(texts, texts, max_size=5)


def commands(codes: st.SearchStrategy[int]) -> st.SearchStrategy[Command]:
    return st.builds(
        Command,
        code=codes,
        opaque=int32,
        flag=int32,
        version=int16,
        language=st.integers(0, 13),
        remark=st.none() | texts.filter(bool),
        ext=exts,
        body=st.binary(max_size=40),
    )


@st.composite
def near_frames(draw: st.DrawFn) -> bytes:
    """Yield bytes that are nearly a frame: each part may be right or wrong."""
    header = draw(
        st.one_of(
            st.binary(max_size=30),
            commands(int32).map(lambda command: encode_request(command)[8:][: -len(command.body) or None]),
            st.from_regex(rb'\{"code":[-0-9"e.]{1,4},"extFields":\{[{}\[\]a"\':,0-9]{0,12}\},?\}', fullmatch=True),
        )
    )
    body = draw(st.binary(max_size=10))
    size = draw(st.one_of(st.just(len(header)), st.integers(0, 0xFFFFFF)))
    length = draw(st.one_of(st.just(4 + len(header) + len(body)), st.integers(0, 2**32 - 1)))
    form = draw(st.sampled_from([0, 0, 0, 1, 1, 2, 255]))
    return struct.pack(">II", length, form << 24 | size) + header + body


streams = st.lists(
    st.one_of(
        commands(int32).map(encode_request), commands(int16).map(encode_binary), near_frames(), st.binary(max_size=20)
    ),
    max_size=5,
).map(b"".join)


def outcome(pieces: list[bytes]) -> tuple[list[Command], str | None]:
    """Return all commands, and the error that ended them."""
    reader = FrameReader(MAX_FRAME)
    found: list[Command] = []
    for piece in pieces:
        try:
            found += reader.feed(piece)
        except RemoteProtocolError as exc:
            return found + exc.commands, str(exc)
    return found, None


@given(streams)
def test_any_bytes_give_commands_or_the_documented_error(data: bytes) -> None:
    found, error = outcome([data])
    for command in found:
        assert all(type(name) is str and type(value) is str for name, value in command.ext.items())
        assert -(2**31) <= command.opaque < 2**31
        assert type(command.body) is bytes
    assert error is None or "\n" not in error


@given(streams, st.lists(st.integers(0, 400)))
def test_any_split_gives_the_same(data: bytes, cuts: list[int]) -> None:
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    pieces = [data[start:end] for start, end in itertools.pairwise(places)]
    assert outcome(pieces) == outcome([data])


@given(streams)
def test_byte_by_byte_gives_the_same(data: bytes) -> None:
    assert outcome([data[at : at + 1] for at in range(len(data))]) == outcome([data])


tight = st.builds(
    FrameLimits,
    header=st.integers(60, 200),
    fields=st.integers(0, 4),
    answer=st.integers(0, 30),
    bodies=st.dictionaries(st.integers(0, 5), st.integers(10, 40)),
    unknown=st.integers(5, 30),
    unchecked=st.just(5),
)
limited_streams = st.lists(
    st.one_of(
        commands(st.integers(0, 6)).map(encode_request), commands(st.integers(0, 6)).map(encode_binary), near_frames()
    ),
    max_size=6,
).map(b"".join)


def limited_outcome(
    pieces: list[bytes], limits: FrameLimits, count: int, size: int = 100_000
) -> tuple[list[Command | str], str | None]:
    """Return all commands and refusals in order, and the error that ended them."""
    reader = FrameReader(MAX_FRAME, limits)
    found: list[Command | str] = []
    for piece in pieces:
        reader.push(piece)
        while reader.has_input:
            try:
                taken = reader.take(count, size)
                assert len(taken) <= count
                found += taken
            except FrameRefused as exc:
                found += [*exc.commands, f"{exc} {exc.request.opaque}"]
            except RemoteProtocolError as exc:
                return found + exc.commands, str(exc)
    return found, None


@given(limited_streams, tight, st.lists(st.integers(0, 600)), st.integers(1, 4), st.integers(1, 300))
def test_limits_hold_for_any_split(data: bytes, limits: FrameLimits, cuts: list[int], count: int, size: int) -> None:
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    pieces = [data[start:end] for start, end in itertools.pairwise(places)]
    whole, error = limited_outcome([data], limits, 1_000)
    assert limited_outcome(pieces, limits, count, size) == (whole, error)
    assert limited_outcome([data[at : at + 1] for at in range(len(data))], limits, count) == (whole, error)
    for event in whole:
        if isinstance(event, Command):
            limit = limits.body(event.code, is_response=event.is_response)
            assert len(event.body) <= max(limit, limits.unchecked)
            assert len(event.ext) <= limits.fields


@given(st.lists(commands(int32), max_size=4))
def test_json_frames_round_trip(many: list[Command]) -> None:
    assert outcome([b"".join(map(encode_request, many))]) == (many, None)


@given(st.lists(commands(int16), max_size=4))
def test_binary_frames_round_trip(many: list[Command]) -> None:
    assert outcome([b"".join(map(encode_binary, many))]) == (many, None)


@given(int32, int16, st.none() | exts, st.none() | texts, st.binary(max_size=20))
def test_a_reply_is_what_any_json_library_reads(
    opaque: int, code: int, ext: dict[str, str] | None, remark: str | None, body: bytes
) -> None:
    frame = encode_reply(opaque, code, ext, remark, body)
    length, word = struct.unpack_from(">II", frame)
    assert length == len(frame) - 4
    assert word >> 24 == 0
    assert frame[8 + word :] == body
    expected = {
        "code": code,
        "flag": 1,
        "language": "PYTHON",
        "opaque": opaque,
        "serializeTypeCurrentRPC": "JSON",
        "version": 513,
    }
    if ext is not None:
        expected["extFields"] = ext
    if remark is not None:
        expected["remark"] = remark
    assert json.loads(frame[8 : 8 + word]) == expected


@given(streams, streams)
def test_a_reader_that_has_failed_gives_nothing_more(data: bytes, more: bytes) -> None:
    reader = FrameReader(MAX_FRAME)
    try:
        reader.feed(data)
    except RemoteProtocolError:
        with pytest.raises(RemoteProtocolError) as caught:
            reader.feed(more)
        assert caught.value.commands == []
        assert reader.pending == 0
