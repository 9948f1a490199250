"""Signatures: HMAC-SHA1 over the signed content, as every RocketMQ client makes them."""

import enum
import functools
import hashlib
import hmac
from binascii import b2a_base64

from mqguard.auth.user import LiveSecret, Secret, User

_BLOCK = hashlib.sha1().block_size  # noqa: S324
_INNER = bytes(byte ^ 0x36 for byte in range(256))
_OUTER = bytes(byte ^ 0x5C for byte in range(256))

_NOBODIES = tuple(
    Secret(f"of nobody, number {number}: compared with for the time it takes, never believed") for number in range(512)
)
"""Many, because the prepared halves of one would always be at hand, and those of a user are not."""


def sign(secret: Secret, content: bytes) -> str:
    """The signature of `content`, in Base64 with padding (28 characters)."""
    return b2a_base64(_digest(secret, content), newline=False).decode("ascii")


class Match(enum.Enum):
    """How a signature compares with those that a user's secrets make."""

    RIGHT = enum.auto()
    EXPIRED = enum.auto()
    """Made with a secret of the user that is no longer accepted."""
    WRONG = enum.auto()


# A member looked up in its class costs as much as a step of the comparison.
_RIGHT, _WRONG, _EXPIRED = Match.RIGHT, Match.WRONG, Match.EXPIRED


def match(user: User | None, content: bytes, signature: str, now_ms: int) -> Match:
    """Compare a signature with those of the user's secrets.

    A refusal takes the same steps for a user who does not exist, who has one secret, or two: two signatures are made
    and compared in constant time.

    Args:
        user: Who claims to have signed; None if there is no such user.
        content: What was signed.
        signature: What the peer sent, in Base64; anything else is simply not equal.
        now_ms: Milliseconds since the epoch; a secret past its `not_after` is refused.
    """
    presented = signature.encode("utf-8", "surrogatepass")
    secrets = user.secrets if user is not None else ()
    first = _match(secrets[0] if secrets else None, content, presented, now_ms)
    if first is _RIGHT:
        return first
    second = _match(secrets[1] if len(secrets) > 1 else None, content, presented, now_ms)
    return second if first is _WRONG else first


def verify(user: User | None, content: bytes, signature: str, now_ms: int) -> bool:
    """Whether `signature` is that of one of the user's live secrets; arguments as for `match`."""
    return match(user, content, signature, now_ms) is _RIGHT


def _match(live: LiveSecret | None, content: bytes, presented: bytes, now_ms: int) -> Match:
    secret = _NOBODIES[hash(presented) % len(_NOBODIES)] if live is None else live.secret
    equal = hmac.compare_digest(b2a_base64(_digest(secret, content), newline=False), presented)
    if not equal or live is None:
        return _WRONG
    return _RIGHT if live.not_after is None or now_ms <= live.not_after else _EXPIRED


def _digest(secret: Secret, content: bytes) -> bytes:
    # HMAC (RFC 2104) continued from its prepared halves: `hmac.digest` prepares them for each call, and lets go of the
    # interpreter for each, which costs more than the hashing where other threads wait for their turn.
    inner, outer = _halves(secret.reveal())
    inner = inner.copy()
    inner.update(content)
    outer = outer.copy()
    outer.update(inner.digest())
    return outer.digest()


@functools.lru_cache(maxsize=8192)
def _halves(text: str) -> tuple["hashlib._Hash", "hashlib._Hash"]:
    """The hash states after the key's inner and outer pad."""
    # SHA-1 is what the protocol says; as an HMAC it is not known to be broken.
    key = text.encode("utf-8", "surrogatepass")
    if len(key) > _BLOCK:
        key = hashlib.sha1(key).digest()  # noqa: S324
    key = key.ljust(_BLOCK, b"\0")
    return hashlib.sha1(key.translate(_INNER)), hashlib.sha1(key.translate(_OUTER))  # noqa: S324
