"""Who is connected: producers by group, consumers by group with what they subscribe to.

A client appears with its first heartbeat and disappears when its connection closes, when it says goodbye, or 120 s
after its last heartbeat. A client is told apart by its connection, never by the client id that it claims: nobody can
unregister, replace or answer for a client of another connection.
"""

from collections.abc import Iterable

import msgspec

from mqguard.model.channel import Channel
from mqguard.remoting.link import Link

CLIENT_LIFE_MS = 120_000
"""How long a client lives without a heartbeat (clients send one every 30 s)."""


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
    """

    client_id: str
    link: Link
    language: int
    version: int
    user: str | None = None


class Consuming(msgspec.Struct, frozen=True):
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
    """A live client within a group."""

    client: Client
    seen_ms: int


class ConsumerGroup(msgspec.Struct):
    """The live side of a consumer group: gone when its last member is.

    Attributes:
        name: The group.
        consume_type: See `Consuming`; the last heartbeat decides.
        message_model: See `Consuming`.
        consume_from: See `Consuming`.
        members: Its clients by channel.
        subscriptions: What it wants, by topic.
    """

    name: str
    consume_type: str
    message_model: str
    consume_from: str
    members: dict[Channel, Member]
    subscriptions: dict[str, Subscription]

    def client_ids(self) -> list[str]:
        """The members' client ids, each once, in order."""
        return sorted({member.client.client_id for member in self.members.values()})

    def find(self, client_id: str) -> Client | None:
        """The client with this id, the one heard of last if several claim it."""
        found = [member for member in self.members.values() if member.client.client_id == client_id]
        return max(found, key=lambda member: member.seen_ms).client if found else None


