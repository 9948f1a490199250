"""Limits of memory, open files and log lines."""

import contextlib
import logging
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Protocol, TypeVar

from mqguard.model.peer import Peer

_OTHER_FILES = 1024
"""Files that are open besides the connections of clients: the store, logs, our own connections."""


class MemoryHolder(Protocol):
    """A connection that holds memory."""

    peer: Peer


H = TypeVar("H", bound=MemoryHolder)


def largest_consumer(links: Iterable[H], weight: Callable[[H], int]) -> H | None:
    """Choose the connection to drop: the largest one from the address that uses most memory.

    The newest connection would be the wrong choice: a few large ones could then have all others dropped.

    Args:
        links: The connections.
        weight: Returns the bytes that a connection holds.

    Returns:
        None if no connection holds memory.
    """
    heavy = [link for link in links if weight(link) > 0]
    by_ip: Counter[str] = Counter()
    for link in heavy:
        by_ip[link.peer.ip] += weight(link)
    worst = max(by_ip, key=by_ip.__getitem__, default=None)
    return max((link for link in heavy if link.peer.ip == worst), key=weight, default=None)


class RateLimitedLog:
    """Logs a limited number of lines per period, so that a peer cannot fill the disk with log lines.

    Args:
        logger: The logger of the lines.
        now: Returns the time in seconds.
        lines: Maximum number of lines in each period.
        period: Length of the period in seconds.
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
        """Log a line, or only count it if the period has too many."""
        now = self._now()
        if now >= self._until:
            if self._held_back:
                self._logger.warning("%d more lines of this kind were not logged", self._held_back)
            self._until = now + self._period
            self._passed = 0
            self._held_back = 0
        if self._passed < self._lines:
            self._passed += 1
            self._logger.warning(message, *values)
        else:
            self._held_back += 1


def allow_files(connections: int) -> None:
    """Raise the limit of open files to what the connections need, as far as the system allows.

    The soft limit of a shell is often 1,024, and the hard limit far higher.
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
        with contextlib.suppress(ValueError, OSError):  # the system may have a lower limit
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
