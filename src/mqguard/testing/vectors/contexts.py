"""Lines of the kind `contexts`: one request, and the checks that it leads to."""

import base64
import ipaddress
from typing import Any

from google.protobuf import json_format

from mqguard.auth.resource import ResourceType
from mqguard.guard.errors import PermissionsUnclear
from mqguard.guard.permissions import RequiredPermission
from mqguard.guard.requirements.evaluation import Requirements
from mqguard.guard.requirements.rpc import RPC_TABLE, rpc_permissions
from mqguard.remoting.command import Command
from mqguard.remoting.signed_content import ACCESS_KEY
from mqguard.rpc.protocol import messages_pb2
from mqguard.testing.vectors.bodies import error

Json = dict[str, Any]

_CLUSTER = "DefaultCluster"
_RPCS = {row.request: rpc for rpc, row in RPC_TABLE.items()}


def answer(line: Json) -> Json:
    """Return the line with the checks that we make."""
    out = _remoting(line) if line["what"] == "remoting" else _grpc(line)
    return {**line, "out": out}


def _remoting(line: Json) -> object:
    # Frames have an empty text for an absent value; see `remoting.header_json`.
    ext = {name: "" if value is None else value for name, value in (line["ext"] or {}).items()}
    command = Command(line["code"], ext=ext, body=base64.b64decode(line["body"] or ""))
    try:
        needs = Requirements(line.get("cluster", _CLUSTER)).permissions(command)
    except PermissionsUnclear as exc:
        return error("AuthorizationException", str(exc))
    return _checks(needs, (line["ext"] or {}).get(ACCESS_KEY), _remoting_source(line), str(line["code"]))


def _grpc(line: Json) -> object:
    headers = dict(line["metadata"])
    try:
        needs = rpc_permissions(
            _RPCS[line["type"]], json_format.ParseDict(line["json"], getattr(messages_pb2, line["type"])())
        )
    except PermissionsUnclear as exc:
        return error("AuthorizationException", str(exc))
    source = headers.get("rpc-remote-address")
    if source is not None and ":" in source:
        source = source.rpartition(":")[0]
    return _checks(needs, headers.get("x-mq-authorization-ak"), source, f"apache.rocketmq.v2.{line['type']}")


def _checks(needs: tuple[RequiredPermission, ...], user: str | None, source: str | None, rpc_code: str) -> list[Json]:
    return [
        {
            "subject": None if user is None else f"User:{user}",
            "type": "Any" if need.type is ResourceType.ANY else need.type.value,
            "name": need.name,
            "actions": _ordered(need),
            "ip": source,
            "rpc_code": rpc_code,
        }
        for need in needs
    ]


def _ordered(need: RequiredPermission) -> list[str]:
    # Pub, Sub, then the rest: the order in which Apache names them.
    order = ("Pub", "Sub", "Create", "Update", "Delete", "Get", "List")
    return sorted((action.value for action in need.actions), key=order.index)


def _remoting_source(line: Json) -> str:
    """Return the address as Java writes it: IPv6 expanded and in brackets, the text of a trusted proxy unchanged."""
    proxy = line["proxy"]
    if proxy is not None and proxy["ip"] and proxy["port"] is not None:
        said: str = proxy["ip"]
        return said
    if line["remote"] is None:
        return ""
    address = ipaddress.ip_address(line["remote"]["ip"])
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return "[" + ":".join(f"{int(part, 16):x}" for part in address.exploded.split(":")) + "]"
