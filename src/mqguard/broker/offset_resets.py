"""Offsets that an administrator has set under a running consumer.

The consumer knows better where it is and would soon commit its own offset again. So until it has been told, with its
next pull of the queue (21), what it commits is ignored.
"""


class Resets:
    """Offsets that were set and not told yet."""

    def __init__(self) -> None:
        self._points: dict[tuple[str, str, int], int] = {}
        self._unstored: set[tuple[str, str, int]] = set()

    def __bool__(self) -> bool:
        return bool(self._points)

    def set(self, group: str, topic: str, queue_id: int, offset: int) -> None:
        """Note an offset that the group has to be told of, once it is stored."""
        self._points[group, topic, queue_id] = offset
        self._unstored.add((group, topic, queue_id))

    def stored(self, group: str, topic: str, queue_id: int) -> None:
        """A `set` is stored."""
        self._unstored.discard((group, topic, queue_id))

    def put_back(self, group: str, topic: str, queue_id: int, before: int | None) -> None:
        """Undo a `set`, which came to nothing; `before` is what `due` said until then."""
        self.stored(group, topic, queue_id)
        if before is None:
            self._points.pop((group, topic, queue_id), None)
        else:
            self._points[group, topic, queue_id] = before

    def due(self, group: str, topic: str, queue_id: int) -> int | None:
        """The offset that a group has to be told of, None if there is none; until then what it commits is ignored."""
        return self._points.get((group, topic, queue_id))

    def take(self, group: str, topic: str, queue_id: int) -> int | None:
        """The offset to tell a group now, None if there is none; from then on what it commits counts again."""
        point = group, topic, queue_id
        return None if point in self._unstored else self._points.pop(point, None)

    def forget(self, *, group: str | None = None, topic: str | None = None) -> None:
        """Drop what concerns a group or a topic that is deleted."""
        for point in [point for point in self._points if point[0] == group or point[1] == topic]:
            del self._points[point]
            self._unstored.discard(point)
