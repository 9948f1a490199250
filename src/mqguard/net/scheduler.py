"""Divides the time of each turn of the event loop between those who send.

A connection whose bytes have arrived waits here, undecoded, until the turn serves it. An account is a user, or the
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
# Rule 2: the account that has used least time is served first, and pays for what it takes, reading included.
# Rule 3: a turn begins no request after its budget is used up. What waits then is not read further.
# Rule 4: anonymous connections together have a small budget of their own. Overdraft counts against the next turns.
# Rule 5: a large request has a turn of its own, so that no answer of others waits for its commit. A turn ends with a
#   part of a request that takes several turns.
# Rule 6: a connection that has just been accepted does not wait behind the others of its account. Of those, the one
# that has used least time is served first: however many busy ones a user has, a quiet one waits for few of them.


BUDGET_S: Final = 0.006
"""Seconds of a turn for connections that have authenticated. A turn ends with one commit for all of its requests."""
ANONYMOUS_BUDGET_S: Final = 0.004
"""Seconds of a turn for all others together, TLS handshakes included."""
SLICE_S: Final = 0.002
"""Seconds after which a connection waits until others were served."""
ANONYMOUS_SLICE_S: Final = 0.0005

MAX_ANSWERS: Final = 32 * 1024 * 1024
"""Bytes of answers of one turn. The rest of the requests waits for the next one, when it is known which peers read."""
_LARGE: Final = 256 * 1024
"""Bytes of a request that takes long to serve and to store."""
_MAX_OVERDRAFT_S: Final = 0.2
_MAX_ACCOUNTS: Final = 4_096
_NEVER: Final = float("inf")

_log = logging.getLogger(__name__)
_clock = time.perf_counter


class Account:
    """Time and memory that one user, or one address block, uses.

    Attributes:
        key: Name of the user, or the address block.
        lane: Accounts with which it shares a budget.
        used: Seconds used, as compared with other accounts of the lane.
        held: Bytes that the connections hold.
        links: Number of connections.
        floor: Seconds that the connection that was served last had used.
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
        self.fresh: collections.deque[Source] = collections.deque()
        self.waiting: list[tuple[float, int, Source]] = []
        self.is_active = False

    def hold(self, change: int) -> None:
        """Count bytes that a connection holds, or no longer holds."""
        self.held += change
        self.lane.held += change


class Source(Protocol):
    """A connection with bytes to be served."""

    peer: Peer
    account: Account
    used: float
    """Seconds used, as compared with other connections of the account."""
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
        """True if a large frame, most of which is held, ends with what has arrived."""
        ...  # pragma: no cover

    def serve(self, until: float) -> bool:
        """Serve what has arrived, one batch at least; True if more is left at that time of the clock."""
        ...  # pragma: no cover

    def stop_reading(self) -> None:
        """Read no more until what has arrived was served."""
        ...  # pragma: no cover

    def abort(self) -> None:
        """Drop the connection."""
        ...  # pragma: no cover


class Server(Protocol):
    """A listener whose turns end with those of the scheduler."""

    is_turn_due: bool

    def end_turn(self) -> None:
        """Commit, and write what was answered."""
        ...  # pragma: no cover


