"""Registry of connected clients: producers by group, consumers by group, and the notifications that a change causes.

A client appears with its first heartbeat. It disappears when its connection closes, when it unregisters, or 120 s after
its last heartbeat. Clients are distinguished by their connections, never by the client ids that they claim. So a client
cannot unregister, replace or answer for one of another connection. Client ids belong to users: two users may have the
same id, and the lookups of each one find its own client.

Clients rebalance at once when they are notified, and only every 20 s by themselves. A new member is
notified too: Java's lite pull consumer does not rebalance by itself when it starts. Changes are collected and taken
once per iteration of the event loop. So a hundred consumers that connect together cost one notification per member,
not a hundred. The first change of a group is notified at once, further ones after a pause. Otherwise a member
that comes and goes all the time would fill the connections of the others with notifications.
"""

from collections.abc import Iterable, Iterator

from mqguard.engine.fair_shares import FairQuota
from mqguard.engine.group_members import (
    ConnectedClient,
    Consumer,
    ConsumerGroup,
    ConsumerHeartbeat,
    Member,
    Subscription,
)
from mqguard.model.peer import Channel

MAX_UNITS = 1_000_000
"""Maximum memory for all clients, in units of about 150 bytes.

A membership of a group takes four units, each subscription one. Names and filters take one more for each 64 bytes, and
compiled filters take those of `SubscriptionFilter.units`.
"""
BYTES_PER_UNIT = 64
_UNITS_PER_MEMBERSHIP = 4
"""Units of the member and of the group, because the group may have no other member."""

CLIENT_LIFE_MS = 120_000
"""Time after which a client expires without a heartbeat (clients send one every 30 s)."""

NOTIFICATION_PAUSE_MS = 200
"""Minimum interval between two notifications of a group; each of its members adds a millisecond."""

MAX_SWEPT = 10_000
"""Maximum memberships that one call of `expire` checks, about 2 ms."""
_MAX_DECIDED = 1_000
"""Maximum groups and topics for which one call of `expel` checks permissions, about 5 ms."""


