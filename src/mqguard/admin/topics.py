"""Topics and consumer groups of a cluster (request codes 17, 206, 207, 215, 216, 351)."""

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from mqguard.admin.client import Client, read
from mqguard.admin.errors import PeerRefused, TopicExists, TopicShrinks, nearest_names
from mqguard.admin.session import Session
from mqguard.errors import NotFound
from mqguard.model import names
from mqguard.model.topic import MESSAGE_TYPE, PERM_INHERIT, PERM_READ, PERM_WRITE, TopicConfig
from mqguard.remoting.bodies.topics import ClusterInfo, TopicConfigBody, TopicList
from mqguard.remoting.codes import RequestCode, ResponseCode
from mqguard.remoting.headers.groups import DeleteGroupHeader
from mqguard.remoting.headers.route import DeleteTopicHeader
from mqguard.remoting.headers.topics import CreateTopicHeader, TopicHeader

_REPLY_SUFFIX = "_REPLY_TOPIC"


class TopicChange(NamedTuple):
    """A topic at one broker before and after a change.

    Attributes:
        broker: Name of the broker.
        old: Topic before the change; None if it did not exist.
        new: Topic after the change.
    """

    broker: str
    old: TopicConfig | None
    new: TopicConfig


def create_everywhere(client: Client, cluster: str | None, wanted: TopicConfig) -> list[TopicChange]:
    """Create a topic at every broker that lacks it.

    Raises:
        TopicExists: A broker has the topic with other settings; nothing has changed.
        PeerRefused: The name is not valid, or the caller has no permission.
    """
    changes = []
    for broker, session, old in _read_everywhere(client, cluster, wanted.name):
        if old is not None and old.attributes and not wanted.attributes:
            same = msgspec.structs.replace(wanted, attributes=old.attributes)
        else:
            same = wanted
        if old is not None and old != same:
            raise TopicExists(
                f"the topic `{wanted.name}` exists at `{broker}` with {settings_text(old)}: "
                "use `mqguard topic update` to change it"
            )
        changes.append((session, TopicChange(broker, old, old or wanted)))
    return _store(changes)


def update_everywhere(
    client: Client,
    cluster: str | None,
    name: str,
    change: Callable[[TopicConfig], TopicConfig],
    *,
    shrink: bool,
) -> list[TopicChange]:
    """Change a topic at every broker that has it.

    Raises:
        NotFound: No broker has the topic.
        TopicShrinks: The topic would have fewer queues, and the caller has not allowed that; nothing has changed.
        PeerRefused: The caller has no permission.
    """
    changes = []
    for broker, session, old in _read_everywhere(client, cluster, name):
        if old is None:
            continue
        new = change(old)
        if not shrink and (new.read_queues < old.read_queues or new.write_queues < old.write_queues):
            raise TopicShrinks(
                f"nothing was changed: the topic `{name}` has {settings_text(old)} at `{broker}`, and consumers would "
                "not receive the messages in removed queues: first lower `--write-queues`, wait until consumers have "
                "received the messages, and then lower `--read-queues`, each with `--shrink`"
            )
        changes.append((session, TopicChange(broker, old, new)))
    if not changes:
        raise NotFound(f"the topic `{name}` does not exist{nearest_names(name, find_of_users(client))}")
    return _store(changes)


def settings_text(topic: TopicConfig) -> str:
    """Return the settings of a topic for people."""
    queues = f"{topic.read_queues} queues"
    if topic.read_queues != topic.write_queues:
        queues = f"{topic.read_queues} read queues and {topic.write_queues} write queues"
    perm = "".join(sign for bit, sign in ((PERM_READ, "r"), (PERM_WRITE, "w")) if topic.perm & bit) or "no access"
    kind = topic.attributes.get(MESSAGE_TYPE)
    return f"{queues}, {perm}" + (f", {kind}" if kind else "")


def _read_everywhere(client: Client, cluster: str | None, name: str) -> list[tuple[str, Session, TopicConfig | None]]:
    sessions = [(broker.name, client.at(broker.address)) for broker in client.brokers(cluster)]
    return [(broker, session, get(session, name)) for broker, session in sessions]


