"""The audit writer accepts records without blocking, and reports every loss."""

import logging
import threading
import time

import pytest

from mqguard.telemetry import audit_writer
from mqguard.telemetry.audit_files import RotatingFile
from mqguard.telemetry.audit_writer import AuditWriter
from tests.fixtures.waiting import eventually


class Texts:
    """Records are texts; either file gets them, in its own manner."""

    def render(self, records):
        if "bad" in records:
            raise ValueError("this record has no lines")
        return "".join(f"a {text}\n" for text in records).encode(), "".join(f"b {text}\n" for text in records).encode()

    def lost(self, count, when_ms):
        return f"a lost {count} at {when_ms}\n".encode(), f"b lost {count}\n".encode()


class Disk:
    """A file in memory that may be full."""

    def __init__(self):
        self.data = b""
        self.full = threading.Event()
        self.tried = threading.Event()
        self.step = 1 << 20
        self.synced = 0
        self.unsyncable = False

    def make_room(self):
        """Accept another part, without a limit."""

    def sync(self):
        if self.unsyncable:
            raise OSError(5, "Input/output error")
        self.synced = len(self.data)

    def append(self, data):
        if self.full.is_set():
            self.tried.set()
            raise OSError(28, "No space left on device")
        self.data += data[: self.step]
        return min(len(data), self.step)

    def close(self):
        """Nothing to let go of."""


@pytest.fixture(name="disks")
def two_disks():
    return Disk(), Disk()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(audit_writer, "RETRY_S", 0.01)
    monkeypatch.setattr(audit_writer, "LINGER_S", 0.0)


def writer(disks, limit=1000):
    return AuditWriter(disks, Texts(), lambda: 7, limit, reserved=limit)


def test_records_become_lines_of_both_files(tmp_path):
    """In order, and all of them when the writer is closed."""
    files = [RotatingFile(tmp_path / name, 1 << 20, 1) for name in ("a", "b")]
    audit = AuditWriter(files, Texts(), lambda: 7)
    audit.start()
    for number in range(500):
        assert audit.put(str(number))
    audit.close()

    assert (tmp_path / "a").read_text().splitlines() == [f"a {number}" for number in range(500)]
    assert (tmp_path / "b").read_text().splitlines() == [f"b {number}" for number in range(500)]
    assert (audit.written, audit.dropped, audit.broken) == (500, 0, 0)


def test_records_are_written_while_it_runs(disks):
    """A record does not wait for the end."""
    audit = writer(disks)
    audit.start()
    for text in ("one", "two"):
        audit.put(text)
        audit.end_iteration()
        assert eventually(lambda text=text: f"a {text}\n".encode() in disks[0].data)
    audit.close()


def test_a_full_queue_rejects_records_and_reports_it(disks, caplog):
    """Counted, logged, and a line in both files."""
    audit = writer(disks, limit=3)
    assert [audit.put(str(number)) for number in range(5)] == [True, True, True, False, False]
    assert audit.is_full
    audit.end_iteration()
    with caplog.at_level(logging.WARNING):
        audit.start()
        audit.close()

    assert disks[0].data == b"a 0\na 1\na 2\na lost 2 at 7\n"
    assert disks[1].data.endswith(b"b lost 2\n")
    assert audit.dropped == 2
    assert "2 audit records are missing because the queue was full" in caplog.text


def test_a_full_disk_is_said_once_and_nothing_is_lost(disks, caplog):
    """Accepted records are kept until they are written."""
    disks[1].full.set()
    audit = writer(disks)
    with caplog.at_level(logging.WARNING):
        audit.start()
        audit.put("one")
        audit.end_iteration()
        assert disks[1].tried.wait(10)
        audit.put("two")
        audit.end_iteration()
        time.sleep(0.05)
        disks[1].full.clear()
        assert eventually(lambda: audit.written == 2)
        audit.close()

    assert disks[0].data == b"a one\na two\n"
    assert disks[1].data == b"b one\nb two\n"
    assert caplog.text.count("cannot be written") == 1
    assert caplog.text.count("can be written again") == 1


