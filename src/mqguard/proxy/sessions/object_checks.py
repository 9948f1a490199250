"""Checks of the objects that requests to a broker reach beyond those they name.

The guard looks each object up at the broker, asks for the permission on it, and only then passes the request on.
"""

# Rule 1: a request without a check is refused (`listener.UNCHECKED`).
# Rule 2: transactions that are not found, and those of others, have the same answer.

from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeVar

from mqguard.auth.policy import Action
from mqguard.auth.resource import ResourceType
from mqguard.dispatch.request import Request, RequestRefused
from mqguard.guard.message_authorization import is_permitted, require_message, require_put
from mqguard.guard.requirements.messages import HALF_TOPICS
from mqguard.model import names, properties, recall_handle
from mqguard.model.recall_handle import RecallHandleInvalid
from mqguard.model.record import Record, decode, decode_all, parse_offset_id
from mqguard.proxy.sessions.client_registry import ClientRegistry
from mqguard.proxy.sessions.lookups import Found, Lookups, success
from mqguard.proxy.sessions.ports import CheckObjects, OnChecked
from mqguard.remoting.bodies.codec import decode as decode_body
from mqguard.remoting.bodies.codec import decode_leniently
from mqguard.remoting.bodies.groups import GroupConfigBody, GroupConfigs, GroupTable
from mqguard.remoting.bodies.lite import LiteSubscriptions
from mqguard.remoting.bodies.topics import GroupList, TopicConfigs, TopicList
from mqguard.remoting.codes import RequestCode, ResponseCode
from mqguard.remoting.command import Command

T = TypeVar("T")

NO_TRANSACTION: Final = "Find prepared transaction message failed"
"""Apache's wording."""
NOT_RESUMED: Final = "Put message back to RMQ_SYS_TRANS_HALF_TOPIC failed."
"""Apache's wording."""
DISCARDED_TOPIC: Final = "TRANS_CHECK_MAX_TIME_TOPIC"
TIMER_TOPIC: Final = "rmq_sys_wheel_timer"
MAX_OBJECTS: Final = 256
"""Maximum number of topics or groups that one request may reach unnamed."""


