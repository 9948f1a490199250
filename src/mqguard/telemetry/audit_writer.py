"""The audit writer: accepts records without blocking, and writes their lines from a thread of its own.

Rule 1: the thread that puts records never touches the disk.
Rule 2: every loss is reported: records without room are counted, and a line gives their number and position.
Rule 3: a failing disk is logged once; accepted records are kept and retried until they are written.
Rule 4: load alone loses nothing. At the end of each iteration of its loop (`end_iteration`), the thread that puts
records also makes their lines. So the writer has little to do, in a few big steps. A busy thread can still keep the
interpreter from the writer for most of a second. If many records wait, it sleeps for some milliseconds, unless they
wait for the disk.
Rule 5: some room is reserved. A record without room there is not counted as dropped: its owner keeps it.
Rule 6: the receipt of a record is returned only after its line was synced to the disk.
"""

import collections
import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from mqguard.telemetry.audit_files import RotatingFile

_LOG = logging.getLogger(__name__)

QUEUE_LIMIT = 65_536
"""Maximum number of waiting records: about two seconds of the busiest broker, some 30 MB."""
RESERVED = 16_384
"""Maximum number of further records that may use the reserved room."""
MAX_BYTES = 64 << 20
"""Maximum bytes of waiting lines; reserved records may use half as much more."""
PER_STEP = 1_024
"""Records of one iteration whose lines are made in one step."""
MANY = 4_096
"""Number of waiting records at which the putting thread sleeps."""
GIVE_WAY_S = 0.005
"""Maximum sleep in each iteration of its loop."""
LINGER_S = 0.02
"""Time for which the writer waits for further records after the first."""
RETRY_S = 1.0
"""Time between two attempts of the writer on a failing disk."""


class Lines(Protocol):
    """Converts records to lines, for each of the files."""

    def render(self, records: Sequence[Any]) -> Sequence[bytes]:
        """Return the lines of a batch, for each file."""
        ...  # pragma: no cover

    def lost(self, count: int, when_ms: int) -> Sequence[bytes]:
        """Return the lines that report the number of records without room, for each file."""
        ...  # pragma: no cover


class _Made(NamedTuple):
    """The lines of an iteration.

    Attributes:
        records: Number of records.
        lineless: Number of records without lines.
        chunks: The lines for each file.
        receipts: Receipts of some of the records.
    """

    records: int
    lineless: int
    chunks: Sequence[bytes]
    receipts: Sequence[str]


