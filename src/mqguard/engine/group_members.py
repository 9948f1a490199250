"""Members of groups: connected producers and consumers, with the subscriptions of each consumer.

A group's subscriptions are kept for each member, and the view of the whole group is derived from them. A pull is
filtered by the subscriptions of the member that pulls, so that other members cannot change its filter.
"""

from collections.abc import Iterable
from typing import Protocol

import msgspec

from mqguard.engine.filters import NO_FILTER, SubscriptionFilter
from mqguard.model.peer import Channel, Peer


class ClientPermissions(Protocol):
    """Current permissions of a client's user."""

    def allows(self, group: str, topics: Iterable[str], *, otherwise: bool) -> bool:
        """Return True if the user may consume topics as a group; `otherwise` if only a slow plugin can decide it."""
        ...  # pragma: no cover

    def allows_publishing(self, topic: str, *, otherwise: bool) -> bool:
        """Return True if the user may publish to a topic; `otherwise` if only a slow plugin can decide it."""
        ...  # pragma: no cover


class Subscription(msgspec.Struct, frozen=True):
    """Subscription of a consumer to a topic.

    Attributes:
        topic: The topic.
        expression: Text from the client: `*`, `TagA || TagB`.
        expression_type: `TAG`, or the name of another filter language.
        version: Number that grows with every change at the client (its clock).
        class_filter: True if the client wants a Java filter class, which brokers no longer support.
        filter: The expression as a filter; without one it is created.
    """

    topic: str
    expression: str = "*"
    expression_type: str = "TAG"
    version: int = 0
    class_filter: bool = False
    filter: SubscriptionFilter = NO_FILTER

    def __post_init__(self) -> None:
        """Create the filter."""
        if self.filter is NO_FILTER:
            msgspec.structs.force_setattr(self, "filter", SubscriptionFilter(self.expression_type, self.expression))

    def same_filter(self, other: "Subscription") -> bool:
        """Return True if both match the same messages."""
        return (self.expression, self.expression_type) == (other.expression, other.expression_type)


class ConnectedClient(msgspec.Struct, frozen=True):
    """A client with its connection and its user.

    Attributes:
        client_id: Name that the client claims; unique per process for honest clients.
        peer: Its connection and address.
        language: Number of its language.
        version: Version number of its library.
        user: Its authenticated user, None without authentication.
        rights: Permissions of its user, None without authorization.
    """

    client_id: str
    peer: Peer
    language: int
    version: int
    user: str | None = None
    rights: ClientPermissions | None = None

    @property
    def owner(self) -> str:
        """Owner of its share of the registry: its user, or its address without a user."""
        return f"from {self.peer.ip}" if self.user is None else self.user

    def may_consume(self, group: str, topics: Iterable[str], *, otherwise: bool) -> bool:
        """Return True if its user may consume topics as a group; see `ClientPermissions.allows`."""
        return self.rights is None or self.rights.allows(group, topics, otherwise=otherwise)

    def may_publish(self, topic: str, *, otherwise: bool) -> bool:
        """Return True if its user may publish to a topic; see `ClientPermissions.allows_publishing`."""
        return self.rights is None or self.rights.allows_publishing(topic, otherwise=otherwise)


class ConsumerHeartbeat(msgspec.Struct, frozen=True):
    """The part of a heartbeat for one consumer group.

    Attributes:
        group: The group.
        consume_type: `CONSUME_PASSIVELY` (push), `CONSUME_ACTIVELY` (pull) or `CONSUME_POP`.
        message_model: `CLUSTERING` or `BROADCASTING`.
        consume_from: Start position in a queue without an offset.
        subscriptions: One per topic; None keeps those of the last heartbeat.
    """

    group: str
    consume_type: str
    message_model: str
    consume_from: str
    subscriptions: tuple[Subscription, ...] | None


class Member(msgspec.Struct):
    """A connected client as a member of a group.

    Attributes:
        client: The client.
        seen_ms: Time of its last heartbeat, by the monotonic clock.
        since_ms: Time of its first heartbeat over this connection, by the monotonic clock.
        units: Its part of `MAX_UNITS`.
    """

    client: ConnectedClient
    seen_ms: int
    since_ms: int
    units: int = 0


class Consumer(Member, kw_only=True):
    """A connected consumer as a member of a group.

    Attributes:
        consume_type: See `ConsumerHeartbeat`.
        message_model: See `ConsumerHeartbeat`.
        consume_from: See `ConsumerHeartbeat`.
        subscriptions: Its subscriptions by topic.
    """

    consume_type: str
    message_model: str
    consume_from: str
    subscriptions: dict[str, Subscription]


