"""The body with which brokers register: their topics, as JSON or deflated in a form of its own.

The deflated form of Java brokers is: length i32 and JSON of the data version; number i32 of topics; for each a length
i32 and a line `name readQueues writeQueues perm filterType [attributes]`; then what we have no use for (filter servers,
static topics).
"""

import struct
import zlib
from typing import NamedTuple

from mqguard.model.topic import MAX_QUEUES, TopicConfig
from mqguard.model.version import DataVersion
from mqguard.remoting.bodies.codec import decode, decode_table
from mqguard.remoting.bodies.route import RegisterBrokerBody
from mqguard.remoting.bodies.tables import DataVersionBody
from mqguard.remoting.errors import BodyInvalid

MAX_INFLATED = 4 * 1024 * 1024
"""Maximum bytes that a body is inflated to: `MAX_TOPICS` of 200 bytes each."""
MAX_TOPICS = 20_000
"""Maximum topics of one registration, as many as a broker has (`maxTopics`). They are read in one go, in some 80 ms."""

_INT = struct.Struct(">i")


class RegisteredTopics(NamedTuple):
    """What a registration says of topics."""

    version: DataVersion
    topics: list[TopicConfig]


def read_registration(data: bytes, *, compressed: bool) -> RegisteredTopics:
    """Read the body of 103; an empty one says nothing of topics.

    Raises:
        BodyInvalid: It is not of its form, or becomes too large.
    """
    if not data:
        return RegisteredTopics(DataVersion(), [])
    if compressed:
        return _Inflated(_inflate(data)).read()
    wrapper = decode_table(data, RegisterBrokerBody).topic_config_serialize_wrapper
    _check_count(len(wrapper.topic_config_table))
    topics = [topic.value() for topic in wrapper.topic_config_table.values()]
    return RegisteredTopics(wrapper.data_version.value(), [_checked(topic) for topic in topics])


def _inflate(data: bytes) -> bytes:
    inflater = zlib.decompressobj()
    try:
        found = inflater.decompress(data, MAX_INFLATED)
    except zlib.error as exc:
        raise BodyInvalid("", f"cannot be inflated: {exc}") from None
    if inflater.unconsumed_tail:
        raise BodyInvalid("", f"becomes more than {MAX_INFLATED} bytes")
    if not inflater.eof:
        raise BodyInvalid("", "is cut off")
    return found


class _Inflated:
    """A cursor over an inflated body."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def read(self) -> RegisteredTopics:
        version = decode(self._bytes(), DataVersionBody).value()
        count = self._int()
        if count < 0:
            raise BodyInvalid("", f"claims {count} topics")
        _check_count(count)
        return RegisteredTopics(version, [_topic(self._bytes()) for _ in range(count)])

    def _int(self) -> int:
        if self._at + 4 > len(self._data):
            raise BodyInvalid("", f"ends at byte {len(self._data)}, within a number")
        (number,) = _INT.unpack_from(self._data, self._at)
        self._at += 4
        return int(number)

    def _bytes(self) -> bytes:
        size = self._int()
        end = self._at + size
        if size < 0 or end > len(self._data):
            raise BodyInvalid("", f"claims a part of {size} bytes at byte {self._at} of {len(self._data)}")
        found = self._data[self._at : end]
        self._at = end
        return found


def _check_count(topics: int) -> None:
    if topics > MAX_TOPICS:
        raise BodyInvalid("", f"has {topics} topics, and one registration at most {MAX_TOPICS}")


def _topic(line: bytes) -> TopicConfig:
    try:
        name, read_queues, write_queues, perm, *_ = line.decode().split(" ")
        return _checked(TopicConfig(name, int(read_queues), int(write_queues), int(perm)))
    except ValueError as exc:
        raise BodyInvalid("", f"holds a topic that is none: {line[:80]!r}: {exc}") from None


def _checked(topic: TopicConfig) -> TopicConfig:
    if not (topic.name and 0 <= topic.read_queues <= MAX_QUEUES and 0 <= topic.write_queues <= MAX_QUEUES):
        raise BodyInvalid("", f"holds topic `{topic.name}` with {topic.read_queues} and {topic.write_queues} queues")
    return topic
