"""How commands end: exit codes and the one line that says why."""

import enum
import json
import os
import sys

import click

from mqguard.errors import MqguardError
from mqguard.model.text import visible


class Exit(enum.IntEnum):
    """Exit codes; scripts may rely on them."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    UNREACHABLE = 3
    NOTHING = 4
    INTERRUPTED = 130


class NothingThere(MqguardError):
    """What was asked for does not exist; ends with `Exit.NOTHING`."""


def report(exc: BaseException, *, as_json: bool) -> Exit:
    """Say on standard error what went wrong, and return the exit code for it.

    Args:
        exc: What ended the command.
        as_json: Whether to say it as one JSON object.
    """
    if isinstance(exc, click.exceptions.NoArgsIsHelpError):
        print(exc.format_message(), file=sys.stderr)
        return Exit.USAGE
    code, text = _explain(exc)
    if text:
        shown = "\n".join(map(visible, text.split("\n")))
        line = json.dumps({"error": text, "exit": int(code)}, ensure_ascii=False) if as_json else f"mqguard: {shown}"
        print(line, file=sys.stderr)
    return code


def _explain(exc: BaseException) -> tuple[Exit, str]:
    match exc:
        case click.UsageError():
            return Exit.USAGE, _usage(exc)
        case click.ClickException():
            return Exit.FAILED, exc.format_message()
        case click.Abort() | KeyboardInterrupt():
            return Exit.INTERRUPTED, ""
        case NothingThere():
            return Exit.NOTHING, str(exc)
        case MqguardError():
            return _code_of(exc), str(exc)
        case _ if os.environ.get("MQGUARD_TRACEBACK"):
            raise exc
        case _:
            kind = type(exc).__name__
            return Exit.FAILED, f"unexpected {kind}: {exc} (MQGUARD_TRACEBACK=1 shows where)"


def _usage(exc: click.UsageError) -> str:
    text = exc.format_message().rstrip(".")
    text = text[:1].lower() + text[1:]
    where = exc.ctx.command_path if exc.ctx is not None else "mqguard"
    return f"{text} (see `{where} --help`)"


def _code_of(exc: MqguardError) -> Exit:
    # By name: importing the classes would load what a command does not need.
    names = {kind.__name__ for kind in type(exc).__mro__}
    if names & {"ConfigInvalid", "GuardMisconfigured", "PolicyInvalid", "AddressInvalid", "NetSettingsInvalid"}:
        return Exit.USAGE
    return Exit.UNREACHABLE if names & {"Unreachable", "LinkError", "SourceUnavailable"} else Exit.FAILED
