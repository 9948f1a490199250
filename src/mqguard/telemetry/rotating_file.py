"""A file that grows only at its end, and is rotated by renaming. For one thread."""

import os
from pathlib import Path

MODE = 0o600


class RotatingFile:
    """Appends bytes to `path`; older parts are `path.1` (the newest) to `path.N`.

    Other programs may follow the file: a part is renamed, never rewritten.
    """

    def __init__(self, path: Path, max_bytes: int, parts: int) -> None:
        """Use a path; the first write opens the file.

        Args:
            path: The file; its directory must exist. Only its owner may read it.
            max_bytes: The size at which a part is full.
            parts: Number of full parts to keep.
        """
        self._path = path
        self._max_bytes = max_bytes
        self._parts = parts
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
