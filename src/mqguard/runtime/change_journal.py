"""The records of changes whose store cannot keep them: one small file beside a metadata store of a plugin.

Rule 1: a record is on the disk before the plugin is asked to make the change, and marked once the plugin has made it.
Rule 2: a record without that mark, left by a process that ended, is of a change of which nobody here knows whether it
was made.
"""

import errno
import os
from collections.abc import Collection
from pathlib import Path

import msgspec

from mqguard.auth.errors import MetadataStoreFailed, MetadataStoreFull, RecordCorrupt
from mqguard.auth.ports import ChangeRecord
from mqguard.store.fsync import sync_directory

MODE = 0o600
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class _Entry(msgspec.Struct):
    data: bytes
    is_made: bool = False


class ChangeJournal:
    """Keeps records of changes in a file.

    Args:
        path: The file; made with the first record.

    Raises:
        RecordCorrupt: The file is not what this class writes.
        MetadataStoreFailed: It cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._entries: dict[str, _Entry] = {}
        try:
            self._entries = msgspec.json.decode(path.read_bytes(), type=dict[str, _Entry])
        except FileNotFoundError:
            pass
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise RecordCorrupt(f"the file `{path}` is damaged: restore it from a backup or remove it") from None
        except OSError as exc:
            raise MetadataStoreFailed(f"the file `{path}` cannot be read: {exc.strerror}") from None

    def begin(self, record: ChangeRecord) -> None:
        """Keep the record of a change that is about to be made.

        Raises:
            MetadataStoreFull: There is no room; the change must not be made.
            MetadataStoreFailed: It cannot be written; the change must not be made.
        """
        self._write({**self._entries, record.id: _Entry(record.data)}, is_synced=True)

    def made(self, record_id: str) -> None:
        """Mark the record of a change that was made.

        Raises:
            MetadataStoreFailed: It cannot be written. The change counts as made as long as this process lives.
        """
        self._entries[record_id].is_made = True
        self._write(self._entries, is_synced=False)

    def remove(self, ids: Collection[str]) -> None:
        """Forget records.

        Raises:
            MetadataStoreFailed: It cannot be written.
        """
        self._write({key: entry for key, entry in self._entries.items() if key not in ids}, is_synced=False)

    def records(self) -> list[ChangeRecord]:
        """Return all records, oldest first."""
        return [ChangeRecord(key, entry.data, doubtful=not entry.is_made) for key, entry in self._entries.items()]

    def _write(self, entries: dict[str, _Entry], *, is_synced: bool) -> None:
        fresh = self._path.with_suffix(".new")
        try:
            with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, MODE), "wb") as file:
                file.write(msgspec.json.encode(entries))
                file.flush()
                if is_synced:
                    os.fsync(file.fileno())
            fresh.replace(self._path)
            if is_synced:
                sync_directory(self._path.parent)
        except OSError as exc:
            kind = MetadataStoreFull if exc.errno in _FULL else MetadataStoreFailed
            raise kind(f"the record of the change cannot be written to `{self._path}`: {exc.strerror}") from None
        self._entries = entries
