"""The audit log of a server: what a start finds in the store and not in the log is written."""

import json

import pytest

from mqguard.auth.errors import MetadataStoreFailed
from mqguard.auth.manager import MetadataManager
from mqguard.auth.ports import ChangeRecord
from mqguard.config.loader import Flag, load
from mqguard.guard.audit import AdminChange
from mqguard.runtime.audit_log import UNKNOWN, AuditLog
from mqguard.runtime.errors import StartFailed
from mqguard.runtime.process import SystemClock
from tests.fixtures.metadata import RecordingStore


def record(number, *, doubtful=False):
    change = AdminChange(
        when_ms=1_700_000_000_000,
        user="root",
        source="10.1.2.3",
        operation="create-user",
        subject=f"User:u{number}",
        details={},
        outcome="done",
        id=f"c{number}",
    )
    return ChangeRecord(change.id, change.encode(), doubtful)


def start(tmp_path, store, leftover):
    config = load(flags=[Flag("--set", "auditPath", str(tmp_path / "audit"))])
    log = AuditLog(config, tmp_path, MetadataManager(store), SystemClock())
    try:
        log.recover(leftover)
    finally:
        log.close()


def lines(tmp_path):
    return [json.loads(line) for line in (tmp_path / "audit" / "audit.jsonl").read_bytes().splitlines()]


def test_what_the_log_lacks_is_written_and_what_it_has_is_not(tmp_path):
    """Once each, however often the store still has it; what this start made is not called recovered."""
    store = RecordingStore(record(1), record(2))
    start(tmp_path, store, {"c1"})
    assert store.records == []
    assert [(line["id"], line.get("recovered")) for line in lines(tmp_path)] == [("c1", True), ("c2", None)]
    again = RecordingStore(record(2), record(3))
    start(tmp_path, again, {"c2", "c3"})
    assert again.records == []
    assert [line["id"] for line in lines(tmp_path)] == ["c1", "c2", "c3"]
    assert lines(tmp_path)[2]["time"] == "2023-11-14T22:13:20.000Z"


def test_a_change_with_an_unknown_outcome_is_logged_as_unknown(tmp_path):
    start(tmp_path, RecordingStore(record(1, doubtful=True)), {"c1"})
    (line,) = lines(tmp_path)
    assert (line["outcome"], line["id"]) == (UNKNOWN, "c1")


def test_a_record_that_cannot_be_read_stops_the_start(tmp_path):
    with pytest.raises(StartFailed, match="the change `c1` cannot be read"):
        start(tmp_path, RecordingStore(ChangeRecord("c1", b"{}")), {"c1"})


def test_a_store_that_cannot_forget_is_logged_and_the_next_start_writes_nothing_twice(tmp_path, caplog):
    class Keeping(RecordingStore):
        def records_written(self, ids):
            raise MetadataStoreFailed(f"not {len(ids)}")

    store = Keeping(record(1))
    start(tmp_path, store, {"c1"})
    assert "could not be removed from the store: not 1" in caplog.text
    start(tmp_path, RecordingStore(*store.records), {"c1"})
    assert [line["id"] for line in lines(tmp_path)] == ["c1"]
