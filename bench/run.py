#!/usr/bin/env python3
"""The figures of `bench/README.md`: mqguard and Apache RocketMQ 5.5.0 in turn, in one run, on one machine.

    python bench/run.py sends pulls acl startup   # or any of them; --rounds N, --seconds S

Each figure is a ratio of medians over rounds in which the two take turns, so that a slow minute hits both.
"""

from __future__ import annotations

import argparse
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import apache
import load
import psutil
import server


def cpu(pid: int) -> float:
    """Processor seconds that the process has used."""
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def measure(port: int, pid: int, work: load.Load) -> tuple[float, float, load.Outcome]:
    """Rate, processor microseconds per answer, and the outcome."""
    before = cpu(pid)
    outcome = load.run(work)
    used = cpu(pid) - before
    total = outcome.rate * (work.seconds + work.warm)
    assert outcome.rate > 0, f"port {port} answered {dict(outcome.codes)}"
    return outcome.rate, 1e6 * used / total, outcome


def sending(port: int, seconds: float, *, acl: bool) -> load.Load:
    """1 KB sends over 16 connections, 8 in flight on each."""
    key, secret = (server.ACCESS_KEY, server.SECRET_KEY) if acl else ("", "")
    return load.Load(port, load.sends("bench"), access_key=key, secret_key=secret, seconds=seconds)


def pulling(port: int, seconds: float) -> load.Load:
    """Pulls of 32 messages over 16 connections, 2 in flight on each."""
    work = load.Load(port, load.pulls("bench", "bench_group"), 11, server.ACCESS_KEY, server.SECRET_KEY, depth=2)
    work.seconds = seconds
    return work


def fill(port: int) -> None:
    """Put some hundreds of messages into every queue, by the user who will pull."""
    load.run(load.Load(port, load.sends("bench"), 310, server.ACCESS_KEY, server.SECRET_KEY, warm=0, seconds=1))


def say(what: str, ours: list[float], theirs: list[float]) -> None:
    """One line: medians and their ratio."""
    a, b = statistics.median(ours), statistics.median(theirs)
    print(f"{what}: mqguard {a:,.1f}, Apache {b:,.1f}, ratio {a / b:.2f}", flush=True)


def compare(name: str, rounds: int, prepare: Callable[[int], None], work: Callable[[int], load.Load]) -> None:
    """The same load against both, in turn."""
    rates: tuple[list[float], list[float]] = ([], [])
    costs: tuple[list[float], list[float]] = ([], [])
    tails: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for side in (0, 1):
            context = server.standalone() if side == 0 else apache.broker(acl=True)
            with context as started:
                port, pid = started[0], started[-1]
                prepare(port)
                rate, cost, outcome = measure(port, pid, work(port))
                rates[side].append(rate)
                costs[side].append(cost)
                tails[side].append(outcome.quantile(0.99))
    say(f"{name} per second", *rates)
    say(f"{name}: processor µs each", *costs)
    say(f"{name}: p99 ms", *tails)


def acl_cost(rounds: int, seconds: float) -> None:
    """What authentication, authorization and audit cost us: sends with ACL on against off."""
    rates: dict[bool, list[float]] = {True: [], False: []}
    costs: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(rounds):
        for acl in (True, False):
            with server.standalone(acl=acl) as (port, _, pid):
                rate, cost, _ = measure(port, pid, sending(port, seconds, acl=acl))
                rates[acl].append(rate)
                costs[acl].append(cost)
    on, off = statistics.median(rates[True]), statistics.median(rates[False])
    print(f"ACL on: {on:,.0f} sends/s, off: {off:,.0f}, ratio {on / off:.2f}")
    guard = statistics.median(costs[True]) - statistics.median(costs[False])
    print(f"ACL: processor µs per send {guard:.1f} (on {statistics.median(costs[True]):.1f})")


def startup(rounds: int) -> None:
    """Time from exec to the first answered request, and resident memory when idle."""
    times, memory = [], []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as directory, socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
            probe.close()
            conf = Path(directory) / "broker.conf"
            conf.write_text(server.configuration(acl=True).replace("listenPort = 0", f"listenPort = {port}", 1))
            command = [str(server.COMMAND), "standalone", "--config", str(conf), "--data", f"{directory}/data"]
            started = time.perf_counter()
            with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
                answered = False
                while not answered and time.perf_counter() - started < 10:
                    answered = knock(port)
                times.append(time.perf_counter() - started)
                time.sleep(2)
                memory.append(psutil.Process(process.pid).memory_info().rss / 1e6)
                process.terminate()
                process.wait(20)
    print(f"first answer after exec: {statistics.median(times):.2f} s; resident when idle: {max(memory):.0f} MB")


def knock(port: int) -> bool:
    """Whether a request is answered on that port."""
    before, after = load.frame(load.Load(port, [], 28, server.ACCESS_KEY, server.SECRET_KEY), {}, b"")
    try:
        with socket.create_connection(("127.0.0.1", port), 0.2) as peer:
            peer.sendall(before + b"1000000001" + after)
            return bool(peer.recv(4))
    except OSError:
        time.sleep(0.01)
        return False


def main() -> None:
    """Measure what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="+", choices=["sends", "pulls", "acl", "startup"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=8)
    options = parser.parse_args()
    for what in options.what:
        match what:
            case "sends":
                compare("sends", options.rounds, lambda _: None, lambda p: sending(p, options.seconds, acl=True))
            case "pulls":
                compare("pulls of 32", options.rounds, fill, lambda p: pulling(p, options.seconds))
            case "acl":
                acl_cost(options.rounds, options.seconds)
            case "startup":
                startup(options.rounds)


if __name__ == "__main__":
    main()
