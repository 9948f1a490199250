"""Slows down who fails to authenticate, without locking out whose name is used.

Rule 1: failures are counted for a user at an address, and for an address over all users; never for a user alone, so
nobody can lock a user out from elsewhere.
Rule 2: over the limit, attempts are refused unseen until the count has run down, which takes seconds; guesses are
limited, and the answer says nothing. The count of an address runs down faster: behind one address there may be many
honest clients beside one that is set up wrongly, and they must find the door open.
Rule 3: a connection that has authenticated as the user before is exempt, and so is the first attempt of a connection
(the caller sees to both): a guess then costs a connection, and the rightful user beside a failing one gets in. A
success forgives the user's failures there.
Rule 4: memory is bounded; the counts that were touched longest ago are forgotten first.
"""

import dataclasses
from collections import OrderedDict


@dataclasses.dataclass(frozen=True, slots=True)
class ThrottleLimits:
    """How many failures are borne.

    Attributes:
        user_burst: Failures of one user at one address before it is slowed.
        address_burst: Failures at one address, whoever is claimed, before it is slowed.
        per_second: How many failures of a user at an address are forgotten each second.
        address_per_second: How many failures of an address are forgotten each second.
        max_counts: Most counts that are kept.
    """

    user_burst: int = 10
    address_burst: int = 100
    per_second: float = 1.0
    address_per_second: float = 20.0
    max_counts: int = 65_536


class Throttle:
    """Counts failures and says who has to wait. Time is an argument."""

    __slots__ = ("_counts", "_limits")

    def __init__(self, limits: ThrottleLimits | None = None) -> None:
        self._limits = limits or ThrottleLimits()
        # By user and address, and by the address alone: level of failures and when it was so.
        self._counts: OrderedDict[tuple[str, str] | str, tuple[float, int]] = OrderedDict()

    def wait_ms(self, user: str, address: str, now_ms: int) -> int:
        """How long until an attempt of `user` from `address` is looked at; 0 is now.

        A caller refuses without checking when this is not 0, unless the connection has authenticated as the user
        before.
        """
        if not self._counts:
            return 0
        limits = self._limits
        return max(
            self._wait_ms((user, address), limits.user_burst, limits.per_second, now_ms),
            self._wait_ms(address, limits.address_burst, limits.address_per_second, now_ms),
        )

    def failed(self, user: str, address: str, now_ms: int) -> None:
        """Count a failed attempt; one that claims no user, as one of the user without a name."""
        self._add((user, address), self._limits.per_second, now_ms)
        self._add(address, self._limits.address_per_second, now_ms)

    def succeeded(self, user: str, address: str) -> None:
        """Forget the failures of the user at the address; those of the address over all users stay."""
        if self._counts:
            self._counts.pop((user, address), None)

    def __len__(self) -> int:
        return len(self._counts)

    def _wait_ms(self, key: tuple[str, str] | str, burst: int, per_second: float, now_ms: int) -> int:
        over = self._level(key, per_second, now_ms) - burst
        # A level at its limit bears no further failure until one whole failure is forgotten.
        return 0 if over <= -1 else int((over + 1) / per_second * 1000) + 1

    def _level(self, key: tuple[str, str] | str, per_second: float, now_ms: int) -> float:
        count = self._counts.get(key)
        if count is None:
            return 0.0
        level, then_ms = count
        level -= max(0, now_ms - then_ms) / 1000 * per_second
        if level > 0:
            return level
        del self._counts[key]
        return 0.0

    def _add(self, key: tuple[str, str] | str, per_second: float, now_ms: int) -> None:
        counts = self._counts
        counts[key] = (self._level(key, per_second, now_ms) + 1, now_ms)
        counts.move_to_end(key)
        if len(counts) > self._limits.max_counts:
            counts.popitem(last=False)
