"""Users and policies of a remote store, as the event loop of one process uses them.

Rule 1: requests are decided by the snapshot in memory. No call of the store is made in the event loop after the start.
Rule 2: a change is made in a thread, with a manager of its own. Its request waits, and no other request waits with it.
Before the change is decided, the snapshot has everything that the store has at that moment, and the sender is checked
again. The answer leaves after the change is in force here.
Rule 3: the store must confirm again and again that the snapshot is the newest one. If it does not for a configured
time, no request is served until it does.
Rule 4: updates are applied in the order of revisions. If one is missing, everything is loaded again.
"""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from mqguard.auth.errors import MetadataStoreFailed
from mqguard.auth.manager import MetadataManager
from mqguard.auth.ports import Change, ChangeRecord, Metadata, MetadataUpdate, OnUpdate
from mqguard.auth.snapshot import Snapshot
from mqguard.dispatch.request import Handler, Request, error_reply
from mqguard.guard.audit import AdminChange
from mqguard.remoting.codes import ResponseCode
from mqguard.remoting.command import Command, Reply
from mqguard.runtime.remote.ports import RemoteStore
from mqguard.runtime.remote.worker import Worker

_LOG = logging.getLogger(__name__)

MAX_OPEN_REQUESTS: Final = 1_024
"""Maximum number of changes that wait for the store."""
MAX_OPEN_BYTES: Final = 64 << 20
"""Maximum size of these changes."""
MAX_UPDATES: Final = 1_024
"""Maximum number of updates that wait for the event loop, or for an earlier one. Beyond it, everything is loaded."""
MAX_WRITTEN: Final = 65_536
"""Maximum number of change records that wait for their removal; the next start removes the others."""
UPDATE_S: Final = 1.0
"""Seconds to wait for an update that the store has; then everything is loaded."""
RETRY_S: Final = 1.0
"""Seconds until users and policies are loaded again after a failure."""
LOG_S: Final = 30.0
"""Minimum seconds between log lines about a store that does not answer."""


def monotonic_ms() -> int:
    """Return the machine's monotonic clock."""
    return time.monotonic_ns() // 1_000_000


class _QueuedChange(NamedTuple):
    request: Request
    version: int
    size: int


class ChangeLog:
    """Collects the audit records of a change that is made in a thread."""

    def __init__(self) -> None:
        self.changes: list[AdminChange] = []

    def put_change(self, change: AdminChange) -> None:
        """Keep a record for the event loop (`dispatch.access_requests.ChangeAudit`)."""
        self.changes.append(change)

    def take(self) -> list[AdminChange]:
        """Return all records and forget them."""
        found, self.changes = self.changes, []
        return found


class WriterStore:
    """The remote store as the thread of changes uses it: without a watch, and with an error that is known already.

    Attributes:
        failure: The error of the last confirmation; a change then fails at once, and is audited as usual.
    """

    def __init__(self, store: RemoteStore) -> None:
        self._store = store
        self.failure: MetadataStoreFailed | None = None

    def load(self) -> Metadata:
        """See `MetadataStore`."""
        return self._store.load()

    def apply(self, changes: Sequence[Change], expected_revision: int) -> int:
        """See `MetadataStore`."""
        if self.failure is not None:
            raise self.failure
        return self._store.apply(changes, expected_revision)

    def apply_recorded(self, changes: Sequence[Change], expected_revision: int, record: ChangeRecord) -> int:
        """See `RecordingStore`."""
        if self.failure is not None:
            raise self.failure
        return self._store.apply_recorded(changes, expected_revision, record)

    def watch(self, on_update: OnUpdate) -> None:
        """Do nothing: the event loop follows the store."""

    def unwritten_records(self) -> Sequence[ChangeRecord]:
        """See `RecordingStore`."""
        return self._store.unwritten_records()

    def records_written(self, ids: Sequence[str]) -> None:
        """See `RecordingStore`."""
        self._store.records_written(ids)

    def close(self) -> None:
        """Do nothing: the owner of the remote store closes it."""


