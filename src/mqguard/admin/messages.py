"""Single messages: sent one at a time, and received without joining the consumer group."""

import os
import secrets
import time
import zlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

from mqguard.admin.client import Client, TopicQueues
from mqguard.admin.errors import PeerRefused
from mqguard.model import names, properties, record
from mqguard.model.peer import packed_address
from mqguard.model.record import COMPRESSED, COMPRESSION_MASK, MULTI_TAGS, UniqueIds
from mqguard.remoting.codes import RequestCode, ResponseCode
from mqguard.remoting.headers.codec import read
from mqguard.remoting.headers.pull import SUBSCRIPTION, PullAnswer, PullHeader
from mqguard.remoting.headers.send import SendAnswer, SendHeaderV2
from mqguard.remoting.headers.topics import OffsetAnswer, QueryOffsetHeader, UpdateOffsetHeader

PRODUCER_GROUP = "mqguard-cli"
PAUSE_SECONDS = 0.1
"""Pause before empty queues are read again."""
_ANY_QUEUE = -1
_PULLED = frozenset(
    {
        ResponseCode.SUCCESS,
        ResponseCode.PULL_NOT_FOUND,
        ResponseCode.PULL_RETRY_IMMEDIATELY,
        ResponseCode.PULL_OFFSET_MOVED,
    }
)


class Sent(NamedTuple):
    """Location of a sent message.

    Attributes:
        unique_id: Id that the sender gave the message.
        offset_id: Id that contains the location of the message.
        broker: Name of the broker.
        queue_id: Number of the queue within the topic.
        queue_offset: Offset within the queue.
    """

    unique_id: str
    offset_id: str
    broker: str
    queue_id: int
    queue_offset: int


class Received(NamedTuple):
    """One received message.

    Attributes:
        topic: Name of the topic.
        body: Body, decompressed.
        properties: Properties by name.
        broker: Name of the broker.
        queue_id: Number of the queue within the topic.
        queue_offset: Offset within the queue.
        store_timestamp: Time of storage, milliseconds since the epoch.
    """

    topic: str
    body: bytes
    properties: dict[str, str]
    broker: str
    queue_id: int
    queue_offset: int
    store_timestamp: int


def send(client: Client, topic: str, body: bytes, *, tags: str = "", keys: str = "") -> Sent:
    """Send one message; the server creates a missing topic if it is configured so and the user has the permission.

    Raises:
        PeerRefused: The user has no permission, or the topic does not exist and was not created.
        LinkError: The server cannot be reached.
    """
    place = _writable(client, topic)
    now_ms = time.time_ns() // 1_000_000
    unique_id = UniqueIds(packed_address("127.0.0.1"), os.getpid(), secrets.randbits(32)).next(now_ms)
    pairs = {properties.UNIQ_KEY: unique_id, properties.WAIT: "true", properties.TAGS: tags, properties.KEYS: keys}
    header = SendHeaderV2(
        producer_group=PRODUCER_GROUP,
        topic=topic,
        default_topic=names.TEMPLATE_TOPIC,
        default_topic_queue_nums=4,
        queue_id=_ANY_QUEUE,
        sys_flag=MULTI_TAGS if tags else 0,
        born_timestamp=now_ms,
        flag=0,
        properties=properties.text_of(pairs),
        reconsume_times=0,
        unit_mode=False,
        batch=False,
    )
    answer = client.at(place.broker.address).call(RequestCode.SEND_MESSAGE_V2, header, body)
    found = read(answer.ext, SendAnswer)
    return Sent(unique_id, found.msg_id, place.broker.name, found.queue_id, found.queue_offset)


def receive(
    client: Client, topic: str, group: str, *, limit: int, seconds: float, stopped: Callable[[], bool] = lambda: False
) -> Iterator[Received]:
    """Yield the messages of a topic that a group has not received yet, and wait for more.

    A new group begins with the oldest message. A message counts as received when the caller asks for the next one: a
    caller that stops early receives the last message again.

    Args:
        client: Client of the cluster.
        topic: Name of the topic.
        group: Consumer group with the offsets.
        limit: Maximum number of messages.
        seconds: Maximum seconds to wait for the next message.
        stopped: Returns True to end early.

    Raises:
        PeerRefused: The user has no permission, or the topic does not exist.
        LinkError: The server cannot be reached.
    """
    queues = [
        _Queue(client, topic, group, place, queue_id)
        for place in _readable(client, topic)
        for queue_id in range(place.read_queues)
    ]
    deadline = time.monotonic() + seconds
    while not stopped():
        idle = True
        for queue in queues:
            for message in queue.pull():
                idle = False
                yield message
                queue.commit(message.queue_offset + 1)
                limit -= 1
                if not limit:
                    return
                deadline = time.monotonic() + seconds
        if idle:
            left = deadline - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(PAUSE_SECONDS, left))