def test_a_disk_that_stays_full_does_not_keep_us_from_closing(disks, caplog):
    """Records that were not written are counted and logged."""
    disks[0].full.set()
    audit = writer(disks)
    audit.start()
    for number in range(3):
        audit.put(str(number))
    audit.end_iteration()
    assert disks[0].tried.wait(10)
    with caplog.at_level(logging.ERROR):
        audit.close(timeout_s=5)

    assert "audit-writer" not in {thread.name for thread in threading.enumerate()}
    assert audit.broken == 3
    assert "3 audit records were not written" in caplog.text


def test_a_disk_may_take_a_line_in_pieces(disks):
    """A short write is continued where it ended."""
    disks[0].step = 3
    audit = writer(disks)
    audit.start()
    audit.put("a longer record")
    audit.close()

    assert disks[0].data == b"a a longer record\n"


def test_only_the_writer_counts_what_is_written(disks):
    """Two threads that add to one number lose some of it."""
    audit = writer(disks)
    for text in ("one", "bad"):
        audit.put(text)
    audit.end_iteration()
    assert (audit.written, audit.broken) == (0, 0)
    audit.start()
    audit.close()
    assert (audit.written, audit.broken) == (1, 1)


def test_a_record_without_lines_does_not_take_others_with_it(disks, caplog):
    """It is counted and logged; the rest of its batch is written."""
    audit = writer(disks)
    for text in ("one", "bad", "two"):
        audit.put(text)
    with caplog.at_level(logging.ERROR):
        audit.start()
        audit.close()

    assert disks[0].data == b"a one\na two\n"
    assert (audit.written, audit.broken) == (2, 1)
    assert "has no lines" in caplog.text


def test_putting_never_waits_for_the_disk(disks):
    """With a slow disk a record is only appended, and an iteration sleeps at most once."""
    disks[0].full.set()
    audit = writer(disks, limit=100_000)
    audit.start()
    began = time.perf_counter()
    for number in range(50_000):
        audit.put(str(number))
        if number % 10 == 0:
            audit.end_iteration()
    took = time.perf_counter() - began
    disks[0].full.clear()
    audit.close(timeout_s=30)

    assert took < 5
    assert audit.written == 50_000


def test_a_writer_that_was_never_started_closes(disks):
    """And says what it holds."""
    audit = writer(disks)
    audit.put("one")
    audit.close()

    assert audit.broken == 1
    assert audit.waiting == 0


def test_lines_keep_their_order_over_iterations(disks):
    """Iterations keep their order, and records after the last one are written when the writer closes."""
    audit = writer(disks, limit=100_000)
    audit.start()
    for number in range(5000):
        audit.put(str(number))
        if number % 7 == 0:
            audit.end_iteration()
    audit.close()

    assert disks[0].data.decode().splitlines() == [f"a {number}" for number in range(5000)]
    assert disks[1].data.decode().splitlines() == [f"b {number}" for number in range(5000)]
    assert (audit.written, audit.waiting, audit.dropped, audit.broken) == (5000, 0, 0, 0)


def test_lines_that_wait_for_the_disk_count_as_waiting(disks):
    """Records whose lines are made still take room until they are written."""
    for disk in disks:
        disk.full.set()
    audit = writer(disks, limit=10)
    audit.start()
    for _ in range(10):
        assert audit.put("one")
        audit.end_iteration()

    assert audit.is_full
    assert not audit.put("one too many")
    for disk in disks:
        disk.full.clear()
    assert eventually(lambda: not audit.is_full)
    audit.close()
    assert disks[0].data.count(b"a one\n") == 10


def test_a_record_without_lines_does_not_stop_an_iteration(disks, caplog):
    """The end of an iteration skips a record that cannot be formatted, and counts it."""
    audit = writer(disks)
    for text in ("one", "bad", "two"):
        audit.put(text)

    audit.end_iteration()

    audit.start()
    audit.close()
    assert disks[0].data == b"a one\na two\n"
    assert (audit.written, audit.broken) == (2, 1)
    assert "has no lines" in caplog.text


def test_a_busy_thread_gives_way_to_the_writer(disks):
    """A thread that puts without pause loses nothing, however many records it puts beyond the limit."""
    audit = writer(disks, limit=10_000)
    audit.start()
    put = 0
    for _ in range(1000):
        put += sum(audit.put("x") for _ in range(100))
        audit.end_iteration()
    audit.close(timeout_s=30)

    assert (put, audit.written, audit.dropped) == (100_000, 100_000, 0)


