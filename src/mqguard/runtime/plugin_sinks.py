"""Gives audit records to plugins: each has a bounded queue and a thread of its own, so that none holds up another."""

import collections
import logging
import threading
from collections.abc import Callable, Sequence

from mqguard.guard.audit import AdminChange, AuditEvent, AuditSink, Record
from mqguard.guard.audit_format import AuditLines
from mqguard.guard.denial_groups import Folded, Repeats
from mqguard.guard.plugin_api import RecordSink

_LOG = logging.getLogger(__name__)

QUEUE_LIMIT = 65_536
RESERVED = 16_384
"""Most records beyond that: denials and changes."""
NEEDS_PER_PLACE = 2
"""A record of so many resources takes one more place."""
BATCH = 1_024
RETRY_S = 1.0
LINGER_S = 0.02


class PluginSink:
    """One plugin's queue and thread.

    What the plugin does not take is kept and given again; when the queue is full, `put` says so, and the operator has
    decided (`auditWhenFull`) whether requests are then refused.

    Attributes:
        name: Name of the plugin.
        dropped: Records that found no room.
    """

    def __init__(self, name: str, sink: RecordSink, limit: int = QUEUE_LIMIT) -> None:
        self.dropped = 0
        self.name = name
        self._sink = sink
        self._limit = limit
        self._lines = AuditLines()
        self._queue: collections.deque[Record] = collections.deque()
        # Places that records of many resources take beside their own: added by one thread, given back by the other.
        self._weight = 0
        self._weight_done = 0
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._failing = False
        self._thread = threading.Thread(target=self._run, name=f"audit sink {name}", daemon=True)

    def start(self) -> None:
        """Begin to give records."""
        self._thread.start()

    def put(self, record: object, *, reserved: bool = False, receipt: str = "") -> bool:  # noqa: ARG002 - the port's
        """Take a record; False if there is no room. A plugin gives no receipts."""
        if not isinstance(record, (AuditEvent, AdminChange, Repeats, Folded)):
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
        """Give what waits, if the plugin takes it in time, and close it."""
        self._closing.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        if self._queue:
            _LOG.error("the audit sink `%s` did not take %d records", self.name, len(self._queue))

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
        """Give everything; False if the server ends and the plugin does not take it."""
        told = 0
        while self._queue:
            batch = [self._queue[at] for at in range(min(BATCH, len(self._queue)))]
            lines = self._render(batch)
            while not self._write(lines):
                if self._closing.wait(RETRY_S):
                    return self._write(lines) and not self._drop(batch)
            self._drop(batch)
            if self.dropped != told:
                told = self.dropped
                _LOG.warning("the audit sink `%s` was too slow for %d records", self.name, told)
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
            except Exception:  # noqa: BLE001 - one bad record must not take the others with it
                _LOG.exception("an audit record has no line")
        return lines

    def _write(self, lines: Sequence[bytes]) -> bool:
        try:
            self._sink.write(tuple(lines))
        except BaseException:  # noqa: BLE001 - a plugin may raise anything
            if not self._failing:
                self._failing = True
                _LOG.exception("the audit sink `%s` does not take records, they are kept", self.name)
            return False
        if self._failing:
            self._failing = False
            _LOG.warning("the audit sink `%s` takes records again", self.name)
        return True


def _weight(record: Record) -> int:
    return len(record.needs) // NEEDS_PER_PLACE if isinstance(record, AuditEvent) else 0


class FanOutSink:
    """Gives each record to several sinks, the first of which gives the receipts."""

    def __init__(self, first: AuditSink, others: Sequence[AuditSink]) -> None:
        self._first = first.put
        self._others: tuple[Callable[..., bool], ...] = tuple(sink.put for sink in others)

    def put(self, record: object, *, reserved: bool = False, receipt: str = "") -> bool:
        """Take a record; False if one of the sinks has no room for one that is not reserved.

        A reserved one is taken by whoever has room: what the first takes counts, or others would get it twice.
        """
        found = self._first(record, reserved=reserved, receipt=receipt)
        if reserved and not found:
            return False
        for put in self._others:
            found = (put(record, reserved=reserved) or reserved) and found
        return found
