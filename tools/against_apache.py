#!/usr/bin/env python3
"""Compare the answers of mqguard with Apache's own auth module, live, as often as you want.

The kinds are:

- decisions
- contexts and calls: the checks that requests and gRPC calls lead to
- changes: changes of users and policies
- readings: the texts of policies
- signatures: signatures of requests and calls

For example:

    .venv/bin/python tools/against_apache.py                                a million decisions, and all other kinds
    .venv/bin/python tools/against_apache.py decisions --many 1e7           one kind, with a new seed (printed)
    .venv/bin/python tools/against_apache.py contexts --seed 7 --first 900  continue a stopped run

It needs Java, the JDK's compiler and Maven; `tests/interop/toolchain.py` fetches the module once. It prints the
number of different answers by rule. The exit status is 0 if a rule explains every difference, 1 at the first
unexplained one, and 2 if something is missing.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import pytest  # noqa: E402

from tests.interop.auth_module.decisions import compare_decisions  # noqa: E402
from tests.interop.auth_module.needs import codes, compare_contexts  # noqa: E402
from tests.interop.auth_module.operations import OPERATIONS, compare_changes  # noqa: E402
from tests.interop.auth_module.peer import AuthModule, PeerFailed, Unexplained, quick_directory  # noqa: E402
from tests.interop.auth_module.readings import compare_readings  # noqa: E402
from tests.interop.auth_module.rpcs import compare_calls  # noqa: E402
from tests.interop.auth_module.signatures import compare_signatures  # noqa: E402
from tests.interop.auth_module.worlds import REQUESTS  # noqa: E402
from tests.interop.toolchain import java_auth_module  # noqa: E402

AT_ONCE = 500
"""Scenarios between two lines of progress."""

Compare = Callable[[AuthModule, int, Iterable[int]], Counter[str]]

KINDS: dict[str, tuple[Compare, int, int]] = {
    "decisions": (compare_decisions, 1_000_000, REQUESTS),
    "contexts": (lambda module, seed, numbers: compare_contexts(module, codes(module), seed, numbers), 200_000, 1),
    "calls": (compare_calls, 200_000, 1),
    "changes": (compare_changes, 100_000, OPERATIONS),
    "readings": (compare_readings, 200_000, 1),
    "signatures": (compare_signatures, 200_000, 1),
}
"""The comparison of each kind, the default number, and the number of items in one scenario."""


def main() -> int:
    """Compare, print progress and counts, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", choices=[*KINDS, []], help="what to compare (all)")
    parser.add_argument(
        "--many", type=float, help="minimum number of each kind (1e6 decisions, 1e5 or 2e5 of the others)"
    )
    parser.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(32), help="seed of the scenarios")
    parser.add_argument("--first", type=int, default=0, help="number of the first scenario, to continue a stopped run")
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    try:
        with (
            tempfile.TemporaryDirectory() as logs,
            quick_directory() as home,
            AuthModule(java_auth_module(Path(home)), Path(logs) / "module.log") as module,
        ):
            for kind in options.kinds or KINDS:
                print_counts(kind, compare(module, kind, options))
    except (Unexplained, PeerFailed) as error:
        print(error, file=sys.stderr)
        return 1
    except (pytest.skip.Exception, pytest.fail.Exception) as missing:
        print(missing, file=sys.stderr)
        return 2
    return 0


def compare(module: AuthModule, kind: str, options: argparse.Namespace) -> Counter[str]:
    """Compare in pieces, and return the counts by rule."""
    compare_some, many, held = KINDS[kind]
    started, last = time.monotonic(), options.first + -(-int(options.many or many) // held)
    found: Counter[str] = Counter()
    for first in range(options.first, last, AT_ONCE):
        numbers = range(first, min(first + AT_ONCE, last))
        found.update(compare_some(module, options.seed, numbers))
        passed = time.monotonic() - started
        print(f"{found['all']:,} {kind} after {passed:,.0f} s; continue with --first {numbers.stop}", flush=True)
    return found


def print_counts(kind: str, found: Counter[str]) -> None:
    """Print the counts of one kind."""
    print(f"\n{kind}:")
    for name, count in found.most_common():
        print(f"{count:>12,}  {name}")
    print(flush=True)


if __name__ == "__main__":
    sys.exit(main())
