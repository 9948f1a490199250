"""Denials that are alike: the first has a line of its own, the others are counted, and the count is a line later.

Rule 1: no denial is lost. One that has no line of its own stands in a count.
Rule 2: what one user, or one address, can cause is bounded in lines for each minute and in memory.
Rule 3: a denial that is unlike any other costs a line of its sender's budget. Without one it is folded: counted
together with all others of its sender that had none.
"""

import dataclasses
import heapq
import itertools
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import TypeVar

import msgspec

T = TypeVar("T")

FIRST_INTERVAL_MS = 5_000
"""How long denials are counted before their count is on record for the first time."""
MAX_INTERVAL_MS = 600_000
"""How long they are counted at most: the interval doubles while they go on."""
MAX_PER_TICK = 64
"""Counts that are put on record in one turn of the event loop."""
MAX_LISTED = 16
"""Codes, reasons, sources and resources that the line of folded denials names, of each."""
MAX_LISTED_NAME = 128
"""How much of a resource's name that line has."""
OTHERS = "..."
"""Stands for all senders for whom there is no place in memory."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DenialLimits:
    """What denials may cost.

    Attributes:
        groups: Most groups in memory.
        senders: Most senders whose budgets, and whose folded denials, are in memory.
        burst: Lines that one sender may cause at once.
        per_minute: Lines that one sender may cause in the long run.
        burst_of_all: Lines that all senders together may cause at once.
        per_minute_of_all: Lines that all senders together may cause in the long run.
    """

    groups: int
    senders: int
    burst: int
    per_minute: int
    burst_of_all: int
    per_minute_of_all: int


USERS = DenialLimits(groups=4096, senders=1024, burst=256, per_minute=30, burst_of_all=8192, per_minute_of_all=600)
"""For users that proved who they are."""
ADDRESSES = DenialLimits(groups=4096, senders=1024, burst=64, per_minute=12, burst_of_all=2048, per_minute_of_all=600)
"""For addresses of peers that did not."""


class Repeats(msgspec.Struct, frozen=True):
    """The record of denials that are like one on record.

    Attributes:
        case: The one on record.
        count: How many more there were.
        first_ms: When the first of these came, in milliseconds since the epoch.
        when_ms: When the last came.
    """

    case: object
    count: int
    first_ms: int
    when_ms: int


class Folded(msgspec.Struct, gc=False):
    """The record of denials of one sender that had no lines of their own.

    Attributes:
        stream: Which files it goes to.
        user: The user; empty where nothing was proven, or for several users.
        method: What proved the user.
        count: How many there were.
        first_ms: When the first came, in milliseconds since the epoch.
        when_ms: When the last came.
        sources: Addresses that they came from, some of them.
        codes: Request codes, some of them.
        reasons: Why, some of them.
        resources: What was not allowed, some of them.
        shadowed: How many of them were let in, because policies are only watched.
    """

    stream: int
    user: str
    method: str
    count: int
    first_ms: int
    when_ms: int
    sources: list[str]
    codes: list[int]
    reasons: list[str]
    resources: list[str]
    shadowed: int = 0

    def add(self, other: "Folded") -> None:
        """Count others with these."""
        if other.user != self.user:
            self.user = self.method = ""
        self.count += other.count
        self.shadowed += other.shadowed
        self.first_ms = min(self.first_ms, other.first_ms)
        self.when_ms = max(self.when_ms, other.when_ms)
        _list_more(self.sources, other.sources)
        _list_more(self.codes, other.codes)
        _list_more(self.reasons, other.reasons)
        _list_more(self.resources, other.resources)


class _Group(msgspec.Struct):
    case: object
    count: int = 0
    first_ms: int = 0
    last_ms: int = 0
    interval_ms: int = FIRST_INTERVAL_MS


class _Budget(msgspec.Struct, gc=False):
    lines: float
    at_ms: int

    def spend(self, now_ms: int, burst: int, per_minute: int) -> bool:
        self.lines = min(burst, self.lines + max(0, now_ms - self.at_ms) * per_minute / 60_000)
        self.at_ms = now_ms
        if self.lines < 1:
            return False
        self.lines -= 1
        return True


Write = Callable[[object], bool]
"""Puts a record; False if there is no room now."""


class DenialGroups:
    """Counts denials. For one thread."""

    def __init__(self, limits: DenialLimits) -> None:
        """Count within these limits."""
        self._limits = limits
        self._groups: dict[Hashable, _Group] = {}
        self._budgets: OrderedDict[str, _Budget] = OrderedDict()
        self._all = _Budget(limits.burst_of_all, 0)
        self._folded: dict[str, _Group] = {}
        # When each group, or what is folded of a sender, is due: INVARIANT: one entry for each.
        self._due: list[tuple[int, int, bool, Hashable]] = []
        self._numbers = itertools.count()

    def repeat(self, key: Hashable, now_ms: int) -> object | None:
        """Count a denial that is like one on record.

        Returns:
            The one on record; None if there is none, and nothing was counted.
        """
        group = self._groups.get(key)
        if group is None:
            return None
        _count(group, now_ms)
        return group.case

    def may_open(self, sender: str, now_ms: int) -> bool:
        """Charge the line of a denial that is unlike any other to its sender; False if it is to be folded."""
        return len(self._groups) < self._limits.groups and self.spend(sender, now_ms)

    def open(self, key: Hashable, case: object, now_ms: int, *, written: bool) -> None:
        """Remember a denial that is unlike any other, so that those like it are counted.

        Args:
            key: What those like it have in common with it.
            case: The denial.
            now_ms: Milliseconds since the epoch.
            written: False if its own line found no room, so that it is counted too.
        """
        group = self._groups[key] = _Group(case)
        if not written:
            _count(group, now_ms)
        self._schedule(now_ms + group.interval_ms, False, key)  # noqa: FBT003 - a part of the key

    def fold(self, denial: Folded, sender: str) -> None:
        """Count a denial without a line of its own."""
        now = denial.when_ms
        denial.resources = [name[:MAX_LISTED_NAME] for name in denial.resources[:MAX_LISTED]]
        if sender not in self._folded and len(self._folded) >= self._limits.senders:
            sender = OTHERS
        group = self._folded.get(sender)
        if group is None:
            group = self._folded[sender] = _Group(denial)
            self._schedule(now + group.interval_ms, True, sender)  # noqa: FBT003 - a part of the key
        elif isinstance(group.case, Folded):
            group.case.add(denial)
        else:
            group.case = denial

    def spend(self, sender: str, now_ms: int) -> bool:
        """Charge a line to a sender; False if it has no more."""
        limits, budgets = self._limits, self._budgets
        budget = budgets.get(sender)
        if budget is None:
            budget = budgets[sender] = _Budget(limits.burst, now_ms)
            if len(budgets) > limits.senders:
                budgets.popitem(last=False)
        else:
            budgets.move_to_end(sender)
        return budget.spend(now_ms, limits.burst, limits.per_minute) and self._all.spend(
            now_ms, limits.burst_of_all, limits.per_minute_of_all
        )

    def write_due(self, now_ms: int, write: Write) -> None:
        """Put on record what was counted and is due, a bounded part of it."""
        due = self._due
        for _ in range(MAX_PER_TICK):
            if not due or due[0][0] > now_ms or not self._write(due[0], now_ms, write):
                return
            heapq.heappop(due)

    def write_all(self, now_ms: int, write: Write) -> None:
        """Put on record all that was counted, and forget it."""
        due, self._due = self._due, []
        for entry in due:
            self._write(entry, now_ms, write)
        self._due.clear()
        self._groups.clear()
        self._folded.clear()

    def _write(self, entry: tuple[int, int, bool, Hashable], now_ms: int, write: Write) -> bool:
        _, _, is_folded, key = entry
        groups: dict[Hashable, _Group] = self._folded if is_folded else self._groups  # type: ignore[assignment]
        group = groups[key]
        record = group.case if is_folded else _repeats(group)
        if record is None:
            # Nothing more came: the next is a first one again.
            del groups[key]
            return True
        if not write(record):
            return False
        group.count = 0
        if is_folded:
            group.case = None
        group.interval_ms = min(2 * group.interval_ms, MAX_INTERVAL_MS)
        self._schedule(now_ms + group.interval_ms, is_folded, key)
        return True

    def _schedule(self, due_ms: int, is_folded: bool, key: Hashable) -> None:  # noqa: FBT001 - a part of the key
        heapq.heappush(self._due, (due_ms, next(self._numbers), is_folded, key))


def _count(group: _Group, now_ms: int) -> None:
    if group.count == 0:
        group.first_ms = now_ms
    group.count += 1
    group.last_ms = now_ms


def _repeats(group: _Group) -> Repeats | None:
    return Repeats(group.case, group.count, group.first_ms, group.last_ms) if group.count else None


def _list_more(listed: list[T], more: list[T]) -> None:
    for one in more:
        if len(listed) >= MAX_LISTED:
            return
        if one not in listed:
            listed.append(one)
