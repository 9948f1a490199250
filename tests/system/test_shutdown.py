"""After SIGTERM acknowledged messages are stored, and peers that do not read delay nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fixtures.access import ADMIN, create_topic, pull_fields, read_all, send_fields
from tests.fixtures.server import Server
from tests.fixtures.wire import PULL, SEND, Wire

TOPIC = "shutdown"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path) as started:
        yield started


def test_messages_acknowledged_before_the_end_are_there_after_the_next_start(server: Server) -> None:
    acknowledged: set[bytes] = set()
    with Wire(server.broker_port, ADMIN) as wire:
        create_topic(wire, TOPIC, 1)
        pending = {wire.post(SEND, send_fields(TOPIC, 0), b"%d" % number): b"%d" % number for number in range(500)}
        for _ in range(250):
            answer = wire.read()
            assert answer.code == 0
            acknowledged.add(pending[answer.opaque])
        server.terminate()
        try:
            while True:
                acknowledged.add(pending[wire.read().opaque])
        except (EOFError, OSError):
            pass
    assert server.wait() == 0
    server.start()
    with Wire(server.broker_port, ADMIN) as wire:
        kept = set(read_all(wire, TOPIC, "g", 0))
    assert server.stop() == 0
    assert len(acknowledged) >= 250
    assert acknowledged <= kept


def test_a_peer_that_reads_nothing_does_not_delay_the_end(server: Server) -> None:
    with Wire(server.broker_port, ADMIN) as deaf, Wire(server.broker_port, ADMIN) as wire:
        create_topic(wire, TOPIC, 1)
        assert wire.call(SEND, send_fields(TOPIC, 0), b"x" * 1_000_000).code == 0
        for _ in range(20):
            deaf.post(PULL, pull_fields(TOPIC, "g", 0, 0))
        time.sleep(0.3)
        began = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - began < 2
