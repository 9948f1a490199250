"""Users and policies in etcd, shared by many guards and brokers, with secrets sealed.

The revision of the store is the revision of etcd at which the key `m/revision` was written last. Each change writes
this key in its transaction, which etcd makes only if the key still has the expected revision.

Rule 1: no record is skipped. A key that cannot be read is an error that names it, and the last good state stays.
Rule 2: after a write without an answer, the outcome is found out before this store returns. A second transaction makes
sure that the first one cannot be made any more.
Rule 3: a watch that was cut begins again at the next revision. If etcd has removed this revision, or a key was written
without `m/revision`, readers load everything again.
"""

import logging
import secrets
import threading
import time
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Final

import msgspec

from mqguard.auth.errors import MetadataStoreFailed, RecordCorrupt, RevisionConflict, SealingKeyWrong
from mqguard.auth.ports import (
    Change,
    ChangeRecord,
    DeleteAcl,
    DeleteUser,
    Metadata,
    MetadataUpdate,
    OnUpdate,
    PutAcl,
    PutUser,
    check_revision,
)
from mqguard.auth.records import AclRecord
from mqguard.auth.seal import SealingKey
from mqguard.auth.user import Subject, User
from mqguard.store.metadata import records
from mqguard.store.metadata.etcd_client import (
    Compacted,
    EtcdClient,
    Json,
    KeyEvent,
    KeyValue,
    OutcomeUnknown,
    RangeResult,
    prefix_end,
    request_delete,
    request_put,
    same_revision,
    transaction,
)

_LOG = logging.getLogger(__name__)

PAGE: Final = 500
"""Number of keys that are read at once."""
MAX_LOADS: Final = 5
"""Maximum number of times that a read begins again because etcd has removed its revision."""
MAX_STEPS: Final = 64
"""Maximum number of later writes between a write without an answer and now."""
MIN_RETRY_S: Final = 0.1
MAX_RETRY_S: Final = 2.0
"""Seconds until a watch begins again."""
UNKNOWN: Final = (
    "etcd did not answer: the change may have been made or not; read users and policies to see, before you repeat it"
)


