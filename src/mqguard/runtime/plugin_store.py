"""Uses a plugin as the store of users and policies.

One that fails changes nothing, and one that hangs stops nothing for long.
"""

import logging
import queue
import threading
from collections.abc import Callable, Sequence

from mqguard.auth.errors import MetadataStoreFailed, MetadataStoreFull, RecordCorrupt
from mqguard.auth.ports import Change, ChangeRecord, Metadata, MetadataStore
from mqguard.runtime.change_journal import ChangeJournal

_LOG = logging.getLogger(__name__)

START_S = 60.0
"""How long a start waits for all users and policies."""
CLOSE_S = 3.0
"""How long the end waits for a store to let go."""


class PluginStore:
    """A plugin behind the port.

    Requests never wait for the store: they are decided by what is in memory. Only a change does, and the event loop
    with it, for the time limit at most, once: a store that has let a change wait too long gets no other until it has
    answered, and then none either, for nobody knows what it holds; the next start reads it anew.
    """

    def __init__(self, store: MetadataStore, limit_ms: int, journal: ChangeJournal) -> None:
        self._store = store
        self._limit = limit_ms / 1000
        self._journal = journal
        self._doubtful = False
        self._closed = False
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        threading.Thread(target=self._run, name="metadata store", daemon=True).start()

    def load(self) -> Metadata:
        """See `MetadataStore`."""
        found = self._call(self._store.load, START_S)
        if not isinstance(found, Metadata):
            raise MetadataStoreFailed("the plugin that keeps users and policies returned something else")
        return found

    def apply(self, changes: Sequence[Change]) -> None:
        """See `MetadataStore`."""
        self._check_answers()
        self._call(lambda: self._store.apply(changes), self._limit)

    def apply_recorded(self, changes: Sequence[Change], record: ChangeRecord) -> None:
        """See `RecordingStore`. The record is kept before the plugin makes the change, and marked afterwards."""
        self._check_answers()
        self._journal.begin(record)
        try:
            self.apply(changes)
        except MetadataStoreFailed:
            if not self._doubtful:
                self._try(lambda: self._journal.remove([record.id]))
            raise
        self._try(lambda: self._journal.made(record.id))

    def unwritten_records(self) -> Sequence[ChangeRecord]:
        """See `RecordingStore`."""
        return self._journal.records()

    def records_written(self, ids: Sequence[str]) -> None:
        """See `RecordingStore`."""
        self._journal.remove(ids)

    def _check_answers(self) -> None:
        if self._doubtful:
            raise MetadataStoreFailed(
                "the plugin that keeps users and policies did not answer in time: nothing is changed until a restart"
            )

    def _try(self, write: Callable[[], None]) -> None:
        """Write to the journal when it is too late to refuse the change."""
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
            _LOG.warning("the plugin that keeps users and policies could not be closed")
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
            _LOG.error("the plugin that keeps users and policies does not answer")
            raise MetadataStoreFailed("the plugin that keeps users and policies does not answer") from None
        if isinstance(error, (MetadataStoreFailed, MetadataStoreFull, RecordCorrupt)):
            raise error
        if error is not None:
            _LOG.error("the plugin that keeps users and policies failed", exc_info=error)
            raise MetadataStoreFailed("the plugin that keeps users and policies failed: see the server's log") from None
        return found

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            work()
