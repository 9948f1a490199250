"""A small memory for what was worked out before, bounded because peers choose what is asked."""

from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")

LIMIT = 8192
"""Most entries of one memory; a full one starts anew, which costs less than keeping count of what is used."""

LONGEST = 255
"""Longest names that are worth remembering: no legal topic or group is longer."""


class BoundedCache(Generic[K, V]):
    """A dict that never grows beyond `LIMIT`.

    Attributes:
        get: Look up; None if it is not remembered. (The dict's own method: this is the hot path.)
    """

    __slots__ = ("_known", "get")

    def __init__(self) -> None:
        self._known: dict[K, V] = {}
        self.get = self._known.get

    def put(self, key: K, value: V) -> None:
        """Remember a value."""
        if len(self._known) >= LIMIT:
            self._known.clear()
        self._known[key] = value
