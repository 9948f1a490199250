"""Audit logs decided again: what other policies would have done with the requests that a server recorded."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from mqguard.auth.analysis.access_state import AccessState
from mqguard.auth.analysis.replay import Replay, replay
from mqguard.auth.errors import PolicyInvalid
from mqguard.guard.audit_log_reader import AuditReader

LOG_NAME = "audit.jsonl"
"""Name of the audit log with JSON lines; full parts are `audit.jsonl.1` and so on."""


class LogReplay(NamedTuple):
    """Result of a replay.

    Attributes:
        files: Files that were read.
        reader: Reader with the counts of records.
        replay: Decisions that would be different.
    """

    files: list[Path]
    reader: AuditReader
    replay: Replay


def replay_logs(paths: Iterable[Path], directory: AccessState) -> LogReplay:
    """Decide the requests in audit logs again, by other users and policies.

    Args:
        paths: Audit logs, or directories that hold them.
        directory: Users and policies to decide by.

    Raises:
        PolicyInvalid: A file cannot be read, or is not an audit log.
    """
    reader = AuditReader()
    files = list(_files(paths))
    for path in files:
        _read(path, reader)
    return LogReplay(files, reader, replay(reader.asked, directory))


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    """Yield each file once, with the files of directories in their place."""
    seen = set()
    for path in paths:
        parts = sorted(path.glob(f"{LOG_NAME}*")) if path.is_dir() else [path]
        if not parts:
            raise PolicyInvalid(f"the directory `{path}` has no `{LOG_NAME}`")
        for part in parts:
            if part.resolve() not in seen:
                seen.add(part.resolve())
                yield part


def _read(path: Path, reader: AuditReader) -> None:
    lines = 0
    before = reader.unreadable
    try:
        with path.open("rb") as stream:
            for line in stream:
                lines += 1
                reader.take(line)
    except OSError as error:
        raise PolicyInvalid(f"the file `{path}` cannot be read: {error.strerror}") from None
    if lines and reader.unreadable - before == lines:
        raise PolicyInvalid(f"the file `{path}` is not an audit log with JSON lines: give `{LOG_NAME}`")