class _Mark(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """Value of the key `m/revision`: the write that it belongs to.

    Attributes:
        previous: Revision right before the write.
        writer: The store object that wrote it; empty if every reader must apply it.
        nonce: Identifies the write.
    """

    previous: int
    writer: str
    nonce: str


_MARKS = msgspec.json.Decoder(_Mark)


class EtcdMetadataStore:
    """A metadata store in etcd (`RecordingStore`). It is thread-safe.

    Args:
        client: Client of etcd. This object closes it.
        prefix: Prefix of all keys, such as `/mqguard/`.
        key: The key that seals secrets, the same for all servers.
        member: Name of this server, the same at each start. It reads only its own change records.

    Raises:
        SealingKeyWrong: The stored secrets are sealed with another key.
        RecordCorrupt: The record that describes the store is damaged.
        MetadataStoreFailed: etcd cannot be read.
    """

    def __init__(self, client: EtcdClient, prefix: str, key: SealingKey, member: str) -> None:
        self._client = client
        self._prefix = prefix.encode()
        self._key = key
        self._records = self._prefix + b"r/" + member.encode() + b"/"
        self._writer = secrets.token_hex(8)
        self._is_closed = False
        self._listeners: list[OnUpdate] = []
        self._stop = threading.Event()
        # The last revision of etcd that was read or reported.
        self._seen = 0
        self._watched_s = 0.0
        self._check_meta()

    def load(self) -> Metadata:
        """Read everything; see `MetadataStore`."""
        self._check_open()
        for _ in range(MAX_LOADS):
            try:
                return self._load()
            except Compacted:
                continue
        raise MetadataStoreFailed("etcd removes revisions faster than users and policies can be read: try again later")

    def _load(self) -> Metadata:
        users: list[User] = []
        acls: list[AclRecord] = []
        revision, at_revision, has_meta = 0, 0, False
        start, end = self._prefix, prefix_end(self._prefix)
        while True:
            page = self._client.range(_read(start, end, PAGE, at_revision))
            at_revision = at_revision or page.header.revision
            for found in page.kvs:
                at = self._at(found.key)
                if at == records.REVISION:
                    revision = found.mod_revision
                    self._mark(found)
                elif at == records.META:
                    has_meta = True
                    self._check_key(found.value)
                elif at.startswith(records.USER):
                    users.append(records.read_user(at, found.value, self._key))
                elif at.startswith(records.ACL):
                    acls.append(records.read_acl(at, found.value))
            if not page.more or not page.kvs:
                break
            start = page.kvs[-1].key + b"\0"
        if not has_meta:
            raise RecordCorrupt(
                f"the key `{_text(self._prefix)}m/format`, which describes the store, is missing in etcd"
            )
        self._seen = max(self._seen, at_revision)
        return Metadata(users, acls, revision)

    def confirm(self) -> int:
        """Return the revision that the store has now, as a majority of etcd's members knows it.

        Raises:
            MetadataStoreFailed: It cannot be read.
        """
        self._check_open()
        found = self._read_one(self._key_of(records.REVISION)).kvs
        return found[0].mod_revision if found else 0

    def apply(self, changes: Sequence[Change], expected_revision: int) -> int:
        """Make all changes or none; see `MetadataStore`."""
        return self._apply(changes, expected_revision, [])

    def apply_recorded(self, changes: Sequence[Change], expected_revision: int, record: ChangeRecord) -> int:
        """Make all changes and keep their record, in one transaction; see `RecordingStore`."""
        return self._apply(changes, expected_revision, [self._put_record(record)])

    def unwritten_records(self) -> list[ChangeRecord]:
        """Return the records of this server that are still kept; see `RecordingStore`."""
        self._check_open()
        start, found = self._records, []
        while True:
            page = self._client.range(_read(start, prefix_end(self._records), PAGE, 0))
            for kv in page.kvs:
                record_id = kv.key[len(self._records) :].decode("utf-8", "backslashreplace")
                found.append((kv.mod_revision, records.read_record(records.record_key(record_id), kv.value)))
            if not page.more or not page.kvs:
                break
            start = page.kvs[-1].key + b"\0"
        return [record for _, record in sorted(found, key=lambda pair: pair[0])]

    def records_written(self, ids: Sequence[str]) -> None:
        """Remove records; see `RecordingStore`."""
        self._check_open()
        for begin in range(0, len(ids), 100):
            done = [request_delete(self._records + one.encode()) for one in ids[begin : begin + 100]]
            self._client.transact(transaction([], done))

    def watch(self, on_update: OnUpdate) -> None:
        """Call back after each write of another server, in a thread of its own; see `MetadataStore`."""
        self._check_open()
        self._listeners.append(on_update)
        if len(self._listeners) == 1:
            threading.Thread(target=self._follow, name="etcd watch", daemon=True).start()

    def restart_watch(self) -> None:
        """Begin the watch again, at another endpoint: the present one does not report what is stored."""
        self._client.next_endpoint()
        self._client.end_watch()

    def close(self) -> None:
        """Close the connections; see `MetadataStore`."""
        self._is_closed = True
        self._stop.set()
        self._client.close()

    # Writes

    def _apply(self, changes: Sequence[Change], expected: int, more: list[Json]) -> int:
        self._check_open()
        if not changes and not more:
            found = self.confirm()
            check_revision(expected, found)
            return found
        nonce = secrets.token_hex(8)
        writes = [*self._writes(changes).values(), *more]
        if changes:
            writes.append(self._put_mark(_Mark(expected, self._writer, nonce)))
        try:
            result = self._client.transact(transaction([self._is_at(expected)], writes))
        except OutcomeUnknown as exc:
            _LOG.warning("a change of users and policies has no answer, and its outcome is read: %s", exc)
            return self._settle(expected, nonce)
        if not result.succeeded:
            check_revision(expected, self.confirm())
            raise RevisionConflict("users and policies are being changed: try again later")
        return result.header.revision if changes else expected

    def _settle(self, expected: int, nonce: str) -> int:
        """Find out if a write without an answer was made, and make sure that it cannot be made later.

        Returns:
            Its revision, if it was made.

        Raises:
            RevisionConflict: Another write was faster, so it cannot be made any more.
            MetadataStoreFailed: It cannot be made any more, or etcd does not answer.
        """
        fence = transaction([self._is_at(expected)], [self._put_mark(_Mark(expected, "", secrets.token_hex(8)))])
        for pause_s in (0.0, 0.2, 0.5, 1.0):
            time.sleep(pause_s)
            try:
                if self._client.transact(fence).succeeded:
                    break
                return self._find(expected, nonce)
            except RevisionConflict:
                raise
            except MetadataStoreFailed as exc:
                _LOG.warning("the outcome of a change cannot be read yet: %s", exc)
        else:
            raise MetadataStoreFailed(UNKNOWN)
        raise MetadataStoreFailed("etcd did not answer in time: nothing was changed")

    def _find(self, expected: int, nonce: str) -> int:
        """Return the revision of a write, from the chain of writes after the expected revision."""
        at_revision = 0
        for _ in range(MAX_STEPS):
            found = self._read_one(self._key_of(records.REVISION), at_revision).kvs
            if not found:
                break
            mark = self._mark(found[0])
            if mark.previous == expected or mark.nonce == nonce:
                if mark.nonce == nonce:
                    return found[0].mod_revision
                raise RevisionConflict(
                    "users and policies have been changed by another server meanwhile: send the request again"
                )
            if not expected < mark.previous < found[0].mod_revision:
                break
            at_revision = mark.previous
        raise MetadataStoreFailed(UNKNOWN)

    def _writes(self, changes: Sequence[Change]) -> Mapping[bytes, Json]:
        """Return the operations by key: etcd accepts one for each key of a transaction."""
        found: dict[bytes, Json] = {}
        for change in changes:
            match change:
                case PutUser(user):
                    key = self._key_of(records.user_key(user.name))
                    found[key] = request_put(key, records.write_user(user, self._key))
                case DeleteUser(name):
                    key = self._key_of(records.user_key(name))
                    found[key] = request_delete(key)
                case PutAcl(acl):
                    key = self._key_of(records.acl_key(acl.subject))
                    found[key] = request_put(key, records.write_acl(acl))
                case DeleteAcl(subject):
                    key = self._key_of(records.acl_key(subject))
                    found[key] = request_delete(key)
        return found

    def _put_mark(self, mark: _Mark) -> Json:
        value = records.framed(records.REVISION, msgspec.json.encode(mark))
        return request_put(self._key_of(records.REVISION), value)

    def _put_record(self, record: ChangeRecord) -> Json:
        return request_put(self._records + record.id.encode(), records.write_record(record))

    def _is_at(self, revision: int) -> Json:
        return same_revision(self._key_of(records.REVISION), revision)

    # The watch

    def _follow(self) -> None:
        """Watch until the store is closed."""
        retry_s = MIN_RETRY_S
        while not self._stop.is_set():
            try:
                self._watch_once()
            except Compacted as exc:
                _LOG.warning("%s: users and policies are loaded again", exc)
                self._report_reload()
            except RecordCorrupt as exc:
                _LOG.error("etcd has a key that is not valid, and the last valid users and policies stay: %s", exc)
                self._report_reload()
            except MetadataStoreFailed as exc:
                if not self._stop.is_set():
                    _LOG.warning("changes of users and policies are not reported: %s", exc)
                    self._client.next_endpoint()
            except Exception:  # noqa: BLE001 - the watch must begin again
                _LOG.exception("the watch of users and policies has failed: internal error")
            if time.monotonic() - self._watched_s > 10 * MAX_RETRY_S:
                retry_s = MIN_RETRY_S
            self._stop.wait(retry_s)
            retry_s = min(2 * retry_s, MAX_RETRY_S)

    def _watch_once(self) -> None:
        self._watched_s = time.monotonic()
        body = {
            "create_request": {
                "key": self._prefix,
                "range_end": prefix_end(self._prefix),
                "start_revision": str(self._seen + 1),
            }
        }
        for result in self._client.watch(body):
            for revision, events in groupby(result.events, key=lambda event: event.kv.mod_revision):
                # A key that cannot be read is passed only once. The state is loaded again then.
                self._seen = max(self._seen, revision)
                self._report_events(revision, list(events))

    def _report_events(self, revision: int, events: list[KeyEvent]) -> None:
        """Report the writes of one transaction."""
        mark: _Mark | None = None
        changes: list[Change] = []
        is_foreign = False
        for event in events:
            at, is_put = self._at(event.kv.key), event.type != "DELETE"
            if at == records.REVISION and is_put:
                mark = self._mark(event.kv)
            elif at in {records.REVISION, records.META}:
                is_foreign = True
            elif not at.startswith(records.RECORD):
                changes.append(self._change(at, event.kv) if is_put else _deletion(at))
        if is_foreign or (mark is None and changes):
            _LOG.error("etcd has keys under `%s` that mqguard did not write, so all are loaded", _text(self._prefix))
            self._report(MetadataUpdate(revision, revision, None))
        elif mark is not None and mark.writer != self._writer:
            self._report(MetadataUpdate(revision, mark.previous, tuple(changes)))

    def _report_reload(self) -> None:
        try:
            self._seen = max(self._seen, self._read_one(self._key_of(records.REVISION)).header.revision)
        except MetadataStoreFailed as exc:
            _LOG.warning("changes of users and policies are not reported: %s", exc)
        self._report(MetadataUpdate(self._seen, self._seen, None))

    def _report(self, update: MetadataUpdate) -> None:
        for on_update in self._listeners:
            try:
                on_update(update)
            except MetadataStoreFailed as exc:
                _LOG.error("changes of another server could not be applied yet: %s", exc)

    # Keys

    def _check_meta(self) -> None:
        key = self._key_of(records.META)
        found = self._read_one(key)
        if not found.kvs:
            self._create()
            found = self._read_one(key)
        # After the creation, or the watch would report it as a foreign key.
        self._seen = found.header.revision
        if found.kvs:
            self._check_key(found.kvs[0].value)

    def _create(self) -> None:
        """Write the record that describes the store, unless there is a key with the prefix."""
        key, everything = self._key_of(records.META), _read(self._prefix, prefix_end(self._prefix), 1, 0)
        if self._client.range(everything).kvs:
            raise RecordCorrupt(
                f"etcd has keys under `{_text(self._prefix)}`, and `m/format`, which describes the store, is missing: "
                "choose another `etcdPrefix`, or restore etcd from a backup"
            )
        value = records.write_meta(records.Meta(self._key.id))
        self._client.transact(transaction([same_revision(key, 0)], [request_put(key, value)]))

    def _check_key(self, value: bytes) -> None:
        sealed_with = records.read_meta(value).key
        if sealed_with != self._key.id:
            raise SealingKeyWrong(
                f"the secrets in etcd under `{_text(self._prefix)}` are sealed with the key `{sealed_with}`, and this "
                f"server has `{self._key.id}`: give all servers the same key, as `sealing.key` in the data directory "
                "or in MQGUARD_SEALING_KEY"
            )

    def _change(self, at: bytes, found: KeyValue) -> Change:
        if at.startswith(records.USER):
            return PutUser(records.read_user(at, found.value, self._key))
        return PutAcl(records.read_acl(at, found.value).decode())

    def _mark(self, found: KeyValue) -> _Mark:
        try:
            return _MARKS.decode(records.unframed(records.REVISION, found.value))
        except (msgspec.MsgspecError, UnicodeError):
            raise records.unreadable(records.REVISION) from None

    def _read_one(self, key: bytes, at_revision: int = 0) -> RangeResult:
        body = {"key": key} if not at_revision else {"key": key, "revision": str(at_revision)}
        return self._client.range(body)

    def _key_of(self, at: bytes) -> bytes:
        return self._prefix + at[:1] + b"/" + at[2:]

    def _at(self, key: bytes) -> bytes:
        """Return the key of a record (`store.metadata.records`) for a key of etcd."""
        rest = key[len(self._prefix) :]
        at = rest[:1] + b"\0" + rest[2:]
        is_known = at.startswith((records.USER, records.ACL, records.RECORD)) or at in {records.META, records.REVISION}
        if not is_known or rest[1:2] != b"/":
            raise RecordCorrupt(f"the key `{_text(key)}` in etcd does not belong to mqguard: remove it")
        return at

    def _check_open(self) -> None:
        if self._is_closed:
            raise MetadataStoreFailed("the store of users and policies is closed")


def _deletion(at: bytes) -> Change:
    name = records.name_of(at)
    return DeleteUser(name) if at.startswith(records.USER) else DeleteAcl(Subject(name))


def _read(start: bytes, end: bytes, limit: int, at_revision: int) -> Json:
    return {"key": start, "range_end": end, "limit": str(limit), "revision": str(at_revision)}


def _text(key: bytes) -> str:
    return key[:200].decode("utf-8", "backslashreplace")
