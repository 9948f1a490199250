"""What commands print: text for people, JSON for scripts."""

import json
import unicodedata
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from mqguard.model.text import visible

F = TypeVar("F", bound=Callable[..., Any])


def json_option(command: F) -> F:
    """Give a command the flag `--json`, as the argument `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a line.")(command)


def emit(value: object, text: str, *, as_json: bool, verbatim: bool = False) -> None:
    """Print a result and flush, so that a reader at the other end of a pipe sees it at once.

    Args:
        value: The result for scripts.
        text: The result for people; nothing is printed for them when it is empty.
        as_json: Which of the two.
        verbatim: Whether the text goes out as it is. Otherwise what a terminal would obey is made visible: most texts
            hold names that somebody else has chosen.
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
    """Rows under a head, columns as wide as they need to be, no blanks at line ends; each row is one line."""
    rows = [[visible(cell) for cell in row] for row in rows]
    widths = [max(_width(row[column]) for row in (head, *rows)) for column in range(len(head))]
    lines = ["  ".join(map(_filled, row, widths)) for row in (head, *rows)]
    return "\n".join(line.rstrip() for line in lines)


def _filled(cell: str, width: int) -> str:
    return cell + " " * (width - _width(cell))


def _width(text: str) -> int:
    """How many columns of a terminal it takes: East Asian characters take two, combining ones none."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(one) else 2 if unicodedata.east_asian_width(one) in "WF" else 1 for one in text
    )


def _harmless(line: str) -> str:
    return "\t".join(map(visible, line.split("\t")))
