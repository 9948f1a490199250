"""Who must be told that the members of a consumer group changed.

Clients rebalance at once when they are told (request 40), and only every 20 s by themselves. Changes are collected and
taken once per turn, so that a hundred consumers that connect together cost one notice per member, not a hundred.
"""

from collections.abc import Iterator

from mqguard.engine.clients import Clients
from mqguard.remoting.link import Link


class Notices:
    """Changes of membership that nobody has been told of yet."""

    def __init__(self) -> None:
        self._changed: dict[str, set[str]] = {}

    def __bool__(self) -> bool:
        return bool(self._changed)

    def changed(self, group: str, by: str | None = None) -> None:
        """Note a change; `by` is the channel that caused it by joining, which rebalances anyway."""
        self._changed.setdefault(group, set()).add(by or "")

    def take(self, clients: Clients) -> Iterator[tuple[Link, str]]:
        """Whom to tell of which group: every member but one that alone caused the change."""
        changed, self._changed = self._changed, {}
        for name, causes in changed.items():
            group = clients.group(name)
            if group is None:
                continue
            for channel, member in group.members.items():
                if causes != {channel}:
                    yield member.client.link, name