class Clients:
    """All live clients of a broker."""

    def __init__(self, life_ms: int = CLIENT_LIFE_MS) -> None:
        self._life_ms = life_ms
        self._consumers: dict[str, ConsumerGroup] = {}
        self._producers: dict[str, dict[Channel, Member]] = {}
        self._consumer_channels: dict[Channel, set[str]] = {}
        self._producer_channels: dict[Channel, set[str]] = {}
        self._ids: dict[str, dict[Channel, str | None]] = {}
        self._ids_of: dict[Channel, set[str]] = {}

    # Heard of

    def consume(self, client: Client, consuming: Consuming, now_ms: int) -> bool:
        """Note a consumer's heartbeat; whether its group must be told (a new member, or other subscriptions)."""
        group = self._consumers.get(consuming.group)
        if group is None:
            group = self._consumers[consuming.group] = ConsumerGroup(
                consuming.group, consuming.consume_type, consuming.message_model, consuming.consume_from, {}, {}
            )
        group.consume_type = consuming.consume_type
        group.message_model = consuming.message_model
        group.consume_from = consuming.consume_from
        channel = client.link.peer.channel
        known = group.members.get(channel)
        group.members[channel] = Member(client, now_ms)
        self._consumer_channels.setdefault(channel, set()).add(consuming.group)
        self._claim(client)
        changed = known is None or known.client.client_id != client.client_id
        if consuming.subscriptions is not None and _subscribe(group.subscriptions, consuming.subscriptions):
            changed = True
        return changed

    def produce(self, client: Client, group: str, now_ms: int) -> None:
        """Note a producer's heartbeat."""
        channel = client.link.peer.channel
        self._producers.setdefault(group, {})[channel] = Member(client, now_ms)
        self._producer_channels.setdefault(channel, set()).add(group)
        self._claim(client)

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
        """Take out clients that fell silent.

        Returns:
            The consumer groups that lost a member, and the connections that should be closed.
        """
        dead: dict[Channel, Link] = {}
        for members in [*(group.members for group in self._consumers.values()), *self._producers.values()]:
            for channel, member in members.items():
                if now_ms - member.seen_ms >= self._life_ms:
                    dead[channel] = member.client.link
        # A connection serves one process: while one of its groups is heard of, the process lives.
        silent = {channel: link for channel, link in dead.items() if self._silent(channel, now_ms)}
        changed: set[str] = set()
        for channel in silent:
            changed.update(self.leave(channel))
        for channel in dead.keys() - silent.keys():
            changed.update(self._drop_silent(channel, now_ms))
        return sorted(changed), list(silent.values())

    # Asked for

    def group(self, name: str) -> ConsumerGroup | None:
        """The live side of a consumer group, None if nobody is online."""
        return self._consumers.get(name)

    def groups(self) -> Iterable[ConsumerGroup]:
        """All consumer groups with members."""
        return self._consumers.values()

    def subscription(self, group: str, topic: str) -> Subscription | None:
        """What a live group wants of a topic."""
        found = self._consumers.get(group)
        return found.subscriptions.get(topic) if found else None

    def groups_of_topic(self, topic: str) -> list[str]:
        """Live groups that subscribe to a topic."""
        return sorted(group.name for group in self._consumers.values() if topic in group.subscriptions)

    def producers(self, group: str) -> list[Member]:
        """Live producers of a group."""
        return list(self._producers.get(group, {}).values())

    def all_producers(self) -> dict[str, list[Member]]:
        """Live producers by group."""
        return {group: list(members.values()) for group, members in self._producers.items()}

    def groups_on(self, channel: Channel) -> int:
        """How many groups a connection is in, as consumer and as producer."""
        return len(self._consumer_channels.get(channel, ())) + len(self._producer_channels.get(channel, ()))

    def ids_on(self, channel: Channel) -> set[str]:
        """The client ids that a connection has registered."""
        return self._ids_of.get(channel, set())

    def owner_of(self, client_id: str) -> str | None:
        """The user that a live client id belongs to: the first that registered it. None if it is nobody's."""
        claims = self._ids.get(client_id)
        return next(iter(claims.values())) if claims else None

    def find_producer(self, client_id: str) -> Client | None:
        """A live producer by its client id, the one heard of last if several claim it."""
        found = [
            member
            for channel in self._ids.get(client_id, ())
            for group in self._producer_channels.get(channel, ())
            if (member := self._producers[group][channel]).client.client_id == client_id
        ]
        return max(found, key=lambda member: member.seen_ms).client if found else None

    # Bookkeeping

    def _claim(self, client: Client) -> None:
        channel = client.link.peer.channel
        self._ids.setdefault(client.client_id, {})[channel] = client.user
        self._ids_of.setdefault(channel, set()).add(client.client_id)

    def _release(self, channel: Channel) -> None:
        """Give up the client ids of a connection that is in no group any more."""
        if channel in self._consumer_channels or channel in self._producer_channels:
            return
        for client_id in self._ids_of.pop(channel, ()):
            claims = self._ids[client_id]
            del claims[channel]
            if not claims:
                del self._ids[client_id]

    def _silent(self, channel: Channel, now_ms: int) -> bool:
        return all(now_ms - member.seen_ms >= self._life_ms for member in self._members_on(channel))

    def _members_on(self, channel: Channel) -> list[Member]:
        consumers = [self._consumers[group].members[channel] for group in self._consumer_channels.get(channel, ())]
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
        del found.members[channel]
        if not found.members:
            del self._consumers[group]
        _discard(self._consumer_channels, channel, group)
        self._release(channel)

    def _drop_producer(self, group: str, channel: Channel) -> None:
        members = self._producers[group]
        del members[channel]
        if not members:
            del self._producers[group]
        _discard(self._producer_channels, channel, group)
        self._release(channel)


def _subscribe(known: dict[str, Subscription], wanted: tuple[Subscription, ...]) -> bool:
    """Bring the group's subscriptions up to a heartbeat's; whether topics came or went, or a filter changed."""
    changed = False
    for subscription in wanted:
        old = known.get(subscription.topic)
        if old is None:
            changed = True
        elif old.version >= subscription.version:
            continue
        elif not old.same_filter(subscription):
            changed = True
        known[subscription.topic] = subscription
    topics = {subscription.topic for subscription in wanted}
    for topic in [topic for topic in known if topic not in topics]:
        del known[topic]
        changed = True
    return changed


def _discard(table: dict[Channel, set[str]], channel: Channel, group: str) -> None:
    groups = table[channel]
    groups.discard(group)
    if not groups:
        del table[channel]
