"""Who is connected: producers by group, consumers by group with what they subscribe to.

A client appears with its first heartbeat and disappears when its connection closes, when it says goodbye, or 120 s
after its last heartbeat. Clients are distinguished by their connections, never by the client ids that they claim: a
client cannot unregister, replace or answer for one of another connection. Client ids belong to users: two users may
have the same id, and each one's lookups find its own client.

What a group subscribes to is kept for each member. The group's own view is derived from it, for those who ask about
the group. What a member pulls is filtered by its own subscriptions, so that other members cannot change it.
"""

from collections.abc import Iterable
from typing import Protocol

import msgspec

from mqguard.engine.places import Shares
from mqguard.model.channel import Channel
from mqguard.remoting.link import Link

MAX_PLACES = 1_000_000
"""What all clients together may make this server remember, in places: one is some 150 bytes.

A membership of a group takes four places, each subscription one. Names and filters take one more for each 64 bytes.
"""
_BYTES_PER_PLACE = 64
_PER_MEMBERSHIP = 4
"""The member, and the group, which may have no other member."""

CLIENT_LIFE_MS = 120_000
"""How long a client lives without a heartbeat (clients send one every 30 s)."""


class Rights(Protocol):
    """What the user of a client may consume now."""

    def allows(self, group: str, topics: Iterable[str], *, otherwise: bool) -> bool:
        """Return whether the user may consume topics as a group; `otherwise` if that cannot be said at once."""
        ...  # pragma: no cover


class Subscription(msgspec.Struct, frozen=True):
    """What a consumer group wants of a topic.

    Attributes:
        topic: The topic.
        expression: Text as the client wrote it: `*`, `TagA || TagB`.
        expression_type: `TAG`, or the name of another filter language.
        tags: The single tags of `expression`; empty for all.
        codes: Their hash codes; empty for all.
        version: Grows with every change at the client (its clock).
        class_filter: Whether the client wants a Java filter class, which nobody serves any more.
    """

    topic: str
    expression: str = "*"
    expression_type: str = "TAG"
    tags: frozenset[str] = frozenset()
    codes: frozenset[int] = frozenset()
    version: int = 0
    class_filter: bool = False

    def same_filter(self, other: "Subscription") -> bool:
        """Whether both let the same messages through."""
        return (self.expression, self.expression_type) == (other.expression, other.expression_type)


class Client(msgspec.Struct, frozen=True):
    """How a client introduces itself.

    Attributes:
        client_id: Name claimed by the client; unique per process for honest clients.
        link: Its connection.
        language: Language number (`remoting.codes.LanguageCode`).
        version: Version number of its library.
        user: Who it authenticated as, None without authentication.
        rights: What its user may consume; None if nobody asks.
    """

    client_id: str
    link: Link
    language: int
    version: int
    user: str | None = None
    rights: Rights | None = None

    @property
    def owner(self) -> str:
        """What its places are counted under: its user, else its address."""
        return f"from {self.link.peer.ip}" if self.user is None else self.user

    def may_consume(self, group: str, topics: Iterable[str], *, otherwise: bool) -> bool:
        """Return whether its user may consume topics as a group; see `Rights.allows`."""
        return self.rights is None or self.rights.allows(group, topics, otherwise=otherwise)


class ConsumerHeartbeat(msgspec.Struct, frozen=True):
    """What a heartbeat says about one consumer group.

    Attributes:
        group: The group.
        consume_type: `CONSUME_PASSIVELY` (push), `CONSUME_ACTIVELY` (pull) or `CONSUME_POP`.
        message_model: `CLUSTERING` or `BROADCASTING`.
        consume_from: Where a queue without an offset starts.
        subscriptions: One per topic; None leaves the known ones as they are.
    """

    group: str
    consume_type: str
    message_model: str
    consume_from: str
    subscriptions: tuple[Subscription, ...] | None


class Member(msgspec.Struct):
    """A live client within a group.

    Attributes:
        client: The client.
        seen_ms: When its last heartbeat came.
        since_ms: When its first heartbeat came over this connection.
        places: What it takes of `MAX_PLACES`.
    """

    client: Client
    seen_ms: int
    since_ms: int
    places: int = 0


class Consumer(Member, kw_only=True):
    """A live consumer within a group.

    Attributes:
        consume_type: See `ConsumerHeartbeat`.
        message_model: See `ConsumerHeartbeat`.
        consume_from: See `ConsumerHeartbeat`.
        subscriptions: What it wants, by topic.
    """

    consume_type: str
    message_model: str
    consume_from: str
    subscriptions: dict[str, Subscription]


