"""Delayed messages: those with a delay level, and those for a time of the producer's choice.

A message with a level is stored under `SCHEDULE_TOPIC_XXXX`, queue level - 1. Its real topic and queue are in the
properties REAL_TOPIC and REAL_QID, and its queue entry holds the time when it is due. All messages of a level wait
equally long, so the queue is in order of due times. The delivered position of each level is a consumer offset; the
commit that stores the delivered message stores it too.

A message for a time is stored in `rmq_sys_wheel_timer`, which gives it its id. It is stored a second time in a small
table in order of due times. So its delivery and the deletion of old messages do not depend on each other.
"""

import collections
import math
import re

from mqguard.engine.errors import MessageIllegal
from mqguard.engine.group_commit import GroupCommit
from mqguard.engine.log import MessageLog, key_hashes
from mqguard.engine.offsets import Offsets
from mqguard.engine.store_clock import StoreClock, is_ahead
from mqguard.engine.topics import Topics
from mqguard.errors import MqguardError
from mqguard.model import names, properties, record
from mqguard.model.process import Clock
from mqguard.model.properties import tags_code_of
from mqguard.model.record import Record, RecordInvalid
from mqguard.store.errors import StoreDamaged
from mqguard.store.ports import MessageStore, QueueEntry, Table
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
_TIME_BYTES = 8
_SPENT = (
    properties.DELAY,
    properties.REAL_TOPIC,
    properties.REAL_QID,
    *properties.TIMER_KEYS,
    properties.TIMER_OUT_MS,
)
"""Properties that are removed when a message is delivered; otherwise they would delay its copies too."""


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
        """Stage a message at its real destination; return False if that topic no longer exists."""
        pairs = properties.parse(message.properties.decode())
        topic = pairs.get(properties.REAL_TOPIC, "")
        self.uncount(topic, len(message.body))
        queue_id = int(pairs.get(properties.REAL_QID, "0"))
        for name in _SPENT:
            pairs.pop(name, None)
        config = self._topics.get(topic)
        if config is None:
            return False

        message.topic = topic
        message.queue_id = min(queue_id, config.queues - 1)
        message.properties = properties.text_of(pairs).encode()
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
        self._deferred = deferred
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
        self._deferred.defer(message, pairs, names.SCHEDULE_TOPIC, level - 1)
        due = self.times.now() + self._levels[level - 1]
        # After a fall of the date this message may be due before those that wait already.
        self._next_due[level - 1] = min(self._next_due[level - 1], due)
        return due

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
        due_after_falls = self._due_after_falls(queue, begin)
        done = 0
        try:
            for entry in entries:
                due = min([entry.tag_code, *(due for offset, due in due_after_falls if offset > entry.queue_offset)])
                if due > now and not is_ahead(entry.store_time, now):
                    # The queue is in order of due times, so no later entry is due before this one.
                    self._next_due[queue_id] = due
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

    def _due_after_falls(self, queue: Queue, begin: int) -> list[tuple[int, int]]:
        """Return offset and due time of the first entry after each fall of the date.

        All entries of a level wait equally long. The due time of an entry from before a fall is a date of the wrong
        clock. So this entry is due when the first entry after the fall is due.
        """
        found = []
        for offset, _ in self.times.ranges(queue)[1:] if self.times.falls else ():
            if offset > begin:
                found += [(offset, entry.tag_code) for entry in self._store.entries(queue, offset, 1)]
        return found

    def _deliver_entry(self, entry: QueueEntry) -> None:
        message = self._waiting_message(entry)
        if message is None or not self._deferred.deliver(message):
            self.undeliverable += 1

    def _waiting_message(self, entry: QueueEntry) -> Record | None:
        """Return the message at an entry, None if it is damaged, so that it does not delay all later ones."""
        try:
            data = self._store.record(entry.physical)
            return None if data is None else record.decode(data)
        except (StoreDamaged, RecordInvalid):
            return None


