#!/usr/bin/env python3
"""Compares `decide` with the naive oracle as often as asked for: every triple of a small universe, then random worlds.

    .venv/bin/python tools/deep.py --decisions 1e8                      a new seed, which is told
    .venv/bin/python tools/deep.py --decisions 1e8 --seed 7 --chunk 900 goes on where another run was stopped

Ends with 0 when all agree, with 1 at the first that does not: the world and the request are printed.
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
    """Compare, print progress; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--decisions", type=float, default=1e8, help="how many, at least (1e8)")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(32), help="of the random worlds")
    parser.add_argument("--chunk", type=int, default=0, help="the first chunk of them: where a stopped run goes on")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (one per processor)")
    options = parser.parse_args()
    started, told, done = time.monotonic(), 0.0, 0
    print(f"seed {options.seed}", flush=True)
    last = None
    try:
        with multiprocessing.Pool(options.jobs) as pool:
            for what, count in work(pool, options):
                done += count
                last = what
                if time.monotonic() - told > 5:
                    told = time.monotonic()
                    print(f"{done:,} decisions agree after {told - started:,.0f} s; {what}", flush=True)
    except Differs as error:
        print(f"seed {options.seed}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"stopped; {last}", file=sys.stderr)
        return 130
    print(f"{done:,} decisions, all agree ({time.monotonic() - started:,.0f} s, seed {options.seed})")
    return 0


def work(pool: multiprocessing.pool.Pool, options: argparse.Namespace) -> Iterator[tuple[str, int]]:
    """Everything to compare: what it is, and how many decisions agreed."""
    if not options.chunk:
        firsts = range(len(small_entries()))
        for number, count in enumerate(pool.imap(triples_from, firsts), 1):
            yield f"{number} of {len(firsts)} parts of the small universe", count
    chunks = range(options.chunk, options.chunk + -(-int(options.decisions) // PER_CHUNK))
    jobs = zip(itertools.repeat(options.seed), chunks, strict=False)
    for chunk, count in zip(chunks, pool.imap(one_chunk, jobs, chunksize=4), strict=True):
        yield f"go on with --seed {options.seed} --chunk {chunk + 1}", count


def triples_from(first: int) -> int:
    """Compare all triples of the small universe that begin with that entry; how many decisions."""
    universe, requests = small_entries(), small_requests()
    rest = itertools.combinations(universe[first + 1 :], 2)
    return sum(compare_small((universe[first], *pair), requests) for pair in rest)


def one_chunk(job: tuple[int, int]) -> int:
    """Compare one chunk of random worlds; how many decisions."""
    seed, chunk = job
    return sum(compare_chunks(seed, [chunk]))


if __name__ == "__main__":
    sys.exit(main())
