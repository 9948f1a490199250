"""Places that users share: bounded in number, and if all are taken the owner of most gives way."""

import collections
from collections.abc import Iterator
from typing import Generic, TypeVar

K = TypeVar("K")


class Places(Generic[K]):
    """Keys of things that are kept, by their owner.

    One owner alone may use all places. Other owners still find room: the oldest place of the owner that has most is
    given up for them, so that an owner never has fewer places than an even share, whatever the others do.

    Args:
        capacity: Maximum number of places.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._taken = 0
        self._keys: dict[str, dict[K, None]] = {}
        # Owners by how many places they have: the owner of most is found in constant time.
        self._owners: dict[int, dict[str, None]] = {}
        self._most = 0

    def __len__(self) -> int:
        return self._taken

    @property
    def is_full(self) -> bool:
        """True if a new place needs another one to be given up."""
        return self._taken >= self._capacity

    def count(self, owner: str) -> int:
        """Return how many places an owner has."""
        return len(self._keys.get(owner, ()))

    def yielding(self, owner: str) -> K | None:
        """Return the place to give up for an owner that needs one, None if no other owner has more than it would."""
        if not self._taken or self._most <= self.count(owner) + 1:
            return None
        return next(iter(self._keys[next(iter(self._owners[self._most]))]))

    def take(self, owner: str, key: K) -> None:
        """Note a place that an owner takes."""
        keys = self._keys.setdefault(owner, {})
        before = len(keys)
        keys[key] = None
        self._move(owner, before, len(keys))

    def free(self, owner: str, key: K) -> None:
        """Note that an owner gives a place up."""
        keys = self._keys[owner]
        before = len(keys)
        del keys[key]
        if not keys:
            del self._keys[owner]
        self._move(owner, before, before - 1)

    def _move(self, owner: str, before: int, after: int) -> None:
        if before == after:
            return
        self._taken += after - before
        if before:
            owners = self._owners[before]
            del owners[owner]
            if not owners:
                del self._owners[before]
        if after:
            self._owners.setdefault(after, {})[owner] = None
        if after > self._most:
            self._most = after
        elif self._most not in self._owners:
            # Counts change by one, so the next lower count is that of the owner that moved.
            self._most = after


T = TypeVar("T")


class Rounds(Generic[T]):
    """Things to do for several owners, done in rounds: one thing of each owner in turn."""

    def __init__(self) -> None:
        self._queues: dict[str, collections.deque[T]] = {}
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def count(self, owner: str) -> int:
        """Return how many things there are to do for an owner."""
        return len(self._queues.get(owner, ()))

    def add(self, owner: str, thing: T) -> None:
        """Add a thing to the end of an owner's queue."""
        queue = self._queues.get(owner)
        if queue is None:
            queue = self._queues[owner] = collections.deque()
        queue.append(thing)
        self._length += 1

    def take(self, limit: int, limit_of_one: int) -> Iterator[T]:
        """Take out what is there now, in rounds.

        Things that are added meanwhile are left for the next call.

        Args:
            limit: Maximum number of things.
            limit_of_one: Maximum number of things of one owner.
        """
        left = {owner: min(len(queue), limit_of_one) for owner, queue in self._queues.items()}
        taken = 0
        while left:
            for owner in list(left):
                if taken >= limit:
                    return
                taken += 1
                thing = self._pop(owner)
                left[owner] -= 1
                if not left[owner]:
                    del left[owner]
                yield thing

    def _pop(self, owner: str) -> T:
        # The owner goes to the end, so that the next call begins with those that this one did not reach.
        queue = self._queues.pop(owner)
        thing = queue.popleft()
        if queue:
            self._queues[owner] = queue
        self._length -= 1
        return thing


class Shares:
    """How much each owner uses of something that is shared and that nobody has to give back.

    One owner alone may use all of it. If all is used, owners below an even share still get more, so that the total
    stays below twice the capacity.

    Args:
        capacity: How much there is.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._used = 0
        self._of: dict[str, int] = {}

    def __len__(self) -> int:
        return self._used

    def used_by(self, owner: str) -> int:
        """Return how much an owner uses."""
        return self._of.get(owner, 0)

    def allows(self, owner: str, more: int) -> bool:
        """Return whether an owner may use that much more."""
        if more <= 0 or self._used + more <= self._capacity:
            return True
        used = self._of.get(owner, 0)
        owners = len(self._of) + (not used)
        return used + more <= self._capacity // owners

    def change(self, owner: str, more: int) -> None:
        """Note that an owner uses more, or less if `more` is negative."""
        self._used += more
        now = self._of.get(owner, 0) + more
        if now:
            self._of[owner] = now
        else:
            self._of.pop(owner, None)
