"""Pulls that wait for a message: suspended as data, resumed by an event.

A pull at the end of a queue is answered when a message arrives that matches its filter, or when it times out. It needs
no task, no timer and no future: an arrival finds it by its queue, and the periodic tick by a heap of deadlines.
"""

import collections
import heapq
import itertools
import sys
from collections.abc import Iterator
from typing import Generic, TypeVar

import msgspec

from mqguard.engine.fair_shares import FairQuota, FairSlots
from mqguard.engine.filters import MessageFilter
from mqguard.model.peer import Channel

T = TypeVar("T")


class PendingPull(msgspec.Struct, Generic[T], eq=False):
    """A suspended pull.

    Attributes:
        topic: Topic of the awaited message.
        queue_id: Queue of the awaited message.
        offset: Smallest queue offset of the awaited message.
        wanted: Filter of the awaited message, None for all.
        deadline_ms: Time at which the pull times out.
        channel: Connection of the client; when it closes, the pull is dropped.
        owner: User or address of the client, for its share of the slots.
        request: Data that resumes the request.
        number: Order of suspension, set by `LongPolls`.
    """

    topic: str
    queue_id: int
    offset: int
    wanted: MessageFilter | None
    deadline_ms: int
    channel: Channel
    owner: str
    request: T
    number: int = -1

    def wants(self, next_offset: int, tag_codes: set[int]) -> bool:
        """Return True if messages stored up to `next_offset`, with these tag codes, may satisfy the pull."""
        if next_offset <= self.offset:
            return False
        codes = None if self.wanted is None else self.wanted.codes
        return codes is None or not codes.isdisjoint(tag_codes)


MAX_FILTERING = 8_192
"""Number of pulls on a queue above which none with a filter is suspended, because each message is compared with all."""
MAX_EVALUATING = 1_024
"""The same for filters that need the messages: each message is read and compared again for each of these pulls."""
MAX_WEIGHT = 500_000
"""Maximum weight of the filters of all suspended pulls, without `_FREE_WEIGHT` for each: they take memory."""
_FREE_WEIGHT = 8
CONNECTION_SHARE = 8
"""One connection may have an eighth of all slots, so that it leaves some for others."""


