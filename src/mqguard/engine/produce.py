"""Taking in messages: every check that Apache's broker makes, then a place in a queue."""

from mqguard.engine.deferred_delivery import Delays, Detours, Timers
from mqguard.engine.errors import (
    MessageIllegal,
    NoSuchGroup,
    NoSuchQueue,
    NoSuchTopic,
    NotSupported,
    StoreDown,
    StoreFull,
)
from mqguard.engine.groups import Groups
from mqguard.engine.log import MessageLog, key_hashes, record_of
from mqguard.engine.messages import SendRequest, Sent
from mqguard.engine.settings import EngineSettings
from mqguard.engine.topics import Topics
from mqguard.model import names, properties, sysflag, tags
from mqguard.model.topic import PERM_WRITE, TopicConfig

_OURS = frozenset({properties.MSG_REGION, properties.TRACE_ON, properties.CLUSTER, properties.POP_CK})
"""Properties that only the broker writes; what a client sends under these names is dropped."""

_ORIGINS = frozenset(
    {
        properties.REAL_TOPIC,
        properties.REAL_QID,
        properties.RETRY_TOPIC,
        properties.ORIGIN_MESSAGE_ID,
        properties.DLQ_ORIGIN_TOPIC,
        properties.DLQ_ORIGIN_MESSAGE_ID,
    }
)
"""Properties that say which message of which topic a copy is. Only messages in retry and dead-letter topics are copies.

On other messages they are dropped: kept, they would still be there when a consumer gives the message back, and its
group would take the copy for a message of a topic that its sender chose.
"""

_NOT_OF_COPIES = _ORIGINS - {properties.RETRY_TOPIC, properties.ORIGIN_MESSAGE_ID}
"""Those of them that are dropped from copies that a client sends, too.

A client says where a copy comes from in `RETRY_TOPIC`, on which it must have a right. Nobody checks the others.
"""

_OF_NO_CLIENT = _OURS | _ORIGINS
_SPECIAL = _OF_NO_CLIENT | {properties.DELAY, properties.TRAN_MSG, *properties.TIMER_KEYS}
"""Properties that send a message by the longer way."""
WAITING_SHARE = 4
"""Messages that wait for their time may take a quarter of `max_bytes`; a topic with little of that gets more."""
_SPECIAL_BITS = sysflag.TRANSACTION_MASK | sysflag.INNER_BATCH | sysflag.NEED_UNWRAP
_INT_MIN, _INT_MAX, _LONG_MAX = -(1 << 31), (1 << 31) - 1, (1 << 63) - 1


