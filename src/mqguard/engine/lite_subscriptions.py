"""Subscriptions of clients to lite topics, and the lite topics that may have messages for a group.

A client has some of the lite topics of one parent, or all of them if its group is a wildcard group. Client ids belong
to users: two users may have the same id, and each reaches its own client only. The state is in memory, as in Apache's
broker: clients send all their lite topics every 30 s, and a client that sends nothing for 3 minutes expires.

A lite topic is ready for a group if it may have a message that the group can pop. The clients of the group that have
subscribed to it share this mark, so none is lost when a client leaves. The mark is removed when a pop finds no message,
and is set again by the next event: a message arrives, or a message in flight is acknowledged or visible again.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator

from mqguard.engine.errors import ConfigIllegal, LiteSubscriptionLimitReached
from mqguard.engine.fair_shares import FairQuota
from mqguard.engine.lite_topics import LiteTopics
from mqguard.model import names
from mqguard.model.peer import Channel
from mqguard.model.topic import LiteSettings

MAX_SUBSCRIPTIONS = 100_000
"""Clients and their subscriptions, of all users (Apache: `maxLiteSubscriptionCount`)."""
MAX_SUBSCRIBERS = 1_000
"""Clients of one group that may subscribe to one lite topic, because each of its messages looks for one that waits."""
QUOTA_MARGIN = 300
"""Lite topics that a client may have above the quota of its group (Apache's proxy)."""
LIFE_MS = 180_000
"""Time after its last change at which a client expires (Apache: `liteSubscriptionCheckTimeoutMills`)."""
MAX_CLIENT_ID_CHARS = 255
_SCANNED_PER_STEP = 500
"""Lite topics that are looked at in one step for messages, about 1 ms."""
_WOKEN_AT_CLOSE = 100
"""Ready lite topics for which other clients are looked for when one leaves."""
MAX_VISITED = 256
"""Lite topics that one pop visits."""

ClientKey = tuple[str, str]
"""Owner and client id."""


class LiteClient:
    """A client of a group. Only `LiteSubscriptions` and `LitePop` change it.

    Attributes:
        key: Owner and client id.
        group: The group.
        parent: The parent topic.
        channel: Connection of its last change.
        names: Names of its lite queues, in the order of their turns.
        is_wildcard: True if it has all lite topics of the parent.
        seen_ms: Monotonic time of its last change.
        attempt_id: Identifier of its last pop.
        attempt_names: Lite queues of that pop.
        changed_at: Date of its last change, in milliseconds since the epoch.
        popped_at: Date of its last pop, 0 if there was none.
    """

    __slots__ = (
        "attempt_id",
        "attempt_names",
        "changed_at",
        "channel",
        "group",
        "is_wildcard",
        "key",
        "names",
        "parent",
        "popped_at",
        "seen_ms",
    )

    def __init__(self, key: ClientKey, group: str, parent: str) -> None:
        self.key = key
        self.group = group
        self.parent = parent
        self.channel: Channel | None = None
        self.names: dict[str, None] = {}
        self.is_wildcard = False
        self.seen_ms = self.changed_at = self.popped_at = 0
        self.attempt_id = ""
        self.attempt_names: list[str] = []


class _Group:
    __slots__ = ("clients", "parent", "ready")

    def __init__(self, parent: str) -> None:
        self.parent = parent
        self.clients: dict[ClientKey, LiteClient] = {}
        self.ready: dict[str, None] = {}


_Subscribers = dict[str, dict[ClientKey, LiteClient]]
"""Clients by group."""


class LiteSubscriptions:
    """All subscriptions to lite topics.

    Args:
        lite: Lite topics.
        is_available: Function that returns True if a group can pop a message from a lite queue now.
        capacity: See `MAX_SUBSCRIPTIONS`.
    """

    def __init__(
        self, lite: LiteTopics, is_available: Callable[[str, str], bool], capacity: int = MAX_SUBSCRIPTIONS
    ) -> None:
        self._lite = lite
        self._is_available = is_available
        self._shares = FairQuota(capacity)
        self._capacity = capacity
        self._groups: dict[str, _Group] = {}
        self._subscribers: dict[str, _Subscribers] = {}
        self._wildcards: dict[str, _Subscribers] = {}
        # The client that changed longest ago is the first one.
        self._clients: dict[tuple[str, ClientKey], LiteClient] = {}
        self._scans: dict[str, Iterator[str]] = {}
        self._on_ready: list[Callable[[str, str], None]] = []
        lite.on_arrival(self._arrived)

    def __len__(self) -> int:
        return len(self._shares)

    def on_ready(self, callback: Callable[[str, str], None]) -> None:
        """Call back with group and lite queue when the queue may have messages for the group."""
        self._on_ready.append(callback)

    # Changes

    def check(
        self, owner: str, client_id: str, group: str, settings: LiteSettings, lites: Iterable[str], *, is_part: bool
    ) -> None:
        """Check that a client may subscribe to lite topics, or to all if the group is a wildcard group.

        Args:
            owner: Owner of the client id.
            client_id: The client id.
            group: The group.
            settings: Settings of the group.
            lites: Names of the lite topics.
            is_part: True if the client keeps the lite topics that it has.

        Raises:
            ConfigIllegal: The client id or the name of a lite topic is invalid.
            LiteSubscriptionLimitReached: A maximum number is reached.
        """
        if not 0 < len(client_id) <= MAX_CLIENT_ID_CHARS:
            raise ConfigIllegal(f"the client id is not 1 to {MAX_CLIENT_ID_CHARS} characters long")
        queues = set()
        for lite in lites:
            fault = names.lite_topic_fault(lite)
            if fault:
                raise ConfigIllegal(fault)
            queues.add(names.lite_queue(settings.parent, lite))
        key = owner, client_id
        known = self._clients.get((group, key))
        if settings.is_wildcard:
            more, members = int(known is None), [self._wildcards.get(settings.parent, {}).get(group, {})]
        else:
            had = {} if known is None else known.names
            count = len(queues | had.keys()) if is_part else len(queues)
            if count > settings.quota + QUOTA_MARGIN:
                raise LiteSubscriptionLimitReached(
                    f"the client would have {count} lite topics, and a client of group `{group}` may have "
                    f"{settings.quota} (`lite.sub.client.quota`)"
                )
            more = count - len(had) + (known is None)
            members = [self._subscribers.get(name, {}).get(group, {}) for name in queues if name not in had]
        if any(len(one) >= MAX_SUBSCRIBERS and key not in one for one in members):
            raise LiteSubscriptionLimitReached(
                f"{MAX_SUBSCRIBERS} clients of group `{group}` have subscribed to one of these lite topics"
            )
        if not self._shares.allows(owner, more):
            raise LiteSubscriptionLimitReached(
                f"there are {len(self._shares)} subscriptions to lite topics, and at most {self._capacity} are kept"
            )

    def open(
        self, owner: str, client_id: str, group: str, parent: str, channel: Channel, now_ms: int, date_ms: int
    ) -> LiteClient:
        """Return a client, and note that it was seen on a connection; a missing one is added.

        Args:
            owner: Owner of the client id.
            client_id: The client id.
            group: The group.
            parent: Parent topic of the group. If its clients have another one, they are removed.
            channel: Connection of the client.
            now_ms: Monotonic time.
            date_ms: Date.
        """
        key = owner, client_id
        known = self._groups.get(group)
        if known is not None and known.parent != parent:
            # INVARIANT: all clients of a group have one parent.
            for other in list(known.clients.values()):
                self.close(other)
            known = None
        client = self._clients.pop((group, key), None)
        if client is None:
            client = LiteClient(key, group, parent)
            if known is None:
                known = self._groups[group] = _Group(parent)
            known.clients[key] = client
            self._shares.change(owner, 1)
        self._clients[group, key] = client
        client.channel, client.seen_ms, client.changed_at = channel, now_ms, date_ms
        return client

    def add(self, client: LiteClient, queues: Iterable[str]) -> None:
        """Add lite queues to a client."""
        for name in queues:
            if name in client.names:
                continue
            client.names[name] = None
            self._subscribers.setdefault(name, {}).setdefault(client.group, {})[client.key] = client
            self._shares.change(client.key[0], 1)
            self.look(client.group, name)

    def add_all(self, client: LiteClient) -> None:
        """Give a client of a wildcard group all lite topics of its parent, also those that are created later."""
        self.remove(client, list(client.names))
        if not client.is_wildcard:
            client.is_wildcard = True
            self._wildcards.setdefault(client.parent, {}).setdefault(client.group, {})[client.key] = client
            self.scan(client.group)

    def remove(self, client: LiteClient, queues: Iterable[str]) -> None:
        """Remove lite queues from a client."""
        for name in queues:
            if name in client.names:
                del client.names[name]
                self._shares.change(client.key[0], -1)
                _discard(self._subscribers, name, client)
                known = self._groups[client.group]
                if not self._has_subscriber(known, client.group, name):
                    known.ready.pop(name, None)

    def remove_all(self, client: LiteClient) -> None:
        """End a client's subscription to all lite topics, because its group is not a wildcard group any more."""
        if client.is_wildcard:
            client.is_wildcard = False
            _discard(self._wildcards, client.parent, client)

    def close(self, client: LiteClient) -> None:
        """Remove a client. Others of its group get what was ready for it."""
        self.remove(client, list(client.names))
        self.remove_all(client)
        del self._clients[client.group, client.key]
        self._shares.change(client.key[0], -1)
        clients = self._groups[client.group].clients
        del clients[client.key]
        if clients:
            self.wake(client.group, _WOKEN_AT_CLOSE)
        else:
            del self._groups[client.group]
            self._scans.pop(client.group, None)

    def others(self, client: LiteClient, name: str) -> list[LiteClient]:
        """Return the other clients of a client's group that have subscribed to a lite queue."""
        found = self._subscribers.get(name, {}).get(client.group, {})
        return [other for other in found.values() if other is not client]

    def group_changed(self, group: str, settings: LiteSettings | None) -> None:
        """Remove the clients of a group that does not consume lite topics of their parent any more."""
        known = self._groups.get(group)
        if known is None or (settings is not None and settings.parent == known.parent):
            return
        for client in list(known.clients.values()):
            self.close(client)

    def expire(self, now_ms: int, limit: int) -> None:
        """Remove at most so many clients that have not changed for `LIFE_MS`."""
        for client in list(itertools.islice(self._clients.values(), limit)):
            if now_ms - client.seen_ms < LIFE_MS:
                return
            self.close(client)

    # Ready lite topics

    def look(self, group: str, name: str) -> None:
        """Mark a lite queue as ready for a group if it has a message for it."""
        known = self._groups.get(group)
        if known is None or name in known.ready or not self._has_subscriber(known, group, name):
            return
        if self._is_available(group, name):
            self._mark(known, group, name)

    def mark(self, group: str, name: str) -> None:
        """Mark a lite queue as ready for a group, if it has subscribers, without a look for messages."""
        known = self._groups.get(group)
        if known is not None and name not in known.ready and self._has_subscriber(known, group, name):
            self._mark(known, group, name)

    def scan(self, group: str, client: LiteClient | None = None) -> None:
        """Look in the next steps for messages in all lite topics of a group, or of one client."""
        known = self._groups.get(group)
        if known is None:
            return
        found: dict[str, None] = {}
        # A group has one search at a time, so that repeated requests take no memory.
        for one in known.clients.values() if client is None or group in self._scans else (client,):
            found.update(dict.fromkeys(self._lite.names_of(known.parent) if one.is_wildcard else one.names))
        self._scans[group] = iter(found)

    def step(self) -> None:
        """Look for messages in some lite topics."""
        left = _SCANNED_PER_STEP
        for group, found in list(self._scans.items()):
            for name in itertools.islice(found, left):
                self.look(group, name)
                left -= 1
            if left <= 0:
                return
            self._scans.pop(group, None)

    def candidates(self, client: LiteClient, attempt_id: str) -> list[str]:
        """Return at most `MAX_VISITED` lite queues for a pop of a client, those of a repeated attempt first."""
        again = client.attempt_names if attempt_id and attempt_id == client.attempt_id else []
        known = self._groups.get(client.group)
        if known is None:
            return list(again)
        ready: Iterable[str] = known.ready
        if not client.is_wildcard:
            if len(known.ready) <= len(client.names):
                ready = (name for name in known.ready if name in client.names)
            else:
                ready = (name for name in client.names if name in known.ready)
        return [*again, *itertools.islice((name for name in ready if name not in again), MAX_VISITED)]

    def visited(self, client: LiteClient, name: str) -> None:
        """Note that a pop has taken all that it could from a lite queue."""
        known = self._groups.get(client.group)
        if known is not None:
            known.ready.pop(name, None)
        if name in client.names:
            # The lite topic has its next turn after the others.
            del client.names[name]
            client.names[name] = None

    def wake(self, group: str, limit: int = 8) -> None:
        """Call back for some lite queues that are ready for a group."""
        known = self._groups.get(group)
        if known is not None:
            for name in list(itertools.islice(known.ready, limit)):
                self._call_back(group, name)

    # Queries

    def find(self, owner: str, client_id: str, group: str) -> LiteClient | None:
        """Return a client, None if it has no subscriptions."""
        return self._clients.get((group, (owner, client_id)))

    def groups_of(self, parent: str) -> list[str]:
        """Return the groups with clients that consume the lite topics of a parent."""
        return [name for name, group in self._groups.items() if group.parent == parent]

    def clients_of(self, group: str) -> list[LiteClient]:
        """Return all clients of a group."""
        known = self._groups.get(group)
        return [] if known is None else list(known.clients.values())

    def subscribers(self, parent: str, name: str) -> Iterator[LiteClient]:
        """Yield the clients of all groups that get messages of a lite queue."""
        for clients in self._subscribers.get(name, {}).values():
            yield from clients.values()
        for clients in self._wildcards.get(parent, {}).values():
            yield from clients.values()

    def consumers(self, group: str, name: str) -> Iterator[LiteClient]:
        """Yield the clients of a group that get messages of a lite queue."""
        known = self._groups.get(group)
        if known is not None:
            yield from self._subscribers.get(name, {}).get(group, {}).values()
            yield from self._wildcards.get(known.parent, {}).get(group, {}).values()

    @property
    def client_count(self) -> int:
        """Number of clients, counted for each group."""
        return len(self._clients)

    @property
    def ready_count(self) -> int:
        """Number of lite queues that are ready, counted for each group."""
        return sum(len(group.ready) for group in self._groups.values())

    def _has_subscriber(self, known: _Group, group: str, name: str) -> bool:
        return group in self._subscribers.get(name, ()) or group in self._wildcards.get(known.parent, ())

    def _arrived(self, parent: str, name: str) -> None:
        for group in (*self._subscribers.get(name, ()), *self._wildcards.get(parent, ())):
            known = self._groups[group]
            if name not in known.ready:
                self._mark(known, group, name)

    def _mark(self, known: _Group, group: str, name: str) -> None:
        known.ready[name] = None
        self._call_back(group, name)

    def _call_back(self, group: str, name: str) -> None:
        for callback in self._on_ready:
            callback(group, name)


def _discard(table: dict[str, _Subscribers], name: str, client: LiteClient) -> None:
    groups = table[name]
    clients = groups[client.group]
    del clients[client.key]
    if not clients:
        del groups[client.group]
        if not groups:
            del table[name]
