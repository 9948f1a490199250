"""Where policy files say that secrets are: the environment, and files beside the policy file."""

import collections
import hashlib
import os
import re
import stat
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mqguard.auth.documents.document import SecretReference
    from mqguard.auth.documents.planning import Resolve

MAX_SECRET = 64 << 10
"""Bytes of the longest file that can hold a secret."""

_PREFIX = "MQGUARD_SECRET_"
_DIGEST = 8
"""Hex digits of a digest that tell names of the same letters apart."""
_LIKE_DIGESTED = re.compile(f"_[0-9A-F]{{{_DIGEST}}}$")


def resolver(beside: Path) -> "Resolve":
    """Finds secrets that a document refers to: in the environment, or in files beside the document.

    Args:
        beside: The document; relative paths count from its directory.
    """
    from mqguard.auth.documents.document import SecretPlace, SecretReference
    from mqguard.auth.user import Secret

    def resolve(reference: SecretReference) -> Secret:
        if reference.place is SecretPlace.ENV:
            return Secret(_variable(reference.name))
        return Secret(_only_line(beside.parent / reference.name))

    return resolve


def variables(names: Iterable[str]) -> "Callable[[str], SecretReference]":
    """Gives each user an environment variable of its own, named after it.

    Names that come to the same letters get a few letters of a digest behind them, and so do names that look as if they
    had them already, so that no user is ever given the secret of another one.
    """
    from mqguard.auth.documents.document import SecretPlace, SecretReference

    shared = collections.Counter(map(_word, names))

    def variable(name: str) -> "SecretReference":
        word = _word(name)
        if shared[word] > 1 or not word.strip("_") or _LIKE_DIGESTED.search(word):
            word += "_" + hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST].upper()
        return SecretReference(SecretPlace.ENV, _PREFIX + word)

    return variable


def _word(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9]", "_", name).upper()


def _variable(name: str) -> str:
    from mqguard.auth.errors import PolicyInvalid

    text = os.environ.get(name)
    if text is None:
        raise PolicyInvalid(f"the environment has no `{name}`")
    if not is_secret(text):
        raise PolicyInvalid(f"`{name}` of the environment must hold the secret in one line and nothing else")
    return text


def _only_line(path: Path) -> str:
    from mqguard.auth.errors import PolicyInvalid

    try:
        # A pipe or a device would be waited for, or have no end.
        data = _read_regular(path)
    except OSError as error:
        raise PolicyInvalid(f"the file `{path}` cannot be read: {error.strerror}") from None
    except ValueError:
        raise PolicyInvalid(f"`{path}` is no path of a file") from None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise PolicyInvalid(f"the file `{path}` is no UTF-8") from None
    text = text.removesuffix("\n").removesuffix("\r")
    if not is_secret(text):
        raise PolicyInvalid(f"the file `{path}` must hold the secret in one line and nothing else")
    return text


def _read_regular(path: Path) -> bytes:
    from mqguard.auth.errors import PolicyInvalid

    mode = path.stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise PolicyInvalid(f"`{path}` is no regular file: a secret is in a file or in the environment")
    with path.open("rb") as stream:
        data = stream.read(MAX_SECRET + 1)
    if len(data) > MAX_SECRET:
        raise PolicyInvalid(f"the file `{path}` is longer than {MAX_SECRET >> 10} KiB, which no secret is")
    return data


def is_secret(text: str) -> bool:
    """Whether a place can hold the text: one line, not blank, and nothing that is no text."""
    from mqguard.auth.blank import is_blank

    is_utf8 = not any("\ud800" <= sign <= "\udfff" for sign in text)
    return not is_blank(text) and text.splitlines() == [text] and "\0" not in text and is_utf8
