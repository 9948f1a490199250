"""Dates that gRPC clients sign: the content of the field `x-mq-date-time`."""

import datetime as dt
import functools
import re
from typing import Final, NamedTuple

MAX_ZONE_MS: Final = 14 * 3600 * 1000
"""Maximum difference of a local time and UTC, in milliseconds."""
MAX_CHARS: Final = 40
"""Maximum characters of a date."""
_COMPACT: Final = re.compile(r"[0-9]{8}T[0-9]{6}Z", re.ASCII)
_WITH_ZONE: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})", re.ASCII
)


class CallDate(NamedTuple):
    """A date that a client has signed.

    Attributes:
        ms: Milliseconds since the epoch, if the date is in UTC.
        has_zone: False if the date may be a local time. Java, Go, Python and Node write theirs with a `Z`.
    """

    ms: int
    has_zone: bool


@functools.lru_cache(maxsize=1024)
def read_date(text: str) -> CallDate | None:
    """Return a date, None if the text has no known form.

    The forms are `20240101T101010Z`, in which most clients write their local time, and that of RFC 3339, which Rust
    clients use.
    """
    if len(text) > MAX_CHARS:
        return None
    try:
        if _COMPACT.fullmatch(text):
            date = dt.datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=dt.UTC)
            return CallDate(_ms(date), has_zone=False)
        found = _WITH_ZONE.fullmatch(text)
        if found is None:
            return None
        return CallDate(_ms(dt.datetime.fromisoformat(f"{found[1]}{found[2].upper()}")), has_zone=True)
    except (ValueError, OverflowError):
        return None


def _ms(date: dt.datetime) -> int:
    return int(date.timestamp() * 1000)
