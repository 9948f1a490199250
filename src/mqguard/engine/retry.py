"""Messages that consumers give back: again later by way of the retry topic, or to the dead-letter topic."""

from collections.abc import Callable

from mqguard.engine.deferred_delivery import Delays
from mqguard.engine.errors import NoSuchGroup, NoSuchMessage, NotWritable
from mqguard.engine.groups import Groups
from mqguard.engine.log import MessageLog, key_hashes
from mqguard.engine.lookup import Lookup
from mqguard.engine.messages import SendBack
from mqguard.engine.topics import Topics
from mqguard.model import names, properties, tags
from mqguard.model.group import SubscriptionGroupConfig
from mqguard.model.record import Record

_MOST_TIMES = (1 << 31) - 1
"""A record holds no higher number, and clients may say any."""
_FIRST_LEVEL = 3
"""The first redelivery waits at this delay level (10 s); each further one a level longer."""


class Retries:
    """Makes the copies by which messages are delivered again.

    Args:
        log: Where the copies go.
        lookup: Finds the originals.
        topics: Makes retry and dead-letter topics.
        groups: Say how often a message is tried.
        delays: Where the copies wait.
        check_waiting: Refuses a copy for which there is no room to wait.
    """

    def __init__(
        self,
        log: MessageLog,
        lookup: Lookup,
        topics: Topics,
        groups: Groups,
        delays: Delays,
        check_waiting: Callable[[str], None],
    ) -> None:
        self._log = log
        self._lookup = lookup
        self._topics = topics
        self._groups = groups
        self._delays = delays
        self._check_waiting = check_waiting
        self._next_queue = 0

    def send_back(self, request: SendBack) -> None:
        """Stage the copy of a message that a consumer gives back; see `Engine.send_back`."""
        group = self._groups.get(request.group)
        if group is None:
            raise NoSuchGroup(f"subscription group not exist, {request.group}")
        if group.retry_queues <= 0:
            return

        message = self._lookup.message_at(request.physical_offset)
        if message is None:
            raise NoSuchMessage(f"look message by offset failed, {request.physical_offset}")
        pairs = properties.parse(message.properties.decode(errors="replace"))
        origin = self._note_origin(message, pairs, self._log.message_id(request.physical_offset))
        pairs.pop(properties.DELAY, None)

        level = self._level(request, group, message)
        if level < 0:
            pairs.setdefault(properties.DLQ_ORIGIN_TOPIC, pairs[properties.RETRY_TOPIC])
            pairs.setdefault(properties.DLQ_ORIGIN_MESSAGE_ID, origin)
            self._store(message, pairs, self._writable(names.dlq_topic(group.name), 1), 0)
        else:
            # Whoever may read a message can give it back as often as it likes.
            self._check_waiting(names.retry_topic(group.name))
            queues = group.retry_queues
            self._next_queue = (self._next_queue + 1) % queues
            self._store(message, pairs, self._writable(names.retry_topic(group.name), queues), level)

    def _note_origin(self, message: Record, pairs: dict[str, str], message_id: str) -> str:
        """Note in the properties which message of which topic is copied; return the id of that message."""
        waits_for = pairs.pop(properties.REAL_TOPIC, message.topic)
        pairs.pop(properties.REAL_QID, None)
        if names.owner_of(message.topic) is not None:
            pairs.setdefault(properties.RETRY_TOPIC, message.topic)
            return pairs.setdefault(properties.ORIGIN_MESSAGE_ID, message_id)
        # Properties of a message that is not a copy itself are words of its sender, and do not count here.
        for name in (properties.DLQ_ORIGIN_TOPIC, properties.DLQ_ORIGIN_MESSAGE_ID):
            pairs.pop(name, None)
        pairs[properties.RETRY_TOPIC] = waits_for if message.topic in names.ALL_MESSAGES else message.topic
        pairs[properties.ORIGIN_MESSAGE_ID] = message_id
        return message_id

    def _level(self, request: SendBack, group: SubscriptionGroupConfig, message: Record) -> int:
        """The delay level of the next delivery, negative for none."""
        limit = group.retry_max_times if request.max_reconsume_times is None else request.max_reconsume_times
        if request.delay_level < 0 or message.reconsume_times >= limit:
            return -1
        return request.delay_level or _FIRST_LEVEL + message.reconsume_times

    def _writable(self, topic: str, queues: int) -> str:
        if not self._topics.ensure(topic, queues).writable:
            raise NotWritable(f"the topic[{topic}] sending message is forbidden")
        return topic

    def _store(self, message: Record, pairs: dict[str, str], topic: str, level: int) -> None:
        message.topic = topic
        message.queue_id = self._next_queue if level else 0
        message.reconsume_times = min(message.reconsume_times + 1, _MOST_TIMES)
        tags_text = pairs.get(properties.TAGS)
        tag_code = tags.code_of(tags_text) if tags_text else 0
        if level:
            pairs[properties.DELAY] = str(level)
            level = self._delays.level_of(pairs)
            tag_code = self._delays.hold(message, pairs, level)
        message.properties = properties.text_of(pairs).encode()
        hashes = () if level else key_hashes(topic, pairs.get(properties.UNIQ_KEY), pairs.get(properties.KEYS))
        self._log.append(message, tag_code, hashes)
