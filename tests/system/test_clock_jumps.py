"""A running server whose date jumps an hour forward and back."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mqguard.model import properties
from tests.fixtures.access import ADMIN, create_topic, pull_fields, read_all, send_fields
from tests.fixtures.server import Server
from tests.fixtures.waiting import eventually
from tests.fixtures.wire import PULL, SEND, Wire

pytestmark = pytest.mark.timeout(120)

HOUR_MS = 3_600_000
NO_MESSAGE = 19
TOPIC, GROUP = "jumps", "jumps_group"
SHIFTED_CLOCK = """
import os, time

real = time.time_ns


def shifted():
    with open(os.environ["CLOCK_TEST_SHIFT"]) as file:
        return real() + int(file.read() or 0) * 1_000_000


time.time_ns = shifted
"""


class Jumps:
    """The date of a server's process, which a test moves by the content of a file."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._file = directory / "shift"
        self.to(0)
        (directory / "sitecustomize.py").write_text(SHIFTED_CLOCK)
        monkeypatch.setenv("CLOCK_TEST_SHIFT", str(self._file))
        monkeypatch.setenv("PYTHONPATH", f"{directory}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")

    def to(self, shift_ms: int) -> None:
        """Set the date that far from the right one."""
        part = self._file.with_suffix(".part")
        part.write_text(str(shift_ms))
        part.replace(self._file)


@pytest.mark.parametrize("first", [HOUR_MS, -HOUR_MS])
def test_long_polls_and_delayed_messages_are_not_frozen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: int
) -> None:
    jumps = Jumps(tmp_path, monkeypatch)
    with Server(tmp_path / "server") as server, Wire(server.broker_port, ADMIN, timeout=30) as wire:
        create_topic(wire, TOPIC, 2)
        expected: set[bytes] = set()

        def all_are_delivered() -> bool:
            return expected == set(read_all(wire, TOPIC, GROUP, 0))

        for number, shift in enumerate((first, 0, -first, 0)):
            for kind, pairs in (("level", {"DELAY": "1"}), ("timer", {"TIMER_DELAY_SEC": "1"})):
                body = f"{kind} {number}".encode()
                expected.add(body)
                assert wire.call(SEND, send_fields(TOPIC, 0, properties.text_of(pairs)), body).code == 0
            opaque = wire.post(PULL, pull_fields(TOPIC, GROUP, 1, 0, suspend=1500))
            jumps.to(shift)
            answer = wire.read()
            assert (answer.opaque, answer.code) == (opaque, NO_MESSAGE)
            assert eventually(all_are_delivered, 20, pause=0.1)
