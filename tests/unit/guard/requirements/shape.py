"""Helpers for tests of the requirements: messages of gRPC, and what is left to the handler."""

from google.protobuf import json_format

from mqguard.guard.requirements.rpc import RPC_TABLE, rpc_permissions
from mqguard.rpc.protocol import messages_pb2


def message(rpc, members):
    """Return the request message of an RPC from its JSON form."""
    return json_format.ParseDict(members, getattr(messages_pb2, RPC_TABLE[rpc].request)())


def permissions(rpc, members):
    """Return the permissions that an RPC needs."""
    return rpc_permissions(rpc, message(rpc, members))


def is_pending(requirements, command):
    """Return True if the handler of a command must ask the guard again."""
    pending = requirements.operation(command.code).pending
    return pending is not None and pending(command)
