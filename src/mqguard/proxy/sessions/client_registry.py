"""The clients that have sent heartbeats through the guard, and the requests of brokers to them.

A client stays connected after its heartbeat was admitted. So its rights are checked again before a request of a broker
reaches it: a broker hands messages to each member of a producer group, whoever it is.
"""

# Rule 1: a client id belongs to the user that connected with it first, as long as one of its connections is open.
# Rule 2: what a connection has registered is bounded, and removed with it.

import msgspec

from mqguard.dispatch.client_rights import ClientRights
from mqguard.dispatch.open_requests import CORRELATION_ID, REPLY_TO_CLIENT, OpenRequests
from mqguard.dispatch.request import Request, RequestRefused
from mqguard.guard.admitted_request import DeniedPart
from mqguard.guard.message_authorization import topics_of
from mqguard.guard.permissions import SUB
from mqguard.guard.topic_ownership import group_permission, popped
from mqguard.model import names, properties
from mqguard.model.peer import Channel
from mqguard.model.process import Clock
from mqguard.model.record import decode as decode_record
from mqguard.remoting.bodies.clients import HeartbeatData
from mqguard.remoting.bodies.codec import decode, encode
from mqguard.remoting.codes import RequestCode, ResponseCode
from mqguard.remoting.command import Command
from mqguard.remoting.link import Link

MAX_GROUPS = 1_000
"""Maximum groups of one connection."""
MAX_NAME_CHARS = 255
"""Maximum characters of names in a heartbeat. They are kept, and some need no permission."""


class _Connection(msgspec.Struct, eq=False):
    """What one connection has registered.

    Attributes:
        clients: The user of each client id, empty for an anonymous one.
        consuming: Rights by consumer group.
        producing: Rights by producer group.
    """

    clients: dict[str, str] = msgspec.field(default_factory=dict)
    consuming: dict[str, ClientRights] = msgspec.field(default_factory=dict)
    producing: dict[str, ClientRights] = msgspec.field(default_factory=dict)


class _Owner(msgspec.Struct, eq=False):
    user: str
    connections: int


