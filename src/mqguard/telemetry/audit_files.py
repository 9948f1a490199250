"""Files of the audit log: rotation, and search for a decision or a change by its id."""

import json
import logging
import mmap
import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

_LOG = logging.getLogger(__name__)

MODE = 0o600
DAY_MS = 86_400_000
CHECK_MS = 3_600_000
"""Time between two searches for old parts, in milliseconds."""


class MaxAge(NamedTuple):
    """Age at which full parts are removed.

    Attributes:
        ms: Time since the last write to a part, in milliseconds; 0 for no limit.
        now_ms: Milliseconds since the epoch.
    """

    ms: int
    now_ms: Callable[[], int]


class RotatingFile:
    """Appends bytes to `path`; older parts are `path.1` (the newest) to `path.N`.

    Other programs may follow the file: a part is renamed, never rewritten.
    """

    def __init__(self, path: Path, max_bytes: int, parts: int, max_age: MaxAge | None = None) -> None:
        """Use a path; the first write opens the file.

        Args:
            path: The file; its directory must exist. Only its owner may read it.
            max_bytes: The size at which a part is full.
            parts: Number of full parts to keep.
            max_age: Age at which full parts are removed earlier; None for no limit.
        """
        self._path = path
        self._max_bytes = max_bytes
        self._parts = parts
        self._max_age = max_age if max_age is not None and max_age.ms > 0 else None
        self._checked_ms = 0
        self._fd = -1
        self._size = 0
        self._is_line_ended = False

    def make_room(self) -> None:
        """Start a new part if the file is full. Call this between lines.

        Raises:
            OSError: The disk failed.
        """
        if self._fd < 0:
            self._open()
        if self._size >= self._max_bytes:
            self.close()
            self._shift()
            self._open()
            self.remove_old()
        elif self._max_age is not None and abs(self._max_age.now_ms() - self._checked_ms) >= CHECK_MS:
            self.remove_old()

    def remove_old(self) -> None:
        """Remove the full parts that are too old. The current file stays, whatever its age."""
        if self._max_age is None:
            return
        now_ms = self._checked_ms = self._max_age.now_ms()
        for part in _parts(self._path):
            try:
                if part != self._path and part.stat().st_mtime * 1000 < now_ms - self._max_age.ms:
                    part.unlink()
            except FileNotFoundError:
                continue
            except OSError as exc:
                _LOG.warning("the old audit file `%s` cannot be removed: %s", part, exc.strerror)

    def append(self, data: bytes) -> int:
        """Write as much of `data` as the disk accepts at once, and return the number of written bytes.

        Raises:
            OSError: The disk accepts nothing.
        """
        if self._fd < 0:
            self._open()
        written = os.write(self._fd, data)
        self._size += written
        return written

    def sync(self) -> None:
        """Sync the written bytes, so that they survive a crash of the machine.

        Raises:
            OSError: The disk failed.
        """
        if self._fd >= 0:
            os.fsync(self._fd)

    def close(self) -> None:
        """Close the file; the next write opens it again."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _open(self) -> None:
        fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, MODE)
        # An existing file may have been readable for others.
        os.fchmod(fd, MODE)
        self._size = os.fstat(fd).st_size
        self._fd = fd
        self._end_line()

    def _end_line(self) -> None:
        """End an incomplete line of a killed process, so that the next line is separate."""
        if self._size == 0 or self._is_line_ended:
            self._is_line_ended = True
            return
        with self._path.open("rb") as file:
            file.seek(self._size - 1)
            is_ended = file.read(1) == b"\n"
        if not is_ended:
            self._size += os.write(self._fd, b"\n")
        self._is_line_ended = True

    def _shift(self) -> None:
        if self._parts == 0:
            self._path.unlink(missing_ok=True)
            return
        for number in range(self._parts - 1, 0, -1):
            older = self._part(number)
            if older.exists():
                older.replace(self._part(number + 1))
        self._path.replace(self._part(1))

    def _part(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")


_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


def logs_of_server(log: Path) -> list[Path]:
    """Return an audit log, and those of the other processes of its server.

    Several brokers of one server (`mqguard standalone --brokers`) write to directories of their own in its directory.

    Args:
        log: The current file of JSON lines.

    Returns:
        The log, even if it does not exist, and then the others.
    """
    return [log, *sorted({path.parent / log.name for path in log.parent.glob(f"*/{log.name}*")})]


def find_decision(log: Path, decision_id: str) -> dict[str, object] | None:
    """Return the record of a denial.

    Args:
        log: The current file of JSON lines. Full parts are in the same directory as `log.1`, `log.2`, …. The lines
            about unauthenticated peers are there too, as `log.unauthenticated` with parts of its own.
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
