"""Bounds of memory, open files and lines in the log."""

import contextlib
import logging
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Protocol, TypeVar

from mqguard.model.peer import Peer

_OTHER_FILES = 1024
"""Files that are open beside the connections: the store, logs, connections of our own."""


class MemoryHolder(Protocol):
    """A connection that holds memory."""

    peer: Peer


H = TypeVar("H", bound=MemoryHolder)


def largest_consumer(links: Iterable[H], weight: Callable[[H], int]) -> H | None:
    """Who must go where all together hold too much: the heaviest connection of the address that holds most.

    Never the one that happens to come last: then few who hold nearly everything would have all others dropped.

    Args:
        links: The connections.
        weight: What a connection holds.

    Returns:
        None if nobody holds anything.
    """
    heavy = [link for link in links if weight(link) > 0]
    by_ip: Counter[str] = Counter()
    for link in heavy:
        by_ip[link.peer.ip] += weight(link)
    worst = max(by_ip, key=by_ip.__getitem__, default=None)
    return max((link for link in heavy if link.peer.ip == worst), key=weight, default=None)


class RateLimitedLog:
    """Lets so many lines through in a while, so that a peer cannot fill the disk with our complaints.

    Args:
        logger: Where lines go.
        now: Tells the time in seconds.
        lines: Lines that pass in each period.
        period: Seconds.
    """

    def __init__(
        self, logger: logging.Logger, now: Callable[[], float], lines: int = 100, period: float = 10.0
    ) -> None:
        self._logger = logger
        self._now = now
        self._lines = lines
        self._period = period
        self._until = 0.0
        self._passed = 0
        self._held_back = 0

    def warn(self, message: str, *values: object) -> None:
        """Log a line, or count it if there were too many."""
        now = self._now()
        if now >= self._until:
            if self._held_back:
                self._logger.warning("%d more lines like these were left out", self._held_back)
            self._until = now + self._period
            self._passed = 0
            self._held_back = 0
        if self._passed < self._lines:
            self._passed += 1
            self._logger.warning(message, *values)
        else:
            self._held_back += 1


def allow_files(connections: int) -> None:
    """Ask the system for as many open files as the connections need, as far as it lets us.

    The limit that a shell gives is 1,024 often, and the hard limit far above.
    """
    try:
        import resource  # noqa: PLC0415, only Unix has it
    except ImportError:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + _OTHER_FILES
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(ValueError, OSError):  # the system may know a lower limit still
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
