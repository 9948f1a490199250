"""Adapter for a plugin as the store of users and policies.

A plugin that fails changes nothing, and a plugin that hangs delays the server only for a short time.
"""

import asyncio
import contextlib
import errno
import logging
import os
import queue
import threading
from collections import deque
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Final, TypeGuard

import msgspec

from mqguard.auth.errors import MetadataStoreFailed, MetadataStoreFull, RecordCorrupt
from mqguard.auth.ports import (
    Change,
    ChangeRecord,
    DeleteAcl,
    DeleteUser,
    Metadata,
    MetadataStore,
    MetadataUpdate,
    OnUpdate,
    PutAcl,
    PutUser,
)
from mqguard.store.disk_sync import sync_directory

_LOG = logging.getLogger(__name__)

START_S = 60.0
"""Maximum time for a start to load all users and policies."""
CLOSE_S = 3.0
"""Maximum time for a store to close."""
RETRY_S: Final = 1.0
"""Seconds until an update is applied again after a failure."""
MAX_UPDATES: Final = 1_024
"""Maximum number of updates of other servers that wait for the event loop. Beyond it, everything is loaded again."""


MODE = 0o600
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class _Entry(msgspec.Struct):
    data: bytes
    is_made: bool = False


class ChangeJournal:
    """Keeps records of changes in a small file, for a metadata store that cannot keep them with its changes.

    Rule 1: a record is on the disk before the plugin makes the change, and is marked afterwards.
    Rule 2: if a process ends and leaves a record without that mark, it is not known if the change was made.

    Args:
        path: The file; it is created with the first record.

    Raises:
        RecordCorrupt: The file does not have the form that this class writes.
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
        """Store the record of a change before the change.

        Raises:
            MetadataStoreFull: No space is left; the change must not be made.
            MetadataStoreFailed: It cannot be written; the change must not be made.
        """
        self._write({**self._entries, record.id: _Entry(record.data)}, is_synced=True)

    def made(self, record_id: str) -> None:
        """Mark the record of a change that was made.

        Raises:
            MetadataStoreFailed: It cannot be written. The change counts as made until this process ends.
        """
        self._entries[record_id].is_made = True
        self._write(self._entries, is_synced=False)

    def remove(self, ids: Collection[str]) -> None:
        """Remove records.

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


