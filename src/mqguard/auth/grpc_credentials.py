"""The credentials of gRPC calls: the `authorization` header, and the time that it signs."""

import base64
import datetime as dt
import re
from typing import Final

from mqguard.auth.authenticator import Credentials
from mqguard.auth.errors import AuthenticationFailed

AUTHORIZATION: Final = "authorization"
DATE_TIME: Final = "x-mq-date-time"

_HEX = re.compile(r"(?:[0-9a-fA-F]{2})*\Z")
_ZONE_STEP_MS: Final = 15 * 60 * 1000
"""Every time zone of the world is a multiple of a quarter of an hour away from UTC."""
_MAX_ZONE_MS: Final = 14 * 60 * 60 * 1000


def read(authorization: str | None, date_time: str | None) -> Credentials:
    """Parse the credentials in the headers of a call; without a user if `authorization` is missing.

    Args:
        authorization: `MQv2-HMAC-SHA1 Credential=ak[/region/service], SignedHeaders=x-mq-date-time, Signature=hex`. The
            algorithm and other items are ignored; the last of repeated items counts.
        date_time: The value of `x-mq-date-time`, the only signed content.

    Raises:
        AuthenticationFailed: With the reason `malformed-credentials` and Apache's sentence.
    """
    if not authorization:
        return Credentials(None, None, b"")
    if not date_time:
        raise _malformed("datetime is null.")
    _, space, rest = authorization.partition(" ")
    if not space:
        raise _malformed("authentication header is incorrect.")
    user: str | None = None
    signature: str | None = None
    for item in _items(rest):
        name, equals, value = item.partition("=")
        if not equals:
            raise _malformed("authentication keyValues length is incorrect, actual length=1.")
        if name == "Credential":
            user = _user(value)
        elif name == "Signature":
            signature = _base64(value)
    return Credentials(user, signature, date_time.encode("utf-8", "surrogatepass"))


def is_fresh(date_time: str, now_ms: int, window_ms: int) -> bool:
    """True if a call was signed within `window_ms` of now, according to its date and time.

    Clients write local time as UTC, so a text without an offset may be wrong by any whole time zone. It is fresh if
    some time zone makes it fresh. A text that is not a date and time is not fresh.

    Args:
        date_time: The value of `x-mq-date-time`: `20240102T030405Z` or RFC 3339.
        now_ms: Milliseconds since the epoch.
        window_ms: The maximum difference between the clocks, in either direction.
    """
    stamp = _parse(date_time)
    if stamp is None:
        return False
    signed_ms, has_zone = stamp
    apart = signed_ms - now_ms
    if not has_zone:
        zone = round(apart / _ZONE_STEP_MS) * _ZONE_STEP_MS
        apart -= max(-_MAX_ZONE_MS, min(_MAX_ZONE_MS, zone))
    return abs(apart) <= window_ms


def _parse(text: str) -> tuple[int, bool] | None:
    """Return milliseconds since the epoch, and True if the offset can be trusted."""
    try:
        if re.fullmatch(r"\d{8}T\d{6}Z", text, re.ASCII):
            when, has_zone = dt.datetime.strptime(text, "%Y%m%dT%H%M%SZ"), False  # noqa: DTZ007
        else:
            # Rust writes nanoseconds; they are cut to the precision of Python.
            when = dt.datetime.fromisoformat(text)
            has_zone = when.tzinfo is not None
    except ValueError:
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=dt.UTC)
    return int(when.timestamp() * 1000), has_zone


def _items(text: str) -> list[str]:
    # Java's split drops empty items only at the end; an empty text gives one empty item.
    items = text.split(",")
    while text and items and not items[-1]:
        items.pop()
    return [item.strip() for item in items]


def _user(credential: str) -> str:
    if credential and not credential.strip("/"):
        raise _malformed("authentication credential length is incorrect, actual length=0.")
    return credential.partition("/")[0]


def _base64(digits: str) -> str:
    if not _HEX.match(digits):
        raise _malformed("create authentication context error.")
    return base64.b64encode(bytes.fromhex(digits)).decode("ascii")


def _malformed(message: str) -> AuthenticationFailed:
    return AuthenticationFailed("malformed-credentials", message)