class Lane:
    """Accounts that share a budget.

    Attributes:
        budget_s: Seconds of a turn.
        slice_s: Seconds after which a connection waits until others were served.
        held: Bytes that the connections hold.
        overdraft_s: Seconds by which the budget was overdrawn and that later turns give back.
        overdrafts: Number of turns that have overdrawn the budget.
        overdrawn_s: Seconds by which all of them have.
        floor: Seconds that every account has used that waits, or might have used if it had waited.
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
        self._accounts: dict[str, Account] = {}
        self._max_accounts = _MAX_ACCOUNTS
        self.floor = 0.0
        self._numbers = itertools.count()

    def account(self, key: str) -> Account:
        """Return the account of a user or an address block."""
        found = self._accounts.get(key)
        if found is None:
            if len(self._accounts) >= self._max_accounts:
                self._forget()
            found = self._accounts[key] = Account(key, self)
        return found

    def _forget(self) -> None:
        """Forget accounts without connections; those that owe time only if there are too many."""
        kept = {key: one for key, one in self._accounts.items() if one.links or one.used > self.floor}
        if len(kept) > _MAX_ACCOUNTS // 2:
            kept = {key: one for key, one in kept.items() if one.links}
        self._accounts = kept
        self._max_accounts = max(_MAX_ACCOUNTS, 2 * len(kept))

    def activate(self, account: Account) -> None:
        """Note that connections of an account wait."""
        account.is_active = True
        # An account that was idle saves up no time, but comes before those that have waited with as much.
        account.used = max(account.used, self.floor - self.slice_s)
        heapq.heappush(self.active, (account.used, next(self._numbers), account))

    def next(self) -> Account:
        """Take the account that has used least."""
        self.floor, _, account = heapq.heappop(self.active)
        return account


class Scheduler:
    """Serves connections in turns. Several listeners may share one, and so the time of the event loop.

    Attributes:
        queued: Bytes of answers that this turn has made.
    """

    def __init__(self) -> None:
        self.queued = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._servers: list[Server] = []
        self._authenticated = Lane(BUDGET_S, SLICE_S)
        self._anonymous = Lane(ANONYMOUS_BUDGET_S, ANONYMOUS_SLICE_S)
        self._arrived: list[Source] = []
        self._postponed: collections.deque[Source] = collections.deque()
        self._has_served = False
        self._numbers = itertools.count()
        self._is_due = False

    @property
    def lanes(self) -> dict[str, Lane]:
        """The lanes by name."""
        return {"authenticated": self._authenticated, "anonymous": self._anonymous}

    def attach(self, loop: asyncio.AbstractEventLoop, server: Server) -> None:
        """Run the turns of a server in this loop."""
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

    def add(self, source: Source) -> None:
        """Serve a connection in this turn or a later one."""
        source.is_waiting = True
        self._arrived.append(source)
        self._enqueue(source)
        if not self._is_due:
            self.wake()

    def wake(self) -> None:
        """Have a turn, although nothing may have arrived."""
        if not self._is_due and self._loop is not None:
            self._is_due = True
            self._loop.call_soon(self._turn)

    def _enqueue(self, source: Source) -> None:
        account = source.account
        if source.was_served:
            # A connection that was idle saves up no time, but comes before those that have waited with as much.
            source.used = max(source.used, account.floor - account.lane.slice_s)
            heapq.heappush(account.waiting, (source.used, next(self._numbers), source))
        else:
            account.fresh.append(source)
        if not account.is_active:
            account.lane.activate(account)

    def _turn(self) -> None:
        self._has_served = False
        if self._postponed:
            self._serve_postponed()
        else:
            if self._authenticated.active:
                self._serve(self._authenticated, self._authenticated.budget_s)
            if self._anonymous.active:
                self._serve_anonymous()
        self._is_due = False
        for server in self._servers:
            if server.is_turn_due:
                server.end_turn()
        self.queued = 0
        arrived, self._arrived = self._arrived, []
        if self._authenticated.active or self._anonymous.active or self._postponed:
            for source in arrived:
                if source.is_waiting:
                    source.stop_reading()
            self.wake()

    def _serve_anonymous(self) -> None:
        lane = self._anonymous
        budget = lane.budget_s - lane.overdraft_s
        if budget > 0:
            lane.overdraft_s = min(self._serve(lane, budget), _MAX_OVERDRAFT_S)
        else:
            lane.overdraft_s -= lane.budget_s

    def _serve(self, lane: Lane, budget_s: float) -> float:
        """Serve accounts of a lane; the seconds by which the budget was overdrawn."""
        now = _clock()
        end = now + budget_s
        while lane.active and now < end and self.queued < MAX_ANSWERS:
            account = lane.next()
            # One account goes on while it has used least, so that many connections of one user cost little.
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
        """Serve one large request, and nothing else in this turn."""
        source = self._postponed.popleft()
        account, now = source.account, _clock()
        then = self._serve_source(source, account, now, now)
        if account.lane is self._anonymous:
            account.lane.overdraft_s = min(account.lane.overdraft_s + then - now, _MAX_OVERDRAFT_S)

    def _serve_next(self, account: Account, now: float, end: float) -> float:
        """Serve the next connection of an account; the time then, or the end of the budget if the turn ends."""
        if account.fresh:
            source = account.fresh.popleft()
        else:
            account.floor, _, source = heapq.heappop(account.waiting)
        if source.held < _LARGE or not source.is_heavy:
            return self._serve_source(source, account, now, end)
        if self._has_served:
            self._postponed.append(source)
            return end
        return max(self._serve_source(source, account, now, end), end)

    def _serve_source(self, source: Source, account: Account, now: float, end: float) -> float:
        """Serve a connection; the time then."""
        self._has_served = True
        until = now + account.lane.slice_s
        try:
            is_left = source.serve(until if until < end else end)  # noqa: FURB136 - a call less for each event
        except Exception:  # noqa: BLE001 - an internal error costs at most one connection
            _log.exception("serving %s failed inside", source.peer.address)
            source.abort()
            is_left = False
        then = _clock()
        account.used += then - now
        source.used += then - now
        if not is_left:
            source.is_waiting = False
            return then
        self._enqueue(source)
        # The turn ends with a part of long work: its commit takes as long as the part itself.
        return max(then, end) if source.work else then


class WorkOwner(Protocol):
    """The server whose turns do the work."""

    scheduler: Scheduler

    def end_turn_soon(self) -> None:
        """Have this turn committed, or the next one."""


class RequestWork:
    """Work in the order in which it was begun; true while some is left.

    Args:
        owner: The server of the connection.
        source: The connection.
    """

    __slots__ = ("_left", "_owner", "_source")

    def __init__(self, owner: WorkOwner, source: Source) -> None:
        self._owner = owner
        self._source = source
        # A deque takes 600 bytes more of each connection, and few items are ever in it.
        self._left: list[Work] = []

    def __bool__(self) -> bool:
        return bool(self._left)

    def add(self, work: Work) -> None:
        """Put work at the end, and serve the connection in this turn or a later one."""
        self._left.append(work)
        if not self._source.is_waiting:
            self._owner.scheduler.add(self._source)

    def clear(self) -> None:
        """Drop all work."""
        self._left.clear()

    def advance(self, until: float) -> bool:
        """Go on until that time of the clock, and return True if more is left."""
        self._owner.end_turn_soon()
        while self._left:
            work = self._left.pop(0)
            if work(until):
                self._left.insert(0, work)
            if _clock() >= until:
                break
        return bool(self._left)


BATCH: Final = (16, 32 * 1024)
"""Frames and bytes of a batch of a connection that has authenticated."""
ANONYMOUS_BATCH: Final = (4, 8 * 1024)
"""Frames and bytes of a batch of any other connection."""
FIRST_FRAMES: Final = 2
"""Frames of a new connection that are served before others: then it has authenticated, or waits with the rest."""
SMALL_ANSWER: Final = 16 * 1024
"""Bytes of an answer up to which batches are whole."""
SLOW_FRAME_S: Final = 0.000_5
"""Seconds that a frame takes up to which batches are whole."""
_ANSWERS: Final = 512 * 1024
_SECONDS: Final = 0.002


def smaller_batch(count: int, answer_size: int, frame_s: float) -> int:
    """Return how many frames a batch has, if those of the batch before are a guide.

    Args:
        count: Frames of a whole batch.
        answer_size: Mean size of their answers in bytes: the peer may not read them.
        frame_s: Mean time of a frame in seconds: others wait meanwhile.
    """
    if answer_size > SMALL_ANSWER:
        count = min(count, _ANSWERS // answer_size)
    if frame_s > SLOW_FRAME_S:
        count = min(count, int(_SECONDS / frame_s))
    return max(1, count)
