"""What commands print: text for people, JSON for scripts."""

import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def json_option(command: F) -> F:
    """Give a command the flag `--json`, as the argument `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a line.")(command)


def emit(value: object, text: str, *, as_json: bool) -> None:
    """Print a result and flush, so that a reader at the other end of a pipe sees it at once.

    Args:
        value: The result for scripts.
        text: The result for people; nothing is printed for them when it is empty.
        as_json: Which of the two.
    """
    line = json.dumps(value, ensure_ascii=False) if as_json else text
    if line:
        click.echo(line)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows under a head, columns as wide as they need to be, no blanks at line ends."""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in (head, *rows)]
    return "\n".join(line.rstrip() for line in lines)
