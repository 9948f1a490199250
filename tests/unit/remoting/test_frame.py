"""Frames, vector by vector."""

import struct

import pytest

from mqguard.remoting.command import Command
from mqguard.remoting.errors import LocalProtocolError, RemoteProtocolError
from mqguard.remoting.frame import FrameReader, encode_binary, encode_reply, encode_request

BINARY_105 = bytes.fromhex(
    "00000025 01000021 0069 00 01df 00000000 00000000 00000000 0000000c 0005 746f706963 00000001 54".replace(" ", "")
)
"""Request 105 for topic `T`, as the Java encoder wrote it."""
JSON_105 = (
    b'{"code":105,"extFields":{"topic":"T"},"flag":0,"language":"JAVA","opaque":0,'
    b'"serializeTypeCurrentRPC":"JSON","version":0}'
)


def framed(header: bytes, body: bytes = b"", form: int = 0) -> bytes:
    return struct.pack(">II", 4 + len(header) + len(body), form << 24 | len(header)) + header + body


def test_the_binary_vector_is_read_and_written() -> None:
    command = Command(105, version=479, ext={"topic": "T"})
    assert FrameReader().feed(BINARY_105) == [command]
    assert encode_binary(command) == BINARY_105


def test_a_json_frame_is_read_with_its_body() -> None:
    assert FrameReader().feed(framed(JSON_105, b"\x00\xffbody")) == [
        Command(105, ext={"topic": "T"}, body=b"\x00\xffbody")
    ]


def test_frames_of_both_forms_share_a_connection() -> None:
    codes = [command.code for command in FrameReader().feed(framed(JSON_105) + BINARY_105 + framed(JSON_105))]
    assert codes == [105, 105, 105]


def test_codes_that_nobody_knows_are_delivered() -> None:
    assert FrameReader().feed(framed(b'{"code":-77}')) == [Command(-77)]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (struct.pack(">i", -5), "the frame's length -5 is negative"),
        (struct.pack(">i", 3), "the frame's length 3 leaves no room for its header length"),
        (struct.pack(">i", 2**31 - 1), "the frame's length 2147483647 is over the limit of 16777216 bytes"),
        (b"GET / HTTP/1.1\r\n", "the frame's length 1195725856 is over the limit of 16777216 bytes"),
        (struct.pack(">II", 10, 7) + b"{}xxxx", "the frame's header length 7 is over the 6 bytes of the frame"),
        (framed(b" " * 1048577), "the frame's header length 1048577 is over the limit of 1048576 bytes"),
        (struct.pack(">II", 4, 0), "the frame's header is no JSON: the text ends too early at character 0"),
        (framed(b"{}", form=7), "unknown header form 7: 0 is JSON, 1 is binary"),
    ],
)
def test_what_is_no_frame_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        FrameReader().feed(BINARY_105 + data)
    assert str(caught.value) == message
    assert caught.value.commands == [Command(105, version=479, ext={"topic": "T"})]


def test_a_bad_length_is_refused_before_anything_else_arrives() -> None:
    reader = FrameReader(100)
    assert reader.feed(b"\x00\x00\x00") == []
    with pytest.raises(RemoteProtocolError):
        reader.feed(b"\x65")


def test_the_limit_itself_is_allowed() -> None:
    frame = framed(JSON_105, b"x" * 50)
    size = len(frame) - 4
    assert len(FrameReader(size).feed(frame)) == 1
    with pytest.raises(RemoteProtocolError, match=f"over the limit of {size - 1} bytes"):
        FrameReader(size - 1).feed(frame)


def test_what_is_pending_is_known() -> None:
    reader = FrameReader()
    reader.feed(BINARY_105 + BINARY_105[:9])
    assert reader.pending == 9
    assert len(reader.feed(BINARY_105[9:])) == 1
    assert reader.pending == 0


def test_a_large_frame_in_many_pieces() -> None:
    frame = framed(JSON_105, bytes(3_000_000))
    reader = FrameReader()
    found = [command for at in range(0, len(frame), 65_536) for command in reader.feed(frame[at : at + 65_536])]
    assert [len(command.body) for command in found] == [3_000_000]


def test_a_reply_is_written_as_clients_need_it() -> None:
    assert encode_reply(7, 0) == framed(
        b'{"code":0,"flag":1,"language":"PYTHON","opaque":7,"serializeTypeCurrentRPC":"JSON","version":513}'
    )
    assert encode_reply(-7, 17, {}, 'a "b"\n', b"x") == framed(
        b'{"code":17,"flag":1,"language":"PYTHON","opaque":-7,"serializeTypeCurrentRPC":"JSON","version":513,'
        b'"extFields":{},"remark":"a \\"b\\"\\n"}',
        b"x",
    )


@pytest.mark.parametrize("code", [32768, -32769, 200050])
def test_a_reply_code_that_go_cannot_read_is_refused(code: int) -> None:
    with pytest.raises(LocalProtocolError, match=f"response code {code} does not fit"):
        encode_reply(1, code)


def test_a_header_that_is_too_long_is_refused() -> None:
    with pytest.raises(LocalProtocolError, match="do not fit a frame"):
        encode_reply(1, 0, {"a": "x" * 0x1000000})


def test_half_a_surrogate_pair_is_refused() -> None:
    with pytest.raises(LocalProtocolError, match="half a surrogate pair"):
        encode_reply(1, 0, {"a": "\ud800"})
    with pytest.raises(LocalProtocolError, match="half a surrogate pair"):
        encode_request(Command(1, remark="\ud800"))
