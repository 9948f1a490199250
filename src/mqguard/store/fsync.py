"""Directories on the disk."""

import os
from pathlib import Path


def sync_directory(path: Path) -> None:
    """Have the disk know the names in a directory: a file that was made or replaced may be as before until then.

    Raises:
        OSError: The disk does not take it.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
