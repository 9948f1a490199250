"""Messages for a time of choice: TIMER_DELIVER_MS, TIMER_DELAY_SEC, TIMER_DELAY_MS.

A waiting message is stored in `rmq_sys_wheel_timer`, which gives it its id, and a second time in a small table in order
of due times, so that neither its delivery nor the deletion of old messages depends on the other.
"""

import math

from mqguard.engine.deferred_delivery import Detours
from mqguard.engine.errors import MessageIllegal
from mqguard.engine.group_commit import GroupCommit
from mqguard.model import names, properties, record
from mqguard.model.clock import Clock
from mqguard.model.errors import RecordInvalid
from mqguard.model.record import Record
from mqguard.store.ports import MessageStore, Table

MAX_PER_TICK = 512
MAX_BYTES_PER_TICK = 1024 * 1024
"""What is delivered in one tick, at most, but for one message that may be larger: all others wait for the commit."""
BYTES_PER_MS = 20 * 1024
"""Bytes of deliveries for which the next one waits a millisecond, so that large messages leave time for others."""
_TIME_BYTES = 8


class Timers:
    """Holds messages back until their time.

    Args:
        store: Where they wait.
        turn: The turn that deliveries belong to.
        detours: Turns them aside and brings them back.
        clock: Says from when a message waits.
        max_ms: How far ahead a time may lie.

    Attributes:
        bytes: Bytes of the table's records that came since the start and wait still.
        undeliverable: Messages dropped because they were damaged or their real topic was gone when they were due.
    """

    def __init__(self, store: MessageStore, turn: GroupCommit, detours: Detours, clock: Clock, max_ms: int) -> None:
        self._store = store
        self._turn = turn
        self._detours = detours
        self._clock = clock
        self._max_ms = max_ms
        self._next_due: float = 0
        self._delivering = False
        self._paused_until = 0
        self.bytes = 0
        self.undeliverable = 0

    def due_of(self, pairs: dict[str, str]) -> int:
        """When a message is due, milliseconds since the epoch; 0 if it asks for no time or for one that has passed.

        Raises:
            MessageIllegal: the time is no number or too far ahead.
        """
        name = next((name for name in properties.TIMER_KEYS if name in pairs), None)
        if name is None:
            return 0
        text = pairs[name]
        if not (text.isascii() and text.isdecimal() and len(text) < 19):
            raise MessageIllegal(f"the property {name} is `{text}`; it must be a whole number")

        now = self._clock.now_ms()
        value = int(text)
        due = (
            value
            if name == properties.TIMER_DELIVER_MS
            else now + value * (1000 if name == properties.TIMER_DELAY_SEC else 1)
        )
        if due - now > self._max_ms:
            raise MessageIllegal(
                f"timer message illegal, the delay time should not be bigger than the max delay {self._max_ms}ms"
            )
        return due if due > now else 0

    def hold(self, message: Record, pairs: dict[str, str], due: int) -> None:
        """Turn a message aside: it will wait for its time. `remember` must follow once it is staged."""
        self._detours.turn_aside(message, pairs, names.TIMER_TOPIC, 0)
        pairs[properties.TIMER_OUT_MS] = str(due)

    def remember(self, message: Record, due: int) -> None:
        """Stage when a message that has been staged is due."""
        key = due.to_bytes(_TIME_BYTES, "big") + message.physical_offset.to_bytes(8, "big")
        data = record.encode(message)
        self._store.stage_value(Table.TIMERS, key, data)

        def stored() -> None:
            self.bytes += len(data)
            self._next_due = min(self._next_due, due)

        self._turn.after(stored)

    def deliver(self, now: int) -> int:
        """Stage every message that is due, a bounded number; says how many there were."""
        if now < self._next_due or now < self._paused_until or self._delivering:
            return 0
        end = (now + 1).to_bytes(_TIME_BYTES, "big")
        waiting = self._store.values(Table.TIMERS, below=end, limit=MAX_PER_TICK, max_bytes=MAX_BYTES_PER_TICK)
        if not waiting:
            first = self._store.values(Table.TIMERS, limit=1)
            self._next_due = int.from_bytes(first[0][0][:_TIME_BYTES], "big") if first else math.inf
            return 0

        # What is staged can still be read: until the commit nothing more may be taken from the table.
        self._paused_until = now + sum([len(data) for _, data in waiting]) // BYTES_PER_MS
        self._delivering = True
        self._turn.after(self._delivered)
        self._turn.undo(self._delivered)
        for key, data in waiting:
            if not self._deliver_record(data):
                self.undeliverable += 1
            self._store.stage_removal(Table.TIMERS, key)
            self.bytes = max(0, self.bytes - len(data))
        return len(waiting)

    def _deliver_record(self, data: bytes) -> bool:
        """Stage a message where it belongs; False if it is damaged: one lost message must not hold up all others."""
        try:
            message = record.decode(data)
        except RecordInvalid:
            return False
        return self._detours.bring_back(message)

    def _delivered(self) -> None:
        self._delivering = False
