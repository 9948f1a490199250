"""Errors of stored users and policies are reported, never skipped, and never half done."""

import os
import signal
import subprocess
import sys
import time
import zlib
from typing import NamedTuple

import pytest
import rocksdict

from mqguard.auth.errors import (
    MetadataStoreFailed,
    MetadataStoreFull,
    MetadataStoreOccupied,
    RecordCorrupt,
    RevisionConflict,
)
from mqguard.auth.ports import ChangeRecord, DeleteUser, PutAcl, PutUser
from mqguard.auth.seal import SealingKey
from mqguard.store.metadata import records
from mqguard.store.metadata.rocksdb import RocksMetadataStore
from mqguard.testing.metadata_contract import acl, acls_of, user, users_of, write

KEY = SealingKey(bytes(range(32)))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "access"


class WriteFailure(NamedTuple):
    """One failure of the database. The write may have reached the log all the same, as when its sync fails."""

    text: str
    written: bool = False


class UnreliableDatabase:
    """A database of RocksDB whose next writes may fail."""

    def __init__(self, db, failures):
        self.db, self.failures = db, failures

    def __getattr__(self, name):
        return getattr(self.db, name)

    def write(self, batch, *options):
        failure = self.failures.pop(0) if self.failures else None
        if failure is None or failure.written:
            self.db.write(batch, *options)
        if failure is not None:
            raise Exception(failure.text)  # noqa: TRY002 - rocksdict has no error class of its own


@pytest.fixture
def failures(monkeypatch):
    """Return a list for the failures of the next writes, to every database that the test opens."""
    found, opened = [], rocksdict.Rdict
    monkeypatch.setattr(rocksdict, "Rdict", lambda *args: UnreliableDatabase(opened(*args), found))
    return found


def change_raw(path, change):
    """Change the stored bytes of a closed store."""
    options = rocksdict.Options(raw_mode=True)
    db = rocksdict.Rdict(str(path), options)
    change(db)
    db.close()


def record(store, changes, change):
    return store.apply_recorded(changes, store.load().revision, change)


def filled(path):
    store = RocksMetadataStore(path, KEY)
    write(store, [PutUser(user("alice")), PutUser(user("bob")), PutAcl(acl("alice"))])
    store.close()


def test_no_secret_is_on_the_disk(path):
    store = RocksMetadataStore(path, KEY)
    write(store, [PutUser(user("alice", ("hunter2-hunter2", None), ("older-hunter", 5)))])
    store.close()
    everything = b"".join(file.read_bytes() for file in path.iterdir() if file.is_file())
    assert b"alice" in everything
    assert b"hunter" not in everything


def test_its_directory_is_for_its_owner_alone(path):
    RocksMetadataStore(path, KEY).close()
    assert path.stat().st_mode & 0o777 == 0o700


def test_a_second_opening_is_refused_in_clear_words(path):
    store = RocksMetadataStore(path, KEY)
    with pytest.raises(MetadataStoreOccupied, match="in use by another process"):
        RocksMetadataStore(path, KEY)
    write(store, [PutUser(user())])
    store.close()


@pytest.mark.parametrize(
    "damage",
    [
        lambda db: db.put(b"u\0alice", db.get(b"u\0alice")[:-1]),
        lambda db: db.put(b"u\0alice", db.get(b"u\0bob")),
        lambda db: db.put(b"u\0carol", db.get(b"u\0alice")),
        lambda db: db.put(b"u\0alice", b""),
        lambda db: db.put(b"u\0alice", b"\x02" + db.get(b"u\0alice")[1:]),
        lambda db: db.put(b"a\0alice", db.get(b"a\0alice")[:-3] + b"xyz"),
        lambda db: db.put(b"a\0alice", bytes(40)),
        lambda db: db.put(b"u\0\xff\xfe", db.get(b"u\0alice")),
        lambda db: db.put(b"junk", b"junk"),
    ],
)
def test_one_damaged_record_stops_the_reading_and_is_named(path, damage):
    filled(path)
    change_raw(path, damage)
    store = RocksMetadataStore(path, KEY)
    with pytest.raises(RecordCorrupt, match=r"stored record|stored user|stored policies") as caught:
        store.load()
    assert "s3cret" not in str(caught.value)
    store.close()


@pytest.mark.parametrize("damage", [lambda db: db.put(records.META, b"x"), lambda db: db.delete(records.META)])
def test_a_store_that_does_not_say_what_it_is_is_not_opened(path, damage):
    filled(path)
    change_raw(path, damage)
    with pytest.raises(RecordCorrupt):
        RocksMetadataStore(path, KEY)


def test_a_damaged_file_is_reported(path):
    filled(path)
    (path / "CURRENT").write_bytes(b"MANIFEST-999999\n")
    with pytest.raises(MetadataStoreFailed, match=str(path)):
        RocksMetadataStore(path, KEY)


