"""Rewriting of answers and of requests to clients: they get addresses of the guard, never those of brokers.

Rule 1: an answer of a code without a row is passed on as the bytes that came in, unless it has an error: the remark of
an error may name the broker.
Rule 2: an answer that cannot be read is not passed on. The client gets an error instead.
Rule 3: a request of a broker never hands on the credentials of another user. Apache's broker copies the fields of an
administrator's request (307, 309), the signature included, which a consumer could send again.
"""

import logging
import re
import struct
from collections.abc import Callable
from typing import Final

from mqguard.model.record import RecordInvalid
from mqguard.model.text import visible
from mqguard.proxy.sessions import bodies
from mqguard.proxy.sessions.addresses import AddressMap, Advertised
from mqguard.proxy.sessions.bodies import OnUnknown
from mqguard.proxy.sessions.record_hosts import RecordHosts
from mqguard.remoting.codes import RequestCode, ResponseCode
from mqguard.remoting.command import BodyInvalid, Command, ProtocolError
from mqguard.remoting.frame import BINARY, JSON, encode_reply, encode_request
from mqguard.remoting.header import read_binary_header, read_json_header
from mqguard.remoting.signed_content import ACCESS_KEY, SECURITY_TOKEN, SIGNATURE

_LOG = logging.getLogger(__name__)

UNREADABLE: Final = "the server behind the guard gave an answer that the guard cannot read: see the guard's log"
MASK: Final = "******"
"""Replaces secrets in the configuration of a broker."""

_PREFIX: Final = struct.Struct(">II")
_HEADER_LENGTH_BITS: Final = 0xFFFFFF
_SUCCESS: Final = b'{"code":0,'
_MESSAGE_ID: Final = re.compile(rb'"msgId"\s*:\s*"([0-9A-Fa-f,]*)"')
_CREDENTIALS: Final = frozenset({ACCESS_KEY, SIGNATURE, SECURITY_TOKEN})
_SECRET_KEY: Final = re.compile("secret|password|credential|authenticationuser|accesskey|token", re.IGNORECASE)

SENDS: Final = frozenset(
    {
        RequestCode.SEND_MESSAGE,
        RequestCode.SEND_MESSAGE_V2,
        RequestCode.SEND_BATCH_MESSAGE,
        RequestCode.SEND_REPLY_MESSAGE,
        RequestCode.SEND_REPLY_MESSAGE_V2,
    }
)
"""Requests whose answer has message ids in its header."""