class PluginStore:
    """A `MetadataStore` that calls a plugin.

    Decisions use the state in memory, so requests never wait for the store. Only a change waits, and the event loop
    with it, at most for the time limit. After one change that took too long, all further changes fail: the content of
    the store is not known then. The next start reads it again.

    The plugin may report the changes of other servers from any thread. They are applied in the event loop.
    """

    def __init__(self, store: MetadataStore, limit_ms: int, journal: ChangeJournal) -> None:
        self._store = store
        self._limit = limit_ms / 1000
        self._journal = journal
        self._doubtful = False
        self._closed = False
        self._loaded = False
        self._listeners: list[OnUpdate] = []
        self._updates: deque[MetadataUpdate] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        threading.Thread(target=self._run, name="metadata store", daemon=True).start()

    def load(self) -> Metadata:
        """See `MetadataStore`."""
        self._check_answers()
        # A start may take long. Later, after a change of another server, requests wait for this call.
        found = self._call(self._store.load, self._limit if self._loaded else START_S)
        if not isinstance(found, Metadata) or not _is_revision(found.revision):
            raise MetadataStoreFailed("the plugin that stores users and policies returned a wrong type")
        self._loaded = True
        return found

    def apply(self, changes: Sequence[Change], expected_revision: int) -> int:
        """See `MetadataStore`."""
        self._check_answers()
        found = self._call(lambda: self._store.apply(changes, expected_revision), self._limit)
        if _is_revision(found) and found >= expected_revision + bool(changes):
            return found
        self._doubtful = True
        _LOG.error("the plugin that stores users and policies returned no higher revision of a change")
        raise MetadataStoreFailed("the plugin that stores users and policies returned a wrong type")

    def watch(self, on_update: OnUpdate) -> None:
        """See `MetadataStore`. Updates are applied once `attach` has set the event loop."""
        self._listeners.append(on_update)
        if len(self._listeners) == 1:
            self._call(lambda: self._store.watch(self._report), self._limit)

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start to apply the changes of other servers.

        Args:
            loop: The event loop of the requests.
        """
        self._loop = loop
        loop.call_soon(self._follow)

    def _report(self, update: MetadataUpdate) -> None:
        """Add an update; called in any thread of the plugin."""
        if not _is_update(update):
            _LOG.error("the plugin that stores users and policies reported an update that is not valid")
            raise TypeError("on_update takes a MetadataUpdate")
        if len(self._updates) >= MAX_UPDATES:
            self._updates.clear()
            update = MetadataUpdate(update.revision, update.previous, None)
        self._updates.append(update)
        loop = self._loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop was closed: the process ends
                loop.call_soon_threadsafe(self._follow)

    def _follow(self) -> None:
        """Apply the reported updates, in the event loop."""
        while not self._closed:
            try:
                update = self._updates.popleft()
            except IndexError:
                return
            try:
                for on_update in self._listeners:
                    on_update(update)
            except MetadataStoreFailed as exc:
                _LOG.error("changes of another server could not be applied yet: %s", exc)
                # Listeners that have it already ignore it the next time.
                self._updates.appendleft(update)
                if self._loop is not None and not self._doubtful:
                    self._loop.call_later(RETRY_S, self._follow)
                return

    def apply_recorded(self, changes: Sequence[Change], expected_revision: int, record: ChangeRecord) -> int:
        """See `RecordingStore`. The record is kept before the plugin makes the change, and marked afterwards."""
        self._check_answers()
        self._journal.begin(record)
        try:
            revision = self.apply(changes, expected_revision)
        except MetadataStoreFailed:
            if not self._doubtful:
                self._try(lambda: self._journal.remove([record.id]))
            raise
        self._try(lambda: self._journal.made(record.id))
        return revision

    def unwritten_records(self) -> Sequence[ChangeRecord]:
        """See `RecordingStore`."""
        return self._journal.records()

    def records_written(self, ids: Sequence[str]) -> None:
        """See `RecordingStore`."""
        self._journal.remove(ids)

    def _check_answers(self) -> None:
        if self._doubtful:
            raise MetadataStoreFailed(
                "the plugin that stores users and policies did not answer in time: changes need a restart"
            )

    def _try(self, write: Callable[[], None]) -> None:
        """Write to the journal; an error is only logged, since the change is made already."""
        try:
            write()
        except MetadataStoreFailed as exc:
            _LOG.error("%s", exc)

    def close(self) -> None:
        """See `MetadataStore`."""
        if self._closed:
            return
        try:
            if not self._doubtful:
                self._call(self._store.close, CLOSE_S)
        except MetadataStoreFailed:
            _LOG.warning("the plugin that stores users and policies could not be closed")
        finally:
            self._closed = True
            self._work.put(None)

    def _call(self, call: Callable[[], object], limit: float) -> object:
        if self._closed:
            raise MetadataStoreFailed("the store of users and policies is closed")
        answer: queue.SimpleQueue[tuple[object, BaseException | None]] = queue.SimpleQueue()

        def work() -> None:
            try:
                answer.put((call(), None))
            except BaseException as exc:  # noqa: BLE001 - a plugin may raise anything
                answer.put((None, exc))

        self._work.put(work)
        try:
            found, error = answer.get(timeout=limit)
        except queue.Empty:
            self._doubtful = True
            _LOG.error("the plugin that stores users and policies does not answer")
            raise MetadataStoreFailed("the plugin that stores users and policies does not answer") from None
        if isinstance(error, (MetadataStoreFailed, MetadataStoreFull, RecordCorrupt)):
            raise error
        if error is not None:
            _LOG.error("the plugin that stores users and policies failed", exc_info=error)
            raise MetadataStoreFailed(
                "the plugin that stores users and policies failed: see the server's log"
            ) from None
        return found

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            work()


def _is_revision(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_update(update: object) -> bool:
    """Return True if a plugin has reported what it must report."""
    if not isinstance(update, MetadataUpdate) or not _is_revision(update.revision):
        return False
    changes = update.changes
    if changes is None:
        return True
    return isinstance(changes, (tuple, list)) and all(
        isinstance(change, (PutUser, DeleteUser, PutAcl, DeleteAcl)) for change in changes
    )
