#!/usr/bin/env python3
"""Measure gRPC calls of mqguard and of Apache's proxy 5.5.0 alternately, in one run on one machine.

Usage: `python bench/grpc_calls.py sends receives tls idle cluster`, or any of them, with `--rounds N`, `--seconds S`
and `--warm W`.

The load is a program in Go with the stubs of the official client (`grpc_load`). It has 16 connections with 8 calls in
flight and 1 KB bodies; ACL and audit are on. Apache serves a call by two processes, its proxy and its broker. Their
processor times are added. Both are warmed by `--warm` seconds of load. `sends` also measures sends of the remoting
protocol, for the ratio of the two protocols of mqguard. `receives` counts messages that were received and acknowledged.
`idle` is the memory of a connection with one Telemetry stream. `cluster` compares `mqguard proxy` with Apache's proxy
in front of the same broker of Apache. It gives the processor time of each process.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import shutil
import statistics
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import load
import psutil
import run
import servers

HERE = Path(__file__).resolve().parent
TOPIC, GROUP = "bench_calls", "bench_group"
IDLE = 1_000


@dataclasses.dataclass(frozen=True)
class GrpcSide:
    """One running server.

    Attributes:
        name: The name in the output.
        port: The port for gRPC.
        remoting: The port of the broker.
        pids: The process ids of the server.
    """

    name: str
    port: int
    remoting: int
    pids: tuple[int, ...]

    def cpu(self) -> float:
        """Return the processor seconds that the server has used."""
        return sum(map(run.cpu, self.pids))

    def memory(self) -> int:
        """Return the resident bytes of the server."""
        return sum(psutil.Process(pid).memory_info().rss for pid in self.pids)


def generator() -> Path:
    """Return the load generator; the first call builds it."""
    if shutil.which("go") is None:
        raise SystemExit("the load generator needs Go 1.24 (Debian: apt-get install golang-go)")
    binary = servers.CACHE / "grpc_load"
    servers.CACHE.mkdir(parents=True, exist_ok=True)
    subprocess.run(["go", "build", "-o", str(binary), "."], cwd=HERE / "grpc_load", check=True)
    return binary


def calls(binary: Path, side: GrpcSide, kind: str, seconds: float, *options: str) -> dict[str, float]:
    """Run the load generator, and return what it measured."""
    command = [
        str(binary), f"-address=127.0.0.1:{side.port}", f"-kind={kind}", f"-topic={TOPIC}", f"-group={GROUP}",
        f"-time={seconds}s", "-warm=1s", *options,
    ]  # fmt: skip
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def measure(binary: Path, side: GrpcSide, kind: str, seconds: float, into: run.Measured, *options: str) -> None:
    """Run the load generator, and add its results."""
    before, own = side.cpu(), psutil.Process().cpu_times()
    found = calls(binary, side, kind, seconds, *options)
    assert found["rate"] > 0, f"{side.name} answered {found['codes']}"
    total = found["rate"] * (seconds + 1)
    ended = psutil.Process().cpu_times()
    into.rates.append(found["rate"])
    into.server_us.append(1e6 * (side.cpu() - before) / total)
    generated = ended.children_user + ended.children_system - own.children_user - own.children_system
    into.generator_us.append(1e6 * generated / total)
    into.tails_ms.append(found["p99_ms"])


def remoting_sends(side: GrpcSide, seconds: float, into: run.Measured) -> None:
    """Measure sends of the remoting protocol at a server with one process."""
    target = run.Side(side.name, side.remoting, side.pids[0])
    work = run.sending(target, seconds)
    work.requests = load.sends(TOPIC)
    run.measure(target, work, into)


def create(namesrv: int, broker: int) -> None:
    """Create the topic with our own tool, at either server."""
    keys = {"MQGUARD_ACCESS_KEY": servers.ACCESS_KEY, "MQGUARD_SECRET_KEY": servers.SECRET_KEY}
    command = [
        str(servers.COMMAND),
        "topic",
        "create",
        TOPIC,
        "--namesrv",
        f"127.0.0.1:{namesrv}",
        "--broker",
        f"127.0.0.1:{broker}",
    ]
    subprocess.run(command, check=True, env=os.environ | keys, stdout=subprocess.DEVNULL)


@contextlib.contextmanager
def ours() -> Iterator[GrpcSide]:
    """Run mqguard."""
    with servers.running() as found:
        create(found.namesrv, found.broker)
        yield GrpcSide("mqguard", found.grpc, found.broker, (found.pid,))


@contextlib.contextmanager
def theirs() -> Iterator[GrpcSide]:
    """Run Apache's name server, broker and proxy."""
    with servers.apache_proxy() as (broker, namesrv, grpc, pids):
        create(namesrv, broker)
        yield GrpcSide("Apache", grpc, broker, pids)


