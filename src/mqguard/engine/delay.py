"""Delayed messages: they wait in a queue per level, then go where they were meant to.

A waiting message is stored under `SCHEDULE_TOPIC_XXXX`, queue level - 1, with its real place in REAL_TOPIC and
REAL_QID; its queue entry remembers when it is due. As all messages of a level wait equally long, the queue is in order
of due times. How far each level is delivered is a consumer offset; the commit that stores the
delivered message stores it too.
"""

import re

from mqguard.engine.deferred_delivery import Detours
from mqguard.engine.errors import MessageIllegal
from mqguard.engine.offsets import Offsets
from mqguard.errors import MqguardError
from mqguard.model import names, properties, record
from mqguard.model.clock import Clock
from mqguard.model.errors import RecordInvalid
from mqguard.model.record import Record
from mqguard.store.errors import StoreDamaged
from mqguard.store.ports import Entry, MessageStore

MAX_LEVELS = 18
"""The schedule topic has that many queues, and clients know that many levels."""
DELAY_GROUP = "CID_RMQ_SYS_DELAY"
"""The group under which the levels' positions are kept."""
_UNIT_MS = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
MAX_PER_TICK = 512
MAX_BYTES_PER_TICK = 1024 * 1024
"""What is delivered in one tick, at most, but for one message that may be larger: all others wait for the commit."""
BYTES_PER_MS = 20 * 1024
"""Bytes of deliveries for which the next one waits a millisecond, so that large messages leave time for others."""


class DelayLevelsInvalid(MqguardError):
    """A text of delay levels that can not be read; says which level and what would be right."""


def parse_levels(text: str) -> tuple[int, ...]:
    """Read delay levels such as `1s 5s 2m 1h`, in milliseconds.

    Raises:
        DelayLevelsInvalid: a level has not the form of a number and one of `s`, `m`, `h`, `d`, or there are too many.
    """
    levels = []
    for word in text.split():
        match = re.fullmatch(r"(\d{1,9})([smhd])", word)
        if match is None:
            raise DelayLevelsInvalid(
                f"delay level `{word}` is no number followed by `s`, `m`, `h` or `d`, such as `30s`"
            )
        levels.append(int(match[1]) * _UNIT_MS[match[2]])
    if len(levels) > MAX_LEVELS:
        raise DelayLevelsInvalid(f"there are {len(levels)} delay levels; at most {MAX_LEVELS} are possible")
    return tuple(levels)


class Delays:
    """Holds delayed messages back and delivers them when they are due.

    Args:
        store: Where they wait.
        detours: Turns them aside and brings them back.
        offsets: Keeps how far each level is delivered.
        clock: Says from when a message waits.
        levels: Milliseconds of level 1, 2, …

    Attributes:
        undeliverable: Messages dropped because they were damaged or their real topic was gone when they were due.
    """

    def __init__(
        self,
        store: MessageStore,
        detours: Detours,
        offsets: Offsets,
        clock: Clock,
        levels: tuple[int, ...],
    ) -> None:
        self._store = store
        self._detours = detours
        self._offsets = offsets
        self._clock = clock
        self._levels = levels
        self._next_due = [0] * MAX_LEVELS
        self._first = 0
        self._left = self._left_bytes = 0
        self._paused_until = 0
        self.undeliverable = 0

    def level_of(self, pairs: dict[str, str]) -> int:
        """The delay level that a message asks for, 0 for none; levels beyond the last are the last.

        Raises:
            MessageIllegal: DELAY is no number.
        """
        text = pairs.get(properties.DELAY)
        if text is None:
            return 0
        try:
            level = int(text)
        except ValueError:
            raise MessageIllegal(
                f"the property DELAY is `{text}`; it must be a level from 1 to {len(self._levels)}"
            ) from None
        return max(0, min(level, len(self._levels)))

    def hold(self, message: Record, pairs: dict[str, str], level: int) -> int:
        """Turn a message about: it will wait at its level.

        Args:
            message: Its topic and queue are changed.
            pairs: Its properties; the real place is added.
            level: 1 or more.

        Returns:
            The tag code to store it with: when it is due.
        """
        self._detours.turn_aside(message, pairs, names.SCHEDULE_TOPIC, level - 1)
        return self._clock.now_ms() + self._levels[level - 1]

    def deliver(self, now: int) -> int:
        """Stage messages that are due, a bounded part of them, and return how many.

        Levels that the settings no longer know are delivered too: each entry knows when it is due.
        """
        if now < self._paused_until:
            return 0
        self._left, self._left_bytes = MAX_PER_TICK, MAX_BYTES_PER_TICK
        first = self._first
        for number in range(first, first + MAX_LEVELS):
            self._deliver_level(number % MAX_LEVELS, now)
            if self._left <= 0 or self._left_bytes <= 0:
                # The next tick begins with the levels that this one did not reach.
                self._first = (number + 1) % MAX_LEVELS
                break
        self._paused_until = now + (MAX_BYTES_PER_TICK - self._left_bytes) // BYTES_PER_MS
        return MAX_PER_TICK - self._left

    def restart(self) -> None:
        """Look at every level again: a commit has failed, and with it some of what seemed delivered."""
        self._next_due = [0] * MAX_LEVELS

    def position(self, level: int) -> int:
        """How far a level is delivered: the queue offset of the next message to be."""
        return self._offsets.get(DELAY_GROUP, names.SCHEDULE_TOPIC, level - 1) or 0

    def first_waiting(self) -> int | None:
        """Physical offset of the oldest message that still waits, None if none does: nothing from there on may go."""
        places = []
        for queue_id in range(MAX_LEVELS):
            queue = self._store.queue(names.SCHEDULE_TOPIC, queue_id)
            if queue is not None:
                begin = max(self.position(queue_id + 1), queue.min_offset)
                places += [entry.physical for entry in self._store.entries(queue, begin, 1)]
        return min(places, default=None)

    def _deliver_level(self, queue_id: int, now: int) -> None:
        if self._next_due[queue_id] > now:
            return
        queue = self._store.queue(names.SCHEDULE_TOPIC, queue_id)
        if queue is None:
            return
        begin = max(self.position(queue_id + 1), queue.min_offset)
        if begin >= queue.max_offset:
            return

        entries = self._store.entries(queue, begin, min(self._left, queue.max_offset - begin))
        done = 0
        try:
            for entry in entries:
                if entry.tag_code > now:
                    # The queue is in order of due times, so nothing behind this entry is due before it.
                    self._next_due[queue_id] = entry.tag_code
                    break
                if done and entry.size > self._left_bytes:
                    break
                self._left_bytes -= entry.size
                self._deliver_entry(entry)
                done += 1
        finally:
            # INVARIANT: whatever stops the walk, a delivered message is counted by the commit that stores it.
            if done:
                self._offsets.set(DELAY_GROUP, names.SCHEDULE_TOPIC, queue_id, begin + done)
            self._left -= done

    def _deliver_entry(self, entry: Entry) -> None:
        message = self._waiting_message(entry)
        if message is None or not self._detours.bring_back(message):
            self.undeliverable += 1

    def _waiting_message(self, entry: Entry) -> Record | None:
        """What waits at an entry, None if it is damaged: one lost message must not hold up all behind it."""
        try:
            data = self._store.record(entry.physical)
            return None if data is None else record.decode(data)
        except (StoreDamaged, RecordInvalid):
            return None