class ObjectChecks:
    """The checks of one broker.

    Args:
        lookups: Look-ups at the broker.
        clients: The connected clients.
    """

    def __init__(self, lookups: Lookups, clients: ClientRegistry) -> None:
        self._lookups = lookups
        self._clients = clients

    def checks(self) -> dict[int, CheckObjects]:
        """Return the checks by request code."""
        return {
            RequestCode.VIEW_MESSAGE_BY_ID: self._view,
            RequestCode.CONSUMER_SEND_MSG_BACK: self._send_back,
            RequestCode.CONSUME_MESSAGE_DIRECTLY: self._consume_directly,
            RequestCode.END_TRANSACTION: self._end_transaction,
            RequestCode.RESUME_CHECK_HALF_MESSAGE: self._resume,
            RequestCode.RECALL_MESSAGE: self._recall,
            RequestCode.CLONE_GROUP_OFFSET: self._clone,
            RequestCode.QUERY_CORRECTION_OFFSET: self._correction,
            RequestCode.UPDATE_AND_CREATE_TOPIC: self._put_topic,
            RequestCode.UPDATE_AND_CREATE_TOPIC_LIST: self._put_topics,
            RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP: self._put_group,
            RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST: self._put_groups,
            RequestCode.SEND_REPLY_MESSAGE: self._reply,
            RequestCode.SEND_REPLY_MESSAGE_V2: self._reply,
            RequestCode.UNREGISTER_CLIENT: self._unregister,
            RequestCode.POP_LITE_MESSAGE: self._pop_lite,
            RequestCode.LITE_SUBSCRIPTION_CTL: self._subscribe_lite,
            # The answer is filtered.
            RequestCode.GET_CONSUMER_CONNECTION_LIST: _filtered_later,
            RequestCode.QUERY_TOPICS_BY_CONSUMER: _filtered_later,
            RequestCode.GET_CONSUME_STATS: _filtered_later,
            RequestCode.GET_BROKER_LITE_INFO: _only_super,
            RequestCode.GET_PARENT_TOPIC_INFO: _only_super,
            RequestCode.GET_LITE_TOPIC_INFO: _only_super,
            RequestCode.GET_LITE_GROUP_INFO: _only_super,
        }

    # Messages

    def _view(self, request: Request, done: OnChecked) -> None:
        """Require Get on the message at an offset (33)."""
        self._message(request, _number(request, "offset"), Action.GET, done)

    def _send_back(self, request: Request, done: OnChecked) -> None:
        """Require Sub on the message that is sent back (36)."""
        self._message(request, _number(request, "offset"), Action.SUB, done)

    def _consume_directly(self, request: Request, done: OnChecked) -> None:
        """Require Sub on the message that a consumer shall process (309)."""
        self._message(request, _offset_of(request), Action.SUB, done)

    def _message(self, request: Request, offset: int, action: Action, done: OnChecked) -> None:
        def found(data: bytes) -> None:
            require_message(request.access, data, action)

        self._lookups.message(offset, _finishing(found, done))

    def _end_transaction(self, request: Request, done: OnChecked) -> None:
        """Require Pub on the topic of the half message (37)."""

        def found(data: bytes) -> None:
            topic = _half_topic(decode(data), HALF_TOPICS)
            if topic is None or not is_permitted(request.access, topic, Action.PUB):
                raise RequestRefused(ResponseCode.SYSTEM_ERROR, NO_TRANSACTION)

        offset = _number(request, "commitLogOffset")
        self._lookups.message(offset, _hiding(found, done, ResponseCode.SYSTEM_ERROR, NO_TRANSACTION))

    def _resume(self, request: Request, done: OnChecked) -> None:
        """Require Update on the topic of the discarded half message (323)."""

        def found(data: bytes) -> None:
            topic = _half_topic(decode(data), frozenset({DISCARDED_TOPIC}))
            if topic is None or not is_permitted(request.access, topic, Action.UPDATE):
                raise RequestRefused(ResponseCode.SYSTEM_ERROR, NOT_RESUMED)

        self._lookups.message(_offset_of(request), _hiding(found, done, ResponseCode.SYSTEM_ERROR, NOT_RESUMED))

    def _recall(self, request: Request, done: OnChecked) -> None:
        """Require that a recall removes messages of the named topic only (370).

        Apache's broker finds the message by its unique id alone.
        """
        ext = request.command.ext
        try:
            handle = recall_handle.decode(ext.get("recallHandle", ""))
        except RecallHandleInvalid as exc:
            raise RequestRefused(ResponseCode.ILLEGAL_OPERATION, str(exc)) from None
        topic = ext.get("topic", "")

        def read(answer: Command) -> list[Record]:
            return decode_all(success(answer).body)

        def found(records: list[Record]) -> None:
            same = [one for one in records if _property(one, properties.UNIQ_KEY) == handle.unique_id]
            topics = {_property(one, properties.REAL_TOPIC) for one in same}
            if handle.topic != topic or topics != {topic}:
                raise RequestRefused(ResponseCode.SYSTEM_ERROR, "recall failed: no message of this topic waits")

        fields = {
            "topic": TIMER_TOPIC,
            "key": handle.unique_id,
            "maxNum": "32",
            "beginTimestamp": "0",
            "endTimestamp": str(2**62),
            "indexType": "U",
            "_UNIQUE_KEY_QUERY": "true",
        }
        refusal = "recall failed: no message of this topic waits"
        self._lookups.ask(
            RequestCode.QUERY_MESSAGE, fields, read, _hiding(found, done, ResponseCode.SYSTEM_ERROR, refusal)
        )

    def _reply(self, request: Request, done: OnChecked) -> None:
        """Require Sub on the topic of the request that is answered, if its asker is connected to this guard (324).

        Another guard may have the asker. It delivers the reply only if the asker waits for its correlation id, which
        readers of the request know.
        """
        ext = request.command.ext
        text = ext.get("properties" if request.command.code == RequestCode.SEND_REPLY_MESSAGE else "i", "")
        topic = self._clients.topic_of_open_request(properties.parse(text))
        if topic is not None and not is_permitted(request.access, topic, Action.SUB):
            raise RequestRefused(
                ResponseCode.SYSTEM_ERROR, "push reply message fail: no open request has this correlation id"
            )
        done(None)

    # Offsets

    def _clone(self, request: Request, done: OnChecked) -> None:
        """Require Update on each topic whose offsets are copied (314)."""
        group = request.command.ext.get("srcGroup", "")

        def found(topics: Sequence[str]) -> None:
            _check_count(topics, "topics")
            for topic in topics:
                if names.owner_of(topic) != group:
                    request.access.require(ResourceType.TOPIC, topic, Action.UPDATE)

        self._lookups.ask(RequestCode.QUERY_TOPICS_BY_CONSUMER, {"group": group}, _topics, _finishing(found, done))

    def _correction(self, request: Request, done: OnChecked) -> None:
        """Require Get on each group whose offsets are compared (308)."""

        def found(groups: Sequence[str]) -> None:
            _check_count(groups, "groups")
            for group in groups:
                request.access.require(ResourceType.GROUP, group, Action.GET)

        fields = {"topic": request.command.ext.get("topic", "")}
        self._lookups.ask(RequestCode.QUERY_TOPIC_CONSUME_BY_WHO, fields, _groups, _finishing(found, done))

    # Topics and groups

    def _put_topic(self, request: Request, done: OnChecked) -> None:
        """Require Update on a topic that exists, and Create on another one (17)."""
        self._each_topic(request, [request.command.ext.get("topic", "")], done)

    def _put_topics(self, request: Request, done: OnChecked) -> None:
        """Require Update on each topic that exists, and Create on the others (18)."""
        bodies = decode_body(request.command.body, TopicConfigs).topic_config_list
        self._each_topic(request, [body.topic_name for body in bodies], done)

    def _each_topic(self, request: Request, topics: Iterable[str], done: OnChecked) -> None:
        left = [topic for topic in topics if not _may_both(request, ResourceType.TOPIC, topic)]

        def following() -> None:
            if not left:
                done(None)
                return
            topic = left.pop()

            def found(exists: bool) -> None:  # noqa: FBT001 - the only argument
                require_put(request.access, ResourceType.TOPIC, topic, exists=exists)

            self._lookups.exists(topic, _finishing(found, continuing))

        def continuing(failure: Exception | None) -> None:
            if failure is None:
                following()
            else:
                done(failure)

        following()

    def _put_group(self, request: Request, done: OnChecked) -> None:
        """Require Update on a group that exists, and Create on another one (200)."""
        self._each_group(request, [decode_body(request.command.body, GroupConfigBody).group_name], done)

    def _put_groups(self, request: Request, done: OnChecked) -> None:
        """Require Update on each group that exists, and Create on the others (225)."""
        bodies = decode_body(request.command.body, GroupConfigs).group_config_list
        self._each_group(request, [body.group_name for body in bodies], done)

    def _each_group(self, request: Request, groups: Iterable[str], done: OnChecked) -> None:
        left = [group for group in groups if not _may_both(request, ResourceType.GROUP, group)]
        if not left:
            done(None)
            return

        def found(known: frozenset[str]) -> None:
            for group in left:
                require_put(request.access, ResourceType.GROUP, group, exists=group in known)

        # The request for one group (352) would create it at Apache's broker.
        self._lookups.ask(RequestCode.GET_ALL_SUBSCRIPTIONGROUP_CONFIG, {}, _known_groups, _finishing(found, done))

    # Clients

    def _unregister(self, request: Request, done: OnChecked) -> None:
        """Pass on only the end of a client that this connection has registered (35); Apache's broker ends any."""
        client_id = request.command.ext.get("clientID", "")
        owner = self._clients.owner_on(request.link.peer.channel, client_id)
        if owner is None:
            raise RequestRefused(ResponseCode.SUCCESS, "this connection has not registered the client id")
        request.access.require_owner(owner or None, f"the client id `{client_id[:64]}` of this connection")
        done(None)

    def _pop_lite(self, request: Request, done: OnChecked) -> None:
        """Require a client id of the sender (200070)."""
        self._require_client(request, request.command.ext.get("clientId", ""))
        done(None)

    def _subscribe_lite(self, request: Request, done: OnChecked) -> None:
        """Require client ids of the sender (200071)."""
        for entry in decode_body(request.command.body, LiteSubscriptions).subscription_set:
            self._require_client(request, entry.client_id)
        done(None)

    def _require_client(self, request: Request, client_id: str) -> None:
        if _is_super(request) or self._clients.owner_on(request.link.peer.channel, client_id) == request.access.user:
            return
        raise RequestRefused(
            ResponseCode.NO_PERMISSION,
            f"the client id `{client_id[:64]}` is not the sender's own: send a heartbeat with it over this connection",
        )


