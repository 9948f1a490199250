"""Secrets in a configuration: read once, never shown again, and preferably references."""

import dataclasses
import os
import secrets
import string
from pathlib import Path

import msgspec

from mqguard.auth.user import Secret
from mqguard.config.errors import ValueInvalid


@dataclasses.dataclass(frozen=True, slots=True)
class Credentials:
    """A user name with its secret. The repr only shows the name.

    Attributes:
        name: The access key.
        secret: The secret key.
    """

    name: str
    secret: Secret

    @classmethod
    def parse(cls, text: str, name_key: str, secret_key: str) -> "Credentials":
        """Parse the JSON object in Apache's configuration, such as `{"username":"a","password":"b"}`.

        Args:
            text: The JSON, or a reference (`file:…`, `env:…`) to it.
            name_key: The member that names the user.
            secret_key: The member with the secret.

        Raises:
            ValueInvalid: The text is not such an object; the message never repeats any of it.
        """
        right = f'write JSON with both members, `{{"{name_key}":"…","{secret_key}":"…"}}`'
        try:
            found = msgspec.json.decode(resolve_secret(text).reveal().strip(), type=dict[str, object])
        except (msgspec.DecodeError, UnicodeError):
            raise ValueInvalid(right) from None
        name, secret = found.get(name_key), found.get(secret_key)
        if not isinstance(name, str) or not isinstance(secret, str) or not name.strip() or not secret.strip():
            raise ValueInvalid(right)
        return cls(name, Secret(secret))


def resolve_secret(text: str) -> Secret:
    """Return the secret in a value or behind its reference.

    Args:
        text: The secret itself, `file:PATH` (its content without the last line end) or `env:NAME`.

    Raises:
        ValueInvalid: The value is empty, or its file or variable cannot be read.
    """
    kind, colon, place = text.partition(":")
    content = text
    if colon and kind == "file":
        content = _read(Path(place))
    elif colon and kind == "env":
        content = os.environ.get(place, "")
        if not content:
            raise ValueInvalid(f"the environment variable `{place}` is not set")
    if not content:
        raise ValueInvalid("a secret cannot be empty")
    return Secret(content)


_ALPHABET = string.ascii_letters + string.digits
_LENGTH = 32


def make_secret() -> Secret:
    """Return a random secret of 190 bits: letters and digits only, so that no shell and no YAML changes it."""
    return Secret(secrets.choice(string.ascii_letters) + "".join(secrets.choice(_ALPHABET) for _ in range(_LENGTH - 1)))


MIN_LENGTH = 12
"""Minimum length of a random secret that cannot be guessed in time."""

_NOTORIOUS = frozenset(
    {
        "12345678",
        "123456789",
        "1234567890",
        "123456789012",
        "password",
        "password1",
        "password123",
        "rocketmq",
        "rocketmq2",
        "secretkey",
        "changeme",
        "admin",
        "adminadmin",
        "administrator",
        "qwertyuiop",
        "letmein",
        "default",
        "yoursecretkey",
        "your-secret-key",
    }
)
"""Secrets of examples and of every list of guesses, in lower case."""


def weakness(name: str, secret: Secret) -> str | None:
    """Return the reason why a user's secret is easy to guess, or None if there is no obvious one.

    Args:
        name: The user's name.
        secret: Its secret; the answer contains nothing of it.
    """
    text = secret.reveal()
    if text.lower() in _NOTORIOUS:
        return "it is among those that are tried first"
    if name and name.lower() in text.lower() and len(text) < len(name) + MIN_LENGTH:
        return "it is the user's name, or little more"
    if len(set(text)) < MIN_LENGTH // 3:
        return "it has few different characters"
    if len(text) < MIN_LENGTH:
        return f"it has fewer than {MIN_LENGTH} characters"
    return None


def _read(path: Path) -> str:
    try:
        content = path.read_text(encoding="utf-8")
    except OSError as exc:
        raise ValueInvalid(f"the file `{path}` cannot be read: {exc.strerror}") from None
    except UnicodeDecodeError:
        raise ValueInvalid(f"the file `{path}` is not UTF-8") from None
    return content.removesuffix("\n").removesuffix("\r")
