"""The message record: the only binary form of stored, pulled and viewed messages (Apache: `MessageDecoder`).

Records follow each other without padding. V1 has a 1-byte topic length, V2 a 2-byte one for topics longer than 127
bytes. Bits of the system flag determine whether a host has 4 or 16 address bytes.
"""

import struct
import zlib
from typing import NamedTuple

import msgspec

from mqguard.errors import MqguardError

COMPRESSED = 0x1
"""The body is compressed; the broker never reads it."""
MULTI_TAGS = 0x2
TRANSACTION_MASK = 0xC
TRANSACTION_PREPARED = 0x4
TRANSACTION_COMMIT = 0x8
TRANSACTION_ROLLBACK = 0xC
BORN_HOST_V6 = 0x10
STORE_HOST_V6 = 0x20
_HOSTS_V6 = BORN_HOST_V6 | STORE_HOST_V6
NEED_UNWRAP = 0x40
INNER_BATCH = 0x80
COMPRESSION_MASK = 0x700


_HOST_V4 = struct.Struct(">4siq")
_HOST_V6 = struct.Struct(">16siq")
_UNIQUE_TAIL = struct.Struct(">HIIH")
_MONTH_MS = 31 * 24 * 3600 * 1000


class OffsetId(NamedTuple):
    """The content of an offset message id: the broker of the message, and its position.

    Attributes:
        address: 4 or 16 bytes of the broker's address.
        port: The broker's port.
        physical_offset: The position of the message.
    """

    address: bytes
    port: int
    physical_offset: int


def offset_id(address: bytes, port: int, physical_offset: int) -> str:
    """Format an offset id: 32 (IPv4) or 56 (IPv6) upper-case hex digits."""
    form = _HOST_V4 if len(address) == 4 else _HOST_V6
    return form.pack(address, port, physical_offset).hex().upper()


def parse_offset_id(text: str) -> OffsetId | None:
    """Parse an offset id; return None if the text has another form. A unique id of Java has the same form."""
    try:
        data = bytes.fromhex(text) if text.isalnum() else b""
    except ValueError:
        return None
    if len(data) == 16:
        return OffsetId(*_HOST_V4.unpack(data))
    if len(data) == 28:
        return OffsetId(*_HOST_V6.unpack(data))
    return None


class UniqueIds:
    """Creates unique ids in the form of the Java client, for messages without one.

    Args:
        address: 4 or 16 bytes that identify this host.
        process: A number that differs between the processes of a host; 16 bits count.
        salt: A number that differs between starts of a process; 32 bits count.
    """

    def __init__(self, address: bytes, process: int, salt: int) -> None:
        self._head = address
        self._process = process & 0xFFFF
        self._salt = salt & 0xFFFFFFFF
        self._counter = 0

    def next(self, now_ms: int) -> str:
        """Return another id; unique if fewer than 65,536 are created in a millisecond."""
        self._counter = (self._counter + 1) & 0xFFFF
        tail = _UNIQUE_TAIL.pack(self._process, self._salt, now_ms % _MONTH_MS, self._counter)
        return (self._head + tail).hex().upper()


class RecordInvalid(MqguardError):
    """Bytes that are not a message record, or a record that cannot be written. Its message names the byte or field."""


MAGIC_V1 = 0xDAA320A7
MAGIC_V2 = 0xDAA320AB

_MAGIC_V1_END = MAGIC_V1 & 0xFF

QUEUE_OFFSET_AT = 20
SYS_FLAG_AT = 36
_BODY_SIZE_AT = 84
"""Position of the size of the body if both hosts are IPv4."""
_SHORT_TOPIC = 127
_MAX_PROPERTIES = 32767

_HEAD = struct.Struct(">iIIiiqqiq")
_V4 = struct.Struct(">iIIiiqqiq4siq4siiqi")
"""All fields before the body if both hosts are IPv4, the common case."""
_TAIL_OF_HEAD = struct.Struct(">iqi")
_LONG = struct.Struct(">q")
_INT = struct.Struct(">i")