def _finishing(found: Callable[[T], None], done: OnChecked) -> Found[T]:
    """Return a receiver of a look-up that reports the outcome of a function to `done`."""

    def take(result: T | Exception) -> None:
        failure: Exception | None = None
        if isinstance(result, Exception):
            failure = result
        else:
            try:
                found(result)
            except Exception as exc:  # noqa: BLE001 - the client gets every error
                failure = exc
        done(failure)

    return take


def _hiding(found: Callable[[T], None], done: OnChecked, code: ResponseCode, remark: str) -> Found[T]:
    """Return a receiver as `_finishing`; if the object is not found, the answer is that for a denial."""

    def take(failure: Exception | None) -> None:
        done(RequestRefused(code, remark) if isinstance(failure, RequestRefused) else failure)

    return _finishing(found, take)


def _number(request: Request, field: str) -> int:
    text = request.command.ext.get(field, "")
    if not text.isascii() or not text.isdecimal() or len(text) > 19:
        raise RequestRefused(ResponseCode.INVALID_PARAMETER, f"`{field}` must be a position in the store, such as 1024")
    return int(text)


def _offset_of(request: Request) -> int:
    text = request.command.ext.get("msgId", "")
    place = parse_offset_id(text)
    if place is None or place.physical_offset < 0:
        raise RequestRefused(
            ResponseCode.INVALID_PARAMETER,
            f"`{text[:64]}` is not a valid `msgId`: use the 32 or 56 hexadecimal digits of an offset id",
        )
    return place.physical_offset


