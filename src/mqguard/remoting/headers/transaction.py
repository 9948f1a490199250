"""Ext fields of transactions (37, 39)."""

from typing import Final

from mqguard.remoting.headers.codec import Header, Int32, Int64

UNKNOWN: Final = 0
"""`commit_or_rollback`: the result is not yet known."""
COMMIT: Final = 8
"""`commit_or_rollback`: make the message visible."""
ROLLBACK: Final = 12
"""`commit_or_rollback`: drop the message."""


class EndTransactionHeader(Header):
    """37: the result of a transaction; 4.9 and Go send no topic.

    Attributes:
        tran_state_table_offset: Queue offset of the half message.
        commit_log_offset: Physical offset of the half message.
        from_transaction_check: True if this answers a check of the server.
        msg_id: Unique id of the message.
    """

    producer_group: str
    tran_state_table_offset: Int64
    commit_log_offset: Int64
    commit_or_rollback: Int32
    from_transaction_check: bool = False
    msg_id: str | None = None
    transaction_id: str | None = None
    topic: str | None = None
    bname: str | None = None


class CheckTransactionHeader(Header):
    """39, server to client: a check for the result of a transaction."""

    tran_state_table_offset: Int64
    commit_log_offset: Int64
    msg_id: str | None = None
    transaction_id: str | None = None
    offset_msg_id: str | None = None
    topic: str | None = None
    bname: str | None = None