class Clients:
    """Connected clients of a broker, by group.

    Args:
        life_ms: See `CLIENT_LIFE_MS`.
        units: See `MAX_UNITS`.
    """

    def __init__(self, life_ms: int = CLIENT_LIFE_MS, units: int = MAX_UNITS) -> None:
        self._life_ms = life_ms
        self._shares = FairQuota(units)
        self._consumers: dict[str, ConsumerGroup] = {}
        self._producers: dict[str, dict[Channel, Member]] = {}
        self._consumer_channels: dict[Channel, set[str]] = {}
        self._producer_channels: dict[Channel, set[str]] = {}
        self._unswept: list[Channel] = []
        self._undecided: list[Channel] = []

    # Heartbeats

    def has_room(
        self, client: ConnectedClient, consuming: Iterable[ConsumerHeartbeat], producing: Iterable[str]
    ) -> bool:
        """Return True if there are enough units for a heartbeat, given those of its user and of all others."""
        channel, more = client.peer.channel, 0
        for heartbeat in consuming:
            group = self._consumers.get(heartbeat.group)
            member = group.members.get(channel) if group else None
            wanted = heartbeat.subscriptions
            if wanted is None:
                wanted = tuple(member.subscriptions.values()) if member else ()
            more += _units(heartbeat.group, client, wanted) - (member.units if member else 0)
        for name in producing:
            known = self._producers.get(name, _NO_MEMBERS).get(channel)
            more += _units(name, client) - (known.units if known else 0)
        return self._shares.allows(client.owner, more)

    def consume(self, client: ConnectedClient, consuming: ConsumerHeartbeat, now_ms: int) -> bool:
        """Add or update a consumer; return True if its group must be notified of a new member or subscription."""
        group = self._consumers.get(consuming.group)
        if group is None:
            group = self._consumers[consuming.group] = ConsumerGroup(consuming.group)
        channel = client.peer.channel
        known = group.members.get(channel)
        # Another user on the same connection does not take over the subscriptions of the first one.
        same = known is not None and known.client.user == client.user
        member = Consumer(
            client,
            now_ms,
            known.since_ms if known is not None and same else now_ms,
            known.units if known is not None else 0,
            consume_type=consuming.consume_type,
            message_model=consuming.message_model,
            consume_from=consuming.consume_from,
            subscriptions=known.subscriptions if known is not None and same else {},
        )
        group.put(channel, member)
        self._consumer_channels.setdefault(channel, set()).add(consuming.group)
        changed = known is None or not same or known.client.client_id != client.client_id
        if consuming.subscriptions is not None and group.set_subscriptions(member, consuming.subscriptions):
            changed = True
        elif not same:
            group.clear_view()
        self._count(consuming.group, member, known)
        return changed

    def produce(self, client: ConnectedClient, group: str, now_ms: int) -> None:
        """Add or update a producer."""
        channel = client.peer.channel
        members = self._producers.setdefault(group, {})
        known = members.get(channel)
        members[channel] = Member(client, now_ms, now_ms if known is None else known.since_ms)
        self._producer_channels.setdefault(channel, set()).add(group)
        self._count(group, members[channel], known)

    # Departures

    def stop_consuming(self, channel: Channel, client_id: str, group: str) -> bool:
        """Remove a consumer from a group; return False if the connection has no such consumer with this id."""
        found = self._consumers.get(group)
        member = found.members.get(channel) if found else None
        if member is None or member.client.client_id != client_id:
            return False
        self._drop_consumer(group, channel)
        return True

    def stop_producing(self, channel: Channel, client_id: str, group: str) -> bool:
        """Remove a producer from a group; return False if the connection has no such producer with this id."""
        member = self._producers.get(group, {}).get(channel)
        if member is None or member.client.client_id != client_id:
            return False
        self._drop_producer(group, channel)
        return True

    def leave(self, channel: Channel) -> list[str]:
        """Remove all clients of a closed connection, and return the consumer groups that lost a member."""
        for group in list(self._producer_channels.get(channel, ())):
            self._drop_producer(group, channel)
        groups = sorted(self._consumer_channels.get(channel, ()))
        for group in groups:
            self._drop_consumer(group, channel)
        return groups

    def expire(self, now_ms: int) -> tuple[list[str], list[Channel]]:
        """Remove clients without heartbeats, on a bounded number of connections: see `is_sweeping`.

        Returns:
            The consumer groups that lost a member, and the connections to close.
        """
        if not self._unswept:
            self._unswept = list({*self._consumer_channels, *self._producer_channels})
        changed: set[str] = set()
        expired: list[Channel] = []
        checked = 0
        while self._unswept and checked < MAX_SWEPT:
            channel = self._unswept.pop()
            members = self._members_on(channel)
            checked += 1 + len(members)
            late = sum(now_ms - member.seen_ms >= self._life_ms for member in members)
            # A connection belongs to one process, so the process lives while one of its groups has heartbeats.
            if late and late == len(members):
                expired.append(channel)
                changed.update(self.leave(channel))
            elif late:
                changed.update(self._drop_expired(channel, now_ms))
        return sorted(changed), expired

    @property
    def is_sweeping(self) -> bool:
        """True if `expire` has connections left to check."""
        return bool(self._unswept)

    def rights_changed(self) -> None:
        """Make `expel` check all consumers, because users or policies have changed."""
        self._undecided = list(self._consumer_channels)

    def expel(self) -> list[str]:
        """Remove consumers on some connections whose users no longer have permission for their subscriptions.

        Returns:
            The consumer groups that lost a member.
        """
        changed: set[str] = set()
        decided = 0
        while self._undecided and decided < _MAX_DECIDED:
            channel = self._undecided.pop()
            for group in list(self._consumer_channels.get(channel, ())):
                member = self._consumers[group].members[channel]
                decided += 1 + len(member.subscriptions)
                # If only a slow plugin can decide, the next heartbeat is checked instead.
                if not member.client.may_consume(group, member.subscriptions, otherwise=True):
                    self._drop_consumer(group, channel)
                    changed.add(group)
        return sorted(changed)

    # Queries

    def group(self, name: str) -> ConsumerGroup | None:
        """Return the members of a consumer group, None if it has none."""
        return self._consumers.get(name)

    def duplicate_of(self, client: ConnectedClient, group: str) -> ConnectedClient | None:
        """Return another consumer of a group with the same user and client id; see `ConsumerGroup.duplicate_of`."""
        found = self._consumers.get(group)
        return found.duplicate_of(client.peer.channel) if found else None

    def groups(self) -> Iterable[ConsumerGroup]:
        """Return all consumer groups with members."""
        return self._consumers.values()

    def subscription(self, group: str, topic: str) -> Subscription | None:
        """Return a group's subscription to a topic, the newest one of its members; None if there is none."""
        found = self._consumers.get(group)
        return found.subscriptions.get(topic) if found else None

    def groups_of_topic(self, topic: str) -> list[str]:
        """Return the groups with members that subscribe to a topic."""
        return sorted(
            group.name
            for group in self._consumers.values()
            if any(topic in member.subscriptions for member in group.members.values())
        )

    def producers(self, group: str) -> list[Member]:
        """Return the connected producers of a group."""
        return list(self._producers.get(group, {}).values())

    def producer(self, group: str, channel: Channel) -> Member | None:
        """Return the producer of a group on a connection, None if there is none."""
        return self._producers.get(group, _NO_MEMBERS).get(channel)

    def all_producers(self) -> dict[str, list[Member]]:
        """Return the connected producers by group."""
        return {group: list(members.values()) for group, members in self._producers.items()}

    def groups_on(self, channel: Channel) -> int:
        """Return the number of groups of a connection, as consumer and as producer."""
        return len(self._consumer_channels.get(channel, ())) + len(self._producer_channels.get(channel, ()))

    def users_on(self, channel: Channel, client_id: str) -> set[str | None]:
        """Return the users that have registered a client id over a connection."""
        return {member.client.user for member in self._members_on(channel) if member.client.client_id == client_id}

    # Bookkeeping

    def _count(self, group: str, member: Member, known: Member | None) -> None:
        """Count the units of a member instead of those that it had before."""
        if known is not None:
            self._shares.change(known.client.owner, -known.units)
        wanted = member.subscriptions.values() if isinstance(member, Consumer) else ()
        member.units = _units(group, member.client, wanted)
        self._shares.change(member.client.owner, member.units)

    def _members_on(self, channel: Channel) -> list[Member]:
        consumers: list[Member] = [
            self._consumers[group].members[channel] for group in self._consumer_channels.get(channel, ())
        ]
        return consumers + [self._producers[group][channel] for group in self._producer_channels.get(channel, ())]

    def _drop_expired(self, channel: Channel, now_ms: int) -> list[str]:
        for group in list(self._producer_channels.get(channel, ())):
            if now_ms - self._producers[group][channel].seen_ms >= self._life_ms:
                self._drop_producer(group, channel)
        expired = [
            group
            for group in self._consumer_channels.get(channel, ())
            if now_ms - self._consumers[group].members[channel].seen_ms >= self._life_ms
        ]
        for group in expired:
            self._drop_consumer(group, channel)
        return expired

    def _drop_consumer(self, group: str, channel: Channel) -> None:
        found = self._consumers[group]
        member = found.remove(channel)
        self._shares.change(member.client.owner, -member.units)
        found.clear_view()
        if not found.members:
            del self._consumers[group]
        _discard(self._consumer_channels, channel, group)

    def _drop_producer(self, group: str, channel: Channel) -> None:
        members = self._producers[group]
        member = members.pop(channel)
        self._shares.change(member.client.owner, -member.units)
        if not members:
            del self._producers[group]
        _discard(self._producer_channels, channel, group)


