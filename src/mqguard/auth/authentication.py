"""Authentication: credentials and users in, one user or an error out.

Signatures are HMAC-SHA1 over the signed content, as every RocketMQ client computes them.
"""

import base64
import enum
import functools
import hashlib
import hmac
import re
from binascii import b2a_base64
from typing import Final

import msgspec

from mqguard.auth.errors import AuthenticationFailed
from mqguard.auth.snapshot import Snapshot
from mqguard.auth.user import LiveSecret, Secret, User, UserStatus

_BLOCK = hashlib.sha1().block_size  # noqa: S324
_INNER = bytes(byte ^ 0x36 for byte in range(256))
_OUTER = bytes(byte ^ 0x5C for byte in range(256))

_DECOYS = tuple(
    Secret(f"decoy secret {number}: compared to keep the duration equal, never accepted") for number in range(512)
)
"""Decoy secrets. With a single one, its prepared key states would always be cached, and those of a user would not."""


def sign(secret: Secret, content: bytes) -> str:
    """Return the signature of `content`, in Base64 with padding (28 characters)."""
    return b2a_base64(_digest(secret, content), newline=False).decode("ascii")


class Match(enum.Enum):
    """The result of comparing a signature with those of a user's secrets."""

    RIGHT = enum.auto()
    EXPIRED = enum.auto()
    """The signature was made with a secret of the user that is no longer accepted."""
    WRONG = enum.auto()


# A module constant is cheaper than an enum member, whose lookup costs as much as a step of the comparison.
_RIGHT, _WRONG, _EXPIRED, _ENABLED = Match.RIGHT, Match.WRONG, Match.EXPIRED, UserStatus.ENABLE


def match(user: User | None, content: bytes, signature: str, now_ms: int) -> Match:
    """Compare a signature with those of the user's secrets.

    A rejection takes the same steps for an unknown user and for a user with one or two secrets. Two signatures are
    computed and compared in constant time.

    Args:
        user: The claimed user; None if no such user exists.
        content: The signed content.
        signature: The signature that the peer sent, in Base64; any other text is simply not equal.
        now_ms: Milliseconds since the epoch; a secret past its `not_after` is rejected.
    """
    presented = signature.encode("utf-8", "surrogatepass")
    secrets = user.secrets if user is not None else ()
    first = _match(secrets[0] if secrets else None, content, presented, now_ms)
    if first is _RIGHT:
        return first
    second = _match(secrets[1] if len(secrets) > 1 else None, content, presented, now_ms)
    return second if first is _WRONG else first


def has_signed(user: User, content: bytes, signature: str) -> bool:
    """Return True if an enabled user signed the content with a secret that never expires.

    If the result is False, `authenticate` must decide. Only for a connection that has authenticated as this user: the
    duration may then differ, because the peer knows that the user exists.
    """
    live = user.secrets[0] if user.secrets else None
    if live is None or live.not_after is not None or user.status is not _ENABLED:
        return False
    computed = b2a_base64(_digest(live.secret, content), newline=False)
    return hmac.compare_digest(computed, signature.encode("utf-8", "surrogatepass"))


def _match(live: LiveSecret | None, content: bytes, presented: bytes, now_ms: int) -> Match:
    secret = _DECOYS[hash(presented) % len(_DECOYS)] if live is None else live.secret
    equal = hmac.compare_digest(b2a_base64(_digest(secret, content), newline=False), presented)
    if not equal or live is None:
        return _WRONG
    return _RIGHT if live.not_after is None or now_ms <= live.not_after else _EXPIRED


def _digest(secret: Secret, content: bytes) -> bytes:
    # HMAC (RFC 2104) continued from cached key states. `hmac.digest` prepares them on each call and releases the
    # interpreter lock, which costs more than the hashing when other threads wait for the lock.
    inner, outer = _halves(secret.reveal())
    inner = inner.copy()
    inner.update(content)
    outer = outer.copy()
    outer.update(inner.digest())
    return outer.digest()