class ConsumerGroup:
    """The live side of a consumer group: gone when its last member is.

    Attributes:
        name: The group.
        members: Its clients by connection.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.members: dict[Channel, Consumer] = {}
        self._view: dict[str, Subscription] | None = None
        # The last subscription of each topic. Equal ones of other members share its texts and tags.
        self._shared: dict[str, Subscription] = {}

    @property
    def latest(self) -> Consumer:
        """The member heard of last."""
        return max(self.members.values(), key=lambda member: member.seen_ms)

    @property
    def subscriptions(self) -> dict[str, Subscription]:
        """What the group wants, by topic: of all members' subscriptions to a topic the newest."""
        if self._view is None:
            view: dict[str, Subscription] = {}
            for member in self.members.values():
                for topic, subscription in member.subscriptions.items():
                    known = view.get(topic)
                    if known is None or known.version < subscription.version:
                        view[topic] = subscription
            self._view = view
        return self._view

    def client_ids(self) -> list[str]:
        """The members' client ids, each once, in order."""
        return sorted({member.client.client_id for member in self.members.values()})

    def find(self, client_id: str, user: str | None) -> Client | None:
        """Return the client with this id that a user means.

        The user's own client comes first, else that of the user who has had the id for longest: who takes the id of
        another user later is not asked in its place. Of several clients of one user the one heard of last counts.
        """
        found = [member for member in self.members.values() if member.client.client_id == client_id]
        if not found:
            return None
        owners = {member.client.user for member in found}
        owner = user if user in owners else min(found, key=lambda member: member.since_ms).client.user
        return max((one for one in found if one.client.user == owner), key=lambda one: one.seen_ms).client

    def consumer(self, channel: Channel, user: str | None) -> Consumer | None:
        """Return the member whose subscriptions count for a pull: that of the connection, else the user's latest."""
        found = self.members.get(channel)
        if found is not None and found.client.user == user:
            return found
        own = (member for member in self.members.values() if member.client.user == user)
        return max(own, key=lambda member: member.seen_ms, default=None)

    def set_subscriptions(self, member: Consumer, wanted: tuple[Subscription, ...]) -> bool:
        """Bring a member up to its heartbeat; return whether topics came or went, or a filter changed."""
        known = member.subscriptions
        changed = False
        for subscription in wanted:
            old = known.get(subscription.topic)
            if old is None:
                changed = True
            elif old.version >= subscription.version:
                continue
            elif not old.same_filter(subscription):
                changed = True
            known[subscription.topic] = self._share(subscription)
            self._view = None
        topics = {subscription.topic for subscription in wanted}
        for topic in [topic for topic in known if topic not in topics]:
            del known[topic]
            changed = True
        self.forget_view()
        return changed

    def forget_view(self) -> None:
        """Derive the group's subscriptions anew when they are asked for."""
        self._view = None

    def _share(self, subscription: Subscription) -> Subscription:
        shared = self._shared.get(subscription.topic)
        if shared is None or not shared.same_filter(subscription):
            if len(self._shared) >= _MAX_SHARED:
                self._shared.clear()
            self._shared[subscription.topic] = subscription
            return subscription
        return msgspec.structs.replace(shared, version=subscription.version, class_filter=subscription.class_filter)


_MAX_SHARED = 4_096
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
        channel, more = client.link.peer.channel, 0
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
        channel = client.link.peer.channel
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
        channel = client.link.peer.channel
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

    def expire(self, now_ms: int) -> tuple[list[str], list[Link]]:
        """Take out clients that fell silent, of a bounded number of connections: see `is_sweeping`.

        Returns:
            The consumer groups that lost a member, and the connections that should be closed.
        """
        if not self._unswept:
            self._unswept = list({*self._consumer_channels, *self._producer_channels})
        changed: set[str] = set()
        silent: list[Link] = []
        looked_at = 0
        while self._unswept and looked_at < _MAX_SWEPT:
            channel = self._unswept.pop()
            members = self._members_on(channel)
            looked_at += 1 + len(members)
            late = sum(now_ms - member.seen_ms >= self._life_ms for member in members)
            # A connection serves one process: while one of its groups is heard of, the process lives.
            if late and late == len(members):
                silent.append(members[0].client.link)
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
    names = _PER_MEMBERSHIP + (_width(group) + _width(client.client_id)) // _BYTES_PER_PLACE
    return names + sum([1 + _width(one.expression) // _BYTES_PER_PLACE for one in subscriptions])


def _width(text: str) -> int:
    """Return the bytes that a text takes in memory at most."""
    return len(text) if text.isascii() else 4 * len(text)


_NO_MEMBERS: dict[Channel, Member] = {}


def _discard(table: dict[Channel, set[str]], channel: Channel, group: str) -> None:
    groups = table[channel]
    groups.discard(group)
    if not groups:
        del table[channel]
