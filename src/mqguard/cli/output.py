"""Output and exit codes of commands: text for people, JSON for scripts, and one line for an error."""

import enum
import json
import os
import re
import sys
import unicodedata
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, TypeVar

import click

from mqguard.errors import ErrorKind, MqguardError
from mqguard.model.text import visible


class Exit(enum.IntEnum):
    """Exit codes; scripts may rely on them."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    UNREACHABLE = 3
    NOT_FOUND = 4
    INTERRUPTED = 130


_CODES = {
    ErrorKind.FAILED: Exit.FAILED,
    ErrorKind.INVALID_INPUT: Exit.USAGE,
    ErrorKind.UNREACHABLE: Exit.UNREACHABLE,
    ErrorKind.NOT_FOUND: Exit.NOT_FOUND,
}


_EXTRA = re.compile(r"(unexpected extra arguments?) \(.*\)$", re.DOTALL)


def report(error: BaseException, *, as_json: bool) -> Exit:
    """Print an error on standard error, and return its exit code.

    Args:
        error: Error that ended the command.
        as_json: True to print one JSON object.
    """
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        print(error.format_message(), file=sys.stderr)
        return Exit.USAGE
    code, text = _explain(error)
    if text:
        shown = "\n".join(map(visible, text.split("\n")))
        line = json.dumps({"error": text, "exit": int(code)}, ensure_ascii=False) if as_json else f"mqguard: {shown}"
        print(line, file=sys.stderr)
    return code


def _explain(error: BaseException) -> tuple[Exit, str]:
    match error:
        case click.UsageError():
            return Exit.USAGE, _usage(error)
        case click.ClickException():
            return Exit.FAILED, error.format_message()
        case click.Abort() | KeyboardInterrupt():
            return Exit.INTERRUPTED, ""
        case MqguardError():
            return _CODES[error.kind], str(error)
        case _ if os.environ.get("MQGUARD_TRACEBACK"):
            raise error
        case _:
            kind = type(error).__name__
            return Exit.FAILED, f"unexpected {kind}: {error} (set MQGUARD_TRACEBACK=1 to see the traceback)"


def _usage(error: click.UsageError) -> str:
    # An argument too many may be a secret that was meant for an option.
    text = _EXTRA.sub(r"\1", error.format_message().rstrip("."))
    text = text[:1].lower() + text[1:]
    where = error.ctx.command_path if error.ctx is not None else "mqguard"
    return f"{text} (see `{where} --help`)"


F = TypeVar("F", bound=Callable[..., Any])


def json_option(command: F) -> F:
    """Give a command the flag `--json`, as the argument `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, one object per line.")(command)


def examples(*commands: str) -> str:
    """Return examples of a command as the end of its help, each without `mqguard`."""
    return "\n".join(["\b", "Examples:", *(f"  mqguard {command}" for command in commands)])


def end(code: Exit) -> NoReturn:
    """Leave a command with an exit code."""
    click.get_current_context().exit(code)
    raise AssertionError  # click's exit raises


def emit(value: object, text: str, *, as_json: bool, verbatim: bool = False) -> None:
    """Print a result and flush, so that the reader of a pipe gets it at once.

    Args:
        value: Result for scripts.
        text: Result for people; an empty text prints nothing.
        as_json: True to print the result for scripts.
        verbatim: True to print the text unchanged. Otherwise control characters are escaped, since most texts contain
            names that other users have chosen.
    """
    if as_json:
        line = json.dumps(value, ensure_ascii=False)
    else:
        line = text if verbatim else "\n".join(map(_harmless, text.split("\n")))
    if line:
        click.echo(line)


def warn(text: str) -> None:
    """Print a warning on standard error, as JSON if the command prints JSON."""
    context = click.get_current_context(silent=True)
    as_json = context is not None and bool(context.params.get("as_json"))
    line = json.dumps({"warning": text}, ensure_ascii=False) if as_json else f"mqguard: warning: {_harmless(text)}"
    click.echo(line, err=True)


def show_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table: with lines and colours at a terminal, and as plain text for a pipe or a file."""
    if not sys.stdout.isatty():
        click.echo(table(head, rows))
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    for name in head:
        shown.add_column(Text(name.removeprefix("#")), overflow="fold")
    for row in rows:
        shown.add_row(*(Text(visible(cell), style=_STYLES.get(cell, "")) for cell in row))
    Console().print(shown)


_STYLES = {"Deny": "red", "Allow": "green", "disable": "yellow", "Super": "bold"}
"""Styles of cells that a reader should notice, by their text."""


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return rows under a head: one line per row, aligned columns, no blanks at line ends."""
    rows = [[visible(cell) for cell in row] for row in rows]
    widths = [max(_width(row[column]) for row in (head, *rows)) for column in range(len(head))]
    lines = ["  ".join(map(_filled, row, widths)) for row in (head, *rows)]
    return "\n".join(line.rstrip() for line in lines)


def _filled(cell: str, width: int) -> str:
    return cell + " " * (width - _width(cell))


def _width(text: str) -> int:
    """Return the columns that a terminal needs: two for East Asian characters, none for combining ones."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(one) else 2 if unicodedata.east_asian_width(one) in "WF" else 1 for one in text
    )


def _harmless(line: str) -> str:
    return "\t".join(map(visible, line.split("\t")))
