"""Decodes and encodes typed JSON bodies as RocketMQ's Java and Go clients write and read them.

Two things are not plain JSON: maps keyed by a message queue, written as `{{"brokerName":…}:value}` (the one form that
every client reads) and read in that form or with the key as a text of JSON; and what `lenient_json` is for.
None is left out when writing, and null means the default when reading.
"""

import functools
import json
import math
import types
import typing
from collections.abc import Hashable
from typing import Final, TypeVar, cast

import msgspec

from mqguard.remoting import lenient_json
from mqguard.remoting.errors import BodyInvalid, LocalProtocolError
from mqguard.remoting.lenient_json import Json, Key, LenientJsonError, ObjectKey


class Body(msgspec.Struct, rename="camel", gc=False):
    """What every typed body is. Members are camel case on the wire; unknown ones are ignored when reading."""


class ExactBody(Body):
    """A body that is read to the letter: no leniency, and an unknown member or a repeated one is an error."""


class MessageQueue(msgspec.Struct, rename="camel", frozen=True, order=True, gc=False):
    """One queue of a topic at one broker, by name."""

    topic: str
    broker_name: str
    queue_id: int


T = TypeVar("T")
_MAX_VALUE: Final = 64

MAX_LENIENT: Final = 16 * 1024
"""Maximum bytes of a peer's body that are read leniently, which takes up to 5 ms.

Lists of clients, groups and topics are strict JSON at every client. Only maps with keys of other types need leniency,
and in requests these are short.
"""
MAX_LENIENT_VALUES: Final = 2_000
"""Maximum values of a peer's body that are read leniently: a queue as a key takes 4 of them, and some 100 bytes."""
MAX_EXACT_VALUES: Final = 64_000
"""Maximum values of a body that is read to the letter, in some 50 ms: 6,000 entries of policies, of 10 values each."""
MAX_LENIENT_TABLE: Final = 64 * 1024
"""Maximum bytes, read leniently, of a body with a table keyed by queues: 600 queues."""

_dump = msgspec.json.encode


def decode(data: bytes, kind: type[T]) -> T:
    """Read a body.

    Args:
        data: The body's bytes.
        kind: A `Body` type, or a list of one. An `ExactBody` is read to the letter, anything else leniently.

    Raises:
        BodyInvalid: There is none, it is no JSON, or a member is not of its type.
    """
    return _decode_exactly(data, kind) if _is_exact(kind) else _decode(data, kind, MAX_LENIENT, MAX_LENIENT_VALUES)


def decode_table(data: bytes, kind: type[T]) -> T:
    """Read a body that may hold a long table keyed by queues: a client's answer, or a broker's registration.

    Raises:
        BodyInvalid: There is none, it is no JSON, or a member is not of its type.
    """
    return _decode(data, kind, MAX_LENIENT_TABLE, 4 * MAX_LENIENT_VALUES)


def decode_leniently(data: bytes, kind: type[T]) -> T:
    """Read a body as far as it can be understood, whatever its type and size: for answers of servers that we asked.

    Raises:
        BodyInvalid: There is none, it is no JSON, or a member is not of its type.
    """
    return _decode(data, kind, len(data), None)


def encode(body: object) -> bytes:
    """Write a body, or a list of bodies.

    Raises:
        LocalProtocolError: A text holds half a surrogate pair.
    """
    try:
        return _dump(_plain(body))
    except UnicodeEncodeError:
        raise LocalProtocolError("a body's text holds half a surrogate pair, which has no bytes in UTF-8") from None


def _decode(data: bytes, kind: type[T], max_size: int, max_values: int | None) -> T:
    if not data:
        raise BodyInvalid("", "there is none")
    key = cast("Hashable", kind)
    failure: Exception | None = None
    if not _has_queue_keys(key):
        try:
            return cast("T", _decoder(key).decode(data))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
            failure = exc  # the lenient reader says what is wrong, if it finds anything wrong
    if len(data) > max_size:
        raise _strictly_wrong(failure, len(data), max_size)
    try:
        value = _tidy(lenient_json.parse(data, max_size, max_values))
    except LenientJsonError as exc:
        raise BodyInvalid("", f"is no JSON: {exc}") from None
    try:
        return msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError as exc:
        raise _explain(exc) from None


def _strictly_wrong(failure: Exception | None, size: int, max_size: int) -> BodyInvalid:
    """Return what keeps a body that is too long for the lenient reader from being read."""
    if isinstance(failure, msgspec.ValidationError):
        return _explain(failure)
    if failure is not None:
        return BodyInvalid("", f"is no JSON: {failure}; a body of over {max_size} bytes must be strict JSON")
    return BodyInvalid("", f"has {size} bytes, and at most {max_size} are read")


def _decode_exactly(data: bytes, kind: type[T]) -> T:
    if not data:
        raise BodyInvalid("", "there is none")
    # Signs within texts count too: an honest body is far from the maximum, and counting bytes costs nothing.
    if data.count(b",") + data.count(b"{") + data.count(b"[") > MAX_EXACT_VALUES:
        raise BodyInvalid("", f"has more than {MAX_EXACT_VALUES} values: split it into several requests")
    try:
        raw = msgspec.json.decode(data)
        body = msgspec.convert(raw, kind)
    except msgspec.ValidationError as exc:
        raise _explain(exc) from None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise BodyInvalid("", f"is no JSON: {exc}") from None
    _refuse_unknown(raw, body, "")
    _refuse_repeated(data)
    return body


