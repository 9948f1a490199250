"""Which client may consume which queue in order.

A consumer that consumes in order locks its queues and renews the lock every 20 s; a lock that is not renewed is free
again after 60 s, so that a crashed consumer blocks nobody for long. A lock whose holder may not consume the queue any
more is free at once for whoever may.
"""

from collections.abc import Iterable

import msgspec

from mqguard.engine.group_members import Rights
from mqguard.engine.places import Shares

LOCK_LIFE_MS = 60_000
"""How long a lock lives without renewal (Java brokers: `rocketmq.broker.rebalance.lockMaxLiveTime`)."""

MAX_LOCKS = 100_000
"""Locks of all groups together. If there are more, only users below an even share get new ones."""

QueueKey = tuple[str, str, int]
"""Topic, broker name and queue id, as the client names a queue."""
Holder = tuple[str, str]
"""User, or address if there is none, and client id: two users may have the same client id."""


class _Lock(msgspec.Struct):
    holder: Holder
    renewed_ms: int
    rights: Rights | None = None


class Locks:
    """The order locks of all groups."""

    def __init__(self, life_ms: int = LOCK_LIFE_MS, capacity: int = MAX_LOCKS) -> None:
        self._life_ms = life_ms
        self._shares = Shares(capacity)
        self._groups: dict[str, dict[QueueKey, _Lock]] = {}

    def lock(
        self, group: str, holder: Holder, queues: Iterable[QueueKey], now_ms: int, rights: Rights | None = None
    ) -> list[QueueKey]:
        """Lock or renew `queues` for a client; answers those that it holds now.

        Args:
            group: The group that consumes the queues.
            holder: The client.
            queues: The queues.
            now_ms: The time.
            rights: What the client's user may consume; None if nobody asks.
        """
        locks = self._groups.setdefault(group, {})
        held = []
        for queue in queues:
            lock = locks.get(queue)
            if lock is None or (lock.holder != holder and not self._holds(lock, group, queue, now_ms)):
                if not self._shares.allows(holder[0], 1):
                    continue
                self._drop(locks, queue)
                locks[queue] = _Lock(holder, now_ms, rights)
                self._shares.change(holder[0], 1)
            elif lock.holder == holder:
                lock.renewed_ms, lock.rights = now_ms, rights
            else:
                continue
            held.append(queue)
        if not locks:
            del self._groups[group]
        return held

    def unlock(self, group: str, holder: Holder, queues: Iterable[QueueKey]) -> None:
        """Give up those of `queues` that the client holds; those of others stay locked."""
        locks = self._groups.get(group)
        if locks is None:
            return
        for queue in queues:
            lock = locks.get(queue)
            if lock is not None and lock.holder == holder:
                self._drop(locks, queue)
        if not locks:
            del self._groups[group]

    def holder(self, group: str, queue: QueueKey, now_ms: int) -> Holder | None:
        """The client that holds a queue's lock, None if it is free."""
        lock = self._groups.get(group, {}).get(queue)
        return lock.holder if lock is not None and self._alive(lock, now_ms) else None

    def holds_any(self, group: str, now_ms: int) -> bool:
        """Whether any queue of a group is locked: the group consumes in order."""
        return any(self._alive(lock, now_ms) for lock in self._groups.get(group, {}).values())

    def forget_group(self, group: str) -> None:
        """Drop all locks of a group that is deleted."""
        locks = self._groups.pop(group, {})
        for queue in list(locks):
            self._drop(locks, queue)

    def expire(self, now_ms: int) -> None:
        """Drop dead locks, so that groups that are gone cost no memory."""
        for group in list(self._groups):
            locks = self._groups[group]
            for queue in [queue for queue, lock in locks.items() if not self._alive(lock, now_ms)]:
                self._drop(locks, queue)
            if not locks:
                del self._groups[group]

    def _drop(self, locks: dict[QueueKey, _Lock], queue: QueueKey) -> None:
        lock = locks.pop(queue, None)
        if lock is not None:
            self._shares.change(lock.holder[0], -1)

    def _holds(self, lock: _Lock, group: str, queue: QueueKey, now_ms: int) -> bool:
        """Return whether a lock stands against another client that asks for its queue."""
        if not self._alive(lock, now_ms):
            return False
        return lock.rights is None or lock.rights.allows(group, (queue[0],), otherwise=True)

    def _alive(self, lock: _Lock, now_ms: int) -> bool:
        return now_ms - lock.renewed_ms < self._life_ms
