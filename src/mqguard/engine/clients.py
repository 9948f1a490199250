"""Registry of connected clients: producers by group, consumers by group, and the notifications that a change causes.

A client appears with its first heartbeat. It disappears when its connection closes, when it unregisters, or 120 s after
its last heartbeat. Clients are distinguished by their connections, never by the client ids that they claim. So a client
cannot unregister, replace or answer for one of another connection. Client ids belong to users: two users may have the
same id, and the lookups of each one find its own client.

Clients rebalance at once when they are notified (request 40), and only every 20 s by themselves. A new member is
notified too: Java's lite pull consumer does not rebalance by itself when it starts. Changes are collected and taken
once per iteration of the event loop, so that a hundred consumers that connect together cost one notification per
member, not a hundred. The first change of a group is notified at once, further ones after a pause. Otherwise a member
that comes and goes all the time would fill the connections of the others with notifications.
"""

from collections.abc import Iterable, Iterator

from mqguard.engine.fair_shares import Shares
from mqguard.engine.group_members import Client, Consumer, ConsumerGroup, ConsumerHeartbeat, Member, Subscription
from mqguard.model.peer import Channel

MAX_PLACES = 1_000_000
"""What all clients together may make this server remember, in places: one is some 150 bytes.

A membership of a group takes four places, each subscription one. Names and filters take one more for each 64 bytes.
"""
BYTES_PER_PLACE = 64
_PER_MEMBERSHIP = 4
"""The member, and the group, which may have no other member."""

CLIENT_LIFE_MS = 120_000
"""How long a client lives without a heartbeat (clients send one every 30 s)."""

PAUSE_MS = 200
"""Minimum interval between two notices of one group, and a millisecond more for each of its members."""

_MAX_SWEPT = 10_000
"""Memberships that are looked at in one turn, some 2 ms."""
_MAX_DECIDED = 1_000
"""Groups and topics whose consumers' rights are decided in one turn, some 5 ms."""


