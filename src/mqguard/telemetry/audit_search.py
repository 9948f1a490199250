"""Finds a decision in the audit log by its id, in the file that is written and in those that were set aside."""

import json
import mmap
import re
from collections.abc import Iterator
from pathlib import Path

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


def find_decision(log: Path, decision_id: str) -> dict[str, object] | None:
    """The record of a refusal.

    Args:
        log: The JSON lines that are being written; parts that were set aside lie beside it as `log.1`, `log.2`, …
        decision_id: As the peer was told.

    Returns:
        The record, None if there is none of that id.

    Raises:
        OSError: A file cannot be read.
    """
    if not _ID.fullmatch(decision_id):
        return None
    wanted = f'"decision":"{decision_id}"'.encode()
    for part in _parts(log):
        line = _line_with(part, wanted)
        if line is not None:
            return line
    return None


def _parts(log: Path) -> Iterator[Path]:
    """The files, newest first."""
    if log.exists():
        yield log
    number = 1
    while (part := log.with_name(f"{log.name}.{number}")).exists():
        yield part
        number += 1


def _line_with(path: Path, wanted: bytes) -> dict[str, object] | None:
    if path.stat().st_size == 0:
        return None
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
        at = text.find(wanted)
        while at >= 0:
            start = text.rfind(b"\n", 0, at) + 1
            end = text.find(b"\n", at)
            record = _read(text[start : end if end >= 0 else len(text)])
            # A name can hold anything, also what looks like a member: the member itself must be equal.
            if record is not None and f'"decision":"{record.get("decision")}"'.encode() == wanted:
                return record
            at = text.find(wanted, at + 1)
    return None


def _read(line: bytes) -> dict[str, object] | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None  # the last line of a file that is being written may be cut
    return record if isinstance(record, dict) else None