class Record(msgspec.Struct, gc=False):
    """One message, decoded.

    Attributes:
        topic: Topic that stores it.
        body: The body as received, perhaps compressed.
        properties: Property text as bytes (see `properties.parse`).
        queue_id: Queue within the topic.
        queue_offset: Position within the queue.
        physical_offset: Position within the store, part of the message's offset id.
        flag: The user's number.
        sys_flag: Bits of `sysflag`.
        born_timestamp: Creation time of the producer, milliseconds since the epoch.
        born_address: 4 or 16 bytes: the producer's address.
        born_port: Port of the producer's connection.
        store_timestamp: Storage time of the broker.
        store_address: 4 or 16 bytes: the broker's reachable address.
        store_port: The broker's port.
        reconsume_times: Deliveries that have failed so far.
        prepared_offset: Physical offset of the half message of a transaction.
    """

    topic: str
    body: bytes
    properties: bytes = b""
    queue_id: int = 0
    queue_offset: int = 0
    physical_offset: int = 0
    flag: int = 0
    sys_flag: int = 0
    born_timestamp: int = 0
    born_address: bytes = b"\0\0\0\0"
    born_port: int = 0
    store_timestamp: int = 0
    store_address: bytes = b"\0\0\0\0"
    store_port: int = 0
    reconsume_times: int = 0
    prepared_offset: int = 0


def encode(record: Record) -> bytes:
    """Encode a record. The addresses determine the address bits of the system flag, whatever the record's flag is.

    Raises:
        RecordInvalid: The topic or the properties are too long.
    """
    topic = record.topic.encode()
    if len(topic) > _MAX_PROPERTIES:
        raise RecordInvalid(f"the topic has {len(topic)} bytes; a record holds at most {_MAX_PROPERTIES}")
    if len(record.properties) > _MAX_PROPERTIES:
        raise RecordInvalid(
            f"the properties have {len(record.properties)} bytes; a record holds at most {_MAX_PROPERTIES}"
        )

    born_v6, store_v6 = len(record.born_address) == 16, len(record.store_address) == 16
    flag = record.sys_flag & ~(BORN_HOST_V6 | STORE_HOST_V6)
    flag |= (BORN_HOST_V6 if born_v6 else 0) | (STORE_HOST_V6 if store_v6 else 0)
    short = len(topic) <= _SHORT_TOPIC
    size = (
        91 + (12 if born_v6 else 0) + (12 if store_v6 else 0) + (0 if short else 1)
        + len(record.body) + len(topic) + len(record.properties)
    )  # fmt: skip
    body = record.body
    head = _HEAD.pack(
        size,
        MAGIC_V1 if short else MAGIC_V2,
        zlib.crc32(body) & 0x7FFFFFFF,
        record.queue_id,
        record.flag,
        record.queue_offset,
        record.physical_offset,
        flag,
        record.born_timestamp,
    )
    return b"".join(
        (
            head,
            record.born_address,
            _INT.pack(record.born_port),
            _LONG.pack(record.store_timestamp),
            record.store_address,
            _INT.pack(record.store_port),
            _TAIL_OF_HEAD.pack(record.reconsume_times, record.prepared_offset, len(body)),
            body,
            len(topic).to_bytes(1 if short else 2, "big"),
            topic,
            len(record.properties).to_bytes(2, "big"),
            record.properties,
        )
    )


