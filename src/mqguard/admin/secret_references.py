"""Secrets that policy files refer to: environment variables, and files next to the policy file."""

import collections
import hashlib
import os
import re
import stat
from collections.abc import Callable, Iterable
from pathlib import Path

from mqguard.auth.blank import is_blank
from mqguard.auth.documents.document import SecretPlace, SecretReference
from mqguard.auth.documents.plan import Resolve
from mqguard.auth.errors import PolicyInvalid
from mqguard.auth.user import Secret

MAX_SECRET_BYTES = 64 << 10
"""Maximum size of a file that holds a secret."""

_PREFIX = "MQGUARD_SECRET_"
_DIGEST_DIGITS = 8
"""Hex digits of a digest that distinguishes names with the same letters."""
_LIKE_DIGESTED = re.compile(f"_[0-9A-F]{{{_DIGEST_DIGITS}}}$")


def resolver(document: Path) -> Resolve:
    """Return a function that finds the secrets that a document refers to.

    Args:
        document: Path of the document; relative paths of secret files start at its directory.
    """

    def resolve(reference: SecretReference) -> Secret:
        if reference.place is SecretPlace.ENV:
            return Secret(_variable(reference.name))
        return Secret(_only_line(document.parent / reference.name))

    return resolve


def variables(names: Iterable[str]) -> Callable[[str], SecretReference]:
    """Return a function that gives each user an environment variable named after the user.

    Names with the same letters get a digest as suffix, and so do names that end like a digest. So no user is ever
    given the secret of another user.
    """
    shared = collections.Counter(map(_word, names))

    def variable(name: str) -> SecretReference:
        word = _word(name)
        if shared[word] > 1 or not word.strip("_") or _LIKE_DIGESTED.search(word):
            word += "_" + hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST_DIGITS].upper()
        return SecretReference(SecretPlace.ENV, _PREFIX + word)

    return variable


def is_secret(text: str) -> bool:
    """True if a file or a variable can hold the text as a secret: one line of valid text, not blank."""
    is_utf8 = not any("\ud800" <= sign <= "\udfff" for sign in text)
    return not is_blank(text) and text.splitlines() == [text] and "\0" not in text and is_utf8


def _word(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9]", "_", name).upper()


def _variable(name: str) -> str:
    text = os.environ.get(name)
    if text is None:
        raise PolicyInvalid(f"the environment variable `{name}` is not set")
    if not is_secret(text):
        raise PolicyInvalid(f"the environment variable `{name}` must hold the secret in one line and nothing else")
    return text


def _only_line(path: Path) -> str:
    try:
        data = _read_regular(path)
    except OSError as error:
        raise PolicyInvalid(f"the file `{path}` cannot be read: {error.strerror}") from None
    except ValueError:
        raise PolicyInvalid(f"`{path}` is not a valid path") from None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise PolicyInvalid(f"the file `{path}` is not UTF-8") from None
    text = text.removesuffix("\n").removesuffix("\r")
    if not is_secret(text):
        raise PolicyInvalid(f"the file `{path}` must hold the secret in one line and nothing else")
    return text


def _read_regular(path: Path) -> bytes:
    """Read a regular file; a pipe may never answer, and a device may have no end."""
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise PolicyInvalid(f"`{path}` is not a regular file: keep a secret in a file or in an environment variable")
    with path.open("rb") as stream:
        data = stream.read(MAX_SECRET_BYTES + 1)
    if len(data) > MAX_SECRET_BYTES:
        raise PolicyInvalid(f"the file `{path}` is longer than {MAX_SECRET_BYTES >> 10} KiB, the maximum for a secret")
    return data
