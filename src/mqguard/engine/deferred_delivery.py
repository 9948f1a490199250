"""Delayed messages: their way to a waiting queue and back, and those with a delay level.

A message with a level is stored under `SCHEDULE_TOPIC_XXXX`, queue level - 1. Its real topic and queue are in the
properties REAL_TOPIC and REAL_QID, and its queue entry holds the time when it is due. All messages of a level wait
equally long, so the queue is in order of due times. The delivered position of each level is a consumer offset; the
commit that stores the delivered message stores it too.
"""

import collections
import re

from mqguard.engine.errors import MessageIllegal
from mqguard.engine.log import MessageLog, key_hashes
from mqguard.engine.offsets import Offsets
from mqguard.engine.store_clock import StoreClock, first_at, is_ahead
from mqguard.engine.topics import Topics
from mqguard.errors import MqguardError
from mqguard.model import names, properties, record
from mqguard.model.process import Clock
from mqguard.model.properties import tags_code_of
from mqguard.model.record import Record, RecordInvalid
from mqguard.store.errors import StoreDamaged
from mqguard.store.ports import MessageStore, QueueEntry
from mqguard.store.queues import Queue

MAX_LEVELS = 18
"""Number of queues of the schedule topic, and of the levels that clients know."""
DELAY_GROUP = "CID_RMQ_SYS_DELAY"
"""Consumer group whose offsets are the delivered positions of the levels."""
_UNIT_MS = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
MAX_PER_TICK = 512
"""Maximum number of messages delivered in one tick, by the levels and by the timers each."""
MAX_BYTES_PER_TICK = 1024 * 1024
"""Maximum bytes delivered in one tick, because all clients wait for the commit. One message may be larger."""
BYTES_PER_MS = 20 * 1024
"""Bytes of deliveries for which the next delivery waits a millisecond, so that large messages leave time for others."""


class DeferredDelivery:
    """Moves messages to a waiting queue and back to their destination, and counts the bytes that wait for each topic.

    The counts begin with the process; messages that waited before its start are not counted.

    Args:
        log: Log to which due messages are appended.
        topics: Topics, to find out if a destination still exists.
    """

    def __init__(self, log: MessageLog, topics: Topics) -> None:
        self._log = log
        self._topics = topics
        self._waiting: collections.Counter[str] = collections.Counter()

    def has_share(self, topic: str, limit: int) -> bool:
        """Return True if fewer bytes wait for a topic than an even share of the limit among all such topics."""
        waiting = self._waiting
        return waiting.get(topic, 0) * (len(waiting) + (topic not in waiting)) < limit

    def count(self, topic: str, size: int) -> None:
        """Add bytes that wait for a topic."""
        self._waiting[topic] += size

    def defer(self, message: Record, pairs: dict[str, str], topic: str, queue_id: int) -> None:
        """Change a message's destination to a waiting queue, and note the real one in its properties."""
        self.count(message.topic, len(message.body))
        pairs[properties.REAL_TOPIC] = message.topic
        pairs[properties.REAL_QID] = str(message.queue_id)
        message.topic = topic
        message.queue_id = queue_id

    def deliver(self, message: Record) -> bool:
        """Stage a message at its real destination; return False if that topic no longer exists.

        As in Apache's broker, it keeps the properties of its delay. `TIMER_OUT_MS` prevents a second delay by a time.
        """
        pairs = properties.parse(message.properties.decode())
        topic = pairs.get(properties.REAL_TOPIC, "")
        self.uncount(topic, len(message.body))
        queue_id = int(pairs.get(properties.REAL_QID, "0"))
        config = self._topics.get(topic)
        if config is None:
            return False

        message.topic = topic
        message.queue_id = min(queue_id, config.queues - 1)
        tags_text = pairs.get(properties.TAGS)
        hashes = key_hashes(topic, pairs.get(properties.UNIQ_KEY), pairs.get(properties.KEYS))
        self._log.append(message, tags_code_of(tags_text) if tags_text else 0, hashes)
        return True

    def uncount(self, topic: str, size: int) -> None:
        """Subtract bytes that no longer wait for a topic."""
        left = self._waiting.get(topic, 0) - size
        if left > 0:
            self._waiting[topic] = left
        else:
            self._waiting.pop(topic, None)


_LOOK_AGAIN_MS = 1000
"""Interval of looking at a level whose first message was stored before the date was set back."""


class DelayLevelsInvalid(MqguardError):
    """The text of delay levels is malformed; the message names the level and the correct form."""


def parse_levels(text: str) -> tuple[int, ...]:
    """Parse delay levels such as `1s 5s 2m 1h` into milliseconds.

    Raises:
        DelayLevelsInvalid: A level is not a number followed by `s`, `m`, `h` or `d`, or there are too many levels.
    """
    levels = []
    for word in text.split():
        match = re.fullmatch(r"(\d{1,9})([smhd])", word)
        if match is None:
            raise DelayLevelsInvalid(
                f"delay level `{word}` is not a number followed by `s`, `m`, `h` or `d`, such as `30s`"
            )
        levels.append(int(match[1]) * _UNIT_MS[match[2]])
    if len(levels) > MAX_LEVELS:
        raise DelayLevelsInvalid(f"there are {len(levels)} delay levels; at most {MAX_LEVELS} are possible")
    return tuple(levels)