def encode_v4(  # noqa: PLR0913, PLR0917 - one call per message: an object to carry these costs 10 % of it
    topic: bytes,
    body: bytes,
    properties: bytes,
    queue_id: int,
    queue_offset: int,
    physical_offset: int,
    flag: int,
    sys_flag: int,
    born_timestamp: int,
    born_address: bytes,
    born_port: int,
    store_timestamp: int,
    store_address: bytes,
    store_port: int,
    reconsume_times: int,
) -> bytes:
    """Encode a record with IPv4 hosts and a topic of at most 127 bytes: `encode` without checks, for sends.

    Raises:
        struct.error: A number does not fit.
    """
    return b"".join(
        (
            _V4.pack(
                91 + len(body) + len(topic) + len(properties),
                MAGIC_V1,
                zlib.crc32(body) & 0x7FFFFFFF,
                queue_id,
                flag,
                queue_offset,
                physical_offset,
                sys_flag,
                born_timestamp,
                born_address,
                born_port,
                store_timestamp,
                store_address,
                store_port,
                reconsume_times,
                0,
                len(body),
            ),
            body,
            len(topic).to_bytes(1, "big"),
            topic,
            len(properties).to_bytes(2, "big"),
            properties,
        )
    )


def decode(data: bytes, at: int = 0) -> Record:
    """Decode the record that starts at byte `at`.

    Raises:
        RecordInvalid: The bytes are not a whole record, or its lengths contradict each other.
    """
    end = at + size_at(data, at)
    try:
        return _decode(data, at, end)
    except (struct.error, UnicodeDecodeError, IndexError) as error:
        raise RecordInvalid(f"the record at byte {at} is damaged: {error}") from error


def decode_all(data: bytes) -> list[Record]:
    """Decode all records in the body of a pull response.

    Raises:
        RecordInvalid: The bytes are not whole records in sequence.
    """
    found: list[Record] = []
    at = 0
    while at < len(data):
        found.append(decode(data, at))
        at += size_at(data, at)
    return found


def size_at(data: bytes, at: int = 0) -> int:
    """Return the size in bytes of the record at byte `at`, after checking its magic.

    Raises:
        RecordInvalid: There are too few bytes, the magic is unknown, or the size is impossible.
    """
    if len(data) - at < 8:
        raise RecordInvalid(f"the record at byte {at} is cut off after {len(data) - at} bytes")

    size = int.from_bytes(data[at : at + 4], "big", signed=True)
    magic = int.from_bytes(data[at + 4 : at + 8], "big")
    if magic not in (MAGIC_V1, MAGIC_V2):
        raise RecordInvalid(f"the record at byte {at} has the unknown magic `{magic:08x}`")
    if not 91 <= size <= len(data) - at:
        raise RecordInvalid(f"the record at byte {at} claims {size} bytes, but {len(data) - at} are present")
    return size


def properties_at(data: bytes) -> int:
    """Return the position of the property text in a valid record; the text reaches to the end of the record."""
    at = _BODY_SIZE_AT
    if data[SYS_FLAG_AT + 3] & _HOSTS_V6:
        at += 12 * (data[SYS_FLAG_AT + 3] & _HOSTS_V6).bit_count()
    (body_size,) = _INT.unpack_from(data, at)
    at += 4 + int(body_size)
    if data[7] == _MAGIC_V1_END:
        return at + 3 + data[at]
    return at + 4 + int.from_bytes(data[at : at + 2], "big")


def place(data: bytes, queue_id: int, queue_offset: int, physical_offset: int) -> bytes:
    """Return the same record at another position: queue and offsets replaced, everything else kept."""
    return b"".join(
        (
            data[:12],
            _INT.pack(queue_id),
            data[16:QUEUE_OFFSET_AT],
            _LONG.pack(queue_offset),
            _LONG.pack(physical_offset),
            data[SYS_FLAG_AT:],
        )
    )


