"""Checks of transactions: the broker asks a producer for the result of a transaction whose end has not arrived.

A check goes to a connection of the producer group. Its user must have the permission to publish to the topic of the
message at this moment. The first check goes to the connection that sent the half message, later ones to all members one
after the other. If the connection of a check ends before the answer, another connection gets the check. All work is
bounded for each tick.
"""

from collections.abc import Callable

from mqguard.engine.clients import Clients
from mqguard.engine.discarded_transactions import DiscardedTransactions
from mqguard.engine.errors import StoreDown
from mqguard.engine.group_members import Member
from mqguard.engine.transactions import PendingTransaction, Transactions
from mqguard.model import properties
from mqguard.model.peer import Channel
from mqguard.model.process import Clock
from mqguard.model.record import Record

MAX_CHECKS_PER_TICK = 256
"""Maximum checks and discarded transactions of one tick."""
MAX_BYTES_PER_TICK = 1024 * 1024
"""Maximum bytes of half messages that one tick reads. One message may be larger."""
MAX_DECISIONS_PER_TICK = 500
"""Maximum permissions that one tick decides, about 2 ms."""
MAX_MEMBERS_PER_TICK = 10_000
"""Maximum members of producer groups that one tick looks at, about 2 ms."""
MAX_OPEN_PER_CHANNEL = 1_000
"""Maximum checks of one connection without an answer. Java clients queue 2,000, and drop more."""
MAX_OPEN_BYTES_PER_CHANNEL = 8 * 1024 * 1024
"""Maximum bytes of these checks, far below the unread bytes that close a connection. One message may be larger."""

SendCheck = Callable[[Channel, PendingTransaction, Record], None]
"""Function that sends a check with its message to a client."""


class OpenChecks:
    """Checks that have no answer yet, by connection and by transaction."""

    def __init__(self) -> None:
        self._by_channel: dict[Channel, dict[int, int]] = {}
        self._bytes: dict[Channel, int] = {}
        self._channels: dict[int, Channel] = {}

    def __len__(self) -> int:
        return len(self._channels)

    def has_room(self, channel: Channel, size: int) -> bool:
        """Return True if a connection may get another check of that size."""
        open_ = self._by_channel.get(channel)
        return open_ is None or (
            len(open_) < MAX_OPEN_PER_CHANNEL and self._bytes[channel] + size <= MAX_OPEN_BYTES_PER_CHANNEL
        )

    def add(self, channel: Channel, number: int, size: int) -> None:
        """Add the check of a transaction; it replaces an earlier one."""
        self.remove(number)
        self._by_channel.setdefault(channel, {})[number] = size
        self._bytes[channel] = self._bytes.get(channel, 0) + size
        self._channels[number] = channel

    def remove(self, number: int) -> None:
        """Remove the check of a transaction, if there is one."""
        channel = self._channels.pop(number, None)
        if channel is None:
            return
        open_ = self._by_channel[channel]
        self._bytes[channel] -= open_.pop(number)
        if not open_:
            del self._by_channel[channel], self._bytes[channel]

    def leave(self, channel: Channel) -> list[int]:
        """Remove the checks of a closed connection, and return the numbers of their transactions."""
        numbers = list(self._by_channel.get(channel, ()))
        for number in numbers:
            self.remove(number)
        return numbers


