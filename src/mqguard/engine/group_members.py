"""Members of groups: connected producers and consumers, with the subscriptions of each consumer.

A group's subscriptions are kept for each member, and the view of the whole group is derived from them. A pull is
filtered by the subscriptions of the member that pulls, so that other members cannot change its filter.
"""

from collections.abc import Iterable
from typing import Protocol

import msgspec

from mqguard.model.peer import Channel, Peer


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
        peer: Its connection and address.
        language: Language number (`remoting.codes.LanguageCode`).
        version: Version number of its library.
        user: Who it authenticated as, None without authentication.
        rights: What its user may consume; None if nobody asks.
    """

    client_id: str
    peer: Peer
    language: int
    version: int
    user: str | None = None
    rights: Rights | None = None

    @property
    def owner(self) -> str:
        """What its places are counted under: its user, else its address."""
        return f"from {self.peer.ip}" if self.user is None else self.user

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
