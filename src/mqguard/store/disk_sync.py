"""Bringing files to the disk: directories, and the write-ahead log of messages."""

import contextlib
import logging
import os
import threading
import time
from pathlib import Path

_LOG = logging.getLogger(__name__)

LOG_INTERVAL_S = 60.0
"""Minimum interval between log lines about a failure that lasts."""
_MAY_BE_LOST = "; earlier messages may be lost if the machine fails before the next restart, which writes them again"


class LogSync:
    """Syncs the write-ahead logs of a database at intervals, in a thread of its own.

    Written data survives the end of the process at once, and the end of the machine after the next sync. The files are
    opened for each sync: this class need not know if the database is open, and no request waits for the disk.

    Args:
        path: The directory of the database.
        interval_ms: Time between two syncs, in milliseconds.

    Attributes:
        failure: Reason for which the last sync failed, None if it succeeded.
    """

    def __init__(self, path: Path, interval_ms: int) -> None:
        self._path = path
        self._interval = interval_ms / 1000
        self._synced: dict[str, int] = {}
        self._refused = False
        self._logged_s = 0.0
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="log-sync", daemon=True)
        self.failure: str | None = None

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """Sync a last time, and stop. Call it when nothing is written any more."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join()
        self._attempt()

    def sync(self) -> None:
        """Sync new data, the oldest log first, since a start reads the logs in that order.

        Raises:
            OSError: The sync failed.
        """
        found: dict[str, int] = {}
        # Sorted by number: names have six digits, and seven from the millionth on.
        for log in sorted(self._path.glob("*.log"), key=lambda log: (len(log.name), log.name)):
            # Before RocksDB deletes a log, its content is in other files that are synced.
            with contextlib.suppress(FileNotFoundError):
                found[log.name] = self._sync_file(log)
        if found.keys() - self._synced.keys():
            sync_directory(self._path)
        self._synced = found

    def _sync_file(self, log: Path) -> int:
        descriptor = os.open(log, os.O_RDONLY | os.O_CLOEXEC)
        try:
            # The size is read first: data written meanwhile belong to the next sync.
            size = os.fstat(descriptor).st_size
            if size != self._synced.get(log.name):
                try:
                    os.fsync(descriptor)
                except OSError:
                    self._refused = True
                    raise
        finally:
            os.close(descriptor)
        return size

    def _run(self) -> None:
        while not self._closing.wait(self._interval):
            self._attempt()

    def _attempt(self) -> None:
        try:
            self.sync()
        except OSError as exc:
            now, is_new = time.monotonic(), self.failure is None
            self.failure = exc.strerror or str(exc)
            if is_new or now - self._logged_s >= LOG_INTERVAL_S:
                self._logged_s = now
                _LOG.error("the message log in `%s` cannot be synced: %s", self._path, self.failure)
            return
        if self.failure is not None:
            # The next sync may succeed without these data: Linux reports a failed write only once.
            what = _MAY_BE_LOST if self._refused else ""
            _LOG.warning("the message log in `%s` can be synced again%s", self._path, what)
            self.failure = None
            self._refused = False


def sync_directory(path: Path) -> None:
    """Sync the names in a directory: without it, a crash may undo the creation or replacement of a file.

    Raises:
        OSError: The sync failed.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
