"""A crash at any byte of the log: the store opens with a number of whole commits, never with a part of one."""

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mqguard.model import record
from mqguard.store.ports import Table
from mqguard.store.rocksdb import RocksMessageStore
from mqguard.testing.store_contract import put, queue_of

COMMITS = 12


@pytest.fixture(scope="module")
def image():
    """Yield the files of a store that was never closed, and its contents after each commit."""
    with tempfile.TemporaryDirectory() as directory:
        live = Path(directory) / "live"
        store = RocksMessageStore(live)
        states = [{}]
        state = {}
        for number in range(COMMITS):
            for n in range(1 + number % 4):
                body = b"%d-%d" % (number, n) + b"x" * (300 * n)
                put(store, body, topic=f"T{n}", keys=(number,), time=number)
                state.setdefault(f"T{n}", []).append(body)
            store.stage_value(Table.OFFSETS, b"commits", b"%d" % (number + 1))
            store.commit(sync=number % 2 == 0)
            states.append({topic: list(bodies) for topic, bodies in state.items()})
        files = {path.name: path.read_bytes() for path in live.iterdir() if path.name != "LOCK"}
        store.close()
        yield files, states


def contents(store):
    found = {}
    for queue in store.queues():
        entries = store.entries(queue, 0, 1000)
        assert [entry.queue_offset for entry in entries] == list(range(queue.max_offset))
        found[queue.topic] = [record.decode(data).body for data in store.records(queue, entries)]
    return found


@given(cut=st.integers(0, 1 << 16), junk=st.binary(max_size=40))
@settings(max_examples=40, deadline=None)
def test_any_end_of_the_log_gives_whole_commits(image, cut, junk):
    files, states = image
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "crashed"
        path.mkdir()
        for name, data in files.items():
            crashed = data[: cut % (len(data) + 1)] + junk if name.endswith(".log") else data
            (path / name).write_bytes(crashed)
        store = RocksMessageStore(path)
        commits = int(store.value(Table.OFFSETS, b"commits") or b"0")
        assert contents(store) == states[commits]
        assert store.next_physical == sum(
            len(store.record(entry.physical)) for queue in store.queues() for entry in store.entries(queue, 0, 1000)
        )
        # The store continues from there, after another crash too.
        put(store, b"after", topic="T0")
        store.commit(sync=True)
        again = Path(directory) / "again"
        shutil.copytree(path, again, ignore=shutil.ignore_patterns("LOCK"))
        store.close()
        store = RocksMessageStore(again)
        assert contents(store) == {**states[commits], "T0": [*states[commits].get("T0", []), b"after"]}
        assert queue_of(store, "T0").max_offset == len(states[commits].get("T0", [])) + 1
        store.close()


def test_the_whole_log_gives_all_commits(image):
    files, states = image
    with tempfile.TemporaryDirectory() as directory:
        for name, data in files.items():
            (Path(directory) / name).write_bytes(data)
        store = RocksMessageStore(Path(directory))
        assert contents(store) == states[COMMITS]
        store.close()