class _Queue:
    """One queue, and the offset of a group in it."""

    def __init__(self, client: Client, topic: str, group: str, place: TopicQueues, queue_id: int) -> None:
        self._session = client.at(place.broker.address)
        self._topic = topic
        self._group = group
        self._broker = place.broker.name
        self._queue_id = queue_id
        self._offset = self._start()

    def pull(self) -> list[Received]:
        """Return the next messages, as many as the server returns at once."""
        header = PullHeader(
            consumer_group=self._group,
            topic=self._topic,
            queue_id=self._queue_id,
            queue_offset=self._offset,
            max_msg_nums=32,
            sys_flag=SUBSCRIPTION,
            commit_offset=0,
            suspend_timeout_millis=0,
            sub_version=0,
            subscription="*",
            expression_type="TAG",
        )
        answer = self._session.call(RequestCode.PULL_MESSAGE, header, accept=_PULLED)
        self._offset = read(answer.ext, PullAnswer).next_begin_offset
        found = record.decode_all(answer.body) if answer.code == ResponseCode.SUCCESS else []
        return [self._received(item) for item in found]

    def commit(self, offset: int) -> None:
        """Store that the group has received all messages below an offset."""
        header = UpdateOffsetHeader(
            consumer_group=self._group, topic=self._topic, queue_id=self._queue_id, commit_offset=offset
        )
        self._session.call(RequestCode.UPDATE_CONSUMER_OFFSET, header)

    def _start(self) -> int:
        header = QueryOffsetHeader(
            consumer_group=self._group, topic=self._topic, queue_id=self._queue_id, set_zero_if_not_found=False
        )
        answer = self._session.call(
            RequestCode.QUERY_CONSUMER_OFFSET, header, accept=frozenset({0, ResponseCode.QUERY_NOT_FOUND})
        )
        # The server corrects an offset below the oldest message.
        return read(answer.ext, OffsetAnswer).offset if answer.code == 0 else 0

    def _received(self, item: record.Record) -> Received:
        return Received(
            item.topic,
            _plain(item),
            properties.parse(item.properties.decode("utf-8", "replace")),
            self._broker,
            item.queue_id,
            item.queue_offset,
            item.store_timestamp,
        )


def _writable(client: Client, topic: str) -> TopicQueues:
    """Return a broker that has the topic, else one that creates topics.

    After a denied route the send goes on, so that the broker denies and explains the send itself.
    """
    try:
        places = client.route(topic)
    except PeerRefused as exc:
        if exc.code not in (ResponseCode.TOPIC_NOT_EXIST, ResponseCode.NO_PERMISSION):
            raise
        places = _any_places(client, exc)
    writable = [place for place in places if place.write_queues]
    if not writable:
        raise PeerRefused(ResponseCode.NO_PERMISSION, f"no broker accepts messages for the topic `{topic}`")
    return secrets.choice(writable)


def _readable(client: Client, topic: str) -> list[TopicQueues]:
    """Return the queues of a topic, or one queue of any broker if the route is denied, so that the broker explains."""
    try:
        return client.route(topic)
    except PeerRefused as exc:
        if exc.code != ResponseCode.NO_PERMISSION:
            raise
        return [TopicQueues(place.broker, 1, 1) for place in _any_places(client, exc)[:1]]


def _any_places(client: Client, error: PeerRefused) -> list[TopicQueues]:
    try:
        return client.route(names.TEMPLATE_TOPIC)
    except PeerRefused:
        raise error from None


def _plain(item: record.Record) -> bytes:
    # Bits 8 to 10 name the compression; Python's library has only zlib (3, or 0 of old clients).
    kind = (item.sys_flag & COMPRESSION_MASK) >> 8
    if not item.sys_flag & COMPRESSED or kind not in (0, 3):
        return item.body
    try:
        return zlib.decompress(item.body)
    except zlib.error:
        return item.body
