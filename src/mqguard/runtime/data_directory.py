"""The data directory: its brokers, its lock, the name server's values, and accounts migrated from ACL 1.0."""

import fcntl
import logging
import os
from collections.abc import Collection
from pathlib import Path

import msgspec

from mqguard.runtime.errors import StartFailed
from mqguard.store.disk_sync import sync_directory
from mqguard.store.errors import StoreCorrupt, StoreFailed

_LOG = logging.getLogger(__name__)

LOCK_FILE = "mqguard.lock"
BROKERS_DIRECTORY = "brokers"
"""Directory within the data directory with the data of all brokers but the first (`runtime.supervisor`)."""


def warn_of_unserved(data: Path, served: Collection[str] = ()) -> None:
    """Log the brokers that have messages in a data directory and that a start does not serve."""
    directory = data / BROKERS_DIRECTORY
    for path in sorted(directory.iterdir()) if directory.is_dir() else ():
        if path.name not in served:
            _LOG.warning("the messages of `%s` in `%s` are not served: start with more `--brokers`", path.name, path)


class DataLock:
    """Lock of a data directory. The kernel releases it when the process ends in any way."""

    def __init__(self, directory: Path) -> None:
        """Lock the directory, and create it (mode 0700) if it is missing.

        Raises:
            StartFailed: Another process uses it, or it cannot be written.
        """
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = os.open(directory / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as exc:
            raise StartFailed(f"the data directory `{directory}` cannot be used: {exc.strerror}") from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(self._file, 20, 0).decode("ascii", "replace").strip()
            os.close(self._file)
            who = f"process {holder}" if holder.isdigit() else "another process"
            raise StartFailed(
                f"the data directory `{directory}` is in use by {who}: stop it, or name another directory with --data"
            ) from None
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Release the directory. The file stays, so that no process locks a file that is being removed."""
        os.ftruncate(self._file, 0)
        os.close(self._file)


class KvFile:
    """Reads and replaces the name server's key-value configuration, one small file (`namesrv.kv.KvStore`).

    Args:
        path: The file; it is created with the first value.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> dict[str, dict[str, str]]:
        """Return all values, by namespace and key.

        Raises:
            StoreCorrupt: The file does not have the form that `save` writes.
            StoreFailed: It cannot be read.
        """
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return {}
        except OSError as exc:
            raise StoreFailed(f"the file `{self._path}` cannot be read: {exc.strerror}") from None
        try:
            return msgspec.json.decode(data, type=dict[str, dict[str, str]])
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise StoreCorrupt(f"the file `{self._path}` is damaged: restore it from a backup or remove it") from None

    def save(self, values: dict[str, dict[str, str]]) -> None:
        """Replace all values; they survive a crash of the machine once this returns.

        Raises:
            StoreFailed: They cannot be written; the old ones stay.
        """
        fresh = self._path.with_suffix(".new")
        try:
            with fresh.open("wb") as file:
                file.write(msgspec.json.encode(values))
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self._path)
            sync_directory(self._path.parent)
        except OSError as exc:
            raise StoreFailed(f"the file `{self._path}` cannot be written: {exc.strerror}") from None


MIGRATED_FILE = "acl-v1-accounts.json"
"""File within the data directory: the accounts of ACL 1.0 that a start has migrated.

An account in it does not come back when its user is deleted.
"""


def read_migrated(data: Path) -> frozenset[str]:
    """Return the names of the accounts that earlier starts have migrated.

    Raises:
        StartFailed: The file cannot be read.
    """
    path = data / MIGRATED_FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=frozenset[str])
    except FileNotFoundError:
        return frozenset()
    except OSError as exc:
        raise StartFailed(f"the file `{path}` cannot be read: {exc.strerror}") from None
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise StartFailed(f"the file `{path}` is damaged: restore it from a backup") from None


def write_migrated(data: Path, names: frozenset[str]) -> None:
    """Store the names.

    Raises:
        StartFailed: The file cannot be written.
    """
    path = data / MIGRATED_FILE
    fresh = path.with_suffix(".new")
    try:
        with fresh.open("wb") as stream:
            stream.write(msgspec.json.encode(sorted(names)))
            stream.flush()
            os.fsync(stream.fileno())
        fresh.replace(path)
        sync_directory(data)
    except OSError as exc:
        raise StartFailed(f"the file `{path}` cannot be written: {exc.strerror}") from None
