#!/usr/bin/env python3
"""Measure mqguard and Apache RocketMQ 5.5.0 alternately, in one run on one machine, for `bench/README.md`.

Usage: `python bench/run.py sends pulls transactions pop half brokers connections acl startup`, or any of them, with
`--rounds N`, `--seconds S`, `--warm W`.

All servers run during the whole measurement. A Java virtual machine is slow until it has compiled its hot code. So
the peer gets `--warm` seconds of load first, and its rate is printed every five seconds. Then the servers alternate.
Each figure is a ratio of medians over rounds, so a slow minute of the machine affects all servers. Each rate is
printed with the processor time of the server and of the load generator for one request. A transaction is a half message
and its commit, a pop is counted by the messages that are acknowledged.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import socket
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import flows
import load
import psutil
import servers

CURVE_SECONDS = 5.0
IDLE_SECONDS = 10.0
POP_QUEUES = 8
"""Queues of the popped topic. Apache's broker lets one pop at a time read a queue."""
STORED_BYTES = 400 * 1024 * 1024
"""Size of all messages that are pulled: several times the newest ones that either server keeps in memory."""


@dataclasses.dataclass(frozen=True)
class Side:
    """One running server.

    Attributes:
        name: The name in the output.
        port: The port of the broker.
        pid: The process id of the server.
        acl: True if requests must be signed.
        others: Ports of further brokers of the server, which share its load.
    """

    name: str
    port: int
    pid: int
    acl: bool = True
    others: tuple[int, ...] = ()


@dataclasses.dataclass
class Measured:
    """Results of the rounds for one server: answers per second, and times for one answer.

    Attributes:
        rates: Successful answers per second.
        server_us: Processor microseconds of the server.
        generator_us: Processor microseconds of the load generator.
        tails_ms: The 99th percentile of the latency, in milliseconds.
    """

    rates: list[float] = dataclasses.field(default_factory=list)
    server_us: list[float] = dataclasses.field(default_factory=list)
    generator_us: list[float] = dataclasses.field(default_factory=list)
    tails_ms: list[float] = dataclasses.field(default_factory=list)

    def line(self) -> str:
        """Return the medians as a line of text."""
        rate, ours, generator, tail = map(
            statistics.median, (self.rates, self.server_us, self.generator_us, self.tails_ms)
        )
        return f"{rate:,.0f}/s, {ours:.1f} µs of the server and {generator:.1f} of the load each, p99 {tail:.1f} ms"


def cpu(pid: int) -> float:
    """Return the processor seconds that a process and its children have used."""
    process = psutil.Process(pid)
    times = [one.cpu_times() for one in (process, *process.children(recursive=True))]
    return float(sum(one.user + one.system for one in times))


def own_cpu() -> float:
    """Return the processor seconds that this process has used, without those of the servers."""
    times = psutil.Process(os.getpid()).cpu_times()
    return float(times.user + times.system)


def measure(side: Side, work: load.Load, into: Measured) -> load.Outcome:
    """Run a load, add its results, and return its outcome."""
    before, own = cpu(side.pid), own_cpu()
    if side.others:
        ports = (side.port, *side.others)
        share = work.connections // len(ports)
        outcome = load.run_together([dataclasses.replace(work, port=port, connections=share) for port in ports])
    else:
        outcome = load.run(work)
    used, generated = cpu(side.pid) - before, own_cpu() - own
    assert outcome.rate > 0, f"{side.name} answered {dict(outcome.codes)}"
    if work.client is not None and len(outcome.codes) > 1:
        print(f"{side.name} answered with the codes {dict(outcome.codes)}")
    total = outcome.rate * (work.seconds + work.warm)
    into.rates.append(outcome.rate)
    into.server_us.append(1e6 * used / total)
    into.generator_us.append(1e6 * generated / total)
    into.tails_ms.append(outcome.quantile(0.99))
    return outcome


def sending(side: Side, seconds: float, warm: float = 1.0) -> load.Load:
    """Return a load of 1 KB sends over 16 connections, 8 in flight on each."""
    key, secret = (servers.ACCESS_KEY, servers.SECRET_KEY) if side.acl else ("", "")
    work = load.Load(side.port, load.sends("bench"), access_key=key, secret_key=secret, seconds=seconds)
    work.warm = warm
    return work


def pulling(side: Side, seconds: float, ends: list[int], warm: float = 1.0) -> load.Load:
    """Return a load of pulls of 32 messages over 16 connections, 2 in flight on each, all over the queues."""
    requests = load.pulls("bench_pull", "bench_group", ends)
    work = load.Load(side.port, requests, 11, servers.ACCESS_KEY, servers.SECRET_KEY, depth=2, seconds=seconds)
    work.warm = warm
    return work


def transacting(side: Side, seconds: float, warm: float = 1.0) -> load.Load:
    """Return a load of half messages of 1 KB and their commits over 16 connections, 8 transactions on each."""
    requests, client = flows.half_messages("bench_transactions"), flows.TransactionClient
    work = load.Load(side.port, requests, 310, servers.ACCESS_KEY, servers.SECRET_KEY, seconds=seconds, client=client)
    work.warm = warm
    return work


