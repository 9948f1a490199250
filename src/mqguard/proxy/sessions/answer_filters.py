"""The parts of a broker's answers that a client may not get."""

from typing import Final

import msgspec

from mqguard.auth.policy import Action
from mqguard.auth.resource import ResourceType
from mqguard.dispatch.request import Request
from mqguard.guard.message_authorization import readable
from mqguard.model.record import decode as decode_record
from mqguard.model.record import size_at
from mqguard.model.text import is_blank
from mqguard.proxy.sessions.ports import Filter
from mqguard.remoting.bodies.clients import ConsumerConnection
from mqguard.remoting.bodies.codec import decode_leniently, encode
from mqguard.remoting.bodies.groups import ConsumeStats
from mqguard.remoting.bodies.topics import TopicList
from mqguard.remoting.codes import RequestCode, ResponseCode
from mqguard.remoting.command import Command


def _heartbeat(request: Request, answer: Command) -> Command:
    """Return the error for what was denied in a heartbeat, whose other parts the broker has taken."""
    denied = request.access.denied
    if denied is None:
        return answer
    return msgspec.structs.replace(answer, code=int(ResponseCode.NO_PERMISSION), remark=str(denied.error()))


# Messages


def _pulled(request: Request, answer: Command) -> Command:
    """Leave out messages of a retry or dead-letter topic whose original topic the client may not read."""
    topic = request.command.ext.get("topic", "")
    if topic[:1] != "%" or not answer.body:
        return answer
    found = readable(request.access, topic, _records(answer.body), Action.SUB)
    if found:
        return msgspec.structs.replace(answer, body=b"".join(found))
    return msgspec.structs.replace(answer, code=int(ResponseCode.PULL_RETRY_IMMEDIATELY), body=b"")


def _queried(request: Request, answer: Command) -> Command:
    """Leave out messages of other topics, which Apache's index finds by equal hashes, and those of `_pulled`."""
    topic = request.command.ext.get("topic", "")
    own = [data for data in _records(answer.body) if decode_record(data).topic == topic]
    found = readable(request.access, topic, own, Action.SUB, Action.GET)
    if found:
        return msgspec.structs.replace(answer, body=b"".join(found))
    remark = "can not find message, maybe time range not correct"
    return msgspec.structs.replace(answer, code=int(ResponseCode.QUERY_NOT_FOUND), remark=remark, body=b"")


def _popped_lite(request: Request, answer: Command) -> Command:
    """Leave out messages of lite topics below other parents: Apache's broker finds them by the client id alone."""
    topic = request.command.ext.get("topic", "")
    found = [data for data in _records(answer.body) if decode_record(data).topic == topic]
    return msgspec.structs.replace(answer, body=b"".join(found))


def _records(body: bytes) -> list[bytes]:
    found, at = [], 0
    while at < len(body):
        size = size_at(body, at)
        found.append(body[at : at + size])
        at += size
    return found


# Reports


def _connections(request: Request, answer: Command) -> Command:
    """Leave out subscriptions to topics that the client may not see (203)."""
    body = decode_leniently(answer.body, ConsumerConnection)
    shown = {topic: one for topic, one in body.subscription_table.items() if _may_see(request, topic)}
    if len(shown) == len(body.subscription_table):
        return answer
    return msgspec.structs.replace(answer, body=encode(msgspec.structs.replace(body, subscription_table=shown)))


def _topics(request: Request, answer: Command) -> Command:
    """Leave out topics that the client may not see (343)."""
    body = decode_leniently(answer.body, TopicList)
    shown = [topic for topic in body.topic_list if _may_see(request, topic)]
    if len(shown) == len(body.topic_list):
        return answer
    return msgspec.structs.replace(answer, body=encode(msgspec.structs.replace(body, topic_list=shown)))


def _progress(request: Request, answer: Command) -> Command:
    """Leave out topics that the client may not see, if it has named none (208)."""
    ext = request.command.ext
    if not (is_blank(ext.get("topic")) and is_blank(ext.get("topicList"))):
        return answer
    body = decode_leniently(answer.body, ConsumeStats)
    topics = {queue.topic for queue in body.offset_table}
    hidden = {topic for topic in topics if not _may_see(request, topic)}
    if not hidden:
        return answer
    table = {queue: one for queue, one in body.offset_table.items() if queue.topic not in hidden}
    return msgspec.structs.replace(answer, body=encode(msgspec.structs.replace(body, offset_table=table)))


def _may_see(request: Request, topic: str) -> bool:
    return request.access.allows(ResourceType.TOPIC, topic, Action.GET)


def _is_of_group(request: Request) -> bool:
    return request.command.ext.get("topic", "")[:1] == "%"


def _is_denied_in_part(request: Request) -> bool:
    return request.access.denied is not None


def _always(_request: Request) -> bool:
    return True


FILTERS: Final[dict[int, Filter]] = {
    RequestCode.PULL_MESSAGE: Filter(_is_of_group, _pulled),
    RequestCode.LITE_PULL_MESSAGE: Filter(_is_of_group, _pulled),
    RequestCode.PEEK_MESSAGE: Filter(_is_of_group, _pulled),
    RequestCode.QUERY_MESSAGE: Filter(_always, _queried),
    RequestCode.POP_LITE_MESSAGE: Filter(_always, _popped_lite),
    RequestCode.GET_CONSUMER_CONNECTION_LIST: Filter(_always, _connections),
    RequestCode.QUERY_TOPICS_BY_CONSUMER: Filter(_always, _topics),
    RequestCode.GET_CONSUME_STATS: Filter(_always, _progress),
    RequestCode.HEART_BEAT: Filter(_is_denied_in_part, _heartbeat),
}
"""The filters of a broker's answers, by request code."""
