"""Groups of equal denials: the first one has an audit line, the others are counted, and the count has a line later."""

# Rule 1: no denial is lost. A denial without a line of its own is part of a count.
# Rule 2: the lines for each minute and the memory that one user, or one address, can cause are bounded.
# Rule 3: a denial that is unlike any other costs a line of its sender's budget. If the budget is empty the denial is
# folded: counted together with all others of its sender that had no line.
# Rule 4: senders share the groups. A sender that has its share gives up its own oldest group for a new one. If all
# groups are taken, the sender with most of them gives up its oldest.

import dataclasses
import heapq
import itertools
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from typing import TypeVar

import msgspec

T = TypeVar("T")

FIRST_INTERVAL_MS = 5_000
"""Time for which denials are counted before their first count is audited, in milliseconds."""
MAX_INTERVAL_MS = 600_000
"""Maximum time between two counts, in milliseconds: the interval doubles while denials continue."""
MAX_PER_TICK = 64
"""Maximum number of counts that one iteration of the event loop audits."""
MAX_LISTED = 16
"""Maximum number of codes, names, reasons, sources and resources in the line of folded denials, of each."""
MAX_LISTED_NAME = 128
"""Maximum characters of a resource's name in that line."""
OTHERS = "..."
"""The common name of all senders without a place in memory."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DenialLimits:
    """Limits of the lines and the memory for denials.

    Attributes:
        groups: Maximum number of groups in memory.
        senders: Maximum number of senders whose budgets, and whose folded denials, are in memory.
        burst: Maximum number of lines of one sender at once, and of its groups.
        per_minute: Maximum number of lines of one sender for each minute in the long run.
        burst_of_all: Maximum number of lines of all senders together at once.
        per_minute_of_all: Maximum number of lines of all senders together for each minute in the long run.
    """

    groups: int
    senders: int
    burst: int
    per_minute: int
    burst_of_all: int
    per_minute_of_all: int


USERS = DenialLimits(groups=4096, senders=1024, burst=256, per_minute=30, burst_of_all=8192, per_minute_of_all=600)
"""Limits for authenticated users."""
ADDRESSES = DenialLimits(groups=4096, senders=1024, burst=64, per_minute=12, burst_of_all=2048, per_minute_of_all=600)
"""Limits for addresses of unauthenticated peers."""
SHADOWED = DenialLimits(groups=8192, senders=1024, burst=512, per_minute=60, burst_of_all=8192, per_minute_of_all=1200)
"""Limits for addresses whose unauthenticated requests shadow mode admits: a policy is learnt from their lines."""


class Repeats(msgspec.Struct, frozen=True):
    """The record of denials that are equal to an audited one.

    Attributes:
        event: The audited one.
        count: Number of further denials.
        first_ms: Time of the first of these, in milliseconds since the epoch.
        when_ms: Time of the last.
    """

    event: object
    count: int
    first_ms: int
    when_ms: int


class Folded(msgspec.Struct, gc=False):
    """The record of denials of one sender that had no lines of their own.

    Attributes:
        stream: The files that the record goes to.
        user: The user; empty for unauthenticated senders, or for several users.
        method: The method that authenticated the user.
        count: Number of denials.
        first_ms: Time of the first, in milliseconds since the epoch.
        when_ms: Time of the last.
        sources: Source addresses, some of them.
        codes: Request codes, some of them; none for a protocol without numbers.
        requests: Names of operations, some of them.
        reasons: Reasons, some of them.
        resources: Denied resources, some of them.
        shadowed: Number of denials that shadow mode let through.
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
    denial: object
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
"""Writes a record; returns False if there is no room now."""


class DenialGroups:
    """Counts of denials, for one thread.

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
        self._ticked_ms = 0

    def __len__(self) -> int:
        return len(self._groups)

    def repeat(self, key: Hashable, now_ms: int) -> object | None:
        """Count a denial that is equal to an audited one.

        Returns:
            The audited one; None if there is none, and nothing was counted.
        """
        group = self._groups.get(key)
        if group is None:
            return None
        self.summed += 1
        _count(group, now_ms)
        return group.denial

    def may_open(self, sender: str, now_ms: int) -> bool:
        """Charge the line of a denial that is unlike any other to its sender; return False if it must be folded."""
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

    def open(self, key: Hashable, denial: object, sender: str, now_ms: int, *, written: bool) -> None:
        """Open a group for a denial that is unlike any other, so that equal ones are counted.

        Args:
            key: The values that equal denials share.
            denial: The denial.
            sender: The sender whose group it is.
            now_ms: Milliseconds since the epoch.
            written: False if its own line found no room, so that it is counted too.
        """
        group = self._groups[key] = _Group(denial, sender)
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
        elif isinstance(group.denial, Folded):
            group.denial.add(denial)
        else:
            group.denial = denial

    def spend(self, sender: str, now_ms: int) -> bool:
        """Charge a line to a sender; return False if its budget is empty."""
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
        """Audit the counts that are due, a bounded number of them."""
        if now_ms < self._ticked_ms:
            self._set_back(self._ticked_ms - now_ms)
        self._ticked_ms = now_ms
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
        """Audit all counts, and drop them."""
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
        record = group.denial if is_folded else _repeats(group)
        if record is None:
            # No further denial came: the next one opens a group again.
            self._forget(groups, key)
            return True
        if not write(record):
            return False
        group.count = 0
        if is_folded:
            group.denial = None
        group.interval_ms = min(2 * group.interval_ms, MAX_INTERVAL_MS)
        self._schedule(group, now_ms, is_folded, key)
        return True

    def _set_back(self, span_ms: int) -> None:
        """Move all counts that are due, because the clock was set back; they must not wait until it has caught up."""
        self._due = [(max(0, at - span_ms), number, is_folded, key) for at, number, is_folded, key in self._due]

    def _give_up(self, key: Hashable) -> None:
        """Drop a group for another one; its count is audited with the next tick."""
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
    return Repeats(group.denial, group.count, group.first_ms, group.last_ms) if group.count else None


def _list_more(listed: list[T], more: list[T]) -> None:
    for one in more:
        if len(listed) >= MAX_LISTED:
            return
        if one not in listed:
            listed.append(one)
