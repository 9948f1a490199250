"""Periodic maintenance: delivery of due messages, disk space, recovery of a failed store, deletion of old messages."""

import functools
from collections.abc import Callable, Sequence

from mqguard.engine.deferred_delivery import DelayQueues
from mqguard.engine.group_commit import GroupCommit
from mqguard.engine.retention import Eviction, Retention
from mqguard.engine.sender import Sender
from mqguard.engine.settings import EngineSettings
from mqguard.engine.timers import Timers
from mqguard.model.process import Clock
from mqguard.model.record import RecordInvalid
from mqguard.store.errors import StoreFailed
from mqguard.store.ports import MessageStore

_WATCH_MS = 1000
"""Interval of checking the disk and of trying to recover a failed store."""
_SWEEP_ENTRIES = 500
"""Maximum entries of deleted topics removed per tick, so that no tick takes long."""


class Maintenance:
    """Work that is due at a tick.

    Args:
        store: Store to maintain.
        group_commit: Commit that includes the work; a failed one restarts deliveries and deletions.
        clock: Current time.
        settings: Limits of time and space.
        sender: Sender that rejects messages while the store is full or failed.
        delays: Messages with a delay level.
        timers: Messages for a time.
        others: Further steps, which are called with the monotonic time.

    Attributes:
        trouble: Reason why the last tick did not do all of its work, None if it did.
    """

    def __init__(
        self,
        store: MessageStore,
        group_commit: GroupCommit,
        clock: Clock,
        settings: EngineSettings,
        sender: Sender,
        delays: DelayQueues,
        timers: Timers,
        others: Sequence[Callable[[int], object]],
    ) -> None:
        self._store = store
        self._clock = clock
        self._sender = sender
        self._delays = delays
        self._timers = timers
        self._others = others
        self._max_ratio = settings.max_disk_ratio
        self._group_commit = group_commit
        self._retention = Retention(store, settings, delays)
        self._eviction = Eviction(store, settings, delays, timers, sender)
        self._next_watch = 0
        self.trouble: str | None = None
        group_commit.on_failure(self._failed)

    def configure(self, settings: EngineSettings) -> None:
        """Put changed limits of time and space into force."""
        self._max_ratio = settings.max_disk_ratio
        self._next_watch = 0
        self._retention.configure(settings)
        self._eviction.configure(settings)

    def delete_expired(self) -> None:
        """Delete old messages at the next tick."""
        self._retention.hasten()

    def tick(self) -> None:
        """Do the work that is due, and stage its changes."""
        now, monotonic = self._clock.now_ms(), self._clock.monotonic_ms()
        self.trouble = None
        if monotonic >= self._next_watch:
            self._next_watch = monotonic + _WATCH_MS
            self._attempt(self._watch)
        if self._store.failure is not None:
            self.trouble = self._store.failure
            return
        self._attempt(lambda: self._delays.deliver(now))
        self._attempt(lambda: self._timers.deliver(now))
        for step in self._others:
            self._attempt(functools.partial(step, monotonic))
        self._attempt(lambda: self._store.sweep(_SWEEP_ENTRIES))
        self._attempt(lambda: self._retention.step(now, monotonic))
        self._attempt(self._eviction.step)

    def _attempt(self, step: Callable[[], object]) -> None:
        """Run a step. If a read fails, the changes staged so far are complete, and the next tick does the rest."""
        try:
            step()
        except (StoreFailed, RecordInvalid) as error:
            self.trouble = str(error)

    def _failed(self, reason: str) -> None:
        self._sender.down = reason
        self._delays.restart()
        self._retention.restart()

    def _watch(self) -> None:
        if self._store.failure is not None:
            # Changes staged so far belong to the failed store, so they fail before it is recovered.
            self._group_commit.commit()
            if not self._store.recover():
                self._sender.down = f"the store cannot be written: {self._store.failure}"
                return

        self._sender.down = None
        used = self._store.space().used_ratio
        if used > self._max_ratio:
            self._sender.full = f"{used:.0%} of the disk is in use, {self._max_ratio:.0%} is the limit"
        else:
            self._sender.full = None
