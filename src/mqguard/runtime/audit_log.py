"""The audit log of a server: its files, the thread that writes them, and the records that are stored with changes.

Rule 1: the store keeps the record of a change until its line was synced to the disk. A process that ends before leaves
it there, and the next start writes it. A line may then come twice, both with the same `id`.
"""

import logging
from collections.abc import Callable, Collection
from pathlib import Path

import msgspec

from mqguard.auth.errors import MetadataStoreFailed
from mqguard.auth.manager import MetadataManager
from mqguard.config import server_options
from mqguard.config.loader import Configuration
from mqguard.guard.audit import AuditTrail, Stream, read_change
from mqguard.guard.audit_format import StreamLines
from mqguard.model.clock import Clock
from mqguard.runtime import plugins
from mqguard.runtime.errors import StartFailed
from mqguard.runtime.plugin_sinks import FanOutSink, PluginSink
from mqguard.telemetry.audit_search import find_change
from mqguard.telemetry.audit_writer import AuditWriter
from mqguard.telemetry.rotating_file import RotatingFile

_LOG = logging.getLogger(__name__)

APACHE = "auth_audit.log"
JSON = "audit.jsonl"
SUFFIXES = {Stream.KEPT: "", Stream.ADMITTED: ".admitted", Stream.UNAUTHENTICATED: ".unauthenticated"}
"""What the names of the files end with, before the number of a part that is full."""


_SHARES = {Stream.KEPT: 1, Stream.ADMITTED: 1, Stream.UNAUTHENTICATED: 4}
"""Strangers get files of a quarter of the size: their lines are few, and few are missed."""
UNKNOWN = "unknown: the process ended before the metadata store had answered"
"""The outcome of a change whose store does not know whether it was made."""


class AuditLog:
    """The audit log of a server.

    Args:
        config: What is configured.
        data: The data directory.
        manager: Users and policies, with the records of their changes.
        clock: Tells the time.

    Raises:
        ConfigInvalid: A plugin cannot be used.
        StartFailed: The directory cannot be made.

    Attributes:
        trail: Puts records in the log.
        writer: Writes the files.
    """

    def __init__(self, config: Configuration, data: Path, manager: MetadataManager, clock: Clock) -> None:
        directory = config.get(server_options.AUDIT_PATH) or data / "audit"
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as exc:
            raise StartFailed(f"the audit directory `{directory}` cannot be made: {exc.strerror}") from None
        found = plugins.load_sinks(config)
        most, parts = config.get(server_options.AUDIT_MAX_FILE), config.get(server_options.AUDIT_FILES)
        files = [
            RotatingFile(directory / f"{name}{SUFFIXES[stream]}", most // _SHARES[stream], parts)
            for stream in Stream
            for name in (APACHE, JSON)
        ]
        self._path = directory / JSON
        self._manager = manager
        self._clock = clock
        self.writer = AuditWriter(files, StreamLines(), clock.now_ms)
        self._sinks = [PluginSink(name, sink) for name, sink in found]
        self.trail = AuditTrail(FanOutSink(self.writer, self._sinks) if self._sinks else self.writer)
        self.writer.start()
        for sink in self._sinks:
            sink.start()

    def recover(self, leftover: Collection[str]) -> None:
        """Put the changes on record that are stored and not in the log.

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
                _LOG.warning("the audit log lacks the change `%s`: it is written now", record.id)
            self.trail.put_change(change)
        self._manager.records_written(written)
        self.writer.end_turn()

    def end_turn(self) -> None:
        """Hand over what was put on record in this turn."""
        self.writer.end_turn()

    def tick(self) -> None:
        """Do what is due by the clock."""
        self.trail.tick(self._clock.now_ms())
        self._settle()

    def dropped_by_sinks(self) -> dict[str, Callable[[], int]]:
        """Return what reads how many records found no room in the queue of a plugin, for each plugin."""
        return {sink.name: lambda sink=sink: sink.dropped for sink in self._sinks}  # type: ignore[misc]

    def close(self) -> None:
        """Write what waits and let go of the files."""
        self.trail.close(self._clock.now_ms())
        self.writer.end_turn()
        for sink in self._sinks:
            sink.close()
        self.writer.close()
        self._settle()

    def _has(self, change_id: str) -> bool:
        try:
            return find_change(self._path, change_id) is not None
        except OSError as exc:
            _LOG.warning("the audit log cannot be searched, a change may be in it twice: %s", exc.strerror)
            return False

    def _settle(self) -> None:
        """Remove the stored records of changes whose lines are on the disk."""
        written = self.writer.take_receipts()
        if not written:
            return
        try:
            self._manager.records_written(written)
        except MetadataStoreFailed as exc:
            # They stay, and the next start finds them in the log.
            _LOG.warning("the records of %d changes could not be removed from the store: %s", len(written), exc)
