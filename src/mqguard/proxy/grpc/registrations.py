"""The gRPC producers as brokers of other processes see them: one client of the guard, with all of their groups.

A broker checks a transaction with a member of its producer group. gRPC producers have one group for each topic, with
the name of the topic. The guard registers the groups at all brokers, and passes each check on to one of its clients.

Source: Apache `ClusterTransactionService`.
"""

import secrets
from typing import Final, Protocol

from mqguard.auth.policy import Action
from mqguard.auth.resource import ResourceType
from mqguard.guard.errors import RequestSuspended
from mqguard.model import properties, record
from mqguard.proxy.cluster.connections import Connections
from mqguard.proxy.cluster.directory import Broker, Directory
from mqguard.proxy.grpc.clients import GrpcClient
from mqguard.remoting.bodies.clients import HeartbeatData, ProducerData
from mqguard.remoting.bodies.codec import encode
from mqguard.remoting.codes import SERVER_VERSION, LanguageCode, RequestCode
from mqguard.remoting.command import Command

INTERVAL_S: Final = 20.0
"""Seconds between two heartbeats; brokers forget a client after two minutes (Apache: `transactionHeartbeatPeriod`)."""
GROUPS_OF_ONE: Final = 200
"""Maximum groups in one heartbeat."""


class _Timer(Protocol):
    def cancel(self) -> None: ...  # pragma: no cover


class ProducerRegistrations:
    """The producer groups of all gRPC clients.

    Args:
        directory: The brokers.
        connections: Connections to them.
    """

    def __init__(self, directory: Directory, connections: Connections) -> None:
        self._directory = directory
        self._connections = connections
        self._client_id = f"mqguard-grpc@{secrets.token_hex(8)}"
        self._members: dict[str, dict[GrpcClient, None]] = {}
        self._groups_of: dict[GrpcClient, frozenset[str]] = {}
        self._timer: _Timer | None = None
        connections.add_loss_listener(self._lost)
        directory.add_listener(self._changed)

    def __len__(self) -> int:
        return len(self._members)

    def start(self) -> None:
        """Begin to send heartbeats."""
        self._timer = self._connections.loop.call_later(INTERVAL_S, self._beat)

    def close(self) -> None:
        """Stop the heartbeats."""
        if self._timer is not None:
            self._timer.cancel()

    def register(self, client: GrpcClient, groups: frozenset[str]) -> None:
        """Set the groups of a client. Brokers get the new groups at once."""
        before = self._groups_of.get(client, frozenset())
        new = [group for group in groups - before if group not in self._members]
        for group in groups - before:
            self._members.setdefault(group, {})[client] = None
        for group in before - groups:
            self._remove(client, group)
        if groups:
            self._groups_of[client] = groups
        else:
            self._groups_of.pop(client, None)
        for broker in self._directory.brokers.values() if new else ():
            self._send(broker, new)

    def leave(self, client: GrpcClient) -> None:
        """Forget a client."""
        for group in self._groups_of.pop(client, ()):
            self._remove(client, group)

    def check(self, broker: str, command: Command) -> None:
        """Pass the check of a transaction on to a client that may publish to the topic of the message.

        A producer group may have the name of another topic, if a client of the remoting protocol has sent the message.
        So the topic of the message decides who gets it.

        Raises:
            RecordInvalid: The broker has sent no message.
        """
        message = record.decode(command.body)
        pairs = properties.parse(message.properties.decode(errors="replace"))
        topic = pairs.get(properties.REAL_TOPIC, message.topic)
        members = self._members.get(pairs.get(properties.PGROUP, ""), {})
        for client in list(members):
            if topic in self._groups_of[client] and _may_publish(client, topic):
                # The next check goes to another client.
                del members[client]
                members[client] = None
                # The fields of the request may name another topic than the message.
                command.ext = {**command.ext, "bname": broker, "topic": topic}
                client.send_command(command)
                return

    def _remove(self, client: GrpcClient, group: str) -> None:
        members = self._members[group]
        del members[client]
        if not members:
            del self._members[group]
            ext = {"clientID": self._client_id, "producerGroup": group}
            self._to_all(Command(RequestCode.UNREGISTER_CLIENT, 0, 0, SERVER_VERSION, LanguageCode.PYTHON, None, ext))

    def _beat(self) -> None:
        self._timer = self._connections.loop.call_later(INTERVAL_S, self._beat)
        groups = list(self._members)
        for broker in self._directory.brokers.values():
            self._send(broker, groups)

    def _changed(self, _old: Broker | None, new: Broker | None) -> None:
        if new is not None:
            self._send(new, list(self._members))

    def _lost(self, address: str) -> None:
        """Register again with a broker whose connection has ended: it has forgotten the client with the connection."""
        broker = self._directory.find_address(address)
        if broker is not None:
            self._send(broker, list(self._members))

    def _send(self, broker: Broker, groups: list[str]) -> None:
        for start in range(0, len(groups), GROUPS_OF_ONE):
            part = [ProducerData(group) for group in groups[start : start + GROUPS_OF_ONE]]
            body = encode(HeartbeatData(self._client_id, part))
            command = Command(RequestCode.HEART_BEAT, 0, 0, SERVER_VERSION, LanguageCode.PYTHON, None, {}, body)
            self._connections.call(broker.serving, command, _ignore)

    def _to_all(self, command: Command) -> None:
        for broker in self._directory.brokers.values():
            self._connections.call(broker.serving, command, _ignore)


def _may_publish(client: GrpcClient, topic: str) -> bool:
    if client.closed or not any(stream.is_open for stream in client.streams):
        return False
    try:
        return client.access.allows(ResourceType.TOPIC, topic, Action.PUB)
    except RequestSuspended:
        return False  # a plugin must be called first, and the broker checks again


def _ignore(_outcome: object) -> None:
    """Ignore the outcome of a heartbeat: another one follows."""
