"""Who must be told that the members of a consumer group changed.

Clients rebalance at once when they are told (request 40), and only every 20 s by themselves. The newcomer is told too:
Java's lite pull consumer does not rebalance by itself when it starts. Changes are collected and taken once per turn, so
that a hundred consumers that connect together cost one notice per member, not a hundred.
"""

from collections.abc import Iterator

from mqguard.engine.clients import Clients
from mqguard.remoting.link import Link


class Notices:
    """Changes of membership that nobody has been told of yet."""

    def __init__(self) -> None:
        self._changed: set[str] = set()

    def __bool__(self) -> bool:
        return bool(self._changed)

    def changed(self, group: str) -> None:
        """Note a change of a group."""
        self._changed.add(group)

    def take(self, clients: Clients) -> Iterator[tuple[Link, str]]:
        """Whom to tell of which group: every member."""
        changed, self._changed = self._changed, set()
        for name in sorted(changed):
            group = clients.group(name)
            if group is not None:
                for member in group.members.values():
                    yield member.client.link, name
