"""Message properties: the text form of the protocol and the meaning of names (Apache: `MessageConst`).

The text is `key SOH value STX key SOH value STX …`; the last STX may be missing. Pairs without a key are dropped, as in
Java readers.
"""

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
TRAN_MSG = "TRAN_MSG"
PGROUP = "PGROUP"
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
INNER_NUM = "INNER_NUM"

TIMER_KEYS = (TIMER_DELAY_SEC, TIMER_DELAY_MS, TIMER_DELIVER_MS)
"""Properties that request delivery at any time, not by level; the first of several counts (Apache: `HookUtils`)."""


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
