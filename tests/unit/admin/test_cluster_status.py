"""Records of an audit log with several streams and parts."""

import datetime as dt
import json
import os

import pytest

from mqguard.admin.cluster_status import audit_records
from mqguard.admin.denied_requests import AuditLogUnreadable

BEGIN = dt.datetime(2026, 3, 1, 8, tzinfo=dt.UTC)


def line(second, **more):
    return json.dumps({"time": f"2026-03-01T08:00:{second:02}.000Z", **more}) + "\n"


def test_streams_and_parts_are_merged_by_time(tmp_path):
    log = tmp_path / "audit.jsonl"
    (tmp_path / "audit.jsonl.10").write_text(line(1) + line(2))
    (tmp_path / "audit.jsonl.2").write_text(line(4))
    log.write_text(line(7) + line(9) + '{"time":"2026-03-01T08:0')
    (tmp_path / "audit.jsonl.unauthenticated").write_text(line(3) + line(8))
    (tmp_path / "audit.jsonl.admitted.1").write_text(line(5))
    (tmp_path / "audit.jsonl.admitted").write_text(line(6))
    seconds = [int(record["time"][17:19]) for record in audit_records(log, BEGIN)]
    assert seconds == [1, 2, 3, 4, 5, 6, 7, 8, 9]
    later = [int(record["time"][17:19]) for record in audit_records(log, BEGIN + dt.timedelta(seconds=4))]
    assert later == [4, 5, 6, 7, 8, 9]
    without = [int(record["time"][17:19]) for record in audit_records(log, BEGIN, with_admitted=False)]
    assert without == [1, 2, 3, 4, 7, 8, 9]


def test_files_that_are_too_old_are_not_read(tmp_path):
    log = tmp_path / "audit.jsonl"
    log.write_text(line(7))
    old = tmp_path / "audit.jsonl.1"
    old.write_text("not read")
    os.utime(old, (0, 0))
    assert [record["time"][17:19] for record in audit_records(log, BEGIN)] == ["07"]


def test_a_log_that_does_not_exist_is_an_error(tmp_path):
    with pytest.raises(AuditLogUnreadable, match="there is no audit log at"):
        list(audit_records(tmp_path / "none" / "audit.jsonl", BEGIN))
