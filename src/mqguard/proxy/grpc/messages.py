"""Messages of gRPC clients as stored records, and back (Apache: `GrpcConverter`, `SendMessageActivity`)."""

import hashlib
import zlib
from collections.abc import Mapping
from typing import Final, NamedTuple

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from mqguard.model import names, properties
from mqguard.model.peer import address_text
from mqguard.model.record import COMPRESSED, TRANSACTION_PREPARED, Record
from mqguard.proxy.grpc.settings import ProxySettings
from mqguard.proxy.grpc.statuses import CallRefused
from mqguard.rpc.protocol import messages_pb2 as pb

BORN_HOST: Final = "__BORNHOST"
BORN_TIMESTAMP: Final = "BORN_TIMESTAMP"
TRACE_CONTEXT: Final = "TRACE_CONTEXT"
MAX_SECONDS: Final = 253_402_300_799
"""Maximum seconds of a time: the end of the year 9999."""
MAX_UNPACKED: Final = 32 * 1024 * 1024
"""Maximum bytes of a body that is unpacked."""

_RESERVED = """
KEYS TAGS WAIT DELAY RETRY_TOPIC REAL_TOPIC REAL_QID TRAN_MSG PGROUP MIN_OFFSET MAX_OFFSET BUYER_ID
ORIGIN_MESSAGE_ID ORIGIN_GROUP TRANSFER_FLAG CORRECTION_FLAG MQ2_FLAG RECONSUME_TIME UNIQ_KEY EXTEND_UNIQ_INFO
MAX_RECONSUME_TIMES CONSUME_START_TIME TRAN_PREPARED_QUEUE_OFFSET TRANSACTION_CHECK_TIMES TRANS_OFFSET
CHECK_IMMUNITY_TIME_IN_SECONDS TRANSACTION_PREPARED_QUEUE_OFFSET INSTANCE_ID CORRELATION_ID REPLY_TO_CLIENT
TTL ARRIVE_TIME PUSH_REPLY_TIME CLUSTER MSG_TYPE INNER_MULTI_QUEUE_OFFSET INNER_MULTI_DISPATCH INNER_NUM
INNER_BASE TIMER_DELAY_SEC TIMER_DELIVER_MS TIMER_DELAY_MS TIMER_IN_MS TIMER_OUT_MS TIMER_ENQUEUE_MS
TIMER_DEQUEUE_MS TIMER_ROLL_TIMES TIMER_ROLL_LABEL TIMER_DEL_UNIQKEY TIMER_DELAY_LEVEL TIMER_DEL_MS POP_CK
POP_CK_OFFSET 1ST_POP_TIME SHARDING_KEY __SHARDINGKEY TRACE_ON MSG_REGION TRACE_SWITCH UNIQUE_MSG_QUERY_FLAG
traceSwitch __transactionId__ DUP_INFO FORWARD_QUEUE_ID PROPERTY_FORWARD_QUEUE_ID REDIRECT BORN_TIMESTAMP
__BORNHOST TRACE_CONTEXT DLQ_ORIGIN_TOPIC DLQ_ORIGIN_MESSAGE_ID CRC32# __CRC32# _SYS_MSG_PRIORITY_ __LITE_TOPIC
LMQ_SUB_ALL
"""
RESERVED: Final = frozenset(_RESERVED.split())
"""Names of properties that RocketMQ uses itself. Users can neither set nor see them."""
RESERVED_PREFIX: Final = "__RMQ."
"""Beginning of further names of this kind, which brokers do not store."""
_TIMERS: Final = (properties.DELAY, *properties.TIMER_KEYS)


def is_reserved(name: str) -> bool:
    """Return True if RocketMQ uses the name of a property itself."""
    return name in RESERVED or name.startswith(RESERVED_PREFIX)


class MessageDelivery(NamedTuple):
    """Parts of a delivered message that are not in its record.

    Attributes:
        topic: The topic that the client consumes.
        handle: The receipt handle, empty without one.
        invisible_ms: Milliseconds until the message is delivered again.
        attempt: Number of this delivery, from 1 on.
    """

    topic: str
    handle: str = ""
    invisible_ms: int = 0
    attempt: int = 1


