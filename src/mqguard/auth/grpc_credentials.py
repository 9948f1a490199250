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
    """The credentials that the headers of a call carry; without a user when there is no `authorization`.

    Args:
        authorization: `MQv2-HMAC-SHA1 Credential=ak[/region/service], SignedHeaders=x-mq-date-time, Signature=hex`;
            the algorithm and other items are not looked at, the last of repeated items counts.
        date_time: What `x-mq-date-time` says, which is all that is signed.

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
    """Whether a call was signed within `window_ms` of now, as far as its date and time can tell.

    Clients write local time and call it UTC, so a text without an offset may be wrong by any whole time zone: it is
    fresh when some zone makes it so. A text that is no date and time is not fresh.

    Args:
        date_time: What `x-mq-date-time` says: `20240102T030405Z` or RFC 3339.
        now_ms: Milliseconds since the epoch.
        window_ms: How far the clocks may differ, either way.
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
    """Milliseconds since the epoch, and whether the offset can be trusted."""
    try:
        if re.fullmatch(r"\d{8}T\d{6}Z", text, re.ASCII):
            when, has_zone = dt.datetime.strptime(text, "%Y%m%dT%H%M%SZ"), False  # noqa: DTZ007
        else:
            # Nanoseconds, as Rust writes them, are cut to what Python keeps.
            when = dt.datetime.fromisoformat(text)
            has_zone = when.tzinfo is not None
    except ValueError:
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=dt.UTC)
    return int(when.timestamp() * 1000), has_zone


def _items(text: str) -> list[str]:
    # Java's split drops empty items at the end, and only there; of an empty text it makes one empty item.
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