class ConsumerGroup:
    """The members of a consumer group; it exists as long as it has members.

    Attributes:
        name: The group.
        members: Its members by connection.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.members: dict[Channel, Consumer] = {}
        # One connection, or the list of several, by client id.
        self._channels: dict[str, Channel | list[Channel]] = {}
        self._view: dict[str, Subscription] | None = None
        # The last subscription of each topic. Equal ones of other members share its texts and tags.
        self._shared: dict[str, Subscription] = {}

    def put(self, channel: Channel, member: Consumer) -> None:
        """Add a member, or replace the one of the same connection."""
        known = self.members.get(channel)
        self.members[channel] = member
        client_id = member.client.client_id
        if known is not None:
            if known.client.client_id == client_id:
                return
            self._forget(channel, known.client.client_id)
        others = self._channels.get(client_id)
        if others is None:
            self._channels[client_id] = channel
        elif isinstance(others, list):
            others.append(channel)
        else:
            self._channels[client_id] = [others, channel]

    def remove(self, channel: Channel) -> Consumer:
        """Remove and return the member of a connection."""
        member = self.members.pop(channel)
        self._forget(channel, member.client.client_id)
        return member

    def _forget(self, channel: Channel, client_id: str) -> None:
        channels = self._channels[client_id]
        if not isinstance(channels, list):
            del self._channels[client_id]
            return
        channels.remove(channel)
        if len(channels) == 1:
            self._channels[client_id] = channels[0]

    def duplicate_of(self, channel: Channel) -> ConnectedClient | None:
        """Return another client with the user and the client id of a member, None if there is none.

        Only a client that has sent a heartbeat since the last one of the member counts. A client that has connected
        again is known with its old connection too, for a while.
        """
        member = self.members.get(channel)
        if member is None:
            return None
        channels = self._channels[member.client.client_id]
        if not isinstance(channels, list):
            return None
        for other in channels[:_MAX_COMPARED]:
            found = self.members[other]
            if other is not channel and found.client.user == member.client.user and found.seen_ms > member.seen_ms:
                return found.client
        return None

    @property
    def latest(self) -> Consumer:
        """Member with the latest heartbeat."""
        return max(self.members.values(), key=lambda member: member.seen_ms)

    @property
    def subscriptions(self) -> dict[str, Subscription]:
        """Subscriptions of the group by topic: for each topic the newest one of all members."""
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
        """Return the members' client ids, each once, in order."""
        return sorted({member.client.client_id for member in self.members.values()})

    def find(self, client_id: str, user: str | None) -> ConnectedClient | None:
        """Return the client with an id for the request of a user, None if there is none.

        Clients of the same user come first. Otherwise it is a client of the user that has had the id for longest, so
        that another user cannot take over the id. Of several clients of one user it is the one with the latest
        heartbeat.
        """
        found = [member for member in self.members.values() if member.client.client_id == client_id]
        if not found:
            return None
        owners = {member.client.user for member in found}
        owner = user if user in owners else min(found, key=lambda member: member.since_ms).client.user
        return max((one for one in found if one.client.user == owner), key=lambda one: one.seen_ms).client

    def consumer(self, channel: Channel, user: str | None) -> Consumer | None:
        """Return the member whose subscriptions filter a pull: that of the connection, else the user's latest one."""
        found = self.members.get(channel)
        if found is not None and found.client.user == user:
            return found
        own = (member for member in self.members.values() if member.client.user == user)
        return max(own, key=lambda member: member.seen_ms, default=None)

    def set_subscriptions(self, member: Consumer, wanted: tuple[Subscription, ...]) -> bool:
        """Update a member's subscriptions by its heartbeat; return True if a topic or a filter changed."""
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
        topics = {subscription.topic for subscription in wanted}
        for topic in [topic for topic in known if topic not in topics]:
            del known[topic]
            changed = True
        self.clear_view()
        return changed

    def clear_view(self) -> None:
        """Discard the group's subscriptions, so that they are derived again when needed."""
        self._view = None

    def _share(self, subscription: Subscription) -> Subscription:
        shared = self._shared.get(subscription.topic)
        if shared is None or not shared.same_filter(subscription):
            if len(self._shared) >= _MAX_SHARED:
                self._shared.clear()
            self._shared[subscription.topic] = subscription
            return subscription
        return msgspec.structs.replace(shared, version=subscription.version, class_filter=subscription.class_filter)


_MAX_COMPARED = 8
"""Maximum members with one client id that are compared."""
_MAX_SHARED = 4_096
"""Maximum topics for which a group keeps a subscription to share."""
