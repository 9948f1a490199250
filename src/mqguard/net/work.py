"""Work that requests of a connection have begun, and that is continued before its further requests are served."""

import time
from typing import Protocol

from mqguard.net.scheduler import Scheduler, Source
from mqguard.remoting.link import Work

_clock = time.perf_counter


class Owner(Protocol):
    """The server whose turns do the work."""

    scheduler: Scheduler

    def end_turn_soon(self) -> None:
        """Have this turn committed, or the next one."""


class WorkQueue:
    """Work in the order in which it was begun; true while some is left.

    Args:
        owner: The server of the connection.
        source: The connection.
    """

    __slots__ = ("_left", "_owner", "_source")

    def __init__(self, owner: Owner, source: Source) -> None:
        self._owner = owner
        self._source = source
        # A deque takes 600 bytes more of each connection, and few items are ever in it.
        self._left: list[Work] = []

    def __bool__(self) -> bool:
        return bool(self._left)

    def add(self, work: Work) -> None:
        """Put work at the end, and serve the connection in this turn or a later one."""
        self._left.append(work)
        if not self._source.is_waiting:
            self._owner.scheduler.add(self._source)

    def clear(self) -> None:
        """Drop all work."""
        self._left.clear()

    def advance(self, until: float) -> bool:
        """Go on until that time of the clock, and return True if more is left."""
        self._owner.end_turn_soon()
        while self._left:
            work = self._left.pop(0)
            if work(until):
                self._left.insert(0, work)
            if _clock() >= until:
                break
        return bool(self._left)
