"""Deleting old messages, oldest first, in small steps. Deleting by size is in `eviction`.

A round fixes a physical offset, the cut; queue by queue the entries below it go and minimum offsets move; then the
records below it go at once. A queue never points at records that are gone.
"""

import math

from mqguard.engine.delay import Delays
from mqguard.engine.eviction import first_at
from mqguard.engine.settings import EngineSettings
from mqguard.model import record
from mqguard.store.ports import MessageStore
from mqguard.store.queues import Queue

_HOUR_MS = 3_600_000
_ROUND_MS = 10_000
"""How often a round begins."""
_QUEUES_PER_STEP = 64
_STEP_SHARE = 100
"""A round begins when at least 1/100 of what is kept (or 1 MiB) can go: ranges deleted in crumbs cost reads."""
_LEAST_BYTES = 1 << 20


class Retention:
    """Deletes messages that are too old.

    Args:
        store: Where they are.
        settings: `reserved_hours`.
        delays: Whose waiting messages are kept, however old.
    """

    def __init__(self, store: MessageStore, settings: EngineSettings, delays: Delays) -> None:
        self._store = store
        self._delays = delays
        self._reserved_ms = settings.reserved_hours * _HOUR_MS
        self._next_round = 0
        self._cut = 0
        self._left: list[Queue] = []

    def step(self, now: int) -> None:
        """Stage the next piece of work, if there is any."""
        if self._left:
            self._trim_some()
        elif now >= self._next_round:
            self._next_round = now + _ROUND_MS
            self.begin(now)

    def begin(self, now: int) -> bool:
        """Begin a round at once, if there is enough to delete; says whether one began."""
        first = self._store.first_physical()
        if first is None:
            return False
        cut = self._cut_by_time(first, now)
        waiting = self._delays.first_waiting()
        if waiting is not None:
            cut = min(cut, waiting)
        least = min(_LEAST_BYTES, (self._store.next_physical - first) // _STEP_SHARE)
        if cut - first <= max(0, least):
            return False

        self._cut = cut
        self._left = self._store.queues()
        self._trim_some()
        return True

    def restart(self) -> None:
        """Forget the round that is under way: a commit has failed, and with it some of the round's work."""
        self._left = []

    def _trim_some(self) -> None:
        for _ in range(min(_QUEUES_PER_STEP, len(self._left))):
            queue = self._left.pop()
            offset = first_at(self._store, queue, self._cut)
            if offset > queue.min_offset and self._store.queue(queue.topic, queue.queue_id) is queue:
                self._store.stage_trim(queue, offset)
        if not self._left:
            self._store.stage_release(self._cut)

    def _cut_by_time(self, first: int, now: int) -> int:
        """The first record that is young enough, found by halving; all records before it can go."""
        if not self._reserved_ms:
            return first
        oldest = now - self._reserved_ms
        if self._stored(first) >= oldest:
            return first
        low, high = first, self._store.next_physical
        while low < high:
            middle = (low + high) // 2
            if self._stored(middle) >= oldest:
                high = middle
            else:
                low = middle + 1
        return low

    def _stored(self, physical: int) -> float:
        """Store time of the first record at or after an offset, infinite if there is none."""
        found = self._store.next_record(physical)
        return record.decode(found[1]).store_timestamp if found else math.inf
