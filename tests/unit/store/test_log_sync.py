"""The message log is synced at intervals, also if the database is closed and opened again."""

import contextlib
import errno
import logging
import os
import shutil
import threading
import time

import pytest

from mqguard.store import disk_sync
from mqguard.store.disk_sync import LogSync
from mqguard.store.ports import Table
from mqguard.store.rocksdb import RocksMessageStore
from mqguard.testing.store_contract import bodies, put, queue_of
from tests.fixtures.waiting import eventually


class SyncedDisk:
    """Counts how much of each file was synced; the real disk does the work."""

    def __init__(self, root, monkeypatch):
        self.root = root
        self.synced = {}
        self.calls = []
        self.broken = None
        self._fsync = os.fsync
        monkeypatch.setattr(os, "fsync", self.fsync)

    def fsync(self, descriptor):
        if self.broken is not None:
            raise OSError(self.broken, os.strerror(self.broken))
        size = os.fstat(descriptor).st_size
        self._fsync(descriptor)
        inode = os.fstat(descriptor).st_ino
        for path in (self.root, *self.root.rglob("*")):
            # Files come and go meanwhile: a database that is opened anew deletes its old log.
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_ino == inode:
                    self.calls.append(path.name)
                    self.synced[path.name] = size
                    return

    def cut(self, source, target):
        """Copy the logs as a loss of power may leave them: only the synced bytes."""
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("LOCK"))
        for log in target.glob("*.log"):
            os.truncate(log, self.synced.get(log.name, 0))


@pytest.fixture
def disk(tmp_path, monkeypatch):
    return SyncedDisk(tmp_path, monkeypatch)


def log_bytes(path):
    return {log.name: log.stat().st_size for log in path.glob("*.log")}


def is_synced(disk, path):
    return lambda: all(disk.synced.get(name) == size for name, size in log_bytes(path).items())


def test_what_was_committed_survives_a_loss_of_power_soon_after(tmp_path, disk):
    store = RocksMessageStore(tmp_path / "live", 10)
    put(store, b"kept")
    store.stage_value(Table.OFFSETS, b"o", b"1")
    store.commit(sync=False)
    assert eventually(is_synced(disk, tmp_path / "live"))
    disk.cut(tmp_path / "live", tmp_path / "left")
    store.close()

    left = RocksMessageStore(tmp_path / "left")
    assert bodies(left, queue_of(left)) == [b"kept"]
    assert left.value(Table.OFFSETS, b"o") == b"1"
    left.close()


def test_without_it_a_loss_of_power_may_take_everything(tmp_path, disk):
    store = RocksMessageStore(tmp_path / "live")
    put(store, b"gone")
    store.commit(sync=False)
    disk.cut(tmp_path / "live", tmp_path / "left")
    store.close()
    left = RocksMessageStore(tmp_path / "left")
    assert left.queues() == []
    left.close()


def test_nothing_new_is_not_synced_again(tmp_path, disk):
    store = RocksMessageStore(tmp_path)
    sync = LogSync(tmp_path, 10_000)
    sync.sync()
    (log,) = log_bytes(tmp_path)
    assert disk.calls == [log, tmp_path.name]
    sync.sync()
    assert len(disk.calls) == 2
    put(store, b"x")
    store.commit(sync=False)
    sync.sync()
    assert disk.calls[2:] == [log]
    store.close()


def test_older_logs_are_synced_first_and_those_that_are_gone_left_out(tmp_path, disk, monkeypatch):
    for name in ("000011.log", "1000000.log", "000009.log", "000010.log"):
        (tmp_path / name).write_bytes(b"x")
    opening = os.open

    def deleting(path, flags, *mode):
        if str(path).endswith("000010.log"):
            path.unlink()
        return opening(path, flags, *mode)

    monkeypatch.setattr(os, "open", deleting)
    LogSync(tmp_path, 10_000).sync()
    assert disk.calls == ["000009.log", "000011.log", "1000000.log", tmp_path.name]


def test_it_goes_on_while_the_database_is_opened_anew(tmp_path, disk, caplog):
    store = RocksMessageStore(tmp_path, 1)
    for turn in range(20):
        put(store, b"%d" % turn)
        store.commit(sync=False)
        store.failure = "cable pulled"
        assert store.recover()
    assert eventually(is_synced(disk, tmp_path))
    assert bodies(store, queue_of(store)) == [b"%d" % turn for turn in range(20)]
    store.close()
    assert "cannot be synced" not in caplog.text


def test_closing_ends_the_thread_and_leaves_nothing_for_a_loss_of_power(tmp_path, disk):
    others = set(threading.enumerate())
    store = RocksMessageStore(tmp_path / "live", 60_000)
    (thread,) = {thread for thread in threading.enumerate() if thread.name == "log-sync"} - others
    put(store, b"kept")
    store.commit(sync=False)
    store.failure = "the disk was full"
    store.close()
    store.close()
    assert not thread.is_alive()
    assert is_synced(disk, tmp_path / "live")()
    disk.cut(tmp_path / "live", tmp_path / "left")
    left = RocksMessageStore(tmp_path / "left")
    assert bodies(left, queue_of(left)) == [b"kept"]
    left.close()


def test_a_failed_sync_is_logged_once_and_repeated(tmp_path, disk, caplog):
    store = RocksMessageStore(tmp_path, 1)
    assert eventually(is_synced(disk, tmp_path))
    disk.broken = errno.EIO
    put(store, b"x")
    store.commit(sync=False)
    assert eventually(lambda: "cannot be synced" in caplog.text)
    time.sleep(0.02)
    disk.broken = None
    assert eventually(lambda: "can be synced again" in caplog.text)
    assert is_synced(disk, tmp_path)()
    store.close()
    told = [record for record in caplog.records if record.name == "mqguard.store.disk_sync"]
    assert [record.levelno for record in told] == [logging.ERROR, logging.WARNING]
    assert told[0].getMessage() == f"the message log in `{tmp_path}` cannot be synced: Input/output error"
    assert (
        told[1]
        .getMessage()
        .endswith(
            "can be synced again; earlier messages may be lost if the machine fails before the next restart, which writes them again"
        )
    )


@pytest.mark.parametrize(("every", "lines"), [(60.0, 1), (0.0, 3)])
def test_a_sync_that_keeps_failing_is_logged_again_later(tmp_path, disk, monkeypatch, caplog, every, lines):
    monkeypatch.setattr(disk_sync, "LOG_INTERVAL_S", every)
    (tmp_path / "000009.log").write_bytes(b"x")
    disk.broken = errno.ENOSPC
    sync = LogSync(tmp_path, 10_000)
    for _ in range(3):
        sync.close()
    assert caplog.messages == [f"the message log in `{tmp_path}` cannot be synced: No space left on device"] * lines


def test_a_disk_that_was_not_asked_leaves_no_doubt(tmp_path, disk, monkeypatch, caplog):
    (tmp_path / "000009.log").write_bytes(b"x")
    sync = LogSync(tmp_path, 10_000)

    def full(*_):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", full)
        sync.close()
    assert sync.failure == "Too many open files"
    sync.close()
    assert sync.failure is None
    assert caplog.messages[-1] == f"the message log in `{tmp_path}` can be synced again"
