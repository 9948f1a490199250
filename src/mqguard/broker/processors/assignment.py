"""Queues that the broker assigns to members of a group (400), and the mode of a group in a topic (401, 402)."""

import bisect
from collections.abc import Callable, Mapping, Sequence

from mqguard.auth.policy import Action
from mqguard.auth.resource import ResourceType
from mqguard.broker.background import CHANGED
from mqguard.broker.group_rules import refuse_reserved
from mqguard.broker.settings import BrokerSettings
from mqguard.broker.topic_routes import TopicRoutes
from mqguard.dispatch.request import Handler, Request, RequestRefused, error_reply
from mqguard.engine import request_modes
from mqguard.engine.clients import Clients, RebalanceNotifications
from mqguard.engine.engine import Engine
from mqguard.engine.pop_polls import ALL_QUEUES
from mqguard.model import names
from mqguard.remoting.bodies.clients import (
    Assignment,
    Assignments,
    QueryAssignment,
    RequestMode,
    RequestModeName,
    RequestModeTable,
)
from mqguard.remoting.bodies.codec import MessageQueue, decode, encode
from mqguard.remoting.codes import RequestCode, ResponseCode
from mqguard.remoting.command import Reply
from mqguard.remoting.pop_handles import named_topic

Queues = Callable[[str], Mapping[str, int]]
"""Function that returns the number of readable queues of a topic by broker; empty for an unknown topic."""
MAX_ASSIGNED = 16_384
"""Maximum queues of a topic, at all brokers, that are assigned. Each takes some 3 us."""
MAX_WAITING_BYTES = 4_096
"""Maximum size of a request that waits for a name server. Clients send less than 1,000 bytes."""


class AssignmentProcessor:
    """Handlers for the balance of queues among the members of a group.

    Args:
        engine: Topics, groups and modes.
        clients: Members of the groups.
        notices: Notifications of members, which then ask for their queues again.
        queues: See `Queues`.
        settings: See `BrokerSettings`.
        routes: Routes from name servers in other processes, which have the queues then; None if there are none.
    """

    def __init__(
        self,
        engine: Engine,
        clients: Clients,
        notices: RebalanceNotifications,
        queues: Queues,
        settings: BrokerSettings,
        routes: TopicRoutes | None = None,
    ) -> None:
        self._engine = engine
        self._clients = clients
        self._notices = notices
        self._queues = queues if routes is None else routes.queues
        self._routes = routes
        self._default = request_modes.GroupMode(settings.request_mode, settings.pop_share_queues)

    def handlers(self) -> dict[int, Handler]:
        """Return the handlers by request code."""
        return {
            RequestCode.QUERY_ASSIGNMENT: self.query,
            RequestCode.SET_MESSAGE_REQUEST_MODE: self.set_mode,
            RequestCode.GET_ALL_MESSAGE_REQUEST_MODE: self.all_modes,
        }

    def query(self, request: Request) -> Reply | None:
        """Return the queues of a client (400), at once or when a name server has answered.

        An answer without a list makes the client keep the queues that it has.
        """
        body = decode(request.command.body, QueryAssignment)
        if body.topic.startswith(named_topic(body.consumer_group, "")):
            # A client names its retry topic of pop like this. Another group may have a retry topic with that name.
            return Reply(body=encode(Assignments(message_queue_assignments=[])))
        if self._routes is not None and len(request.command.body) <= MAX_WAITING_BYTES:
            waiting = request.without_body()
            if self._routes.request(
                body.topic, request.access.owner, lambda found: self._answer_later(waiting, body, found)
            ):
                return None
        return self._answer(body, self._queues(body.topic))

    def _answer_later(self, request: Request, body: QueryAssignment, by_broker: Mapping[str, int]) -> None:
        try:
            if request.access.still_allowed():
                reply = self._answer(body, by_broker)
            else:
                reply = Reply(ResponseCode.NO_PERMISSION, remark=CHANGED)
        except Exception as exc:  # noqa: BLE001 - the other clients that wait must be answered too
            reply = error_reply(request.command.code, exc)
        request.respond(reply)

    def _answer(self, body: QueryAssignment, by_broker: Mapping[str, int]) -> Reply:
        mode = self._mode(body.topic, body.consumer_group)
        assigned = self._assign(body, mode, by_broker)
        if assigned is None:
            return Reply(body=encode(Assignments()))
        found = [Assignment(message_queue=queue, mode=mode.mode) for queue in dict.fromkeys(assigned)]
        return Reply(body=encode(Assignments(message_queue_assignments=found)))

    def set_mode(self, request: Request) -> Reply:
        """Set the mode of a group in a topic (401)."""
        body = decode(request.command.body, RequestMode)
        group = body.consumer_group
        refuse_reserved(group)
        if body.topic.startswith(names.RETRY_PREFIX):
            raise RequestRefused(ResponseCode.NO_PERMISSION, "retry topic is not allowed to set mode")
        self._engine.topics.require(body.topic)
        if self._engine.groups.get(group) is None:
            request.access.require(ResourceType.GROUP, group, Action.CREATE)
        self._engine.groups.find(group, request.access.creator)
        mode = request_modes.GroupMode(str(body.mode), body.pop_share_queue_num, request.access.owner)
        self._engine.request_modes.set(body.topic, group, mode)
        self._engine.group_commit.after(lambda: self._notices.changed(group))
        return Reply(stored=True)

    def all_modes(self, _request: Request) -> Reply:
        """Return all modes that were set (402)."""
        table: dict[str, dict[str, RequestMode]] = {}
        for (topic, group), mode in self._engine.request_modes.all().items():
            table.setdefault(topic, {})[group] = RequestMode(
                topic, group, RequestModeName(mode.mode), mode.share_queues
            )
        return Reply(body=encode(RequestModeTable(message_request_mode_map=table)))

    def _mode(self, topic: str, group: str) -> request_modes.GroupMode:
        found = self._engine.request_modes.get(topic, group)
        if found is not None:
            return found
        return request_modes.GroupMode() if topic.startswith(names.RETRY_PREFIX) else self._default

    def _assign(
        self, body: QueryAssignment, mode: request_modes.GroupMode, by_broker: Mapping[str, int]
    ) -> list[MessageQueue] | None:
        """Return the queues of a client, None if they are unknown."""
        if not by_broker or sum(by_broker.values()) > MAX_ASSIGNED:
            return None
        queues = [
            MessageQueue(body.topic, broker, queue_id)
            for broker in sorted(by_broker)
            for queue_id in range(by_broker[broker])
        ]
        if body.message_model == "BROADCASTING":
            return queues
        group = self._clients.group(body.consumer_group)
        strategy = STRATEGIES.get(body.strategy_name)
        if group is None or strategy is None:
            return None
        members = sorted(set(group.client_ids()))
        if mode.mode == request_modes.POP:
            return _assign_pop(strategy, queues, members, body.client_id, mode.share_queues)
        return strategy(queues, members, body.client_id)


