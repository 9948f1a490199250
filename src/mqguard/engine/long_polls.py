"""Requests that wait for a message: parked as data, resumed by an event.

A pull at the end of a queue is answered when a message arrives that its tags let through, or when its time is up.
No task, no timer and no future is made for it: an arrival looks up its queue, the periodic tick looks at a heap.
"""

import collections
import heapq
import itertools
import sys
from collections.abc import Iterator
from typing import Generic, TypeVar

import msgspec

from mqguard.engine.fair_shares import Places
from mqguard.model.peer import Channel

T = TypeVar("T")


class PendingPull(msgspec.Struct, Generic[T], eq=False):
    """One parked request.

    Attributes:
        topic: Topic waited on.
        queue_id: Queue waited on.
        offset: First queue offset that would satisfy it.
        tags: Tag codes let through, None for all.
        deadline_ms: When to give up, on the clock's scale.
        channel: Connection of the requester; the waiter dies with it.
        owner: User or address of the requester, for the shares of places.
        what: What the owner needs to resume the request.
        number: Set by `LongPolls`; order of parking.
    """

    topic: str
    queue_id: int
    offset: int
    tags: frozenset[int] | None
    deadline_ms: int
    channel: Channel
    owner: str
    what: T
    number: int = -1

    def wants(self, next_offset: int, tag_codes: set[int]) -> bool:
        """Whether messages stored up to `next_offset`, with these tag codes, may end the wait."""
        return next_offset > self.offset and (self.tags is None or not self.tags.isdisjoint(tag_codes))


MAX_FILTERING = 8_192
"""Requests on one queue beyond which none with tags is kept: each message makes a look at all of them necessary."""
CONNECTION_SHARE = 8
"""One connection may have an eighth of all places: whoever takes more must not leave others without."""


class LongPolls(Generic[T]):
    """All parked requests of a server, bounded in number, altogether and for each connection.

    If all places are taken, the owner that has most of them gives way: see `displace`.

    INVARIANT: a waiter stands in `_queues`, `_channels`, `_places` and `_live` or in none of them; the heap may hold
    dead ones.
    """

    def __init__(self, capacity: int = 100_000) -> None:
        self._share = max(1, capacity // CONNECTION_SHARE)
        self._places: Places[int] = Places(capacity)
        self._queues: dict[tuple[str, int], dict[str, dict[int, PendingPull[T]]]] = {}
        self._counts: collections.Counter[tuple[str, int]] = collections.Counter()
        self._channels: dict[Channel, dict[int, PendingPull[T]]] = {}
        self._live: dict[int, PendingPull[T]] = {}
        self._heap: list[tuple[int, int]] = []
        self._parked = 0

    def __len__(self) -> int:
        return len(self._live)

    def park(self, waiter: PendingPull[T]) -> bool:
        """Keep a request; False if there is no room for it: it must be answered at once."""
        of_channel = self._channels.get(waiter.channel)
        if self._places.is_full or (of_channel is not None and len(of_channel) >= self._share):
            return False
        if waiter.tags is not None and self.count(waiter.topic, waiter.queue_id) >= MAX_FILTERING:
            return False
        if of_channel is None:
            of_channel = self._channels[waiter.channel] = {}
        self._parked += 1
        number = waiter.number = self._parked
        self._live[number] = waiter
        queue = (waiter.topic, waiter.queue_id)
        self._queues.setdefault(queue, {}).setdefault(waiter.owner, {})[number] = waiter
        self._counts[queue] += 1
        of_channel[number] = waiter
        self._places.take(waiter.owner, number)
        heapq.heappush(self._heap, (waiter.deadline_ms, number))
        return True

    def displace(self, waiter: PendingPull[T]) -> PendingPull[T] | None:
        """Take out the request that gives its place to `waiter`; None if places are free or nobody has to give way."""
        of_channel = self._channels.get(waiter.channel)
        if not self._places.is_full or (of_channel is not None and len(of_channel) >= self._share):
            return None
        number = self._places.yielding(waiter.owner)
        if number is None:
            return None
        displaced = self._live[number]
        self._remove(displaced)
        return displaced

    def arrived(
        self, topic: str, queue_id: int, next_offset: int, tag_codes: set[int], limit: int = sys.maxsize
    ) -> list[PendingPull[T]]:
        """Take out the requests that stored messages may satisfy.

        Args:
            topic: Where they were stored.
            queue_id: Where they were stored.
            next_offset: The queue's end after them.
            tag_codes: Their tag codes, 0 for none.
            limit: Maximum number of requests; further ones are left for another call.
        """
        parked = self._queues.get((topic, queue_id))
        if parked is None:
            return []
        wanting = (waiter for waiter in _in_turn(parked) if waiter.wants(next_offset, tag_codes))
        return self._take(list(itertools.islice(wanting, limit)))

    def expired(self, now_ms: int, limit: int = sys.maxsize) -> list[PendingPull[T]]:
        """Take out the requests whose time is up, longest overdue first, at most `limit`."""
        late: list[PendingPull[T]] = []
        heap = self._heap
        while heap and heap[0][0] <= now_ms and len(late) < limit:
            waiter = self._live.get(heapq.heappop(heap)[1])
            if waiter is not None:
                self._remove(waiter)
                late.append(waiter)
        if len(heap) > 64 and len(heap) > 2 * len(self._live):
            # Busy queues wake their waiters long before the deadline: without this the heap would hold 15 s of them.
            self._heap = [entry for entry in heap if entry[1] in self._live]
            heapq.heapify(self._heap)
        return late

    def leave(self, channel: Channel) -> int:
        """Drop the requests of a closed connection; answers how many."""
        parked = list(self._channels.get(channel, {}).values())
        for waiter in parked:
            self._remove(waiter)
        return len(parked)

    def count(self, topic: str, queue_id: int) -> int:
        """How many requests wait on a queue."""
        return self._counts[topic, queue_id]

    def queues_of(self, topic: str) -> list[int]:
        """Return the queues of a topic on which requests wait."""
        return [queue_id for name, queue_id in self._queues if name == topic]

    def take_queue(self, topic: str, queue_id: int, limit: int = sys.maxsize) -> list[PendingPull[T]]:
        """Take out requests that wait on a queue, at most `limit`."""
        parked = self._queues.get((topic, queue_id), {})
        return self._take(list(itertools.islice(_in_turn(parked), limit)))

    def _take(self, waiters: list[PendingPull[T]]) -> list[PendingPull[T]]:
        for waiter in waiters:
            self._remove(waiter)
        return waiters

    def _remove(self, waiter: PendingPull[T]) -> None:
        number = waiter.number
        del self._live[number]
        self._places.free(waiter.owner, number)
        queue = (waiter.topic, waiter.queue_id)
        owners = self._queues[queue]
        _discard(owners, waiter.owner, number)
        if not owners:
            del self._queues[queue]
        self._counts[queue] -= 1
        if not self._counts[queue]:
            del self._counts[queue]
        _discard(self._channels, waiter.channel, number)


def _in_turn(owners: dict[str, dict[int, PendingPull[T]]]) -> Iterator[PendingPull[T]]:
    """Give the requests of all owners, one of each in turn."""
    rounds = collections.deque(iter(waiters.values()) for waiters in owners.values())
    while rounds:
        one = rounds.popleft()
        waiter = next(one, None)
        if waiter is not None:
            rounds.append(one)
            yield waiter


K = TypeVar("K")


def _discard(table: dict[K, dict[int, PendingPull[T]]], key: K, number: int) -> None:
    waiters = table[key]
    del waiters[number]
    if not waiters:
        del table[key]
