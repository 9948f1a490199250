"""The scheduler: divides the time of the event loop between users, and between anonymous address blocks.

A connection whose bytes have arrived waits here, undecoded, until the scheduler serves it. An account is a user, or the
address block of connections that have not authenticated.
"""

import asyncio
import collections
import heapq
import itertools
import logging
import time
from typing import Final, Protocol

from mqguard.model.peer import Peer, address_block
from mqguard.remoting.link import Work, WorkQueue

# Rule 1: the requests of one connection are served in their order.
# Rule 2: the account that has used least time is served first. It is charged for that time, reading included.
# Rule 3: an iteration starts no request after its budget is used up. Connections that wait then are not read further.
# Rule 4: all anonymous connections share one small budget. An overdraft is subtracted from the next iterations.
# Rule 5: a large request has an iteration of its own, so that no other answer waits for its commit. An iteration ends
#   after a part of a request that takes several of them.
# Rule 6: a connection that was just accepted does not wait behind the others of its account. Among the others, the one
#   that has used least time is served first. However many busy ones a user has, an idle one waits for few of them.
# Rule 7: a connection is not charged for time in which the process did not run. Otherwise one interruption of 20 ms
#   would make it wait until each of 1,000 other connections of its user has used 20 ms.
# Rule 8: a request that takes long delays its connection by at most `MAX_APART_S` of the time of its account. New
#   connections delay the others by no more. Otherwise one request of 20 ms would have the effect of rule 7. Between
#   accounts there is no such bound.


BUDGET_S: Final = 0.006
"""Time of an iteration for authenticated connections. One commit at its end stores all of its requests."""
ANONYMOUS_BUDGET_S: Final = 0.004
"""Time of an iteration for all other connections, TLS handshakes included."""
SLICE_S: Final = 0.002
"""Time after which a connection waits until others were served."""
ANONYMOUS_SLICE_S: Final = 0.0005
MAX_APART_S: Final = 0.2
"""Time of an account by which one of its connections comes later, or earlier, because of what it has used."""

MAX_ANSWERS: Final = 32 * 1024 * 1024
"""Maximum size of the answers of one iteration. Other requests wait for the next one, which knows if the peers read."""
_LARGE: Final = 256 * 1024
"""Size of a request that takes long to serve and to store."""
_MAX_OVERDRAFT_S: Final = 0.2
_MAX_ACCOUNTS: Final = 4_096
_NEVER: Final = float("inf")

_UNUSUAL_S: Final = 0.001
"""Time of one service above which the processor time is read, a call of the system."""

_log = logging.getLogger(__name__)
read_clock = time.perf_counter
read_processor_time = time.thread_time


class Account:
    """Time and memory that one user, or one address block, uses.

    Attributes:
        key: Name of the user, or the address block.
        lane: Accounts with which it shares a budget.
        used: Seconds used, comparable with other accounts of the lane.
        held: Bytes that the connections hold.
        links: Number of connections.
        floor: Maximum of the seconds that served connections had used; it never falls.
        fresh: Connections that wait and were never served.
        waiting: Other connections that wait, as a heap by the time that they have used.
        is_active: True while the lane knows that connections wait.
    """

    __slots__ = ("floor", "fresh", "held", "is_active", "key", "lane", "links", "used", "waiting")

    def __init__(self, key: str, lane: "Lane") -> None:
        self.key = key
        self.lane = lane
        self.used = self.floor = 0.0
        self.held = self.links = 0
        self.fresh: collections.deque[ScheduledLink] = collections.deque()
        self.waiting: list[tuple[float, int, ScheduledLink]] = []
        self.is_active = False

    def hold(self, change: int) -> None:
        """Count bytes that a connection holds, or no longer holds."""
        self.held += change
        self.lane.held += change


