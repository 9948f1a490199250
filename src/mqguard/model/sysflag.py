"""The bits of a message's system flag (Apache: `MessageSysFlag`)."""

COMPRESSED = 0x1
"""The body is compressed; the broker never reads it."""
MULTI_TAGS = 0x2
TRANSACTION_MASK = 0xC
TRANSACTION_PREPARED = 0x4
TRANSACTION_COMMIT = 0x8
TRANSACTION_ROLLBACK = 0xC
BORN_HOST_V6 = 0x10
STORE_HOST_V6 = 0x20
NEED_UNWRAP = 0x40
INNER_BATCH = 0x80
COMPRESSION_MASK = 0x700


def transaction_type(flag: int) -> int:
    """Return the transaction bits alone: 0 or one of `TRANSACTION_…`."""
    return flag & TRANSACTION_MASK
