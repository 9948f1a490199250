"""Secrets in a configuration: read once, never shown again, and best not written there at all but referred to."""

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
    """A user name with its secret. The repr shows the name alone.

    Attributes:
        name: The access key.
        secret: The secret key.
    """

    name: str
    secret: Secret

    @classmethod
    def parse(cls, text: str, name_key: str, secret_key: str) -> "Credentials":
        """Read the JSON object that Apache's configuration holds, such as `{"username":"a","password":"b"}`.

        Args:
            text: The JSON, or a reference (`file:…`, `env:…`) to it.
            name_key: The member that names the user.
            secret_key: The member that holds the secret.

        Raises:
            ValueInvalid: It is no such object; the message never repeats any of it.
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
    """The secret that a value holds or refers to.

    Args:
        text: The secret itself, `file:PATH` (its content without the last line end) or `env:NAME`.

    Raises:
        ValueInvalid: It is empty, or the file or variable it names cannot be read.
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
"""Characters of the shortest secret that nobody guesses in time, if they are random."""

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
"""Secrets of examples and of every list of guesses, in small letters."""


def weakness(name: str, secret: Secret) -> str | None:
    """What makes a user's secret easy to guess, None if nothing obvious does.

    Args:
        name: The user's name.
        secret: Its secret; nothing of it is in the answer.
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
