"""What has to be done from time to time: due messages, the disk, a store that failed, old messages."""

from collections.abc import Callable

from mqguard.engine.deferred_delivery import Delays, Timers
from mqguard.engine.group_commit import GroupCommit
from mqguard.engine.produce import Producer
from mqguard.engine.retention import Eviction, Retention
from mqguard.engine.settings import EngineSettings
from mqguard.model.clock import Clock
from mqguard.model.errors import RecordInvalid
from mqguard.store.errors import StoreFailed
from mqguard.store.ports import MessageStore

_WATCH_MS = 1000
"""How often the disk is looked at and a failed store is tried again."""
_SWEEP_ENTRIES = 500
"""How much of deleted topics is removed per tick, so that no turn takes long."""


class Upkeep:
    """Does what is due at a tick.

    Args:
        store: What is looked after.
        turn: Tells of failed commits.
        clock: Tells the time.
        settings: Limits of time and room.
        producer: Is told to refuse and to accept messages.
        delays: Whose messages are delivered.
        timers: Whose messages are delivered.

    Attributes:
        trouble: Why the last tick could not do all it should, None if it could.
    """

    def __init__(
        self,
        store: MessageStore,
        turn: GroupCommit,
        clock: Clock,
        settings: EngineSettings,
        producer: Producer,
        delays: Delays,
        timers: Timers,
    ) -> None:
        self._store = store
        self._clock = clock
        self._producer = producer
        self._delays = delays
        self._timers = timers
        self._max_ratio = settings.max_disk_ratio
        self._turn = turn
        self._retention = Retention(store, settings, delays)
        self._eviction = Eviction(store, settings, delays, timers, producer)
        self._next_watch = 0
        self.trouble: str | None = None
        turn.on_failure(self._failed)

    def tick(self) -> None:
        """Do what is due; stages into the current turn."""
        now = self._clock.now_ms()
        self.trouble = None
        if now >= self._next_watch:
            self._next_watch = now + _WATCH_MS
            self._attempt(self._watch)
        if self._store.failure is not None:
            self.trouble = self._store.failure
            return
        self._attempt(lambda: self._delays.deliver(now))
        self._attempt(lambda: self._timers.deliver(now))
        self._attempt(lambda: self._store.sweep(_SWEEP_ENTRIES))
        self._attempt(lambda: self._retention.step(now))
        self._attempt(self._eviction.step)

    def _attempt(self, step: Callable[[], object]) -> None:
        """Take one step; where reading fails, what is staged is whole, and the rest is tried again at the next tick."""
        try:
            step()
        except (StoreFailed, RecordInvalid) as error:
            self.trouble = str(error)

    def _failed(self, reason: str) -> None:
        self._producer.down = reason
        self._delays.restart()
        self._retention.restart()

    def _watch(self) -> None:
        if self._store.failure is not None:
            # What this turn has staged so far belongs to the store that failed: it is answered as failed first.
            self._turn.commit()
            if not self._store.recover():
                self._producer.down = f"the store can not be written: {self._store.failure}"
                return

        self._producer.down = None
        used = self._store.space().used_ratio
        if used > self._max_ratio:
            self._producer.full = f"{used:.0%} of the disk is in use, {self._max_ratio:.0%} is the limit"
        else:
            self._producer.full = None
