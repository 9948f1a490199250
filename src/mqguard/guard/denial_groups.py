"""Denials that are alike: the first has a line of its own, the others are counted, and the count is a line later.

Rule 1: no denial is lost. One that has no line of its own stands in a count.
Rule 2: what one user, or one address, can cause is bounded in lines for each minute and in memory.
Rule 3: a denial that is unlike any other costs a line of its sender's budget. Without one it is folded: counted
together with all others of its sender that had none.
Rule 4: senders share the groups. A sender that has its share gives up its own oldest for a new one. If all are taken,
the sender with most of them gives up its oldest.
"""

import dataclasses
import heapq
import itertools
from collections import OrderedDict, deque
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
        burst: Lines that one sender may cause at once, and most groups that it has.
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
        event: The audited one.
        count: How many more there were.
        first_ms: When the first of these came, in milliseconds since the epoch.
        when_ms: When the last came.
    """

    event: object
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
        codes: Request codes, some of them; none for a protocol without numbers.
        requests: Names of operations, some of them.
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
    requests: list[str]
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
        _list_more(self.requests, other.requests)
        _list_more(self.reasons, other.reasons)
        _list_more(self.resources, other.resources)


class _Group(msgspec.Struct):
    case: object
    sender: str
    number: int = -1
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
    """Counts denials. For one thread.

    Attributes:
        summed: Number of denials without a line of their own.
    """

    def __init__(self, limits: DenialLimits) -> None:
        """Count within these limits."""
        self.summed = 0
        self._limits = limits
        self._groups: dict[Hashable, _Group] = {}
        self._budgets: OrderedDict[str, _Budget] = OrderedDict()
        self._all = _Budget(limits.burst_of_all, 0)
        self._folded: dict[str, _Group] = {}
        # The groups of each sender, oldest first, and what was counted of those that were given up.
        self._of_sender: dict[str, dict[Hashable, None]] = {}
        self._given_up: deque[Repeats] = deque()
        # When each group, or what is folded of a sender, is due. INVARIANT: one entry for each with its number; entries
        # with other numbers are of groups that were given up.
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
        self.summed += 1
        _count(group, now_ms)
        return group.case

    def may_open(self, sender: str, now_ms: int) -> bool:
        """Charge the line of a denial that is unlike any other to its sender; False if it is to be folded."""
        own = len(self._of_sender.get(sender, ()))
        giver: str | None = None
        if own >= self._limits.burst:
            giver = sender
        elif len(self._groups) >= self._limits.groups:
            giver = max(self._of_sender, key=lambda one: len(self._of_sender[one]))
            if len(self._of_sender[giver]) <= own + 1:
                return False
        if not self.spend(sender, now_ms):
            return False
        if giver is not None:
            self._give_up(next(iter(self._of_sender[giver])))
        return True

    def open(self, key: Hashable, case: object, sender: str, now_ms: int, *, written: bool) -> None:
        """Remember a denial that is unlike any other, so that those like it are counted.

        Args:
            key: What those like it have in common with it.
            case: The denial.
            sender: The sender whose group it is.
            now_ms: Milliseconds since the epoch.
            written: False if its own line found no room, so that it is counted too.
        """
        group = self._groups[key] = _Group(case, sender)
        self._of_sender.setdefault(sender, {})[key] = None
        if not written:
            self.summed += 1
            _count(group, now_ms)
        self._schedule(group, now_ms, False, key)  # noqa: FBT003 - a part of the key

    def fold(self, denial: Folded, sender: str) -> None:
        """Count a denial without a line of its own."""
        self.summed += 1
        now = denial.when_ms
        denial.resources = [name[:MAX_LISTED_NAME] for name in denial.resources[:MAX_LISTED]]
        if sender not in self._folded and len(self._folded) >= self._limits.senders:
            sender = OTHERS
        group = self._folded.get(sender)
        if group is None:
            group = self._folded[sender] = _Group(denial, sender)
            self._schedule(group, now, True, sender)  # noqa: FBT003 - a part of the key
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
        due, given_up = self._due, self._given_up
        for _ in range(MAX_PER_TICK):
            if given_up:
                if not write(given_up[0]):
                    return
                given_up.popleft()
                continue
            if not due or due[0][0] > now_ms or not self._write(due[0], now_ms, write):
                return
            heapq.heappop(due)

    def write_all(self, now_ms: int, write: Write) -> None:
        """Put on record all that was counted, and forget it."""
        due, self._due = self._due, []
        for record in self._given_up:
            write(record)
        for entry in due:
            self._write(entry, now_ms, write)
        self._due.clear()
        self._groups.clear()
        self._folded.clear()
        self._of_sender.clear()
        self._given_up.clear()

    def _write(self, entry: tuple[int, int, bool, Hashable], now_ms: int, write: Write) -> bool:
        _, number, is_folded, key = entry
        groups: dict[Hashable, _Group] = self._folded if is_folded else self._groups  # type: ignore[assignment]
        group = groups.get(key)
        if group is None or group.number != number:
            return True  # given up
        record = group.case if is_folded else _repeats(group)
        if record is None:
            # Nothing more came: the next is a first one again.
            self._forget(groups, key)
            return True
        if not write(record):
            return False
        group.count = 0
        if is_folded:
            group.case = None
        group.interval_ms = min(2 * group.interval_ms, MAX_INTERVAL_MS)
        self._schedule(group, now_ms, is_folded, key)
        return True

    def _give_up(self, key: Hashable) -> None:
        """Make room for another group; what was counted is written with the next tick."""
        record = _repeats(self._groups[key])
        if record is not None:
            self._given_up.append(record)
        self._forget(self._groups, key)

    def _forget(self, groups: dict[Hashable, _Group], key: Hashable) -> None:
        group = groups.pop(key)
        own = self._of_sender.get(group.sender)
        if groups is self._groups and own is not None:
            del own[key]
            if not own:
                del self._of_sender[group.sender]

    def _schedule(self, group: _Group, now_ms: int, is_folded: bool, key: Hashable) -> None:  # noqa: FBT001 - a part of the key
        group.number = next(self._numbers)
        heapq.heappush(self._due, (now_ms + group.interval_ms, group.number, is_folded, key))


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
