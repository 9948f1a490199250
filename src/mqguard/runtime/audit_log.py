"""The audit log of a server: its files, the thread that writes them, and the records that are stored with changes.

Rule 1: the store keeps the record of a change until its line was synced to the disk. If a process ends before, the
next start writes the line. A line may then be there twice, with the same `id`.
"""

import collections
import logging
import threading
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import msgspec

from mqguard.auth.errors import MetadataStoreFailed
from mqguard.auth.manager import MetadataManager
from mqguard.config import server_options
from mqguard.config.loader import Configuration
from mqguard.guard.admission_groups import AdmissionCount, AdmissionMode, AdmissionsOff
from mqguard.guard.audit import AdminChange, AuditEvent, AuditSink, AuditTrail, Record, Stream, read_change
from mqguard.guard.audit_format import AuditLines, StreamLines
from mqguard.guard.denial_groups import Folded, Repeats
from mqguard.guard.plugin_api import RecordSink
from mqguard.model.process import Clock
from mqguard.runtime.errors import StartFailed
from mqguard.telemetry.audit_files import DAY_MS, MaxAge, RotatingFile, find_change
from mqguard.telemetry.audit_writer import AuditWriter

_LOG = logging.getLogger(__name__)

APACHE = "auth_audit.log"
JSON = "audit.jsonl"
SUFFIXES = {Stream.KEPT: "", Stream.ADMITTED: ".admitted", Stream.UNAUTHENTICATED: ".unauthenticated"}
"""Suffixes of the file names, before the number of a full part."""

_SHARES = {Stream.KEPT: 1, Stream.ADMITTED: 1, Stream.UNAUTHENTICATED: 4}
"""Divisors of the file size. Lines about unauthenticated peers are few, so their files are smaller."""
UNKNOWN = "unknown: the process ended before the metadata store had answered"
"""The outcome of a change, if it is not known that it was made."""


