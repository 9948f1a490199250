"""Dates at which messages are stored, although the machine's date may jump.

Store times rise with the physical offset, so that a message can be found by its time with binary search. A date that is
set forward and then back breaks this order. So a fall of more than `FALL_SLACK_MS` is noted in a small table, by the
physical offset at which it happened. Between two falls store times never fall. A smaller fall is not noted: the store
time does not change until the date has reached it.
"""

import itertools
import math
from typing import NamedTuple

from mqguard.engine.group_commit import GroupCommit
from mqguard.model import record
from mqguard.model.process import Clock
from mqguard.store.ports import MessageStore, Table
from mqguard.store.queues import Queue

FALL_SLACK_MS = 10_000
"""Maximum fall of the date that is not noted. A message may have a store time that is wrong by this much."""
MAX_FALLS = 100
"""Maximum falls that are noted, because each makes a search longer. After that, store times do not fall."""
_NUMBER_BYTES = 8


class Fall(NamedTuple):
    """A fall of the store times.

    Attributes:
        physical: Physical offset of the first record after it.
        time: Store time of this record.
    """

    physical: int
    time: int


class StoreClock:
    """Store times of new messages, and the falls among those of stored messages.

    Args:
        store: Store of the messages.
        group_commit: Commit that includes a fall.
        clock: The date.

    Attributes:
        falls: All falls, oldest first.
    """

    def __init__(self, store: MessageStore, group_commit: GroupCommit, clock: Clock) -> None:
        self._store = store
        self._group_commit = group_commit
        self._clock = clock
        self._last = store.last_time
        self.falls = [Fall(_number(key), _number(value)) for key, value in store.values(Table.FALLS)]

    def now(self) -> int:
        """Return the store time of a message that is staged now."""
        now = self._clock.now_ms()
        # INVARIANT: store times fall only at noted falls, so that binary search finds a message by its time.
        if now > self._last:
            self._last = now
        elif self._last - now > FALL_SLACK_MS and len(self.falls) < MAX_FALLS:
            self._fall(now)
        return self._last

    def forget(self, physical: int) -> None:
        """Stage the removal of the falls up to a physical offset, before which all records are deleted."""
        for fall in [fall for fall in self.falls if fall.physical <= physical]:
            self._store.stage_removal(Table.FALLS, _key(fall.physical))
            self._replace([one for one in self.falls if one is not fall], self._last)

    def ranges(self, queue: Queue) -> list[tuple[int, int]]:
        """Return the offsets `[begin, end)` of the parts of a queue in which store times never fall, oldest first."""
        if not self.falls:
            return [(queue.min_offset, queue.max_offset)]
        inner = (first_at(self._store, queue, fall.physical) for fall in self.falls)
        bounds = sorted({queue.min_offset, *inner, queue.max_offset})
        return list(itertools.pairwise(bounds))

    def oldest_from(self, physical: int) -> int:
        """Return a time that is not later than the store time of any record from a physical offset on."""
        found = self._store.next_record(physical)
        first = self._store.last_time if found is None else record.decode(found[1]).store_timestamp
        return min([first, *(fall.time for fall in self.falls if fall.physical > physical)])

    def first_young(self, physical: int, oldest: int, now: int) -> int:
        """Return the physical offset of the first record that is not older than a time, by binary search.

        A record whose time is later than now has a wrong time. It is as old as the first record after the next fall.
        """
        for fall in [*(fall for fall in self.falls if fall.physical > physical), None]:
            end = self._store.next_physical if fall is None else fall.physical
            found = self._first_since(physical, end, oldest)
            if found < end and (fall is None or fall.time >= oldest or not is_ahead(self._time_at(found, end), now)):
                return self._end_before(found, end)
            physical = end
        return physical

    def _end_before(self, physical: int, end: int) -> int:
        """Return the offset of the first record in `[physical, end)`; without one, the end of the one before it.

        Records that are staged have no place here: they may be those of delayed messages that are delivered now.
        """
        following = self._store.next_record(physical)
        if following is not None:
            return min(end, following[0])
        last = self._store.next_record(max(0, physical - 1))
        return physical if last is None else last[0] + len(last[1])

    def _first_since(self, low: int, end: int, oldest: int) -> int:
        high = end
        while low < high:
            middle = (low + high) // 2
            if self._time_at(middle, end) >= oldest:
                high = middle
            else:
                low = middle + 1
        return low

    def _time_at(self, physical: int, end: int) -> float:
        """Return the store time of the first record in `[physical, end)`, infinite if there is none."""
        found = self._store.next_record(physical)
        return record.decode(found[1]).store_timestamp if found and found[0] < end else math.inf

    def _fall(self, now: int) -> None:
        start = self._store.next_physical
        kept = [fall for fall in self.falls if fall.physical != start]
        self._store.stage_value(Table.FALLS, _key(start), _key(now))
        self._replace([*kept, Fall(start, now)], now)

    def _replace(self, falls: list[Fall], last: int) -> None:
        before = self.falls, self._last
        self.falls, self._last = falls, last

        def undo() -> None:
            self.falls, self._last = before

        self._group_commit.undo(undo)


def is_ahead(time: float, now: int) -> bool:
    """Return True if a store time is later than a date, so that the date has fallen since."""
    return time - now > FALL_SLACK_MS


def first_at(store: MessageStore, queue: Queue, cut: int) -> int:
    """Return the first offset of a queue whose record is at or after a physical offset, found by binary search."""
    low, high = queue.min_offset, queue.max_offset
    while low < high:
        middle = (low + high) // 2
        entries = store.entries(queue, middle, 1)
        if entries and entries[0].physical < cut:
            low = middle + 1
        else:
            high = middle
    return low


def _key(number: int) -> bytes:
    return number.to_bytes(_NUMBER_BYTES, "big")


def _number(data: bytes) -> int:
    return int.from_bytes(data[:_NUMBER_BYTES], "big")
