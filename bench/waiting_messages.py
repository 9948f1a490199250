#!/usr/bin/env python3
"""Measure start, memory and deliveries of a server with many messages that wait for their time.

Usage: `python bench/waiting_messages.py [--messages 1000000]`.

The command fills two stores through the engine, in this process. In the first one all messages wait for hours: the
start and the memory of its server are compared with those of an empty one. In the second one all messages are due.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import full_store
import psutil
import servers

sys.path.insert(0, str(servers.HERE.parent))

from mqguard.engine.engine import Engine
from mqguard.engine.messages import SendRequest
from mqguard.engine.settings import EngineSettings
from mqguard.model.topic import TopicConfig
from mqguard.store.rocksdb import RocksMessageStore
from tests.fixtures.wire import User, Wire

HOUR_MS = 3_600_000
QUEUES = 4
MAX_OFFSET = 30


class PastClock:
    """A clock that shows the date of an hour ago."""

    def now_ms(self) -> int:
        """Return the date of an hour ago."""
        return time.time_ns() // 1_000_000 - HOUR_MS

    def monotonic_ms(self) -> int:
        """Return the monotonic time."""
        return time.monotonic_ns() // 1_000_000


def fill(directory: Path, messages: int, delay_ms: int) -> float:
    """Store messages that wait, with due times within a minute; return the seconds."""
    started = time.perf_counter()
    directory.mkdir(parents=True)
    store = RocksMessageStore(directory / "messages")
    engine = Engine(store, EngineSettings(port=1), PastClock())
    engine.topics.put(TopicConfig("waiting", QUEUES, QUEUES))
    for number in range(messages):
        text = f"UNIQ_KEY\x01AC110001{number:024X}\x02TIMER_DELAY_MS\x01{delay_ms + number % 60_000}\x02"
        request = SendRequest("waiting", full_store.BODY, text, "g", number % QUEUES, born_ip="127.0.0.1", born_port=1)
        engine.send(request)
        if number % full_store.BATCH == 0 and not engine.group_commit.commit():
            raise SystemExit(f"the store failed: {store.failure}")
    engine.group_commit.commit()
    store.close()
    return time.perf_counter() - started


def delivered(wire: Wire) -> int:
    """Return the number of messages that were delivered to the topic."""
    answers = [wire.call(MAX_OFFSET, {"topic": "waiting", "queueId": str(queue)}) for queue in range(QUEUES)]
    return sum(int(answer.ext["offset"]) for answer in answers)


def show_idle(data: Path) -> None:
    """Print start and memory of the server of a data directory."""
    with full_store.standalone(data) as (_, pid, start):
        time.sleep(3)
        memory = psutil.Process(pid).memory_info().rss / 1e6
        print(f"{data.name}: ready after {start:.2f} s, {memory:.0f} MB resident when idle", flush=True)


def show_deliveries(data: Path, messages: int) -> None:
    """Print how fast a server delivers messages that are all due."""
    with (
        full_store.standalone(data) as (port, pid, _),
        Wire(port, User(servers.ACCESS_KEY, servers.SECRET_KEY)) as wire,
    ):
        began = before = time.perf_counter()
        count = peak = 0
        for tenth in range(1, 11):
            while (now := delivered(wire)) < messages * tenth // 10:
                time.sleep(0.05)
                peak = max(peak, psutil.Process(pid).memory_info().rss)
            if tenth in (1, 10):
                seconds = time.perf_counter() - before
                print(f"deliveries of tenth {tenth}: {(now - count) / seconds:,.0f} messages/s", flush=True)
            count, before = now, time.perf_counter()
        print(f"all were delivered in {time.perf_counter() - began:.0f} s, {peak / 1e6:.0f} MB resident at most")


def main() -> None:
    """Fill, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=1_000_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mqguard-") as directory:
        empty, waiting, due = (Path(directory) / name for name in ("empty", "waiting", "due"))
        seconds = fill(waiting, options.messages, 24 * HOUR_MS)
        print(f"stored {options.messages:,} messages that wait in {seconds:.0f} s", flush=True)
        show_idle(empty)
        show_idle(waiting)
        fill(due, options.messages, HOUR_MS // 2)
        show_deliveries(due, options.messages)


if __name__ == "__main__":
    main()
