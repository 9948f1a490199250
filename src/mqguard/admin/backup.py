"""Backups of a running server: a copy of its data at one moment, with a list of its files.

A backup is written under another name and renamed at the end. Until then it has the file `INCOMPLETE`, and no server
starts on it. So a backup is complete or cannot be mistaken for one.
"""

import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from mqguard.admin.client import read
from mqguard.admin.session import Session
from mqguard.errors import ErrorKind, MqguardError
from mqguard.remoting.bodies.operations import SnapshotInfo
from mqguard.remoting.codes import OwnCode, ResponseCode
from mqguard.remoting.headers.operations import SnapshotHeader

INCOMPLETE = "backup.incomplete"
"""File in a backup that is not complete."""
MANIFEST = "backup.json"
"""File in a backup: its time, and its other files with their sizes and hashes."""
_FORM = 1
_CHUNK = 1 << 20
_SNAPSHOT_SECONDS = 120.0
"""Maximum time for a snapshot beyond the timeout of the connection: a slow disk has to write the buffers."""


class BackupInvalid(MqguardError):
    """A backup cannot be written, or is not complete and undamaged."""

    kind = ErrorKind.INVALID_INPUT


class BackupFile(msgspec.Struct):
    """One file of a backup.

    Attributes:
        size: Its size in bytes.
        sha256: The SHA-256 of its content, in hex.
    """

    size: int
    sha256: str


class Manifest(msgspec.Struct, rename="camel"):
    """Description of a backup.

    Attributes:
        form: Version of this form.
        version: The version of mqguard that took it.
        taken_at_ms: The time of the backup, in milliseconds since the epoch.
        sealed_with: Id of the key that opens the secrets of users; empty if the backup has no users.
        files: Its files, by path within the backup.
    """

    form: int
    version: str
    taken_at_ms: int
    sealed_with: str
    files: dict[str, BackupFile]

    @property
    def bytes(self) -> int:
        """The size of all files."""
        return sum(file.size for file in self.files.values())


class _Copied(NamedTuple):
    path: str
    file: BackupFile


def take_backup(session: Session, out: Path) -> Manifest:
    """Copy the data of a running server.

    Args:
        session: Connection to the server, in the name of a Super user. The server must run on this machine.
        out: The directory of the backup, which does not exist yet.

    Raises:
        BackupInvalid: The directory exists, cannot be written, or the server is on another machine.
        PeerRefused: The caller is not a Super user, or the server cannot take a snapshot.
        LinkError: The server did not answer.
    """
    if out.exists() or out.is_symlink():
        raise BackupInvalid(f"`{out}` exists: name a directory that does not exist yet")
    partial = out.with_name(f"{out.name}.partial")
    try:
        _begin(partial)
        snapshot = read(session.call(OwnCode.TAKE_SNAPSHOT, more_seconds=_SNAPSHOT_SECONDS), SnapshotInfo)
        try:
            manifest = _copy(Path(snapshot.directory), partial, snapshot)
        finally:
            session.call(
                OwnCode.DROP_SNAPSHOT,
                SnapshotHeader(snapshot_id=snapshot.snapshot_id),
                accept=frozenset({ResponseCode.SUCCESS, ResponseCode.QUERY_NOT_FOUND}),
                more_seconds=_SNAPSHOT_SECONDS,
            )
        _complete(partial, out, manifest)
    except OSError as error:
        raise BackupInvalid(f"the backup `{partial}` cannot be written: {error.strerror}") from None
    return manifest


def check_backup(path: Path) -> Manifest:
    """Check that a backup is complete, and that no file has changed since it was taken.

    Raises:
        BackupInvalid: The directory is not a backup, or a file is missing, added or changed.
    """
    try:
        manifest = msgspec.json.decode((path / MANIFEST).read_bytes(), type=Manifest)
        if (path / INCOMPLETE).exists() or manifest.form != _FORM:
            raise BackupInvalid(f"`{path}` is not a complete backup of this version")
        found = {str(file.relative_to(path)) for file in _files(path)} - {MANIFEST}
        for name in sorted(found ^ manifest.files.keys()):
            what = "is missing" if name in manifest.files else "does not belong to it: has a server run on it?"
            raise BackupInvalid(f"the backup `{path}` is damaged: the file `{name}` {what}")
        for name, file in manifest.files.items():
            if _described(path / name) != file:
                raise BackupInvalid(f"the backup `{path}` is damaged: the file `{name}` has another content")
    except (FileNotFoundError, NotADirectoryError):
        raise BackupInvalid(f"`{path}` is not a complete backup: it has no file `{MANIFEST}`") from None
    except OSError as error:
        raise BackupInvalid(f"the backup `{path}` cannot be read: {error.strerror}") from None
    except msgspec.MsgspecError:
        raise BackupInvalid(f"the file `{path / MANIFEST}` is damaged") from None
    return manifest


def _begin(partial: Path) -> None:
    """Create the directory; remove what an interrupted backup has left of it."""
    if (partial / INCOMPLETE).exists():
        shutil.rmtree(partial)
    if partial.exists():
        raise BackupInvalid(f"`{partial}` exists and is not an incomplete backup: move it away")
    partial.mkdir(mode=0o700)
    (partial / INCOMPLETE).touch()
    _sync(partial)


def _copy(source: Path, partial: Path, snapshot: SnapshotInfo) -> Manifest:
    if not source.is_dir() or source.name != snapshot.snapshot_id:
        raise BackupInvalid(
            f"the server's snapshot `{source}` is not on this machine, or this user may not read it: run this command "
            "at the server, as the user that runs it"
        )
    files = dict(_copy_file(file, file.relative_to(source), partial) for file in _files(source))
    for directory in sorted({(partial / name).parent for name in files}):
        _sync(directory)
    return Manifest(_FORM, snapshot.version, snapshot.taken_at_ms, snapshot.sealed_with, files)


def _copy_file(file: Path, name: Path, partial: Path) -> _Copied:
    copy = partial / name
    copy.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    digest, size = hashlib.sha256(), 0
    with file.open("rb") as source, os.fdopen(os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as to:
        while chunk := source.read(_CHUNK):
            digest.update(chunk)
            to.write(chunk)
            size += len(chunk)
        to.flush()
        os.fsync(to.fileno())
    return _Copied(str(name), BackupFile(size, digest.hexdigest()))


def _complete(partial: Path, out: Path, manifest: Manifest) -> None:
    with (partial / MANIFEST).open("xb") as file:
        file.write(msgspec.json.encode(manifest))
        file.flush()
        os.fsync(file.fileno())
    _sync(partial)
    (partial / INCOMPLETE).unlink()
    partial.rename(out)
    _sync(out.parent)


def _described(path: Path) -> BackupFile:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return BackupFile(path.stat().st_size, digest)


def _files(directory: Path) -> Iterator[Path]:
    return (path for path in sorted(directory.rglob("*")) if path.is_file())


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