@functools.lru_cache(maxsize=8192)
def _halves(text: str) -> tuple["hashlib._Hash", "hashlib._Hash"]:
    """Return the hash states after the key's inner and outer pad."""
    # The protocol requires SHA-1; as an HMAC it is not known to be broken.
    key = text.encode("utf-8", "surrogatepass")
    if len(key) > _BLOCK:
        key = hashlib.sha1(key).digest()  # noqa: S324
    key = key.ljust(_BLOCK, b"\0")
    return hashlib.sha1(key.translate(_INNER)), hashlib.sha1(key.translate(_OUTER))  # noqa: S324


NO_USER_NAME = "username cannot be null."
"""Apache's message for a request without credentials."""
WRONG_SIGNATURE = "check signature failed."
"""Apache's message for a wrong signature; also used for an unknown user, so that names cannot be probed."""
AUTHENTICATION_FAILED = "Authentication failed. Please verify the credentials and try again."
"""Apache's message for every other failure."""


class SignedCredentials(msgspec.Struct, frozen=True, gc=False):
    """The credentials of a request.

    Attributes:
        user: The claimed access key; None or empty if the request claims none.
        signature: The signature in Base64; None if the request has none.
        content: The content that the signature covers.
    """

    user: str | None
    signature: str | None
    content: bytes


def authenticate(credentials: SignedCredentials, snapshot: Snapshot, now_ms: int) -> User:
    """Return the user that signed the request.

    Args:
        credentials: The credentials of the request.
        snapshot: The current users.
        now_ms: Milliseconds since the epoch, for secrets that expire.

    Raises:
        AuthenticationFailed: With the reason `no-credentials`, `unknown-user`, `no-signature`, `wrong-signature`,
            `expired-secret` or `disabled`. An unknown user and a wrong secret give the peer the same message after the
            same work. Only a correct signature reveals that the user is disabled.
    """
    name = credentials.user
    if not name:
        raise AuthenticationFailed("no-credentials", NO_USER_NAME)
    user = snapshot.user(name)
    signature = credentials.signature
    found = match(user, credentials.content, signature or "", now_ms)
    if user is None:
        raise AuthenticationFailed("unknown-user", WRONG_SIGNATURE)
    if found is not _RIGHT:
        raise AuthenticationFailed(_reason(signature, found), WRONG_SIGNATURE)
    if user.status is not _ENABLED:
        raise AuthenticationFailed("disabled", f"User:{name} is disabled.")
    return user


def _reason(signature: str | None, found: Match) -> str:
    if not signature:
        return "no-signature"
    return "expired-secret" if found is Match.EXPIRED else "wrong-signature"


AUTHORIZATION: Final = "authorization"
DATE_TIME: Final = "x-mq-date-time"

_HEX = re.compile(r"(?:[0-9a-fA-F]{2})*\Z")


def read_grpc_credentials(authorization: str | None, date_time: str | None) -> SignedCredentials:
    """Parse the credentials in the headers of a call; without a user if `authorization` is missing.

    Args:
        authorization: `MQv2-HMAC-SHA1 Credential=ak[/region/service], SignedHeaders=x-mq-date-time, Signature=hex`. The
            algorithm and other items are ignored; the last of repeated items counts.
        date_time: The value of `x-mq-date-time`, the only signed content.

    Raises:
        AuthenticationFailed: With the reason `malformed-credentials` and Apache's sentence.
    """
    if not authorization:
        return SignedCredentials(None, None, b"")
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
            user = _grpc_user(value)
        elif name == "Signature":
            signature = _grpc_signature(value)
    return SignedCredentials(user, signature, date_time.encode("utf-8", "surrogatepass"))


def _items(text: str) -> list[str]:
    # Java's split drops empty items only at the end; an empty text gives one empty item.
    items = text.split(",")
    while text and items and not items[-1]:
        items.pop()
    return [item.strip() for item in items]


def _grpc_user(credential: str) -> str:
    if credential and not credential.strip("/"):
        raise _malformed("authentication credential length is incorrect, actual length=0.")
    return credential.partition("/")[0]


def _grpc_signature(digits: str) -> str:
    if not _HEX.match(digits):
        raise _malformed("create authentication context error.")
    return base64.b64encode(bytes.fromhex(digits)).decode("ascii")


def _malformed(message: str) -> AuthenticationFailed:
    return AuthenticationFailed("malformed-credentials", message)
