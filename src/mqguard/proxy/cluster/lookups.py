"""Cached look-ups in the cluster: routes of topics, settings of groups, and whatever else has a name.

A value is requested when it is needed. An older one stays in use while it is requested again, and as long as nobody
answers.

Rule 1: everything is bounded, with fair shares for users: cached values, open requests, receivers that wait.
Rule 2: one name has at most one open request. All receivers of its value wait for the same answer.
"""

import asyncio
import functools
from collections.abc import Callable
from typing import Final, Generic, NamedTuple, TypeVar

from mqguard.engine.fair_shares import FairQuota, FairSlots
from mqguard.net.errors import LinkBusy, LinkError

T = TypeVar("T")

OnFound = Callable[[T | LinkError | None], None]
"""Receiver of a value: None if there is none of the name, an error if nobody answers."""
Fetch = Callable[[str, OnFound[T]], None]
"""Function that requests the value of a name. It reports the outcome exactly once."""

PRUNE_S: Final = 10.0
"""Minimum interval between two searches for values that are not used any more."""


class LookupSettings(NamedTuple):
    """Times and limits of look-ups.

    Attributes:
        fresh_s: Age in seconds at which a value is requested again.
        absent_s: The same for a name without a value, which a client may be about to create.
        max_age_s: Age from which a receiver waits for a newer value. An older one is used only if nobody answers.
        max_values: Maximum number of cached values, also of names without one.
        max_open: Maximum number of open requests.
        max_waiting: Maximum number of receivers that wait.
    """

    fresh_s: float = 20.0
    absent_s: float = 1.0
    max_age_s: float = 120.0
    max_values: int = 20_000
    max_open: int = 256
    max_waiting: int = 10_000


class _Cached(NamedTuple, Generic[T]):
    """A cached value.

    Attributes:
        value: The value, None if there is none of the name.
        owner: User or address for whose share it counts.
        stored_s: Time of the answer.
        due_s: Time from which it is requested again.
    """

    value: T | None
    owner: str
    stored_s: float
    due_s: float


class Lookups(Generic[T]):
    """Cached values by name.

    Args:
        fetch: Requests a value.
        loop: The event loop, whose clock counts.
        settings: Times and limits.
    """

    def __init__(
        self, fetch: Fetch[T], loop: asyncio.AbstractEventLoop, settings: LookupSettings | None = None
    ) -> None:
        self._fetch = fetch
        self._loop = loop
        self._settings = settings or LookupSettings()
        self._cached: dict[str, _Cached[T]] = {}
        self._slots: FairSlots[str] = FairSlots(self._settings.max_values)
        self._requests = FairQuota(self._settings.max_open)
        self._receivers = FairQuota(self._settings.max_waiting)
        self._open: dict[str, list[tuple[str, OnFound[T]]]] = {}
        self._pruned_s = 0.0

    def __len__(self) -> int:
        return len(self._cached)

    def get(self, name: str, owner: str, on_found: OnFound[T]) -> None:
        """Find a value.

        Args:
            name: The name.
            owner: User or address for whose share the request counts.
            on_found: Called once with the value, perhaps before this method returns.
        """
        now = self._loop.time()
        found = self._cached.get(name)
        if found is not None and now < found.due_s:
            on_found(found.value)
            return
        if found is not None and found.value is not None and now - found.stored_s < self._settings.max_age_s:
            if name not in self._open:
                self._ask(name, owner)
            on_found(found.value)
            return
        if not self._receivers.allows(owner, 1) or not (name in self._open or self._is_allowed(owner)):
            on_found(LinkBusy("too many names are looked up at the same time"))
            return
        self._receivers.change(owner, 1)
        waiting = self._open.get(name)
        if waiting is not None:
            waiting.append((owner, on_found))
        else:
            self._ask(name, owner, [(owner, on_found)])

    def forget(self, name: str) -> None:
        """Have a value requested before it is used again, because it has changed."""
        found = self._cached.get(name)
        if found is not None:
            self._drop(name, found)

    def _is_allowed(self, owner: str) -> bool:
        return self._requests.allows(owner, 1)

    def _ask(self, name: str, owner: str, waiting: list[tuple[str, OnFound[T]]] | None = None) -> None:
        """Send a request, unless too many are open."""
        if self._is_allowed(owner):
            self._requests.change(owner, 1)
            self._open[name] = waiting or []
            self._fetch(name, functools.partial(self._answered, name, owner))

    def _answered(self, name: str, owner: str, found: T | LinkError | None) -> None:
        self._requests.change(owner, -1)
        waiting = self._open.pop(name)
        known = self._cached.get(name)
        if isinstance(found, LinkError):
            if known is not None:
                # The last value stays in use, and the servers are not asked for each request.
                self._cached[name] = known._replace(due_s=self._loop.time() + self._settings.absent_s)
                found = known.value
        else:
            self._keep(name, owner, found)
        for receiver, on_found in waiting:
            self._receivers.change(receiver, -1)
            on_found(found)

    def _keep(self, name: str, owner: str, value: T | None) -> None:
        known = self._cached.get(name)
        if known is not None:
            owner = known.owner
        elif not self._make_room(owner):
            return
        else:
            self._slots.take(owner, name)
        now = self._loop.time()
        age = self._settings.absent_s if value is None else self._settings.fresh_s
        self._cached[name] = _Cached(value, owner, now, now + age)

    def _make_room(self, owner: str) -> bool:
        """Return True if there is room for another value. If it is full, one of the largest owner is removed."""
        now = self._loop.time()
        if self._slots.is_full and now - self._pruned_s >= PRUNE_S:
            self._pruned_s = now
            for name, cached in list(self._cached.items()):
                if now - cached.stored_s >= self._settings.max_age_s:
                    self._drop(name, cached)
        if not self._slots.is_full:
            return True
        displaced = self._slots.to_remove_for(owner)
        if displaced is None:
            # The owner has the largest share itself. Its value is used once and not cached.
            return False
        self._drop(displaced, self._cached[displaced])
        return True

    def _drop(self, name: str, cached: _Cached[T]) -> None:
        del self._cached[name]
        self._slots.free(cached.owner, name)
