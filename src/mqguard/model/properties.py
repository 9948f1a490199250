"""Message properties: the text form of the protocol and the meaning of names (Apache: `MessageConst`).

The text is `key SOH value STX key SOH value STX …`; the last STX may be missing. Pairs without a key are dropped, as in
Java readers.
"""

import functools
from collections.abc import Iterable, Mapping

NAME_END = "\x01"
PAIR_END = "\x02"
MAX_BYTES = 32767
"""Maximum property text in bytes: its length is a signed 16-bit number in the record."""

UNIQ_KEY = "UNIQ_KEY"
TAGS = "TAGS"
KEYS = "KEYS"
WAIT = "WAIT"
DELAY = "DELAY"
TIMER_DELAY_SEC = "TIMER_DELAY_SEC"
TIMER_DELAY_MS = "TIMER_DELAY_MS"
TIMER_DELIVER_MS = "TIMER_DELIVER_MS"
TIMER_OUT_MS = "TIMER_OUT_MS"
TIMER_DEL_UNIQKEY = "TIMER_DEL_UNIQKEY"
PRIORITY = "_SYS_MSG_PRIORITY_"
SHARDING_KEY = "__SHARDINGKEY"
LITE_TOPIC = "__LITE_TOPIC"
INNER_MULTI_DISPATCH = "INNER_MULTI_DISPATCH"
INNER_MULTI_QUEUE_OFFSET = "INNER_MULTI_QUEUE_OFFSET"
TRAN_MSG = "TRAN_MSG"
PGROUP = "PGROUP"
TRANSACTION_ID = "__transactionId__"
TRANSACTION_CHECK_TIMES = "TRANSACTION_CHECK_TIMES"
TRAN_PREPARED_QUEUE_OFFSET = "TRAN_PREPARED_QUEUE_OFFSET"
CHECK_IMMUNITY_TIME_IN_SECONDS = "CHECK_IMMUNITY_TIME_IN_SECONDS"
REAL_TOPIC = "REAL_TOPIC"
REAL_QID = "REAL_QID"
RETRY_TOPIC = "RETRY_TOPIC"
ORIGIN_MESSAGE_ID = "ORIGIN_MESSAGE_ID"
RECONSUME_TIME = "RECONSUME_TIME"
MAX_RECONSUME_TIMES = "MAX_RECONSUME_TIMES"
DLQ_ORIGIN_TOPIC = "DLQ_ORIGIN_TOPIC"
DLQ_ORIGIN_MESSAGE_ID = "DLQ_ORIGIN_MESSAGE_ID"
MSG_REGION = "MSG_REGION"
TRACE_ON = "TRACE_ON"
CLUSTER = "CLUSTER"
POP_CK = "POP_CK"
FIRST_POP_TIME = "1ST_POP_TIME"
INNER_NUM = "INNER_NUM"

TIMER_KEYS = (TIMER_DELAY_SEC, TIMER_DELAY_MS, TIMER_DELIVER_MS)
"""Properties that request delivery at any time, not by level; the first of several counts (Apache: `HookUtils`)."""


DEFAULT_REGION = "DefaultRegion"


def trace_fields(region: str, *, trace_on: bool) -> dict[str, str]:
    """Return what producers and consumers need for traces: properties of messages, and fields of responses to sends.

    Clients read both without a check that they are present.
    """
    return {MSG_REGION: region, TRACE_ON: "true" if trace_on else "false"}


def parse(text: str) -> dict[str, str]:
    """Parse a property text; of two pairs with one key the last one counts, as in Java."""
    found: dict[str, str] = {}
    for pair in text.split(PAIR_END):
        name, end, value = pair.partition(NAME_END)
        if end and name:
            found[name] = value
    return found


def value_of(text: str, name: str) -> str | None:
    """Return the value of one property as `parse` would, or None.

    The cost is one search, whatever the number of pairs.
    """
    start = f"{name}{NAME_END}"
    found = text.rfind(PAIR_END + start)
    if found >= 0:
        found += 1
    elif not text.startswith(start):
        return None
    else:
        found = 0
    found += len(start)
    end = text.find(PAIR_END, found)
    return text[found:] if end < 0 else text[found:end]


def text_of(pairs: Mapping[str, str] | Iterable[tuple[str, str]]) -> str:
    """Format properties as text, with the closing STX that Java writes. Empty names and values are left out."""
    items = pairs.items() if isinstance(pairs, Mapping) else pairs
    return "".join(f"{name}\x01{value}\x02" for name, value in items if name and value)


ANY_TAG = "*"


_MAX_CACHED_TAG = 255
"""Maximum length of tag texts with cached codes: a peer chooses the texts, so memory must be bounded."""


def tags_code_of(tags: str) -> int:
    """Return Java's `String.hashCode` of the whole tag text: a signed 32-bit number, 0 for the empty text.

    Java hashes UTF-16 code units, so a character outside the basic plane counts as two.
    """
    return _known_code(tags) if len(tags) <= _MAX_CACHED_TAG else _code(tags)


def _code(tags: str) -> int:
    code = 0
    data = tags.encode("utf-16-be", "surrogatepass")
    for at in range(0, len(data), 2):
        code = (31 * code + (data[at] << 8 | data[at + 1])) & 0xFFFFFFFF
    return code - 0x100000000 if code & 0x80000000 else code


_known_code = functools.lru_cache(maxsize=4096)(_code)


def tags_of(subscription: str) -> frozenset[str]:
    """Return the tags that a subscription text such as `TagA || TagB` names; empty means all messages."""
    if not subscription or subscription.strip() in {"", ANY_TAG}:
        return frozenset()
    return frozenset(tag for part in subscription.split("||") if (tag := part.strip()))


def tag_codes_of(subscription: str) -> frozenset[int] | None:
    """Return the tag codes that match a subscription text, or None if it matches every message."""
    tags = tags_of(subscription)
    return frozenset(tags_code_of(tag) for tag in tags) if tags else None