def popping(side: Side, seconds: float, group: str, warm: float = 1.0) -> load.Load:
    """Return a load of pops of 32 messages and of their acknowledgements over 16 connections, one pop on each.

    A group begins with the first message, so a new group for each measurement always finds messages.
    """
    requests, client = flows.pops("bench_pop", group), flows.PopClient
    work = load.Load(side.port, requests, flows.POP, servers.ACCESS_KEY, servers.SECRET_KEY, depth=1, client=client)
    work.seconds, work.warm = seconds, warm
    return work


def transactions(ours: Side, theirs: Side, rounds: int, seconds: float, warm: float) -> None:
    """Measure half messages with their commits, and the processor time of the idle servers afterwards."""
    found = {ours: Measured(), theirs: Measured()}
    for side in found:  # the peer has warmed up only with sends
        load.run(transacting(side, warm if side is theirs else CURVE_SECONDS))
    for _ in range(rounds):
        for side, into in found.items():
            measure(side, transacting(side, seconds), into)
    say("transactions", found[ours], found[theirs])
    before = {side: cpu(side.pid) for side in found}
    time.sleep(IDLE_SECONDS)
    shares = " and ".join(f"{side.name} {(cpu(side.pid) - used) / IDLE_SECONDS:.3f}" for side, used in before.items())
    print(f"transactions: after them, without load, {shares} of a processor", flush=True)


def pops(ours: Side, theirs: Side, rounds: int, seconds: float, warm: float) -> None:
    """Measure pops with the acknowledgements of their messages."""
    found = {ours: Measured(), theirs: Measured()}
    for side in found:
        store_messages(side, load.sends("bench_pop", queues=POP_QUEUES))
        load.run(popping(side, warm if side is theirs else CURVE_SECONDS, "bench_pop_warm"))
    for number in range(rounds):
        for side, into in found.items():
            measure(side, popping(side, seconds, f"bench_pop_{number}"), into)
    say("pop", found[ours], found[theirs])


def store_messages(side: Side, requests: list[load.Request] | None = None) -> list[int]:
    """Store `STORED_BYTES` of messages, and return the number that each queue has at least."""
    requests = requests or load.sends("bench_pull")
    counts = []
    for port in (side.port, *side.others):
        stored = 0.0
        while stored * 1024 < STORED_BYTES / (1 + len(side.others)):
            work = load.Load(port, requests, 310, servers.ACCESS_KEY, servers.SECRET_KEY, warm=0)
            work.seconds = CURVE_SECONDS
            stored += load.run(work).rate * CURVE_SECONDS
        counts.append(stored)
    queues = len(requests)
    return [int(min(counts) * 0.9 / queues)] * queues


def half_rate(ours: Side, theirs: Side, rounds: int, seconds: float) -> None:
    """Measure the latency of sends that come at half of each server's maximum rate, whether it has answered or not."""
    found = {ours: Measured(), theirs: Measured()}
    for _ in range(rounds):
        for side, into in found.items():
            work = sending(side, seconds)
            work.pace = load.run(sending(side, seconds)).rate / 2
            measure(side, work, into)
    say("half of the maximum rate", found[ours], found[theirs])


def several_brokers(rounds: int, seconds: float, warm: float) -> None:
    """Measure sends and pulls of two mqguard brokers behind one name server, and of one Apache broker."""
    with contextlib.ExitStack() as stack:
        ports, pid = stack.enter_context(servers.several_brokers(2))
        ours = Side("mqguard with two brokers", ports[0], pid, others=tuple(ports[1:]))
        port, pid = stack.enter_context(servers.apache_broker(acl=True))
        theirs = Side("Apache", port, pid)
        warm_up(ours, CURVE_SECONDS)
        warm_up(theirs, warm)
        for name in ("sends", "pulls"):
            found = {ours: Measured(), theirs: Measured()}
            ends = {side: store_messages(side) if name == "pulls" else [] for side in found}
            if name == "pulls":
                measure(theirs, pulling(theirs, warm, ends[theirs]), Measured())
            for _ in range(rounds):
                for side, into in found.items():
                    measure(
                        side, pulling(side, seconds, ends[side]) if name == "pulls" else sending(side, seconds), into
                    )
            say(f"two brokers, {name}", found[ours], found[theirs])


def many_connections(rounds: int, seconds: float) -> None:
    """Measure sends over 1,000 connections with one in flight each, and over the usual 16 with 8 each."""
    with contextlib.ExitStack() as stack:
        port, _, pid = stack.enter_context(servers.standalone())
        side = Side("mqguard", port, pid)
        warm_up(side, CURVE_SECONDS)
        few, many = Measured(), Measured()
        slowest = []
        for _ in range(rounds):
            measure(side, sending(side, seconds), few)
            work = sending(side, seconds)
            work.connections, work.depth = 1_000, 1
            served = measure(side, work, many).served
            slowest.append(min(served) / statistics.mean(served))
    print(f"16 connections x 8: {few.line()}")
    print(f"1,000 connections x 1: {many.line()}")
    ratio = statistics.median(many.rates) / statistics.median(few.rates)
    print(f"ratio of rates {ratio:.2f}; the slowest connection had {statistics.median(slowest):.2f} of the mean")