class Rewriter:
    """Rewrites the answers and requests of one server.

    Args:
        addresses: Addresses of all brokers.
        own: Address of the guard for the server.
        name_servers: Addresses of the guard for the name servers, separated by `;`.
        client: Returns the client for which the guard has a connection, given the guard's address of the connection.
        on_unknown: Receives each address of a broker in a route that the guard does not offer.
    """

    def __init__(
        self,
        addresses: AddressMap,
        own: Advertised,
        *,
        name_servers: str = "",
        client: Callable[[str], str | None] = lambda _address: None,
        on_unknown: OnUnknown = lambda _address: None,
    ) -> None:
        self.addresses = addresses
        self.name_servers = name_servers
        self.client = client
        self.on_unknown = on_unknown
        self.hosts = RecordHosts(addresses, own.packed)
        self._own = own

    def answer(self, code: int, frame: bytes) -> bytes:
        """Return the answer for the client.

        Args:
            code: Code of the request.
            frame: Frame of the server's answer.
        """
        rule = _BODIES.get(code)
        is_send = code in SENDS
        is_success = frame.startswith(_SUCCESS, 8)
        if is_success and rule is None and not is_send:
            return frame
        try:
            if not is_success:
                return self._decoded(code, frame, rule)
            if is_send:
                return self._send(frame)
            split = 8 + (_PREFIX.unpack_from(frame)[1] & _HEADER_LENGTH_BITS)
            body = frame[split:]
            if not body or rule is None:
                return frame
            return _with_body(frame, split, rule(self, body))
        except (ProtocolError, RecordInvalid) as exc:
            _LOG.error("the answer to request code %d is not passed on: %s", code, exc)
            return encode_reply(_opaque(frame), ResponseCode.SYSTEM_ERROR, None, UNREADABLE)

    def to_client(self, frame: bytes) -> bytes:
        """Return a request of the server as its client gets it.

        Raises:
            ProtocolError: The frame is not valid.
            RecordInvalid: The message in it is not valid.
        """
        command = read(frame)
        ext = {name: value for name, value in command.ext.items() if name not in _CREDENTIALS}
        body = command.body
        if command.code == RequestCode.CHECK_TRANSACTION_STATE and "offsetMsgId" in ext:
            ext["offsetMsgId"] = self.hosts.message_ids(ext["offsetMsgId"])
        if command.code == RequestCode.PUSH_REPLY_MESSAGE_TO_CLIENT and "storeHost" in ext:
            ext["storeHost"] = f"/{self._own.text}"
        if command.code in _RECORDS_TO_CLIENTS and body:
            body = self.hosts.records(body)
        if ext == command.ext and body == command.body:
            return frame
        command.ext, command.body = ext, body
        return encode_request(command)

    def _send(self, frame: bytes) -> bytes:
        split = 8 + (_PREFIX.unpack_from(frame)[1] & _HEADER_LENGTH_BITS)
        found = _MESSAGE_ID.search(frame, 8, split)
        if found is None:
            return frame
        start, stop = found.span(1)
        new = self.hosts.message_ids(frame[start:stop].decode()).encode()
        if len(new) == stop - start:
            return frame[:start] + new + frame[stop:]
        header = frame[8:start] + new + frame[stop:split]
        return _joined(header, frame[split:])

    def _decoded(self, code: int, frame: bytes, rule: "BodyRule | None") -> bytes:
        """Return an answer with an error, or with a header that has another form than servers write."""
        command = read(frame)
        remark = None if command.remark is None else self.addresses.replace_in(command.remark)
        ext, body = command.ext, command.body
        if code in SENDS and "msgId" in ext:
            ext = {**ext, "msgId": self.hosts.message_ids(ext["msgId"])}
        if rule is not None and body:
            body = rule(self, body)
        if (remark, ext, body) == (command.remark, command.ext, command.body):
            return frame
        command.remark, command.ext, command.body = remark, ext, body
        return encode_request(command)


BodyRule = Callable[[Rewriter, bytes], bytes]
"""Rewrites the body of an answer.

Raises:
    BodyInvalid: The body cannot be read.
    RecordInvalid: A record in it cannot be read.
"""


def _route(rewriter: Rewriter, body: bytes) -> bytes:
    return bodies.route(body, rewriter.addresses.guard_of, rewriter.on_unknown)


def _replicas(rewriter: Rewriter, body: bytes) -> bytes:
    return bodies.replica_tables(body, rewriter.addresses.guard_of, rewriter.on_unknown)


def _broker(rewriter: Rewriter, body: bytes) -> bytes:
    return bodies.broker_address(body, rewriter.addresses)


def _ha_status(rewriter: Rewriter, body: bytes) -> bytes:
    return bodies.ha_status(body, rewriter.addresses)


def _clients(rewriter: Rewriter, body: bytes) -> bytes:
    return bodies.client_addresses(body, rewriter.client)


def _records(rewriter: Rewriter, body: bytes) -> bytes:
    return rewriter.hosts.records(body)


def _configuration(rewriter: Rewriter, body: bytes) -> bytes:
    lines = []
    for line in body.decode("utf-8", "replace").split("\n"):
        key, mark, value = line.partition("=")
        if mark and _SECRET_KEY.search(key):
            value = MASK if value.strip() else value
        elif mark and key.strip() == "namesrvAddr":
            value = rewriter.name_servers
        else:
            value = rewriter.addresses.replace_in(value)
        lines.append(key + mark + value)
    return "\n".join(lines).encode()


