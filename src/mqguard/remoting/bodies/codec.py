"""Codec of typed JSON bodies, compatible with RocketMQ's Java and Go clients.

Two things are not plain JSON. A map keyed by a message queue is written as `{{"brokerName":…}:value}`, the only form
that every client reads. It is also read with the key as a JSON text. `lenient_json` reads the other deviations. None is
left out in writing, and null means the default in reading.
"""

import functools
import json
import math
import types
import typing
from collections.abc import Hashable
from typing import ClassVar, Final, Self, TypeVar, cast

import msgspec

from mqguard.model.text import visible
from mqguard.remoting import lenient_json
from mqguard.remoting.command import BodyInvalid, LocalProtocolError
from mqguard.remoting.lenient_json import Json, Key, LenientJsonError, ObjectKey

_MAX_VALUE: Final = 64
"""Maximum characters of a peer's value in an error."""


class Body(msgspec.Struct, rename="camel", gc=False):
    """The base of every typed body. Members are camel case in JSON; unknown ones are ignored in reading."""


class ExactBody(Body):
    """A body that is read strictly: without leniency, and an unknown or repeated member is an error."""


class EnumName(str):
    """A member of an enumeration, by its name. Peers may send its number instead, as C++ clients always do.

    Subclasses give the names of all members in Java's order, since a member's number is its index. `str(member)` is a
    plain text, for values that are kept or that other encoders write.
    """

    __slots__ = ()
    _by_name: ClassVar[dict[str, "EnumName"]]

    def __init_subclass__(cls, *, names: tuple[str, ...]) -> None:
        """Create the members, which all values share."""
        cls._by_name = {name: cls(name) for name in names}

    @classmethod
    def read(cls, value: object) -> Self:
        """Return the member that was sent as its name or as its number.

        Raises:
            ValueError: The enumeration has no such member.
        """
        members = cast("dict[str, Self]", cls._by_name)
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(members):
            return list(members.values())[value]
        found = members.get(value) if isinstance(value, str) else None
        if found is not None:
            return found
        sent = visible(str(value)[:_MAX_VALUE])
        raise ValueError(f"`{sent}` is not one of {', '.join(members)}, or a number from 0 to {len(members) - 1}")


class MessageQueue(msgspec.Struct, rename="camel", frozen=True, order=True, gc=False):
    """One queue of a topic at one broker, by name."""

    topic: str
    broker_name: str
    queue_id: int


T = TypeVar("T")

MAX_LENIENT: Final = 16 * 1024
"""Maximum size in bytes of a peer's body that is read leniently, which takes up to 5 ms.

Every client sends lists of clients, groups and topics as strict JSON. Only maps with keys of other types need leniency,
and in requests these are short.
"""
MAX_LENIENT_VALUES: Final = 2_000
"""Maximum number of values of a leniently read body: a queue as a key takes 4 of them, and some 100 bytes."""
MAX_EXACT_VALUES: Final = 64_000
"""Maximum number of values of a strictly read body, in some 50 ms: 6,000 policy entries of 10 values each."""
MAX_LENIENT_TABLE: Final = 64 * 1024
"""Maximum size in bytes of a leniently read body with a table keyed by queues: 600 queues."""


def _write_enum(value: object) -> str:
    if isinstance(value, EnumName):
        return str(value)
    raise TypeError(f"a body cannot contain the type {type(value).__name__}")


_dump = msgspec.json.Encoder(enc_hook=_write_enum).encode


def decode(data: bytes, kind: type[T]) -> T:
    """Decode a body.

    Args:
        data: The body's bytes.
        kind: A `Body` type, or a list of one. An `ExactBody` is read strictly, anything else leniently.

    Raises:
        BodyInvalid: The body is absent, is not JSON, or a member has another type.
    """
    return _decode_exactly(data, kind) if _is_exact(kind) else _decode(data, kind, MAX_LENIENT, MAX_LENIENT_VALUES)


def decode_table(data: bytes, kind: type[T]) -> T:
    """Decode a body that may have a long table keyed by queues: a client's response, or a broker's registration.

    Raises:
        BodyInvalid: The body is absent, is not JSON, or a member has another type.
    """
    return _decode(data, kind, MAX_LENIENT_TABLE, 4 * MAX_LENIENT_VALUES)


def decode_leniently(data: bytes, kind: type[T]) -> T:
    """Decode a body leniently, whatever its type and size: for responses of servers to requests of mqguard.

    Raises:
        BodyInvalid: The body is absent, is not JSON, or a member has another type.
    """
    return _decode(data, kind, len(data), None)


def encode(body: object) -> bytes:
    """Encode a body, or a list of bodies.

    Raises:
        LocalProtocolError: A text has half a surrogate pair.
    """
    try:
        return _dump(_plain(body))
    except UnicodeEncodeError:
        raise LocalProtocolError("a body's text has half a surrogate pair, which has no bytes in UTF-8") from None


