"""Transactions end exactly as acknowledged, whatever `kill -9` interrupts."""

from __future__ import annotations

import dataclasses
import json
import random
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.fixtures.access import ADMIN, create_topic, read_all, send_fields
from tests.fixtures.server import Server
from tests.fixtures.wire import HEARTBEAT, SEND, Answer, Wire

pytestmark = pytest.mark.timeout(300)

TOPIC, GROUP, QUEUES = "payments", "shop", 4
END, CHECK = 37, 39
UNKNOWN, COMMIT, ROLLBACK = 0, 8, 12
GONE = (OSError, EOFError)
SETTINGS = {"transactionTimeOut": "300", "transactionCheckInterval": "500", "transactionCheckMax": "1000"}


def properties(body: bytes) -> str:
    return f"TRAN_MSG\x01true\x02PGROUP\x01{GROUP}\x02UNIQ_KEY\x01{body.decode()}\x02"


def end_fields(queue_offset: str, offset: int, result: int, *, from_check: bool = False) -> dict[str, str]:
    return {
        "producerGroup": GROUP,
        "tranStateTableOffset": queue_offset,
        "commitLogOffset": str(offset),
        "commitOrRollback": str(result),
        "fromTransactionCheck": str(from_check).lower(),
    }


def join(wire: Wire) -> None:
    """Make a connection a member of the producer group."""
    beat = {"clientID": "checker", "producerDataSet": [{"groupName": GROUP}], "consumerDataSet": []}
    assert wire.call(HEARTBEAT, {}, json.dumps(beat).encode()).code == 0


@dataclasses.dataclass
class Shop:
    """One producer that sends half messages and ends most of them, and keeps what was acknowledged.

    Attributes:
        halves: Bodies whose half message was acknowledged.
        ends: The end that was last requested for each of them.
        acknowledged: The end that was acknowledged.
        refusals: Answers that should not exist.
    """

    number: int
    halves: set[bytes] = dataclasses.field(default_factory=set)
    ends: dict[bytes, int] = dataclasses.field(default_factory=dict)
    acknowledged: dict[bytes, int] = dataclasses.field(default_factory=dict)
    refusals: list[str] = dataclasses.field(default_factory=list)

    def run(self, port: int, round_: int, random_: random.Random) -> None:
        """Send and end transactions until the server has ended."""
        sent: dict[int, bytes] = {}
        ending: dict[int, bytes] = {}
        count = 0
        try:
            with Wire(port, ADMIN) as wire:
                while True:
                    while len(sent) < 8:
                        body = f"{round_}-{self.number}-{count}".encode()
                        count += 1
                        sent[wire.post(SEND, send_fields(TOPIC, count % QUEUES, properties(body)), body)] = body
                    answer = wire.read()
                    if answer.code not in {0, CHECK}:
                        self.refusals.append(f"{answer.code}: {answer.remark}")
                    elif answer.opaque in sent:
                        body = sent.pop(answer.opaque)
                        self.halves.add(body)
                        result = random_.choice((COMMIT, COMMIT, ROLLBACK, UNKNOWN, -1))
                        if result >= 0:
                            self.ends[body] = result
                            fields = end_fields(answer.ext["queueOffset"], int(answer.ext["msgId"][-16:], 16), result)
                            ending[wire.post(END, fields)] = body
                    elif answer.opaque in ending:
                        body = ending.pop(answer.opaque)
                        self.acknowledged[body] = self.ends[body]
        except GONE:
            return


def answer_checks(server: Server, shops: list[Shop], seconds: float) -> Counter[bytes]:
    """Answer all checks until there are no more, and return how often each transaction was checked.

    Transactions that the shops have begun are committed, unless they have asked for a rollback.
    """
    checked: Counter[bytes] = Counter()
    pending: dict[int, bytes] = {}
    ended: set[bytes] = set()
    halves = set().union(*(shop.halves for shop in shops))
    ends = {body: end for shop in shops for body, end in shop.ends.items()}
    quiet = time.monotonic() + seconds
    with Wire(server.broker_port, ADMIN) as wire:
        join(wire)
        wire.socket.settimeout(0.2)
        while time.monotonic() < quiet:
            try:
                check: Answer = wire.read()
            except TimeoutError:
                continue
            if check.code != CHECK:
                # A slow server repeats a check before it reads the answer to the first; the second answer comes too late.
                body = pending.pop(check.opaque)
                assert check.code == 0 or body in ended, check
                ended.add(body)
                continue
            quiet = time.monotonic() + seconds
            body = check.ext["msgId"].encode()
            checked[body] += 1
            result = COMMIT if body in halves and ends.get(body) != ROLLBACK else ROLLBACK
            fields = end_fields(
                check.ext["tranStateTableOffset"], int(check.ext["commitLogOffset"]), result, from_check=True
            )
            pending[wire.post(END, fields)] = body
    return checked


def delivered(server: Server) -> Counter[bytes]:
    with Wire(server.broker_port, ADMIN) as wire:
        return Counter(body for queue in range(QUEUES) for body in read_all(wire, TOPIC, "readers", queue))


def crash(server: Server, shops: list[Shop], round_: int, random_: random.Random) -> None:
    """Load the server from several connections and kill it at a random moment."""
    threads = [
        threading.Thread(target=shop.run, args=(server.broker_port, round_, random.Random(random_.random())))
        for shop in shops
    ]
    for thread in threads:
        thread.start()
    time.sleep(random_.uniform(0.1, 0.8))
    server.kill()
    for thread in threads:
        thread.join(20)
    assert not any(thread.is_alive() for thread in threads)


def test_transactions_end_as_acknowledged_after_kill_9(tmp_path: Path) -> None:
    """Each commit is delivered once, no rollback is, and what has no end is checked after the restart."""
    seed = time.time_ns() % 2**32
    print(f"seed {seed}")  # pytest shows it when the test fails
    random_ = random.Random(seed)
    shops = [Shop(number) for number in range(3)]
    with Server(tmp_path, settings=SETTINGS) as server:
        with Wire(server.broker_port, ADMIN) as wire:
            create_topic(wire, TOPIC, QUEUES)
        for round_ in range(8):
            crash(server, shops, round_, random_)
            server.start()
            found = delivered(server)
            assert all(count == 1 for count in found.values())
            for shop in shops:
                assert shop.refusals == []
                for body, end in shop.acknowledged.items():
                    if end != UNKNOWN:
                        assert (body in found) == (end == COMMIT), (body, end)
        checked = answer_checks(server, shops, 4)
        found = delivered(server)

    assert all(count == 1 for count in found.values())
    for shop in shops:
        for body in shop.halves:
            # A rollback without an acknowledgement was repeated by the answer to the check.
            assert (body in found) == (shop.ends.get(body) != ROLLBACK), (body, shop.ends.get(body))
            if shop.acknowledged.get(body) in {COMMIT, ROLLBACK}:
                assert body not in checked
            elif shop.ends.get(body) in {None, UNKNOWN}:
                assert checked[body]
    assert set(found) <= set().union(*(shop.halves for shop in shops))
    assert sum(len(shop.acknowledged) for shop in shops) > 200
    assert len(checked) > 20