def _decode(data: bytes, start: int, end: int) -> Record:
    _, magic, _, queue_id, flag, queue_offset, physical_offset, sys_flag, born = _HEAD.unpack_from(data, start)
    at = start + _HEAD.size
    born_address, born_port, at = _host_at(data, at, v6=bool(sys_flag & BORN_HOST_V6))
    (stored,) = _LONG.unpack_from(data, at)
    store_address, store_port, at = _host_at(data, at + 8, v6=bool(sys_flag & STORE_HOST_V6))
    reconsume_times, prepared, body_size = _TAIL_OF_HEAD.unpack_from(data, at)
    body, at = _slice(data, at + _TAIL_OF_HEAD.size, body_size, end, "body")
    width = 1 if magic == MAGIC_V1 else 2
    topic, at = _slice(data, at + width, int.from_bytes(data[at : at + width], "big"), end, "topic")
    properties, at = _slice(data, at + 2, int.from_bytes(data[at : at + 2], "big", signed=True), end, "properties")
    if at != end:
        raise RecordInvalid(f"the record at byte {start} claims {end - start} bytes but its parts take {at - start}")

    return Record(
        topic=topic.decode(),
        body=body,
        properties=properties,
        queue_id=queue_id,
        queue_offset=queue_offset,
        physical_offset=physical_offset,
        flag=flag,
        sys_flag=sys_flag,
        born_timestamp=born,
        born_address=born_address,
        born_port=born_port,
        store_timestamp=stored,
        store_address=store_address,
        store_port=store_port,
        reconsume_times=reconsume_times,
        prepared_offset=prepared,
    )


def _host_at(data: bytes, at: int, *, v6: bool) -> tuple[bytes, int, int]:
    width = 16 if v6 else 4
    (port,) = _INT.unpack_from(data, at + width)
    return data[at : at + width], port, at + width + 4


def _slice(data: bytes, at: int, size: int, end: int, what: str) -> tuple[bytes, int]:
    if size < 0 or at + size > end:
        raise RecordInvalid(f"the {what} of {size} bytes reaches beyond the record's end")
    return data[at : at + size], at + size


_BATCH_HEAD = struct.Struct(">iiiii")
"""Total size, magic (0), checksum (0), flag, body size."""
_SHORT = struct.Struct(">h")


class BatchMessage(msgspec.Struct, gc=False):
    """One message of a batch; topic, times and hosts are those of the request.

    Attributes:
        body: Message body.
        properties: Property text as bytes.
        flag: The user's number.
    """

    body: bytes
    properties: bytes = b""
    flag: int = 0


def encode_batch(messages: list[BatchMessage]) -> bytes:
    """Encode a batch body as the Java client does."""
    parts: list[bytes] = []
    for message in messages:
        size = _BATCH_HEAD.size + len(message.body) + 2 + len(message.properties)
        parts += (
            _BATCH_HEAD.pack(size, 0, 0, message.flag, len(message.body)),
            message.body,
            _SHORT.pack(len(message.properties)),
            message.properties,
        )
    return b"".join(parts)


def decode_batch(data: bytes) -> list[BatchMessage]:
    """Decode a batch body.

    Raises:
        RecordInvalid: The bytes are not whole messages in sequence.
    """
    found: list[BatchMessage] = []
    at = 0
    while at < len(data):
        message, at = decode_batch_message(data, at)
        found.append(message)
    return found


def decode_batch_message(data: bytes, at: int) -> tuple[BatchMessage, int]:
    """Decode one message of a batch body.

    Args:
        data: The body.
        at: The position of the message.

    Returns:
        The message, and the position of the next one.

    Raises:
        RecordInvalid: There is no whole message.
    """
    number_at = f"the batch message at byte {at}"
    if len(data) - at < _BATCH_HEAD.size + 2:
        raise RecordInvalid(f"{number_at} is cut off after {len(data) - at} bytes")

    size, _, _, flag, body_size = _BATCH_HEAD.unpack_from(data, at)
    body_at = at + _BATCH_HEAD.size
    if not 0 <= body_size <= len(data) - body_at - 2:
        raise RecordInvalid(f"{number_at} claims {body_size} body bytes, but {len(data) - body_at - 2} are present")

    (properties_size,) = _SHORT.unpack_from(data, body_at + body_size)
    properties_at = body_at + body_size + 2
    end = properties_at + properties_size
    if properties_size < 0 or end > len(data):
        raise RecordInvalid(f"{number_at} claims {properties_size} bytes of properties")
    if end - at != size:
        raise RecordInvalid(f"{number_at} claims {size} bytes but its parts take {end - at}")
    return BatchMessage(data[body_at : body_at + body_size], data[properties_at:end], flag), end