def test_another_key_is_reported(path):
    filled(path)
    with pytest.raises(MetadataStoreFailed, match="give the key that they were sealed with"):
        RocksMetadataStore(path, SealingKey(bytes(32)))
    store = RocksMetadataStore(path, KEY)
    assert set(users_of(store)) == {"alice", "bob"}
    store.close()


def test_a_directory_that_cannot_be_created_is_reported(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(MetadataStoreFailed, match="cannot be created"):
        RocksMetadataStore(tmp_path / "file" / "access", KEY)


@pytest.mark.parametrize("written", [False, True])
def test_a_failed_write_changes_nothing_even_if_it_came_through(path, failures, written):
    store = RocksMetadataStore(path, KEY)
    write(store, [PutUser(user("alice")), PutAcl(acl("alice"))])
    failures.append(WriteFailure("IO error: No space left on device", written=written))
    with pytest.raises(MetadataStoreFull, match="no space is left"):
        write(store, [PutUser(user("bob")), DeleteUser("alice"), PutAcl(acl("alice", "*"))])
    assert failures == []
    assert set(users_of(store)) == {"alice"}
    assert acls_of(store) == {"alice": acl("alice")}
    write(store, [PutUser(user("carol"))])
    store.close()
    again = RocksMetadataStore(path, KEY)
    assert set(users_of(again)) == {"alice", "carol"}
    again.close()


def test_a_repair_that_fails_is_repeated_before_the_next_use(path, failures):
    store = RocksMetadataStore(path, KEY)
    write(store, [PutUser(user("alice"))])
    text = "IO error: while fsync: Input/output error"
    failures += [WriteFailure(text, written=True), WriteFailure(text), WriteFailure(text)]
    with pytest.raises(MetadataStoreFailed, match="failed: IO error"):
        write(store, [PutUser(user("bob"))])
    with pytest.raises(MetadataStoreFailed):
        write(store, [PutUser(user("carol"))])
    assert failures == []
    assert set(users_of(store)) == {"alice"}
    store.close()


@pytest.mark.parametrize("text", ["IO error: No space left on device", "IO error: Disk quota exceeded: x"])
def test_a_full_disk_is_reported(path, failures, text):
    store = RocksMetadataStore(path, KEY)
    failures.append(WriteFailure(text))
    with pytest.raises(MetadataStoreFull):
        write(store, [PutUser(user("alice"))])
    store.close()


CHILD = """
import sys
from pathlib import Path
from mqguard.auth.seal import SealingKey
from mqguard.auth.ports import PutUser, PutAcl
from mqguard.store.metadata.rocksdb import RocksMetadataStore
from mqguard.testing.metadata_contract import acl, user

store = RocksMetadataStore(Path(sys.argv[1]), SealingKey(bytes(range(32))))
start, revision = len(store.load().users), store.load().revision
for number in range(start, start + 100_000):
    revision = store.apply([PutUser(user(f"u{number}")), PutAcl(acl(f"u{number}"))], revision)
    print(number, flush=True)
"""


def test_what_was_acknowledged_is_there_after_kill_9(path):
    """The process is killed at different moments between its changes, after it has acknowledged some of them."""
    acknowledged = -1
    for attempt in range(4):
        child = subprocess.Popen([sys.executable, "-c", CHILD, str(path)], stdout=subprocess.PIPE, text=True)
        first = [child.stdout.readline() for _ in range(1 + attempt)]
        time.sleep(0.01 * attempt)
        os.kill(child.pid, signal.SIGKILL)
        # A line without its end was not acknowledged.
        lines = "".join([*first, child.communicate()[0]]).split("\n")[:-1]
        assert len(lines) > attempt
        assert int(lines[0]) in (acknowledged + 1, acknowledged + 2), "the change in progress may be stored"
        acknowledged = int(lines[-1])
        store = RocksMetadataStore(path, KEY)
        users, acls = users_of(store), acls_of(store)
        store.close()
        assert set(users) == set(acls), "a change is there whole or not at all"
        assert len(users) in (acknowledged + 1, acknowledged + 2)
        assert all(users[f"u{number}"] == user(f"u{number}") for number in range(acknowledged + 1))


def test_the_record_of_a_change_stays_until_it_is_written(path):
    """A record is stored with its change, is not read as a user, and survives until it is removed by its id."""
    store = RocksMetadataStore(path, KEY)
    record(store, [PutUser(user("alice"))], ChangeRecord("002", b"second"))
    record(store, [], ChangeRecord("001", b"first"))
    record(store, [PutUser(user("zoe"))], ChangeRecord("003", b"third"))
    store.close()

    store = RocksMetadataStore(path, KEY)
    assert set(users_of(store)) == {"alice", "zoe"}
    assert store.unwritten_records() == [
        ChangeRecord("001", b"first"),
        ChangeRecord("002", b"second"),
        ChangeRecord("003", b"third"),
    ]
    store.records_written(["001", "003", "never-there"])
    assert [record.id for record in store.unwritten_records()] == ["002"]
    store.close()
    store = RocksMetadataStore(path, KEY)
    assert [record.id for record in store.unwritten_records()] == ["002"]
    assert set(users_of(store)) == {"alice", "zoe"}
    store.close()


def test_a_damaged_record_of_a_change_is_named(path):
    store = RocksMetadataStore(path, KEY)
    record(store, [PutUser(user("alice"))], ChangeRecord("001", b"first"))
    store.close()
    change_raw(path, lambda db: db.put(b"r\x00001", db.get(b"r\x00001")[:-1]))

    store = RocksMetadataStore(path, KEY)
    with pytest.raises(RecordCorrupt, match="r:001"):
        store.unwritten_records()
    store.close()


def test_a_closed_store_returns_no_records(path):
    store = RocksMetadataStore(path, KEY)
    store.close()
    with pytest.raises(MetadataStoreFailed):
        store.unwritten_records()
    with pytest.raises(MetadataStoreFailed):
        store.records_written(["001"])
    with pytest.raises(MetadataStoreFailed):
        store.apply_recorded([PutUser(user())], 0, ChangeRecord("001", b"first"))


FULL = """
import resource, sys
from pathlib import Path
from mqguard.auth.errors import MetadataStoreFull
from mqguard.auth.ports import PutUser
from mqguard.auth.seal import SealingKey
from mqguard.store.metadata.rocksdb import RocksMetadataStore
from mqguard.testing.metadata_contract import user, users_of, write

store = RocksMetadataStore(Path(sys.argv[1]), SealingKey(bytes(range(32))))
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
done = set()
try:
    for number in range(10_000):
        write(store, [PutUser(user(f"u{number}" + "x" * 500))])
        done.add(f"u{number}" + "x" * 500)
except MetadataStoreFull as exc:
    print(exc)
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
assert set(users_of(store)) == done
write(store, [PutUser(user("after"))])
store.close()
store = RocksMetadataStore(Path(sys.argv[1]), SealingKey(bytes(range(32))))
assert set(users_of(store)) == done | {"after"}
"""


def test_a_file_that_can_grow_no_further_refuses_one_change_and_loses_none(path):
    """As on a full disk: the write itself fails half way."""
    child = subprocess.run([sys.executable, "-c", FULL, str(path)], capture_output=True, text=True, check=False)
    assert child.returncode == 0, child.stderr
    assert "no space is left for users and policies" in child.stdout


def test_a_store_without_a_revision_has_revision_0(path):
    """The first mqguard stored none."""
    filled(path)
    change_raw(path, lambda db: db.delete(records.REVISION))
    store = RocksMetadataStore(path, KEY)
    assert store.load().revision == 0
    assert set(users_of(store)) == {"alice", "bob"}
    assert store.apply([DeleteUser("bob")], 0) == 1
    store.close()
    store = RocksMetadataStore(path, KEY)
    assert store.load().revision == 1
    store.close()


@pytest.mark.parametrize("damage", [b"", b"x", b"\x01\0\0\0\x001"])
def test_a_damaged_revision_is_named(path, damage):
    filled(path)
    change_raw(path, lambda db: db.put(records.REVISION, damage))
    with pytest.raises(RecordCorrupt, match="m:revision"):
        RocksMetadataStore(path, KEY)


@pytest.mark.parametrize("value", [b"-1", b"1.5", b"null", b"[]"])
def test_what_is_not_a_revision_is_not_taken_for_one(value):
    checksum = zlib.crc32(records.REVISION + value).to_bytes(4, "big")
    with pytest.raises(RecordCorrupt, match="m:revision"):
        records.read_revision(b"\x01" + checksum + value)
    valid = zlib.crc32(records.REVISION + b"7").to_bytes(4, "big")
    assert records.read_revision(b"\x01" + valid + b"7") == 7


def test_a_refused_change_leaves_no_record(path):
    store = RocksMetadataStore(path, KEY)
    revision = write(store, [PutUser(user("alice"))])
    with pytest.raises(RevisionConflict):
        store.apply_recorded([PutUser(user("bob"))], revision - 1, ChangeRecord("001", b"first"))
    assert store.unwritten_records() == []
    store.apply_recorded([PutUser(user("bob"))], revision, ChangeRecord("002", b"second"))
    revision = store.load().revision
    store.records_written(["002"])
    assert store.load().revision == revision, "removing records changes no users"
    store.close()
