"""Delayed messages are delivered once after `kill -9` under load, and recalled ones never."""

from __future__ import annotations

import dataclasses
import random
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from mqguard.model import properties
from tests.fixtures.access import ADMIN, create_topic, read_all, send_fields
from tests.fixtures.server import Server
from tests.fixtures.waiting import eventually
from tests.fixtures.wire import SEND, Wire

pytestmark = pytest.mark.timeout(300)

TOPIC, GROUP, QUEUES, ROUNDS = "delays", "delays_group", 4, 4
IN_FLIGHT = 16
DELAYS_MS = (50, 300, 1_500, 15_000)
"""Delays of the messages. Only those with the last one are recalled, so that a slow machine is not too late."""


@dataclasses.dataclass
class TimedSender:
    """One connection that sends delayed messages, and recalls some of them.

    Attributes:
        acknowledged: Body of each acknowledged message.
        recalled: Bodies whose recall was acknowledged, in time and before the server ended.
        doubtful: Bodies whose message or recall was never answered.
    """

    number: int
    acknowledged: set[bytes] = dataclasses.field(default_factory=set)
    recalled: set[bytes] = dataclasses.field(default_factory=set)
    doubtful: set[bytes] = dataclasses.field(default_factory=set)
    refusals: list[str] = dataclasses.field(default_factory=list)

    def run(self, port: int, round_: int) -> None:
        """Send until the server has ended."""
        pending: dict[int, tuple[bytes, bool]] = {}
        count = 0
        try:
            with Wire(port, ADMIN) as wire:
                while True:
                    while len(pending) < IN_FLIGHT:
                        delay = DELAYS_MS[count % len(DELAYS_MS)]
                        body = f"{round_}-{self.number}-{count}-{delay}".encode()
                        count += 1
                        self.doubtful.add(body)
                        fields = send_fields(TOPIC, count % QUEUES, _pairs(delay, by_level=count % 5 == 0))
                        pending[wire.post(SEND, fields, body)] = body, False
                    answer = wire.read()
                    body, is_recall = pending.pop(answer.opaque)
                    if answer.code != 0:
                        self.refusals.append(f"{answer.code}: {answer.remark}")
                        return
                    handle = answer.ext.get("recallHandle", "")
                    if is_recall:
                        self.doubtful.discard(body)
                        self.recalled.add(body)
                        continue
                    self.acknowledged.add(body)
                    if handle and body.endswith(b"-15000") and len(self.acknowledged) % 2:
                        pending[wire.post(370, {"topic": TOPIC, "recallHandle": handle})] = body, True
                    else:
                        self.doubtful.discard(body)
        except (OSError, EOFError):
            return


def _pairs(delay: int, *, by_level: bool) -> str:
    waits = {"DELAY": "1"} if by_level else {"TIMER_DELAY_MS": str(delay)}
    return properties.text_of({"UNIQ_KEY": f"U{random.getrandbits(64):016X}", **waits})


def delivered(server: Server) -> Counter[bytes]:
    """Return how often each body is in the topic."""
    with Wire(server.broker_port, ADMIN) as wire:
        return Counter(body for queue in range(QUEUES) for body in read_all(wire, TOPIC, GROUP, queue))


def test_delayed_messages_survive_kill_9_once(tmp_path: Path) -> None:
    senders = [TimedSender(number) for number in range(3)]
    random_ = random.Random(7)
    server = Server(tmp_path)
    server.start()
    with Wire(server.broker_port, ADMIN) as wire:
        create_topic(wire, TOPIC, QUEUES)
    for round_ in range(ROUNDS):
        threads = [threading.Thread(target=sender.run, args=(server.broker_port, round_)) for sender in senders]
        for thread in threads:
            thread.start()
        time.sleep(random_.uniform(0.3, 1.5))
        server.kill()
        for thread in threads:
            thread.join(20)
        assert [refusal for sender in senders for refusal in sender.refusals] == []
        server.start()
    try:
        acknowledged = set().union(*(sender.acknowledged for sender in senders))
        recalled = set().union(*(sender.recalled for sender in senders))
        doubtful = set().union(*(sender.doubtful for sender in senders))
        certain = acknowledged - recalled - doubtful
        assert len(certain) > 100
        assert len(recalled) > 10

        assert eventually(lambda: certain <= delivered(server).keys(), 90, pause=0.5)
        found = delivered(server)
        assert [body for body, count in found.items() if count > 1] == []
        assert found.keys() <= acknowledged | doubtful
        assert not found.keys() & recalled
    finally:
        server.stop()
