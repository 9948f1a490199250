"""Popped messages after `kill -9` under load: acknowledged ones never come again, all others do."""

from __future__ import annotations

import dataclasses
import random
import threading
import time
from pathlib import Path

import pytest

from mqguard.model import properties, record
from tests.fixtures.access import ADMIN, create_topic, expect, send_fields
from tests.fixtures.server import Server
from tests.fixtures.wire import SEND, Wire

pytestmark = pytest.mark.timeout(300)

POP, ACK = 200050, 200051
TOPIC, GROUP, QUEUES = "popped", "popping", 4
INVISIBLE_MS = 3_000
ROUNDS = 3
GONE = (OSError, EOFError)


@dataclasses.dataclass
class TopicFiller:
    """A connection that sends as fast as it is answered, and keeps what was stored."""

    stored: set[bytes] = dataclasses.field(default_factory=set)

    def run(self, port: int, round_: int) -> None:
        try:
            with Wire(port, ADMIN) as wire:
                for number in range(100_000):
                    body = f"{round_}-{number}".encode()
                    if wire.call(SEND, send_fields(TOPIC, number % QUEUES), body).code == 0:
                        self.stored.add(body)
        except GONE:
            return


@dataclasses.dataclass
class Popper:
    """A connection that pops, and acknowledges two of three messages.

    Attributes:
        acknowledged: Bodies whose acknowledgement was answered with success.
        doubtful: Bodies whose acknowledgement was never answered, so it may have been stored or not.
        repeated: Bodies that were delivered although they were acknowledged.
    """

    acknowledged: set[bytes] = dataclasses.field(default_factory=set)
    doubtful: set[bytes] = dataclasses.field(default_factory=set)
    repeated: list[bytes] = dataclasses.field(default_factory=list)

    def run(self, port: int, random_: random.Random) -> None:
        try:
            with Wire(port, ADMIN) as wire:
                while True:
                    for body, handle in popped(wire):
                        if body in self.acknowledged:
                            self.repeated.append(body)
                        if random_.randrange(3):
                            self.acknowledge(wire, body, handle)
        except GONE:
            return

    def acknowledge(self, wire: Wire, body: bytes, handle: str) -> None:
        self.doubtful.add(body)
        if acknowledge(wire, handle) == 0:
            self.acknowledged.add(body)
        self.doubtful.discard(body)


def popped(wire: Wire) -> list[tuple[bytes, str]]:
    """Pop, and return bodies with handles, as a client of Apache builds them."""
    fields = {
        "consumerGroup": GROUP,
        "topic": TOPIC,
        "queueId": "-1",
        "maxMsgNums": "8",
        "invisibleTime": str(INVISIBLE_MS),
        "pollTime": "200",
        "bornTime": "0",
        "initMode": "0",
    }
    answer = wire.call(POP, fields)
    if answer.code != 0:
        return []
    first = {tuple(part.split(" ")[:2]): part.split(" ")[2] for part in answer.ext["startOffsetInfo"].split(";")}
    found = []
    for message in record.decode_all(answer.body):
        handle = properties.parse(message.properties.decode()).get("POP_CK")
        if handle is None:
            queue = str(message.queue_id)
            ext = answer.ext
            handle = (
                f"{first['0', queue]} {ext['popTime']} {ext['invisibleTime']} 0 0 broker-a {queue} "
                f"{message.queue_offset}"
            )
        found.append((message.body, handle))
    return found


def acknowledge(wire: Wire, handle: str) -> int:
    """Acknowledge a message, and return the code of the answer."""
    parts = handle.split(" ")
    fields = {
        "consumerGroup": GROUP,
        "topic": TOPIC if parts[4] == "0" else f"%RETRY%{GROUP}_{TOPIC}",
        "queueId": parts[6],
        "offset": parts[7],
        "extraInfo": handle,
    }
    return wire.call(ACK, fields).code


def drain(wire: Wire) -> tuple[set[bytes], list[bytes]]:
    """Pop and acknowledge until nothing comes any more; return what came, and what came after its acknowledgement."""
    done: set[bytes] = set()
    repeated: list[bytes] = []
    quiet = time.monotonic() + 3 * INVISIBLE_MS / 1000
    while time.monotonic() < quiet:
        for body, handle in popped(wire):
            if body in done:
                repeated.append(body)
            if acknowledge(wire, handle) == 0:
                done.add(body)
            quiet = time.monotonic() + 3 * INVISIBLE_MS / 1000
    return done, repeated


def test_every_message_is_acknowledged_once(tmp_path: Path) -> None:
    sender, poppers = TopicFiller(), [Popper(), Popper()]
    with Server(tmp_path) as server:
        with Wire(server.broker_port, ADMIN) as wire:
            create_topic(wire, TOPIC, QUEUES)
        for round_ in range(ROUNDS):
            threads = [threading.Thread(target=sender.run, args=(server.broker_port, round_))]
            threads += [
                threading.Thread(target=popper.run, args=(server.broker_port, random.Random(f"{round_}-{number}")))
                for number, popper in enumerate(poppers)
            ]
            for thread in threads:
                thread.start()
            time.sleep(4)
            server.kill()
            for thread in threads:
                thread.join()
            server.start()

        with Wire(server.broker_port, ADMIN) as wire:
            left, repeated = drain(wire)
            expect(wire.call(SEND, send_fields(TOPIC, 0), b"end"))

    acknowledged = set().union(*(popper.acknowledged for popper in poppers))
    doubtful = set().union(*(popper.doubtful for popper in poppers))
    assert len(acknowledged) > 100, "the load was too small to show anything"
    assert not repeated
    assert not [body for popper in poppers for body in popper.repeated]
    assert not left & acknowledged, "an acknowledged message came again"
    assert sender.stored <= left | acknowledged | doubtful, "a message was lost"
