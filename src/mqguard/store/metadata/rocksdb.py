"""Users and policies on RocksDB, in a small directory of their own, with secrets sealed."""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final, cast

import rocksdict

from mqguard.auth.errors import (
    MetadataStoreFailed,
    MetadataStoreFull,
    MetadataStoreOccupied,
    RecordCorrupt,
    SealingKeyWrong,
)
from mqguard.auth.ports import (
    Change,
    ChangeRecord,
    DeleteAcl,
    DeleteUser,
    Metadata,
    OnUpdate,
    PutAcl,
    PutUser,
    check_revision,
)
from mqguard.auth.records import AclRecord
from mqguard.auth.seal import SealingKey
from mqguard.auth.user import User
from mqguard.store.metadata import records

_MIB: Final = 1 << 20
_BUFFER: Final = 2 * _MIB
_CACHE: Final = _MIB
_FULL: Final = ("no space left", "disk quota exceeded", "file too large", "max allowed space")
_CORRUPT: Final = ("corruption", "checksum")


class RocksMetadataStore:
    """A metadata store whose changes survive a crash of the machine: each is one batch, synced before it returns.

    Rule 1: no record is skipped. One damaged record stops the start, and the error names it.
    Rule 2: after a failed write RocksDB may still have the batch in its log. The old values are then restored before
    anything else is read or written.

    Attributes:
        sealed_with: Id of the key that seals the stored secrets.
    """

    def __init__(self, path: Path, key: SealingKey | None) -> None:
        """Open the directory; create it if it is missing.

        Args:
            path: The directory; it must contain nothing else.
            key: The key that seals secrets. Without it, users are read without their secrets, and no change can be
                stored but `reseal`.

        Raises:
            MetadataStoreOccupied: Another process uses it.
            RecordCorrupt: It is damaged.
            SealingKeyWrong: Its secrets are sealed with another key.
            MetadataStoreFailed: It cannot be opened.
        """
        self._path = path
        self._key = key
        self.sealed_with = "" if key is None else key.id
        self._synced = rocksdict.WriteOptions()
        self._synced.sync = True
        # Values before a failed write, by key, until they are restored.
        self._doubtful: dict[bytes, bytes | None] = {}
        self._db: rocksdict.Rdict | None = None
        # The stored revision: no other process can write while this one uses the directory.
        self._revision = 0
        self._open()
        try:
            self._check_meta()
            self._revision = records.read_revision(self._settled().get(records.REVISION))
        except BaseException:
            self.close()
            raise

    def load(self) -> Metadata:
        """Read everything; see `MetadataStore`."""
        db = self._settled()
        users: list[User] = []
        acls: list[AclRecord] = []
        try:
            for at, record in db.items():
                self._sort(cast("bytes", at), cast("bytes", record), users, acls)
        except MetadataStoreFailed:
            raise
        except Exception as exc:  # rocksdict has no error class of its own
            raise self._store_error(exc) from exc
        return Metadata(users, acls, self._revision)

    def _sort(self, at: bytes, record: bytes, users: list[User], acls: list[AclRecord]) -> None:
        if at.startswith(records.USER):
            users.append(records.read_user(at, record, self._key))
        elif at.startswith(records.ACL):
            acls.append(records.read_acl(at, record))
        elif at not in {records.META, records.REVISION} and not at.startswith(records.RECORD):
            raise RecordCorrupt(f"the stored record `{at[:80]!r}` does not belong to mqguard")

    def apply(self, changes: Sequence[Change], expected_revision: int) -> int:
        """Make all changes or none; see `MetadataStore`."""
        return self._apply(changes, expected_revision, {})

    def apply_recorded(self, changes: Sequence[Change], expected_revision: int, record: ChangeRecord) -> int:
        """Make all changes and keep their record, in one batch; see `RecordingStore`."""
        return self._apply(changes, expected_revision, {records.record_key(record.id): records.write_record(record)})

    def unseal(self, key: SealingKey) -> None:
        """Use the key of the stored secrets from now on, in a store that was opened without it.

        Raises:
            SealingKeyWrong: The secrets are sealed with another key.
        """
        self._key = key
        self._check_meta()

    def reseal(self, users: Sequence[User], key: SealingKey, record: ChangeRecord) -> None:
        """Replace all users, with secrets sealed with another key, in one write with the record of the change.

        Args:
            users: Every stored user, with its secrets.
            key: The new key.
            record: The record of the change.

        Raises:
            MetadataStoreFailed: The store cannot be written; nothing has changed.
        """
        db = self._settled()
        values: dict[bytes, bytes | None] = {
            records.user_key(user.name): records.write_user(user, key) for user in users
        }
        values[records.META] = records.write_meta(records.Meta(key.id))
        values[records.REVISION] = records.write_revision(self._revision + 1)
        values[records.record_key(record.id)] = records.write_record(record)
        self._write(values)
        self._key, self.sealed_with = key, key.id
        self._revision += 1
        everything = rocksdict.CompactOptions()
        everything.set_bottommost_level_compaction(rocksdict.BottommostLevelCompaction.force())
        try:
            # Otherwise the old sealed secrets would stay in the files.
            db.flush(wait=True)
            db.compact_range(None, None, everything)
        except Exception as exc:
            raise self._store_error(exc) from exc

    def checkpoint(self, path: Path) -> None:
        """Copy the store, as it is now, into a directory that does not exist yet.

        Raises:
            MetadataStoreFailed: The copy cannot be written.
        """
        db = self._settled()
        try:
            rocksdict.Checkpoint(db).create_checkpoint(str(path))
        except Exception as exc:
            raise self._store_error(exc) from exc

    def watch(self, on_update: OnUpdate) -> None:
        """Never call: no other process can write to the directory; see `MetadataStore`."""
        del on_update
        self._settled()

    def _apply(self, changes: Sequence[Change], expected_revision: int, more: dict[bytes, bytes | None]) -> int:
        self._settled()
        check_revision(expected_revision, self._revision)
        revision, values = self._revision, {**self._values(changes), **more}
        if changes:
            revision += 1
            values[records.REVISION] = records.write_revision(revision)
        if values:
            self._write(values)
        self._revision = revision
        return revision

    def unwritten_records(self) -> list[ChangeRecord]:
        """Return the records that are still kept; see `RecordingStore`."""
        db = self._settled()
        found: list[ChangeRecord] = []
        try:
            for at, stored in db.items(from_key=records.RECORD):
                if not cast("bytes", at).startswith(records.RECORD):
                    break
                found.append(records.read_record(cast("bytes", at), cast("bytes", stored)))
        except MetadataStoreFailed:
            raise
        except Exception as exc:  # rocksdict has no error class of its own
            raise self._store_error(exc) from exc
        return found

    def records_written(self, ids: Sequence[str]) -> None:
        """Remove records; see `RecordingStore`. Not synced: a crash of the machine may bring them back."""
        db = self._settled()
        batch = rocksdict.WriteBatch(raw_mode=True)
        for record_id in ids:
            batch.delete(records.record_key(record_id))
        try:
            db.write(batch)
        except Exception as exc:
            raise self._store_error(exc) from exc

    def _values(self, changes: Sequence[Change]) -> dict[bytes, bytes | None]:
        values: dict[bytes, bytes | None] = {}
        if self._key is None:
            raise MetadataStoreFailed("the store of users and policies was opened without its sealing key")
        for change in changes:
            match change:
                case PutUser(user):
                    values[records.user_key(user.name)] = records.write_user(user, self._key)
                case DeleteUser(name):
                    values[records.user_key(name)] = None
                case PutAcl(acl):
                    values[records.acl_key(acl.subject)] = records.write_acl(acl)
                case DeleteAcl(subject):
                    values[records.acl_key(subject)] = None
        return values

    def close(self) -> None:
        """Release the directory."""
        if self._db is not None:
            with contextlib.suppress(Exception):  # a store that failed may also fail to close
                self._db.close()
            self._db = None

    def _open(self) -> None:
        try:
            # RocksDB creates files that all users can read.
            self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._db = rocksdict.Rdict(str(self._path), _options())
        except OSError as exc:
            raise MetadataStoreFailed(f"the directory `{self._path}` cannot be created: {exc.strerror}") from exc
        except Exception as exc:
            raise self._store_error(exc) from exc

    def _check_meta(self) -> None:
        db = self._settled()
        record = db.get(records.META)
        if record is None:
            if next(iter(db.keys()), None) is not None:
                raise RecordCorrupt(f"the record that describes the store in `{self._path}` is missing")
            if self._key is None:
                return
            self._write({records.META: records.write_meta(records.Meta(self._key.id))})
            return
        self.sealed_with = records.read_meta(record).key
        if self._key is not None and self.sealed_with != self._key.id:
            raise SealingKeyWrong(
                f"the secrets in `{self._path}` are sealed with the key `{self.sealed_with}`, and the given key is "
                f"`{self._key.id}`: give the key that they were sealed with"
            )

    def _settled(self) -> rocksdict.Rdict:
        """Return the database, after the old values of a failed write are restored.

        Raises:
            MetadataStoreFailed: It is closed, or still fails.
        """
        if self._doubtful:
            self.close()
            self._open()
        db = self._db
        if db is None:
            raise MetadataStoreFailed("the store of users and policies is closed")
        if self._doubtful:
            self._put(db, self._doubtful)
            self._doubtful = {}
        return db

    def _write(self, values: dict[bytes, bytes | None]) -> None:
        db = self._settled()
        try:
            before: dict[bytes, bytes | None] = {at: db.get(at) for at in values}
        except Exception as exc:
            raise self._store_error(exc) from exc
        try:
            self._put(db, values)
        except MetadataStoreFailed:
            self._doubtful = before
            with contextlib.suppress(MetadataStoreFailed):  # the first error is reported; this is repeated later
                self._settled()
            raise

    def _put(self, db: rocksdict.Rdict, values: dict[bytes, bytes | None]) -> None:
        batch = rocksdict.WriteBatch(raw_mode=True)
        for at, value in values.items():
            if value is None:
                batch.delete(at)
            else:
                batch.put(at, value)
        try:
            db.write(batch, self._synced)
        except Exception as exc:
            raise self._store_error(exc) from exc

    def _store_error(self, error: Exception) -> MetadataStoreFailed:
        """Return our error for an error of RocksDB, based on its text: rocksdict has one class for all."""
        text = " ".join(str(error).split())
        low = text.lower()
        if "lock" in low and "LOCK" in text:
            return MetadataStoreOccupied(f"the users and policies in `{self._path}` are in use by another process")
        if any(word in low for word in _FULL):
            return MetadataStoreFull(f"no space is left for users and policies in `{self._path}`: {text}")
        if any(word in low for word in _CORRUPT):
            return RecordCorrupt(f"the users and policies in `{self._path}` are damaged: {text}; restore a backup")
        return MetadataStoreFailed(f"the store of users and policies in `{self._path}` failed: {text}")


def _options() -> rocksdict.Options:
    table = rocksdict.BlockBasedOptions()
    table.set_block_cache(rocksdict.Cache(_CACHE))
    options = rocksdict.Options(raw_mode=True)
    options.create_if_missing(True)  # noqa: FBT003 - rocksdict takes it by position
    options.set_block_based_table_factory(table)
    options.set_compression_type(rocksdict.DBCompressionType.none())
    options.set_write_buffer_size(_BUFFER)
    options.set_max_write_buffer_number(2)
    options.set_max_background_jobs(1)
    options.set_max_open_files(64)
    options.set_keep_log_file_num(2)
    options.set_max_log_file_size(_MIB)
    options.set_stats_dump_period_sec(0)
    options.set_stats_persist_period_sec(0)
    options.set_is_fd_close_on_exec(True)
    options.set_paranoid_checks(True)
    return options
