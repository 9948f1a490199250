"""Ext fields of message queries (12, 33)."""

from typing import Final

from mqguard.remoting.headers.codec import Header, Int32, Int64

UNIQUE_KEY_QUERY: Final = "_UNIQUE_KEY_QUERY"
"""Ext field in addition to the header of 12: `true` searches the unique keys, not the users' keys."""


class QueryMessageHeader(
    Header,
    rename={
        "max_num": "maxNum",
        "begin_timestamp": "beginTimestamp",
        "end_timestamp": "endTimestamp",
        "index_type": "indexType",
        "last_key": "lastKey",
        "unique": UNIQUE_KEY_QUERY,
    },
):
    """12: messages by key.

    Attributes:
        begin_timestamp: Milliseconds since the epoch, inclusive.
        end_timestamp: Milliseconds since the epoch, inclusive.
        index_type: `K` keys, `U` unique keys, `T` tags; None is `K`, or `U` with `_UNIQUE_KEY_QUERY`.
        unique: The field `_UNIQUE_KEY_QUERY` in addition to the header.
    """

    topic: str
    key: str
    max_num: Int32
    begin_timestamp: Int64
    end_timestamp: Int64
    index_type: str | None = None
    last_key: str | None = None
    unique: bool = False


class QueryMessageAnswer(Header):
    """Answer of 12."""

    index_last_update_timestamp: Int64
    index_last_update_phyoffset: Int64


class ViewMessageHeader(Header):
    """33: one message by its physical offset; clients up to 4.9 and Go send no topic."""

    offset: Int64
    topic: str | None = None
