"""Search of the audit log for a decision or a change by its id, in current and in full files."""

import json
import mmap
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


def find_decision(log: Path, decision_id: str) -> dict[str, object] | None:
    """Return the record of a denial.

    Args:
        log: The current file of JSON lines. Full parts are in the same directory as `log.1`, `log.2`, …, and so are the
            lines about unauthenticated peers, as `log.unauthenticated` with parts of its own.
        decision_id: The id that the peer received.

    Returns:
        The record, or None if no record has that id.

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
        The record, or None if no record has that id.

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
            # A name can contain any text, even the text of a member, so the member itself must be equal.
            if record is not None and record.get(member) == value:
                return record
            at = text.find(wanted, at + 1)
    return None


def _read(line: bytes) -> dict[str, object] | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None  # the last line of the current file may be incomplete
    return record if isinstance(record, dict) else None
