"""A turn of the event loop: everything it stages is stored by one commit, then its acknowledgements leave."""

from collections.abc import Callable

from mqguard.remoting.link import Link
from mqguard.store.errors import StoreError
from mqguard.store.ports import MessageStore
from mqguard.store.queues import Queue

Arrival = Callable[[str, int, int, set[int]], None]
"""`(topic, queue_id, next_offset, tag_codes)`: messages with these tag codes can be fetched up to `next_offset`."""
FailedFrame = bytes | Callable[[str], bytes]
"""The frame that tells of a failure, or what makes it from the reason."""


class GroupCommit:
    """Collects what a turn changes and answers.

    Args:
        store: Where the changes go.
        sync: Whether a commit waits for the disk.
    """

    def __init__(self, store: MessageStore, *, sync: bool) -> None:
        self.sync = sync
        self._store = store
        self._deferred: list[tuple[Link, bytes, FailedFrame]] = []
        self._arrived: list[tuple[Queue, int, int]] = []
        self._undo: list[Callable[[], None]] = []
        self._after: list[Callable[[], None]] = []
        self._arrival: list[Arrival] = []
        self._failure: list[Callable[[str], None]] = []

    def defer(self, link: Link, stored: bytes, failed: FailedFrame) -> None:
        """Send `stored` once this turn is stored, or `failed` if that fails."""
        self._deferred.append((link, stored, failed))

    def on_arrival(self, callback: Arrival) -> None:
        """Call back for every queue that has got messages, after the commit that stored them.

        Once for each queue, whatever it has got: thousands may wait for it.
        """
        self._arrival.append(callback)

    def on_failure(self, callback: Callable[[str], None]) -> None:
        """Call back with the reason whenever a commit fails."""
        self._failure.append(callback)

    def arrived(self, queue: Queue, next_offset: int, tag_code: int) -> None:
        """Note a staged message, for the arrival callbacks."""
        self._arrived.append((queue, next_offset, tag_code))

    def undo(self, action: Callable[[], None]) -> None:
        """Note what takes a change in memory back if the commit fails; the last noted runs first."""
        self._undo.append(action)

    def after(self, action: Callable[[], None]) -> None:
        """Note what runs once the turn is stored, before its acknowledgements leave."""
        self._after.append(action)

    @property
    def pending(self) -> bool:
        """Whether a commit would do anything."""
        return bool(self._deferred) or self._store.pending

    def commit(self) -> bool:
        """End the turn: store what it staged, then send what it deferred. Says whether it is stored; never raises.

        Arrival callbacks run last. What they stage belongs to the next turn.
        """
        if self._store.pending:
            try:
                self._store.commit(sync=self.sync)
            except StoreError as error:
                self._fail(str(error))
                return False
        self._succeed()
        return True

    def _succeed(self) -> None:
        self._undo.clear()
        if self._after:
            after, self._after = self._after, []
            for action in after:
                action()

        if self._deferred:
            deferred, self._deferred = self._deferred, []
            for link, stored, _ in deferred:
                link.send(stored)

        if self._arrived:
            arrived, self._arrived = self._arrived, []
            self._tell_arrivals(arrived)

    def _tell_arrivals(self, arrived: list[tuple[Queue, int, int]]) -> None:
        ends: dict[Queue, int] = {}
        codes: dict[Queue, set[int]] = {}
        for queue, next_offset, tag_code in arrived:
            if queue in ends:
                codes[queue].add(tag_code)
            else:
                codes[queue] = {tag_code}
            ends[queue] = next_offset
        for callback in self._arrival:
            for queue, next_offset in ends.items():
                callback(queue.topic, queue.queue_id, next_offset, codes[queue])

    def _fail(self, reason: str) -> None:
        undo, self._undo = self._undo, []
        for action in reversed(undo):
            action()
        self._after.clear()
        self._arrived.clear()
        deferred, self._deferred = self._deferred, []
        for link, _, failed in deferred:
            link.send(failed if isinstance(failed, bytes) else failed(reason))
        for callback in self._failure:
            callback(reason)
