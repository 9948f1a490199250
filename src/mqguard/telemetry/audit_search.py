"""Finds a decision or a change in the audit log by its id, in the files that are written and in those that are full."""

import json
import mmap
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


def find_decision(log: Path, decision_id: str) -> dict[str, object] | None:
    """The record of a refusal.

    Args:
        log: The JSON lines that are being written; full parts lie beside it as `log.1`, `log.2`, …, and so do the lines
            about peers that did not prove who they are, as `log.unauthenticated` with parts of its own.
        decision_id: As the peer was told.

    Returns:
        The record, None if there is none of that id.

    Raises:
        OSError: A file cannot be read.
    """
    return _find(log, "decision", decision_id, ("", ".unauthenticated", ".admitted"))


def find_change(log: Path, change_id: str) -> dict[str, object] | None:
    """Return the record of a change of users or policies by its id.

    Args:
        log: As for `find_decision`.
        change_id: The `id` in the record.

    Returns:
        The record, None if there is none of that id.

    Raises:
        OSError: A file cannot be read.
    """
    return _find(log, "id", change_id, ("",))


def _find(log: Path, member: str, value: str, streams: Sequence[str]) -> dict[str, object] | None:
    if not _ID.fullmatch(value):
        return None
    for stream in streams:
        for part in _parts(log.with_name(f"{log.name}{stream}")):
            line = _line_with(part, member, value)
            if line is not None:
                return line
    return None


def _parts(log: Path) -> Iterator[Path]:
    """Return the files, newest first.

    A number may be missing: a process that is killed while it renames full parts leaves a gap.
    """
    if log.exists():
        yield log
    parts = (path.name for path in log.parent.glob("*") if path.name.startswith(log.name))
    numbers = [name.removeprefix(f"{log.name}.") for name in parts]
    for number in sorted(int(number) for number in numbers if number.isascii() and number.isdecimal()):
        yield log.with_name(f"{log.name}.{number}")


def _line_with(path: Path, member: str, value: str) -> dict[str, object] | None:
    wanted = f'"{member}":"{value}"'.encode()
    if path.stat().st_size == 0:
        return None
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
        at = text.find(wanted)
        while at >= 0:
            start = text.rfind(b"\n", 0, at) + 1
            end = text.find(b"\n", at)
            record = _read(text[start : end if end >= 0 else len(text)])
            # A name can hold anything, also what looks like a member: the member itself must be equal.
            if record is not None and record.get(member) == value:
                return record
            at = text.find(wanted, at + 1)
    return None


def _read(line: bytes) -> dict[str, object] | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None  # the last line of a file that is being written may be cut
    return record if isinstance(record, dict) else None
