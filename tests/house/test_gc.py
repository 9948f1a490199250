"""Structs that the garbage collector does not track hold no object that can reach them again."""

import enum
import importlib
import pkgutil
import types
import typing
from collections.abc import Mapping, Sequence

import msgspec

import mqguard
from mqguard.auth.policy_index import Rights
from mqguard.auth.source import Source
from mqguard.auth.user import Subject
from mqguard.guard.requirements.evaluation import RemotingOperation
from mqguard.model.peer import Channel

LEAVES = (str, int, float, bool, bytes, bytearray, type(None))
CONTAINERS = (tuple, list, dict, frozenset, set, Sequence, Mapping)
REASONS = {
    Channel: "holds the state of one guard: users, cached authentications, and numbers",
    RemotingOperation: "made once for each request code; the functions of its row hold no request",
    Rights: "a user's record and its compiled policies, which hold no request",
    Source: "an address range, as text and numbers",
    Subject: "two texts",
}
DECODED = {
    "mqguard.guard.audit_log_reader._Permission": "a line of the audit log",
    "mqguard.remoting.bodies.groups.GroupConfigBody": "the body of a request",
}
"""Structs with values that are decoded from JSON, which has no cycles."""


def structs():
    for module in pkgutil.walk_packages(mqguard.__path__, "mqguard."):
        if module.name.endswith("__main__"):
            continue
        for found in vars(importlib.import_module(module.name)).values():
            if isinstance(found, type) and issubclass(found, msgspec.Struct) and found.__module__ == module.name:
                yield found


def is_unseen(struct):
    return struct.__struct_fields__ and not struct.__struct_config__.gc


def reaches(hint, seen):
    """Return the types within a hint whose objects may reach any other object."""
    if isinstance(hint, typing.TypeVar) or hint is typing.Any or hint is object:
        return {hint}
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return reaches(arguments[0], seen)
    if origin is not None or isinstance(hint, types.UnionType):
        outer = set() if origin in (*CONTAINERS, typing.Union, types.UnionType, typing.ClassVar) else {hint}
        return outer.union(*(reaches(part, seen) for part in arguments if part is not ...))
    if hint in REASONS or (isinstance(hint, type) and issubclass(hint, (*LEAVES, enum.Enum))) or hint in CONTAINERS:
        return set()
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        if hint in seen or is_unseen(hint):
            return set()
        return set().union(*(reaches(part, seen | {hint}) for part in typing.get_type_hints(hint).values()))
    if isinstance(hint, type) and hint.__module__.startswith("ipaddress"):
        return set()
    return {hint}


def test_a_struct_that_the_collector_does_not_track_is_in_no_cycle():
    found = {}
    for struct in structs():
        if is_unseen(struct):
            hints = typing.get_type_hints(struct)
            leads = set().union(*(reaches(hint, {struct}) for hint in hints.values()))
            name = f"{struct.__module__}.{struct.__name__}"
            if leads - ({object, typing.Any} if name in DECODED else set()):
                found[name] = leads
    assert found == {}
