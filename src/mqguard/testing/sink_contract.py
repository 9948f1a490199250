"""What every `RecordSink` does, as tests.

Subclass the contract and give it two fixtures: `sink`, a fresh one, and `written`, which tells the lines that have
arrived where it puts them.
"""
# ruff: noqa: S101, D102 - tests assert, and their names are their sentences

import time
from collections.abc import Callable

from mqguard.guard.plugin_api import RecordSink
from mqguard.testing.plugin_calls import call_in_time

LINES = (
    b'{"time":"2024-05-01T12:00:00.000Z","event":"authorization","verdict":"allow","user":"alice"}',
    '{"time":"2024-05-01T12:00:00.001Z","event":"authorization","verdict":"deny","user":"用户"}'.encode(),
    b'{"time":"2024-05-01T12:00:00.002Z","event":"change","operation":"create-user"}',
)
PATIENCE_S = 5.0

Written = Callable[[], list[bytes]]


class RecordSinkContract:
    """Tests for any sink."""

    def test_everything_arrives_once_and_in_order(self, sink: RecordSink, written: Written) -> None:
        sink.write(LINES)
        sink.write(LINES[:1])
        sink.close()
        _await(written, [*LINES, *LINES[:1]])

    def test_many_lines_at_once_are_taken(self, sink: RecordSink, written: Written) -> None:
        many = tuple(b'{"number":%d}' % number for number in range(1024))
        sink.write(many)
        sink.close()
        _await(written, list(many))

    def test_nothing_is_no_error(self, sink: RecordSink, written: Written) -> None:
        sink.write(())
        sink.close()
        assert written() == []

    def test_it_comes_back(self, sink: RecordSink) -> None:
        call_in_time(lambda: sink.write(LINES))
        call_in_time(sink.close)


def _await(written: Written, expected: list[bytes]) -> None:
    end = time.monotonic() + PATIENCE_S
    while (found := written()) != expected and time.monotonic() < end:
        time.sleep(0.02)
    assert found == expected
