"""Bringing files to the disk: directories, and the write-ahead log of messages."""

import contextlib
import logging
import os
import threading
import time
from pathlib import Path

_LOG = logging.getLogger(__name__)

TELL_S = 60.0
"""How often trouble that lasts is told."""
_DOUBT = "; what was stored before may be lost with the machine, until a restart has written it anew"


class LogSync:
    """Syncs the write-ahead logs of a database at intervals, in a thread of its own.

    Written data survives the end of the process at once, and the end of the machine after the next sync. The files are
    opened for each sync: this class need not know if the database is open, and no request waits for the disk.

    Args:
        path: The directory of the database.
        interval_ms: Time between two looks at it.

    Attributes:
        failure: Why the last sync failed, None if it did not.
    """

    def __init__(self, path: Path, interval_ms: int) -> None:
        self._path = path
        self._interval = interval_ms / 1000
        self._synced: dict[str, int] = {}
        self._refused = False
        self._told_s = 0.0
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="log-sync", daemon=True)
        self.failure: str | None = None

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """Sync what is left, and stop. Call it when nothing is written any more."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join()
        self._attempt()

    def sync(self) -> None:
        """Sync what has been written since the last time, the oldest log first: a start reads them in that order.

        Raises:
            OSError: The disk does not take it.
        """
        found: dict[str, int] = {}
        # By number: they have six digits, and seven after the millionth.
        for log in sorted(self._path.glob("*.log"), key=lambda log: (len(log.name), log.name)):
            # What a log held has gone to other files, and was synced there, before it is deleted.
            with contextlib.suppress(FileNotFoundError):
                found[log.name] = self._sync_file(log)
        if found.keys() - self._synced.keys():
            sync_directory(self._path)
        self._synced = found

    def _sync_file(self, log: Path) -> int:
        descriptor = os.open(log, os.O_RDONLY | os.O_CLOEXEC)
        try:
            # The size first: what is written meanwhile counts for the next time.
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
            if is_new or now - self._told_s >= TELL_S:
                self._told_s = now
                _LOG.error("the log of messages in `%s` cannot be synced: %s", self._path, self.failure)
            return
        if self.failure is not None:
            # Of what one sync did not bring to the disk the next may know nothing: Linux tells of it once, and forgets.
            what = _DOUBT if self._refused else ""
            _LOG.warning("the log of messages in `%s` can be synced again%s", self._path, what)
            self.failure = None
            self._refused = False


def sync_directory(path: Path) -> None:
    """Have the disk know the names in a directory: a file that was made or replaced may be as before until then.

    Raises:
        OSError: The disk does not take it.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
