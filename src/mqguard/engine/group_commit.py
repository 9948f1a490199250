"""Group commit: one commit stores all changes of an iteration of the event loop, then their replies leave."""

from collections.abc import Callable, Sequence
from typing import Protocol

from mqguard.store.errors import StoreError
from mqguard.store.ports import MessageStore
from mqguard.store.queues import Queue

Arrival = Callable[[str, int, int, set[int]], None]
"""`(topic, queue_id, next_offset, tag_codes)`: messages with these tag codes can be fetched up to `next_offset`."""


class Completion(Protocol):
    """Reply to a request whose changes are not stored yet, made by the face that received the request."""

    def committed(self) -> None:
        """Send the reply; the changes are stored."""
        ...  # pragma: no cover

    def failed(self, reason: str) -> None:
        """Send an error; nothing was stored."""
        ...  # pragma: no cover


class GroupCommit:
    """Staged changes of an iteration, with everything that waits for their commit.

    Args:
        store: Store of the changes.
        sync: True if a commit waits for the disk.

    Attributes:
        stored: Messages of the last commit, if it succeeded: queue, next offset and tag code of each.
    """

    def __init__(self, store: MessageStore, *, sync: bool) -> None:
        self.sync = sync
        self._store = store
        self._deferred: list[Completion] = []
        self._arrived: list[tuple[Queue, int, int]] = []
        self.stored: Sequence[tuple[Queue, int, int]] = ()
        self._undo: list[Callable[[], None]] = []
        self._after: list[Callable[[], None]] = []
        self._arrival: list[Arrival] = []
        self._failure: list[Callable[[str], None]] = []

    def defer(self, completion: Completion) -> None:
        """Complete a request after the commit."""
        self._deferred.append(completion)

    def on_arrival(self, callback: Arrival) -> None:
        """Call back for every queue that has new messages, after the commit that stored them.

        It is called once for each queue, because thousands of requests may wait for its messages.
        """
        self._arrival.append(callback)

    def on_failure(self, callback: Callable[[str], None]) -> None:
        """Call back with the reason whenever a commit fails."""
        self._failure.append(callback)

    def arrived(self, queue: Queue, next_offset: int, tag_code: int) -> None:
        """Add a staged message for the arrival callbacks."""
        self._arrived.append((queue, next_offset, tag_code))

    def undo(self, action: Callable[[], None]) -> None:
        """Add an action that reverts a change in memory if the commit fails; the last added runs first."""
        self._undo.append(action)

    def after(self, action: Callable[[], None]) -> None:
        """Add an action that runs after the commit, before the replies leave."""
        self._after.append(action)

    @property
    def pending(self) -> bool:
        """True if a commit would have an effect."""
        return bool(self._deferred) or self._store.pending

    def commit(self) -> bool:
        """Store the staged changes, then complete the deferred requests. Return False if that failed; never raise.

        Arrival callbacks run last. Changes that they stage belong to the next commit.
        """
        if self._store.pending:
            try:
                self._store.commit(sync=self.sync)
            except StoreError as error:
                self._fail(str(error))
                for callback in self._failure:
                    callback(str(error))
                return False
        self._succeed()
        return True

    def refuse(self, reason: str) -> None:
        """Discard the staged changes, and fail the deferred requests with a reason."""
        if self.pending:
            self._store.discard()
            self._fail(reason)

    def _succeed(self) -> None:
        self._undo.clear()
        if self._after:
            after, self._after = self._after, []
            for action in after:
                action()

        if self._deferred:
            deferred, self._deferred = self._deferred, []
            for completion in deferred:
                completion.committed()

        if self._arrived:
            self.stored, self._arrived = self._arrived, []
            self._notify_arrivals(self.stored)
        else:
            self.stored = ()

    def _notify_arrivals(self, arrived: Sequence[tuple[Queue, int, int]]) -> None:
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
        for completion in deferred:
            completion.failed(reason)
