"""Message log: the end of the store to which messages are appended, with their offsets, ids, times and index keys."""

import zlib
from collections.abc import Iterable

from mqguard.engine.group_commit import GroupCommit
from mqguard.engine.messages import SendRequest
from mqguard.engine.settings import EngineSettings
from mqguard.engine.store_clock import StoreClock
from mqguard.model import record
from mqguard.model.peer import packed_address
from mqguard.model.process import Clock
from mqguard.model.record import BORN_HOST_V6, STORE_HOST_V6, Record, UniqueIds, offset_id
from mqguard.store.ports import MessageStore
from mqguard.store.queues import Queue

_SHORT_TOPIC = 127
MAX_KEYS = 32
"""Maximum indexed keys of a message, because each costs a write, and a property text has room for thousands."""
_V6_BITS = BORN_HOST_V6 | STORE_HOST_V6


class MessageLog:
    """Appends records to the store. Every message is stored by `append` or `append_sent`.

    Args:
        store: Store of the messages.
        group_commit: Commit that includes the messages.
        times: Store times of the messages.
        clock: Clock for unique ids.
        settings: Address of the broker.

    Attributes:
        now: Function that returns the store time of a message appended now.
    """

    def __init__(
        self, store: MessageStore, group_commit: GroupCommit, times: StoreClock, clock: Clock, settings: EngineSettings
    ) -> None:
        self._store = store
        self._group_commit = group_commit
        self.now = times.now
        self.advertise(settings.address, settings.port)
        self.unique_ids = UniqueIds(self.address, settings.process, clock.now_ms())

    def advertise(self, address: str, port: int) -> None:
        """Set the address at which clients reach this broker; it is written into messages and their ids."""
        self.address = packed_address(address)
        self.port = port
        self._v4 = len(self.address) == 4
        # An offset id is the address, the port and the offset in hex; only the offset differs between our messages.
        self._id_head = offset_id(self.address, port, 0)[:-16]

    def append_sent(
        self, request: SendRequest, queue_id: int, properties: bytes, tag_code: int, keys: Iterable[int]
    ) -> tuple[int, int]:
        """Stage a message that is not deferred: a faster `append` that makes no `Record`.

        Args:
            request: The message, checked.
            queue_id: Queue of the message.
            properties: All its properties.
            tag_code: Tag code of its queue entry.
            keys: Hashes of its keys for the index.

        Returns:
            Its queue offset and its physical offset.

        Raises:
            struct.error: A number does not fit into a record; nothing is staged.
        """
        store = self._store
        name = request.topic
        topic = name.encode()
        born = packed_address(request.born_ip)
        if not self._v4 or len(born) != 4 or len(topic) > _SHORT_TOPIC:
            message = record_of(request, name, queue_id)
            message.properties = properties
            self.append(message, tag_code, keys)
            return message.queue_offset, message.physical_offset

        queue = store.queue(name, queue_id)
        if queue is None:
            queue = store.stage_queue(name, queue_id)
        offset = queue.next_offset
        physical = store.next_physical
        now = self.now()
        data = record.encode_v4(
            topic,
            request.body,
            properties,
            queue_id,
            offset,
            physical,
            request.flag,
            request.sys_flag & ~_V6_BITS,
            request.born_timestamp,
            born,
            request.born_port,
            now,
            self.address,
            self.port,
            request.reconsume_times,
        )
        store.stage_message(queue, data, tag_code, now, keys)
        self._group_commit.arrived(queue, offset + 1, tag_code)
        return offset, physical

    def append(self, message: Record, tag_code: int, keys: Iterable[int], links: Queue | None = None) -> Queue:
        """Stage a message at the end of its queue; its offsets, store time and store host are filled in.

        Args:
            message: The message with its topic and queue.
            tag_code: Tag code of its queue entry.
            keys: Hashes of its keys for the index.
            links: Lite queue that gets an entry for the message too.

        Returns:
            The queue; the message is at `message.queue_offset` in it.
        """
        store = self._store
        queue = store.queue(message.topic, message.queue_id)
        if queue is None:
            queue = store.stage_queue(message.topic, message.queue_id)

        now = self.now()
        message.queue_offset = queue.next_offset
        message.physical_offset = store.next_physical
        message.store_timestamp = now
        message.store_address = self.address
        message.store_port = self.port
        data = record.encode(message)
        store.stage_message(queue, data, tag_code, now, keys)
        if links is not None:
            store.stage_link(links, message.physical_offset, data, tag_code, now)
        self._group_commit.arrived(queue, queue.next_offset, tag_code)
        return queue

    def message_id(self, physical_offset: int) -> str:
        """Return the offset id of a message of this broker."""
        return f"{self._id_head}{physical_offset:016X}"


def record_of(request: SendRequest, topic: str, queue_id: int) -> Record:
    """Return the record of a sent message for a topic and queue; its properties are still missing."""
    return Record(
        topic=topic,
        body=request.body,
        queue_id=queue_id,
        flag=request.flag,
        sys_flag=request.sys_flag,
        born_timestamp=request.born_timestamp,
        born_address=packed_address(request.born_ip),
        born_port=request.born_port,
        reconsume_times=request.reconsume_times,
    )


def key_hash(topic: str, key: str) -> int:
    """Return the hash by which the index finds a message of a topic by one of its keys."""
    return zlib.crc32(f"{topic}#{key}".encode())


def key_hashes(topic: str, unique_id: str | None, keys: str | None) -> tuple[int, ...]:
    """Return the hashes of a message's unique id and of each of its keys, which are separated by spaces."""
    if not keys:
        return (key_hash(topic, unique_id),) if unique_id else ()

    wanted = dict.fromkeys(key for key in keys.split(" ", MAX_KEYS)[:MAX_KEYS] if key)
    if unique_id:
        wanted[unique_id] = None
    return tuple(key_hash(topic, key) for key in wanted)
