"""Frames, vector by vector."""

import struct
from collections.abc import Callable

import pytest

from mqguard.remoting.body_limits import FrameLimits, anonymous_limits, authenticated_limits
from mqguard.remoting.command import Command, FrameRefused, LocalProtocolError, RemoteProtocolError
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


def test_unknown_codes_are_delivered() -> None:
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
        (struct.pack(">II", 4, 0), "the frame's header is not JSON: the text ends too early at character 0"),
        (framed(b"{}", form=7), "unknown header form 7: 0 is JSON, 1 is binary"),
    ],
)
def test_an_invalid_frame_is_refused(data: bytes, message: str) -> None:
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


LIMITS = FrameLimits(header=200, fields=2, answer=10, bodies={105: 20}, unknown=5, unchecked=5)


@pytest.mark.parametrize("encode", [encode_request, encode_binary], ids=["json", "binary"])
def test_a_body_over_the_limit_of_its_code_is_refused_and_skipped(encode: Callable[[Command], bytes]) -> None:
    reader = FrameReader(limits=LIMITS)
    reader.push(encode(Command(105, 1, body=bytes(20))) + encode(Command(105, 2, body=bytes(21))) + encode(Command(3)))
    with pytest.raises(FrameRefused) as caught:
        reader.take(100)
    assert str(caught.value) == "the body of request 105 has 21 bytes, more than the limit of 20 bytes"
    assert (caught.value.request.opaque, caught.value.request.body, caught.value.code) == (2, b"", 29)
    assert [command.opaque for command in caught.value.commands] == [1]
    assert [command.code for command in reader.take(100)] == [3]


def test_a_body_over_its_limit_is_refused_before_it_arrives() -> None:
    frame = encode_request(Command(310, 7, body=bytes(1_000_000)))
    reader = FrameReader(limits=LIMITS)
    reader.push(frame[:-999_999])
    with pytest.raises(FrameRefused, match="more than the limit of 5 bytes") as caught:
        reader.take(1)
    assert caught.value.code == 13
    for at in range(len(frame) - 999_999, len(frame), 65_536):
        reader.push(frame[at : at + 65_536])
        assert reader.take(1) == []
        assert reader.pending == 0
    assert len(reader.feed(BINARY_105)) == 1


def test_an_answer_has_a_limit_of_its_own() -> None:
    with pytest.raises(FrameRefused, match="the body of answer 105 has 11 bytes, more than the limit of 10 bytes"):
        FrameReader(limits=LIMITS).feed(encode_reply(1, 105, body=bytes(11)))


@pytest.mark.parametrize("encode", [encode_request, encode_binary], ids=["json", "binary"])
def test_a_header_of_many_fields_is_refused_and_skipped(encode: Callable[[Command], bytes]) -> None:
    reader = FrameReader(limits=LIMITS)
    frame = encode(Command(105, 9, ext={"a": "", "b": "", "c": ""}, body=b"abc"))
    reader.push(frame + BINARY_105)
    with pytest.raises(FrameRefused, match="the header of request 105 has more than 2 ext fields") as caught:
        reader.take(1)
    assert (caught.value.request.opaque, caught.value.request.ext) == (9, {})
    assert len(reader.take(1)) == 1


def test_fields_of_one_name_are_counted_each() -> None:
    field = b"\x00\x01a\x00\x00\x00\x00"
    header = struct.pack(">hBhiiii", 105, 0, 0, 7, 0, 0, 3 * len(field)) + 3 * field
    assert FrameReader().feed(framed(header, form=1))[0].ext == {"a": ""}
    with pytest.raises(FrameRefused, match="has more than 2 ext fields"):
        FrameReader(limits=LIMITS).feed(framed(header, form=1))


LONG_HEADERS = {
    "JSON": framed(b'{"code":105,"opaque":77,"flag":2,"extFields":{"a":"' + b"x" * 300_000 + b'"}}', b"body"),
    "binary": framed(struct.pack(">hBhiiii", 105, 0, 0, 77, 2, 0, 300_000) + bytes(300_000), b"body", form=1),
}


@pytest.mark.parametrize("frame", list(LONG_HEADERS.values()), ids=list(LONG_HEADERS))
@pytest.mark.parametrize("size", [1, 100, 65_536, 1_000_000])
def test_a_header_over_its_limit_is_refused_by_its_first_bytes_and_skipped(frame: bytes, size: int) -> None:
    reader = FrameReader(limits=LIMITS)
    data = frame + BINARY_105
    refused: list[FrameRefused] = []
    commands: list[Command] = []
    for at in range(0, len(data), size):
        reader.push(data[at : at + size])
        while reader.has_input:
            try:
                commands += reader.take(10)
            except FrameRefused as exc:
                refused.append(exc)
            assert reader.pending <= 1_000 or size > 1_000
    assert [str(exc).split(" is ")[1] for exc in refused] == ["over the limit of 200 bytes"]
    request_ = refused[0].request
    assert (request_.code, request_.opaque, request_.flag, request_.ext, request_.body) == (105, 77, 2, {}, b"")
    assert [command.code for command in commands] == [105]


@pytest.mark.parametrize(
    "header",
    [
        b'{"extFields":{"a":"' + b"x" * 300 + b'"},"code":105,"opaque":77}',
        b'{"code":105,"opaque":99999999999,"x":"' + b"x" * 300 + b'"}',
        b'{"code":105,"opaque":9999999999,"x":"' + b"x" * 300 + b'"}',
        b'{"code":105,"x":"' + b"\\" + b'"opaque' + b"\\" + b'":7,' + b"x" * 300 + b'"}',
        b" " * 300,
    ],
)
def test_a_header_over_its_limit_that_does_not_say_what_it_is_ends_the_connection(header: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="is over the limit of 200 bytes") as caught:
        FrameReader(limits=LIMITS).feed(framed(header))
    assert not isinstance(caught.value, FrameRefused)


def test_an_unknown_form_ends_the_connection_if_its_header_is_too_long() -> None:
    with pytest.raises(RemoteProtocolError, match="header length 300 is over the limit of 200 bytes"):
        FrameReader(limits=LIMITS).feed(framed(bytes(300), form=9))


def test_limits_may_change_between_frames() -> None:
    reader = FrameReader(limits=LIMITS)
    reader.limits = authenticated_limits()
    assert len(reader.feed(encode_request(Command(34, body=bytes(200_000))))) == 1
    reader.limits = anonymous_limits()
    with pytest.raises(FrameRefused, match="more than the limit of 131072 bytes"):
        reader.feed(encode_request(Command(34, body=bytes(200_000))))


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
