"""Registration of brokers (103, 104, 205, 322, 327, 901, 904), and the body with which they register.

A registration decides which broker clients find, for topics of every cluster. So only the inner credentials or a Super
user may send these requests, except for `members`: see `guard.requirements.operations`.

The body contains the topics of a broker, as JSON or in the compressed form of Java brokers. That form begins with the
length (i32) and the JSON of the data version, and the number of topics (i32). For each topic, a length (i32) and a line
`name readQueues writeQueues perm filterType [attributes]` follow. mqguard ignores the rest: filter servers and static
topics.
"""

import struct
import zlib
from typing import NamedTuple

from mqguard.dispatch.request import Handler, Request
from mqguard.model.process import Clock
from mqguard.model.topic import MAX_QUEUES, DataVersion, TopicConfig
from mqguard.namesrv.kv import ORDER_NAMESPACE, KvTable
from mqguard.namesrv.route_table import BROKER_LIFE_MS, Registration, RouteTable, layout_of
from mqguard.remoting.bodies.codec import decode, decode_table, encode
from mqguard.remoting.bodies.topics import DataVersionBody, KvBody, MemberGroup, MemberGroupBody, RegisterBrokerBody
from mqguard.remoting.codes import RequestCode, ResponseCode
from mqguard.remoting.command import BodyInvalid, Reply
from mqguard.remoting.headers.codec import read, write
from mqguard.remoting.headers.route import (
    AddedAnswer,
    BrokerHeader,
    BrokerHeartbeatHeader,
    BrokerNameHeader,
    DataVersionAnswer,
    MemberGroupHeader,
    RegisterBrokerAnswer,
    RegisterBrokerHeader,
    WipedAnswer,
)

MAX_INFLATED_BYTES = 4 * 1024 * 1024
"""Maximum bytes of a body after decompression: `MAX_TOPICS` of 200 bytes each."""
MAX_TOPICS = 20_000
"""Maximum topics of one registration, as many as a broker has (`maxTopics`). Reading them blocks for some 80 ms."""

_INT = struct.Struct(">i")


class RegisteredTopics(NamedTuple):
    """Topics of a registration, and the version of the broker's topic table."""

    version: DataVersion
    topics: list[TopicConfig]


def read_registration(data: bytes, *, compressed: bool) -> RegisteredTopics:
    """Read the body of 103; an empty body has no topics.

    Raises:
        BodyInvalid: The body is malformed, or too large after decompression.
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
        found = inflater.decompress(data, MAX_INFLATED_BYTES)
    except zlib.error as exc:
        raise BodyInvalid("", f"cannot be decompressed: {exc}") from None
    if inflater.unconsumed_tail:
        raise BodyInvalid("", f"has more than {MAX_INFLATED_BYTES} bytes after decompression")
    if not inflater.eof:
        raise BodyInvalid("", "is incomplete: the compressed data ends too early")
    return found


class _Inflated:
    """Reader of a decompressed body."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def read(self) -> RegisteredTopics:
        version = decode(self._bytes(), DataVersionBody).value()
        count = self._int()
        if count < 0:
            raise BodyInvalid("", f"has an invalid number of topics: {count}")
        _check_count(count)
        return RegisteredTopics(version, [_topic(self._bytes()) for _ in range(count)])

    def _int(self) -> int:
        if self._at + 4 > len(self._data):
            raise BodyInvalid("", f"ends at byte {len(self._data)}, in the middle of a number")
        (number,) = _INT.unpack_from(self._data, self._at)
        self._at += 4
        return int(number)

    def _bytes(self) -> bytes:
        size = self._int()
        end = self._at + size
        if size < 0 or end > len(self._data):
            raise BodyInvalid(
                "", f"has a part of {size} bytes at byte {self._at}, but only {len(self._data)} bytes in all"
            )
        found = self._data[self._at : end]
        self._at = end
        return found


def _check_count(topics: int) -> None:
    if topics > MAX_TOPICS:
        raise BodyInvalid("", f"has {topics} topics: one registration can have at most {MAX_TOPICS}")


def _topic(line: bytes) -> TopicConfig:
    try:
        name, read_queues, write_queues, perm, *_ = line.decode().split(" ")
        return _checked(TopicConfig(name, int(read_queues), int(write_queues), int(perm)))
    except ValueError as exc:
        raise BodyInvalid("", f"has an invalid line for a topic: {line[:80]!r}: {exc}") from None


def _checked(topic: TopicConfig) -> TopicConfig:
    if not (topic.name and 0 <= topic.read_queues <= MAX_QUEUES and 0 <= topic.write_queues <= MAX_QUEUES):
        raise BodyInvalid(
            "",
            f"has topic `{topic.name}` with {topic.read_queues} read and {topic.write_queues} write queues: "
            f"use 0 to {MAX_QUEUES} for both",
        )
    return topic