class ScheduledLink(Protocol):
    """A connection with bytes to be served."""

    peer: Peer
    account: Account
    used: float
    """Seconds used, comparable with other connections of the account."""
    was_served: bool
    is_waiting: bool
    """True from `Scheduler.add` until all of its bytes were served."""
    held: int

    @property
    def work(self) -> WorkQueue:
        """Work that is left of its requests."""
        ...  # pragma: no cover

    @property
    def is_heavy(self) -> bool:
        """True if the bytes that arrived complete a large frame that is mostly held."""
        ...  # pragma: no cover

    def serve(self, until: float) -> bool:
        """Serve input, at least one batch; return True if input is left at that time of the clock."""
        ...  # pragma: no cover

    def stop_reading(self) -> None:
        """Stop reading until the waiting input was served."""
        ...  # pragma: no cover

    def abort(self) -> None:
        """Drop the connection."""
        ...  # pragma: no cover


class TurnEnd(Protocol):
    """A listener with something to do at the end of an iteration."""

    is_iteration_due: bool

    def end_iteration(self) -> None:
        """Commit, and write the answers."""
        ...  # pragma: no cover


class Lane:
    """Accounts that share a budget.

    Attributes:
        budget_s: Seconds of an iteration.
        slice_s: Seconds after which a connection waits until others were served.
        held: Bytes that the connections hold.
        overdraft_s: Overdraft of the budget that later iterations have to subtract.
        overdrafts: Number of iterations that exceeded the budget.
        overdrawn_s: Sum of the time by which they exceeded it.
        floor: Minimum of `used` for accounts that wait; an account that becomes active starts near it.
        accounts: All accounts by key; those without connections are forgotten from time to time.
        active: Accounts with connections that wait, as a heap by the time that they have used.
    """

    def __init__(self, budget_s: float, slice_s: float) -> None:
        self.budget_s = budget_s
        self.slice_s = slice_s
        self.overdraft_s = 0.0
        self.overdrafts = 0
        self.overdrawn_s = 0.0
        self.held = 0
        self.active: list[tuple[float, int, Account]] = []
        self.accounts: dict[str, Account] = {}
        self._max_accounts = _MAX_ACCOUNTS
        self.floor = 0.0
        self._numbers = itertools.count()

    def account(self, key: str) -> Account:
        """Return the account of a user or an address block."""
        found = self.accounts.get(key)
        if found is None:
            if len(self.accounts) >= self._max_accounts:
                self._forget()
            found = self.accounts[key] = Account(key, self)
        return found

    def _forget(self) -> None:
        """Forget accounts without connections; those over the floor are kept unless too many remain."""
        kept = {key: one for key, one in self.accounts.items() if one.links or one.used > self.floor}
        if len(kept) > _MAX_ACCOUNTS // 2:
            kept = {key: one for key, one in kept.items() if one.links}
        self.accounts = kept
        self._max_accounts = max(_MAX_ACCOUNTS, 2 * len(kept))

    def activate(self, account: Account) -> None:
        """Add an account with connections that wait."""
        account.is_active = True
        # An idle account saves no time. It still comes before accounts that waited with the same time.
        account.used = max(account.used, self.floor - self.slice_s)
        heapq.heappush(self.active, (account.used, next(self._numbers), account))

    def next(self) -> Account:
        """Return the account that has used least time, and remove it."""
        self.floor, _, account = heapq.heappop(self.active)
        return account


