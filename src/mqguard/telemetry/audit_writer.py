"""Takes audit records without ever blocking, and writes their lines from a thread of its own.

Rule 1: the thread that puts records never touches the disk.
Rule 2: nothing is lost silently: records that found no room are counted, and a line says how many are missing where.
Rule 3: a disk that takes no more is said once; what was taken is kept and tried again until it is written.
Rule 4: load alone loses nothing. A busy thread that puts records makes their lines itself, at the end of each turn of
its loop (`end_turn`): a thread beside a busy one gets its turn only every few milliseconds, so the writer has little to
do in each, and does it in few steps. It makes the lines of what is put outside of turns.
"""

import collections
import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from mqguard.telemetry.rotating_file import RotatingFile

_LOG = logging.getLogger(__name__)

QUEUE_LIMIT = 65_536
"""Most records that wait to be written: about two seconds of the busiest broker, some 30 MB."""
BATCH = 256
"""Most records that are made into lines at once."""
LINGER_S = 0.02
"""How long the writer waits for company of the first record."""
RETRY_S = 1.0
"""How long the writer leaves a disk alone that takes no more."""


class Lines(Protocol):
    """Makes lines of records, for each of the files."""

    def render(self, records: Sequence[Any]) -> Sequence[bytes]:
        """The lines of a batch, for each file."""
        ...  # pragma: no cover

    def lost(self, count: int, when_ms: int) -> Sequence[bytes]:
        """The lines that say how many records found no room, for each file."""
        ...  # pragma: no cover


class AuditWriter:
    """A bounded queue and the thread that empties it. One thread puts, this one writes.

    Attributes:
        written: Records that are in the files.
        dropped: Records that found no room in the queue.
        broken: Records that could not be made into lines, or were not written when the writer was closed.
    """

    def __init__(
        self, files: Sequence[RotatingFile], lines: Lines, now_ms: Callable[[], int], limit: int = QUEUE_LIMIT
    ) -> None:
        """Prepare to write.

        Args:
            files: Where to; each gets its own lines.
            lines: Makes the lines.
            now_ms: Milliseconds since the epoch.
            limit: Most records that wait.
        """
        self.written = 0
        self.dropped = 0
        self.broken = 0
        self._files = tuple(files)
        self._lines = lines
        self._now_ms = now_ms
        self._limit = limit
        self._queue: collections.deque[object] = collections.deque()
        # Lines that are made, with the number of records they are of; they go before what is still in the queue.
        self._made: collections.deque[tuple[int, Sequence[bytes]]] = collections.deque()
        self._making = threading.Lock()
        self._put = 0
        self._done = 0
        self._told_dropped = 0
        self._failing = False
        self._resting = False
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="audit-writer", daemon=True)

    @property
    def is_full(self) -> bool:
        """Whether the next record would find no room."""
        return self._put - self._done >= self._limit

    @property
    def waiting(self) -> int:
        """How many records wait to be written."""
        return self._put - self._done

    def put(self, record: object) -> bool:
        """Take a record; False if there is no room, which is counted and said in the files."""
        if self._put - self._done >= self._limit:
            self.dropped += 1
            return False
        self._put += 1
        self._queue.append(record)
        if self._resting:
            self._resting = False
            self._wake.set()
        return True

    def end_turn(self) -> None:
        """Make lines of what was put in this turn. To be called by the thread that puts."""
        # Where the writer is at it this moment, it has begun to do the same.
        if self._queue and self._making.acquire(blocking=False):
            try:
                while self._queue:
                    self._made.append(self._make())
            finally:
                self._making.release()

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def close(self, timeout_s: float = 10.0) -> None:
        """Write what waits and stop. What the disk does not take is counted and logged."""
        self._closing.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        if self.waiting:
            self._give_up()

    def _run(self) -> None:
        while True:
            try:
                if not self.waiting:
                    self._tell_dropped()
                    if self._closing.is_set():
                        break
                    self._rest()
                # Company is waited for: a few big writes cost the other threads less than many small ones.
                self._closing.wait(LINGER_S)
                self._drain()
            except Exception:  # noqa: BLE001 - rule 2: the thread must not die and leave a queue that fills for ever
                _LOG.exception("the audit writer stumbled")
        for file in self._files:
            file.close()

    def _rest(self) -> None:
        self._resting = True
        # A record that came before the line above found nobody resting; it must not be slept through.
        if not self.waiting and not self._closing.is_set():
            self._wake.wait()
        self._resting = False
        self._wake.clear()

    def _drain(self) -> None:
        made = self._next()
        if made is None:
            return
        count, chunks = made
        written = False
        try:
            written = self._write(chunks)
        finally:
            self._done += count
            if written:
                self.written += count
            else:
                self._give_up(count)

    def _next(self) -> tuple[int, Sequence[bytes]] | None:
        """The next lines in order, None if nothing waits."""
        with self._making:
            if not self._made:
                return self._make() if self._queue else None
            made = [*self._made]
            self._made.clear()
        chunks = [b"".join(parts) for parts in zip(*(parts for _, parts in made), strict=True)]
        return sum(count for count, _ in made), chunks

    def _make(self) -> tuple[int, Sequence[bytes]]:
        """The lines of the next records. Only for who holds `_making`."""
        queue = self._queue
        batch = [queue.popleft() for _ in range(min(BATCH, len(queue)))]
        return len(batch), self._render(batch)

    def _give_up(self, lost: int = 0) -> None:
        """Count what is not written: what waits, and what was `lost` on the way."""
        with self._making:
            missing = self.waiting
            self._queue.clear()
            self._made.clear()
        self._done += missing
        self.broken += missing + lost
        _LOG.error("%d audit records were not written", missing + lost)

    def _tell_dropped(self) -> None:
        missing = self.dropped - self._told_dropped
        if missing:
            self._told_dropped += missing
            _LOG.warning("%d audit records found no room and are missing", missing)
            self._write(self._lines.lost(missing, self._now_ms()))

    def _render(self, batch: list[object]) -> Sequence[bytes]:
        try:
            return self._lines.render(batch)
        except Exception:  # noqa: BLE001 - one bad record must not take its batch with it
            _LOG.exception("an audit record has no lines")
        parts: list[list[bytes]] = [[] for _ in self._files]
        for record in batch:
            try:
                for lines, line in zip(parts, self._lines.render([record]), strict=True):
                    lines.append(line)
            except Exception:  # noqa: BLE001 - said above; the others must be written
                self.broken += 1
                self.written -= 1
        return [b"".join(lines) for lines in parts]

    def _write(self, chunks: Sequence[bytes]) -> bool:
        """Write to every file; False if the writer was closed while the disk took no more."""
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
                    # Who closes the writer gives the disk one more chance, not none.
                    last = self._closing.wait(RETRY_S)
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