def _units(group: str, client: ConnectedClient, subscriptions: Iterable[Subscription] = ()) -> int:
    """Return the units of a membership."""
    names = _UNITS_PER_MEMBERSHIP + (_width(group) + _width(client.client_id)) // BYTES_PER_UNIT
    return names + sum([1 + _width(one.expression) // BYTES_PER_UNIT + one.filter.units for one in subscriptions])


def _width(text: str) -> int:
    """Return the maximum bytes of a text in memory."""
    return len(text) if text.isascii() else 4 * len(text)


_NO_MEMBERS: dict[Channel, Member] = {}


def _discard(table: dict[Channel, set[str]], channel: Channel, group: str) -> None:
    groups = table[channel]
    groups.discard(group)
    if not groups:
        del table[channel]


class RebalanceNotifications:
    """Changes of membership of which the members have not been notified yet."""

    def __init__(self) -> None:
        self._changed: set[str] = set()
        self._paused: dict[str, int] = {}

    def __bool__(self) -> bool:
        return bool(self._changed)

    def changed(self, group: str) -> None:
        """Add a changed group."""
        self._changed.add(group)

    def take(self, clients: Clients, now_ms: int) -> Iterator[tuple[Channel, str]]:
        """Yield each connection to notify, with the group. Groups that were notified just now are left for later."""
        if len(self._paused) > _MAX_PAUSED:
            self._paused = {name: end for name, end in self._paused.items() if now_ms < end}
        due = sorted(name for name in self._changed if now_ms >= self._paused.get(name, 0))
        self._changed.difference_update(due)
        for name in due:
            group = clients.group(name)
            if group is None:
                self._paused.pop(name, None)
                continue
            self._paused[name] = now_ms + NOTIFICATION_PAUSE_MS + len(group.members)
            for channel in group.members:
                yield channel, name


_MAX_PAUSED = 1_024
