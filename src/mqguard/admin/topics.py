"""Topics and consumer groups of a cluster (request codes 17, 200, 206, 207, 215, 216)."""

from mqguard.admin.client import Client, read
from mqguard.admin.session import Session
from mqguard.model import names
from mqguard.model.topic import TopicConfig
from mqguard.remoting.bodies.tables import TopicList
from mqguard.remoting.codes import RequestCode
from mqguard.remoting.headers.groups import DeleteGroupHeader
from mqguard.remoting.headers.route import DeleteTopicHeader
from mqguard.remoting.headers.topics import CreateTopicHeader, TopicHeader


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


def delete_group(session: Session, group: str) -> None:
    """Delete a consumer group at a broker, and its offsets.

    Raises:
        PeerRefused: The caller has no permission.
    """
    header = DeleteGroupHeader(group_name=group, clean_offset=True)
    session.call(RequestCode.DELETE_SUBSCRIPTIONGROUP, header)
