"""Binary headers."""

import struct

import pytest

from mqguard.remoting.codes import LanguageCode
from mqguard.remoting.command import Command, LocalProtocolError, RemoteProtocolError
from mqguard.remoting.header import read_binary_header, write_binary_header

FIXED = struct.pack(">hBhii", 10, 9, 479, 7, 2)


def test_all_parts_are_read() -> None:
    data = FIXED + b"\x00\x00\x00\x02hi" + b"\x00\x00\x00\x0c" + b"\x00\x03abc" + b"\x00\x00\x00\x03def"
    command = Command(10, 7, 2, 479, LanguageCode.GO, "hi", {"abc": "def"}, b"body")
    assert read_binary_header(data, b"body") == command
    assert write_binary_header(command) == data


def test_an_unknown_language_is_other() -> None:
    assert read_binary_header(struct.pack(">hBhii", 10, 200, 0, 0, 0) + bytes(8), b"").language == LanguageCode.OTHER


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the binary header has 0 bytes, fewer than the fixed 13"),
        (FIXED, "the binary header ends before the length of its remark"),
        (FIXED + b"\xff\xff\xff\xff", "the binary header's remark has length -1, but 0 bytes are present"),
        (FIXED + b"\x00\x00\x00\x09a", "the binary header's remark has length 9, but 1 bytes are present"),
        (FIXED + bytes(4) + b"\x00\x00\x00\x05a", "the binary header's ext fields has length 5, but 1 bytes are present"),
        (FIXED + bytes(8) + b"x", "the binary header has 1 bytes after its ext fields"),
        (FIXED + bytes(4) + b"\x00\x00\x00\x01x", "the binary header ends before the length of its name of an ext field"),
        (FIXED + bytes(4) + b"\x00\x00\x00\x03\x00\x01k",
         "the binary header ends before the length of its value of an ext field"),
        (FIXED + bytes(4) + b"\x00\x00\x00\x03\xff\xff\x00",
         "the binary header's name of an ext field has length -1, but 1 bytes are present"),
        (FIXED + b"\x00\x00\x00\x01\xff" + bytes(4), "the binary header has a text that is not UTF-8"),
    ],
)  # fmt: skip
def test_what_does_not_add_up_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        read_binary_header(data, b"")
    assert str(caught.value) == message


@pytest.mark.parametrize("command", [Command(200050), Command(1, version=40000), Command(1, ext={"k" * 40000: ""})])
def test_what_does_not_fit_is_not_written(command: Command) -> None:
    with pytest.raises(LocalProtocolError, match="does not fit 16 bits"):
        write_binary_header(command)


def test_half_a_surrogate_pair_is_not_written() -> None:
    with pytest.raises(LocalProtocolError, match="half a surrogate pair"):
        write_binary_header(Command(1, remark="\udc00"))
