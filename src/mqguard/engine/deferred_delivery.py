"""Delayed messages: those with a delay level, and those for a time of the producer's choice.

A message with a level is stored under `SCHEDULE_TOPIC_XXXX`, queue level - 1. Its real topic and queue are in the
properties REAL_TOPIC and REAL_QID, and its queue entry holds the time when it is due. All messages of a level wait
equally long, so the queue is in order of due times. The delivered position of each level is a consumer offset; the
commit that stores the delivered message stores it too.

A message for a time is stored in `rmq_sys_wheel_timer`, which gives it its id. It is stored a second time in a small
table in order of due times, so that its delivery does not depend on the deletion of old messages, or the reverse.
"""

import collections
import math
import re

from mqguard.engine.errors import MessageIllegal
from mqguard.engine.group_commit import GroupCommit
from mqguard.engine.log import MessageLog, key_hashes
from mqguard.engine.offsets import Offsets
from mqguard.engine.topics import Topics
from mqguard.errors import MqguardError
from mqguard.model import names, properties, record, tags
from mqguard.model.clock import Clock
from mqguard.model.errors import RecordInvalid
from mqguard.model.record import Record
from mqguard.store.errors import StoreDamaged
from mqguard.store.ports import Entry, MessageStore, Table

_SPENT = (
    properties.DELAY,
    properties.REAL_TOPIC,
    properties.REAL_QID,
    *properties.TIMER_KEYS,
    properties.TIMER_OUT_MS,
)
"""Properties that have done their work when a message is brought back; left on, they would delay its copies too."""


class Detours:
    """Turns messages aside and brings them back, and counts the bytes that wait meanwhile.

    The counts begin with the process: what waited before is not in them.

    Args:
        log: Where messages go when they are due.
        topics: Whether their topics still exist.
    """

    def __init__(self, log: MessageLog, topics: Topics) -> None:
        self._log = log
        self._topics = topics
        self._waiting: collections.Counter[str] = collections.Counter()

    def has_share(self, topic: str, limit: int) -> bool:
        """Return whether what waits for a topic is less than an even share of the limit among all such topics."""
        waiting = self._waiting
        return waiting.get(topic, 0) * (len(waiting) + (topic not in waiting)) < limit

    def turn_aside(self, message: Record, pairs: dict[str, str], topic: str, queue_id: int) -> None:
        """Send a message to a waiting place; where it was meant to go stands in its properties."""
        self._waiting[message.topic] += len(message.body)
        pairs[properties.REAL_TOPIC] = message.topic
        pairs[properties.REAL_QID] = str(message.queue_id)
        message.topic = topic
        message.queue_id = queue_id

    def bring_back(self, message: Record) -> bool:
        """Stage a message where it was meant to go; False if that topic is gone."""
        pairs = properties.parse(message.properties.decode())
        topic = pairs.get(properties.REAL_TOPIC, "")
        self._forget(topic, len(message.body))
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
        self._log.append(message, tags.code_of(tags_text) if tags_text else 0, hashes)
        return True

    def _forget(self, topic: str, size: int) -> None:
        left = self._waiting.get(topic, 0) - size
        if left > 0:
            self._waiting[topic] = left
        else:
            self._waiting.pop(topic, None)


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


_TIME_BYTES = 8


class Timers:
    """Holds messages back until their time.

    Args:
        store: Where they wait.
        turn: The turn that deliveries belong to.
        detours: Turns them aside and brings them back.
        clock: Says from when a message waits.
        max_ms: How far ahead a time may lie.

    Attributes:
        bytes: Bytes of the table's records that came since the start and wait still.
        undeliverable: Messages dropped because they were damaged or their real topic was gone when they were due.
    """

    def __init__(self, store: MessageStore, turn: GroupCommit, detours: Detours, clock: Clock, max_ms: int) -> None:
        self._store = store
        self._turn = turn
        self._detours = detours
        self._clock = clock
        self._max_ms = max_ms
        self._next_due: float = 0
        self._delivering = False
        self._paused_until = 0
        self.bytes = 0
        self.undeliverable = 0

    def due_of(self, pairs: dict[str, str]) -> int:
        """When a message is due, milliseconds since the epoch; 0 if it asks for no time or for one that has passed.

        Raises:
            MessageIllegal: the time is no number or too far ahead.
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
        """Turn a message aside: it will wait for its time. `remember` must follow once it is staged."""
        self._detours.turn_aside(message, pairs, names.TIMER_TOPIC, 0)
        pairs[properties.TIMER_OUT_MS] = str(due)

    def remember(self, message: Record, due: int) -> None:
        """Stage when a message that has been staged is due."""
        key = due.to_bytes(_TIME_BYTES, "big") + message.physical_offset.to_bytes(8, "big")
        data = record.encode(message)
        self._store.stage_value(Table.TIMERS, key, data)

        def stored() -> None:
            self.bytes += len(data)
            self._next_due = min(self._next_due, due)

        self._turn.after(stored)

    def deliver(self, now: int) -> int:
        """Stage every message that is due, a bounded number; says how many there were."""
        if now < self._next_due or now < self._paused_until or self._delivering:
            return 0
        end = (now + 1).to_bytes(_TIME_BYTES, "big")
        waiting = self._store.values(Table.TIMERS, below=end, limit=MAX_PER_TICK, max_bytes=MAX_BYTES_PER_TICK)
        if not waiting:
            first = self._store.values(Table.TIMERS, limit=1)
            self._next_due = int.from_bytes(first[0][0][:_TIME_BYTES], "big") if first else math.inf
            return 0

        # What is staged can still be read: until the commit nothing more may be taken from the table.
        self._paused_until = now + sum([len(data) for _, data in waiting]) // BYTES_PER_MS
        self._delivering = True
        self._turn.after(self._delivered)
        self._turn.undo(self._delivered)
        for key, data in waiting:
            if not self._deliver_record(data):
                self.undeliverable += 1
            self._store.stage_removal(Table.TIMERS, key)
            self.bytes = max(0, self.bytes - len(data))
        return len(waiting)

    def _deliver_record(self, data: bytes) -> bool:
        """Stage a message where it belongs; False if it is damaged: one lost message must not hold up all others."""
        try:
            message = record.decode(data)
        except RecordInvalid:
            return False
        return self._detours.bring_back(message)

    def _delivered(self) -> None:
        self._delivering = False
