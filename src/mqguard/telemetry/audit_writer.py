"""Takes audit records without ever blocking, and writes their lines from a thread of its own.

Rule 1: the thread that puts records never touches the disk.
Rule 2: nothing is lost silently: records that found no room are counted, and a line says how many are missing where.
Rule 3: a disk that takes no more is said once; what was taken is kept and tried again until it is written.
Rule 4: load alone loses nothing. The thread that puts records makes their lines too, at the end of each turn of its
loop (`end_turn`), so that the writer has little to do, in few big steps. Still a busy thread can keep the interpreter
from another for most of a second: where many records wait, it gives way for some milliseconds, unless it is the disk
that they wait for.
Rule 5: some room is reserved. A record that finds no room there is not counted as dropped: its owner keeps it.
Rule 6: the receipt of a record is given back only after its line was synced to the disk.
"""

import collections
import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from mqguard.telemetry.rotating_file import RotatingFile

_LOG = logging.getLogger(__name__)

QUEUE_LIMIT = 65_536
"""Most records that wait to be written: about two seconds of the busiest broker, some 30 MB."""
RESERVED = 16_384
"""Most records beyond that, of those that may use the reserved room."""
MAX_BYTES = 64 << 20
"""Most bytes of lines that wait, beside which no more records are taken; half as much more for reserved ones."""
PER_STEP = 1_024
"""Records of one turn whose lines are made at a time."""
MANY = 4_096
"""Records that wait when the thread that puts them gives way."""
GIVE_WAY_S = 0.005
"""How long it gives way at most, in each turn of its loop."""
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


class _Made(NamedTuple):
    """The lines of a turn.

    Attributes:
        records: How many records they are of.
        lineless: How many of these have no lines.
        chunks: The lines for each file.
        receipts: Receipts of some of the records.
    """

    records: int
    lineless: int
    chunks: Sequence[bytes]
    receipts: Sequence[str]


class AuditWriter:
    """A bounded queue and the thread that empties it. One thread puts, this one writes.

    Attributes:
        written: Records that are in the files.
        dropped: Records that found no room in the queue.
        broken: Records that could not be made into lines, or were not written when the writer was closed.
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
            files: Where to; each gets its own lines.
            lines: Makes the lines.
            now_ms: Milliseconds since the epoch.
            limit: Most records that wait.
            reserved: Most records beyond that, of those that may use the reserved room.
        """
        self.written = 0
        self.dropped = 0
        self.broken = 0
        self._files = tuple(files)
        self._lines = lines
        self._now_ms = now_ms
        self._limit = limit
        self._reserved_limit = limit + reserved
        self._turn: list[object] = []
        self._turn_receipts: list[str] = []
        # Receipts of records that are on the disk: what one thread appends and the other takes.
        self._receipts: collections.deque[str] = collections.deque()
        # Lines of whole turns, with the number of records they are of and of those that have none: what one thread
        # appends and the other takes. INVARIANT: only `dropped` and `_put` are counted by the thread that puts.
        self._made: collections.deque[_Made] = collections.deque()
        self._put = 0
        self._done = 0
        # Bytes of lines, made by one thread and done by the other, and what followed from them when the first looked.
        self._bytes_made = 0
        self._bytes_done = 0
        self._is_heavy = False
        self._is_very_heavy = False
        self._told_dropped = 0
        self._failing = False
        self._resting = False
        self._stuck = False
        self._is_writing = False
        self._wake = threading.Event()
        self._hurry = threading.Event()
        self._caught_up = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="audit-writer", daemon=True)

    @property
    def is_full(self) -> bool:
        """Whether the next record would find no room."""
        self._weigh()
        return self._put - self._done >= self._limit or self._is_heavy

    @property
    def waiting(self) -> int:
        """How many records wait to be written."""
        return self._put - self._done

    def put(self, record: object, *, reserved: bool = False, receipt: str = "") -> bool:
        """Take a record; False if there is no room, which is counted and said in the files unless it is reserved.

        Args:
            record: What the lines are made of.
            reserved: True if the record may use the reserved room.
            receipt: What `take_receipts` gives back once the line is on the disk; empty for nothing.
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
        self._turn.append(record)
        if receipt:
            self._turn_receipts.append(receipt)
        if len(self._turn) >= PER_STEP:
            # A turn may be long: its records must not wait for its end, neither in memory nor for the writer.
            self.end_turn()
        return True

    def take_receipts(self) -> list[str]:
        """Return the receipts of records that came to the disk since the last call."""
        taken = self._receipts
        return [taken.popleft() for _ in range(len(taken))]

    def end_turn(self) -> None:
        """Hand over what was put in this turn. To be called by the thread that puts, before it waits for anything."""
        turn = self._turn
        if not turn:
            return
        receipts = self._turn_receipts
        self._turn = []
        if receipts:
            self._turn_receipts = []
        made = _Made(len(turn), *self._render(turn), receipts)
        self._bytes_made += sum(map(len, made.chunks))
        self._made.append(made)
        self._weigh()
        if self._resting:
            self._resting = False
            self._wake.set()
        if self._put - self._done >= MANY and not self._stuck:
            self._give_way()

    def _weigh(self) -> None:
        """See how many bytes wait. Only for the thread that puts."""
        waiting = self._bytes_made - self._bytes_done
        self._is_heavy = waiting >= MAX_BYTES
        self._is_very_heavy = waiting >= MAX_BYTES * 3 // 2

    def _give_way(self) -> None:
        done = self._done
        self._caught_up.clear()
        self._hurry.set()
        self._caught_up.wait(GIVE_WAY_S)
        # The writer waits for the disk, and nobody is helped by waiting with it. A writer that waits for a processor is
        # given way to again.
        self._stuck = self._done == done and self._is_writing

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def close(self, timeout_s: float = 10.0) -> None:
        """Write what waits and stop. What the disk does not take is counted and logged. Ends the turn of the caller."""
        self.end_turn()
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
                # Company is waited for: a few big writes cost the other threads less than many small ones.
                self._hurry.wait(LINGER_S)
                self._hurry.clear()
                self._drain()
            except Exception:  # noqa: BLE001 - rule 2: the thread must not die and leave a queue that fills for ever
                _LOG.exception("the audit writer stumbled")
        for file in self._files:
            file.close()

    def _rest(self) -> None:
        self._resting = True
        # Lines that came before the line above found nobody resting; they must not be slept through.
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
        # A turn that has a record without lines keeps its receipts: nobody knows which record they are of.
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
        """Count what is not written: what waits, and what was `lost` on the way."""
        missing = self.waiting
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

    def _render(self, batch: list[object]) -> tuple[int, Sequence[bytes]]:
        """The lines of records, and how many have none."""
        try:
            return 0, self._lines.render(batch)
        except Exception:  # noqa: BLE001 - one bad record must not take its batch with it
            _LOG.exception("an audit record has no lines")
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

    def _sync(self, chunks: Sequence[bytes]) -> bool:
        """Bring what was just written to the disk; False if the disk cannot, so that nobody is told it is there."""
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
