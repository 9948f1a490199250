"""Pops that wait for a message, by topic and group.

Each message wakes one pop of each group, because only one can get it. A pop that waits for all queues of a topic waits
in queue `ALL_QUEUES`.
"""

import collections
from typing import TypeVar

from mqguard.engine.long_polls import LongPolls, PendingPull

T = TypeVar("T")
ALL_QUEUES = -1
_END = "\0"


def place_of(group: str, topic: str) -> str:
    """Return the name of the place in which the pops of a group wait, for `PendingPull.topic`."""
    return f"{group}{_END}{topic}"


class PopPolls(LongPolls[T]):
    """All waiting pops of a server, with the limits of `LongPolls`. Each has -1 as its smallest offset."""

    def __init__(self, capacity: int = 100_000) -> None:
        super().__init__(capacity)
        self._groups: dict[str, dict[str, collections.Counter[int]]] = {}

    def suspend(self, pull: PendingPull[T]) -> bool:
        """Suspend a pop; return False if there is no slot for it, so that it must be answered at once."""
        if not super().suspend(pull):
            return False
        group, _, topic = pull.topic.partition(_END)
        self._groups.setdefault(topic, {}).setdefault(group, collections.Counter())[pull.queue_id] += 1
        return True

    def groups_of(self, topic: str) -> list[str]:
        """Return the groups that wait for messages of a topic."""
        return list(self._groups.get(topic, ()))

    def topics_of(self, group: str) -> list[str]:
        """Return the topics for which a group waits."""
        return [topic for topic, groups in self._groups.items() if group in groups]

    def waits(self, group: str, topic: str) -> bool:
        """Return True if a pop of a group waits for messages of a topic."""
        return group in self._groups.get(topic, ())

    def take(
        self, group: str, topic: str, queue_id: int | None, tag_codes: set[int] | None, limit: int = 1
    ) -> list[PendingPull[T]]:
        """Remove and return pops that a message may satisfy, first those that wait for all queues.

        Args:
            group: The group.
            topic: The topic.
            queue_id: Queue of the message, None if it may be in any.
            tag_codes: Tag codes of the messages, None if they are unknown.
            limit: Maximum number of pops.
        """
        queues = self._groups.get(topic, {}).get(group)
        if queues is None:
            return []
        place = place_of(group, topic)
        taken: list[PendingPull[T]] = []
        for candidate in list(queues) if queue_id is None else (ALL_QUEUES, queue_id):
            left = limit - len(taken)
            if left <= 0:
                break
            if tag_codes is None:
                taken += self.take_queue(place, candidate, left)
            else:
                taken += self.arrived(place, candidate, 0, tag_codes, left)
        return taken

    def _remove(self, pull: PendingPull[T]) -> None:
        super()._remove(pull)
        group, _, topic = pull.topic.partition(_END)
        groups = self._groups[topic]
        queues = groups[group]
        queues[pull.queue_id] -= 1
        if not queues[pull.queue_id]:
            del queues[pull.queue_id]
            if not queues:
                del groups[group]
                if not groups:
                    del self._groups[topic]
