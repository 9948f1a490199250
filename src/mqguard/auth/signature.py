"""Signatures: HMAC-SHA1 over the signed content, as every RocketMQ client computes them."""

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
_RIGHT, _WRONG, _EXPIRED = Match.RIGHT, Match.WRONG, Match.EXPIRED


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


def verify(user: User | None, content: bytes, signature: str, now_ms: int) -> bool:
    """True if `signature` was made with one of the user's live secrets; the arguments are those of `match`."""
    return match(user, content, signature, now_ms) is _RIGHT


def _match(live: LiveSecret | None, content: bytes, presented: bytes, now_ms: int) -> Match:
    secret = _NOBODIES[hash(presented) % len(_NOBODIES)] if live is None else live.secret
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
