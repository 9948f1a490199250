"""Transactions: half messages that wait for the end of their transaction.

A half message is in no queue. It is stored in two small tables under the number of its transaction: the message in one,
and what its checks need in the other. The commit that ends the transaction removes both. So an ended transaction leaves
nothing behind, deletion by age or size concerns no half message, and a start reads no messages.

Clients name a half message by the offsets in the answer to its send. The queue offset is the number of the transaction.
The physical offset is `FIRST_OFFSET` plus this number, beyond the physical offsets of all stored messages.
"""

import collections
import enum
import heapq
import re
from collections.abc import Callable, Iterator

import msgspec

from mqguard.engine.deferred_delivery import DeferredDelivery
from mqguard.engine.errors import (
    LimitReached,
    MessageIllegal,
    NoSuchMessage,
    StoreDown,
    TransactionExpired,
    TransactionMismatch,
)
from mqguard.engine.fair_shares import FairQuota, RoundRobin
from mqguard.engine.group_commit import GroupCommit
from mqguard.engine.log import MessageLog
from mqguard.engine.messages import EndOfTransaction, RequestOrigin, SendResult
from mqguard.engine.settings import EngineSettings
from mqguard.model import names, properties, record
from mqguard.model.peer import Channel
from mqguard.model.process import Clock
from mqguard.model.record import TRANSACTION_COMMIT, TRANSACTION_MASK, Record, RecordInvalid
from mqguard.store.errors import StoreDamaged, StoreFailed
from mqguard.store.ports import MessageStore, Table

FIRST_OFFSET = 1 << 62
"""Physical offset that half message number 0 has for clients."""
MAX_GROUP_CHARS = 255
"""Maximum characters of a producer group, which is kept in memory. Heartbeats with longer ones are refused."""
NUMBERS_PER_WRITE = 1_000
"""Numbers that one write reserves. After a start the rest of them is skipped, so that no number is used twice."""
ROOM_FOR_DELIVERY_BYTES = 64
"""Bytes of properties that are left free for those that the broker adds at the commit."""
MAX_RELEASED_PER_TICK = 2_000
"""Maximum transactions that become due in one tick, about 1 ms."""
ASK_AGAIN_MS = 1_000
"""Time after which a check is sent again whose connection has ended."""
_MIN_HEAP = 64
_NUMBERS_KEY = b"transactions"
_KEY_BYTES = 8
_SECONDS = re.compile(r"[+-]?\d{1,15}")

Deliver = Callable[[Record, dict[str, str]], object]
"""Function that stages a message at its destination, or lets it wait there if its properties delay it."""


class TransactionEnd(enum.Enum):
    """Ends of a transaction; the values name them in metrics."""

    COMMIT = "commit"
    ROLLBACK = "rollback"
    DISCARD = "discard"


class PendingTransaction(msgspec.Struct, eq=False, gc=False):
    """A transaction whose end is not known.

    Attributes:
        number: Number of the transaction, and queue offset of the half message.
        owner: User or address that sent the half message.
        group: Producer group that may end it.
        topic: Topic to which the message is delivered.
        size: Bytes of the half message.
        stored_ms: Store time of the half message, in milliseconds since the epoch.
        immunity_ms: Time before the first check that the producer chose, None if it chose none.
        checks: Number of checks so far.
        channel: Connection that sent the half message, None after a restart.
        due: Monotonic time of the next check.
        expires: Monotonic time at which the transaction is discarded.
        rejects: Monotonic time from which only the answer to a check ends the transaction, None for no such time.
        asks_again: True if the connection that got the last check has ended.
        released: True if the transaction is among those that `take` returns next.
    """

    number: int
    owner: str
    group: str
    topic: str
    size: int
    stored_ms: int
    immunity_ms: int | None
    checks: int = 0
    channel: Channel | None = None
    due: int = 0
    expires: int | None = None
    rejects: int | None = None
    asks_again: bool = False
    released: bool = False

    @property
    def offset(self) -> int:
        """Physical offset by which clients name the half message."""
        return FIRST_OFFSET + self.number


