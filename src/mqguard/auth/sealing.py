"""Secrets at rest and on the move between mqguards: sealed with AES-256-GCM, bound to the name of their user."""

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
"""Begins every sealed form; the figure is the version of the form."""
_ANY_VERSION: Final = "mqguard:sealed:"

MASK: Final = "********"
"""Text in place of a secret that is not shown; a sealed secret follows it."""

_TRANSFER_ROUNDS: Final = 20_000
"""Rounds of PBKDF2 for a transfer key: an attacker needs them for each guess, a server once for each secret."""


class SealInvalid(MqguardError):
    """A sealed secret that cannot be opened: another key, another user, or not what sealing made."""


class SealingKey:
    """The key that secrets are sealed with. Neither its repr nor an error shows it."""

    __slots__ = ("_cipher", "_nonces", "id")

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise SealInvalid(f"a sealing key has {KEY_BYTES} bytes, not {len(key)}")
        self._cipher = AESGCM(key)
        self._nonces = hashlib.sha256(b"mqguard sealing nonces 1\0" + key).digest()
        self.id = hashlib.sha256(b"mqguard sealing key id\0" + key).hexdigest()[:8]
        """Names the key without giving it away, so that a wrong one can be told from a damaged secret."""

    def seal(self, user: str, secret: Secret, nonce: bytes) -> str:
        """The secret as text that only this key opens, and only for that user.

        Args:
            user: Whose secret it is.
            secret: What is sealed.
            nonce: 12 random bytes that were never used with this key before.

        Raises:
            SealInvalid: The nonce has another length.
        """
        if len(nonce) != NONCE_BYTES:
            raise SealInvalid(f"a nonce has {NONCE_BYTES} bytes, not {len(nonce)}")
        sealed = self._cipher.encrypt(nonce, secret.reveal().encode("utf-8", "surrogatepass"), _binding(user))
        return f"{PREFIX}{self.id}:{base64.urlsafe_b64encode(nonce + sealed).decode('ascii')}"

    def seal_steadily(self, user: str, secret: Secret) -> str:
        """The same as `seal`, and the same text each time, so that two answers about one user can be compared.

        The nonce is made of the key, the user and the secret: it never repeats for another content.
        """
        content = _binding(user) + b"\0" + secret.reveal().encode("utf-8", "surrogatepass")
        return self.seal(user, secret, hmac.digest(self._nonces, content, "sha256")[:NONCE_BYTES])

    def open(self, user: str, text: str) -> Secret:
        """The secret in a sealed form.

        Raises:
            SealInvalid: It was sealed with another key, for another user, in another version, or is damaged.
        """
        if not text.startswith(PREFIX):
            raise SealInvalid(f"the secret of `{user}` is not in the sealed form `{PREFIX}…`")
        key_id, _, body = text[len(PREFIX) :].partition(":")
        if key_id != self.id:
            raise SealInvalid(f"the secret of `{user}` is sealed with the key `{key_id[:8]}`, this key is `{self.id}`")
        try:
            data = _decode(body)
            opened = self._cipher.decrypt(data[:NONCE_BYTES], data[NONCE_BYTES:], _binding(user))
            return Secret(opened.decode("utf-8", "surrogatepass"))
        except (InvalidTag, ValueError):
            # The cause may hold parts of the secret: it is left out on purpose.
            raise SealInvalid(f"the sealed secret of `{user}` is damaged or was sealed for another user") from None

    def made(self, text: str) -> bool:
        """Whether a sealed form names this key as the one it was sealed with."""
        return text.startswith(f"{PREFIX}{self.id}:")

    def __repr__(self) -> str:
        return f"SealingKey(id={self.id!r})"


def is_sealed(text: str) -> bool:
    """Whether the text claims to be a sealed secret, of any version."""
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
        raise ValueError("not what encoding writes: other letters, or spare bits that say something")
    return data