def _store(changes: list[tuple[Session, TopicChange]]) -> list[TopicChange]:
    for session, change in changes:
        if change.old != change.new:
            create(session, change.new)
    return [change for _, change in changes]


def create(session: Session, topic: TopicConfig) -> None:
    """Create or change a topic at a broker.

    Raises:
        PeerRefused: The name is not valid, or the caller has no permission.
    """
    header = CreateTopicHeader(
        topic=topic.name,
        default_topic=names.TEMPLATE_TOPIC,
        read_queue_nums=topic.read_queues,
        write_queue_nums=topic.write_queues,
        perm=topic.perm,
        topic_filter_type=topic.filter_type,
        topic_sys_flag=topic.sys_flag,
        order=topic.order,
        attributes=",".join(f"+{name}={value}" for name, value in topic.attributes.items()) or None,
    )
    session.call(RequestCode.UPDATE_AND_CREATE_TOPIC, header)


def get(session: Session, name: str) -> TopicConfig | None:
    """Return a topic of a broker, None if it does not exist there.

    Raises:
        PeerRefused: The caller has no permission.
    """
    answer = session.call(
        RequestCode.GET_TOPIC_CONFIG,
        TopicHeader(topic=name),
        accept=frozenset({ResponseCode.SUCCESS, ResponseCode.TOPIC_NOT_EXIST}),
    )
    return read(answer, TopicConfigBody).value() if answer.code == ResponseCode.SUCCESS else None


def is_known(session: Session, name: str) -> bool | None:
    """True if a topic exists at a broker; None if the caller may not read it."""
    try:
        return get(session, name) is not None
    except PeerRefused:
        return None


def creates_by_sending(session: Session) -> bool:
    """True if a broker creates missing topics when a message is sent."""
    try:
        template = get(session, names.TEMPLATE_TOPIC)
    except PeerRefused:
        return False
    return template is not None and bool(template.perm & PERM_INHERIT)


def delete(client: Client, name: str, cluster: str | None = None) -> None:
    """Delete a topic at every master of a cluster and from the name server.

    Raises:
        PeerRefused: The caller has no permission.
    """
    for broker in client.brokers(cluster):
        client.at(broker.address).call(RequestCode.DELETE_TOPIC_IN_BROKER, TopicHeader(topic=name))
    client.namesrv.call(RequestCode.DELETE_TOPIC_IN_NAMESRV, DeleteTopicHeader(topic=name))


def find(client: Client) -> list[str]:
    """Return the names of all topics that the name server lists.

    Raises:
        PeerRefused: The caller has no permission.
    """
    answer = client.namesrv.call(RequestCode.GET_ALL_TOPIC_LIST_FROM_NAMESERVER)
    return sorted(read(answer, TopicList).topic_list)


def find_of_users(client: Client) -> list[str]:
    """Return the topics that users have created: neither topics of the system, nor of groups, brokers and clusters.

    Raises:
        PeerRefused: The caller has no permission.
    """
    answer = client.namesrv.call(RequestCode.GET_BROKER_CLUSTER_INFO)
    info = read(answer, ClusterInfo)
    reserved = {*names.SYSTEM_TOPICS, *info.cluster_addr_table, *info.broker_addr_table}
    reserved |= {f"{cluster}{_REPLY_SUFFIX}" for cluster in info.cluster_addr_table}
    return [one for one in find(client) if one not in reserved and names.owner_of(one) is None and not _is_system(one)]


def check_exists(client: Client, name: str) -> None:
    """Check that the name server lists a topic.

    Raises:
        NotFound: The topic does not exist.
        PeerRefused: The caller has no permission.
    """
    known = find(client)
    if name not in known:
        raise NotFound(f"the topic `{name}` does not exist{nearest_names(name, find_of_users(client))}")


def _is_system(name: str) -> bool:
    return name.startswith(("rmq_sys_", "RMQ_SYS_", "%SYS"))


def delete_group(session: Session, group: str) -> None:
    """Delete a consumer group at a broker, and its offsets.

    Raises:
        PeerRefused: The caller has no permission.
    """
    header = DeleteGroupHeader(group_name=group, clean_offset=True)
    session.call(RequestCode.DELETE_SUBSCRIPTIONGROUP, header)
