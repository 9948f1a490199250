"""The accounts of ACL 1.0 that a start has carried over, so that one whose user is deleted does not come back."""

import os
from pathlib import Path

import msgspec

from mqguard.runtime.errors import StartFailed
from mqguard.store.fsync import sync_directory

FILE = "acl-v1-accounts.json"
"""Within the data directory."""


def read_migrated(data: Path) -> frozenset[str]:
    """Return the names of the accounts that earlier starts have carried over.

    Raises:
        StartFailed: The file cannot be read.
    """
    path = data / FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=frozenset[str])
    except FileNotFoundError:
        return frozenset()
    except OSError as exc:
        raise StartFailed(f"the file `{path}` cannot be read: {exc.strerror}") from None
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise StartFailed(f"the file `{path}` is damaged: restore it from a backup") from None


def write_migrated(data: Path, names: frozenset[str]) -> None:
    """Store the names.

    Raises:
        StartFailed: The file cannot be written.
    """
    path = data / FILE
    fresh = path.with_suffix(".new")
    try:
        with fresh.open("wb") as stream:
            stream.write(msgspec.json.encode(sorted(names)))
            stream.flush()
            os.fsync(stream.fileno())
        fresh.replace(path)
        sync_directory(data)
    except OSError as exc:
        raise StartFailed(f"the file `{path}` cannot be written: {exc.strerror}") from None