class TransactionChecks:
    """Checks of all pending transactions.

    Args:
        transactions: The transactions.
        discarded: Those whose checks gave no result.
        clients: Connected producers.
        send: See `SendCheck`.
        clock: Clock.
    """

    def __init__(
        self,
        transactions: Transactions,
        discarded: DiscardedTransactions,
        clients: Clients,
        send: SendCheck,
        clock: Clock,
    ) -> None:
        self._transactions = transactions
        self._discarded = discarded
        self._clients = clients
        self._send = send
        self._clock = clock
        self._open = OpenChecks()
        self._turn = 0

    def __len__(self) -> int:
        return len(self._open)

    def tick(self) -> None:
        """Send the checks that are due, and discard transactions that had their last check.

        The changes are staged; the caller commits them.

        Raises:
            StoreDown: The store cannot be read now.
        """
        transactions = self._transactions
        transactions.release()
        if not transactions.can_write:
            return
        budget = _TickBudget()
        for pending in transactions.take(MAX_CHECKS_PER_TICK):
            if budget.is_spent:
                transactions.put_back(pending)
                continue
            try:
                self._check(pending, budget)
            except StoreDown:
                transactions.put_back(pending)
                raise
        self._discarded.forget_deleted()

    def answered(self, pending: PendingTransaction) -> None:
        """Note that a client has answered the check of a transaction."""
        self._open.remove(pending.number)

    def leave(self, channel: Channel) -> None:
        """Let the checks of a closed connection go to others."""
        for number in self._open.leave(channel):
            self._transactions.ask_again(number)

    def _check(self, pending: PendingTransaction, budget: "_TickBudget") -> None:
        transactions = self._transactions
        self._open.remove(pending.number)
        is_repeated = pending.due > self._clock.monotonic_ms()
        if not is_repeated and transactions.is_over(pending):
            self._discarded.add(pending)
            budget.bytes -= pending.size
            return
        member, is_complete = self._choose(pending, budget)
        if member is None and not is_complete:
            transactions.put_back(pending)
            return
        if member is None or not self._has_room(member, pending):
            # The check is not sent, so it does not count.
            if is_repeated:
                pending.asks_again = False
            else:
                transactions.postpone(pending)
            return
        message = transactions.half_message(pending)
        budget.bytes -= pending.size
        if is_repeated:
            pending.asks_again = False
        else:
            # A damaged message counts too, so that its transaction ends.
            transactions.count_check(pending)
        if message is not None:
            self._ask(member.client.peer.channel, pending, message)

    def _ask(self, channel: Channel, pending: PendingTransaction, message: Record) -> None:
        pairs = properties.parse(message.properties.decode())
        pairs[properties.TRANSACTION_CHECK_TIMES] = str(pending.checks)
        message.topic = pairs[properties.REAL_TOPIC]
        message.queue_id = int(pairs[properties.REAL_QID])
        message.properties = properties.text_of(pairs).encode()
        self._open.add(channel, pending.number, pending.size)
        self._send(channel, pending, message)

    def _choose(self, pending: PendingTransaction, budget: "_TickBudget") -> tuple[Member | None, bool]:
        """Return the member to ask, None if there is none; and False if not all members were looked at.

        If all members have too many checks, it is one of them.
        """
        if not pending.checks and pending.channel is not None:
            own = self._clients.producer(pending.group, pending.channel)
            if own is not None and budget.may_publish(own, pending) and self._has_room(own, pending):
                return own, True
        members = budget.members_of(pending.group, self._clients)
        full = None
        for _ in members:
            if budget.is_spent:
                return None, False
            self._turn += 1
            budget.members -= 1
            member = members[self._turn % len(members)]
            if not budget.may_publish(member, pending):
                continue
            if self._has_room(member, pending):
                return member, True
            full = member
        return full, True

    def _has_room(self, member: Member, pending: PendingTransaction) -> bool:
        return self._open.has_room(member.client.peer.channel, pending.size)


class _TickBudget:
    """Work that one tick may still do, and what it has found out."""

    def __init__(self) -> None:
        self.bytes = MAX_BYTES_PER_TICK
        self.members = MAX_MEMBERS_PER_TICK
        self._allowed: dict[tuple[Channel, str], bool] = {}
        self._groups: dict[str, list[Member]] = {}

    @property
    def is_spent(self) -> bool:
        return self.bytes <= 0 or self.members <= 0 or len(self._allowed) >= MAX_DECISIONS_PER_TICK

    def members_of(self, group: str, clients: Clients) -> list[Member]:
        """Return the producers of a group."""
        found = self._groups.get(group)
        if found is None:
            found = self._groups[group] = clients.producers(group)
        return found

    def may_publish(self, member: Member, pending: PendingTransaction) -> bool:
        """Return True if the user of a member may publish to the topic of a transaction now."""
        client = member.client
        key = client.peer.channel, pending.topic
        allowed = self._allowed.get(key)
        if allowed is None:
            # If only a slow plugin can decide it: it has allowed the user that sent the half message.
            allowed = self._allowed[key] = client.may_publish(pending.topic, otherwise=client.owner == pending.owner)
        return allowed
