"""One process per data directory."""

import fcntl
import os
from pathlib import Path

from mqguard.runtime.errors import StartFailed

LOCK_FILE = "mqguard.lock"


class DataLock:
    """Holds a data directory for this process. The kernel lets go of it when the process ends, however it ends."""

    def __init__(self, directory: Path) -> None:
        """Take the directory, which is made (0700) if there is none.

        Raises:
            StartFailed: Another process holds it, or it cannot be written.
        """
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = os.open(directory / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as exc:
            raise StartFailed(f"the data directory `{directory}` cannot be used: {exc.strerror}") from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(self._file, 20, 0).decode("ascii", "replace").strip()
            os.close(self._file)
            who = f"process {holder}" if holder.isdigit() else "another process"
            raise StartFailed(
                f"the data directory `{directory}` is in use by {who}: stop it, or name another directory with --data"
            ) from None
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let go of the directory; the file stays, so that nobody locks a file that is being removed."""
        os.ftruncate(self._file, 0)
        os.close(self._file)
