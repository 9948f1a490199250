"""Messages that do not go straight to where they were meant: turned aside when sent, brought back when due."""

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


def turn_aside(message: Record, pairs: dict[str, str], topic: str, queue_id: int) -> None:
    """Send a message to a waiting place; where it was meant to go stands in its properties."""
    pairs[properties.REAL_TOPIC] = message.topic
    pairs[properties.REAL_QID] = str(message.queue_id)
    message.topic = topic
    message.queue_id = queue_id


def bring_back(message: Record, log: MessageLog, topics: Topics) -> bool:
    """Stage a message where it was meant to go; False if that topic is gone."""
    pairs = properties.parse(message.properties.decode())
    topic = pairs.get(properties.REAL_TOPIC, "")
    queue_id = int(pairs.get(properties.REAL_QID, "0"))
    for name in _SPENT:
        pairs.pop(name, None)
    config = topics.get(topic)
    if config is None:
        return False

    message.topic = topic
    message.queue_id = min(queue_id, config.queues - 1)
    message.properties = properties.text_of(pairs).encode()
    tags_text = pairs.get(properties.TAGS)
    hashes = key_hashes(topic, pairs.get(properties.UNIQ_KEY), pairs.get(properties.KEYS))
    log.append(message, tags.code_of(tags_text) if tags_text else 0, hashes)
    return True
