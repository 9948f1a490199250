#!/usr/bin/env python3
"""Measure pulls of 32 messages with filters: mqguard and Apache RocketMQ 5.5.0 alternately, for `bench/README.md`.

Usage: `python bench/filters.py`, with `--rounds N`, `--seconds S`, `--warm W`, and `--alone` for mqguard only.

The messages have 1 KB, one of four tags, and a property `n` from 0 to 99. The filters select all of them, a quarter,
or none. Each pull has its filter in the request, as a pull consumer sends it. A pull that finds nothing answers after
it has examined a bounded number of messages.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics

import load
import servers
from run import CURVE_SECONDS, Measured, Side, measure

TOPIC, GROUP = "bench_filters", "bench_group"
MESSAGES = 100_000
QUEUES = 4
FILTERS = {
    "no filter": ("TAG", "*"),
    "all tags": ("TAG", "T0 || T1 || T2 || T3"),
    "one tag of four": ("TAG", "T1"),
    "a tag without messages": ("TAG", "other"),
    "SQL, all messages": ("SQL92", "n >= 0"),
    "SQL, a quarter": ("SQL92", "n BETWEEN 25 AND 49"),
    "SQL, a quarter, five terms": (
        "SQL92",
        "n >= 25 AND n < 50 AND TAGS IN ('T0', 'T1', 'T2', 'T3') AND kind = 'bench'",
    ),
    "SQL, no message": ("SQL92", "n > 100"),
}


def stored(side: Side) -> list[int]:
    """Store the messages, and return the number that each queue has at least."""
    requests = []
    for number in range(100):
        properties = {
            "n": str(number),
            "kind": "bench",
            "TAGS": f"T{number * 7 % 4}",
            "UNIQ_KEY": f"AC110001{number:08d}",
        }
        for ext, body in load.sends(TOPIC, queues=QUEUES):
            ext["i"] = "".join(f"{name}\x01{value}\x02" for name, value in properties.items())
            requests.append((ext, body))
    done = 0.0
    while done < MESSAGES:
        work = load.Load(
            side.port, requests, 310, servers.ACCESS_KEY, servers.SECRET_KEY, warm=0, seconds=CURVE_SECONDS
        )
        done += load.run(work).rate * CURVE_SECONDS
    return [int(done * 0.8 / QUEUES)] * QUEUES


def pulling(side: Side, ends: list[int], filtered: tuple[str, str], seconds: float, warm: float) -> load.Load:
    """Return a load of pulls with a filter, as `run.py pulls` has it without one."""
    requests = load.pulls(TOPIC, GROUP, ends)
    for ext, _ in requests:
        ext["expressionType"], ext["subscription"] = filtered
    work = load.Load(side.port, requests, 11, servers.ACCESS_KEY, servers.SECRET_KEY, depth=2, seconds=seconds)
    work.warm = warm
    return work


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--warm", type=float, default=10.0, help="seconds of load for the peer before the first round")
    parser.add_argument("--alone", action="store_true", help="measure mqguard only")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        port, _, pid = stack.enter_context(servers.standalone(extra="enablePropertyFilter = true\n"))
        sides = [Side("mqguard", port, pid)]
        if not options.alone:
            port, pid = stack.enter_context(servers.apache_broker(acl=True, extra="enablePropertyFilter = true\n"))
            sides.append(Side("Apache", port, pid))
        ends = {side: stored(side) for side in sides}
        for side in sides[1:]:
            for filtered in FILTERS.values():
                load.run(pulling(side, ends[side], filtered, options.warm / len(FILTERS), 0.1))
        for name, filtered in FILTERS.items():
            found = {side: Measured() for side in sides}
            for _ in range(options.rounds):
                for side, into in found.items():
                    measure(side, pulling(side, ends[side], filtered, options.seconds, 0.5), into)
            print(name, *(f"| {side.name}: {into.line()}" for side, into in found.items()), flush=True)
            if len(sides) > 1:
                ours, theirs = (statistics.median(into.rates) for into in found.values())
                print(f"    ratio of the rates {ours / theirs:.2f}", flush=True)


if __name__ == "__main__":
    main()
