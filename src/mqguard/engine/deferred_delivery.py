"""Messages that do not go straight to where they were meant: turned aside when sent, brought back when due."""

import collections

from mqguard.engine.log import MessageLog, key_hashes
from mqguard.engine.topics import Topics
from mqguard.model import properties, tags
from mqguard.model.record import Record

_SPENT = (
    properties.DELAY,
    properties.REAL_TOPIC,
    properties.REAL_QID,
    *properties.TIMER_KEYS,
    properties.TIMER_OUT_MS,
)
"""Properties that have done their work when a message is brought back; left on, they would delay its copies too."""


class Detours:
    """Turns messages aside and brings them back, and counts the bytes that wait meanwhile.

    The counts begin with the process: what waited before is not in them.

    Args:
        log: Where messages go when they are due.
        topics: Whether their topics still exist.
    """

    def __init__(self, log: MessageLog, topics: Topics) -> None:
        self._log = log
        self._topics = topics
        self._waiting: collections.Counter[str] = collections.Counter()

    def has_share(self, topic: str, limit: int) -> bool:
        """Return whether what waits for a topic is less than an even share of the limit among all such topics."""
        waiting = self._waiting
        return waiting.get(topic, 0) * (len(waiting) + (topic not in waiting)) < limit

    def turn_aside(self, message: Record, pairs: dict[str, str], topic: str, queue_id: int) -> None:
        """Send a message to a waiting place; where it was meant to go stands in its properties."""
        self._waiting[message.topic] += len(message.body)
        pairs[properties.REAL_TOPIC] = message.topic
        pairs[properties.REAL_QID] = str(message.queue_id)
        message.topic = topic
        message.queue_id = queue_id

    def bring_back(self, message: Record) -> bool:
        """Stage a message where it was meant to go; False if that topic is gone."""
        pairs = properties.parse(message.properties.decode())
        topic = pairs.get(properties.REAL_TOPIC, "")
        self._forget(topic, len(message.body))
        queue_id = int(pairs.get(properties.REAL_QID, "0"))
        for name in _SPENT:
            pairs.pop(name, None)
        config = self._topics.get(topic)
        if config is None:
            return False

        message.topic = topic
        message.queue_id = min(queue_id, config.queues - 1)
        message.properties = properties.text_of(pairs).encode()
        tags_text = pairs.get(properties.TAGS)
        hashes = key_hashes(topic, pairs.get(properties.UNIQ_KEY), pairs.get(properties.KEYS))
        self._log.append(message, tags.code_of(tags_text) if tags_text else 0, hashes)
        return True

    def _forget(self, topic: str, size: int) -> None:
        left = self._waiting.get(topic, 0) - size
        if left > 0:
            self._waiting[topic] = left
        else:
            self._waiting.pop(topic, None)