TransactionRow = tuple[str, str, str, int, int, int | None, int, int]
"""Owner, group, topic, size, store time, immunity, checks, date of the next check."""
_encode_row = msgspec.msgpack.Encoder().encode
decode_row = msgspec.msgpack.Decoder(TransactionRow).decode


class Transactions:
    """All transactions of a broker that have not ended.

    Args:
        store: Store of the half messages.
        group_commit: Commit that includes all changes.
        log: Log, which has the time and the address of messages.
        deferred: Bytes that wait for each topic.
        settings: Times and limits of checks, and the maximum number of transactions.
        clock: Clock.

    Attributes:
        bytes: Bytes of all half messages.
        checks: Number of checks that were sent since the start, without repeated ones.
        ended: Number of transactions that have ended since the start, by their end.
    """

    def __init__(
        self,
        store: MessageStore,
        group_commit: GroupCommit,
        log: MessageLog,
        deferred: DeferredDelivery,
        settings: EngineSettings,
        clock: Clock,
    ) -> None:
        self._store = store
        self._group_commit = group_commit
        self._log = log
        self._deferred = deferred
        self._clock = clock
        self._shares = FairQuota(settings.max_pending_transactions)
        self.configure(settings)
        self._pending: dict[int, PendingTransaction] = {}
        self._heap: list[tuple[int, int]] = []
        self._released: RoundRobin[PendingTransaction] = RoundRobin()
        self.bytes = 0
        self.checks = 0
        self.ended: collections.Counter[TransactionEnd] = collections.Counter()
        reserved = store.value(Table.COUNTERS, _NUMBERS_KEY)
        self._next_number = self._reserved = int.from_bytes(reserved or b"", "big")
        self._load()

    def configure(self, settings: EngineSettings) -> None:
        """Put changed times and limits into force, for the checks that are planned from now on."""
        self._timeout_ms = settings.transaction_timeout_ms
        self._max_checks = settings.transaction_check_max
        self._interval_ms = settings.transaction_check_interval_ms
        self._reserved_ms = settings.reserved_hours * 3_600_000
        self._max_pending = settings.max_pending_transactions
        self._shares.resize(self._max_pending)

    def __len__(self) -> int:
        return len(self._pending)

    def __iter__(self) -> Iterator[PendingTransaction]:
        return iter(self._pending.values())

    @property
    def planned(self) -> int:
        """Number of planned checks, some of which may be for ended transactions."""
        return len(self._heap)

    # Half messages

    def hold(
        self, message: Record, pairs: dict[str, str], origin: RequestOrigin | None, complete: Callable[[], bytes]
    ) -> SendResult:
        """Stage a half message.

        Args:
            message: The message; it gets its place.
            pairs: Its properties, with its group and its unique id; those of the half message are added.
            origin: Sender of the message.
            complete: Function that returns the text of `pairs` with the broker's own properties.

        Raises:
            MessageIllegal: It has no producer group, or too long properties.
            LimitReached: Too many transactions have not ended.
        """
        group, unique_id = pairs.get(properties.PGROUP, ""), pairs[properties.UNIQ_KEY]
        if not 0 < len(group) <= MAX_GROUP_CHARS:
            raise MessageIllegal(
                f"the property {properties.PGROUP} has {len(group)} characters; it must have 1 to {MAX_GROUP_CHARS}"
            )
        owner = "" if origin is None else origin.owner
        self._require_share(owner)
        pending = PendingTransaction(
            self._reserve_number(), owner, group, message.topic, 0, self._log.now(), _immunity(pairs, self._timeout_ms)
        )
        pending.channel = None if origin is None else origin.peer.channel
        self._make_half(message, pairs, pending)
        message.properties = complete()
        if len(message.properties) > properties.MAX_BYTES - ROOM_FOR_DELIVERY_BYTES:
            raise MessageIllegal(f"message properties length too long, max: {properties.MAX_BYTES}")
        self._stage(pending, message)
        return SendResult(
            self._log.message_id(pending.offset), int(pairs[properties.REAL_QID]), pending.number, unique_id
        )

    def hold_again(self, message: Record, row: TransactionRow) -> None:
        """Stage the message of a discarded transaction as that of a new one.

        Args:
            message: The message with its topic and queue.
            row: Row of the discarded transaction.

        Raises:
            LimitReached: Too many transactions have not ended.
        """
        owner, group, topic, _, _, immunity_ms, _, _ = row
        self._require_share(owner)
        pending = PendingTransaction(self._reserve_number(), owner, group, topic, 0, self._log.now(), immunity_ms)
        pairs = properties.parse(message.properties.decode())
        pairs.pop(properties.TRANSACTION_CHECK_TIMES, None)
        self._make_half(message, pairs, pending)
        message.properties = properties.text_of(pairs).encode()
        self._stage(pending, message)

    def find(self, offset: int) -> PendingTransaction | None:
        """Return the transaction whose half message clients name by a physical offset, None if there is none."""
        return self._pending.get(offset - FIRST_OFFSET)

    def half_message(self, pending: PendingTransaction) -> Record | None:
        """Return the half message of a transaction, None if it is damaged.

        Raises:
            StoreDown: The store cannot be read now.
        """
        try:
            data = self._store.value(Table.HALF_MESSAGES, key_of(pending.number))
            return None if data is None else record.decode(data)
        except (StoreDamaged, RecordInvalid):
            return None
        except StoreFailed as error:
            raise StoreDown(str(error)) from error

    # Ends

    def require_end(self, pending: PendingTransaction, end: EndOfTransaction) -> None:
        """Check that a request may end a transaction; the rules and texts are those of Apache's broker.

        Raises:
            TransactionExpired: The time before the first check is over, so only the answer to a check counts.
            TransactionMismatch: Another group or another message is named.
        """
        if not end.from_check and pending.rejects is not None and self._clock.monotonic_ms() > pending.rejects:
            raise TransactionExpired(
                f"the transaction is older than its {properties.CHECK_IMMUNITY_TIME_IN_SECONDS}: it waits for a check"
            )
        if pending.group != end.group:
            raise TransactionMismatch("The producer group wrong")
        if pending.number != end.queue_offset:
            raise TransactionMismatch("The transaction state table offset wrong")

    def commit(self, pending: PendingTransaction, deliver: Deliver) -> None:
        """Stage the delivery of a message, and the end of its transaction.

        Raises:
            NoSuchMessage: The half message is damaged.
            EngineError: It cannot be delivered now. The transaction has not ended.
        """
        message = self.half_message(pending)
        if message is None:
            raise NoSuchMessage("Find prepared transaction message failed")
        pairs = properties.parse(message.properties.decode())
        message.topic = pairs.pop(properties.REAL_TOPIC)
        message.queue_id = int(pairs.pop(properties.REAL_QID))
        message.sys_flag = message.sys_flag & ~TRANSACTION_MASK | TRANSACTION_COMMIT
        message.prepared_offset = pending.offset
        if pending.checks:
            pairs[properties.TRANSACTION_CHECK_TIMES] = str(pending.checks)
        deliver(message, pairs)
        self.remove(pending, TransactionEnd.COMMIT)

    def roll_back(self, pending: PendingTransaction) -> None:
        """Stage the end of a transaction without its message."""
        self.remove(pending, TransactionEnd.ROLLBACK)

    # Checks

    @property
    def can_write(self) -> bool:
        """True if the store accepts writes."""
        return self._store.failure is None

    def release(self) -> None:
        """Make due transactions available to `take`, up to a maximum number."""
        now, heap = self._clock.monotonic_ms(), self._heap
        left = MAX_RELEASED_PER_TICK
        while heap and heap[0][0] <= now and left > 0:
            left -= 1
            pending = self._pending.get(heapq.heappop(heap)[1])
            if pending is None or pending.released or not (pending.asks_again or pending.due <= now):
                continue
            pending.released = True
            self._released.add(pending.owner, pending)

    def take(self, limit: int) -> Iterator[PendingTransaction]:
        """Return transactions that are due for a check, in rounds of their owners."""
        for pending in self._released.take(limit, limit):
            pending.released = False
            if self._pending.get(pending.number) is pending:
                yield pending

    def put_back(self, pending: PendingTransaction) -> None:
        """Make a transaction available to `take` again, because there was no time for its check."""
        pending.released = True
        self._released.add(pending.owner, pending)

    def is_over(self, pending: PendingTransaction) -> bool:
        """Return True if a transaction had its maximum number of checks, or is as old as messages may become."""
        return (pending.checks > 0 and pending.checks >= self._max_checks) or (
            pending.expires is not None and self._clock.monotonic_ms() >= pending.expires
        )

    def count_check(self, pending: PendingTransaction) -> None:
        """Stage that a check is sent, and when the next one is due."""
        pending.checks += 1
        self.checks += 1
        self.postpone(pending)
        self._store.stage_value(Table.TRANSACTIONS, key_of(pending.number), self.row(pending))

    def postpone(self, pending: PendingTransaction) -> None:
        """Let the next check of a transaction be due after the interval of checks."""
        pending.asks_again = False
        self._schedule(pending, self._clock.monotonic_ms() + self._interval_ms)

    def ask_again(self, number: int) -> None:
        """Let a check be due soon, because the connection that got it has ended."""
        pending = self._pending.get(number)
        if pending is not None and not pending.asks_again:
            pending.asks_again = True
            heapq.heappush(self._heap, (self._clock.monotonic_ms() + ASK_AGAIN_MS, number))

    # State

    def _load(self) -> None:
        now, date = self._clock.monotonic_ms(), self._clock.now_ms()
        for key, value in self._store.values(Table.TRANSACTIONS):
            owner, group, topic, size, stored_ms, immunity_ms, checks, due_ms = decode_row(value)
            pending = PendingTransaction(
                int.from_bytes(key, "big"), owner, group, topic, size, stored_ms, immunity_ms, checks
            )
            # Producers need time to connect. The date may have been wrong when the next check was planned.
            longest = max(self._interval_ms, self._first_check_ms(pending))
            pending.due = now + min(max(due_ms - date, self._interval_ms), longest)
            self._shares.change(owner, 1)
            self._add(pending, max(0, date - stored_ms))

    def _require_share(self, owner: str) -> None:
        if not self._shares.allows(owner, 1):
            raise LimitReached(
                f"{len(self._shares)} transactions have not ended, and at most {self._max_pending} are allowed "
                "(`maxPendingTransactions`): end some of them before you begin another"
            )

    def _make_half(self, message: Record, pairs: dict[str, str], pending: PendingTransaction) -> None:
        """Change a message into the half message of a transaction."""
        pairs[properties.REAL_TOPIC] = message.topic
        pairs[properties.REAL_QID] = str(message.queue_id)
        pairs[properties.TRANSACTION_ID] = pairs[properties.UNIQ_KEY]
        message.topic = names.HALF_TOPIC
        message.queue_id = 0
        message.queue_offset = pending.number
        message.physical_offset = pending.offset
        message.sys_flag &= ~TRANSACTION_MASK
        message.store_timestamp = pending.stored_ms
        message.store_address = self._log.address
        message.store_port = self._log.port

    def _stage(self, pending: PendingTransaction, message: Record) -> None:
        data = record.encode(message)
        pending.size = len(data)
        pending.due = self._clock.monotonic_ms() + self._first_check_ms(pending)
        self._store.stage_value(Table.HALF_MESSAGES, key_of(pending.number), data)
        self._store.stage_value(Table.TRANSACTIONS, key_of(pending.number), self.row(pending))
        self._shares.change(pending.owner, 1)
        self._group_commit.undo(lambda: self._shares.change(pending.owner, -1))
        self._group_commit.after(lambda: self._add(pending, 0))

    def _add(self, pending: PendingTransaction, age_ms: int) -> None:
        now = self._clock.monotonic_ms()
        if pending.immunity_ms is not None:
            pending.rejects = now - age_ms + max(pending.immunity_ms, self._timeout_ms)
        if self._reserved_ms:
            pending.expires = now - age_ms + self._reserved_ms
        self._pending[pending.number] = pending
        self._count_bytes(pending, pending.size)
        self._schedule(pending, pending.due)

    def remove(self, pending: PendingTransaction, end: TransactionEnd) -> None:
        """Stage the end of a transaction."""
        key = key_of(pending.number)
        self._store.stage_removal(Table.HALF_MESSAGES, key)
        self._store.stage_removal(Table.TRANSACTIONS, key)
        del self._pending[pending.number]
        self._count_bytes(pending, -pending.size)
        self._shares.change(pending.owner, -1)
        self.ended[end] += 1
        self._group_commit.undo(lambda: self._restore(pending, end))

    def _restore(self, pending: PendingTransaction, end: TransactionEnd) -> None:
        """Add a transaction again whose end could not be stored."""
        self.ended[end] -= 1
        self._shares.change(pending.owner, 1)
        self._count_bytes(pending, pending.size)
        self._pending[pending.number] = pending
        self._schedule(pending, max(pending.due, self._clock.monotonic_ms() + ASK_AGAIN_MS))

    def _count_bytes(self, pending: PendingTransaction, size: int) -> None:
        self.bytes += size
        if size > 0:
            self._deferred.count(pending.topic, size)
        else:
            self._deferred.uncount(pending.topic, -size)

    def _schedule(self, pending: PendingTransaction, due: int) -> None:
        pending.due = due
        heap = self._heap
        heapq.heappush(heap, (due, pending.number))
        if len(heap) > _MIN_HEAP + 4 * len(self._pending):
            # Most transactions end long before their first check.
            self._heap = [entry for entry in heap if self._is_planned(*entry)]
            heapq.heapify(self._heap)

    def _is_planned(self, due: int, number: int) -> bool:
        pending = self._pending.get(number)
        return pending is not None and (pending.due == due or pending.asks_again)

    def _first_check_ms(self, pending: PendingTransaction) -> int:
        first = self._timeout_ms if pending.immunity_ms is None else pending.immunity_ms
        return min(first, self._reserved_ms) if self._reserved_ms else first

    def row(self, pending: PendingTransaction) -> bytes:
        """Return the stored form of a transaction, without its message."""
        due_ms = self._clock.now_ms() + pending.due - self._clock.monotonic_ms()
        return _encode_row(
            (
                pending.owner,
                pending.group,
                pending.topic,
                pending.size,
                pending.stored_ms,
                pending.immunity_ms,
                pending.checks,
                due_ms,
            )
        )

    def _reserve_number(self) -> int:
        number = self._next_number
        if number >= self._reserved:
            self._reserved = number + NUMBERS_PER_WRITE
            self._store.stage_value(Table.COUNTERS, _NUMBERS_KEY, self._reserved.to_bytes(_KEY_BYTES, "big"))
            self._group_commit.undo(self._reserve_anew)
        self._next_number += 1
        return number

    def _reserve_anew(self) -> None:
        self._reserved = self._next_number


def key_of(number: int) -> bytes:
    """Return the key of a number in the tables, which are in the order of the numbers."""
    return number.to_bytes(_KEY_BYTES, "big")


def _immunity(pairs: dict[str, str], timeout_ms: int) -> int | None:
    """Return the time before the first check that a producer chose, None if it chose none."""
    text = pairs.get(properties.CHECK_IMMUNITY_TIME_IN_SECONDS)
    if not text:
        return None
    # As in Apache's broker, -1 and what is not a number mean the default.
    seconds = int(text) if _SECONDS.fullmatch(text) else -1
    return timeout_ms if seconds == -1 else max(0, seconds) * 1000
