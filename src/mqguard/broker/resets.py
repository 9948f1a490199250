"""Offsets that an administrator has set under a running consumer.

The consumer knows better where it is and would soon commit its own offset again. So until it has been told, with its
next pull of the queue (21), what it commits is ignored.
"""


class Resets:
    """Offsets that were set and not told yet."""

    def __init__(self) -> None:
        self._points: dict[tuple[str, str, int], int] = {}

    def __bool__(self) -> bool:
        return bool(self._points)

    def set(self, group: str, topic: str, queue_id: int, offset: int) -> None:
        """Note an offset that the group has to be told of."""
        self._points[group, topic, queue_id] = offset

    def take(self, group: str, topic: str, queue_id: int) -> int | None:
        """The offset to tell a group now, None if there is none."""
        return self._points.pop((group, topic, queue_id), None)

    def holds(self, group: str, topic: str, queue_id: int) -> bool:
        """Whether what the group commits does not count yet."""
        return (group, topic, queue_id) in self._points

    def forget(self, *, group: str | None = None, topic: str | None = None) -> None:
        """Drop what concerns a group or a topic that is deleted."""
        for point in [point for point in self._points if point[0] == group or point[1] == topic]:
            del self._points[point]
