"""RocksDB as a message store: what only a real disk can show."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import rocksdict

from mqguard.model import record
from mqguard.store.database import Database
from mqguard.store.errors import StoreBusy, StoreCorrupt, StoreDamaged, StoreFailed
from mqguard.store.ports import Table
from mqguard.store.reader import Reader
from mqguard.store.rocksdb import RocksMessageStore
from mqguard.testing.store_contract import bodies, put, queue_of
from tests.fixtures.waiting import eventually

HERE = Path(__file__).parent


@pytest.fixture
def stores():
    opened = []
    yield opened
    for store in opened:
        store.close()


@pytest.fixture
def open_store(tmp_path, stores):
    def opening():
        stores.append(RocksMessageStore(tmp_path / "messages"))
        return stores[-1]

    return opening


def test_its_directory_is_for_its_owner_alone(tmp_path):
    RocksMessageStore(tmp_path / "messages").close()
    assert (tmp_path / "messages").stat().st_mode & 0o777 == 0o700


def test_a_second_opening_is_refused_with_a_clear_word(open_store, tmp_path):
    open_store()
    with pytest.raises(StoreBusy, match="is in use by another process"):
        open_store()


def test_a_second_process_is_refused(open_store, tmp_path):
    open_store()
    code = f"""
from pathlib import Path
from mqguard.store.errors import StoreBusy
from mqguard.store.rocksdb import RocksMessageStore
try:
    RocksMessageStore(Path({str(tmp_path / "messages")!r}))
except StoreBusy as error:
    print("busy:", error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.startswith("busy: the data directory")


def test_a_damaged_store_is_named_so(open_store, tmp_path):
    store = open_store()
    put(store, b"x" * 1000)
    store.commit(sync=True)
    store.close()
    for manifest in (tmp_path / "messages").glob("MANIFEST-*"):
        manifest.write_bytes(b"garbage" * 100)
    with pytest.raises(StoreCorrupt, match="damaged"):
        open_store()


def test_a_damaged_message_is_an_error_for_its_reader_only(open_store, tmp_path):
    store = open_store()
    for n in range(100):
        put(store, b"%d" % n + b"x" * 1000)
    store.commit(sync=True)
    store.close()
    damaged(tmp_path / "messages")

    again = open_store()
    with pytest.raises(StoreFailed, match="damaged"):
        bodies(again, queue_of(again))
    put(again, b"still written")
    again.commit(sync=True)


def damaged(path, at=5000):
    """Change one byte of the largest file of messages, which no reader may accept."""
    largest = max(path.glob("*.sst"), key=lambda file: file.stat().st_size)
    data = bytearray(largest.read_bytes())
    data[at] ^= 0xFF
    largest.write_bytes(data)


def test_damaged_entries_do_not_keep_a_deleted_topic_from_going(open_store, tmp_path, monkeypatch):
    store = open_store()
    for n in range(20):
        put(store, b"%d" % n)
    store.commit(sync=False)
    store.stage_drop(queue_of(store))
    store.commit(sync=False)

    def broken(*_):
        raise StoreDamaged("checksum")

    with monkeypatch.context() as patch:
        patch.setattr(Reader, "entries", broken)
        while store.sweep(7):
            store.commit(sync=False)
    assert open_again(store, open_store).sweep(7) == 0


def test_after_a_blind_failure_only_a_restart_helps(open_store, monkeypatch):
    store = open_store()
    put(store, b"kept")
    store.stage_value(Table.TOPICS, b"t", b"1")
    store.commit(sync=False)

    def broken(*_, **__):
        raise StoreFailed("neither reading nor writing")

    with monkeypatch.context() as patch:
        patch.setattr(Database, "write", broken)
        patch.setattr(Reader, "meta", broken)
        store.stage_value(Table.TOPICS, b"t", b"2")
        with pytest.raises(StoreFailed):
            store.commit(sync=False)
    assert not store.recover()
    assert "restart" in store.failure
    assert not store.recover()
    again = open_again(store, open_store)
    assert again.value(Table.TOPICS, b"t") == b"1"
    assert bodies(again, queue_of(again)) == [b"kept"]


def test_a_disk_that_lost_messages_is_not_written_on(open_store, monkeypatch):
    store = open_store()
    put(store, b"kept")
    put(store, b"lost")
    store.commit(sync=False)

    def broken(*_, **__):
        raise StoreFailed("cable pulled")

    put(store, b"never")
    with monkeypatch.context() as patch:
        patch.setattr(Database, "write", broken)
        with pytest.raises(StoreFailed):
            store.commit(sync=False)
    queue_of(store).max_offset = queue_of(store).next_offset = 3
    assert not store.recover()
    assert "the disk has lost messages of `T`" in store.failure


def open_again(store, open_store):
    store.close()
    return open_store()


def test_a_newer_format_is_refused(open_store, tmp_path):
    open_store().close()
    db = Database(tmp_path / "messages")
    batch = rocksdict.WriteBatch(raw_mode=True)
    batch.put(b"F", b"2", db.handles["meta"])
    db.write(batch, sync=True)
    db.close()
    with pytest.raises(StoreCorrupt, match=r"format `2`, this version reads format `1`"):
        open_store()


def test_a_directory_that_cannot_be_created_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreFailed, match="cannot be created"):
        RocksMessageStore(tmp_path / "file" / "messages")


