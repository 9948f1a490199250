"""Warnings about consumers that use one client id over several connections.

Clients of a group divide its queues by their client ids. Two processes with one id take the same queues, and other
queues have no consumer. The server cannot repair this, so it logs it once per client id, group and hour. The
number of lines per user is limited, because clients choose both names.
"""

import logging
from typing import Final

from mqguard.engine.clients import Clients
from mqguard.engine.group_members import ConnectedClient, ConsumerHeartbeat
from mqguard.model.text import visible

_LOG: Final = logging.getLogger(__name__)

LOG_INTERVAL_MS: Final = 3_600_000
"""Minimum interval between two lines about one client id and group."""
MAX_PER_OWNER: Final = 10
"""Maximum number of lines about the clients of one user in this interval."""
MAX_OWNERS: Final = 1_000
"""Maximum number of users with lines in this interval."""


class DuplicateClients:
    """Finds and logs consumers of a group that have the same user and client id.

    Args:
        clients: The connected clients.
    """

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self._logged: dict[str, dict[tuple[str, str], int]] = {}

    def check(self, client: ConnectedClient, consuming: ConsumerHeartbeat, now_ms: int) -> None:
        """Log a duplicate of a consumer that sends a heartbeat. It must be called before the heartbeat is stored."""
        if consuming.message_model == "BROADCASTING":
            return
        other = self._clients.duplicate_of(client, consuming.group)
        if other is not None and self._is_due(client.owner, (client.client_id, consuming.group), now_ms):
            _LOG.warning(
                "the consumers at %s and %s of user `%s` have the same client id `%s` in the group `%s`, so some "
                "queues have two consumers and others none: give each process its own instance name",
                client.peer.address,
                other.peer.address,
                visible(client.user or ""),
                visible(client.client_id),
                visible(consuming.group),
            )

    def _is_due(self, owner: str, key: tuple[str, str], now_ms: int) -> bool:
        """Return True if a line may be logged, and count it."""
        lines = self._logged.get(owner)
        if lines is None:
            if len(self._logged) >= MAX_OWNERS:
                self._expire(now_ms)
            if len(self._logged) >= MAX_OWNERS:
                return False
            lines = self._logged[owner] = {}
        if key not in lines and len(lines) >= MAX_PER_OWNER:
            lines = self._logged[owner] = {one: end for one, end in lines.items() if now_ms < end}
        if now_ms < lines.get(key, now_ms) or (key not in lines and len(lines) >= MAX_PER_OWNER):
            return False
        lines[key] = now_ms + LOG_INTERVAL_MS
        return True

    def _expire(self, now_ms: int) -> None:
        """Forget users without a line in the last interval."""
        current = {owner: lines for owner, lines in self._logged.items() if any(now_ms < end for end in lines.values())}
        self._logged = current
