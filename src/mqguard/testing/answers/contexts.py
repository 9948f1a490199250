"""Lines of the kind `contexts`: the checks that one request leads to."""

import base64
import functools
import ipaddress
import re
from collections.abc import Iterator
from typing import Any

from mqguard.auth.action import Action
from mqguard.guard.context import Needs
from mqguard.guard.errors import NeedUnclear
from mqguard.guard.requirements.evaluation import Requirements
from mqguard.guard.requirements.rpc import RPC_TABLE, rpc_needs
from mqguard.remoting.command import Command
from mqguard.remoting.signing import ACCESS_KEY
from mqguard.testing.answers.wire_forms import error

Json = dict[str, Any]

PACKAGE = "apache.rocketmq.v2."
SUBJECT = "x-mq-authorization-ak"
ADDRESS = "rpc-remote-address"

_RPCS = {row.request: rpc for rpc, row in RPC_TABLE.items()}
_ORDER = {action: place for place, action in enumerate(Action)}


def answer(line: Json) -> Json:
    """The line with the checks that our table asks for."""
    return {**line, "out": _remoting(line) if line["what"] == "remoting" else _grpc(line)}


def _remoting(line: Json) -> object:
    ext = {name: value for name, value in (line["ext"] or {}).items() if value is not None}
    command = Command(code=line["code"], ext=ext, body=base64.b64decode(line["body"] or ""))
    try:
        needs = _requirements(line.get("cluster", "DefaultCluster") or "").needs(command)
    except NeedUnclear as unclear:
        return error("AuthorizationException", str(unclear))
    subject = f"User:{ext[ACCESS_KEY]}" if ACCESS_KEY in ext else None
    checks = list(_checks(needs, subject, _source(line), str(line["code"])))
    if line.get("cluster", "") is None:
        # A server whose cluster has no name at all: Java's null.
        checks = [{**check, "name": check["name"] or None} for check in checks]
    return checks


def _grpc(line: Json) -> object:
    request: str = line["type"]
    try:
        needs = rpc_needs(_RPCS.get(request, request), Message(line["json"]))
    except NeedUnclear as unclear:
        return error("AuthorizationException", str(unclear))
    metadata: dict[str, str] = dict(line["metadata"])
    address = metadata.get(ADDRESS)
    ip = address.rpartition(":")[0] if address and ":" in address else address
    subject = f"User:{metadata[SUBJECT]}" if SUBJECT in metadata else None
    return list(_checks(needs, subject, ip, PACKAGE + line["type"]))


@functools.cache
def _requirements(cluster: str) -> Requirements:
    return Requirements(cluster)


def _checks(needs: Needs, subject: str | None, ip: str | None, code: str) -> Iterator[Json]:
    for need in needs:
        yield {
            "subject": subject,
            "type": need.type.value,
            "name": need.name,
            "actions": [action.value for action in sorted(need.actions, key=_ORDER.__getitem__)],
            "ip": ip,
            "rpc_code": code,
        }


def _source(line: Json) -> str:
    """The address as Java writes it: that of the PROXY protocol if it is whole, else the socket's."""
    proxy, remote = line["proxy"], line["remote"]
    if proxy and proxy["ip"] and proxy["port"] is not None:
        ip: str = proxy["ip"]
        return ip
    if not remote:
        return ""
    address = ipaddress.ip_address(remote["ip"])
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return "[" + ":".join(f"{int(part, 16):x}" for part in address.exploded.split(":")) + "]"


class Message:
    """A message of `apache.rocketmq.v2` made from its JSON form, read as protobuf's Python classes are.

    Absent texts are empty, absent lists are empty, absent messages are empty messages that are not there.
    """

    REPEATED = frozenset({"messages", "topics", "subscriptions", "entries", "lite_topic_set"})
    TEXTS = frozenset({"name", "resource_namespace", "receipt_handle", "message_id"})
    CLIENT_TYPES = (
        "CLIENT_TYPE_UNSPECIFIED",
        "PRODUCER",
        "PUSH_CONSUMER",
        "SIMPLE_CONSUMER",
        "PULL_CONSUMER",
        "LITE_PUSH_CONSUMER",
        "LITE_SIMPLE_CONSUMER",
    )

    def __init__(self, members: Json) -> None:
        self._members = {
            re.sub("[A-Z]", lambda found: "_" + found[0].lower(), name): value for name, value in members.items()
        }

    def HasField(self, name: str) -> bool:  # noqa: N802 - protobuf's word
        """Whether a member was set."""
        return name in self._members

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name in self.REPEATED:
            return [Message(item) if isinstance(item, dict) else item for item in self._members.get(name, [])]
        if name in self.TEXTS:
            return self._members.get(name, "")
        if name == "client_type":
            kind = self._members.get(name, 0)
            return kind if isinstance(kind, int) else self.CLIENT_TYPES.index(kind)
        return Message(self._members.get(name, {}))