class AuditLog:
    """The audit log of a server.

    Args:
        config: The configuration.
        data: The data directory.
        manager: Users and policies, with the records of their changes.
        clock: The clock.
        sinks: Plugins that receive every record, with their names.

    Raises:
        StartFailed: The directory cannot be created.

    Attributes:
        trail: Adds records to the log.
        writer: Writes the files.
    """

    def __init__(
        self,
        config: Configuration,
        data: Path,
        manager: MetadataManager,
        clock: Clock,
        sinks: Sequence[tuple[str, RecordSink]] = (),
    ) -> None:
        directory = config.get(server_options.AUDIT_PATH) or data / "audit"
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as exc:
            raise StartFailed(f"the audit directory `{directory}` cannot be created: {exc.strerror}") from None
        most, parts = config.get(server_options.AUDIT_MAX_FILE), config.get(server_options.AUDIT_FILES)
        max_age = MaxAge(config.get(server_options.AUDIT_KEEP_DAYS) * DAY_MS, clock.now_ms)
        files = [
            RotatingFile(directory / f"{name}{SUFFIXES[stream]}", most // _SHARES[stream], parts, max_age)
            for stream in Stream
            for name in (APACHE, JSON)
        ]
        for file in files:
            file.remove_old()
        self._path = directory / JSON
        self._manager = manager
        self._clock = clock
        self.writer = AuditWriter(files, StreamLines(), clock.now_ms)
        self._sinks = [PluginSink(name, sink) for name, sink in sinks]
        self.trail = AuditTrail(
            FanOutSink(self.writer, self._sinks) if self._sinks else self.writer,
            AdmissionMode(config.get(server_options.AUDIT_ADMISSIONS)),
        )
        self.trail.admissions.open(clock.now_ms())
        self.writer.start()
        for sink in self._sinks:
            sink.start()

    def recover(self, leftover: Collection[str]) -> None:
        """Log the changes that are stored and not in the log.

        Args:
            leftover: Ids of changes that were made before this start.

        Raises:
            StartFailed: The record of a change cannot be read.
            MetadataStoreFailed: The store cannot be read.
        """
        written = []
        for record in self._manager.unwritten_records():
            is_leftover = record.id in leftover
            if is_leftover and self._has(record.id):
                written.append(record.id)
                continue
            try:
                change = read_change(record.data)
            except ValueError:
                raise StartFailed(
                    f"the stored record of the change `{record.id}` cannot be read: restore the store from a backup"
                ) from None
            if record.doubtful:
                change = msgspec.structs.replace(change, outcome=UNKNOWN)
            if is_leftover:
                change = msgspec.structs.replace(change, recovered=True)
                _LOG.warning("the change `%s` is missing in the audit log and is written now", record.id)
            self.trail.put_change(change)
        self._manager.records_written(written)
        self.writer.end_iteration()

    def end_iteration(self) -> None:
        """Pass the records of this iteration to the writer."""
        self.writer.end_iteration()

    def tick(self) -> None:
        """Do what is due by the clock."""
        self.trail.tick(self._clock.now_ms())
        self._settle()

    def dropped_by_sinks(self) -> dict[str, Callable[[], int]]:
        """Return a function for each plugin that reads the number of its dropped records."""
        return {sink.name: lambda sink=sink: sink.dropped for sink in self._sinks}  # type: ignore[misc]

    def close(self) -> None:
        """Write the waiting records and close the files."""
        self.trail.close(self._clock.now_ms())
        self.writer.end_iteration()
        for sink in self._sinks:
            sink.close()
        self.writer.close()
        self._settle()

    def _has(self, change_id: str) -> bool:
        try:
            return find_change(self._path, change_id) is not None
        except OSError as exc:
            _LOG.warning("the audit log cannot be searched, so a change may be logged twice: %s", exc.strerror)
            return False

    def _settle(self) -> None:
        """Remove the stored records of changes whose lines are on the disk."""
        written = self.writer.take_receipts()
        if not written:
            return
        try:
            self._manager.records_written(written)
        except MetadataStoreFailed as exc:
            # They stay. The next start finds them in the log.
            _LOG.warning("the records of %d changes could not be removed from the store: %s", len(written), exc)


QUEUE_LIMIT = 65_536
RESERVED = 16_384
"""Maximum number of records beyond the limit: denials and changes."""
RESOURCES_PER_UNIT = 2
"""Number of resources for which a record counts as one more."""
BATCH = 1_024
RETRY_S = 1.0
LINGER_S = 0.02


class PluginSink:
    """Queue and thread of one plugin.

    Records that the plugin rejects are kept and passed again. If the queue is full, `put` returns False, and
    `auditWhenFull` decides whether requests are refused.

    Attributes:
        name: Name of the plugin.
        dropped: Number of records that the full queue did not accept.
    """

    def __init__(self, name: str, sink: RecordSink, limit: int = QUEUE_LIMIT) -> None:
        self.dropped = 0
        self.name = name
        self._sink = sink
        self._limit = limit
        self._lines = AuditLines()
        self._queue: collections.deque[Record] = collections.deque()
        # Additional units of records with many resources: one thread adds them, the other subtracts them.
        self._weight = 0
        self._weight_done = 0
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._failing = False
        self._thread = threading.Thread(target=self._run, name=f"audit sink {name}", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def put(self, record: object, *, reserved: bool = False, receipt: str = "") -> bool:  # noqa: ARG002 - the port's
        """Add a record; return False if the queue is full. A plugin gives no receipts."""
        if not isinstance(record, (AuditEvent, AdminChange, Repeats, Folded, AdmissionCount, AdmissionsOff)):
            return False
        if len(self._queue) + self._weight - self._weight_done >= self._limit + (RESERVED if reserved else 0):
            self.dropped += 1
            return False
        self._weight += _weight(record)
        self._queue.append(record)
        if not self._wake.is_set():
            self._wake.set()
        return True

    def close(self, timeout_s: float = 3.0) -> None:
        """Pass the waiting records, if the plugin takes them in time, and close it."""
        self._closing.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        if self._queue:
            _LOG.error("the audit sink `%s` did not accept %d records; they are lost", self.name, len(self._queue))

    def _run(self) -> None:
        while not self._closing.is_set() or self._queue:
            if not self._closing.is_set():
                self._wake.wait()
                self._wake.clear()
            self._closing.wait(LINGER_S)
            if not self._drain():
                break
        try:
            self._sink.close()
        except BaseException:  # noqa: BLE001 - a plugin may raise anything
            _LOG.exception("the audit sink `%s` could not be closed", self.name)

    def _drain(self) -> bool:
        """Pass all records; return False if the server ends and the plugin rejects them."""
        logged = 0
        while self._queue:
            batch = [self._queue[at] for at in range(min(BATCH, len(self._queue)))]
            lines = self._render(batch)
            while not self._write(lines):
                if self._closing.wait(RETRY_S):
                    return self._write(lines) and not self._drop(batch)
            self._drop(batch)
            if self.dropped != logged:
                logged = self.dropped
                _LOG.warning("the audit sink `%s` is too slow: %d records were dropped", self.name, logged)
        return True

    def _drop(self, batch: Sequence[Record]) -> bool:
        for _ in batch:
            self._weight_done += _weight(self._queue.popleft())
        return False

    def _render(self, batch: list[Record]) -> list[bytes]:
        lines: list[bytes] = []
        for record in batch:
            try:
                lines.append(self._lines.render([record])[1].rstrip(b"\n"))
            except Exception:  # noqa: BLE001 - one bad record must not affect the others
                _LOG.exception("an audit record could not be formatted")
        return lines

    def _write(self, lines: Sequence[bytes]) -> bool:
        try:
            self._sink.write(tuple(lines))
        except BaseException:  # noqa: BLE001 - a plugin may raise anything
            if not self._failing:
                self._failing = True
                _LOG.exception("the audit sink `%s` rejects records; they are kept", self.name)
            return False
        if self._failing:
            self._failing = False
            _LOG.warning("the audit sink `%s` accepts records again", self.name)
        return True


def _weight(record: Record) -> int:
    return len(record.permissions) // RESOURCES_PER_UNIT if isinstance(record, AuditEvent) else 0


class FanOutSink:
    """Passes each record to several sinks; the first one gives the receipts."""

    def __init__(self, first: AuditSink, others: Sequence[AuditSink]) -> None:
        self._first = first.put
        self._others: tuple[Callable[..., bool], ...] = tuple(sink.put for sink in others)

    def put(self, record: object, *, reserved: bool = False, receipt: str = "") -> bool:
        """Add a record; return False if a sink has no room for it.

        For a reserved record only the first sink counts: if another one failed, a repeat would reach the first twice.
        """
        found = self._first(record, reserved=reserved, receipt=receipt)
        if reserved and not found:
            return False
        for put in self._others:
            found = (put(record, reserved=reserved) or reserved) and found
        return found
