"""Order locks: a queue that is consumed in order is locked by one client at a time.

A consumer that consumes in order locks its queues and renews the locks every 20 s. A lock that is not renewed expires
after 60 s, so that a crashed consumer does not block others for long. If the holder loses the permission to consume the
queue, another client with permission gets the lock at once.
"""

from collections.abc import Iterable

import msgspec

from mqguard.engine.fair_shares import FairQuota
from mqguard.engine.group_members import ClientPermissions

LOCK_LIFE_MS = 60_000
"""Time after which a lock expires without renewal (Java brokers: `rocketmq.broker.rebalance.lockMaxLiveTime`)."""

MAX_LOCKS = 100_000
"""Locks of all groups. Beyond this number only users below an even share get new ones."""

QueueKey = tuple[str, str, int]
"""Topic, broker name and queue id, as the client names a queue."""
Holder = tuple[str, str]
"""User and client id, because two users may have the same client id. The address replaces an unknown user."""


class _Lock(msgspec.Struct):
    holder: Holder
    renewed_ms: int
    rights: ClientPermissions | None = None


class Locks:
    """Order locks of all groups."""

    def __init__(self, life_ms: int = LOCK_LIFE_MS, capacity: int = MAX_LOCKS) -> None:
        self._life_ms = life_ms
        self._shares = FairQuota(capacity)
        self._groups: dict[str, dict[QueueKey, _Lock]] = {}

    def lock(
        self,
        group: str,
        holder: Holder,
        queues: Iterable[QueueKey],
        now_ms: int,
        rights: ClientPermissions | None = None,
    ) -> list[QueueKey]:
        """Lock or renew `queues` for a client, and return those that it holds now.

        Args:
            group: The group that consumes the queues.
            holder: The client.
            queues: The queues.
            now_ms: Monotonic time.
            rights: Permissions of the client's user, None without authorization.
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
        """Release those of `queues` that the client holds; the locks of others stay."""
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
        """Return the client that holds a queue's lock, None if it is free."""
        lock = self._groups.get(group, {}).get(queue)
        return lock.holder if lock is not None and self._is_valid(lock, now_ms) else None

    def holds_any(self, group: str, now_ms: int) -> bool:
        """Return True if any queue of a group is locked, so that the group consumes in order."""
        return any(self._is_valid(lock, now_ms) for lock in self._groups.get(group, {}).values())

    def remove_group(self, group: str) -> None:
        """Remove all locks of a deleted group."""
        locks = self._groups.pop(group, {})
        for queue in list(locks):
            self._drop(locks, queue)

    def expire(self, now_ms: int) -> None:
        """Remove expired locks, so that unused groups take no memory."""
        for group in list(self._groups):
            locks = self._groups[group]
            for queue in [queue for queue, lock in locks.items() if not self._is_valid(lock, now_ms)]:
                self._drop(locks, queue)
            if not locks:
                del self._groups[group]

    def _drop(self, locks: dict[QueueKey, _Lock], queue: QueueKey) -> None:
        lock = locks.pop(queue, None)
        if lock is not None:
            self._shares.change(lock.holder[0], -1)

    def _holds(self, lock: _Lock, group: str, queue: QueueKey, now_ms: int) -> bool:
        """Return True if a lock is valid against another client that wants its queue."""
        if not self._is_valid(lock, now_ms):
            return False
        return lock.rights is None or lock.rights.allows(group, (queue[0],), otherwise=True)

    def _is_valid(self, lock: _Lock, now_ms: int) -> bool:
        return now_ms - lock.renewed_ms < self._life_ms