class AuditWriter:
    """A bounded queue and the thread that empties it. One thread puts records, this one writes them.

    Attributes:
        written: Number of records in the files.
        dropped: Number of records without room in the queue.
        broken: Number of records without lines, or not written at the close of the writer.
    """

    def __init__(
        self,
        files: Sequence[RotatingFile],
        lines: Lines,
        now_ms: Callable[[], int],
        limit: int = QUEUE_LIMIT,
        reserved: int = RESERVED,
    ) -> None:
        """Prepare to write.

        Args:
            files: The files; each gets its own lines.
            lines: Converts records to lines.
            now_ms: Milliseconds since the epoch.
            limit: Maximum number of waiting records.
            reserved: Maximum number of further records that may use the reserved room.
        """
        self.written = 0
        self.dropped = 0
        self.broken = 0
        self._files = tuple(files)
        self._lines = lines
        self._now_ms = now_ms
        self._limit = limit
        self._reserved_limit = limit + reserved
        self._records: list[object] = []
        self._receipts_of_iteration: list[str] = []
        # Receipts of records on the disk: one thread appends, the other one takes.
        self._receipts: collections.deque[str] = collections.deque()
        # Lines of whole iterations, with the numbers of records with and without lines. One thread appends, the other
        # takes. INVARIANT: only the putting thread counts `dropped` and `_put`.
        self._made: collections.deque[_Made] = collections.deque()
        self._put = 0
        self._done = 0
        # Bytes of lines, made by one thread and written by the other, and the result when the first thread last
        # checked.
        self._bytes_made = 0
        self._bytes_done = 0
        self._is_heavy = False
        self._is_very_heavy = False
        self._told_dropped = 0
        self._failing = False
        self._resting = False
        self._stuck = False
        self._is_writing = False
        self._is_reopening = False
        self._wake = threading.Event()
        self._hurry = threading.Event()
        self._caught_up = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="audit-writer", daemon=True)

    @property
    def is_full(self) -> bool:
        """True if there is no room for the next record."""
        self._weigh()
        return self._put - self._done >= self._limit or self._is_heavy

    @property
    def waiting(self) -> int:
        """The number of records that wait to be written."""
        return self._put - self._done

    def put(self, record: object, *, reserved: bool = False, receipt: str = "") -> bool:
        """Accept a record, or return False if there is no room.

        The loss is counted and reported in the files, unless the record may use the reserved room.

        Args:
            record: The source of the lines.
            reserved: True if the record may use the reserved room.
            receipt: The text that `take_receipts` returns once the line is on the disk; empty for none.
        """
        if self._is_heavy:
            self._weigh()
        if self._put - self._done >= self._limit or self._is_heavy:
            if not reserved:
                self.dropped += 1
                return False
            if self._put - self._done >= self._reserved_limit or self._is_very_heavy:
                return False
        self._put += 1
        self._records.append(record)
        if receipt:
            self._receipts_of_iteration.append(receipt)
        if len(self._records) >= PER_STEP:
            # An iteration may be long: its records must not wait for its end, neither in memory nor for the writer.
            self.end_iteration()
        return True

    def take_receipts(self) -> list[str]:
        """Return the receipts of records written to the disk since the last call."""
        taken = self._receipts
        return [taken.popleft() for _ in range(len(taken))]

    def end_iteration(self) -> None:
        """Hand over the records of this iteration. The putting thread calls this before it waits for anything."""
        records = self._records
        if not records:
            return
        receipts = self._receipts_of_iteration
        self._records = []
        if receipts:
            self._receipts_of_iteration = []
        made = _Made(len(records), *self._render(records), receipts)
        self._bytes_made += sum(map(len, made.chunks))
        self._made.append(made)
        self._weigh()
        if self._resting:
            self._resting = False
            self._wake.set()
        if self._put - self._done >= MANY and not self._stuck:
            self._give_way()

    def _weigh(self) -> None:
        """Count the waiting bytes. Only for the putting thread."""
        waiting = self._bytes_made - self._bytes_done
        self._is_heavy = waiting >= MAX_BYTES
        self._is_very_heavy = waiting >= MAX_BYTES * 3 // 2

    def _give_way(self) -> None:
        done = self._done
        self._caught_up.clear()
        self._hurry.set()
        self._caught_up.wait(GIVE_WAY_S)
        # The writer waits for the disk, and sleeping does not help. If it waits for a processor, this thread sleeps
        # again.
        self._stuck = self._done == done and self._is_writing

    def reopen(self) -> None:
        """Open the files anew before the next write: another program may have renamed or removed them."""
        self._is_reopening = True

    def start(self) -> None:
        """Start to write."""
        self._thread.start()

    def close(self, timeout_s: float = 10.0) -> None:
        """Write the waiting records and stop. The rest is counted and logged. This ends the iteration of the caller."""
        self.end_iteration()
        self._closing.set()
        self._wake.set()
        self._hurry.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        if self.waiting:
            self._give_up()

    def _run(self) -> None:
        while True:
            try:
                if not self._made:
                    self._tell_dropped()
                    if self._closing.is_set():
                        break
                    self._rest()
                # The writer waits for further records: a few big writes cost the other threads less than many small
                # ones.
                self._hurry.wait(LINGER_S)
                self._hurry.clear()
                self._drain()
            except Exception:  # noqa: BLE001 - rule 2: the thread must not die and leave a queue that fills for ever
                _LOG.exception("the audit writer failed in one step and continues")
        for file in self._files:
            file.close()

    def _rest(self) -> None:
        self._resting = True
        # Lines that came before the line above woke no thread; the writer must not sleep now.
        if not self._made and not self._closing.is_set():
            self._wake.wait()
        self._resting = False
        self._wake.clear()

    def _drain(self) -> None:
        made = [self._made.popleft() for _ in range(len(self._made))]
        if not made:
            return
        count = sum(one.records for one in made)
        lineless = sum(one.lineless for one in made)
        # An iteration with a record without lines keeps its receipts, because they cannot be assigned to records.
        receipts = [receipt for one in made if not one.lineless for receipt in one.receipts]
        written = False
        try:
            chunks = [b"".join(parts) for parts in zip(*(one.chunks for one in made), strict=True)]
            self._is_writing = True
            written = self._write(chunks)
            if written and receipts and self._sync(chunks):
                self._receipts.extend(receipts)
        finally:
            self._is_writing = False
            self._done += count
            self._bytes_done += sum(len(chunk) for one in made for chunk in one.chunks)
            self._stuck = False
            self._caught_up.set()
            self.broken += lineless
            if written:
                self.written += count - lineless
            else:
                self._give_up(count - lineless)

    def _give_up(self, lost: int = 0) -> None:
        """Count the records that are not written: the waiting ones, and those that were `lost` before."""
        missing = self.waiting
        self._made.clear()
        self._done += missing
        self.broken += missing + lost
        _LOG.error("%d audit records were not written", missing + lost)

    def _tell_dropped(self) -> None:
        missing = self.dropped - self._told_dropped
        if missing:
            self._told_dropped += missing
            _LOG.warning("%d audit records are missing because the queue was full", missing)
            self._write(self._lines.lost(missing, self._now_ms()))

    def _render(self, batch: list[object]) -> tuple[int, Sequence[bytes]]:
        """Return the lines of records, and the number of records without lines."""
        try:
            return 0, self._lines.render(batch)
        except Exception:  # noqa: BLE001 - one bad record must not take its batch with it
            _LOG.exception("an audit record cannot be converted to lines")
        lineless = 0
        parts: list[list[bytes]] = [[] for _ in self._files]
        for record in batch:
            try:
                for lines, line in zip(parts, self._lines.render([record]), strict=True):
                    lines.append(line)
            except Exception:  # noqa: BLE001 - said above; the others must be written
                lineless += 1
        return lineless, [b"".join(lines) for lines in parts]

    def _write(self, chunks: Sequence[bytes]) -> bool:
        """Write to every file; return False if the writer was closed while the disk failed."""
        if self._is_reopening:
            self._is_reopening = False
            for file in self._files:
                file.close()
        for file, chunk in zip(self._files, chunks, strict=True):
            rest = chunk
            fresh = True
            last = False
            while rest:
                try:
                    if fresh:
                        file.make_room()
                    rest = rest[file.append(rest) :]
                    fresh = False
                    self._mended()
                except OSError as exc:
                    self._failed(file, exc)
                    if last:
                        return False
                    # When the writer is closed, the disk gets one more attempt.
                    last = self._closing.wait(RETRY_S)
        return True

    def _sync(self, chunks: Sequence[bytes]) -> bool:
        """Sync the written lines to the disk; return False on failure, so that no receipt is returned."""
        try:
            for file, chunk in zip(self._files, chunks, strict=True):
                if chunk:
                    file.sync()
        except OSError as exc:
            _LOG.error("the audit log cannot be synced: %s", exc.strerror)
            return False
        return True

    def _failed(self, file: RotatingFile, exc: OSError) -> None:
        file.close()
        if not self._failing:
            self._failing = True
            _LOG.error("the audit log cannot be written, records are kept back: %s", exc.strerror)

    def _mended(self) -> None:
        if self._failing:
            self._failing = False
            _LOG.warning("the audit log can be written again")