class LongPolls(Generic[T]):
    """All suspended pulls of a server. Their number is limited, in total and for each connection.

    If no slot is free, `displace` removes a pull of the owner with most slots.

    INVARIANT: a pull is in `_queues`, `_channels`, `_slots` and `_live`, or in none of them. The heap may also hold
    numbers of removed pulls.
    """

    def __init__(self, capacity: int = 100_000) -> None:
        self._share = max(1, capacity // CONNECTION_SHARE)
        self._slots: FairSlots[int] = FairSlots(capacity)
        self._weights = FairQuota(MAX_WEIGHT)
        self._queues: dict[tuple[str, int], dict[str, dict[int, PendingPull[T]]]] = {}
        self._counts: collections.Counter[tuple[str, int]] = collections.Counter()
        self._channels: dict[Channel, dict[int, PendingPull[T]]] = {}
        self._live: dict[int, PendingPull[T]] = {}
        self._heap: list[tuple[int, int]] = []
        self._last_number = 0

    def __len__(self) -> int:
        return len(self._live)

    def suspend(self, pull: PendingPull[T]) -> bool:
        """Suspend a pull; return False if there is no slot for it, so that it must be answered at once."""
        of_channel = self._channels.get(pull.channel)
        if self._slots.is_full or (of_channel is not None and len(of_channel) >= self._share):
            return False
        if pull.wanted is not None and not self._has_room(pull, pull.wanted):
            return False
        if of_channel is None:
            of_channel = self._channels[pull.channel] = {}
        self._last_number += 1
        number = pull.number = self._last_number
        self._live[number] = pull
        queue = (pull.topic, pull.queue_id)
        self._queues.setdefault(queue, {}).setdefault(pull.owner, {})[number] = pull
        self._counts[queue] += 1
        of_channel[number] = pull
        self._slots.take(pull.owner, number)
        if pull.wanted is not None:
            self._weights.change(pull.owner, _weight_of(pull.wanted))
        heapq.heappush(self._heap, (pull.deadline_ms, number))
        return True

    def displace(self, pull: PendingPull[T]) -> PendingPull[T] | None:
        """Remove and return the pull whose slot `pull` may use; None if a slot is free or no pull must be removed."""
        of_channel = self._channels.get(pull.channel)
        if not self._slots.is_full or (of_channel is not None and len(of_channel) >= self._share):
            return None
        number = self._slots.to_remove_for(pull.owner)
        if number is None:
            return None
        displaced = self._live[number]
        self._remove(displaced)
        return displaced

    def arrived(
        self, topic: str, queue_id: int, next_offset: int, tag_codes: set[int], limit: int = sys.maxsize
    ) -> list[PendingPull[T]]:
        """Remove and return the pulls that new messages may satisfy.

        Args:
            topic: Topic of the messages.
            queue_id: Queue of the messages.
            next_offset: End of the queue after them.
            tag_codes: Their tag codes, 0 for none.
            limit: Maximum number of pulls; the others are left for another call.
        """
        waiting = self._queues.get((topic, queue_id))
        if waiting is None:
            return []
        satisfied = (pull for pull in _in_rounds(waiting) if pull.wants(next_offset, tag_codes))
        return self._take(list(itertools.islice(satisfied, limit)))

    def expired(self, now_ms: int, limit: int = sys.maxsize) -> list[PendingPull[T]]:
        """Remove and return at most `limit` pulls that have timed out, in order of their deadlines."""
        late: list[PendingPull[T]] = []
        heap = self._heap
        while heap and heap[0][0] <= now_ms and len(late) < limit:
            pull = self._live.get(heapq.heappop(heap)[1])
            if pull is not None:
                self._remove(pull)
                late.append(pull)
        if len(heap) > 64 and len(heap) > 2 * len(self._live):
            # On busy queues pulls end long before their deadlines, so the heap would keep those of 15 s.
            self._heap = [entry for entry in heap if entry[1] in self._live]
            heapq.heapify(self._heap)
        return late

    def leave(self, channel: Channel) -> int:
        """Drop the pulls of a closed connection, and return their number."""
        waiting = list(self._channels.get(channel, {}).values())
        for pull in waiting:
            self._remove(pull)
        return len(waiting)

    def count(self, topic: str, queue_id: int) -> int:
        """Return the number of pulls that wait on a queue."""
        return self._counts[topic, queue_id]

    def queues_of(self, topic: str) -> list[int]:
        """Return the queues of a topic on which pulls wait."""
        return [queue_id for name, queue_id in self._queues if name == topic]

    def take_queue(self, topic: str, queue_id: int, limit: int = sys.maxsize) -> list[PendingPull[T]]:
        """Remove and return at most `limit` pulls that wait on a queue."""
        waiting = self._queues.get((topic, queue_id), {})
        return self._take(list(itertools.islice(_in_rounds(waiting), limit)))

    def _has_room(self, pull: PendingPull[T], wanted: MessageFilter) -> bool:
        """Return True if a pull with this filter may be suspended."""
        limit = MAX_EVALUATING if wanted.codes is None else MAX_FILTERING
        is_crowded = self.count(pull.topic, pull.queue_id) >= limit
        return not is_crowded and self._weights.allows(pull.owner, _weight_of(wanted))

    def _take(self, pulls: list[PendingPull[T]]) -> list[PendingPull[T]]:
        for pull in pulls:
            self._remove(pull)
        return pulls

    def _remove(self, pull: PendingPull[T]) -> None:
        number = pull.number
        del self._live[number]
        self._slots.free(pull.owner, number)
        if pull.wanted is not None:
            self._weights.change(pull.owner, -_weight_of(pull.wanted))
        queue = (pull.topic, pull.queue_id)
        owners = self._queues[queue]
        _discard(owners, pull.owner, number)
        if not owners:
            del self._queues[queue]
        self._counts[queue] -= 1
        if not self._counts[queue]:
            del self._counts[queue]
        _discard(self._channels, pull.channel, number)


def _weight_of(wanted: MessageFilter) -> int:
    return max(0, wanted.weight - _FREE_WEIGHT)


def _in_rounds(owners: dict[str, dict[int, PendingPull[T]]]) -> Iterator[PendingPull[T]]:
    """Yield the pulls of all owners in rounds, one of each owner per round."""
    left = collections.deque(iter(pulls.values()) for pulls in owners.values())
    while left:
        of_owner = left.popleft()
        pull = next(of_owner, None)
        if pull is not None:
            left.append(of_owner)
            yield pull


K = TypeVar("K")


def _discard(table: dict[K, dict[int, PendingPull[T]]], key: K, number: int) -> None:
    pulls = table[key]
    del pulls[number]
    if not pulls:
        del table[key]
