#!/usr/bin/env python3
"""Compares what we decide with Apache's own auth module, live, as often as asked for.

    .venv/bin/python tools/against_apache.py --decisions 1e6                      a new seed, which is told
    .venv/bin/python tools/against_apache.py --decisions 1e6 --seed 7 --first 900 goes on where another run was stopped

Needs Java, the JDK's compiler and Maven; `tests/interop/toolchain.py` fetches the module once. Prints how many outcomes
differ and by which rules. Ends with 0 when every difference is one of these, with 1 at the first that is not.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import pytest  # noqa: E402

from tests.interop.auth_module.decisions import compare_decisions, scenarios_of  # noqa: E402
from tests.interop.auth_module.peer import AuthModule, Unexplained, quick_directory  # noqa: E402
from tests.interop.toolchain import java_auth_module  # noqa: E402

AT_ONCE = 500
"""Scenarios between two words of progress."""


def main() -> int:
    """Compare, print progress and counts; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--decisions", type=float, default=1e6, help="how many, at least (1e6)")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(32), help="of the scenarios")
    parser.add_argument("--first", type=int, default=0, help="the first scenario: where a stopped run goes on")
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    found: Counter[str] = Counter()
    try:
        with (
            tempfile.TemporaryDirectory() as logs,
            quick_directory() as home,
            AuthModule(java_auth_module(Path(home)), Path(logs) / "module.log") as module,
        ):
            compare(module, options, found)
    except Unexplained as error:
        print(error, file=sys.stderr)
        return 1
    except pytest.skip.Exception as missing:
        print(missing, file=sys.stderr)
        return 2
    for name, count in found.most_common():
        print(f"{count:>12,}  {name}")
    return 0


def compare(module: AuthModule, options: argparse.Namespace, found: Counter[str]) -> None:
    """Compare piece by piece, adding to what was found."""
    started, last = time.monotonic(), options.first + scenarios_of(options.decisions)
    for first in range(options.first, last, AT_ONCE):
        numbers = range(first, min(first + AT_ONCE, last))
        found.update(compare_decisions(module, options.seed, numbers))
        passed = time.monotonic() - started
        print(f"{found['all']:,} decisions after {passed:,.0f} s; go on with --first {numbers.stop}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