class Timers:
    """Messages for a time of the producer's choice: TIMER_DELIVER_MS, TIMER_DELAY_SEC, TIMER_DELAY_MS.

    Args:
        store: Store in which they wait.
        group_commit: Commit that includes the deliveries.
        deferred: Moves them to their waiting queue and to their destination.
        clock: Clock from which a delay counts.
        max_ms: Maximum delay.

    Attributes:
        bytes: Bytes of the table's records that were added since the start and still wait.
        undeliverable: Messages dropped because they were damaged, or their topic no longer existed when they were due.
    """

    def __init__(
        self, store: MessageStore, group_commit: GroupCommit, deferred: DeferredDelivery, clock: Clock, max_ms: int
    ) -> None:
        self._store = store
        self._group_commit = group_commit
        self._deferred = deferred
        self._clock = clock
        self._max_ms = max_ms
        self._next_due: float = 0
        self._delivering = False
        self._paused_until = 0
        self.bytes = 0
        self.undeliverable = 0

    def due_of(self, pairs: dict[str, str]) -> int:
        """Return when a message is due in milliseconds since the epoch, 0 if it has no time or one that has passed.

        Raises:
            MessageIllegal: The time is not a number, or the delay is too long.
        """
        name = next((name for name in properties.TIMER_KEYS if name in pairs), None)
        if name is None:
            return 0
        text = pairs[name]
        if not (text.isascii() and text.isdecimal() and len(text) < 19):
            raise MessageIllegal(f"the property {name} is `{text}`; it must be a whole number")

        now = self._clock.now_ms()
        value = int(text)
        due = (
            value
            if name == properties.TIMER_DELIVER_MS
            else now + value * (1000 if name == properties.TIMER_DELAY_SEC else 1)
        )
        if due - now > self._max_ms:
            raise MessageIllegal(
                f"timer message illegal, the delay time should not be bigger than the max delay {self._max_ms}ms"
            )
        return due if due > now else 0

    def hold(self, message: Record, pairs: dict[str, str], due: int) -> None:
        """Defer a message until its time. `schedule` must follow once it is staged."""
        self._deferred.defer(message, pairs, names.TIMER_TOPIC, 0)
        pairs[properties.TIMER_OUT_MS] = str(due)

    def schedule(self, message: Record, due: int) -> None:
        """Stage the delivery of a message that has been staged."""
        key = due.to_bytes(_TIME_BYTES, "big") + message.physical_offset.to_bytes(8, "big")
        data = record.encode(message)
        self._store.stage_value(Table.TIMERS, key, data)

        def stored() -> None:
            self.bytes += len(data)
            self._next_due = min(self._next_due, due)

        self._group_commit.after(stored)

    def deliver(self, now: int) -> int:
        """Stage a bounded number of the messages that are due, and return how many."""
        monotonic = self._clock.monotonic_ms()
        if now < self._next_due or monotonic < self._paused_until or self._delivering:
            return 0
        end = (now + 1).to_bytes(_TIME_BYTES, "big")
        waiting = self._store.values(Table.TIMERS, below=end, limit=MAX_PER_TICK, max_bytes=MAX_BYTES_PER_TICK)
        if not waiting:
            first = self._store.values(Table.TIMERS, limit=1)
            self._next_due = int.from_bytes(first[0][0][:_TIME_BYTES], "big") if first else math.inf
            return 0

        # Staged removals are still visible: no more messages may be taken from the table before the commit.
        self._paused_until = monotonic + sum([len(data) for _, data in waiting]) // BYTES_PER_MS
        self._delivering = True
        self._group_commit.after(self._delivered)
        self._group_commit.undo(self._delivered)
        for key, data in waiting:
            if not self._deliver_record(data):
                self.undeliverable += 1
            self._store.stage_removal(Table.TIMERS, key)
            self.bytes = max(0, self.bytes - len(data))
        return len(waiting)

    def _deliver_record(self, data: bytes) -> bool:
        """Stage a message at its destination; return False if it is damaged, so that it does not delay all others."""
        try:
            message = record.decode(data)
        except RecordInvalid:
            return False
        return self._deferred.deliver(message)

    def _delivered(self) -> None:
        self._delivering = False
