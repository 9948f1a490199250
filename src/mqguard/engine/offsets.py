"""How far each consumer group has come, per topic and queue."""

import functools
from collections.abc import Mapping

from mqguard.engine.errors import ConfigIllegal, LimitReached
from mqguard.engine.group_commit import GroupCommit
from mqguard.engine.places import Shares
from mqguard.model import names
from mqguard.store.ports import MessageStore, Table

_MAX_OFFSET = (1 << 63) - 1
_MAX_QUEUE = (1 << 31) - 1
MAX_OFFSETS = 2_000_000
"""Offsets of all groups together, some 150 bytes each. If there are more, only users below an even share add some."""
_NOBODY = ""
"""Owner of the offsets that were there at the start, and of those of the broker itself."""


class Offsets:
    """Committed offsets of consumer groups: in memory, staged with the turn, there again after a restart."""

    def __init__(self, store: MessageStore, turn: GroupCommit) -> None:
        self._store = store
        self._turn = turn
        self._table: dict[tuple[str, str], dict[int, int]] = {}
        self._pulled: dict[tuple[str, str], dict[int, int]] = {}
        self._pulled_count = 0
        # The user whose commit was the first of a group in a topic: all of them count for it.
        self._owners: dict[tuple[str, str], str] = {}
        self._shares = Shares(MAX_OFFSETS)
        for key, value in store.values(Table.OFFSETS):
            group, topic, queue_id = _unpack(key)
            self._table.setdefault((group, topic), {})[queue_id] = int.from_bytes(value, "big")
        self._shares.change(_NOBODY, sum(map(len, self._table.values())))

    def get(self, group: str, topic: str, queue_id: int) -> int | None:
        """The committed offset, None if the group has committed none for this queue."""
        queues = self._table.get((group, topic))
        return None if queues is None else queues.get(queue_id)

    def set(self, group: str, topic: str, queue_id: int, offset: int, owner: str | None = None) -> None:
        """Commit an offset; it may go back as well as forth.

        Args:
            group: The group.
            topic: The topic.
            queue_id: The queue.
            offset: The offset of the next message to consume.
            owner: The user whose share a new offset counts for; None for the broker itself and for Super users.

        Raises:
            ConfigIllegal: the offset, queue or a name is none.
            LimitReached: the offset is new, and its owner has its share of them.
        """
        if not 0 <= offset <= _MAX_OFFSET or not 0 <= queue_id <= _MAX_QUEUE:
            raise ConfigIllegal(f"offset `{offset}` of queue `{queue_id}` can not be committed; both must be 0 or more")
        queues = self._table.get((group, topic))
        if queues is None:
            fault = names.group_fault(group) or names.topic_fault(topic)
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
        self._turn.undo(lambda: self._restore(group, topic, queue_id, before))

    def of(self, group: str, topic: str) -> Mapping[int, int]:
        """All committed offsets of a group in a topic, by queue."""
        return self._table.get((group, topic), {})

    def topics_of(self, group: str) -> list[str]:
        """The topics in which a group has committed offsets."""
        return sorted(topic for owner, topic in self._table if owner == group)

    def groups_of(self, topic: str) -> list[str]:
        """The groups that have committed offsets in a topic."""
        return sorted(group for group, place in self._table if place == topic)

    def everything(self) -> dict[tuple[str, str], dict[int, int]]:
        """All committed offsets by group and topic, copied."""
        return {place: dict(queues) for place, queues in self._table.items()}

    def pulled(self, group: str, topic: str, queue_id: int) -> int | None:
        """Up to where a group has pulled, for statistics; not kept over a restart."""
        queues = self._pulled.get((group, topic))
        return None if queues is None else queues.get(queue_id)

    def set_pulled(self, group: str, topic: str, queue_id: int, offset: int) -> None:
        """Note up to where a group has pulled."""
        queues = self._pulled.setdefault((group, topic), {})
        if queue_id not in queues:
            if self._pulled_count >= MAX_OFFSETS:
                return
            self._pulled_count += 1
        queues[queue_id] = offset

    def remove_group(self, group: str) -> None:
        """Forget all offsets of a group."""
        self._remove([place for place in self._table if place[0] == group])
        self._forget_pulled([place for place in self._pulled if place[0] == group])

    def remove_topic(self, topic: str) -> None:
        """Forget all offsets in a topic."""
        self._remove([place for place in self._table if place[1] == topic])
        self._forget_pulled([place for place in self._pulled if place[1] == topic])

    def _remove(self, places: list[tuple[str, str]]) -> None:
        for group, topic in places:
            queues = self._table.pop((group, topic))
            owner = self._owners.pop((group, topic), _NOBODY)
            self._shares.change(owner, -len(queues))
            for queue_id in queues:
                self._store.stage_removal(Table.OFFSETS, _key(group, topic, queue_id))
            self._turn.undo(functools.partial(self._put_back, (group, topic), queues, owner))

    def _forget_pulled(self, places: list[tuple[str, str]]) -> None:
        for place in places:
            self._pulled_count -= len(self._pulled.pop(place))

    def _add(self, group: str, topic: str, owner: str | None) -> None:
        """Count a new offset."""
        place, there = (group, topic), len(self._table[group, topic])
        counted = self._owners.get(place, owner or _NOBODY)
        if owner is not None and not self._shares.allows(counted, 1):
            if not there:
                del self._table[place]
            raise LimitReached(
                f"group `{group}` cannot have another offset in topic `{topic}`: there are {len(self._shares)}, and at "
                f"most {MAX_OFFSETS} are kept"
            )
        if counted and place not in self._owners:
            # Those from before the start count for this user too.
            self._owners[place] = counted
            self._shares.change(_NOBODY, -there)
            self._shares.change(counted, there)
        self._shares.change(counted, 1)

    def _put_back(self, place: tuple[str, str], queues: dict[int, int], owner: str) -> None:
        self._table[place] = queues
        if owner:
            self._owners[place] = owner
        self._shares.change(owner, len(queues))

    def _restore(self, group: str, topic: str, queue_id: int, before: int | None) -> None:
        queues = self._table.setdefault((group, topic), {})
        if before is not None:
            queues[queue_id] = before
            return
        if queues.pop(queue_id, None) is not None:
            self._shares.change(self._owners.get((group, topic), _NOBODY), -1)
        if not queues:
            del self._table[group, topic]
            self._owners.pop((group, topic), None)


def _key(group: str, topic: str, queue_id: int) -> bytes:
    return f"{group}\0{topic}\0".encode() + queue_id.to_bytes(4, "big")


def _unpack(key: bytes) -> tuple[str, str, int]:
    group, topic = key[:-5].decode().split("\0")
    return group, topic, int.from_bytes(key[-4:], "big")