class Scheduler:
    """Serves connections within the iterations of the event loop. Several listeners may share one.

    Attributes:
        queued: Bytes of the answers of this iteration.
    """

    def __init__(self) -> None:
        self.queued = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._servers: list[TurnEnd] = []
        self._authenticated = Lane(BUDGET_S, SLICE_S)
        self._anonymous = Lane(ANONYMOUS_BUDGET_S, ANONYMOUS_SLICE_S)
        self._arrived: list[ScheduledLink] = []
        self._postponed: collections.deque[ScheduledLink] = collections.deque()
        self._has_served = False
        self._numbers = itertools.count()
        self._is_due = False
        self._begun = self._begun_processor = self._interrupted = 0.0

    @property
    def lanes(self) -> dict[str, Lane]:
        """The lanes by name."""
        return {"authenticated": self._authenticated, "anonymous": self._anonymous}

    def attach(self, loop: asyncio.AbstractEventLoop, server: TurnEnd) -> None:
        """Serve the connections of a listener in this loop."""
        self._loop = loop
        self._servers.append(server)

    def account(self, key: str, *, is_anonymous: bool) -> Account:
        """Return the account of a user or an address block.

        Args:
            key: Name of the user, or an address.
            is_anonymous: True if it is an address of connections that have to authenticate.
        """
        if is_anonymous:
            return self._anonymous.account(address_block(key))
        return self._authenticated.account(key)

    def add(self, link: ScheduledLink) -> None:
        """Serve a connection in this iteration or a later one."""
        link.is_waiting = True
        self._arrived.append(link)
        self._enqueue(link)
        if not self._is_due:
            self.wake()

    def wake(self) -> None:
        """Request an iteration, even if no bytes have arrived."""
        if not self._is_due and self._loop is not None:
            self._is_due = True
            self._loop.call_soon(self._iterate)

    def _enqueue(self, link: ScheduledLink) -> None:
        account = link.account
        if link.was_served:
            # An idle connection saves no time. It still comes before connections that waited with the same time.
            # One of 1,000 connections waits until each of the others has used what it has used more than they.
            used, floor = link.used, account.floor
            apart = MAX_APART_S / (1 + len(account.waiting))
            if used > floor + apart:
                link.used = floor + apart
            elif used < (least := floor - min(apart, account.lane.slice_s)):
                link.used = least
            heapq.heappush(account.waiting, (link.used, next(self._numbers), link))
        else:
            account.fresh.append(link)
        if not account.is_active:
            account.lane.activate(account)

    def _iterate(self) -> None:
        self._has_served = False
        self._begun, self._begun_processor, self._interrupted = read_clock(), read_processor_time(), 0.0
        if self._postponed:
            self._serve_postponed()
        else:
            if self._authenticated.active:
                self._serve(self._authenticated, self._authenticated.budget_s)
            if self._anonymous.active:
                self._serve_anonymous()
        self._is_due = False
        for server in self._servers:
            if server.is_iteration_due:
                server.end_iteration()
        self.queued = 0
        arrived, self._arrived = self._arrived, []
        if self._authenticated.active or self._anonymous.active or self._postponed:
            for link in arrived:
                if link.is_waiting:
                    link.stop_reading()
            self.wake()

    def _serve_anonymous(self) -> None:
        lane = self._anonymous
        budget = lane.budget_s - lane.overdraft_s
        if budget > 0:
            lane.overdraft_s = min(self._serve(lane, budget), _MAX_OVERDRAFT_S)
        else:
            lane.overdraft_s -= lane.budget_s

    def _serve(self, lane: Lane, budget_s: float) -> float:
        """Serve accounts of a lane; return the seconds by which the budget was exceeded."""
        now = read_clock()
        end = now + budget_s
        while lane.active and now < end and self.queued < MAX_ANSWERS:
            account = lane.next()
            # One account continues while it has used least time, so that many connections of one user cost little.
            limit = lane.active[0][0] if lane.active else _NEVER
            while True:
                now = self._serve_next(account, now, end)
                is_left = bool(account.waiting or account.fresh)
                if not is_left or account.used > limit or now >= end or self.queued >= MAX_ANSWERS:
                    break
            lane.floor = max(lane.floor, min(account.used, limit))
            account.is_active = False
            if is_left:
                lane.activate(account)
        if now <= end:
            return 0.0
        lane.overdrafts += 1
        lane.overdrawn_s += now - end
        return now - end

    def _serve_postponed(self) -> None:
        """Serve one large request, and nothing else in this iteration."""
        link = self._postponed.popleft()
        account, now = link.account, read_clock()
        then = self._serve_link(link, account, now, now)
        if account.lane is self._anonymous:
            account.lane.overdraft_s = min(account.lane.overdraft_s + then - now, _MAX_OVERDRAFT_S)

    def _serve_next(self, account: Account, now: float, end: float) -> float:
        """Serve the next connection of an account; return the time, or the end of the budget to stop."""
        if account.fresh:
            link = account.fresh.popleft()
        else:
            used, _, link = heapq.heappop(account.waiting)
            account.floor = max(account.floor, used)
        if link.held < _LARGE or not link.is_heavy:
            return self._serve_link(link, account, now, end)
        if self._has_served:
            self._postponed.append(link)
            return end
        return max(self._serve_link(link, account, now, end), end)

    def _serve_link(self, link: ScheduledLink, account: Account, now: float, end: float) -> float:
        """Serve a connection; return the time afterwards."""
        self._has_served = True
        until = now + account.lane.slice_s
        try:
            is_left = link.serve(until if until < end else end)  # noqa: FURB136 - a call less for each event
        except Exception:  # noqa: BLE001 - an internal error costs at most one connection
            _log.exception("serving %s failed: internal error", link.peer.address)
            link.abort()
            is_left = False
        then = read_clock()
        spent = then - now
        account.used += spent
        link.used += spent if spent < _UNUSUAL_S else self._running_time(spent, then)
        if not is_left:
            link.is_waiting = False
            return then
        self._enqueue(link)
        # The iteration ends after a part of long work: its commit takes as long as the part itself.
        return max(then, end) if link.work else then

    def _running_time(self, spent: float, now: float) -> float:
        """Return the part of a time that ends now in which this thread ran on a processor."""
        running = read_processor_time() - self._begun_processor
        interrupted = max(now - self._begun - running - self._interrupted, 0.0)
        self._interrupted += interrupted
        return max(spent - interrupted, 0.0)


