"""A crash at any byte of the log: what is found again is a number of whole turns, never a part of one."""

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

TURNS = 12


@pytest.fixture(scope="module")
def image():
    """The files of a store that was never closed, and what it held after each turn."""
    with tempfile.TemporaryDirectory() as directory:
        live = Path(directory) / "live"
        store = RocksMessageStore(live)
        states = [{}]
        state = {}
        for turn in range(TURNS):
            for n in range(1 + turn % 4):
                body = b"%d-%d" % (turn, n) + b"x" * (300 * n)
                put(store, body, topic=f"T{n}", keys=(turn,), time=turn)
                state.setdefault(f"T{n}", []).append(body)
            store.stage_value(Table.OFFSETS, b"turn", b"%d" % (turn + 1))
            store.commit(sync=turn % 2 == 0)
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
def test_any_end_of_the_log_gives_whole_turns(image, cut, junk):
    files, states = image
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "crashed"
        path.mkdir()
        for name, data in files.items():
            crashed = data[: cut % (len(data) + 1)] + junk if name.endswith(".log") else data
            (path / name).write_bytes(crashed)
        store = RocksMessageStore(path)
        turns = int(store.value(Table.OFFSETS, b"turn") or b"0")
        assert contents(store) == states[turns]
        assert store.next_physical == sum(
            len(store.record(entry.physical)) for queue in store.queues() for entry in store.entries(queue, 0, 1000)
        )
        # … and it goes on from there, over another crash.
        put(store, b"after", topic="T0")
        store.commit(sync=True)
        again = Path(directory) / "again"
        shutil.copytree(path, again, ignore=shutil.ignore_patterns("LOCK"))
        store.close()
        store = RocksMessageStore(again)
        assert contents(store) == {**states[turns], "T0": [*states[turns].get("T0", []), b"after"]}
        assert queue_of(store, "T0").max_offset == len(states[turns].get("T0", [])) + 1
        store.close()


def test_the_whole_log_gives_all_turns(image):
    files, states = image
    with tempfile.TemporaryDirectory() as directory:
        for name, data in files.items():
            (Path(directory) / name).write_bytes(data)
        store = RocksMessageStore(Path(directory))
        assert contents(store) == states[TURNS]
        store.close()
