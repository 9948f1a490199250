"""Fair shares of bounded resources among users: slots, work that is done in rounds, and quotas."""

import collections
from collections.abc import Iterator
from typing import Generic, TypeVar

K = TypeVar("K")


class FairSlots(Generic[K]):
    """Bounded number of slots for keys, by owner; a key can be removed to make a slot free.

    One owner alone may use all slots. If another owner then needs one, the oldest key of the owner with most slots is
    removed. So an owner can always have an even share, whatever the others do.

    Args:
        capacity: Maximum number of slots.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._taken = 0
        self._keys: dict[str, dict[K, None]] = {}
        # Owners by their number of slots, so that the one with most is found in constant time.
        self._owners: dict[int, dict[str, None]] = {}
        self._most = 0

    def __len__(self) -> int:
        return self._taken

    @property
    def is_full(self) -> bool:
        """True if no slot is free."""
        return self._taken >= self._capacity

    def count(self, owner: str) -> int:
        """Return the number of slots of an owner."""
        return len(self._keys.get(owner, ()))

    def to_remove_for(self, owner: str) -> K | None:
        """Return the key to remove for an owner that needs a slot, None if no other owner has more than it would."""
        if not self._taken or self._most <= self.count(owner) + 1:
            return None
        return next(iter(self._keys[next(iter(self._owners[self._most]))]))

    def take(self, owner: str, key: K) -> None:
        """Give an owner a slot for a key."""
        keys = self._keys.setdefault(owner, {})
        before = len(keys)
        keys[key] = None
        self._move(owner, before, len(keys))

    def free(self, owner: str, key: K) -> None:
        """Free the slot of a key."""
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
            # Counts change by one, so the next lower count is that of the owner that changed.
            self._most = after


T = TypeVar("T")


class RoundRobin(Generic[T]):
    """Work of several owners, taken in rounds: one item of each owner per round."""

    def __init__(self) -> None:
        self._queues: dict[str, collections.deque[T]] = {}
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def count(self, owner: str) -> int:
        """Return the number of items of an owner."""
        return len(self._queues.get(owner, ()))

    def add(self, owner: str, item: T) -> None:
        """Add an item to the end of an owner's queue."""
        queue = self._queues.get(owner)
        if queue is None:
            queue = self._queues[owner] = collections.deque()
        queue.append(item)
        self._length += 1

    def take(self, limit: int, limit_of_one: int) -> Iterator[T]:
        """Remove the items that are there now, in rounds.

        Items that are added meanwhile are left for the next call.

        Args:
            limit: Maximum number of items.
            limit_of_one: Maximum number of items of one owner.
        """
        left = {owner: min(len(queue), limit_of_one) for owner, queue in self._queues.items()}
        taken = 0
        while left:
            for owner in list(left):
                if taken >= limit:
                    return
                taken += 1
                item = self._pop(owner)
                left[owner] -= 1
                if not left[owner]:
                    del left[owner]
                yield item

    def _pop(self, owner: str) -> T:
        # The owner is moved to the end, so that the next call begins with those that this one did not reach.
        queue = self._queues.pop(owner)
        item = queue.popleft()
        if queue:
            self._queues[owner] = queue
        self._length -= 1
        return item


class FairQuota:
    """Use of a shared resource by its owners, where nothing that is used can be taken away again.

    One owner alone may use all of it. If all is used, owners below an even share still get more, so that the total
    stays below twice the capacity.

    Args:
        capacity: Total of the resource.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._used = 0
        self._of: dict[str, int] = {}

    def __len__(self) -> int:
        return self._used

    def count(self, owner: str) -> int:
        """Return the use of an owner."""
        return self._of.get(owner, 0)

    def resize(self, capacity: int) -> None:
        """Change the total; owners keep what they use."""
        self._capacity = capacity

    def allows(self, owner: str, more: int) -> bool:
        """Return True if an owner may use that much more."""
        if more <= 0 or self._used + more <= self._capacity:
            return True
        used = self._of.get(owner, 0)
        owners = len(self._of) + (not used)
        return used + more <= self._capacity // owners

    def change(self, owner: str, more: int) -> None:
        """Add to the use of an owner; `more` may be negative."""
        self._used += more
        now = self._of.get(owner, 0) + more
        if now:
            self._of[owner] = now
        else:
            self._of.pop(owner, None)
