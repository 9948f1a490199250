#!/usr/bin/env python3
"""Measure the time to read users and policies from disk at a start, and their memory.

Usage: `.venv/bin/python bench/load_policies.py [--users 100000] [--entries 10]`.

The command writes users with this number of entries to a metadata store like that of a server, and loads it in a new
process. It prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from mqguard.auth.decide import decide
from mqguard.auth.manager import MetadataManager
from mqguard.auth.policy import Acl, Action, Decision, Entry, Policy, PolicyType
from mqguard.auth.ports import Change, PutAcl, PutUser
from mqguard.auth.resource import Resource, ResourceType
from mqguard.auth.seal import SealingKey
from mqguard.auth.source import Source, parse_address
from mqguard.auth.user import LiveSecret, Secret, Subject, User
from mqguard.auth.verdict import AccessRequest
from mqguard.store.metadata.rocksdb import RocksMetadataStore

BATCH = 1000
"""Number of users in one change."""
SOURCES = tuple(Source.parse(f"10.{number}.0.0/16") for number in range(16))
ADDRESS = parse_address("10.0.0.1")
MIB = 1 << 20


def changes(number: int, entries: int) -> Iterator[Change]:
    """Yield one user with its policies: its own topics and groups, half of them prefixes, and one Deny in ten."""
    name = f"service-{number:06}"
    yield PutUser(User(name, (LiveSecret(Secret(f"secret of {name}")),)))
    yield PutAcl(Acl(Subject(name), (Policy(PolicyType.CUSTOM, tuple(entries_of(name, number, entries))),)))


def entries_of(name: str, number: int, count: int) -> Iterator[Entry]:
    """Yield the entries of a user."""
    for place in range(count):
        kind, action = (ResourceType.TOPIC, Action.PUB) if place % 2 else (ResourceType.GROUP, Action.SUB)
        key = f"{kind.value}:{name}-{place}{'*' if place % 4 > 1 else ''}"
        sources = (SOURCES[number % len(SOURCES)],) if place % 3 == 0 else ()
        yield Entry(Resource.parse(key), (action,), sources, Decision.DENY if place % 10 == 9 else Decision.ALLOW)


def fill(directory: Path, key: bytes, users: int, entries: int) -> None:
    """Write the store."""
    store, revision = RocksMetadataStore(directory, SealingKey(key)), 0
    for start in range(0, users, BATCH):
        numbers = range(start, min(users, start + BATCH))
        revision = store.apply([change for number in numbers for change in changes(number, entries)], revision)
    store.close()


def load(directory: Path, key: bytes, users: int) -> dict[str, float]:
    """Read the store, then decide one request of every user, which compiles its policies; return seconds and MiB."""
    empty = taken()
    wall, cpu = time.perf_counter(), time.process_time()
    manager = MetadataManager(RocksMetadataStore(directory, SealingKey(key)))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    loaded = taken()
    snapshot = manager.snapshot
    asking = time.process_time()
    for number in range(users):
        name = f"service-{number:06}"
        request = AccessRequest(ResourceType.TOPIC, f"{name}-1", frozenset({Action.PUB}), ADDRESS)
        assert decide(request, snapshot.rights(name)).allowed
    return {
        "load_seconds": round(wall, 2),
        "load_processor_seconds": round(cpu, 2),
        "load_mib": loaded - empty,
        "first_question_us": round((time.process_time() - asking) / users * 1e6, 1),
        "all_compiled_mib": taken() - empty,
    }


def taken() -> int:
    """Return the resident memory of this process in MiB."""
    return round(psutil.Process().memory_info().rss / MIB)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--entries", type=int, default=10, help="entries of each user")
    parser.add_argument("--load", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.load:
        print(json.dumps(load(options.load, bytes.fromhex(sys.stdin.read()), options.users)))
        return
    key = secrets.token_bytes(32)
    with tempfile.TemporaryDirectory() as directory:
        fill(Path(directory) / "access", key, options.users, options.entries)
        command = [sys.executable, __file__, "--load", str(Path(directory) / "access"), "--users", str(options.users)]
        done = subprocess.run(command, input=key.hex(), capture_output=True, text=True, check=True)
        on_disk = sum(path.stat().st_size for path in Path(directory).rglob("*") if path.is_file())
    figures = {"users": options.users, "entries": options.users * options.entries}
    print(json.dumps(figures | json.loads(done.stdout) | {"on_disk_mib": round(on_disk / MIB)}))


if __name__ == "__main__":
    main()