class Producer:
    """Checks messages and stages them.

    Args:
        log: Where checked messages go.
        topics: Which topics there are.
        groups: Whose retry limits count.
        delays: Where messages with a delay level wait.
        timers: Where messages for a time of choice wait.
        detours: Says how much waits for each topic.
        settings: Limits, and what is written into each message.

    Attributes:
        full: Why new messages are refused for lack of room, None if they are not.
        down: Why the store takes no writes, None if it does.
        waiting_full: Why messages that would have to wait for their time are refused, None if they are not. A topic for
            which less than an even share waits is not refused.
    """

    def __init__(
        self,
        log: MessageLog,
        topics: Topics,
        groups: Groups,
        delays: Delays,
        timers: Timers,
        detours: Detours,
        settings: EngineSettings,
    ) -> None:
        self._log = log
        self._topics = topics
        self._groups = groups
        self._delays = delays
        self._timers = timers
        self._detours = detours
        self._waiting_limit = settings.max_bytes // WAITING_SHARE
        self._max_bytes = settings.max_message_bytes
        self._trace_topic = settings.trace_topic
        self._next_queue = 0
        self.full: str | None = None
        self.down: str | None = None
        self.waiting_full: str | None = None
        self._suffix = properties.text_of(
            {
                properties.MSG_REGION: settings.region,
                properties.TRACE_ON: "true" if settings.trace_on else "false",
                properties.CLUSTER: settings.cluster,
            }
        )

    def send(self, request: SendRequest) -> Sent:
        """Check a message and stage it; see `Engine.send`."""
        queue_id = self.place_of(request)
        pairs = properties.parse(request.properties)
        if not _SPECIAL.isdisjoint(pairs) or request.sys_flag & _SPECIAL_BITS or request.topic[:1] == "%":
            return self._send_special(request, queue_id, pairs)

        unique_id, text = self._complete(pairs, request.properties)
        tags_text = pairs.get(properties.TAGS)
        offset, physical = self._log.append_sent(
            request,
            queue_id,
            text,
            tags.code_of(tags_text) if tags_text else 0,
            key_hashes(request.topic, unique_id, pairs.get(properties.KEYS)),
        )
        return Sent(self._log.message_id(physical), queue_id, offset, unique_id)

    def place_of(self, request: SendRequest) -> int:
        """Check what a message and a batch have in common, and return the queue that it goes to.

        Raises:
            EngineError: see `Engine.send`.
        """
        self.check_room()
        if len(request.body) > self._max_bytes:
            raise MessageIllegal(f"message body size exceeded, max: {self._max_bytes}, is: {len(request.body)}")
        if len(request.properties) > properties.MAX_BYTES:
            raise MessageIllegal(
                f"message properties length too long, max: {properties.MAX_BYTES}, is: {len(request.properties)}"
            )
        _check_numbers(request)
        topic = self._topic_for(request)
        return self._queue_for(request, topic)

    def check_room(self) -> None:
        """Refuse when the store takes no more messages.

        Raises:
            StoreFull: the disk is nearly full.
            StoreDown: the store takes no writes now.
        """
        if self.down is not None:
            raise StoreDown(self.down)
        if self.full is not None:
            raise StoreFull(f"service not available now: {self.full}")

    def check_waiting(self, topic: str) -> None:
        """Refuse a message that has to wait, if too many wait and its topic has its share of them.

        Raises:
            StoreFull: There is no room for it.
        """
        if self.waiting_full is not None and not self._detours.has_share(topic, self._waiting_limit):
            raise StoreFull(f"service not available now: {self.waiting_full}")

    def _send_special(self, request: SendRequest, queue_id: int, pairs: dict[str, str]) -> Sent:
        """Send what may have to go elsewhere, or nowhere: by its properties, its flags or its topic."""
        topic = request.topic
        text: str | None = request.properties
        unproven = _ORIGINS if names.owner_of(topic) is None else _NOT_OF_COPIES
        if names.owner_of(topic) is not None or not unproven.isdisjoint(pairs):
            # Written anew: a reader that takes the first of two pairs with one name must not see another origin.
            text = None
            for name in unproven:
                pairs.pop(name, None)
        if topic.startswith(names.RETRY_PREFIX) and self._is_exhausted(request):
            topic, queue_id, text = self._dead_letter(topic, pairs), 0, None

        message = record_of(request, topic, queue_id)
        check_kind(pairs, request.sys_flag)
        level = self._delays.level_of(pairs)
        due = 0 if level else self._timers.due_of(pairs)
        if (level or due) and topic == self._trace_topic:
            # They would pass by the limit of this topic, and take the room of others: sending to it needs no grant.
            raise MessageIllegal(f"messages for the trace topic `{topic}` can not be delayed")
        if level or due:
            self.check_waiting(topic)
        tags_text = pairs.get(properties.TAGS)
        tag_code = tags.code_of(tags_text) if tags_text else 0
        if level:
            tag_code = self._delays.hold(message, pairs, level)
        elif due:
            self._timers.hold(message, pairs, due)

        waits = bool(level or due)
        unique_id, message.properties = self._complete(pairs, None if waits else text)
        # A message that waits is not indexed: it is found once it is delivered, as with Apache.
        hashes = () if waits else key_hashes(topic, unique_id, pairs.get(properties.KEYS))
        self._log.append(message, tag_code, hashes)
        if due:
            self._timers.remember(message, due)
        return Sent(self._log.message_id(message.physical_offset), message.queue_id, message.queue_offset, unique_id)

    def prepare_part(self, request: SendRequest, data: bytes) -> tuple[bytes, int, tuple[int, ...], str]:
        """Check the properties of one message of a batch, and complete them.

        Args:
            request: The batch.
            data: Properties of the message.

        Returns:
            All its properties, its tag code, the hashes of its keys, and its unique id.

        Raises:
            MessageIllegal: the properties are too long, not UTF-8, or ask for a later delivery.
            NotSupported: they ask for a feature that is not served.
        """
        try:
            text = data.decode()
        except UnicodeDecodeError as error:
            raise MessageIllegal(f"the properties of a batch message are no UTF-8: {error.reason}") from error

        pairs = properties.parse(text)
        if not _SPECIAL.isdisjoint(pairs):
            check_kind(pairs, request.sys_flag)
            if self._delays.level_of(pairs) or self._timers.due_of(pairs):
                raise MessageIllegal("a batch can not hold delayed messages")
        unique_id, completed = self._complete(pairs, text, _OF_NO_CLIENT)
        tags_text = pairs.get(properties.TAGS)
        hashes = key_hashes(request.topic, unique_id, pairs.get(properties.KEYS))
        return completed, tags.code_of(tags_text) if tags_text else 0, hashes, unique_id

    def _topic_for(self, request: SendRequest) -> TopicConfig:
        name = request.topic
        found = self._topics.get(name)
        if found is not None:
            return (
                found
                if found.perm & PERM_WRITE and name not in names.UNWRITABLE_TOPICS
                else self._topics.writable(name)
            )

        fault = names.topic_fault(name)
        if fault:
            raise MessageIllegal(fault)
        if name.startswith(names.RETRY_PREFIX):
            group = self._groups.get(name.removeprefix(names.RETRY_PREFIX))
            if group is None:
                raise NoSuchGroup(f"subscription group not exist, {name.removeprefix(names.RETRY_PREFIX)}")
            return self._topics.ensure(name, max(1, group.retry_queues))
        if not request.may_create or name.startswith(names.DLQ_PREFIX):
            raise NoSuchTopic(f"topic[{name}] not exist, apply first please!")
        return self._topics.create_for_send(name, request.default_topic, request.default_queues, request.creator)

    def _queue_for(self, request: SendRequest, topic: TopicConfig) -> int:
        if request.queue_id < 0:
            self._next_queue += 1
            return self._next_queue % max(1, topic.write_queues)
        if request.queue_id >= topic.queues:
            raise NoSuchQueue(
                f"request queueId[{request.queue_id}] is illegal, topic `{topic.name}` has {topic.queues}"
            )
        return request.queue_id

    def _is_exhausted(self, request: SendRequest) -> bool:
        name = request.topic.removeprefix(names.RETRY_PREFIX)
        group = self._groups.get(name)
        if group is None:
            raise NoSuchGroup(f"subscription group not exist, {name}")
        limit = group.retry_max_times if request.max_reconsume_times is None else request.max_reconsume_times
        # Java's broker compares with > here: the client has counted the failed delivery already.
        return request.in_order or request.reconsume_times > limit

    def _dead_letter(self, topic: str, pairs: dict[str, str]) -> str:
        dead = names.dlq_topic(topic.removeprefix(names.RETRY_PREFIX))
        self._topics.ensure(dead)
        for name in (properties.DELAY, *properties.TIMER_KEYS):
            pairs.pop(name, None)
        return dead

    def _complete(self, pairs: dict[str, str], text: str | None, ours: frozenset[str] = _OURS) -> tuple[str, bytes]:
        """Add the broker's properties; `text` is what the client sent, None if `pairs` has been changed since."""
        if text is None or not ours.isdisjoint(pairs):
            for name in ours:
                pairs.pop(name, None)
            text = properties.text_of(pairs)
        elif text and text[-1] != properties.PAIR_END:
            text += properties.PAIR_END

        unique_id = pairs.get(properties.UNIQ_KEY)
        if not unique_id:
            unique_id = self._log.unique_ids.next(self._log.now())
            text = f"{text}{properties.UNIQ_KEY}\x01{unique_id}\x02"
        try:
            data = (text + self._suffix).encode()
        except UnicodeEncodeError as error:
            raise MessageIllegal(f"the properties are no text: {error.reason}") from error
        if len(data) > properties.MAX_BYTES:
            raise MessageIllegal(f"message properties length too long, max: {properties.MAX_BYTES}, is: {len(data)}")
        return unique_id, data


def _check_numbers(request: SendRequest) -> None:
    """Refuse what has no room in a record before anything is staged: a batch is stored whole or not at all."""
    if not (
        _INT_MIN <= request.flag <= _INT_MAX
        and _INT_MIN <= request.sys_flag <= _INT_MAX
        and 0 <= request.reconsume_times <= _INT_MAX
        and 0 <= request.born_timestamp <= _LONG_MAX
    ):
        raise MessageIllegal("flag, sysFlag, reconsumeTimes or bornTimestamp is no number that a message can hold")


def check_kind(pairs: dict[str, str], sys_flag: int) -> None:
    """Refuse a message of a kind that is not served.

    Raises:
        NotSupported: it is part of a transaction, or a batch that would be stored as one message.
    """
    if sys_flag & sysflag.TRANSACTION_MASK or pairs.get(properties.TRAN_MSG) == "true":
        raise NotSupported("transactional messages are not supported yet")
    if sys_flag & (sysflag.INNER_BATCH | sysflag.NEED_UNWRAP):
        raise NotSupported("batches that are stored whole are not supported; send them with code 320")