class Clients:
    """All live clients of a broker."""

    def __init__(self, life_ms: int = CLIENT_LIFE_MS, places: int = MAX_PLACES) -> None:
        self._life_ms = life_ms
        self._shares = Shares(places)
        self._consumers: dict[str, ConsumerGroup] = {}
        self._producers: dict[str, dict[Channel, Member]] = {}
        self._consumer_channels: dict[Channel, set[str]] = {}
        self._producer_channels: dict[Channel, set[str]] = {}
        self._unswept: list[Channel] = []
        self._undecided: list[Channel] = []

    # Heard of

    def has_room(self, client: Client, consuming: Iterable[ConsumerHeartbeat], producing: Iterable[str]) -> bool:
        """Return whether a heartbeat fits beside what its user and all others make this server remember."""
        channel, more = client.peer.channel, 0
        for one in consuming:
            group = self._consumers.get(one.group)
            member = group.members.get(channel) if group else None
            wanted = one.subscriptions
            if wanted is None:
                wanted = tuple(member.subscriptions.values()) if member else ()
            more += _places(one.group, client, wanted) - (member.places if member else 0)
        for name in producing:
            known = self._producers.get(name, _NO_MEMBERS).get(channel)
            more += _places(name, client) - (known.places if known else 0)
        return self._shares.allows(client.owner, more)

    def consume(self, client: Client, consuming: ConsumerHeartbeat, now_ms: int) -> bool:
        """Note a consumer's heartbeat; whether its group must be told (a new member, or other subscriptions)."""
        group = self._consumers.get(consuming.group)
        if group is None:
            group = self._consumers[consuming.group] = ConsumerGroup(consuming.group)
        channel = client.peer.channel
        known = group.members.get(channel)
        # Another user over the same connection does not take over what the first one subscribed to.
        same = known is not None and known.client.user == client.user
        member = Consumer(
            client,
            now_ms,
            known.since_ms if known is not None and same else now_ms,
            known.places if known is not None else 0,
            consume_type=consuming.consume_type,
            message_model=consuming.message_model,
            consume_from=consuming.consume_from,
            subscriptions=known.subscriptions if known is not None and same else {},
        )
        group.members[channel] = member
        self._consumer_channels.setdefault(channel, set()).add(consuming.group)
        changed = known is None or not same or known.client.client_id != client.client_id
        if consuming.subscriptions is not None and group.set_subscriptions(member, consuming.subscriptions):
            changed = True
        elif not same:
            group.forget_view()
        self._count(consuming.group, member, known)
        return changed

    def produce(self, client: Client, group: str, now_ms: int) -> None:
        """Note a producer's heartbeat."""
        channel = client.peer.channel
        members = self._producers.setdefault(group, {})
        known = members.get(channel)
        members[channel] = Member(client, now_ms, now_ms if known is None else known.since_ms)
        self._producer_channels.setdefault(channel, set()).add(group)
        self._count(group, members[channel], known)

    # Gone

    def stop_consuming(self, channel: Channel, client_id: str, group: str) -> bool:
        """Take a consumer out of a group; whether it was there under this id on this very connection."""
        found = self._consumers.get(group)
        member = found.members.get(channel) if found else None
        if member is None or member.client.client_id != client_id:
            return False
        self._drop_consumer(group, channel)
        return True

    def stop_producing(self, channel: Channel, client_id: str, group: str) -> bool:
        """Take a producer out of a group; whether it was there under this id on this very connection."""
        member = self._producers.get(group, {}).get(channel)
        if member is None or member.client.client_id != client_id:
            return False
        self._drop_producer(group, channel)
        return True

    def leave(self, channel: Channel) -> list[str]:
        """Take out everything of a closed connection; answers the consumer groups that lost a member."""
        for group in list(self._producer_channels.get(channel, ())):
            self._drop_producer(group, channel)
        groups = sorted(self._consumer_channels.get(channel, ()))
        for group in groups:
            self._drop_consumer(group, channel)
        return groups

    def expire(self, now_ms: int) -> tuple[list[str], list[Channel]]:
        """Take out clients that fell silent, of a bounded number of connections: see `is_sweeping`.

        Returns:
            The consumer groups that lost a member, and the connections that should be closed.
        """
        if not self._unswept:
            self._unswept = list({*self._consumer_channels, *self._producer_channels})
        changed: set[str] = set()
        silent: list[Channel] = []
        looked_at = 0
        while self._unswept and looked_at < _MAX_SWEPT:
            channel = self._unswept.pop()
            members = self._members_on(channel)
            looked_at += 1 + len(members)
            late = sum(now_ms - member.seen_ms >= self._life_ms for member in members)
            # A connection serves one process: while one of its groups is heard of, the process lives.
            if late and late == len(members):
                silent.append(channel)
                changed.update(self.leave(channel))
            elif late:
                changed.update(self._drop_silent(channel, now_ms))
        return sorted(changed), silent

    @property
    def is_sweeping(self) -> bool:
        """True if `expire` has connections left to look at."""
        return bool(self._unswept)

    def rights_changed(self) -> None:
        """Note that users or policies have changed: `expel` has all consumers to look at."""
        self._undecided = list(self._consumer_channels)

    def expel(self) -> list[str]:
        """Take out consumers whose users may not consume any more what they subscribe to, of some connections.

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
                # What only a plugin can say is said about the next heartbeat.
                if not member.client.may_consume(group, member.subscriptions, otherwise=True):
                    self._drop_consumer(group, channel)
                    changed.add(group)
        return sorted(changed)

    # Asked for

    def group(self, name: str) -> ConsumerGroup | None:
        """The live side of a consumer group, None if nobody is online."""
        return self._consumers.get(name)

    def groups(self) -> Iterable[ConsumerGroup]:
        """All consumer groups with members."""
        return self._consumers.values()

    def subscription(self, group: str, topic: str) -> Subscription | None:
        """What a live group wants of a topic, the newest of its members' wishes."""
        found = self._consumers.get(group)
        return found.subscriptions.get(topic) if found else None

    def groups_of_topic(self, topic: str) -> list[str]:
        """Live groups that subscribe to a topic."""
        return sorted(
            group.name
            for group in self._consumers.values()
            if any(topic in member.subscriptions for member in group.members.values())
        )

    def producers(self, group: str) -> list[Member]:
        """Live producers of a group."""
        return list(self._producers.get(group, {}).values())

    def all_producers(self) -> dict[str, list[Member]]:
        """Live producers by group."""
        return {group: list(members.values()) for group, members in self._producers.items()}

    def groups_on(self, channel: Channel) -> int:
        """How many groups a connection is in, as consumer and as producer."""
        return len(self._consumer_channels.get(channel, ())) + len(self._producer_channels.get(channel, ()))

    def users_on(self, channel: Channel, client_id: str) -> set[str | None]:
        """The users that have registered a client id over a connection."""
        return {member.client.user for member in self._members_on(channel) if member.client.client_id == client_id}

    # Bookkeeping

    def _count(self, group: str, member: Member, known: Member | None) -> None:
        """Count the places of a member in place of those that it had."""
        if known is not None:
            self._shares.change(known.client.owner, -known.places)
        wanted = member.subscriptions.values() if isinstance(member, Consumer) else ()
        member.places = _places(group, member.client, wanted)
        self._shares.change(member.client.owner, member.places)

    def _members_on(self, channel: Channel) -> list[Member]:
        consumers: list[Member] = [
            self._consumers[group].members[channel] for group in self._consumer_channels.get(channel, ())
        ]
        return consumers + [self._producers[group][channel] for group in self._producer_channels.get(channel, ())]

    def _drop_silent(self, channel: Channel, now_ms: int) -> list[str]:
        for group in list(self._producer_channels.get(channel, ())):
            if now_ms - self._producers[group][channel].seen_ms >= self._life_ms:
                self._drop_producer(group, channel)
        silent = [
            group
            for group in self._consumer_channels.get(channel, ())
            if now_ms - self._consumers[group].members[channel].seen_ms >= self._life_ms
        ]
        for group in silent:
            self._drop_consumer(group, channel)
        return silent

    def _drop_consumer(self, group: str, channel: Channel) -> None:
        found = self._consumers[group]
        member = found.members.pop(channel)
        self._shares.change(member.client.owner, -member.places)
        found.forget_view()
        if not found.members:
            del self._consumers[group]
        _discard(self._consumer_channels, channel, group)

    def _drop_producer(self, group: str, channel: Channel) -> None:
        members = self._producers[group]
        member = members.pop(channel)
        self._shares.change(member.client.owner, -member.places)
        if not members:
            del self._producers[group]
        _discard(self._producer_channels, channel, group)


