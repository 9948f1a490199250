"""Brokers that come, stay and go (103, 104, 205, 322, 327, 901, 904).

A registration decides which broker clients find, for topics of every cluster. So only the inner credentials or a Super
user reach these handlers, except for `members`: see `guard.requirements.operations`.
"""

import zlib

from mqguard.dispatch.request import Handler, Request
from mqguard.model.clock import Clock
from mqguard.namesrv.kv import ORDER_NAMESPACE, KvTable
from mqguard.namesrv.registration import read_registration
from mqguard.namesrv.routes import BROKER_LIFE_MS, Registration, RouteTable, shape_of
from mqguard.remoting.bodies.codec import decode, encode
from mqguard.remoting.bodies.route import MemberGroup, MemberGroupBody
from mqguard.remoting.bodies.tables import DataVersionBody, KvBody
from mqguard.remoting.codes import RequestCode, ResponseCode
from mqguard.remoting.command import Reply
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
