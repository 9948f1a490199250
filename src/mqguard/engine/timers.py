"""Messages for a time of the producer's choice: TIMER_DELIVER_MS, TIMER_DELAY_SEC, TIMER_DELAY_MS, and their recall.

Such a message is stored in `rmq_sys_wheel_timer`, which gives it its id. It is stored a second time in a small table in
order of due times. So its delivery and the deletion of old messages do not depend on each other. Another table
finds it by topic and unique id, for a recall. The commit that stores the delivered message removes both entries.

The due time is a date. If the date is set back, messages with a delay that were sent before have a due time of the
wrong clock. So after a fall of the date all entries are read once. Those from the future wait for their delay again.
"""

import hashlib
import math
import re
from collections.abc import Mapping

from mqguard.engine.deferred_delivery import BYTES_PER_MS, MAX_BYTES_PER_TICK, MAX_PER_TICK, DeferredDelivery
from mqguard.engine.errors import MessageIllegal
from mqguard.engine.group_commit import GroupCommit
from mqguard.engine.settings import EngineSettings
from mqguard.engine.store_clock import StoreClock, is_ahead
from mqguard.model import names, properties, record
from mqguard.model.process import Clock
from mqguard.model.record import Record, RecordInvalid
from mqguard.store.ports import MessageStore, Table

_TIME_BYTES = 8
_HASH_BYTES = 8
_DELAYS = frozenset({properties.TIMER_DELAY_SEC, properties.TIMER_DELAY_MS})
_NUMBER = re.compile(r"-?[0-9]{1,18}")
_LAST_KEY = b"\xff" * 17
RECALL_SLACK_MS = 1_000
"""Maximum difference between the due time of a message and that of a recall: clients know it by the second."""
MAX_RECALLED = 16
"""Maximum messages of one topic with one unique id that a recall removes."""


