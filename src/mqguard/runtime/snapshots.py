"""Snapshots of the data of a running server, in its data directory (`broker.processors.backup.Snapshots`).

A snapshot has hard links to the files of messages, which never change, so it takes no time and no space by itself. It
keeps files that would be deleted otherwise.
"""

import re
import secrets
import shutil
from pathlib import Path

from mqguard import __version__
from mqguard.auth.ports import MetadataStore
from mqguard.dispatch.request import RequestRefused
from mqguard.model.process import Clock
from mqguard.remoting.bodies.operations import SnapshotInfo
from mqguard.remoting.codes import ResponseCode
from mqguard.store.errors import StoreError
from mqguard.store.metadata.rocksdb import RocksMetadataStore
from mqguard.store.rocksdb import RocksMessageStore

DIRECTORY = "snapshots"
"""Directory within the data directory."""
MAX_SNAPSHOTS = 4
"""Maximum number of snapshots at a time: each keeps files that would be deleted."""
_ID = re.compile(r"[0-9a-f]{16}")


class DataSnapshots:
    """Snapshots of messages, users and small files.

    Args:
        data: The data directory.
        messages: The messages.
        users: Users and policies; those of a plugin's store are not in a snapshot.
        clock: The clock.

    Raises:
        RequestRefused: Snapshots of an earlier process cannot be removed.
    """

    def __init__(self, data: Path, messages: RocksMessageStore, users: MetadataStore, clock: Clock) -> None:
        self._data = data
        self._directory = data / DIRECTORY
        self._messages = messages
        self._users = users if isinstance(users, RocksMetadataStore) else None
        self._clock = clock
        if self._directory.exists():
            self._remove(self._directory)

    def take(self) -> SnapshotInfo:
        """Take a snapshot.

        Raises:
            RequestRefused: There are too many, or the disk failed.
            MetadataStoreFailed: The users cannot be written.
        """
        snapshot_id = secrets.token_hex(8)
        path = self._directory / snapshot_id
        if self._directory.exists() and sum(1 for _ in self._directory.iterdir()) >= MAX_SNAPSHOTS:
            raise RequestRefused(
                ResponseCode.SYSTEM_BUSY,
                f"{MAX_SNAPSHOTS} snapshots exist, the maximum: wait until another backup ends, or restart the server, "
                "which removes them",
            )
        now = self._clock.now_ms()
        try:
            path.mkdir(mode=0o700, parents=True)
            self._messages.checkpoint(path / "messages")
            if self._users is not None:
                self._users.checkpoint(path / "access")
            for file in self._data.glob("*.json"):
                shutil.copy2(file, path / file.name)
        except (OSError, StoreError) as exc:
            shutil.rmtree(path, ignore_errors=True)
            why = exc.strerror if isinstance(exc, OSError) else exc
            raise RequestRefused(ResponseCode.SYSTEM_ERROR, f"the snapshot `{path}` cannot be written: {why}") from None
        except BaseException:
            shutil.rmtree(path, ignore_errors=True)
            raise
        sealed_with = "" if self._users is None else self._users.sealed_with
        return SnapshotInfo(snapshot_id, str(path.absolute()), __version__, now, sealed_with)

    def drop(self, snapshot_id: str) -> bool:
        """Remove a snapshot; return False if there is none with this id.

        Raises:
            RequestRefused: It cannot be removed.
        """
        path = self._directory / snapshot_id
        if not _ID.fullmatch(snapshot_id) or not path.exists():
            return False
        self._remove(path)
        return True

    def _remove(self, path: Path) -> None:
        try:
            shutil.rmtree(path)
        except OSError as exc:
            raise RequestRefused(
                ResponseCode.SYSTEM_ERROR, f"the snapshot `{path}` cannot be removed: {exc.strerror}"
            ) from None