Strategy = Callable[[Sequence[MessageQueue], Sequence[str], str], list[MessageQueue]]


def average(queues: Sequence[MessageQueue], members: Sequence[str], client_id: str) -> list[MessageQueue]:
    """Return a contiguous part of the queues, as Apache's `AllocateMessageQueueAveragely` (`AVG`)."""
    index = _index(members, client_id)
    if index is None:
        return []
    share, more = divmod(len(queues), len(members))
    begin = index * share + min(index, more)
    return list(queues[begin : begin + share + (index < more)])


def average_by_circle(queues: Sequence[MessageQueue], members: Sequence[str], client_id: str) -> list[MessageQueue]:
    """Return every nth queue, as Apache's `AllocateMessageQueueAveragelyByCircle` (`AVG_BY_CIRCLE`)."""
    index = _index(members, client_id)
    return [] if index is None else list(queues[index :: len(members)])


def _index(members: Sequence[str], client_id: str) -> int | None:
    """Return the position of a member among the members in order of their ids, None if there is none.

    A member that pops needs the queues of up to all others, so that a search through all of them would take long.
    """
    index = bisect.bisect_left(members, client_id)
    return index if index < len(members) and members[index] == client_id else None


STRATEGIES: Mapping[str, Strategy] = {"AVG": average, "AVG_BY_CIRCLE": average_by_circle}


def _assign_pop(
    strategy: Strategy, queues: Sequence[MessageQueue], members: Sequence[str], client_id: str, share: int
) -> list[MessageQueue]:
    """Return the queues that a member pops: its own and those of the next members, as Apache assigns them."""
    if share <= 0 or share >= len(members) - 1:
        # Every member pops from all queues of each broker.
        return list(dict.fromkeys(MessageQueue(queue.topic, queue.broker_name, ALL_QUEUES) for queue in queues))
    index = _index(members, client_id)
    if index is None:
        return []
    if len(members) > len(queues):
        return [queues[index % len(queues)]]
    found: list[MessageQueue] = []
    for number in range(share + 1):
        found += strategy(queues, members, members[(index + number) % len(members)])
    return found