class Timers:
    """Messages that wait for a time.

    Args:
        store: Store in which they wait.
        group_commit: Commit that includes the deliveries.
        deferred: Moves them to their waiting queue and to their destination.
        clock: Clock from which a delay counts.
        times: Falls of the date among the stored messages.
        settings: The maximum delay, and the precision of due times.

    Attributes:
        bytes: Bytes of the table's records that were added since the start and still wait.
        undeliverable: Messages dropped because they were damaged, or their topic no longer existed when they were due.
        recalled: Messages that were recalled.
    """

    def __init__(
        self,
        store: MessageStore,
        group_commit: GroupCommit,
        deferred: DeferredDelivery,
        clock: Clock,
        times: StoreClock,
        settings: EngineSettings,
    ) -> None:
        self._store = store
        self._group_commit = group_commit
        self._deferred = deferred
        self._clock = clock
        self._max_ms = settings.timer_max_seconds * 1000
        self._precision_ms = settings.timer_precision_ms
        self._next_due: float = 0
        # All entries before this key are removed. Without it, each search would skip all removed ones.
        self._first = b""
        self._delivering = False
        self._paused_until = 0
        self._now = clock.now_ms()
        # The next entry to read after a fall of the date, None if all are read.
        self._unread: bytes | None = b"" if times.falls or is_ahead(store.last_time, self._now) else None
        self._has_read = False
        # Staged changes, which the tables do not show yet. New entries have their promised time and their record.
        self._added: dict[bytes, dict[bytes, tuple[int, bytes]]] = {}
        self._removed: set[bytes] = set()
        self._bytes_changed = 0
        self.bytes = 0
        self.undeliverable = 0
        self.recalled = 0

    def due_of(self, pairs: dict[str, str]) -> int:
        """Return when a message is due in milliseconds since the epoch, 0 if it has no time or one that has passed.

        Raises:
            MessageIllegal: The time is not a number, or the delay is too long, or it recalls a message that is due.
        """
        name = next((name for name in properties.TIMER_KEYS if name in pairs), None)
        # As in Apache's broker, a copy of a message that was delivered at its time is not delayed again.
        if name is None or properties.TIMER_OUT_MS in pairs:
            return 0
        text = pairs[name]
        if not _NUMBER.fullmatch(text):
            raise MessageIllegal(f"the property {name} is `{text}`; it must be a whole number")

        now = self._clock.now_ms()
        value = int(text)
        due = (
            value
            if name == properties.TIMER_DELIVER_MS
            else now + value * (1000 if name == properties.TIMER_DELAY_SEC else 1)
        )
        if due - now > self._max_ms or (due <= now and properties.TIMER_DEL_UNIQKEY in pairs):
            raise MessageIllegal(
                "timer message illegal, the delay time should not be bigger than the max delay "
                f"{self._max_ms}ms; or if set del msg, the delay time should be bigger than the current time"
            )
        return -(-due // self._precision_ms) * self._precision_ms if due > now else 0

    def is_possible(self, due: int) -> bool:
        """Return True if a message may wait for a time, and is not due yet."""
        return 0 < due - self._clock.now_ms() <= self._max_ms + self._precision_ms

    def hold(self, message: Record, pairs: dict[str, str], due: int) -> None:
        """Defer a message until its time. `schedule` must follow once it is staged."""
        self._deferred.defer(message, pairs, names.TIMER_TOPIC, 0)
        pairs[properties.TIMER_OUT_MS] = str(due)

    def schedule(self, message: Record, pairs: dict[str, str], due: int, unique_id: str) -> None:
        """Stage the delivery of a message that has been staged.

        A message with TIMER_DEL_UNIQKEY is not delivered. It recalls another message for the same time and topic.
        """
        topic = pairs[properties.REAL_TOPIC]
        target = pairs.get(properties.TIMER_DEL_UNIQKEY)
        if target is not None:
            self._deferred.uncount(topic, len(message.body))
            self.recall(topic, target.removeprefix(f"{topic}+"), due)
            return

        data = record.encode(message)
        self._put(due, due, message, data, _recall_key(topic, unique_id))
        self._bytes_changed += len(data)

    def _put(self, due: int, promised: int, message: Record, data: bytes, recall_key: bytes) -> None:
        key = due.to_bytes(_TIME_BYTES, "big") + message.physical_offset.to_bytes(8, "big")
        self._store.stage_value(Table.TIMERS, key, data)
        # The promised time is the due time, unless the date was set back since.
        self._store.stage_value(Table.TIMER_IDS, recall_key + key, promised.to_bytes(_TIME_BYTES, "big"))
        self._await_commit()
        self._added.setdefault(recall_key, {})[key] = promised, data
        self._first = min(self._first, key)
        self._next_due = min(self._next_due, due)

    def deliver(self, now: int) -> int:
        """Stage a bounded number of the messages that are due, and return how many."""
        monotonic = self._clock.monotonic_ms()
        if is_ahead(self._now, now):
            self._unread = b""
        self._now = now
        # Every other call delivers, so that due messages do not wait until all entries are read.
        self._has_read = self._unread is not None and not self._delivering and not self._has_read
        if self._has_read and self._unread is not None:
            self._read_after_fall(self._unread, now)
        if now < self._next_due or monotonic < self._paused_until or self._delivering:
            return 0
        end = (now + 1).to_bytes(_TIME_BYTES, "big")
        waiting = self._store.values(
            Table.TIMERS, start=self._first, below=end, limit=MAX_PER_TICK, max_bytes=MAX_BYTES_PER_TICK
        )
        if not waiting:
            first = self._store.values(Table.TIMERS, start=self._first, limit=1)
            self._next_due = _due(first[0][0]) if first else math.inf
            return 0

        # Staged removals are still visible: no more messages may be taken from the table before the commit.
        self._paused_until = monotonic + sum([len(data) for _, data in waiting]) // BYTES_PER_MS
        self._await_commit()
        self._delivering = True
        last, before = waiting[-1][0], self._first
        self._group_commit.undo(lambda: self._go_back(before))
        for key, data in waiting:
            if key not in self._removed and not self._deliver_record(key, data):
                self.undeliverable += 1
        self._first = last + b"\0"
        return len(waiting)

    def recall(self, topic: str, unique_id: str, due: int) -> int:
        """Stage the removal of the messages of a topic with a unique id that are due at a time; return their number.

        The topic is compared with that of each message that is found. So a recall reaches no message of another topic.
        """
        recall_key = _recall_key(topic, unique_id)
        size = len(recall_key)
        found = self._store.values(Table.TIMER_IDS, start=recall_key, below=recall_key + _LAST_KEY, limit=MAX_RECALLED)
        # Only a message that will be removed is read: otherwise a client could read large ones again and again.
        keys = {name[size:] for name, promised in found if abs(_due(promised) - due) <= RECALL_SLACK_MS}
        staged = self._added.get(recall_key, {})
        keys.update(key for key, (promised, _) in staged.items() if abs(promised - due) <= RECALL_SLACK_MS)
        count = 0
        for key in sorted(keys - self._removed):
            data = staged[key][1] if key in staged else self._store.value(Table.TIMERS, key)
            count += data is not None and self._recall_entry(key, data, (topic, unique_id))
        self.recalled += count
        return count

    def _recall_entry(self, key: bytes, data: bytes, ids: tuple[str, str]) -> bool:
        message = _decoded(data)
        if message is None or _ids_of(properties.parse(message.properties.decode(errors="replace"))) != ids:
            return False
        self._deferred.uncount(ids[0], len(message.body))
        self._remove(key, len(data), _recall_key(*ids))
        return True

    def _read_after_fall(self, start: bytes, now: int) -> None:
        """Stage new due times for a bounded number of the entries that were stored at a date later than now."""
        found = self._store.values(Table.TIMERS, start=start, limit=MAX_PER_TICK, max_bytes=MAX_BYTES_PER_TICK)
        if not found:
            self._unread = None
            return
        self._unread = found[-1][0] + b"\0"
        for key, data in found:
            message = _decoded(data)
            if message is None or key in self._removed or not is_ahead(message.store_timestamp, now):
                continue
            pairs = properties.parse(message.properties.decode(errors="replace"))
            promised = int(pairs.get(properties.TIMER_OUT_MS, "0"))
            due = now + max(0, promised - message.store_timestamp)
            if due < _due(key) and not _DELAYS.isdisjoint(pairs):
                recall_key = _recall_key(*_ids_of(pairs))
                self._remove(key, 0, recall_key)
                self._put(due, promised, message, data, recall_key)
        if self._removed:
            self._delivering = True
            self._group_commit.undo(lambda: self._read_again(start))

    def _read_again(self, start: bytes) -> None:
        self._unread = start

    def _deliver_record(self, key: bytes, data: bytes) -> bool:
        """Stage a message at its destination; return False if it is damaged, so that it does not delay all others."""
        message = _decoded(data)
        if message is None:
            self._remove(key, len(data), None)
            return False
        pairs = properties.parse(message.properties.decode(errors="replace"))
        self._remove(key, len(data), _recall_key(*_ids_of(pairs)))
        return self._deferred.deliver(message)

    def _remove(self, key: bytes, size: int, recall_key: bytes | None) -> None:
        self._store.stage_removal(Table.TIMERS, key)
        if recall_key is not None:
            self._store.stage_removal(Table.TIMER_IDS, recall_key + key)
        self._await_commit()
        self._removed.add(key)
        self._bytes_changed -= size

    def _await_commit(self) -> None:
        if not self._added and not self._removed and not self._delivering:
            self._group_commit.after(self._committed)
            self._group_commit.undo(self._settle)

    def _committed(self) -> None:
        if self._added:
            # A tick before the commit did not see the new entries.
            self._next_due = 0
        self.bytes = max(0, self.bytes + self._bytes_changed)
        self._settle()

    def _settle(self) -> None:
        self._delivering = False
        self._bytes_changed = 0
        self._added.clear()
        self._removed.clear()

    def _go_back(self, first: bytes) -> None:
        self._first = min(self._first, first)


def _due(key: bytes) -> int:
    return int.from_bytes(key[:_TIME_BYTES], "big")


def _recall_key(topic: str, unique_id: str) -> bytes:
    text = f"{topic}+{unique_id}".encode(errors="replace")
    return hashlib.blake2b(text, digest_size=_HASH_BYTES).digest()


def _ids_of(pairs: Mapping[str, str]) -> tuple[str, str]:
    """Return the topic to which a message will be delivered, and its unique id."""
    return pairs.get(properties.REAL_TOPIC, ""), pairs.get(properties.UNIQ_KEY, "")


def _decoded(data: bytes) -> Record | None:
    try:
        return record.decode(data)
    except RecordInvalid:
        return None