ZONE = "zoneName"
"""Ext field of 103 with the zone of the broker."""


class BrokerRegistrationProcessor:
    """Handlers for the registration of brokers."""

    def __init__(self, table: RouteTable, kv: KvTable, clock: Clock) -> None:
        self._table = table
        self._kv = kv
        self._clock = clock

    def handlers(self) -> dict[int, Handler]:
        """Return the handlers by request code."""
        return {
            RequestCode.REGISTER_BROKER: self.register,
            RequestCode.UNREGISTER_BROKER: self.unregister,
            RequestCode.BROKER_HEARTBEAT: self.heartbeat,
            RequestCode.QUERY_DATA_VERSION: self.query_version,
            RequestCode.WIPE_WRITE_PERM_OF_BROKER: self.wipe,
            RequestCode.ADD_WRITE_PERM_OF_BROKER: self.unwipe,
            RequestCode.GET_BROKER_MEMBER_GROUP: self.members,
        }

    def register(self, request: Request) -> Reply:
        """Register a broker with its topics (103)."""
        command = request.command
        header = read(command.ext, RegisterBrokerHeader)
        if header.body_crc32 and zlib.crc32(command.body) != header.body_crc32 & 0xFFFFFFFF:
            return Reply(ResponseCode.SYSTEM_ERROR, remark="crc32 not match")
        if self._table.is_own(header.broker_name, header.broker_addr):
            return _own(header.broker_name, header.broker_addr)
        body = read_registration(command.body, compressed=header.compressed)
        master, ha_address = self._table.register(
            Registration(
                cluster=header.cluster_name,
                broker=header.broker_name,
                address=header.broker_addr,
                broker_id=header.broker_id,
                ha_address=header.ha_server_addr,
                topics={topic.name: layout_of(topic) for topic in body.topics},
                version=body.version,
                life_ms=header.heartbeat_timeout_millis or BROKER_LIFE_MS,
                channel=request.link.peer.channel,
                acting_master=bool(header.enable_acting_master),
                zone=command.ext.get(ZONE),
            ),
            self._clock.monotonic_ms(),
        )
        answer = RegisterBrokerAnswer(ha_server_addr=ha_address or None, master_addr=master or None)
        return Reply(ext=write(answer), body=encode(KvBody(table=self._kv.all(ORDER_NAMESPACE))))

    def unregister(self, request: Request) -> Reply:
        """Remove a broker (104)."""
        header = read(request.command.ext, BrokerHeader)
        if self._table.is_own(header.broker_name, header.broker_addr):
            return _own(header.broker_name, header.broker_addr)
        self._table.unregister(header.broker_name, header.broker_addr)
        return Reply()

    def heartbeat(self, request: Request) -> Reply:
        """Renew the registration of a broker (904)."""
        header = read(request.command.ext, BrokerHeartbeatHeader)
        self._table.renew(header.broker_addr, self._clock.monotonic_ms())
        return Reply()

    def query_version(self, request: Request) -> Reply:
        """Return whether a broker's topics differ from those that it registered (322)."""
        header = read(request.command.ext, BrokerHeader)
        theirs = decode(request.command.body, DataVersionBody).value()
        self._table.renew(header.broker_addr, self._clock.monotonic_ms())
        ours = self._table.version_of(header.broker_addr)
        changed = ours != theirs
        body = encode(DataVersionBody.of(ours)) if ours is not None else b""
        return Reply(ext=write(DataVersionAnswer(changed=changed)), body=body)

    def wipe(self, request: Request) -> Reply:
        """Hide a broker from producers (205)."""
        name = read(request.command.ext, BrokerNameHeader).broker_name
        return Reply(ext=write(WipedAnswer(wipe_topic_count=self._table.forbid_writes(name))))

    def unwipe(self, request: Request) -> Reply:
        """Show a broker to producers again (327)."""
        name = read(request.command.ext, BrokerNameHeader).broker_name
        return Reply(ext=write(AddedAnswer(add_topic_count=self._table.permit_writes(name))))

    def members(self, request: Request) -> Reply:
        """Return the addresses of a master and its slaves (901)."""
        header = read(request.command.ext, MemberGroupHeader)
        found = self._table.broker(header.broker_name)
        addresses = found.addresses if found is not None and found.cluster == header.cluster_name else {}
        group = MemberGroup(cluster=header.cluster_name, broker_name=header.broker_name, broker_addrs=addresses)
        return Reply(body=encode(MemberGroupBody(broker_member_group=group)))


def _own(name: str, address: str) -> Reply:
    return Reply(
        ResponseCode.NO_PERMISSION,
        remark=f"`{name}` or {address} belongs to the broker of this server: register another name and address",
    )