def _text(rewriter: Rewriter, body: bytes) -> bytes:
    return rewriter.addresses.replace_in(body.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")


_BODIES: Final[dict[int, BodyRule]] = {
    RequestCode.GET_ROUTEINFO_BY_TOPIC: _route,
    RequestCode.GET_BROKER_CLUSTER_INFO: _replicas,
    RequestCode.GET_BROKER_MEMBER_GROUP: _replicas,
    RequestCode.GET_ALL_TOPIC_LIST_FROM_NAMESERVER: _broker,
    RequestCode.GET_SYSTEM_TOPIC_LIST_FROM_NS: _broker,
    RequestCode.GET_TOPICS_BY_CLUSTER: _broker,
    RequestCode.GET_UNIT_TOPIC_LIST: _broker,
    RequestCode.GET_HAS_UNIT_SUB_TOPIC_LIST: _broker,
    RequestCode.GET_HAS_UNIT_SUB_UNUNIT_TOPIC_LIST: _broker,
    RequestCode.GET_SYSTEM_TOPIC_LIST_FROM_BROKER: _broker,
    RequestCode.GET_BROKER_CONSUME_STATS: _broker,
    RequestCode.GET_BROKER_HA_STATUS: _ha_status,
    RequestCode.GET_BROKER_RUNTIME_INFO: _text,
    RequestCode.GET_CONSUMER_CONNECTION_LIST: _clients,
    RequestCode.GET_PRODUCER_CONNECTION_LIST: _clients,
    RequestCode.GET_ALL_PRODUCER_INFO: _clients,
    RequestCode.GET_BROKER_CONFIG: _configuration,
    RequestCode.GET_NAMESRV_CONFIG: _configuration,
    RequestCode.PULL_MESSAGE: _records,
    RequestCode.LITE_PULL_MESSAGE: _records,
    RequestCode.QUERY_MESSAGE: _records,
    RequestCode.VIEW_MESSAGE_BY_ID: _records,
    RequestCode.POP_MESSAGE: _records,
    RequestCode.PEEK_MESSAGE: _records,
    RequestCode.POP_LITE_MESSAGE: _records,
}

_RECORDS_TO_CLIENTS: Final = frozenset({RequestCode.CHECK_TRANSACTION_STATE, RequestCode.CONSUME_MESSAGE_DIRECTLY})
"""Requests to clients whose body is a record."""

REMARKS: Final = frozenset({RequestCode.NOTIFICATION, RequestCode.POLLING_INFO, RequestCode.CONSUMER_SEND_MSG_BACK})
"""Requests whose answers name the broker only in the remark of an error."""

ANSWERS: Final = frozenset(_BODIES) | SENDS | REMARKS
"""The codes whose answers are read; all others are passed on as they come."""
TO_CLIENTS: Final = _RECORDS_TO_CLIENTS | {RequestCode.PUSH_REPLY_MESSAGE_TO_CLIENT}
"""The codes of requests to clients in which addresses are replaced."""


def topic_registration(command: Command, addresses: AddressMap) -> Command:
    """Return a request that registers a route at a name server (217), with the brokers' own addresses.

    Raises:
        BodyInvalid: The body is not a route.
    """
    unknown: list[str] = []
    body = bodies.replica_tables(command.body, addresses.upstream_of, unknown.append)
    if unknown:
        known = ", ".join(f"`{guard.text}`" for _, guard in addresses) or "none"
        raise BodyInvalid(
            "brokerAddrs",
            f"`{visible(unknown[0])}` is not an address at which the guard offers a broker; known: {known}",
        )
    return Command(
        command.code, command.opaque, command.flag, command.version, command.language, command.remark, command.ext, body
    )


def read(frame: bytes) -> Command:
    """Return the command of a whole frame, in either form.

    Raises:
        RemoteProtocolError: The header is invalid.
        BodyInvalid: The frame is cut off.
    """
    if len(frame) < 8:
        raise BodyInvalid("", f"a frame of {len(frame)} bytes has no header")
    word = _PREFIX.unpack_from(frame)[1]
    split = 8 + (word & _HEADER_LENGTH_BITS)
    reader = {JSON: read_json_header, BINARY: read_binary_header}.get(word >> 24)
    if reader is None or split > len(frame):
        raise BodyInvalid("", "the frame's header has an unknown form, or is longer than the frame")
    return reader(frame[8:split], frame[split:])


def _with_body(frame: bytes, split: int, body: bytes) -> bytes:
    return b"".join((_PREFIX.pack(split - 4 + len(body), split - 8 | frame[4] << 24), frame[8:split], body))


def _joined(header: bytes, body: bytes) -> bytes:
    return b"".join((_PREFIX.pack(4 + len(header) + len(body), len(header)), header, body))


def _opaque(frame: bytes) -> int:
    try:
        return read(frame).opaque
    except ProtocolError:
        return 0