def _decode(data: bytes, kind: type[T], max_size: int, max_values: int | None) -> T:
    if not data:
        raise BodyInvalid("", "is missing")
    key = cast("Hashable", kind)
    failure: Exception | None = None
    if not _has_queue_keys(key):
        try:
            return cast("T", _decoder(key).decode(data))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
            failure = exc  # the lenient reader names the problem, if it finds one
    if len(data) > max_size:
        raise _strictly_wrong(failure, len(data), max_size)
    try:
        value = _tidy(lenient_json.parse(data, max_size, max_values))
    except LenientJsonError as exc:
        raise BodyInvalid("", f"is not JSON: {exc}") from None
    try:
        return msgspec.convert(value, kind, strict=False, dec_hook=_read_enum)
    except msgspec.ValidationError as exc:
        raise _explain(exc) from None


def _strictly_wrong(failure: Exception | None, size: int, max_size: int) -> BodyInvalid:
    """Return the reason why a body that is too long for the lenient reader cannot be decoded."""
    if isinstance(failure, msgspec.ValidationError):
        return _explain(failure)
    if failure is not None:
        return BodyInvalid("", f"is not JSON: {failure}; a body of over {max_size} bytes must be strict JSON")
    return BodyInvalid("", f"has {size} bytes, and at most {max_size} are allowed")


def _decode_exactly(data: bytes, kind: type[T]) -> T:
    if not data:
        raise BodyInvalid("", "is missing")
    # Characters inside texts count too: a real body is far from the maximum, and counting bytes costs nothing.
    if data.count(b",") + data.count(b"{") + data.count(b"[") > MAX_EXACT_VALUES:
        raise BodyInvalid("", f"has more than {MAX_EXACT_VALUES} values: split it into several requests")
    try:
        raw = msgspec.json.decode(data)
        body = msgspec.convert(raw, kind, dec_hook=_read_enum)
    except msgspec.ValidationError as exc:
        raise _explain(exc) from None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise BodyInvalid("", f"is not JSON: {exc}") from None
    _refuse_unknown(raw, body, "")
    _refuse_repeated(data)
    return body


def _refuse_repeated(data: bytes) -> None:
    """Reject repeated members: two readers could otherwise read two different bodies."""
    try:
        json.loads(data, object_pairs_hook=_members_once)
    except (ValueError, RecursionError) as exc:  # such as a number with more digits than Python reads
        raise BodyInvalid("", f"is not JSON: {str(exc)[:_MAX_VALUE]}") from None


def _members_once(pairs: list[tuple[str, object]]) -> None:
    if len(pairs) > 1 and len({name for name, _ in pairs}) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise BodyInvalid(twice[:_MAX_VALUE], "is repeated: write it once")


def _refuse_unknown(raw: object, body: object, path: str) -> None:
    """Reject members that were sent but not read."""
    if isinstance(body, msgspec.Struct) and isinstance(raw, dict):
        known = _members(type(body))
        for name, value in raw.items():
            if name not in known:
                raise BodyInvalid(f"{path}{name[:_MAX_VALUE]}", f"is unknown: the members are {', '.join(known)}")
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
    return msgspec.json.Decoder(cast("type[object]", kind), strict=False, dec_hook=_read_enum)


def _read_enum(kind: type[object], value: object) -> object:
    return kind.read(value) if issubclass(kind, EnumName) else value


@functools.cache
def _members(kind: type[msgspec.Struct]) -> dict[str, str]:
    """Return the attribute of every member, by its JSON name."""
    return dict(zip(kind.__struct_encode_fields__, kind.__struct_fields__, strict=True))


@functools.cache
def _has_queue_keys(kind: Hashable) -> bool:
    """True if a map keyed by message queues is anywhere in a type."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return any(_has_queue_keys(hint) for hint in typing.get_type_hints(kind).values())
    arguments = typing.get_args(kind)
    if typing.get_origin(kind) is dict and arguments[0] is MessageQueue:
        return True
    return any(_has_queue_keys(argument) for argument in arguments if not isinstance(argument, (str, int)))


@functools.cache
def _is_direct(kind: Hashable) -> bool:
    """True if values of a type need no preparation: without None to leave out, and without maps keyed by queues."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return all(_is_direct(hint) for hint in typing.get_type_hints(kind).values())
    if kind in (object, types.NoneType):
        return False
    arguments = typing.get_args(kind)
    if typing.get_origin(kind) is dict and arguments[0] is MessageQueue:
        return False
    return all(_is_direct(argument) for argument in arguments)


def _plain(value: object) -> object:
    """Return the value without None, and with maps keyed by queues in their written form."""
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
    """Prepare a leniently read value for typed decoding: drop nulls, and convert keys that are queues."""
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
        raise BodyInvalid("", f"a key is not a message queue: {exc}") from None
