#!/usr/bin/env python3
"""Attack a running server, and measure the waits of an honest client and the memory of the server.

For example:

    python bench/hostile.py                   # every attack, one after the other
    python bench/hostile.py -k heartbeat      # attacks whose names contain this
    python bench/hostile.py --newcomers       # only 1,000 clients that connect at once under full load
    python bench/hostile.py --list

Each attack has a fresh server. The honest client sends 200 messages of 1 KB a second, and does not wait for answers.
A wait is counted from the moment at which its request should have been sent. The exit status is 1 if a bound is
broken.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.fixtures.hostile.attacks import ATTACKS  # noqa: E402 - the path comes first
from tests.fixtures.hostile.match import Result, Target, measure  # noqa: E402
from tests.fixtures.hostile.newcomers import Newcomers, measure_newcomers  # noqa: E402
from tests.fixtures.hostile.people import prepare  # noqa: E402
from tests.fixtures.server import Server  # noqa: E402

P99_MS, WORST_MS, NEWCOMER_MS = 50.0, 250.0, 500.0
GROWTH_MB = 400.0
NOISE_MS, REPEATS = 25.0, 3
MEGABYTE = 1024 * 1024


def broken(result: Result) -> list[str]:
    """Return the bounds that an attack broke."""
    victim = result.victim
    found = []
    if victim["p99"] >= P99_MS:
        found.append("p99")
    if victim["worst"] >= WORST_MS:
        found.append("worst")
    if result.growth >= GROWTH_MB * MEGABYTE:
        found.append("memory")
    return found + [name for name in ("refused", "unanswered", "lost connections") if victim.get(name)]


HEAD = (
    f"{'attack':52s} {'p50':>7s} {'p99':>8s} {'worst':>8s} {'own':>6s} {'new':>7s} {'new max':>8s} "
    f"{'MB':>5s} {'peak':>5s} {'CPU':>5s} {'sent':>9s} {'MB':>6s} {'answers':>8s}  broken"
)


def line(result: Result) -> str:
    """Return the figures of one attack as a line of the table."""
    victim, sent = result.victim, result.sent
    return (
        f"{result.attack or '(none)':52s} {victim['p50']:7.1f} {victim['p99']:8.1f} {victim['worst']:8.1f} "
        f"{victim['lateness']:6.1f} {victim['newcomer median']:7.1f} {victim['newcomer worst']:8.1f} "
        f"{result.memory_before / MEGABYTE:5.0f} {result.memory_peak / MEGABYTE:5.0f} {100 * result.processor:4.0f}% "
        f"{sent.get('pieces', 0):9,d} {sent.get('bytes', 0) / MEGABYTE:6.0f} {sent.get('answers', 0):8,d}  "
        + ", ".join(broken(result))
        + ("; newcomers not served" if victim.get("newcomers refused") or victim.get("newcomers unserved") else "")
    )


def attack_again(name: str, options: argparse.Namespace) -> Result:
    """Run one attack. Run it again if it broke a bound while other programs delayed the client's own process."""
    for _ in range(REPEATS):
        result = attack_once(name, options)
        if not broken(result) or result.victim["lateness"] < NOISE_MS:
            break
    return result


def attack_once(name: str, options: argparse.Namespace) -> Result:
    """Run one attack on a fresh server."""
    with tempfile.TemporaryDirectory(prefix="mqguard-") as directory, Server(Path(directory)) as server:
        prepare(server.broker_port)
        target = Target(server.broker_port, server.namesrv_port, server.pid)
        return measure(target, name, options.seconds, source=options.source, tls=options.tls, first=options.first)


def newcomers_once(*, tls: bool, first: bool) -> Newcomers:
    """Connect 1,000 clients at once to a fresh server under full load."""
    with tempfile.TemporaryDirectory(prefix="mqguard-") as directory, Server(Path(directory)) as server:
        prepare(server.broker_port)
        return measure_newcomers(Target(server.broker_port, server.namesrv_port, server.pid), tls=tls, first=first)


def main() -> None:
    """Measure the attacks that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-k", dest="pattern", default="", help="only attacks whose names contain this")
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--source", default="", help="address of the attacker, such as 127.0.0.2")
    parser.add_argument("--tls", action="store_true", help="the honest client's connections are encrypted")
    parser.add_argument(
        "--first", action="store_true", help="run with a higher priority than other programs (needs root)"
    )
    parser.add_argument("--newcomers", action="store_true")
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    if options.list:
        print(*ATTACKS, sep="\n")
        return
    failures = 0
    if not options.newcomers:
        print(f"milliseconds; bounds: p99 {P99_MS:.0f}, worst {WORST_MS:.0f}, memory {GROWTH_MB:.0f} MB more")
        print(HEAD, flush=True)
        print(line(attack_once("", options)), flush=True)
        for name in ATTACKS:
            if options.pattern in name:
                result = attack_again(name, options)
                failures += bool(broken(result))
                print(line(result), flush=True)
        print(line(attack_once("", options)), flush=True)
    if options.newcomers or not options.pattern:
        for tls in (False, True):
            found = newcomers_once(tls=tls, first=options.first)
            print(found.text("TLS" if tls else "plain"), flush=True)
            failures += not tls and (found.worst >= NEWCOMER_MS or found.unserved > 0)
    if failures:
        print(f"{failures} of the bounds are broken")
        sys.exit(1)


if __name__ == "__main__":
    main()
