#!/usr/bin/env python3
"""Compare `decide` with the naive oracle: every triple of a small universe, then as many random worlds as you want.

For example:

    .venv/bin/python tools/deep.py --decisions 1e8                      a new seed (printed)
    .venv/bin/python tools/deep.py --decisions 1e8 --seed 7 --chunk 900 continue a stopped run

The exit status is 0 if all decisions agree. At the first difference it is 1, and the world and the request are
printed.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import os
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.property.auth.agreement import PER_CHUNK, Differs, compare_chunks, compare_small  # noqa: E402
from tests.property.auth.worlds import small_entries, small_requests  # noqa: E402


def main() -> int:
    """Compare, print progress, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--decisions", type=float, default=1e8, help="minimum number of decisions (1e8)")
    parser.add_argument(
        "--seed", type=int, default=random.SystemRandom().getrandbits(32), help="seed of the random worlds"
    )
    parser.add_argument("--chunk", type=int, default=0, help="number of their first chunk, to continue a stopped run")
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, help="number of processes (one for each processor)"
    )
    options = parser.parse_args()
    started, printed, done = time.monotonic(), 0.0, 0
    print(f"seed {options.seed}", flush=True)
    last = None
    try:
        with multiprocessing.Pool(options.jobs) as pool:
            for what, count in work(pool, options):
                done += count
                last = what
                if time.monotonic() - printed > 5:
                    printed = time.monotonic()
                    print(f"{done:,} decisions agree after {printed - started:,.0f} s; {what}", flush=True)
    except Differs as error:
        print(f"seed {options.seed}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"stopped; {last}", file=sys.stderr)
        return 130
    print(f"{done:,} decisions, all agree ({time.monotonic() - started:,.0f} s, seed {options.seed})")
    return 0


def work(pool: multiprocessing.pool.Pool, options: argparse.Namespace) -> Iterator[tuple[str, int]]:
    """Compare everything; yield each part with its number of equal decisions."""
    if not options.chunk:
        firsts = range(len(small_entries()))
        for number, count in enumerate(pool.imap(triples_from, firsts), 1):
            yield f"{number} of {len(firsts)} parts of the small universe", count
    chunks = range(options.chunk, options.chunk + -(-int(options.decisions) // PER_CHUNK))
    jobs = zip(itertools.repeat(options.seed), chunks, strict=False)
    for chunk, count in zip(chunks, pool.imap(one_chunk, jobs, chunksize=4), strict=True):
        yield f"continue with --seed {options.seed} --chunk {chunk + 1}", count


def triples_from(first: int) -> int:
    """Compare all triples of the small universe that begin with one entry, and return the number of decisions."""
    universe, requests = small_entries(), small_requests()
    rest = itertools.combinations(universe[first + 1 :], 2)
    return sum(compare_small((universe[first], *pair), requests) for pair in rest)


def one_chunk(job: tuple[int, int]) -> int:
    """Compare one chunk of random worlds, and return the number of decisions."""
    seed, chunk = job
    return sum(compare_chunks(seed, [chunk]))


if __name__ == "__main__":
    sys.exit(main())
