"""Consumer groups of a cluster: settings, members, lag and offsets (codes 200, 201, 203, 207, 208, 222)."""

from collections.abc import Iterable
from typing import NamedTuple

from mqguard.admin.client import Client, read
from mqguard.admin.errors import GroupExists, PeerRefused, nearest_names
from mqguard.admin.session import Session
from mqguard.engine.groups import TOOLS_GROUPS
from mqguard.errors import NotFound
from mqguard.remoting.bodies.clients import ConsumerConnection
from mqguard.remoting.bodies.codec import encode
from mqguard.remoting.bodies.groups import ConsumeStats, GroupConfigBody, GroupTable
from mqguard.remoting.codes import RequestCode, ResponseCode
from mqguard.remoting.headers.groups import ConsumerGroupHeader, ConsumeStatsHeader, DeleteGroupHeader
from mqguard.remoting.headers.topics import ResetOffsetHeader

LATEST = -1
"""Time of a reset that skips all messages."""


class ConnectedConsumer(NamedTuple):
    """One connected consumer of a group.

    Attributes:
        client_id: Id of the client.
        address: Address of the client.
        language: Language of the client's library.
        version: Version of the client's library, as a number.
    """

    client_id: str
    address: str
    language: str
    version: int


class QueueLag(NamedTuple):
    """Progress of a group in one queue.

    Attributes:
        topic: Name of the topic.
        broker: Name of the broker.
        queue_id: Number of the queue.
        end: Offset behind the newest message.
        offset: Offset of the next message for the group.
        last_ms: Store time of the last consumed message, milliseconds since the epoch; 0 if there is none.
    """

    topic: str
    broker: str
    queue_id: int
    end: int
    offset: int
    last_ms: int

    @property
    def lag(self) -> int:
        """Number of messages that the group has not consumed."""
        return max(0, self.end - self.offset)


def find(client: Client, cluster: str | None, *, reserved: bool = False) -> list[str]:
    """Return the names of the consumer groups of a cluster.

    Args:
        client: Client of the cluster.
        cluster: Name of the cluster; None if there is only one.
        reserved: True to include the groups that every broker has.

    Raises:
        PeerRefused: The caller has no permission.
    """
    found: set[str] = set()
    for session in _sessions(client, cluster):
        answer = session.call(RequestCode.GET_ALL_SUBSCRIPTIONGROUP_CONFIG)
        found |= read(answer, GroupTable).subscription_group_table.keys()
    return sorted(found if reserved else found - {*TOOLS_GROUPS})


def create(client: Client, cluster: str | None, name: str, *, broadcast: bool, orderly: bool, retries: int) -> None:
    """Create a consumer group at every broker of a cluster.

    Raises:
        GroupExists: The group exists; nothing has changed.
        PeerRefused: The name is not valid, or the caller has no permission.
    """
    if name in find(client, cluster, reserved=True):
        raise GroupExists(f"the group `{name}` exists")
    body = GroupConfigBody(
        name, consume_broadcast_enable=broadcast, consume_message_orderly=orderly, retry_max_times=retries
    )
    for session in _sessions(client, cluster):
        session.call(RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP, body=encode(body))


def delete(client: Client, cluster: str | None, name: str) -> None:
    """Delete a consumer group and its offsets at every broker of a cluster.

    Raises:
        NotFound: The group does not exist.
        PeerRefused: The caller has no permission.
    """
    check_exists(client, cluster, name)
    for session in _sessions(client, cluster):
        session.call(RequestCode.DELETE_SUBSCRIPTIONGROUP, DeleteGroupHeader(group_name=name, clean_offset=True))


def check_exists(client: Client, cluster: str | None, name: str) -> None:
    """Check that a cluster has a consumer group.

    Raises:
        NotFound: The group does not exist.
        PeerRefused: The caller has no permission.
    """
    if name not in find(client, cluster, reserved=True):
        raise NotFound(f"the group `{name}` does not exist{nearest_names(name, find(client, cluster))}")


def members(client: Client, cluster: str | None, name: str) -> list[ConnectedConsumer]:
    """Return the connected consumers of a group.

    Raises:
        PeerRefused: The caller has no permission.
    """
    accept = frozenset({ResponseCode.SUCCESS, ResponseCode.CONSUMER_NOT_ONLINE})
    found: dict[str, ConnectedConsumer] = {}
    for session in _sessions(client, cluster):
        header = ConsumerGroupHeader(consumer_group=name)
        answer = session.call(RequestCode.GET_CONSUMER_CONNECTION_LIST, header, accept=accept)
        if answer.code == ResponseCode.SUCCESS:
            for one in read(answer, ConsumerConnection).connection_set:
                found[one.client_id] = ConnectedConsumer(one.client_id, one.client_addr, one.language, one.version)
    return list(found.values())


def lag(client: Client, cluster: str | None, name: str, topic: str | None = None) -> list[QueueLag]:
    """Return the progress of a group in each queue of its topics.

    Raises:
        PeerRefused: The caller has no permission.
    """
    found = []
    for session in _sessions(client, cluster):
        header = ConsumeStatsHeader(consumer_group=name, topic=topic)
        try:
            answer = session.call(RequestCode.GET_CONSUME_STATS, header)
        except PeerRefused as error:
            # Apache's brokers answer so for a group that has no topic yet.
            if error.code == ResponseCode.NO_PERMISSION:
                raise
            continue
        for queue, one in read(answer, ConsumeStats).offset_table.items():
            found.append(
                QueueLag(
                    queue.topic,
                    queue.broker_name,
                    queue.queue_id,
                    one.broker_offset,
                    one.consumer_offset,
                    one.last_timestamp,
                )
            )
    return sorted(found)


def reset(client: Client, cluster: str | None, name: str, topic: str, time_ms: int) -> None:
    """Set the offsets of a group in a topic to the first message of a time; `LATEST` skips all messages.

    Raises:
        PeerRefused: The caller has no permission, or the topic does not exist.
    """
    header = ResetOffsetHeader(group=name, topic=topic, timestamp=time_ms, is_force=True)
    for session in _sessions(client, cluster):
        session.call(RequestCode.INVOKE_BROKER_TO_RESET_OFFSET, header)


def _sessions(client: Client, cluster: str | None) -> Iterable[Session]:
    return [client.at(broker.address) for broker in client.brokers(cluster)]
