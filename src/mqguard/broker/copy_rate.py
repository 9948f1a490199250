"""How many bytes of copies users may make: a copy costs as much as a message, and the request for it is small."""

from typing import Final

BURST: Final = 1024 * 1024
"""Bytes that a user may have copied at once. The last copy may exceed it, so that every message can be copied."""
PER_SECOND: Final = 20 * 1024 * 1024
"""Bytes that a user may have copied in the long run."""
_MAX_USERS: Final = 1_024


class CopyRate:
    """Counts bytes by user. Time is an argument."""

    def __init__(self) -> None:
        # Bytes that are not yet forgotten, and when it was so in milliseconds.
        self._levels: dict[str, tuple[float, int]] = {}

    def wait_ms(self, user: str, now_ms: int) -> int:
        """Return how long until a user may have another message copied, in milliseconds; 0 is now."""
        over = self._level(user, now_ms) - BURST
        return 0 if over <= 0 else int(over / PER_SECOND * 1000) + 1

    def add(self, user: str, size: int, now_ms: int) -> None:
        """Count a copy."""
        levels = self._levels
        if user not in levels and len(levels) >= _MAX_USERS:
            self._levels = levels = {one: kept for one, kept in levels.items() if self._level(one, now_ms) > 0}
        levels[user] = (self._level(user, now_ms) + size, now_ms)

    def _level(self, user: str, now_ms: int) -> float:
        level, then_ms = self._levels.get(user, (0.0, now_ms))
        return max(0.0, level - (now_ms - then_ms) * PER_SECOND / 1000)
