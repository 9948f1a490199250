"""Output of commands: text for people, JSON for scripts."""

import json
import unicodedata
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, TypeVar

import click

from mqguard.cli.exit_codes import Exit
from mqguard.model.text import visible

F = TypeVar("F", bound=Callable[..., Any])


def json_option(command: F) -> F:
    """Give a command the flag `--json`, as the argument `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, one object per line.")(command)


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
