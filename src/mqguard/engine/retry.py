"""Messages that consumers send back: copies for the retry topic, or for the dead-letter topic after the last retry."""

from collections.abc import Callable

from mqguard.engine.deferred_delivery import DelayQueues
from mqguard.engine.errors import NoSuchGroup, NoSuchMessage, NotWritable
from mqguard.engine.groups import Groups
from mqguard.engine.log import MessageLog, key_hashes
from mqguard.engine.lookup import Lookup
from mqguard.engine.messages import SendBack, SentBack
from mqguard.engine.topics import Topics
from mqguard.model import names, properties
from mqguard.model.properties import tags_code_of
from mqguard.model.record import Record
from mqguard.model.topic import SubscriptionGroupConfig

_MAX_RECONSUME_TIMES = (1 << 31) - 1
"""Largest number that fits into a record; clients may send any."""
_FIRST_LEVEL = 3
"""Delay level of the first redelivery (10 s); each further one waits one level longer."""


class Retries:
    """Creation of the copies that deliver messages again.

    Args:
        log: Log to which the copies are appended.
        lookup: Lookup of the original messages.
        topics: Topics; it creates missing retry and dead-letter topics.
        groups: Groups and their retry limits.
        delays: Messages with a delay level, which the copies are.
        check_waiting: Raises an error if too many messages wait for a topic.
    """

    def __init__(
        self,
        log: MessageLog,
        lookup: Lookup,
        topics: Topics,
        groups: Groups,
        delays: DelayQueues,
        check_waiting: Callable[[str], None],
    ) -> None:
        self._log = log
        self._lookup = lookup
        self._topics = topics
        self._groups = groups
        self._delays = delays
        self._check_waiting = check_waiting
        self._next_queue = 0

    def send_back(self, request: SendBack) -> SentBack | None:
        """Stage the copy of a message that a consumer sends back; see `Engine.send_back`."""
        group = self._groups.get(request.group)
        if group is None:
            raise NoSuchGroup(f"subscription group not exist, {request.group}")
        if group.retry_queues <= 0:
            return None

        message = self._lookup.message_at(request.physical_offset)
        if message is None:
            raise NoSuchMessage(f"look message by offset failed, {request.physical_offset}")
        pairs = properties.parse(message.properties.decode(errors="replace"))
        origin = note_origin(message, pairs, self._log.message_id(request.physical_offset))
        pairs.pop(properties.DELAY, None)

        level = self._level(request, group, message)
        if level < 0:
            pairs.setdefault(properties.DLQ_ORIGIN_TOPIC, pairs[properties.RETRY_TOPIC])
            pairs.setdefault(properties.DLQ_ORIGIN_MESSAGE_ID, origin)
            self._store(message, pairs, self._require_writable(names.dlq_topic(group.name), 1), 0)
        else:
            # A client that may read a message can send it back any number of times.
            self._check_waiting(names.retry_topic(group.name))
            queues = group.retry_queues
            self._next_queue = (self._next_queue + 1) % queues
            self._store(message, pairs, self._require_writable(names.retry_topic(group.name), queues), level)
        return SentBack(pairs[properties.RETRY_TOPIC], level < 0)

    def _level(self, request: SendBack, group: SubscriptionGroupConfig, message: Record) -> int:
        """Return the delay level of the next delivery, negative for the dead-letter topic."""
        limit = group.retry_max_times if request.max_reconsume_times is None else request.max_reconsume_times
        if request.delay_level < 0 or message.reconsume_times >= limit:
            return -1
        return request.delay_level or _FIRST_LEVEL + message.reconsume_times

    def _require_writable(self, topic: str, queues: int) -> str:
        if not self._topics.ensure(topic, queues).writable:
            raise NotWritable(f"the topic[{topic}] sending message is forbidden")
        return topic

    def _store(self, message: Record, pairs: dict[str, str], topic: str, level: int) -> None:
        message.topic = topic
        message.queue_id = self._next_queue if level else 0
        message.reconsume_times = min(message.reconsume_times + 1, _MAX_RECONSUME_TIMES)
        tags_text = pairs.get(properties.TAGS)
        tag_code = tags_code_of(tags_text) if tags_text else 0
        if level:
            pairs[properties.DELAY] = str(level)
            level = self._delays.level_of(pairs)
            tag_code = self._delays.hold(message, pairs, level)
        message.properties = properties.text_of(pairs).encode()
        hashes = () if level else key_hashes(topic, pairs.get(properties.UNIQ_KEY), pairs.get(properties.KEYS))
        self._log.append(message, tag_code, hashes)


def note_origin(message: Record, pairs: dict[str, str], message_id: str) -> str:
    """Write the topic and id of the original message into the properties of its copy, and return the id."""
    waits_for = pairs.pop(properties.REAL_TOPIC, message.topic)
    pairs.pop(properties.REAL_QID, None)
    if names.owner_of(message.topic) is not None:
        pairs.setdefault(properties.RETRY_TOPIC, message.topic)
        return pairs.setdefault(properties.ORIGIN_MESSAGE_ID, message_id)
    # The message is not a copy, so its sender chose these properties. They must not name an origin.
    for name in (properties.DLQ_ORIGIN_TOPIC, properties.DLQ_ORIGIN_MESSAGE_ID):
        pairs.pop(name, None)
    pairs[properties.RETRY_TOPIC] = waits_for if message.topic in names.ALL_MESSAGES else message.topic
    pairs[properties.ORIGIN_MESSAGE_ID] = message_id
    return message_id