def warm_up(side: Side, seconds: float) -> None:
    """Load a server with sends, and print its rate every few seconds."""
    parts = max(1, round(seconds / CURVE_SECONDS))
    rates = [load.run(sending(side, CURVE_SECONDS, warm=0)).rate for _ in range(parts)]
    print(f"{side.name} while it warms, sends/s every {CURVE_SECONDS:g} s: " + " ".join(f"{r:,.0f}" for r in rates))


def say(what: str, ours: Measured, theirs: Measured) -> None:
    """Print the results of both servers, and their ratios."""

    def ratio(mine: list[float], other: list[float]) -> str:
        return f"{statistics.median(mine) / statistics.median(other):.2f}"

    print(f"{what}: mqguard {ours.line()}")
    print(f"{what}: Apache {theirs.line()}")
    print(
        f"{what}: ratio of rates {ratio(ours.rates, theirs.rates)}, of processor time "
        f"{ratio(ours.server_us, theirs.server_us)}, of p99 {ratio(ours.tails_ms, theirs.tails_ms)}",
        flush=True,
    )


FLOWS = {"transactions": transactions, "pop": pops}


def compare(what: list[str], rounds: int, seconds: float, warm: float) -> None:
    """Load mqguard and the peer alternately."""
    with contextlib.ExitStack() as stack:
        port, _, pid = stack.enter_context(servers.standalone())
        ours = Side("mqguard", port, pid)
        port, pid = stack.enter_context(servers.apache_broker(acl=True))
        theirs = Side("Apache", port, pid)
        warm_up(ours, CURVE_SECONDS)
        warm_up(theirs, warm)
        for name in what:
            if name == "half":
                half_rate(ours, theirs, rounds, seconds)
                continue
            if name in FLOWS:
                FLOWS[name](ours, theirs, rounds, seconds, warm)
                continue
            found = {ours: Measured(), theirs: Measured()}
            ends = {side: store_messages(side) if name == "pulls" else [] for side in found}
            if name == "pulls":
                for side in found:  # the peer has warmed up only with sends
                    load.run(pulling(side, warm if side is theirs else CURVE_SECONDS, ends[side]))
            for _ in range(rounds):
                for side, into in found.items():
                    work = pulling(side, seconds, ends[side]) if name == "pulls" else sending(side, seconds)
                    measure(side, work, into)
            say(name, found[ours], found[theirs])


def acl_cost(rounds: int, seconds: float) -> None:
    """Measure the cost of authentication, authorization and audit in the whole server: sends with ACL on, and off."""
    with contextlib.ExitStack() as stack:
        found: dict[Side, Measured] = {}
        for acl in (True, False):
            port, _, pid = stack.enter_context(servers.standalone(acl=acl))
            side = Side(f"ACL {'on' if acl else 'off'}", port, pid, acl)
            warm_up(side, CURVE_SECONDS)
            found[side] = Measured()
        for _ in range(rounds):
            for side, into in found.items():
                measure(side, sending(side, seconds), into)
    for side, into in found.items():
        print(f"{side.name}: {into.line()}")
    on, off = found.values()
    print(
        f"ACL: {statistics.median(on.server_us) - statistics.median(off.server_us):.1f} µs of processor time per send"
    )


def startup(rounds: int) -> None:
    """Measure the time from exec to the first answered request, and the resident memory when idle."""
    times, memory = [], []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as directory, socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
            probe.close()
            conf = Path(directory) / "broker.conf"
            conf.write_text(servers.configuration(acl=True).replace("listenPort = 0", f"listenPort = {port}", 1))
            command = [str(servers.COMMAND), "standalone", "--config", str(conf), "--data", f"{directory}/data"]
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
    """True if the server answers a request on this port."""
    before, after = load.frame(load.Load(port, [], 28, servers.ACCESS_KEY, servers.SECRET_KEY), {}, b"")
    try:
        with socket.create_connection(("127.0.0.1", port), 0.2) as peer:
            peer.sendall(before + b"1000000001" + after)
            return bool(peer.recv(4))
    except OSError:
        time.sleep(0.01)
        return False


def main() -> None:
    """Measure the figures that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "what",
        nargs="+",
        choices=["sends", "pulls", "transactions", "pop", "half", "brokers", "connections", "acl", "startup"],
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--warm", type=float, default=30, help="seconds of load that the peer has first")
    options = parser.parse_args()
    if compared := [name for name in options.what if name in ("sends", "pulls", "half", *FLOWS)]:
        compare(compared, options.rounds, options.seconds, options.warm)
    if "brokers" in options.what:
        several_brokers(options.rounds, options.seconds, options.warm)
    if "connections" in options.what:
        many_connections(options.rounds, options.seconds)
    if "acl" in options.what:
        acl_cost(options.rounds, options.seconds)
    if "startup" in options.what:
        startup(options.rounds)


if __name__ == "__main__":
    main()
