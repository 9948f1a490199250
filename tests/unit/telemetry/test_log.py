"""Log lines describe events and contain no secret."""

import io
import json
import logging

import pytest

from mqguard.telemetry.log import JsonFormatter, TextFormatter, configure, redact


@pytest.mark.parametrize(
    ("told", "secret"),
    [
        ("password=hunter2", "hunter2"),
        ('{"username":"a","password":"hunter2"}', "hunter2"),
        ("secretKey: hunter2", "hunter2"),
        ("the secret is hunter2", "hunter2"),
        ("{'secret_key': 'hunter2', 'a': 1}", "hunter2"),
        ("Signature=abc/def+ghi=", "abc/def"),
        ("SecurityToken = sts-1-2-3", "sts-1-2-3"),
        ("authorization: MQv2-HMAC", "MQv2-HMAC"),
        ("got IUc8rrO/0gDch8CjObLQsW2rsiA= from 10.1.2.3", "IUc8rrO"),
        ("ext {'Signature': 'IUc8rrO/0gDch8CjObLQsW2rsiA='}", "IUc8rrO"),
    ],
)
def test_what_looks_like_a_secret_is_hidden(told, secret):
    """Behind a name that says so, or in the form of a signature."""
    assert secret not in redact(told)
    assert "…" in redact(told)


@pytest.mark.parametrize(
    "told",
    ["the topic `passwords` is new", "User:alice has no permission", "10.1.2.3:4567 asks for 310", "a secret, maybe"],
)
def test_everything_else_is_logged(told):
    """Nothing is hidden for a word alone."""
    assert redact(told) == told


def event(message, *args, exc_info=None):
    return logging.LogRecord("mqguard.net", logging.WARNING, "x.py", 1, message, args, exc_info)


def test_a_line_of_text():
    """Time in UTC, level, logger, message."""
    line = TextFormatter().format(event("%s lost its password=%s", "alice", "hunter2"))

    assert line.endswith("Z WARNING mqguard.net alice lost its password=…")


def test_a_line_of_json():
    """The same as an object, with the trace of an error, redacted too."""
    record = event("failed", exc_info=(ValueError, ValueError("secret=hunter2"), None))

    told = json.loads(JsonFormatter().format(record))

    assert (told["level"], told["logger"], told["message"]) == ("WARNING", "mqguard.net", "failed")
    assert "ValueError" in told["error"]
    assert "hunter2" not in told["error"]


@pytest.mark.parametrize("as_json", [False, True])
def test_logging_is_set_up_for_the_process(as_json):
    """Events of the level and above reach the stream."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    stream = io.StringIO()
    try:
        configure("WARNING", as_json=as_json, stream=stream)
        logging.getLogger("mqguard.test").info("too low")
        logging.getLogger("mqguard.test").warning("secret=%s", "hunter2")
    finally:
        root.handlers[:] = before
        root.setLevel(level)

    lines = stream.getvalue().splitlines()
    assert len(lines) == 1
    assert "hunter2" not in lines[0]
    assert (json.loads(lines[0])["message"] if as_json else lines[0]).endswith("secret=…")


def test_no_name_forges_a_line_of_text():
    """Neither in a message nor in an error; the trace stays readable."""
    forged = "x\n2026-01-02T03:04:05.678Z INFO mqguard.guard all is well\u2028\x1b[2J"
    error = ValueError(forged)
    told = TextFormatter().format(event("the user `%s` is odd", forged, exc_info=(ValueError, error, None)))

    first, *others = told.split("\n")

    assert "`x\\n2026-01-02T03:04:05.678Z INFO mqguard.guard all is well\\u2028\\x1b[2J` is odd" in first
    assert others
    assert all(line.startswith("    ") for line in others)
    assert any(line.startswith("    ValueError: x") for line in others)