def test_denials_and_changes_have_room_of_their_own(disks):
    """Others find no room there, and what finds none is not counted as dropped: its owner keeps it."""
    audit = writer(disks, limit=2)
    assert [audit.put("x") for _ in range(3)] == [True, True, False]
    assert [audit.put("r", reserved=True) for _ in range(3)] == [True, True, False]
    assert audit.dropped == 1
    audit.end_iteration()
    audit.start()
    audit.close()
    assert disks[0].data == b"a x\na x\na r\na r\na lost 1 at 7\n"


def test_a_receipt_comes_back_after_the_line_is_synced(disks):
    audit = writer(disks)
    audit.put("one", reserved=True, receipt="r1")
    audit.put("two")
    audit.end_iteration()
    audit.put("three", reserved=True, receipt="r3")
    assert audit.take_receipts() == []
    audit.start()
    audit.close()
    assert audit.take_receipts() == ["r1", "r3"]
    assert audit.take_receipts() == []
    assert (disks[0].synced, disks[1].synced) == (len(disks[0].data), len(disks[1].data))


@pytest.mark.parametrize("harm", ["unsyncable", "lineless", "full"])
def test_no_receipt_comes_back_for_a_line_that_may_be_missing(disks, harm):
    """The disk cannot sync, the record has no line, or the disk takes nothing until the writer is closed."""
    audit = writer(disks)
    disks[1].unsyncable = harm == "unsyncable"
    if harm == "full":
        disks[1].full.set()
    audit.put("bad" if harm == "lineless" else "one", reserved=True, receipt="r")
    audit.start()
    audit.close(timeout_s=5)
    assert audit.take_receipts() == []


def test_nothing_is_synced_without_need(disks):
    audit = writer(disks)
    audit.put("one")
    audit.start()
    audit.close()
    assert disks[0].synced == 0


def test_a_long_iteration_keeps_few_records(disks):
    """Lines are made in steps within an iteration, so that its records do not take memory until its end."""
    steps = []

    class Counted(Texts):
        def render(self, records):
            steps.append(len(records))
            return super().render(records)

    audit = AuditWriter(disks, Counted(), lambda: 7, 100_000)
    for number in range(10_000):
        audit.put(str(number))
    assert steps == [audit_writer.PER_STEP] * (10_000 // audit_writer.PER_STEP)
    audit.start()
    audit.close()
    assert audit.written == sum(steps) == 10_000


def test_a_line_that_was_left_half_written_is_ended_first(tmp_path):
    """The rest of a killed process is not read as the start of the next line; that of a short write is."""
    path = tmp_path / "a"
    path.write_bytes(b"whole\nhal")
    file = RotatingFile(path, 1 << 20, 1)
    file.append(b"next\nsho")
    file.close()
    file.append(b"rt\n")
    file.sync()
    file.close()
    file.sync()
    assert path.read_bytes() == b"whole\nhal\nnext\nshort\n"


@pytest.mark.parametrize("before", [b"", b"whole\n"])
def test_a_file_whose_last_line_is_whole_is_left_as_it_is(tmp_path, before):
    path = tmp_path / "a"
    path.write_bytes(before)
    file = RotatingFile(path, 1 << 20, 1)
    file.append(b"next\n")
    file.close()
    assert path.read_bytes() == before + b"next\n"


def test_bytes_that_wait_are_bounded(disks, monkeypatch):
    """Few records may have long lines; there is room again as soon as they are written."""
    monkeypatch.setattr(audit_writer, "MAX_BYTES", 1_000)
    disks[0].full.set()
    audit = writer(disks)
    audit.start()
    taken = 0
    while audit.put("x" * 100, reserved=taken >= 5):
        taken += 1
        audit.end_iteration()
        if taken == 5:
            assert audit.is_full
            assert not audit.put("x")
    assert taken == 8
    disks[0].full.clear()
    assert eventually(lambda: not audit.is_full)
    assert audit.put("x")
    audit.close()
    assert audit.written == 9