def warm_up(binary: Path, side: GrpcSide, seconds: float) -> None:
    """Load a server with sends and receives, and print its rate of sends every few seconds."""
    parts = max(1, round(seconds / run.CURVE_SECONDS))
    rates = [calls(binary, side, "send", run.CURVE_SECONDS)["rate"] for _ in range(parts)]
    print(f"{side.name} while it warms, sends/s every {run.CURVE_SECONDS:g} s: " + " ".join(f"{r:,.0f}" for r in rates))
    calls(binary, side, "receive", max(run.CURVE_SECONDS, seconds / 3))


def idle(binary: Path, side: GrpcSide) -> None:
    """Measure the memory of connections with one Telemetry stream each."""
    before = side.memory()
    command = [str(binary), f"-address=127.0.0.1:{side.port}", f"-topic={TOPIC}", f"-idle={IDLE}"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "{}\n"
        time.sleep(1)
        grown = side.memory() - before
        busy = side.cpu()
        time.sleep(5)
        busy = side.cpu() - busy
        process.terminate()
    print(
        f"{side.name}: {grown / IDLE / 1024:.1f} KB of memory for an idle connection, {busy / 5:.1%} of a core for all"
    )


@contextlib.contextmanager
def both_proxies() -> Iterator[tuple[tuple[GrpcSide, GrpcSide], int]]:
    """Run Apache's servers and `mqguard proxy` in front of them; yield both proxies and the broker's process id."""
    with servers.apache_proxy() as (broker, namesrv, grpc, (proxy, broker_pid)):
        create(namesrv, broker)
        with servers.guard_proxy(namesrv) as (port, pid):
            yield (GrpcSide("mqguard", port, broker, (pid,)), GrpcSide("Apache", grpc, broker, (proxy,))), broker_pid


def cluster(binary: Path, rounds: int, seconds: float, warm: float) -> None:
    """Measure both proxies alternately."""
    with both_proxies() as (sides, broker):
        for side in sides:
            warm_up(binary, side, warm)
        for kind in ("send", "receive"):
            found = [run.Measured() for _ in sides]
            brokers: list[list[float]] = [[] for _ in sides]
            for _ in range(rounds):
                for side, into, of_broker in zip(sides, found, brokers, strict=True):
                    if kind == "receive":
                        calls(binary, side, "send", seconds)
                    before = run.cpu(broker)
                    measure(binary, side, kind, seconds, into)
                    of_broker.append(1e6 * (run.cpu(broker) - before) / (into.rates[-1] * (seconds + 1)))
            run.say(f"gRPC {kind}s in front of Apache's broker", *found)
            times = " and ".join(f"{statistics.median(one):.1f}" for one in brokers)
            print(f"processor time of the broker for each, behind mqguard and behind Apache: {times} µs", flush=True)


def main() -> None:
    """Measure the figures that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="+", choices=["sends", "receives", "tls", "idle", "cluster"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--warm", type=float, default=30, help="seconds of load that the servers have first")
    options = parser.parse_args()
    binary = generator()
    if "cluster" in options.what:
        cluster(binary, options.rounds, options.seconds, options.warm)
        options.what.remove("cluster")
    if options.what:
        alone(binary, options)


def alone(binary: Path, options: argparse.Namespace) -> None:
    """Measure `mqguard standalone`, and Apache's proxy and broker."""
    with ours() as mqguard, theirs() as apache:
        if "idle" in options.what:
            for side in (mqguard, apache):
                idle(binary, side)
        warm_up(binary, mqguard, run.CURVE_SECONDS)
        warm_up(binary, apache, options.warm)
        for name in [name for name in options.what if name != "idle"]:
            found = {mqguard: run.Measured(), apache: run.Measured()}
            remoting = run.Measured()
            kind, more = ("receive", ()) if name == "receives" else ("send", ("-tls",) if name == "tls" else ())
            for _ in range(options.rounds):
                for side, into in found.items():
                    if kind == "receive":
                        calls(binary, side, "send", options.seconds)
                    measure(binary, side, kind, options.seconds, into, *more)
                if name == "sends":
                    remoting_sends(mqguard, options.seconds, remoting)
            run.say(f"gRPC {name}", found[mqguard], found[apache])
            if name == "sends":
                print(f"sends of the remoting protocol: mqguard {remoting.line()}")
                ratio = statistics.median(found[mqguard].server_us) / statistics.median(remoting.server_us)
                print(f"processor time of a gRPC send: {ratio:.2f} of a remoting send", flush=True)


if __name__ == "__main__":
    main()