class WorkOwner(Protocol):
    """The server that does the work."""

    scheduler: Scheduler

    def end_iteration_soon(self) -> None:
        """Request a commit at the end of this iteration, or of the next one."""


class RequestWork:
    """Work of one connection that takes several iterations, in order; true while some is left.

    Args:
        owner: The server of the connection.
        link: The connection.
    """

    __slots__ = ("_left", "_link", "_owner")

    def __init__(self, owner: WorkOwner, link: ScheduledLink) -> None:
        self._owner = owner
        self._link = link
        # A deque takes 600 more bytes per connection, and few items are ever in it.
        self._left: list[Work] = []

    def __bool__(self) -> bool:
        return bool(self._left)

    def add(self, work: Work) -> None:
        """Put work at the end, and serve the connection in this iteration or a later one."""
        self._left.append(work)
        if not self._link.is_waiting:
            self._owner.scheduler.add(self._link)

    def clear(self) -> None:
        """Drop all work."""
        self._left.clear()

    def advance(self, until: float) -> bool:
        """Continue until that time of the clock; return True if work is left."""
        self._owner.end_iteration_soon()
        while self._left:
            work = self._left.pop(0)
            if work(until):
                self._left.insert(0, work)
            if read_clock() >= until:
                break
        return bool(self._left)


BATCH: Final = (16, 32 * 1024)
"""Frames and bytes of a batch of a connection that has authenticated."""
ANONYMOUS_BATCH: Final = (4, 8 * 1024)
"""Frames and bytes of a batch of any other connection."""
FIRST_FRAMES: Final = 2
"""Frames of a new connection that are served before others: enough to authenticate."""
SMALL_ANSWER: Final = 16 * 1024
"""Maximum mean size of answers for a whole batch."""
SLOW_FRAME_S: Final = 0.000_5
"""Maximum mean time of a frame for a whole batch."""
_ANSWERS: Final = 512 * 1024
_SECONDS: Final = 0.002


def smaller_batch(count: int, answer_size: int, frame_s: float) -> int:
    """Return the number of frames of a batch, based on the batch before.

    Args:
        count: Frames of a whole batch.
        answer_size: Mean size of their answers in bytes. The peer may not read them.
        frame_s: Mean time of a frame in seconds. Other connections wait meanwhile.
    """
    if answer_size > SMALL_ANSWER:
        count = min(count, _ANSWERS // answer_size)
    if frame_s > SLOW_FRAME_S:
        count = min(count, int(_SECONDS / frame_s))
    return max(1, count)
