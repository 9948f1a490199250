"""Secrets in options of commands, or typed at a terminal."""

import sys
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from mqguard.cli.output import warn

if TYPE_CHECKING:
    from mqguard.auth.user import Secret

FORMS = "`env:NAME`, `file:PATH`, or `-` for the terminal or the first line of standard input"
"""Forms in which an option refers to a secret."""

FROM_TERMINAL = "-"
"""Form for a secret that is typed at the terminal, or the first line of standard input."""


def read_secret(text: str, parameter: str, prompt: str) -> "Secret":
    """Return the secret that an option contains or refers to; `-` asks for it.

    Args:
        text: Value of the option.
        parameter: Name of the option as an argument of the command, for the warning about a visible secret.
        prompt: Prompt at a terminal.

    Raises:
        click.UsageError: The value refers to a secret that cannot be read.
    """
    from mqguard.config.errors import ValueInvalid
    from mqguard.config.secret import resolve_secret

    context = click.get_current_context(silent=True)
    if is_typed(text):
        return ask_secret(prompt) if has_terminal() else _from_standard_input()
    try:
        secret = resolve_secret(text)
    except ValueInvalid as error:
        raise click.UsageError(f"{_flag(parameter)}: {error}") from None
    is_literal = not text.startswith(("env:", "file:"))
    if is_literal and context and context.get_parameter_source(parameter) is ParameterSource.COMMANDLINE:
        warn(f"{_flag(parameter)} shows the secret to every process here and in the shell history: use {FORMS}")
    return secret


def new_secret(name: str, text: str | None) -> "Secret | None":
    """Return the new secret of a user, from the option `--secret` or typed at a terminal.

    Args:
        name: Name of the user.
        text: Value of the option.

    Returns:
        None if no secret is given, so that the caller creates a random one.

    Raises:
        click.UsageError: The value refers to a secret that cannot be read.
    """
    from mqguard.auth.user import Secret
    from mqguard.config.secret import weakness

    if text is not None:
        secret = read_secret(text, "secret", f"the secret of {name}")
    elif has_terminal():
        typed = click.prompt(
            f"the secret of {name} (leave it empty for a random one)",
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


def is_typed(text: str | None) -> bool:
    """True if an option asks for a secret at the terminal or from standard input."""
    return text == FROM_TERMINAL


def has_terminal() -> bool:
    """True if a person can answer a prompt."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def _from_standard_input() -> "Secret":
    from mqguard.admin.policy_files import MAX_SECRET_BYTES, is_secret
    from mqguard.auth.user import Secret

    line = sys.stdin.buffer.readline(MAX_SECRET_BYTES + 1)
    try:
        text = line.decode("utf-8").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise click.UsageError("the first line of standard input is not UTF-8, so it is not a valid secret") from None
    if len(line) > MAX_SECRET_BYTES or not is_secret(text):
        raise click.UsageError("the first line of standard input must be the secret and nothing else")
    return Secret(text)


def _flag(parameter: str) -> str:
    return f"`--{parameter.replace('_', '-')}`"
