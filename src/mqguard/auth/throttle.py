"""Limits on guessing secrets, by name and by address.

Rule 1: failed attempts are counted for a name at an address, for an address over all names, and for a name over all
addresses. If any of the three counts is full, an attempt is rejected without verification. It is not a guess then, and
it is not counted.
Rule 2: each count has a maximum, so after an attack a source is open again `max_wait_s` later, whatever the attacker
did.
Rule 3: a name that has authenticated from an address before is exempt from the counts that others can fill. Others at
the address can fill the count of the address. Others elsewhere can fill the count of the name.
Rule 4: memory is bounded. The least recently used counts are dropped first.

An IPv6 address counts with its /64 network.
"""

import dataclasses
from collections import OrderedDict

from mqguard.model.peer import address_block


@dataclasses.dataclass(frozen=True, slots=True)
class ThrottleLimits:
    """Limits on verified failed attempts. Each rate is the number of failures that expire each second.

    Attributes:
        pair_burst: Failures of one name at one address.
        pair_per_second: Rate of these.
        address_burst: Failures at one address, over all names.
        address_per_second: Rate of these.
        name_burst: Failures of one name, over all addresses.
        name_per_second: Rate of these.
        max_wait_s: Maximum time in seconds for which a count rejects attempts after the last failure.
        max_counts: Maximum number of counts, and of known pairs of name and address.
    """

    pair_burst: int = 50
    pair_per_second: float = 10.0
    address_burst: int = 200
    address_per_second: float = 50.0
    name_burst: int = 500
    name_per_second: float = 100.0
    max_wait_s: float = 2.0
    max_counts: int = 65_536

    def divided(self, processes: int) -> "ThrottleLimits":
        """Return the limits of one of several processes that verify the secrets of the same users."""
        return dataclasses.replace(
            self,
            pair_burst=max(1, self.pair_burst // processes),
            pair_per_second=self.pair_per_second / processes,
            address_burst=max(1, self.address_burst // processes),
            address_per_second=self.address_per_second / processes,
            name_burst=max(1, self.name_burst // processes),
            name_per_second=self.name_per_second / processes,
        )


_Key = tuple[str | None, str | None]
"""A name and an address; None means all."""


class Throttle:
    """Counts failed attempts and returns how long to wait. Time is an argument."""

    __slots__ = ("_counts", "_known", "_limits")

    def __init__(self, limits: ThrottleLimits | None = None) -> None:
        self._limits = limits or ThrottleLimits()
        # Level of failures, and its time in milliseconds.
        self._counts: OrderedDict[_Key, tuple[float, int]] = OrderedDict()
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()

    def wait_ms(self, user: str, address: str, now_ms: int) -> int:
        """Return how long until an attempt of `user` from `address` is verified, in milliseconds; 0 is now."""
        if not self._counts:
            return 0
        block = address_block(address)
        limits = self._limits
        wait = self._wait_ms((user, block), limits.pair_burst, limits.pair_per_second, now_ms)
        if (user, block) in self._known:
            return wait
        return max(
            wait,
            self._wait_ms((None, block), limits.address_burst, limits.address_per_second, now_ms),
            self._wait_ms((user, None), limits.name_burst, limits.name_per_second, now_ms),
        )

    def failed(self, user: str, address: str, now_ms: int) -> None:
        """Count a failed attempt; an attempt that claims no name counts for the empty name."""
        block = address_block(address)
        limits = self._limits
        self._add((user, block), limits.pair_burst, limits.pair_per_second, now_ms)
        self._add((None, block), limits.address_burst, limits.address_per_second, now_ms)
        self._add((user, None), limits.name_burst, limits.name_per_second, now_ms)

    def succeeded(self, user: str, address: str) -> None:
        """Record that a name has authenticated from an address. Counted failures stay."""
        known = self._known
        key = (user, address_block(address))
        known[key] = None
        known.move_to_end(key)
        if len(known) > self._limits.max_counts:
            known.popitem(last=False)

    def __len__(self) -> int:
        return len(self._counts)

    def _wait_ms(self, key: _Key, burst: int, per_second: float, now_ms: int) -> int:
        over = self._level(key, per_second, now_ms) - burst
        # A level at its burst has no room for another failure until one whole failure has expired.
        return 0 if over <= -1 else int((over + 1) / per_second * 1000) + 1

    def _level(self, key: _Key, per_second: float, now_ms: int) -> float:
        count = self._counts.get(key)
        if count is None:
            return 0.0
        level, then_ms = count
        level -= max(0, now_ms - then_ms) / 1000 * per_second
        if level > 0:
            return level
        del self._counts[key]
        return 0.0

    def _add(self, key: _Key, burst: int, per_second: float, now_ms: int) -> None:
        counts = self._counts
        highest = burst - 1 + self._limits.max_wait_s * per_second
        counts[key] = (min(self._level(key, per_second, now_ms) + 1, highest), now_ms)
        counts.move_to_end(key)
        if len(counts) > self._limits.max_counts:
            counts.popitem(last=False)