def _places(group: str, client: Client, subscriptions: Iterable[Subscription] = ()) -> int:
    """Return what a membership takes of `MAX_PLACES`."""
    names = _PER_MEMBERSHIP + (_width(group) + _width(client.client_id)) // BYTES_PER_PLACE
    return names + sum([1 + _width(one.expression) // BYTES_PER_PLACE for one in subscriptions])


def _width(text: str) -> int:
    """Return the bytes that a text takes in memory at most."""
    return len(text) if text.isascii() else 4 * len(text)


_NO_MEMBERS: dict[Channel, Member] = {}


def _discard(table: dict[Channel, set[str]], channel: Channel, group: str) -> None:
    groups = table[channel]
    groups.discard(group)
    if not groups:
        del table[channel]


class Notices:
    """Changes of membership that nobody has been told of yet."""

    def __init__(self) -> None:
        self._changed: set[str] = set()
        self._quiet: dict[str, int] = {}

    def __bool__(self) -> bool:
        return bool(self._changed)

    def changed(self, group: str) -> None:
        """Note a change of a group."""
        self._changed.add(group)

    def take(self, clients: Clients, now_ms: int) -> Iterator[tuple[Channel, str]]:
        """Whom to tell of which group: every member. Groups that were told of a moment ago are left for later."""
        if len(self._quiet) > _MAX_QUIET:
            self._quiet = {name: end for name, end in self._quiet.items() if now_ms < end}
        due = sorted(name for name in self._changed if now_ms >= self._quiet.get(name, 0))
        self._changed.difference_update(due)
        for name in due:
            group = clients.group(name)
            if group is None:
                self._quiet.pop(name, None)
                continue
            self._quiet[name] = now_ms + PAUSE_MS + len(group.members)
            for channel in group.members:
                yield channel, name


_MAX_QUIET = 1_024