def test_many_queues_open_fast(open_store):
    store = open_store()
    for queue_id in range(5000):
        put(store, b"x", topic=f"T{queue_id % 500}", queue_id=queue_id // 500)
    store.commit(sync=False)
    store.close()
    begin = time.perf_counter()
    again = open_store()
    assert len(again.queues()) == 5000
    assert all(queue.max_offset == 1 for queue in again.queues())
    assert time.perf_counter() - begin < 2


def test_released_records_give_their_room_back(open_store, tmp_path):
    store = open_store()
    entry = None
    for n in range(600):
        entry = put(store, os.urandom(100_000), time=n)
        if n % 10 == 9:
            store.commit(sync=False)
    store.commit(sync=False)
    full = used(tmp_path)
    assert full > 50_000_000
    store.stage_trim(queue_of(store), entry.queue_offset)
    store.stage_release(entry.physical, store.last_time)
    store.commit(sync=False)
    store.close()
    again = open_store()
    assert eventually(lambda: used(tmp_path) < full / 2)
    assert again.entries(queue_of(again), 0, 10) == [entry]


def used(path):
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def test_killed_at_any_moment_it_keeps_what_it_acknowledged(open_store, tmp_path):
    """Six rounds of kill -9 in the middle of writing; after each, all that was said to be stored is there."""
    acknowledged = 0
    for round_number in range(6):
        with subprocess.Popen(
            [sys.executable, str(HERE / "crash_child.py"), str(tmp_path / "messages"), str(acknowledged)],
            stdout=subprocess.PIPE,
        ) as child:
            try:
                for _ in range(5 + 40 * round_number):
                    line = child.stdout.readline()
                time.sleep(0.003 * round_number)
            finally:
                child.send_signal(signal.SIGKILL)
            rest = child.stdout.read()
        # A line cut off by the kill acknowledges nothing.
        said = (line + rest).rpartition(b"\n")[0].splitlines()
        acknowledged = int(said[-1].split()[1])

        store = open_store()
        stored = int(store.value(Table.OFFSETS, b"progress"))
        assert stored >= acknowledged
        for n in range(stored):
            (physical,) = store.find(n, 0, 1 << 40, 10)
            message = record.decode(store.record(physical))
            assert message.body.startswith(b"%dx" % n)
            queue = queue_of(store, f"T{n % 3}", n % 2)
            if message.queue_offset >= queue.min_offset:
                assert store.entries(queue, message.queue_offset, 1)[0].physical == physical
        assert sum(queue.max_offset for queue in store.queues()) == stored
        store.close()
        acknowledged = stored


FULL_DISK = """
import os, resource, signal, sys
from pathlib import Path
from mqguard.store.errors import StoreFailed
from mqguard.store.ports import Table
from mqguard.store.rocksdb import RocksMessageStore
from mqguard.testing.store_contract import bodies, put, queue_of

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store = RocksMessageStore(Path(sys.argv[1]))
sync = sys.argv[2] == "sync"
put(store, b"first")
store.stage_value(Table.TOPICS, b"t", b"before")
store.commit(sync=sync)
size = max(path.stat().st_size for path in Path(sys.argv[1]).iterdir())
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100_000, resource.RLIM_INFINITY))
acknowledged = [b"first"]
failed = 0
for n in range(200):
    body = b"%d" % n + os.urandom(3000)
    put(store, body)
    put(store, b"new queue", topic=f"new{n}")
    store.stage_value(Table.TOPICS, b"t", b"%d" % n)
    before = store.next_physical
    try:
        store.commit(sync=sync)
    except StoreFailed as error:
        failed += 1
        assert store.failure, error
        assert not store.pending
        assert store.queue(f"new{n}", 0) is None
        queue = queue_of(store)
        assert queue.next_offset == queue.max_offset == len(acknowledged), (queue, len(acknowledged))
    else:
        acknowledged.append(body)
        assert not failed, "once failed it takes nothing until it has recovered"
assert failed > 10, failed
assert bodies(store, queue_of(store)) == acknowledged, "what was acknowledged can be read while nothing can be written"
store.recover()   # The limit still stands; whatever this says, nothing may be lost.

resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert store.recover(), store.failure
assert store.failure is None
assert bodies(store, queue_of(store)) == acknowledged
assert store.value(Table.TOPICS, b"t") == (b"%d" % (len(acknowledged) - 2))
put(store, b"after")
put(store, b"new queue", topic="new")
store.commit(sync=sync)
acknowledged.append(b"after")
assert bodies(store, queue_of(store)) == acknowledged
if sys.argv[3] == "close":
    store.close()
else:
    sys.stdout.write(f"{len(acknowledged)} {store.next_physical}")
    sys.stdout.flush()
    os._exit(9)
again = RocksMessageStore(Path(sys.argv[1]))
assert bodies(again, queue_of(again)) == acknowledged
assert len(again.queues()) == len(acknowledged)
sys.stdout.write(f"{len(acknowledged)} {again.next_physical}")
again.close()
"""


@pytest.mark.parametrize("sync", ["sync", "async"])
@pytest.mark.parametrize("end", ["close", "crash"])
def test_a_failed_write_loses_nothing_and_heals(tmp_path, open_store, sync, end):
    """Files may not grow: commits fail, nothing of them is seen, and all goes on when there is room again."""
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path / "messages"), sync, end],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode in (0, 9), done.stderr
    count, physical = done.stdout.split()
    store = open_store()
    assert len(bodies(store, queue_of(store))) == int(count)
    assert store.next_physical == int(physical)
