"""Who is connected (203, 204, 328)."""

from mqguard.broker.message_authorization import visible_topics
from mqguard.broker.views import connection, language_name, subscription_data
from mqguard.dispatch.request import Handler, Request, RequestRefused
from mqguard.engine.clients import Clients, Member
from mqguard.remoting.bodies.clients import ConsumerConnection, ProducerConnection, ProducerInfo, ProducerTable
from mqguard.remoting.bodies.codec import encode
from mqguard.remoting.codes import RequestCode, ResponseCode
from mqguard.remoting.command import Reply
from mqguard.remoting.headers.clients import ConsumerGroupHeader, ProducerGroupHeader
from mqguard.remoting.headers.codec import read


class Connections:
    """Tells of live clients."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    def handlers(self) -> dict[int, Handler]:
        """What is served here."""
        return {
            RequestCode.GET_CONSUMER_CONNECTION_LIST: self.consumers,
            RequestCode.GET_PRODUCER_CONNECTION_LIST: self.producers,
            RequestCode.GET_ALL_PRODUCER_INFO: self.all_producers,
        }

    def consumers(self, request: Request) -> Reply:
        """The consumers of a group, and what they subscribe to as far as the asker may see it (203)."""
        name = read(request.command.ext, ConsumerGroupHeader).consumer_group
        group = self._clients.group(name)
        if group is None:
            raise RequestRefused(ResponseCode.CONSUMER_NOT_ONLINE, f"the consumer group[{name}] not online")
        latest = group.latest
        shown = visible_topics(request.access, group.subscriptions)
        return Reply(
            body=encode(
                ConsumerConnection(
                    connection_set=[connection(member.client) for member in group.members.values()],
                    subscription_table={topic: subscription_data(group.subscriptions[topic]) for topic in shown},
                    consume_type=latest.consume_type,
                    message_model=latest.message_model,
                    consume_from_where=latest.consume_from,
                )
            )
        )

    def producers(self, request: Request) -> Reply:
        """The producers of a group (204)."""
        name = read(request.command.ext, ProducerGroupHeader).producer_group
        members = self._clients.producers(name)
        if not members:
            raise RequestRefused(ResponseCode.SYSTEM_ERROR, f"the producer group[{name}] not exist")
        return Reply(body=encode(ProducerConnection(connection_set=[connection(member.client) for member in members])))

    def all_producers(self, request: Request) -> Reply:
        """All producers by group (328)."""
        del request
        table = {group: list(map(_producer, members)) for group, members in self._clients.all_producers().items()}
        return Reply(body=encode(ProducerTable(data=table)))


def _producer(member: Member) -> ProducerInfo:
    client = member.client
    return ProducerInfo(
        client_id=client.client_id,
        remote_ip=client.link.peer.address,
        language=language_name(client.language),
        version=client.version,
        last_update_timestamp=member.seen_ms,
    )
