"""Where secrets come from: options of commands, a terminal, and what policy files refer to."""

import collections
import hashlib
import os
import re
import stat
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from mqguard.cli.output import warn

if TYPE_CHECKING:
    from mqguard.auth.documents.document import SecretReference
    from mqguard.auth.documents.planning import Resolve
    from mqguard.auth.user import Secret

MAX_SECRET = 64 << 10
"""Bytes of the longest file that can hold a secret."""

_PREFIX = "MQGUARD_SECRET_"
_DIGEST = 8
"""Hex digits of a digest that tell names of the same letters apart."""
_LIKE_DIGESTED = re.compile(f"_[0-9A-F]{{{_DIGEST}}}$")

FORMS = "`env:NAME`, `file:PATH`, or `-` for the terminal or the first line of standard input"
"""How an option refers to a secret."""


def read_secret(text: str, parameter: str, prompt: str) -> "Secret":
    """Return the secret that an option holds or refers to, as a configuration does, or with `-` the one typed.

    Args:
        text: The option's value.
        parameter: The option's name as an argument of the command, for a warning if a secret is on the command line.
        prompt: What to ask for at a terminal.

    Raises:
        click.UsageError: There is no secret where the value says.
    """
    from mqguard.config.errors import ValueInvalid
    from mqguard.config.secret import resolve_secret

    context = click.get_current_context(silent=True)
    if text == "-":
        return ask_secret(prompt) if has_terminal() else _from_standard_input()
    try:
        secret = resolve_secret(text)
    except ValueInvalid as error:
        raise click.UsageError(f"{_flag(parameter)}: {error}") from None
    is_literal = not text.startswith(("env:", "file:"))
    if is_literal and context and context.get_parameter_source(parameter) is ParameterSource.COMMANDLINE:
        warn(f"{_flag(parameter)} shows the secret to every process here and to the shell's history: use {FORMS}")
    return secret


def new_secret(name: str, text: str | None) -> "Secret | None":
    """Return the secret that the option `--secret` gives a user, or the one typed at a terminal.

    Args:
        name: The user.
        text: The option's value.

    Returns:
        None if nothing is given, so that a random secret is to be made.

    Raises:
        click.UsageError: There is no secret where the value says.
    """
    from mqguard.auth.user import Secret
    from mqguard.config.secret import weakness

    if text is not None:
        secret = read_secret(text, "secret", f"the secret of {name}")
    elif has_terminal():
        typed = click.prompt(
            f"the secret of {name}, or nothing for a random one",
            default="",
            show_default=False,
            hide_input=True,
            confirmation_prompt=True,
            err=True,
        )
        if not typed:
            return None
        secret = Secret(typed)
    else:
        return None
    weak = weakness(name, secret)
    if weak is not None:
        warn(f"the secret of `{name}` is easy to guess: {weak}")
    return secret


def ask_secret(prompt: str) -> "Secret":
    """Ask for a secret at the terminal, without showing it."""
    from mqguard.auth.user import Secret

    return Secret(click.prompt(prompt, hide_input=True, err=True))


def has_terminal() -> bool:
    """Return True if somebody can be asked."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def _from_standard_input() -> "Secret":
    from mqguard.auth.user import Secret

    line = sys.stdin.buffer.readline(MAX_SECRET + 1)
    try:
        text = line.decode("utf-8").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise click.UsageError("the first line of standard input is not UTF-8, so it is not a secret") from None
    if len(line) > MAX_SECRET or not is_secret(text):
        raise click.UsageError("the first line of standard input must be the secret and nothing else")
    return Secret(text)


def _flag(parameter: str) -> str:
    return f"`--{parameter.replace('_', '-')}`"


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