def timestamp(ms: int) -> Timestamp:
    """Return milliseconds since the epoch in the form of messages."""
    return Timestamp(seconds=ms // 1000, nanos=ms % 1000 * 1_000_000)


def duration(ms: int) -> Duration:
    """Return milliseconds in the form of messages."""
    return Duration(seconds=ms // 1000, nanos=ms % 1000 * 1_000_000)


def milliseconds(value: Duration | Timestamp) -> int:
    """Return a duration or a time in milliseconds."""
    return value.seconds * 1000 + value.nanos // 1_000_000


def is_valid(value: Timestamp) -> bool:
    """Return True for a time from 1970 to 9999, as `Timestamp` defines it."""
    return 0 <= value.seconds <= MAX_SECONDS and 0 <= value.nanos < 1_000_000_000


def require_lite_topic(name: str) -> str:
    """Return the name of a lite topic.

    Raises:
        CallRefused: It is not one.
    """
    fault = names.lite_topic_fault(name)
    if fault is not None:
        raise CallRefused(pb.ILLEGAL_LITE_TOPIC, fault)
    return name


def require_type(message: pb.Message) -> pb.MessageType:
    """Return the kind of a message by its contents.

    Raises:
        CallRefused: It has contents of several kinds, or names another kind.
    """
    system = message.system_properties
    declared = system.message_type
    kinds = []
    if declared == pb.TRANSACTION:
        kinds.append(pb.TRANSACTION)
    if system.HasField("delivery_timestamp"):
        kinds.append(pb.DELAY)
    if system.message_group:
        kinds.append(pb.FIFO)
    if system.lite_topic:
        kinds.append(pb.LITE)
    if system.HasField("priority"):
        kinds.append(pb.PRIORITY)
    kind = kinds[0] if kinds else pb.NORMAL
    if len(kinds) > 1 or declared not in (kind, pb.MESSAGE_TYPE_UNSPECIFIED):
        found = " and ".join(pb.MessageType.Name(kind) for kind in kinds) or "NORMAL"
        named = pb.MessageType.Name(declared) if declared in pb.MessageType.values() else declared
        raise CallRefused(
            pb.MESSAGE_PROPERTY_CONFLICT_WITH_TYPE,
            f"the message has the type {named}, and its properties are those of {found}",
        )
    return kind


def properties_of(message: pb.Message, now_ms: int, settings: ProxySettings) -> dict[str, str]:
    """Return the properties with which a message is stored.

    Args:
        message: The message of a producer.
        now_ms: Milliseconds since the epoch.
        settings: Limits.

    Raises:
        CallRefused: A part of the message is not valid.
    """
    system = message.system_properties
    found = _user_properties(message, settings)
    found[properties.UNIQ_KEY] = _message_id(system.message_id)
    found[properties.WAIT] = "true"
    if system.tag:
        found[properties.TAGS] = _tag(system.tag)
    if keys := [_key(key) for key in system.keys if key]:
        found[properties.KEYS] = " ".join(keys)
    if system.message_group:
        found[properties.SHARDING_KEY] = _message_group(system.message_group, settings.max_message_group)
    _add_delivery(found, system, now_ms, settings)
    _add_transaction(found, message, settings)
    _add_origin(found, system)
    return found


def body_of(message: pb.Message, settings: ProxySettings) -> bytes:
    """Return the body that is stored; a packed one is unpacked, so that every client can read it.

    Raises:
        CallRefused: It is empty, too large or damaged.
    """
    body: bytes = message.body
    if message.system_properties.body_encoding == pb.GZIP:
        body = _unpacked_body(body, settings.max_body)
    if not body:
        raise CallRefused(pb.MESSAGE_BODY_EMPTY, "the body of the message is empty")
    if len(body) > settings.max_body:
        raise CallRefused(
            pb.MESSAGE_BODY_TOO_LARGE, f"the body has more than {settings.max_body} bytes: send less in one message"
        )
    return body


def _unpacked_body(packed: bytes, limit: int) -> bytes:
    """Return a packed body, or one byte more than the limit of it.

    The client for C++ packs bodies of 4 KiB and more in zlib's form and calls it gzip (`UtilAll::compress`).
    """
    unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
    try:
        body = unpacker.decompress(packed, limit + 1)
    except zlib.error:
        raise CallRefused(pb.MESSAGE_CORRUPTED, "the body is in the form of neither gzip nor zlib") from None
    if len(body) <= limit and (not unpacker.eof or unpacker.unused_data):
        raise CallRefused(pb.MESSAGE_CORRUPTED, "the body is cut, or something follows it")
    return body


def message_type(pairs: Mapping[str, str]) -> pb.MessageType:
    """Return the kind of a stored message."""
    if pairs.get(properties.TRAN_MSG) == "true":
        return pb.TRANSACTION
    if any(name in pairs for name in _TIMERS):
        return pb.DELAY
    if properties.LITE_TOPIC in pairs:
        return pb.LITE
    if properties.PRIORITY in pairs:
        return pb.PRIORITY
    return pb.FIFO if properties.SHARDING_KEY in pairs else pb.NORMAL


def message_of(record: Record, delivery: MessageDelivery) -> pb.Message:
    """Return a stored message as clients get it."""
    pairs = properties.parse(record.properties.decode(errors="replace"))
    body = _unpacked(record)
    system = pb.SystemProperties(
        keys=pairs.get(properties.KEYS, "").split(),
        message_id=pairs.get(properties.UNIQ_KEY, ""),
        body_digest=pb.Digest(type=pb.MD5, checksum=hashlib.md5(body, usedforsecurity=False).hexdigest().upper()),
        body_encoding=pb.IDENTITY,
        message_type=message_type(pairs),
        born_timestamp=timestamp(record.born_timestamp),
        born_host=pairs.get(BORN_HOST) or address_text(record.born_address),
        store_timestamp=timestamp(record.store_timestamp),
        store_host=address_text(record.store_address),
        queue_id=record.queue_id,
        queue_offset=record.queue_offset,
        delivery_attempt=delivery.attempt,
        tag=pairs.get(properties.TAGS),
        message_group=pairs.get(properties.SHARDING_KEY),
        trace_context=pairs.get(TRACE_CONTEXT),
        lite_topic=pairs.get(properties.LITE_TOPIC),
        receipt_handle=delivery.handle or None,
        invisible_duration=duration(delivery.invisible_ms) if delivery.invisible_ms else None,
    )
    due = pairs.get(properties.TIMER_DELIVER_MS, pairs.get(properties.TIMER_OUT_MS, ""))
    if due.isdecimal() and len(due) <= 15:
        system.delivery_timestamp.CopyFrom(timestamp(int(due)))
    priority = pairs.get(properties.PRIORITY, "")
    if priority.isdecimal() and len(priority) <= 9:
        system.priority = int(priority)
    if properties.DLQ_ORIGIN_TOPIC in pairs:
        system.dead_letter_queue.topic = pairs[properties.DLQ_ORIGIN_TOPIC]
        system.dead_letter_queue.message_id = pairs.get(properties.DLQ_ORIGIN_MESSAGE_ID, "")
    return pb.Message(
        topic=pb.Resource(name=delivery.topic),
        user_properties={name: value for name, value in pairs.items() if not is_reserved(name)},
        system_properties=system,
        body=body,
    )


def system_flag(message: pb.Message) -> int:
    """Return the system flag with which a message is stored."""
    return TRANSACTION_PREPARED if message.system_properties.message_type == pb.TRANSACTION else 0


def _unpacked(record: Record) -> bytes:
    """Return the body of a record, unpacked if that is possible."""
    if not record.sys_flag & COMPRESSED:
        return record.body
    try:
        unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
        body = unpacker.decompress(record.body, MAX_UNPACKED)
    except zlib.error:
        return record.body
    return body if unpacker.eof else record.body


def _add_delivery(found: dict[str, str], system: pb.SystemProperties, now_ms: int, settings: ProxySettings) -> None:
    """Add when and in which order the message is delivered."""
    if system.HasField("delivery_timestamp"):
        due = milliseconds(system.delivery_timestamp)
        if not is_valid(system.delivery_timestamp):
            raise CallRefused(pb.ILLEGAL_DELIVERY_TIME, "the delivery time is not a time from 1970 to 9999")
        if due - now_ms > settings.max_delay_ms:
            raise CallRefused(
                pb.ILLEGAL_DELIVERY_TIME,
                f"the delivery time is {due - now_ms} ms from now, and the maximum is {settings.max_delay_ms} ms",
            )
        if due > 0:
            found[properties.TIMER_DELIVER_MS] = str(due)
    if system.HasField("priority"):
        if system.priority < 0:
            raise CallRefused(pb.BAD_REQUEST, f"the priority is {system.priority}, and the minimum is 0")
        found[properties.PRIORITY] = str(system.priority)
    if system.lite_topic:
        found[properties.LITE_TOPIC] = require_lite_topic(system.lite_topic)


def _add_transaction(found: dict[str, str], message: pb.Message, settings: ProxySettings) -> None:
    """Add the properties of a half message."""
    system = message.system_properties
    if system.message_type == pb.TRANSACTION:
        found[properties.TRAN_MSG] = "true"
        # There are no producer groups: the topic takes their place.
        found[properties.PGROUP] = message.topic.name
        if system.HasField("orphaned_transaction_recovery_duration"):
            seconds = system.orphaned_transaction_recovery_duration.seconds
            if not 0 <= seconds <= settings.max_recovery_s:
                raise CallRefused(
                    pb.BAD_REQUEST,
                    f"the time until a transaction is checked is {seconds} s; it must be 0 to "
                    f"{settings.max_recovery_s} s",
                )
            found[properties.CHECK_IMMUNITY_TIME_IN_SECONDS] = str(seconds)


def _add_origin(found: dict[str, str], system: pb.SystemProperties) -> None:
    """Add what the producer says about itself."""
    if system.trace_context:
        found[TRACE_CONTEXT] = _plain("the trace context", system.trace_context, pb.BAD_REQUEST)
    if system.born_host:
        found[BORN_HOST] = _plain("the born host", system.born_host, pb.BAD_REQUEST)
    if system.HasField("born_timestamp") and is_valid(system.born_timestamp):
        found[BORN_TIMESTAMP] = str(milliseconds(system.born_timestamp))


def _user_properties(message: pb.Message, settings: ProxySettings) -> dict[str, str]:
    pairs, system = message.user_properties, message.system_properties
    if len(pairs) > settings.max_user_properties:
        raise CallRefused(
            pb.MESSAGE_PROPERTIES_TOO_LARGE,
            f"the message has {len(pairs)} user properties, and the maximum is {settings.max_user_properties}",
        )
    size = len("".join((system.tag, *system.keys)).encode())
    for name, value in pairs.items():
        if not name.strip():
            raise CallRefused(pb.ILLEGAL_MESSAGE_PROPERTY_KEY, "the name of a property is blank")
        if is_reserved(name):
            raise CallRefused(
                pb.ILLEGAL_MESSAGE_PROPERTY_KEY, f"the name `{name[:64]}` of a property is reserved: use another one"
            )
        _plain("the name of a property", name, pb.ILLEGAL_MESSAGE_PROPERTY_KEY)
        _plain(f"the property `{name[:64]}`", value, pb.ILLEGAL_MESSAGE_PROPERTY_KEY)
        size += len(name.encode()) + len(value.encode())
    if size > settings.max_properties_bytes:
        raise CallRefused(
            pb.MESSAGE_PROPERTIES_TOO_LARGE,
            f"the user properties, the tag and the keys have {size} bytes, and the maximum is "
            f"{settings.max_properties_bytes}",
        )
    return dict(pairs)


def _plain(what: str, text: str, code: pb.Code) -> str:
    """Return a text that can be part of stored properties.

    Raises:
        CallRefused: It has one of the characters that separate properties, or another control character.
    """
    if not text.isprintable() and any(ord(char) < 0x20 or 0x7F <= ord(char) < 0xA0 for char in text):
        raise CallRefused(code, f"{what} has a control character")
    return text


def _message_id(text: str) -> str:
    if not text.strip() or len(text) > names.MAX_SYSTEM_TOPIC_BYTES:
        raise CallRefused(pb.ILLEGAL_MESSAGE_ID, "the message id is empty or too long")
    return _plain("the message id", text, pb.ILLEGAL_MESSAGE_ID)


def _tag(text: str) -> str:
    if not text.strip() or "|" in text:
        raise CallRefused(pb.ILLEGAL_MESSAGE_TAG, f"the tag `{text[:64]}` is blank or has `|`")
    return _plain("the tag", text, pb.ILLEGAL_MESSAGE_TAG)


def _key(text: str) -> str:
    if not text.strip():
        raise CallRefused(pb.ILLEGAL_MESSAGE_KEY, "a key is blank")
    return _plain("a key", text, pb.ILLEGAL_MESSAGE_KEY)


def _message_group(text: str, limit: int) -> str:
    if not text.strip() or len(text.encode()) > limit:
        raise CallRefused(pb.ILLEGAL_MESSAGE_GROUP, f"the message group is blank or has more than {limit} bytes")
    return _plain("the message group", text, pb.ILLEGAL_MESSAGE_GROUP)
