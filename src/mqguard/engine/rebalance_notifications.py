"""Who must be told that the members of a consumer group changed.

Clients rebalance at once when they are told (request 40), and only every 20 s by themselves. The newcomer is told too:
Java's lite pull consumer does not rebalance by itself when it starts. Changes are collected and taken once per turn, so
that a hundred consumers that connect together cost one notice per member, not a hundred.

The first change of a group is told at once, further ones after a pause. Otherwise a member that comes and goes all the
time would fill the connections of the others with notices.
"""

from collections.abc import Iterator

from mqguard.engine.clients import Clients
from mqguard.remoting.link import Link

PAUSE_MS = 200
"""Minimum interval between two notices of one group, and a millisecond more for each of its members."""


class Notices:
    """Changes of membership that nobody has been told of yet."""

    def __init__(self) -> None:
        self._changed: set[str] = set()
        self._quiet: dict[str, int] = {}

    def __bool__(self) -> bool:
        return bool(self._changed)

    def changed(self, group: str) -> None:
        """Note a change of a group."""
        self._changed.add(group)

    def take(self, clients: Clients, now_ms: int) -> Iterator[tuple[Link, str]]:
        """Whom to tell of which group: every member. Groups that were told of a moment ago are left for later."""
        if len(self._quiet) > _MAX_QUIET:
            self._quiet = {name: end for name, end in self._quiet.items() if now_ms < end}
        due = sorted(name for name in self._changed if now_ms >= self._quiet.get(name, 0))
        self._changed.difference_update(due)
        for name in due:
            group = clients.group(name)
            if group is None:
                self._quiet.pop(name, None)
                continue
            self._quiet[name] = now_ms + PAUSE_MS + len(group.members)
            for member in group.members.values():
                yield member.client.link, name


_MAX_QUIET = 1_024