class RemoteAccess:
    """Users and policies of a remote store (`RecordingStore`, `sharing.validity.AccessFollower`).

    Until `attach`, its calls block, as a start needs it.

    Args:
        store: The remote store.
        max_age_ms: Time for which requests are served without a confirmation of the store.
        confirm_ms: Time between two confirmations.

    Attributes:
        outdated: The reason for refusals after `max_age_ms`.
        refused: Number of requests that were refused for it.
        reloads: Number of times that all users and policies were loaded after the start.
        writer: The store for the manager that makes changes in a thread.
    """

    def __init__(self, store: RemoteStore, max_age_ms: int, confirm_ms: int) -> None:
        self._store = store
        self._max_age_ms = max_age_ms
        self._confirm_ms = confirm_ms
        self._worker = Worker("users and policies")
        self._stop = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._end_iteration: Callable[[], None] = lambda: None
        self._on_update: OnUpdate = lambda _update: None
        self._manager: MetadataManager | None = None
        self._changer: MetadataManager | None = None
        self._handlers: Mapping[int, Handler] = {}
        self._changes = ChangeLog()
        self._audit: Callable[[AdminChange], None] = lambda _change: None
        self._updates: deque[MetadataUpdate] = deque()
        self._early: dict[int, MetadataUpdate] = {}
        self._waiting: deque[_QueuedChange] = deque()
        self._waiting_bytes = 0
        self._is_busy = False
        self._awaited: int | None = None
        self._needs_load = False
        self._is_load_paused = False
        self._newest = 0
        self._taken_ms = 0
        self._confirmed_ms = 0
        self._failed_ms = 0
        self._logged_ms = 0
        self.writer = WriterStore(store)
        self.outdated = (
            "users and policies may be out of date, so no request is served: the store that keeps them does not answer"
        )
        self.refused = 0
        self.reloads = 0

    @property
    def age_ms(self) -> int:
        """Milliseconds since the moment for which the store has confirmed the users and policies."""
        return monotonic_ms() - self._confirmed_ms

    @property
    def is_current(self) -> bool:
        """True if requests may be decided by these users and policies now."""
        return self.age_ms < self._max_age_ms

    @property
    def waiting(self) -> int:
        """Number of changes that wait for the store."""
        return len(self._waiting) + self._is_busy

    # The store of the manager

    def load(self) -> Metadata:
        """Read everything at a start; see `MetadataStore`."""
        self._check_start()
        now = monotonic_ms()
        found = self._store.load()
        self._confirmed_ms = now
        return found

    def apply(self, changes: Sequence[Change], expected_revision: int) -> int:
        """Make changes at a start; see `MetadataStore`."""
        self._check_start()
        return self._store.apply(changes, expected_revision)

    def apply_recorded(self, changes: Sequence[Change], expected_revision: int, record: ChangeRecord) -> int:
        """Make changes at a start; see `RecordingStore`."""
        self._check_start()
        return self._store.apply_recorded(changes, expected_revision, record)

    def unwritten_records(self) -> Sequence[ChangeRecord]:
        """Return the records at a start; see `RecordingStore`."""
        self._check_start()
        return self._store.unwritten_records()

    def records_written(self, ids: Sequence[str]) -> None:
        """Remove records, soon; see `RecordingStore`."""
        loop, found = self._loop, list(ids)
        if loop is None or loop.is_closed():
            self._store.records_written(found)
        else:
            self._worker.call(lambda: self._store.records_written(found), self._records_removed)

    def watch(self, on_update: OnUpdate) -> None:
        """Apply the writes of other servers, once `attach` has set the event loop; see `MetadataStore`."""
        self._on_update = on_update
        self._store.watch(self._report)

    def close(self) -> None:
        """Release the store; see `MetadataStore`."""
        self._stop.set()
        self._worker.close()
        self._store.close()

    def _check_start(self) -> None:
        if self._loop is not None:
            raise MetadataStoreFailed("users and policies of this store are changed by requests only")

    # The event loop

    def serve(
        self, changer: MetadataManager, handlers: Mapping[int, Handler], changes: ChangeLog,
        audit: Callable[[AdminChange], None],
    ) -> None:  # fmt: skip
        """Set what makes changes.

        Args:
            changer: The manager that only the thread of changes uses.
            handlers: Handlers of the requests that change users and policies; they use `changer` and `changes`.
            changes: The audit records of these handlers.
            audit: Writes an audit record, in the event loop.
        """
        self._changer, self._handlers, self._changes, self._audit = changer, handlers, changes, audit

    def attach(
        self, loop: asyncio.AbstractEventLoop, manager: MetadataManager, end_iteration: Callable[[], None]
    ) -> None:
        """Begin to follow the store, and to make changes in a thread.

        Args:
            loop: The event loop of the requests.
            manager: The users and policies of this process.
            end_iteration: Requests the end of an iteration without input.
        """
        self._loop, self._manager, self._end_iteration = loop, manager, end_iteration
        self._taken_ms = monotonic_ms()
        self._worker.start(loop)
        loop.call_soon(self._follow)
        threading.Thread(target=self._confirm, name="age of users and policies", daemon=True).start()

    def _confirm(self) -> None:
        """Ask the store for its revision again and again, in a thread."""
        while not self._stop.wait(self._confirm_ms / 1000):
            begin = monotonic_ms()
            try:
                revision = self._store.confirm()
            except Exception as exc:  # noqa: BLE001 - the thread must go on
                self._worker.post(lambda exc=exc: self._not_confirmed(exc))  # type: ignore[misc]
            else:
                self._worker.post(lambda begin=begin, revision=revision: self._confirmed(begin, revision))  # type: ignore[misc]

    def _confirmed(self, begin_ms: int, revision: int) -> None:
        """Note the revision that the store had at a moment."""
        manager = self._the_manager
        if revision < manager.revision and begin_ms > self._taken_ms:
            _LOG.error("the store of users and policies has gone back to an earlier state: it is loaded again")
            self._want_load()
        elif manager.revision < self._newest and begin_ms > self._taken_ms and not self._needs_load:
            # The store had an update before this confirmation, and has still not reported it.
            _LOG.warning("an update of users and policies is missing: they are loaded again")
            self._store.restart_watch()
            self._want_load()
        elif revision <= manager.revision and not self._needs_load:
            self._confirmed_ms = max(self._confirmed_ms, begin_ms)
            if self._failed_ms:
                _LOG.warning("the store of users and policies answers again")
                self._failed_ms = 0
        self._newest = revision

    def _not_confirmed(self, exc: Exception) -> None:
        now = monotonic_ms()
        if not self._failed_ms or now - self._logged_ms >= LOG_S * 1000:
            self._logged_ms = now
            _LOG.warning(
                "requests are decided by users and policies of %.1f s ago, and are refused from %d s on: %s",
                self.age_ms / 1000,
                self._max_age_ms // 1000,
                exc if isinstance(exc, MetadataStoreFailed) else f"internal error ({type(exc).__name__})",
            )
        self._failed_ms = self._failed_ms or now

    # Updates

    def _report(self, update: MetadataUpdate) -> None:
        """Add an update; called in a thread of the store."""
        if len(self._updates) >= MAX_UPDATES:
            self._updates.clear()
            update = MetadataUpdate(update.revision, update.previous, None)
        self._updates.append(update)
        self._worker.post(self._follow)

    def _follow(self) -> None:
        """Apply the reported updates."""
        while self._updates:
            update = self._updates.popleft()
            if update.changes is None or len(self._early) >= MAX_UPDATES:
                self._want_load()
            elif update.revision > self._the_manager.revision:
                self._early[update.previous] = update
        self._apply_early()

    def _apply_early(self) -> None:
        """Apply the updates that follow the present revision."""
        manager = self._the_manager
        while (update := self._early.pop(manager.revision, None)) is not None:
            self._on_update(update)
            self._taken_ms = monotonic_ms()
        self._early = {at: update for at, update in self._early.items() if update.revision > manager.revision}
        if self._early and not self._is_busy:
            self._want_load()
        if self._awaited is not None and manager.revision >= self._awaited:
            self._awaited = None
            self._make_change()
        self._end_iteration()

    def _want_load(self) -> None:
        self._needs_load = True
        self._next()

    def _load(self) -> None:
        self._is_busy = True
        before = self._the_manager.revision

        def load() -> tuple[Snapshot, int]:
            metadata = self._store.load()
            return Snapshot.of(metadata), metadata.revision

        self._worker.call(load, lambda result: self._loaded(before, result))

    def _loaded(self, before: int, result: tuple[Snapshot, int] | Exception) -> None:
        self._is_busy = False
        manager = self._the_manager
        if isinstance(result, Exception):
            _LOG.error("users and policies cannot be loaded, and the last valid ones stay: %s", _text(result))
            self._retry_load()
        elif manager.revision not in {before, result[1]} and result[1] < manager.revision:
            self._retry_load()  # Updates have arrived meanwhile, so it is not known which state is the newest.
        else:
            self._needs_load = False
            self.reloads += 1
            manager.replace(*result)
            self._taken_ms = monotonic_ms()
        self._apply_early()
        self._next()

    def _retry_load(self) -> None:
        self._is_load_paused = True
        if self._loop is not None:
            self._loop.call_later(RETRY_S, self._load_again)

    def _load_again(self) -> None:
        self._is_load_paused = False
        self._next()

    # Changes

    def forward(self, request: Request) -> Reply | None:
        """Make the change of a request in the thread, and answer later (`dispatch.request.Handler`)."""
        command = request.command
        size = len(command.body) + sum(len(key) + len(value) for key, value in command.ext.items())
        if len(self._waiting) >= MAX_OPEN_REQUESTS or self._waiting_bytes + size > MAX_OPEN_BYTES:
            return Reply(
                ResponseCode.SYSTEM_BUSY, remark="too many changes of users and policies wait: try again later"
            )
        request.access.hold()
        held = Command(
            command.code, command.opaque, command.flag, command.version, command.language, command.remark,
            dict(command.ext), bytes(command.body),
        )  # fmt: skip
        self._waiting_bytes += size
        version = self._the_manager.snapshot.version
        self._waiting.append(_QueuedChange(Request(held, request.link, request.access), version, size))
        self._next()
        return None

    def _next(self) -> None:
        """Begin with the next piece of work, unless one is being done."""
        if self._is_busy or self._loop is None:
            return
        if self._needs_load and not self._is_load_paused:
            self._load()
        elif self._waiting:
            self._is_busy = True
            self._worker.call(self._store.confirm, self._may_change)

    def _may_change(self, revision: int | Exception) -> None:
        """Make the first change that waits, once the snapshot has the revision of the store."""
        self.writer.failure = None
        if isinstance(revision, Exception):
            self.writer.failure = (
                revision if isinstance(revision, MetadataStoreFailed) else MetadataStoreFailed(_text(revision))
            )
        elif revision > self._the_manager.revision:
            self._awaited = revision
            assert self._loop is not None  # noqa: S101 - set by `attach`
            self._loop.call_later(UPDATE_S, self._give_up, revision)
            return
        self._make_change()

    def _give_up(self, revision: int) -> None:
        """Load everything: an update has not arrived."""
        if self._awaited == revision:
            self._awaited = None
            self._is_busy = False
            self._store.restart_watch()
            self._want_load()

    def _make_change(self) -> None:
        waiting, manager, changer = self._waiting.popleft(), self._the_manager, self._changer
        self._waiting_bytes -= waiting.size
        request = waiting.request
        assert changer is not None  # noqa: S101 - set by `serve`
        if manager.snapshot.version != waiting.version and not request.access.still_allowed():
            remark = f"User:{request.access.user} has been changed meanwhile: send the request again"
            self._finish(request, Reply(ResponseCode.SYSTEM_BUSY, remark=remark))
            return
        changer.replace(manager.snapshot, manager.revision)
        self._worker.call(
            lambda: self._handlers[request.command.code](request) or Reply(),
            lambda result: self._changed(request, result),
        )

    def _changed(self, request: Request, result: Reply | Exception) -> None:
        """Put a change in force, and answer its request."""
        manager, changer = self._the_manager, self._changer
        assert changer is not None  # noqa: S101 - set by `serve`
        if changer.revision > manager.revision:
            manager.replace(changer.snapshot, changer.revision)
            self._taken_ms = monotonic_ms()
        manager.conflicts = changer.conflicts
        for change in self._changes.take():
            self._audit(change)
        self._finish(request, error_reply(request.command.code, result) if isinstance(result, Exception) else result)

    def _finish(self, request: Request, reply: Reply) -> None:
        self._is_busy = False
        request.respond(reply)
        self._apply_early()
        self._next()

    def _records_removed(self, result: Exception | None) -> None:
        if result is not None:
            _LOG.warning("the records of changes could not be removed from the store: %s", _text(result))

    @property
    def _the_manager(self) -> MetadataManager:
        assert self._manager is not None  # noqa: S101 - set by `attach`
        return self._manager


def _text(exc: Exception) -> str:
    return str(exc) if isinstance(exc, MetadataStoreFailed) else f"internal error ({type(exc).__name__})"
