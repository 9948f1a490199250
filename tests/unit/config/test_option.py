"""Kinds read what they should, refuse the rest, and say what would be right without repeating the value."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqguard.config import loader, option
from mqguard.config.errors import ValueInvalid


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (option.BOOLEAN, "TRUE", True),
        (option.BOOLEAN, "false", False),
        (option.PORT, "0", 0),
        (option.integer(-5, 5), "-5", -5),
        (option.SIZE, "1024", 1024),
        (option.SIZE, "64K", 65536),
        (option.SIZE, "4 MiB", 4194304),
        (option.SIZE, "1gb", 1073741824),
        (option.choice("ASYNC_FLUSH", "SYNC_FLUSH"), "sync_flush", "SYNC_FLUSH"),
        (option.HOST, "broker-1.example", "broker-1.example"),
        (option.HOST, "[::1]", "::1"),
        (option.HOST, "0.0.0.0", "0.0.0.0"),
        (option.REQUESTS, "105, 106,SendMessage", {"105", "106", "SendMessage"}),
        (option.NETWORKS, "10.0.0.0/8, ::1", ("10.0.0.0/8", "::1")),
        (option.DELAY_LEVELS, " 1s  5m 2h 1d ", "1s 5m 2h 1d"),
    ],
)
def test_right_texts_are_read(kind, text, value):
    assert kind.read(text) == value


@pytest.mark.parametrize(
    ("kind", "texts"),
    [
        (option.BOOLEAN, ["", "yes", "1", "tru"]),
        (option.PORT, ["", "-1", "65536", "1.0", "1e3", "٣", "0x10", "1_000", "9" * 30]),
        (option.SIZE, ["", "4T", "-1", "4.5M", "M", "9" * 20]),
        (option.HOST, ["", "a b", "a/b", "::x", "http://a", "[", "a" * 300]),
        (option.NAME, ["", "a b", "a/b", "é", "a" * 128]),
        (option.REQUESTS, ["1,x y", "-1", "1;2"]),
        (option.NETWORKS, ["10.0.0.0/33", "10.0.0.1-9", "host"]),
        (option.DELAY_LEVELS, ["", "1", "0s", "1x", "1s,2s", "-1s"]),
        (option.TEXT, ["a\0b"]),
        (option.PATH, ["a\0b", "~no-such-user-here/x"]),
        (option.USER_CREDENTIALS, ["{}", "[]", '{"username":"a"}', '{"username":"a","password":""}', "a:b"]),
        (option.INNER_CREDENTIALS, ['{"username":"a","password":"b"}', '{"accessKey":1,"secretKey":"b"}']),
    ],
)
def test_wrong_texts_are_refused(kind, texts):
    for text in texts:
        with pytest.raises(ValueInvalid, match=r"^(write |the |a |there )"):
            kind.read(text)


@given(st.text(max_size=30))
def test_no_text_makes_a_kind_fail_otherwise(text):
    said = []
    for known in loader.OPTIONS:
        try:
            known.kind.read(text)
        except ValueInvalid as exc:
            said.append(str(exc))
    assert said
    assert not any("\n" in line for line in said)


@given(st.text(min_size=3, max_size=30).filter(lambda text: text.strip() == text))
def test_a_refused_secret_is_not_repeated(text):
    try:
        option.USER_CREDENTIALS.read("secret " + text)
    except ValueInvalid as exc:
        refusal = str(exc)
    assert "secret " + text not in refusal


def test_a_secret_comes_from_a_file_or_the_environment(tmp_path, monkeypatch):
    path = tmp_path / "key"
    path.write_text("from file\r\n")
    monkeypatch.setenv("KEY", "from environment")
    monkeypatch.delenv("NONE", raising=False)
    assert option.SECRET.read(f"file:{path}").reveal() == "from file"
    assert option.SECRET.read("env:KEY").reveal() == "from environment"
    assert option.SECRET.read("plain: text").reveal() == "plain: text"
    path.write_bytes(b"\xff")
    for text, why in ((f"file:{path}", "is not UTF-8"), ("env:NONE", "is not set"), ("file:", "cannot be read")):
        with pytest.raises(ValueInvalid, match=why):
            option.SECRET.read(text)


def test_addresses_are_read_and_written() -> None:
    found = option.ADDRESSES.read("10.1.2.3:9876; [::1]:9876;name.example:1;")
    assert found.pairs == (("10.1.2.3", 9876), ("::1", 9876), ("name.example", 1))
    assert option.ADDRESSES.read(str(found)) == found
    assert str(option.Addresses()) == ""


@pytest.mark.parametrize(
    "text", ["10.1.2.3", "10.1.2.3:", ":9876", "h:0", "h:65536", "h:x", "h:1,h:2", "h:1;h:1", "a b:1"]
)
def test_text_that_is_not_addresses_is_refused(text: str) -> None:
    with pytest.raises(ValueInvalid):
        option.ADDRESSES.read(text)
