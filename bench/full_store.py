#!/usr/bin/env python3
"""Measure start, memory and sends of a server with many messages, topics and groups, and of an empty server.

Usage: `python bench/full_store.py [--messages 10000000] [--topics 10000] [--groups 10000] [--rounds 3] [--seconds 5]`.

The command fills the messages of one server through the engine, in this process. Then both servers run, and
sends of 1 KB load them alternately. The last line has the ratio of their medians.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import load
import psutil
import servers

from mqguard.engine.engine import Engine
from mqguard.engine.messages import SendRequest
from mqguard.engine.settings import EngineSettings
from mqguard.model.topic import SubscriptionGroupConfig, TopicConfig
from mqguard.runtime.process import SystemClock
from mqguard.store.rocksdb import RocksMessageStore

BATCH = 1000
"""Changes of one commit."""
QUEUES = 4
BODY = b"x" * 100


def fill(directory: Path, messages: int, topics: int, groups: int) -> float:
    """Store topics, groups with an offset each, and messages in random topics; return the seconds."""
    started = time.perf_counter()
    store = RocksMessageStore(directory)
    settings = EngineSettings(max_topics=topics + 1000, max_groups=groups + 1000, port=1)
    engine = Engine(store, settings, SystemClock())
    for number in range(topics):
        engine.topics.put(TopicConfig(f"topic-{number:06}", QUEUES, QUEUES))
        if number % BATCH == 0:
            engine.group_commit.commit()
    for number in range(groups):
        engine.groups.put(SubscriptionGroupConfig(f"group-{number:06}"))
        engine.offsets.set(f"group-{number:06}", f"topic-{number % topics:06}", number % QUEUES, 0)
        if number % BATCH == 0:
            engine.group_commit.commit()
    pick = random.Random(1)
    for number in range(messages):
        topic = f"topic-{int(topics * pick.random() ** 2):06}"
        text = f"UNIQ_KEY\x01AC110001{number:024X}\x02KEYS\x01order-{number}\x02"
        engine.send(SendRequest(topic, BODY, text, "g", number % QUEUES, born_ip="127.0.0.1", born_port=1))
        if number % BATCH == 0 and not engine.group_commit.commit():
            raise SystemExit(f"the store failed: {store.failure}")
    engine.group_commit.commit()
    store.close()
    return time.perf_counter() - started


@contextlib.contextmanager
def standalone(data: Path) -> Iterator[tuple[int, int, float]]:
    """Run `mqguard standalone` on a data directory; yield the port, the process id, and the seconds of the start."""
    conf = data.with_suffix(".conf")
    conf.write_text(servers.configuration(acl=True, extra="maxTopics = 100000\nmaxSubscriptionGroups = 100000\n"))
    command = [str(servers.COMMAND), "standalone", "--config", str(conf), "--data", str(data), "--json"]
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            ready: dict[str, str] = {}
            while ready.get("event") != "ready":
                ready = json.loads(process.stdout.readline())
            yield servers.port_of(ready["broker"]), process.pid, time.perf_counter() - started
        finally:
            process.terminate()
            process.wait(60)


def sends(port: int, seconds: float) -> float:
    """Return the sends per second under load."""
    work = load.Load(port, load.sends("bench"), 310, servers.ACCESS_KEY, servers.SECRET_KEY)
    work.warm, work.seconds = 1.0, seconds
    return load.run(work).rate


def main() -> None:
    """Fill, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=10_000_000)
    parser.add_argument("--topics", type=int, default=10_000)
    parser.add_argument("--groups", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mqguard-") as directory, contextlib.ExitStack() as stack:
        full, empty = Path(directory) / "full", Path(directory) / "empty"
        full.mkdir()
        seconds = fill(full / "messages", options.messages, options.topics, options.groups)
        size = sum(path.stat().st_size for path in full.rglob("*") if path.is_file())
        print(f"stored {options.messages:,} messages in {seconds:.0f} s: {size / 1e9:.1f} GB", flush=True)
        sides = {}
        for data in (empty, full):
            port, pid, start = stack.enter_context(standalone(data))
            time.sleep(3)
            memory = psutil.Process(pid).memory_info().rss / 1e6
            print(f"{data.name}: ready after {start:.2f} s, {memory:.0f} MB resident when idle", flush=True)
            sides[data.name] = port, pid
        rates: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(options.rounds):
            for name, (port, _) in sides.items():
                rates[name].append(sends(port, options.seconds))
        for name, (_, pid) in sides.items():
            memory = psutil.Process(pid).memory_info().rss / 1e6
            print(f"{name}: {statistics.median(rates[name]):,.0f} sends/s, {memory:.0f} MB resident afterwards")
        print(f"ratio of sends: {statistics.median(rates['full']) / statistics.median(rates['empty']):.2f}")


if __name__ == "__main__":
    main()