class DelayQueues:
    """Messages with a delay level: one queue for each level.

    Args:
        store: Store in which they wait.
        deferred: Moves them to their waiting queue and to their destination.
        offsets: Delivered position of each level.
        times: Store times, from which a delay counts.
        clock: Clock for pauses.
        levels: Milliseconds of level 1, 2, …

    Attributes:
        deferred: See `DeferredDelivery`.
        times: Store times, from which a delay counts.
        undeliverable: Messages dropped because they were damaged, or their topic no longer existed when they were due.
    """

    def __init__(
        self,
        store: MessageStore,
        deferred: DeferredDelivery,
        offsets: Offsets,
        times: StoreClock,
        clock: Clock,
        levels: tuple[int, ...],
    ) -> None:
        self._store = store
        self.deferred = deferred
        self._offsets = offsets
        self.times = times
        self._clock = clock
        self._now = 0
        self._levels = levels
        self._next_due = [0] * MAX_LEVELS
        self._first = 0
        self._left = self._left_bytes = 0
        self._paused_until = 0
        self.undeliverable = 0

    def level_of(self, pairs: dict[str, str]) -> int:
        """Return the delay level that a message asks for, 0 for none; a level beyond the last one means the last.

        Raises:
            MessageIllegal: DELAY is not a number.
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
        """Defer a message to the queue of its level.

        Args:
            message: The message; its topic and queue are changed.
            pairs: Its properties; the real destination is added.
            level: 1 or more.

        Returns:
            The time when it is due, to be stored as the tag code of its queue entry.
        """
        self.deferred.defer(message, pairs, names.SCHEDULE_TOPIC, level - 1)
        return self.times.now() + self._levels[level - 1]

    def deliver(self, now: int) -> int:
        """Stage a bounded number of the messages that are due, and return how many.

        Levels that the settings no longer have are delivered too: each entry holds the time when it is due.
        """
        monotonic = self._clock.monotonic_ms()
        if now < self._now:
            # The date was set back, so that entries may be due now that were not.
            self.restart()
        self._now = now
        if monotonic < self._paused_until:
            return 0
        self._left, self._left_bytes = MAX_PER_TICK, MAX_BYTES_PER_TICK
        first = self._first
        for number in range(first, first + MAX_LEVELS):
            self._deliver_level(number % MAX_LEVELS, now)
            if self._left <= 0 or self._left_bytes <= 0:
                # The next tick begins with the levels that this one did not reach.
                self._first = (number + 1) % MAX_LEVELS
                break
        self._paused_until = monotonic + (MAX_BYTES_PER_TICK - self._left_bytes) // BYTES_PER_MS
        return MAX_PER_TICK - self._left

    def restart(self) -> None:
        """Check every level again, because a failed commit may have undone some deliveries."""
        self._next_due = [0] * MAX_LEVELS

    def position(self, level: int) -> int:
        """Return the queue offset of the next message that a level delivers."""
        return self._offsets.get(DELAY_GROUP, names.SCHEDULE_TOPIC, level - 1) or 0

    def first_waiting(self) -> int | None:
        """Return the physical offset of the oldest message that still waits, None if none does.

        No record from there on may be deleted.
        """
        offsets = []
        for queue_id in range(MAX_LEVELS):
            queue = self._store.queue(names.SCHEDULE_TOPIC, queue_id)
            if queue is not None:
                begin = max(self.position(queue_id + 1), queue.min_offset)
                offsets += [entry.physical for entry in self._store.entries(queue, begin, 1)]
        return min(offsets, default=None)

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
        due_after_falls = self._due_after_falls(queue, entries)
        done = 0
        try:
            for entry in entries:
                later = (due for offset, due in due_after_falls or () if offset > entry.queue_offset)
                due = min([entry.tag_code, *later])
                if due > now and not is_ahead(entry.store_time, now):
                    # The queue is in order of due times, except at a fall of the date: a new entry may be due before.
                    self._next_due[queue_id] = min(due, now + _LOOK_AGAIN_MS) if due_after_falls is not None else due
                    break
                if done and entry.size > self._left_bytes:
                    break
                self._left_bytes -= entry.size
                self._deliver_entry(entry)
                done += 1
        finally:
            # INVARIANT: the commit that stores a delivered message also stores its position, whatever ends the loop.
            if done:
                self._offsets.set(DELAY_GROUP, names.SCHEDULE_TOPIC, queue_id, begin + done)
            self._left -= done

    def _due_after_falls(self, queue: Queue, entries: list[QueueEntry]) -> list[tuple[int, int]] | None:
        """Return offset and due time of the first entry after each fall of the date since some entries were stored.

        All entries of a level wait equally long. The due time of an entry from before a fall is a date of the wrong
        clock. So this entry is due when the first entry after the fall is due.

        Returns:
            None if the date has not fallen since.
        """
        falls = [fall for fall in self.times.falls if entries and fall.physical > entries[0].physical]
        if not falls:
            return None
        offsets = [first_at(self._store, queue, fall.physical) for fall in falls]
        return [(offset, entry.tag_code) for offset in offsets for entry in self._store.entries(queue, offset, 1)]

    def _deliver_entry(self, entry: QueueEntry) -> None:
        message = self._waiting_message(entry)
        if message is None or not self.deferred.deliver(message):
            self.undeliverable += 1

    def _waiting_message(self, entry: QueueEntry) -> Record | None:
        """Return the message at an entry, None if it is damaged, so that it does not delay all later ones."""
        try:
            data = self._store.record(entry.physical)
            return None if data is None else record.decode(data)
        except (StoreDamaged, RecordInvalid):
            return None
