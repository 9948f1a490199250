"""Exit codes of commands, and the one line that explains an error."""

import enum
import json
import os
import re
import sys

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