def _half_topic(message: Record, stores: frozenset[str]) -> str | None:
    return _property(message, properties.REAL_TOPIC) if message.topic in stores else None


def _property(message: Record, name: str) -> str | None:
    return properties.parse(message.properties.decode(errors="replace")).get(name)


def _topics(answer: Command) -> list[str]:
    return decode_leniently(success(answer).body, TopicList).topic_list


def _groups(answer: Command) -> list[str]:
    return decode_leniently(success(answer).body, GroupList).group_list


def _known_groups(answer: Command) -> frozenset[str]:
    return frozenset(decode_leniently(success(answer).body, GroupTable).subscription_group_table)


def _check_count(found: Sequence[str], what: str) -> None:
    if len(found) > MAX_OBJECTS:
        raise RequestRefused(
            ResponseCode.INVALID_PARAMETER, f"the request reaches {len(found)} {what}, the maximum is {MAX_OBJECTS}"
        )


def _may_both(request: Request, type: ResourceType, name: str) -> bool:  # noqa: A002 - see `AdmittedRequest`
    return request.access.allows(type, name, Action.CREATE) and request.access.allows(type, name, Action.UPDATE)


def _is_super(request: Request) -> bool:
    identity = request.access.identity
    return identity is not None and identity.is_super


def _filtered_later(_request: Request, done: OnChecked) -> None:
    done(None)


def _only_super(request: Request, done: OnChecked) -> None:
    if not _is_super(request):
        raise RequestRefused(
            ResponseCode.NO_PERMISSION, "in front of a cluster only a Super user may list lite topics and their groups"
        )
    done(None)
