"""Registration of brokers (103, 104, 205, 322, 327, 901, 904), and the body with which they register.

A registration decides which broker clients find, for topics of every cluster. So only the inner credentials or a Super
user may send these requests, except for `members`: see `guard.requirements.operations`.

The body holds the topics of a broker, as JSON or in the compressed form of Java brokers. That form is: length i32 and
JSON of the data version; number i32 of topics; for each a length i32 and a line `name readQueues writeQueues perm
filterType [attributes]`. Filter servers and static topics follow, which mqguard does not use.
"""

import struct
import zlib
from typing import NamedTuple

from mqguard.dispatch.request import Handler, Request
from mqguard.model.process import Clock
from mqguard.model.topic import MAX_QUEUES, DataVersion, TopicConfig
from mqguard.namesrv.kv import ORDER_NAMESPACE, KvTable
from mqguard.namesrv.route_table import BROKER_LIFE_MS, Registration, RouteTable, shape_of
from mqguard.remoting.bodies.codec import decode, decode_table, encode
from mqguard.remoting.bodies.route import MemberGroup, MemberGroupBody, RegisterBrokerBody
from mqguard.remoting.bodies.tables import DataVersionBody, KvBody
from mqguard.remoting.codes import RequestCode, ResponseCode
from mqguard.remoting.command import Reply
from mqguard.remoting.errors import BodyInvalid
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


ZONE = "zoneName"
"""Ext field beside the header of 103 in which a broker names its zone."""


class BrokerRegistrationProcessor:
    """Keeps the books of brokers."""

    def __init__(self, table: RouteTable, kv: KvTable, clock: Clock) -> None:
        self._table = table
        self._kv = kv
        self._clock = clock

    def handlers(self) -> dict[int, Handler]:
        """What is served here."""
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
        """A broker with its topics (103)."""
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
                topics={topic.name: shape_of(topic) for topic in body.topics},
                version=body.version,
                life_ms=header.heartbeat_timeout_millis or BROKER_LIFE_MS,
                channel=request.link.peer.channel,
                acting_master=bool(header.enable_acting_master),
                zone=command.ext.get(ZONE),
            ),
            self._clock.now_ms(),
        )
        answer = RegisterBrokerAnswer(ha_server_addr=ha_address or None, master_addr=master or None)
        return Reply(ext=write(answer), body=encode(KvBody(table=self._kv.all(ORDER_NAMESPACE))))

    def unregister(self, request: Request) -> Reply:
        """A broker that leaves (104)."""
        header = read(request.command.ext, BrokerHeader)
        if self._table.is_own(header.broker_name, header.broker_addr):
            return _own(header.broker_name, header.broker_addr)
        self._table.unregister(header.broker_name, header.broker_addr)
        return Reply()

    def heartbeat(self, request: Request) -> Reply:
        """A broker that is still there (904)."""
        header = read(request.command.ext, BrokerHeartbeatHeader)
        self._table.heard_of(header.broker_addr, self._clock.now_ms())
        return Reply()

    def query_version(self, request: Request) -> Reply:
        """Whether the topics of a broker are others than those that it registered (322)."""
        header = read(request.command.ext, BrokerHeader)
        theirs = decode(request.command.body, DataVersionBody).value()
        self._table.heard_of(header.broker_addr, self._clock.now_ms())
        ours = self._table.version_of(header.broker_addr)
        changed = ours != theirs
        body = encode(DataVersionBody.of(ours)) if ours is not None else b""
        return Reply(ext=write(DataVersionAnswer(changed=changed)), body=body)

    def wipe(self, request: Request) -> Reply:
        """Let no producer find a broker any more (205)."""
        name = read(request.command.ext, BrokerNameHeader).broker_name
        return Reply(ext=write(WipedAnswer(wipe_topic_count=self._table.forbid_writes(name))))

    def unwipe(self, request: Request) -> Reply:
        """Let producers find a broker again (327)."""
        name = read(request.command.ext, BrokerNameHeader).broker_name
        return Reply(ext=write(AddedAnswer(add_topic_count=self._table.permit_writes(name))))

    def members(self, request: Request) -> Reply:
        """A master and its slaves (901)."""
        header = read(request.command.ext, MemberGroupHeader)
        found = self._table.broker(header.broker_name)
        addresses = found.addresses if found is not None and found.cluster == header.cluster_name else {}
        group = MemberGroup(cluster=header.cluster_name, broker_name=header.broker_name, broker_addrs=addresses)
        return Reply(body=encode(MemberGroupBody(broker_member_group=group)))


def _own(name: str, address: str) -> Reply:
    return Reply(
        ResponseCode.NO_PERMISSION,
        remark=f"broker `{name}` at {address} is, or would replace, the broker of this very server",
    )
