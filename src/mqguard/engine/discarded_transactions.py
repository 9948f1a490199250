"""Discarded transactions: those whose checks gave no result. An administrator can begin their checks again.

The message of a discarded transaction is in the topic `TRANS_CHECK_MAX_TIME_TOPIC`. A small table has the rest under
its physical offset, so that each one is resumed at most once. Otherwise its message could be committed twice.
"""

from mqguard.engine.errors import NoSuchMessage, StoreDown
from mqguard.engine.group_commit import GroupCommit
from mqguard.engine.log import MessageLog
from mqguard.engine.transactions import (
    PendingTransaction,
    TransactionEnd,
    TransactionRow,
    Transactions,
    decode_row,
    key_of,
)
from mqguard.model import names, properties
from mqguard.model.properties import tags_code_of
from mqguard.model.record import Record
from mqguard.store.errors import StoreFailed
from mqguard.store.ports import MessageStore, Table

_FORGOTTEN_PER_TICK = 200


class DiscardedTransactions:
    """All discarded transactions whose messages still exist.

    Args:
        store: Store of the table.
        group_commit: Commit that includes all changes.
        log: Log to which the messages are appended.
        transactions: Transactions that have not ended.
    """

    def __init__(
        self, store: MessageStore, group_commit: GroupCommit, log: MessageLog, transactions: Transactions
    ) -> None:
        self._store = store
        self._group_commit = group_commit
        self._log = log
        self._transactions = transactions
        self._resumed: set[int] = set()
        self._forgotten = 0

    def add(self, pending: PendingTransaction) -> None:
        """Stage the end of a transaction, and its message in the topic of discarded ones.

        Raises:
            StoreDown: The store cannot be read now.
        """
        message = self._transactions.half_message(pending)
        if message is not None:
            pairs = properties.parse(message.properties.decode())
            pairs[properties.TRANSACTION_CHECK_TIMES] = str(pending.checks)
            message.topic = names.DISCARDED_TOPIC
            message.properties = properties.text_of(pairs).encode()
            tags = pairs.get(properties.TAGS)
            self._log.append(message, tags_code_of(tags) if tags else 0, ())
            key = key_of(message.physical_offset)
            self._store.stage_value(Table.DISCARDED_TRANSACTIONS, key, self._transactions.row(pending))
        self._transactions.remove(pending, TransactionEnd.DISCARD)

    def topic_of(self, physical: int) -> str | None:
        """Return the topic of the discarded transaction whose message is at a physical offset, None if there is none.

        Raises:
            StoreDown: The store cannot be read now.
        """
        row = self._row(physical)
        return None if row is None else row[2]

    def resume(self, physical: int, message: Record) -> None:
        """Stage a discarded transaction as one that has not ended and had no check.

        Args:
            physical: Physical offset of its message.
            message: This message.

        Raises:
            NoSuchMessage: There is no discarded transaction at that offset.
            LimitReached: Too many transactions have not ended.
        """
        row = self._row(physical)
        if row is None:
            raise NoSuchMessage(f"look message by offset failed, {physical}")
        pairs = properties.parse(message.properties.decode())
        message.topic = pairs[properties.REAL_TOPIC]
        message.queue_id = int(pairs[properties.REAL_QID])
        self._transactions.hold_again(message, row)
        self._store.stage_removal(Table.DISCARDED_TRANSACTIONS, key_of(physical))
        # Reads return committed state, so the removal is not visible to other requests of this iteration.
        self._resumed.add(physical)
        self._group_commit.after(lambda: self._resumed.discard(physical))
        self._group_commit.undo(lambda: self._resumed.discard(physical))

    def forget_deleted(self) -> None:
        """Stage the removal of entries whose messages were deleted by age, up to a maximum number.

        Raises:
            StoreDown: The store cannot be read now.
        """
        end = self._store.min_physical
        if end == self._forgotten:
            return
        try:
            rows = self._store.values(Table.DISCARDED_TRANSACTIONS, below=key_of(end), limit=_FORGOTTEN_PER_TICK)
        except StoreFailed as error:
            raise StoreDown(str(error)) from error
        for key, _ in rows:
            self._store.stage_removal(Table.DISCARDED_TRANSACTIONS, key)
        if len(rows) < _FORGOTTEN_PER_TICK:
            self._forgotten = end

    def _row(self, physical: int) -> TransactionRow | None:
        if physical < 0 or physical in self._resumed:
            return None
        try:
            row = self._store.value(Table.DISCARDED_TRANSACTIONS, key_of(physical))
        except StoreFailed as error:
            raise StoreDown(str(error)) from error
        return None if row is None else decode_row(row)