def _refuse_repeated(data: bytes) -> None:
    """Two members of one name would let two readers see two bodies."""
    try:
        json.loads(data, object_pairs_hook=_members_once)
    except (ValueError, RecursionError) as exc:  # such as a number of more digits than Python reads
        raise BodyInvalid("", f"is no JSON: {str(exc)[:_MAX_VALUE]}") from None


def _members_once(pairs: list[tuple[str, object]]) -> None:
    if len(pairs) > 1 and len({name for name, _ in pairs}) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise BodyInvalid(twice[:_MAX_VALUE], "is repeated: write it once")


def _refuse_unknown(raw: object, body: object, path: str) -> None:
    """Every member that was sent must be one that was read."""
    if isinstance(body, msgspec.Struct) and isinstance(raw, dict):
        known = _members(type(body))
        for name, value in raw.items():
            if name not in known:
                raise BodyInvalid(f"{path}{name[:_MAX_VALUE]}", f"is unknown: the members here are {', '.join(known)}")
            _refuse_unknown(value, getattr(body, known[name]), f"{path}{name}.")
    elif isinstance(body, list) and isinstance(raw, list):
        for index, (sent, read) in enumerate(zip(raw, body, strict=True)):
            _refuse_unknown(sent, read, f"{path.removesuffix('.')}[{index}].")


def _explain(exc: msgspec.ValidationError) -> BodyInvalid:
    message, _, place = str(exc).partition(" - at ")
    why = message[:1].lower() + message[1:]
    for theirs, ours in (("object", "an object"), ("array", "a list"), ("str", "a text"), ("int", "a whole number")):
        why = why.replace(f"`{theirs}`", ours).replace(f"`{theirs} | null`", f"{ours} or null")
    if place.startswith("`key` in "):
        place, why = place.removeprefix("`key` in "), f"as a key, {why}"
    return BodyInvalid(place.strip("`").removeprefix("$").removeprefix("."), why)


def _is_exact(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, ExactBody)


@functools.cache
def _decoder(kind: Hashable) -> msgspec.json.Decoder[object]:
    return msgspec.json.Decoder(cast("type[object]", kind), strict=False)


@functools.cache
def _members(kind: type[msgspec.Struct]) -> dict[str, str]:
    """Wire name to attribute of every member."""
    return dict(zip(kind.__struct_encode_fields__, kind.__struct_fields__, strict=True))


@functools.cache
def _has_queue_keys(kind: Hashable) -> bool:
    """Whether a map keyed by message queues is anywhere in a type."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return any(_has_queue_keys(hint) for hint in typing.get_type_hints(kind).values())
    arguments = typing.get_args(kind)
    if typing.get_origin(kind) is dict and arguments[0] is MessageQueue:
        return True
    return any(_has_queue_keys(argument) for argument in arguments if not isinstance(argument, (str, int)))


@functools.cache
def _is_direct(kind: Hashable) -> bool:
    """Whether values of a type need no preparation: nowhere a None to leave out, nor a map keyed by queues."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return all(_is_direct(hint) for hint in typing.get_type_hints(kind).values())
    if kind in (object, types.NoneType):
        return False
    arguments = typing.get_args(kind)
    if typing.get_origin(kind) is dict and arguments[0] is MessageQueue:
        return False
    return all(_is_direct(argument) for argument in arguments)


def _plain(value: object) -> object:
    """The value with what is None left out and maps keyed by queues written in their form."""
    if isinstance(value, msgspec.Struct):
        kind = type(value)
        if _is_direct(kind):
            return value
        members = ((wire, getattr(value, name)) for wire, name in _members(kind).items())
        return {wire: _plain(member) for wire, member in members if member is not None}
    if isinstance(value, dict):
        if any(isinstance(key, MessageQueue) for key in value):
            pairs = [_dump(key) + b":" + _dump(_plain(member)) for key, member in value.items()]
            return msgspec.Raw(b"{" + b",".join(pairs) + b"}")
        return {key: _plain(member) for key, member in value.items() if member is not None}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(item) for item in value]
    return value


def _tidy(value: Json) -> object:
    """What was leniently read, made fit for typed decoding: nulls dropped, keys that are queues made queues."""
    if isinstance(value, dict):
        return {_queue_key(key): _tidy(member) for key, member in value.items() if member is not None}
    if isinstance(value, list):
        return [_tidy(item) for item in value if item is not None]
    if isinstance(value, lenient_json.Number):
        return _number(value)
    return value


def _number(text: str) -> int | float:
    digits = text.removeprefix("-")
    number = int(text) if digits.isdigit() and len(digits) <= 20 else float(text)
    if not math.isfinite(number):
        raise BodyInvalid("", f"the number `{text[:_MAX_VALUE]}` is out of range")
    return number


def _queue_key(key: Key) -> object:
    if isinstance(key, ObjectKey):
        return _queue(dict(key))
    if key.startswith("{") and key.endswith("}"):
        try:
            members = lenient_json.parse(key.encode())
        except LenientJsonError:
            return key
        return _queue(members) if isinstance(members, dict) else key
    return key


def _queue(members: object) -> MessageQueue:
    try:
        return msgspec.convert(members, MessageQueue, strict=False)
    except msgspec.ValidationError as exc:
        raise BodyInvalid("", f"a key is no message queue: {exc}") from None
