"""Committed offsets of consumer groups, by topic and queue."""

import functools
from collections.abc import Iterable, Mapping

from mqguard.engine.errors import ConfigIllegal, LimitReached
from mqguard.engine.fair_shares import FairQuota
from mqguard.engine.group_commit import GroupCommit
from mqguard.model import names
from mqguard.store.ports import MessageStore, Table

_MAX_OFFSET = (1 << 63) - 1
_MAX_QUEUE = (1 << 31) - 1
MAX_OFFSETS = 2_000_000
"""Offsets of all groups, about 150 bytes each. Beyond this number only users below an even share can add offsets."""
SMALL_QUEUE = 100_000
"""Maximum messages of a queue that a new group consumes from the start, if the queue still has its first message.

Java brokers do so while the queue's first message is in memory. So the first consumer of a new topic gets all messages
that were sent before it connected.
"""
_NO_OWNER = ""
"""Owner of the offsets that existed at the start, and of those of the broker itself."""


class Offsets:
    """Committed offsets of consumer groups: kept in memory, and stored by the next commit.

    Args:
        store: Store of the offsets.
        group_commit: Commit that includes the changes.
    """

    def __init__(self, store: MessageStore, group_commit: GroupCommit) -> None:
        self._store = store
        self._group_commit = group_commit
        self._table: dict[tuple[str, str], dict[int, int]] = {}
        self._pulled: dict[tuple[str, str], dict[int, int]] = {}
        self._pulled_count = 0
        # User that first committed an offset of a group in a topic. All offsets of the group there count for this user.
        self._owners: dict[tuple[str, str], str] = {}
        self._shares = FairQuota(MAX_OFFSETS)
        for key, value in store.values(Table.OFFSETS):
            group, topic, queue_id = _unpack(key)
            self._table.setdefault((group, topic), {})[queue_id] = int.from_bytes(value, "big")
        self._shares.change(_NO_OWNER, sum(map(len, self._table.values())))

    def get(self, group: str, topic: str, queue_id: int) -> int | None:
        """Return the committed offset, None if the group has committed none for this queue."""
        queues = self._table.get((group, topic))
        return None if queues is None else queues.get(queue_id)

    def set(self, group: str, topic: str, queue_id: int, offset: int, owner: str | None = None) -> None:
        """Commit an offset, which may be lower than the one before.

        Args:
            group: The group.
            topic: The topic.
            queue_id: The queue.
            offset: Offset of the next message to consume.
            owner: User for which a new offset counts; None for the broker itself and for Super users.

        Raises:
            ConfigIllegal: The offset, the queue or a name is illegal.
            LimitReached: The offset is new, and its owner has used its share of them.
        """
        if not 0 <= offset <= _MAX_OFFSET or not 0 <= queue_id <= _MAX_QUEUE:
            raise ConfigIllegal(f"offset `{offset}` of queue `{queue_id}` cannot be committed; both must be 0 or more")
        queues = self._table.get((group, topic))
        if queues is None:
            fault = names.group_fault(group) or (names.topic_fault(topic) if names.lite_parts(topic) is None else None)
            if fault:
                raise ConfigIllegal(fault)
            queues = self._table[group, topic] = {}

        before = queues.get(queue_id)
        if before == offset:
            return

        if before is None:
            self._add(group, topic, owner)
        queues[queue_id] = offset
        self._store.stage_value(Table.OFFSETS, _key(group, topic, queue_id), offset.to_bytes(8, "big"))
        self._group_commit.undo(lambda: self._restore(group, topic, queue_id, before))

    def of(self, group: str, topic: str) -> Mapping[int, int]:
        """Return all committed offsets of a group in a topic, by queue."""
        return self._table.get((group, topic), {})

    def topics_of(self, group: str) -> list[str]:
        """Return the topics in which a group has committed offsets, without lite queues, which are not topics."""
        prefix = names.LITE_PREFIX
        return sorted(topic for name, topic in self._table if name == group and not topic.startswith(prefix))

    def groups_of(self, topic: str) -> list[str]:
        """Return the groups that have committed offsets in a topic."""
        return sorted(group for group, name in self._table if name == topic)

    @property
    def count(self) -> int:
        """Return the number of committed offsets of all groups."""
        return len(self._shares)

    def everything(self) -> dict[tuple[str, str], dict[int, int]]:
        """Return a copy of all committed offsets, by group and topic."""
        return {key: dict(queues) for key, queues in self._table.items()}

    def pulled(self, group: str, topic: str, queue_id: int) -> int | None:
        """Return the offset up to which a group has pulled, for reports; it is not stored."""
        queues = self._pulled.get((group, topic))
        return None if queues is None else queues.get(queue_id)

    def set_pulled(self, group: str, topic: str, queue_id: int, offset: int) -> None:
        """Set the offset up to which a group has pulled."""
        queues = self._pulled.setdefault((group, topic), {})
        if queue_id not in queues:
            if self._pulled_count >= MAX_OFFSETS:
                return
            self._pulled_count += 1
        queues[queue_id] = offset

    def places(self) -> Iterable[tuple[str, str]]:
        """Return groups and topics for which there are committed offsets."""
        return self._table.keys()

    def remove(self, group: str, topic: str) -> None:
        """Remove the offsets of a group in a topic."""
        self._remove([key for key in ((group, topic),) if key in self._table])
        self._remove_pulled([key for key in ((group, topic),) if key in self._pulled])

    def remove_group(self, group: str) -> None:
        """Remove all offsets of a group."""
        self._remove([key for key in self._table if key[0] == group])
        self._remove_pulled([key for key in self._pulled if key[0] == group])

    def remove_topics(self, topics: Iterable[str]) -> None:
        """Remove all offsets in topics."""
        removed = frozenset(topics)
        self._remove([key for key in self._table if key[1] in removed])
        self._remove_pulled([key for key in self._pulled if key[1] in removed])

    def _remove(self, keys: list[tuple[str, str]]) -> None:
        for group, topic in keys:
            queues = self._table.pop((group, topic))
            owner = self._owners.pop((group, topic), _NO_OWNER)
            self._shares.change(owner, -len(queues))
            for queue_id in queues:
                self._store.stage_removal(Table.OFFSETS, _key(group, topic, queue_id))
            self._group_commit.undo(functools.partial(self._put_back, (group, topic), queues, owner))

    def _remove_pulled(self, keys: list[tuple[str, str]]) -> None:
        for key in keys:
            self._pulled_count -= len(self._pulled.pop(key))

    def _add(self, group: str, topic: str, owner: str | None) -> None:
        """Count a new offset."""
        key, before = (group, topic), len(self._table[group, topic])
        counted = self._owners.get(key, owner or _NO_OWNER)
        if owner is not None and not self._shares.allows(counted, 1):
            if not before:
                del self._table[key]
            raise LimitReached(
                f"group `{group}` cannot have another offset in topic `{topic}`: there are {len(self._shares)}, and at "
                f"most {MAX_OFFSETS} are kept"
            )
        if counted and key not in self._owners:
            # Offsets of the group in the topic that existed at the start now count for this user too.
            self._owners[key] = counted
            self._shares.change(_NO_OWNER, -before)
            self._shares.change(counted, before)
        self._shares.change(counted, 1)

    def _put_back(self, key: tuple[str, str], queues: dict[int, int], owner: str) -> None:
        self._table[key] = queues
        if owner:
            self._owners[key] = owner
        self._shares.change(owner, len(queues))

    def _restore(self, group: str, topic: str, queue_id: int, before: int | None) -> None:
        queues = self._table.setdefault((group, topic), {})
        if before is not None:
            queues[queue_id] = before
            return
        if queues.pop(queue_id, None) is not None:
            self._shares.change(self._owners.get((group, topic), _NO_OWNER), -1)
        if not queues:
            del self._table[group, topic]
            self._owners.pop((group, topic), None)


def _key(group: str, topic: str, queue_id: int) -> bytes:
    return f"{group}\0{topic}\0".encode() + queue_id.to_bytes(4, "big")


def _unpack(key: bytes) -> tuple[str, str, int]:
    group, topic = key[:-5].decode().split("\0")
    return group, topic, int.from_bytes(key[-4:], "big")