class ClientRegistry:
    """The clients of all listeners.

    Args:
        clock: Clock for the deadlines of requests that wait for a reply.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._connections: dict[Channel, _Connection] = {}
        self._owners: dict[str, _Owner] = {}
        self._open = OpenRequests()

    def __len__(self) -> int:
        return len(self._connections)

    def leave(self, channel: Channel) -> None:
        """Remove a closed connection."""
        self._open.leave(channel)
        connection = self._connections.pop(channel, None)
        for client_id in () if connection is None else connection.clients:
            owner = self._owners[client_id]
            owner.connections -= 1
            if not owner.connections:
                del self._owners[client_id]

    def tick(self) -> None:
        """Remove requests whose askers have stopped to wait."""
        self._open.expire(self._clock.monotonic_ms())

    def owner_on(self, channel: Channel, client_id: str) -> str | None:
        """Return the user that has registered a client id over a connection, None if none has."""
        connection = self._connections.get(channel)
        return None if connection is None else connection.clients.get(client_id)

    # Requests of clients

    def heartbeat(self, request: Request) -> Command:
        """Register a client, and return its heartbeat without the parts that are denied (34).

        Raises:
            RequestRefused: It has too many groups, or the client id belongs to another user.
        """
        command, access = request.command, request.access
        beat = decode(command.body, HeartbeatData)
        denied = access.denied
        if denied is not None:
            _remove_denied(beat, denied)
        _check(beat)
        connection = self._register(request.link.peer.channel, beat.client_id, access.user)
        rights = ClientRights(access)
        connection.consuming.update((one.group_name, rights) for one in beat.consumer_data_set)
        connection.producing.update((one.group_name, rights) for one in beat.producer_data_set)
        if max(len(connection.consuming), len(connection.producing)) > MAX_GROUPS:
            connection.consuming = {one.group_name: rights for one in beat.consumer_data_set}
            connection.producing = {one.group_name: rights for one in beat.producer_data_set}
        return command if denied is None else msgspec.structs.replace(command, body=encode(beat), frame=b"")

    def _register(self, channel: Channel, client_id: str, user: str) -> _Connection:
        owner = self._owners.get(client_id)
        if owner is not None and owner.user != user:
            raise RequestRefused(
                ResponseCode.NO_PERMISSION,
                f"another user is connected with the client id `{client_id[:64]}`: choose another instance name",
            )
        connection = self._connections.setdefault(channel, _Connection())
        if client_id not in connection.clients:
            if len(connection.clients) >= MAX_GROUPS:
                raise RequestRefused(
                    ResponseCode.INVALID_PARAMETER, f"one connection can have at most {MAX_GROUPS} client ids"
                )
            connection.clients[client_id] = user
            if owner is None:
                owner = self._owners[client_id] = _Owner(user, 0)
            owner.connections += 1
        return connection

    def check_locks(self, request: Request, client_id: str) -> None:
        """Check the client for which queues are locked or unlocked (41, 42).

        Raises:
            RequestRefused: The client id belongs to another user.
        """
        owner = self._owners.get(client_id)
        if owner is not None:
            request.access.require_owner(owner.user or None, f"the client id `{client_id[:64]}`")

    def asked(self, request: Request, topic: str, text: str) -> None:
        """Note a message that asks for a reply."""
        pairs = properties.parse(text)
        language = request.command.language
        is_kept = self._open.add(pairs, topic, request.link, request.access, self._clock.monotonic_ms(), language)
        if not is_kept:
            raise RequestRefused(
                ResponseCode.SYSTEM_BUSY, "too many requests of this user wait for a reply: try again later"
            )

    def topic_of_open_request(self, pairs: dict[str, str]) -> str | None:
        """Return the topic of the request that a reply answers, None if no client of this guard waits for it."""
        found = self._open.find(
            pairs.get(REPLY_TO_CLIENT, ""), pairs.get(CORRELATION_ID, ""), self._clock.monotonic_ms()
        )
        return None if found is None else found.topic

    # Requests of brokers

    def check_request(self, link: Link, command: Command) -> None:
        """Check that a client may get a request of a broker.

        Raises:
            RequestRefused: It may not.
        """
        code = command.code
        if code == RequestCode.CHECK_TRANSACTION_STATE:
            self._check_transaction(link, command)
        elif code == RequestCode.CONSUME_MESSAGE_DIRECTLY:
            self._check_consumption(link, command)
        elif code == RequestCode.PUSH_REPLY_MESSAGE_TO_CLIENT:
            self._check_reply(link, command)

    def _check_transaction(self, link: Link, command: Command) -> None:
        """Check that the user of a producer may publish to the topic of a half message, which it is about to get."""
        message = decode_record(command.body)
        pairs = properties.parse(message.properties.decode(errors="replace"))
        rights = self._rights(link).producing.get(pairs.get(properties.PGROUP, ""))
        topic = pairs.get(properties.REAL_TOPIC) or message.topic
        if rights is None or not rights.allows_publishing(topic, otherwise=False):
            raise RequestRefused(
                ResponseCode.NO_PERMISSION, "the user of the producer has no permission on the topic of the message"
            )

    def _check_consumption(self, link: Link, command: Command) -> None:
        """Check that the user of a consumer may read a message which it is about to get."""
        group = command.ext.get("consumerGroup", "")
        rights = self._rights(link).consuming.get(group)
        topics = [one for one in topics_of(decode_record(command.body)) if names.owner_of(one) != group]
        if rights is None or not rights.allows(group, topics, otherwise=False):
            raise RequestRefused(
                ResponseCode.NO_PERMISSION, "the user of the consumer has no permission to consume this as the group"
            )

    def _check_reply(self, link: Link, command: Command) -> None:
        """Check that a client waits for a reply over this connection."""
        pairs = properties.parse(command.ext.get("properties", ""))
        found = self._open.find(
            pairs.get(REPLY_TO_CLIENT, ""), pairs.get(CORRELATION_ID, ""), self._clock.monotonic_ms()
        )
        if found is None or found.link is not link:
            raise RequestRefused(ResponseCode.SYSTEM_ERROR, "the client does not wait for this reply")
        self._open.close(found)

    def _rights(self, link: Link) -> _Connection:
        return self._connections.get(link.peer.channel) or _Connection()


def _remove_denied(beat: HeartbeatData, denied: DeniedPart) -> None:
    kept = []
    for consumer in beat.consumer_data_set:
        if group_permission(consumer.group_name, SUB) in denied.permissions:
            continue
        consumer.subscription_data_set = [
            one
            for one in consumer.subscription_data_set
            if denied.permissions.isdisjoint(popped(one.topic, consumer.group_name, SUB, SUB))
        ]
        kept.append(consumer)
    beat.consumer_data_set = kept
    # The broker must not take the subscriptions that it knows for those of this heartbeat.
    beat.heartbeat_fingerprint = 0


def _check(beat: HeartbeatData) -> None:
    groups = [consumer.group_name for consumer in beat.consumer_data_set]
    groups += [producer.group_name for producer in beat.producer_data_set]
    if len(groups) > MAX_GROUPS:
        raise RequestRefused(
            ResponseCode.INVALID_PARAMETER, f"one connection can be a member of at most {MAX_GROUPS} groups"
        )
    for name in (beat.client_id, *groups):
        if len(name) > MAX_NAME_CHARS:
            raise RequestRefused(
                ResponseCode.INVALID_PARAMETER, f"`{name[:32]}…` is longer than {MAX_NAME_CHARS} characters"
            )
