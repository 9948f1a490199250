"""JSON headers, strict and lenient."""

import pytest

from mqguard.remoting.codes import LanguageCode
from mqguard.remoting.command import NO_EXT, Command, RemoteProtocolError
from mqguard.remoting.header import MAX_LENIENT, read_json_header, write_json_header


@pytest.mark.parametrize(
    ("header", "command"),
    [
        (b'{"code":10}', Command(10)),
        (b'{"code":10,"extFields":null,"remark":null}', Command(10)),
        (b'{"code":10,"unknown":[1,{"a":2}]}', Command(10)),
        (b'{"code":1,"language":"GO","opaque":-3,"flag":2,"version":317}', Command(1, -3, 2, 317, LanguageCode.GO)),
        (b'{"code":1,"language":"COBOL"}', Command(1, language=LanguageCode.OTHER)),
        (b'{"code":1,"language":null}', Command(1, language=LanguageCode.OTHER)),
        (b'{"code":1,"language":12}', Command(1, language=LanguageCode.RUST)),
        (b'{"code":1,"language":99}', Command(1, language=LanguageCode.OTHER)),
        (b'{"code":1,"language":[]}', Command(1, language=LanguageCode.OTHER)),
        (b'{"code":1,"code":2}', Command(2)),
        (b'{"code":1,"extFields":{"a":"1","a":"2"}}', Command(1, ext={"a": "2"})),
        (b'{"code":"105"}', Command(105)),
        (b'{"code":105.0}', Command(105)),
        (b"{code:105,'opaque':7,}", Command(105, 7)),
        (b'{"code":1,"extFields":{"n":12,"f":1.50,"t":true,"x":false,"z":null}}',
         Command(1, ext={"n": "12", "f": "1.50", "t": "true", "x": "false"})),
        (b'{"code":1,"extFields":{0:"a",}}', Command(1, ext={"0": "a"})),
        (b'{"code":1,"extFields":{"a":1,"a":null}}', Command(1)),
        (b'{"code":1,"remark":17}', Command(1, remark="17")),
        (b'{"code":1,"remark":"\\ud83d\\ude00\\ud800"}', Command(1, remark="\U0001f600\ufffd")),
        (b'\t{"code":1,"remark":"a\nb"}', Command(1, remark="a\nb")),
    ],
)  # fmt: skip
def test_what_peers_send_is_read(header: bytes, command: Command) -> None:
    assert read_json_header(header, b"") == command


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (b"", "the frame's header is not JSON: the text ends too early at character 0"),
        (b"[1]", "the frame's header is not a JSON object"),
        (b"null", "the frame's header is not a JSON object"),
        (b"{}", "the frame's header has no `code`"),
        (b'{"code":null}', "the frame's header has no `code`"),
        (b'{"code":{}}', "the header's `code` is not a 32-bit whole number"),
        (b'{"code":1.5}', "the header's `code` is not a 32-bit whole number"),
        (b'{"code":true}', "the header's `code` is not a 32-bit whole number"),
        (b'{"code":1,"opaque":2147483648}', "the header's `opaque` is not a 32-bit whole number"),
        (b'{"code":1,"opaque":--1}', "the frame's header is not JSON: no value at character 19"),
        (b'{"code":1,"flag":"9999999999999999999999999"}', "the header's `flag` is not a 32-bit whole number"),
        (b'{"code":1,"version":"\xc2\xb2"}', "the header's `version` is not a 32-bit whole number"),
        (b'{"code":1,"remark":["x"]}', "the header's `remark` is not a text"),
        (b'{"code":1,"extFields":[]}', "the header's `extFields` is not a JSON object"),
        (b'{"code":1,"extFields":"a"}', "the header's `extFields` is not a JSON object"),
        (b'{"code":1,"extFields":{"a":{}}}', "the ext field `a` is not a text"),
        (b'{"code":1,"extFields":{"a":["b"]}}', "the ext field `a` is not a text"),
        (b'{"code":1,"extFields":{{"a":1}:"b"}}', "an ext field has an object for its name"),
        (b'{"code":1,"remark":"\xff"}', "the frame's header is not JSON: byte 20 is not UTF-8"),
        (b'{"code":1', "the frame's header is not JSON: no `,` or `}` after a member at character 9"),
        (b'{"code":1} x', "the frame's header is not JSON: text after the end at character 11"),
        (b'{"code":' + b"[" * 100 + b"1", "the frame's header is not JSON: more than 64 levels at character 72"),
        (b'{"code":1,"x":' + b"[" * 8_000, "the frame's header is not JSON: more than 64 levels at character 78"),
        (b'{"code":1,"x":' + b"[" * 8_192, ("the frame's header is not JSON: it is not strict JSON, and lenient JSON may have "
         "at most 8192 bytes")),
    ],
)  # fmt: skip
def test_unreadable_headers_are_refused(header: bytes, message: str) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        read_json_header(header, b"")
    assert str(caught.value) == message


def test_no_ext_costs_no_dict() -> None:
    assert read_json_header(b'{"code":1,"extFields":{}}', b"").ext is NO_EXT


def test_an_unknown_language_number_is_written_as_other() -> None:
    assert b'"language":"OTHER"' in write_json_header(Command(1, language=77))


def test_a_request_is_written_with_all_that_it_says() -> None:
    command = Command(310, 5, 2, 513, LanguageCode.GO, "é", {"a": "\x01\x02"})
    assert read_json_header(write_json_header(command), b"") == command


def test_a_long_header_is_not_read_leniently() -> None:
    """JSON for the lenient reader has a smaller limit. Strict JSON of that size is read."""
    value = "x" * MAX_LENIENT

    assert read_json_header(b'{"code":1,"extFields":{"a":"%s"}}' % value.encode(), b"").ext == {"a": value}
    with pytest.raises(RemoteProtocolError, match="may have at most"):
        read_json_header(b'{\'code\':1,"extFields":{"a":"%s"}}' % value.encode(), b"")


def test_a_header_of_many_parts_is_not_read_leniently() -> None:
    assert read_json_header(b"{'code':1,x:[%s]}" % (b"0," * 900), b"").code == 1
    with pytest.raises(RemoteProtocolError, match="more than 1000 values"):
        read_json_header(b"{'code':1,x:[%s]}" % (b"0," * 2_000), b"")
