"""Sealed secrets, in storage and between mqguards: AES-256-GCM, bound to the user's name."""

import base64
import functools
import hashlib
import hmac
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from mqguard.auth.user import Secret, User
from mqguard.errors import MqguardError

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
PREFIX: Final = "mqguard:sealed:1:"
"""Prefix of every sealed form; the digit is the version of the form."""
_ANY_VERSION: Final = "mqguard:sealed:"

MASK: Final = "********"
"""Text in place of a secret that is not shown; a sealed secret follows it."""

_TRANSFER_ROUNDS: Final = 20_000
"""Rounds of PBKDF2 for a transfer key: an attacker needs them for each guess, a server once for each secret."""


class SealInvalid(MqguardError):
    """A sealed secret that cannot be opened: another key, another user, or not a sealed form."""


class SealingKey:
    """The key that seals secrets. Neither its repr nor an error shows it."""

    __slots__ = ("_cipher", "_nonces", "id")

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise SealInvalid(f"the sealing key has {len(key)} bytes: it must have {KEY_BYTES}")
        self._cipher = AESGCM(key)
        self._nonces = hashlib.sha256(b"mqguard sealing nonces 1\0" + key).digest()
        self.id = hashlib.sha256(b"mqguard sealing key id\0" + key).hexdigest()[:8]
        """Identifies the key without revealing it, to distinguish a wrong key from a damaged secret."""

    def seal(self, user: str, secret: Secret, nonce: bytes) -> str:
        """Seal the secret as text that only this key opens, and only for that user.

        Args:
            user: The owner of the secret.
            secret: The secret to seal.
            nonce: 12 random bytes that were never used with this key before.

        Raises:
            SealInvalid: The nonce has another length.
        """
        if len(nonce) != NONCE_BYTES:
            raise SealInvalid(f"the nonce has {len(nonce)} bytes: it must have {NONCE_BYTES}")
        sealed = self._cipher.encrypt(nonce, secret.reveal().encode("utf-8", "surrogatepass"), _binding(user))
        return f"{PREFIX}{self.id}:{base64.urlsafe_b64encode(nonce + sealed).decode('ascii')}"

    def seal_deterministic(self, user: str, secret: Secret) -> str:
        """Seal as `seal` does, with the same text each time, so that two answers about one user can be compared.

        The nonce is derived from the key, the user and the secret. It never repeats for other content.
        """
        content = _binding(user) + b"\0" + secret.reveal().encode("utf-8", "surrogatepass")
        return self.seal(user, secret, hmac.digest(self._nonces, content, "sha256")[:NONCE_BYTES])

    def open(self, user: str, text: str) -> Secret:
        """Open a sealed form and return its secret.

        Raises:
            SealInvalid: The form was sealed with another key, for another user or in another version, or it is damaged.
        """
        if not text.startswith(PREFIX):
            raise SealInvalid(f"the secret of `{user}` is not in the sealed form `{PREFIX}…`")
        key_id, _, body = text[len(PREFIX) :].partition(":")
        if key_id != self.id:
            raise SealInvalid(
                f"the secret of `{user}` is sealed with the key `{key_id[:8]}`, but the loaded key is `{self.id}`"
            )
        try:
            data = _decode(body)
            opened = self._cipher.decrypt(data[:NONCE_BYTES], data[NONCE_BYTES:], _binding(user))
            return Secret(opened.decode("utf-8", "surrogatepass"))
        except (InvalidTag, ValueError):
            # The cause may contain parts of the secret, so it is left out on purpose.
            raise SealInvalid(f"the sealed secret of `{user}` is damaged or was sealed for another user") from None

    def made(self, text: str) -> bool:
        """True if a sealed form names this key as the one that sealed it."""
        return text.startswith(f"{PREFIX}{self.id}:")

    def __repr__(self) -> str:
        return f"SealingKey(id={self.id!r})"


def is_sealed(text: str) -> bool:
    """True if the text claims to be a sealed secret, of any version."""
    return text.startswith(_ANY_VERSION)


def transfer_keys(asker: User) -> list[SealingKey]:
    """Return the keys derived from a Super user's secrets, the current secret's first."""
    return [_transfer_key(asker.name, live.secret) for live in asker.secrets]


@functools.lru_cache(maxsize=8)
def _transfer_key(name: str, secret: Secret) -> SealingKey:
    salt = b"mqguard travel key 1\0" + name.encode("utf-8", "surrogatepass")
    password = secret.reveal().encode("utf-8", "surrogatepass")
    return SealingKey(hashlib.pbkdf2_hmac("sha256", password, salt, _TRANSFER_ROUNDS))


def _binding(user: str) -> bytes:
    return b"mqguard user secret 1\0" + user.encode("utf-8", "surrogatepass")


def _decode(body: str) -> bytes:
    data = base64.urlsafe_b64decode(body)
    if base64.urlsafe_b64encode(data).decode("ascii") != body:
        raise ValueError("not canonical Base64: other characters, or padding bits that are not zero")
    return data
