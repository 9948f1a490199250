"""Kinds read what they should, refuse the rest, and say what would be right without repeating the value."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqguard.config import kinds, options
from mqguard.config.errors import ValueInvalid


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (kinds.BOOLEAN, "TRUE", True),
        (kinds.BOOLEAN, "false", False),
        (kinds.PORT, "0", 0),
        (kinds.integer(-5, 5), "-5", -5),
        (kinds.SIZE, "1024", 1024),
        (kinds.SIZE, "64K", 65536),
        (kinds.SIZE, "4 MiB", 4194304),
        (kinds.SIZE, "1gb", 1073741824),
        (kinds.choice("ASYNC_FLUSH", "SYNC_FLUSH"), "sync_flush", "SYNC_FLUSH"),
        (kinds.HOST, "broker-1.example", "broker-1.example"),
        (kinds.HOST, "[::1]", "::1"),
        (kinds.HOST, "0.0.0.0", "0.0.0.0"),
        (kinds.REQUESTS, "105, 106,SendMessage", {"105", "106", "SendMessage"}),
        (kinds.NETWORKS, "10.0.0.0/8, ::1", ("10.0.0.0/8", "::1")),
        (kinds.DELAY_LEVELS, " 1s  5m 2h 1d ", "1s 5m 2h 1d"),
    ],
)
def test_right_texts_are_read(kind, text, value):
    assert kind.read(text) == value


@pytest.mark.parametrize(
    ("kind", "texts"),
    [
        (kinds.BOOLEAN, ["", "yes", "1", "tru"]),
        (kinds.PORT, ["", "-1", "65536", "1.0", "1e3", "٣", "0x10", "1_000", "9" * 30]),
        (kinds.SIZE, ["", "4T", "-1", "4.5M", "M", "9" * 20]),
        (kinds.HOST, ["", "a b", "a/b", "::x", "http://a", "[", "a" * 300]),
        (kinds.NAME, ["", "a b", "a/b", "é", "a" * 128]),
        (kinds.REQUESTS, ["1,x y", "-1", "1;2"]),
        (kinds.NETWORKS, ["10.0.0.0/33", "10.0.0.1-9", "host"]),
        (kinds.DELAY_LEVELS, ["", "1", "0s", "1x", "1s,2s", "-1s"]),
        (kinds.TEXT, ["a\0b"]),
        (kinds.PATH, ["a\0b", "~no-such-user-here/x"]),
        (kinds.USER_CREDENTIALS, ["{}", "[]", '{"username":"a"}', '{"username":"a","password":""}', "a:b"]),
        (kinds.INNER_CREDENTIALS, ['{"username":"a","password":"b"}', '{"accessKey":1,"secretKey":"b"}']),
    ],
)
def test_wrong_texts_are_refused(kind, texts):
    for text in texts:
        with pytest.raises(ValueInvalid, match=r"^(write |the |a |there )"):
            kind.read(text)


@given(st.text(max_size=30))
def test_no_text_makes_a_kind_fail_otherwise(text):
    said = []
    for option in options.OPTIONS:
        try:
            option.kind.read(text)
        except ValueInvalid as exc:
            said.append(str(exc))
    assert said
    assert not any("\n" in line for line in said)


@given(st.text(min_size=3, max_size=30).filter(lambda text: text.strip() == text))
def test_a_refused_secret_is_not_repeated(text):
    try:
        kinds.USER_CREDENTIALS.read("secret " + text)
    except ValueInvalid as exc:
        refusal = str(exc)
    assert "secret " + text not in refusal


def test_a_secret_comes_from_a_file_or_the_environment(tmp_path, monkeypatch):
    path = tmp_path / "key"
    path.write_text("from file\r\n")
    monkeypatch.setenv("KEY", "from environment")
    monkeypatch.delenv("NONE", raising=False)
    assert kinds.SECRET.read(f"file:{path}").reveal() == "from file"
    assert kinds.SECRET.read("env:KEY").reveal() == "from environment"
    assert kinds.SECRET.read("plain: text").reveal() == "plain: text"
    path.write_bytes(b"\xff")
    for text, why in ((f"file:{path}", "is not UTF-8"), ("env:NONE", "is not set"), ("file:", "cannot be read")):
        with pytest.raises(ValueInvalid, match=why):
            kinds.SECRET.read(text)
