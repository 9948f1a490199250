"""The messages between the owner of users and policies and its members, on a Unix socket.

Each message is a length of four bytes, and the content as MessagePack. Users and policies have their stored form, so
secrets are sealed.
"""

import struct
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from mqguard.auth.ports import Change, DeleteAcl, DeleteUser, PutAcl, PutUser
from mqguard.auth.seal import SealingKey
from mqguard.auth.snapshot import Snapshot
from mqguard.auth.user import Subject
from mqguard.errors import MqguardError
from mqguard.model.topic import TopicConfig
from mqguard.store.metadata import records

PROTOCOL: Final = 1
"""Version of the messages: an owner and a member of different versions do not work together."""
SOCKET_FILE: Final = "access.sock"
"""File within the owner's data directory: its socket."""
MEMBERS_DIRECTORY: Final = "access-members"
"""Directory within the owner's data directory: a file for each member, which is locked while the member lives."""
MAX_FROM_MEMBER_BYTES: Final = 24 << 20
"""Maximum size of a message of a member: a request of 16 MiB, or its topics."""
MAX_FROM_OWNER_BYTES: Final = 2 << 30
"""Maximum size of a message of the owner: all users and policies."""

_HEAD: Final = struct.Struct(">I")

Record = tuple[bytes, bytes | None]
"""A key and its stored value; None for a value that was removed."""


class Hello(msgspec.Struct, tag=True):
    """The first message of a member.

    Attributes:
        protocol: Version of its messages.
        version: Version of mqguard.
        broker: Name of its broker.
        lock: Name of its locked file in `MEMBERS_DIRECTORY`.
    """

    protocol: int
    version: str
    broker: str
    lock: str


class Applied(msgspec.Struct, tag=True):
    """A member decides by this revision from now on."""

    revision: int


class ChangeRequest(msgspec.Struct, tag=True):
    """A request of a client that changes users or policies, as a member has admitted it.

    Attributes:
        number: Number of the request at this member.
        revision: Revision at which the member has admitted it.
        user: The sender; None for an anonymous one.
        method: The method that authenticated the sender.
        is_super: True if the sender is a Super user.
        ip: Address of the client.
        code: Request code.
        version: Version of the client.
        language: Language of the client.
        ext: Ext fields without the signature.
        body: The body.
    """

    number: int
    revision: int
    user: str | None
    method: str
    is_super: bool
    ip: str
    code: int
    version: int
    language: int
    ext: dict[str, str]
    body: bytes


class Announcement(msgspec.Struct, tag=True):
    """The broker of a member with all its topics."""

    cluster: str
    broker: str
    address: str
    topics: list[TopicConfig]


class TopicAnnouncement(msgspec.Struct, tag=True):
    """A topic that has changed; None if it was deleted."""

    broker: str
    name: str
    topic: TopicConfig | None


FromMember = Hello | Applied | ChangeRequest | Announcement | TopicAnnouncement


class FullState(msgspec.Struct, tag=True):
    """All users and policies.

    Attributes:
        revision: Their revision.
        records: Users and policies in their stored form.
        valid_until_ms: End of the time for which the member may decide by them, on the machine's monotonic clock.
    """

    revision: int
    records: list[Record]
    valid_until_ms: int


class Update(msgspec.Struct, tag=True):
    """Changes in order; `previous` is the revision before them. For the rest see `FullState`."""

    revision: int
    previous: int
    records: list[Record]
    valid_until_ms: int


class Alive(msgspec.Struct, tag=True):
    """Nothing has changed. See `FullState`."""

    valid_until_ms: int


class ChangeAnswer(msgspec.Struct, tag=True):
    """The answer to a `ChangeRequest`. All earlier updates are in force everywhere."""

    number: int
    code: int
    remark: str | None
    ext: dict[str, str] | None
    body: bytes


class AskAgain(msgspec.Struct, tag=True):
    """A `ChangeRequest` was not served: its sender was changed after the revision at which it was admitted."""

    number: int


class Refusal(msgspec.Struct, tag=True):
    """The owner does not accept the member, and closes the connection."""

    reason: str


FromOwner = FullState | Update | Alive | ChangeAnswer | AskAgain | Refusal


class MessageInvalid(MqguardError):
    """Bytes that are not a message of this protocol."""


class MessageReader:
    """Splits received bytes into messages.

    Args:
        kind: The expected messages.
        max_bytes: Maximum size of a message.
    """

    def __init__(self, kind: object, max_bytes: int) -> None:
        self._decoder: msgspec.msgpack.Decoder[object] = msgspec.msgpack.Decoder(kind)
        self._max_bytes = max_bytes
        self._data = bytearray()

    def feed(self, data: bytes) -> list[object]:
        """Return the messages that are complete.

        Raises:
            MessageInvalid: The bytes are not valid.
        """
        self._data += data
        found: list[object] = []
        at = 0
        while at + _HEAD.size <= len(self._data):
            (size,) = _HEAD.unpack_from(self._data, at)
            if size > self._max_bytes:
                raise MessageInvalid(f"a message of {size} bytes is longer than {self._max_bytes} bytes")
            end = at + _HEAD.size + size
            if end > len(self._data):
                break
            try:
                found.append(self._decoder.decode(bytes(self._data[at + _HEAD.size : end])))
            except (msgspec.MsgspecError, UnicodeError) as exc:
                raise MessageInvalid(f"a message cannot be read: {exc}") from None
            at = end
        del self._data[:at]
        return found


_ENCODER = msgspec.msgpack.Encoder()


def encode(message: FromMember | FromOwner) -> bytes:
    """Return a message with its length."""
    data = _ENCODER.encode(message)
    return _HEAD.pack(len(data)) + data


def change_records(changes: Sequence[Change], key: SealingKey) -> list[Record]:
    """Return changes in the form of a message."""
    found: list[Record] = []
    for change in changes:
        match change:
            case PutUser(user):
                found.append((records.user_key(user.name), records.write_user(user, key)))
            case DeleteUser(name):
                found.append((records.user_key(name), None))
            case PutAcl(acl):
                found.append((records.acl_key(acl.subject), records.write_acl(acl)))
            case DeleteAcl(subject):
                found.append((records.acl_key(subject), None))
    return found


def state_records(snapshot: Snapshot, key: SealingKey) -> list[Record]:
    """Return all users and policies in the form of a message."""
    changes: list[Change] = [PutUser(user) for user in snapshot.users()]
    changes += [PutAcl(acl) for acl in snapshot.acls()]
    return change_records(changes, key)


def read_records(found: Iterable[Record], key: SealingKey) -> list[Change]:
    """Return the changes in a message.

    Raises:
        RecordCorrupt: A record cannot be read, or is sealed with another key.
    """
    return [_change(at, value, key) for at, value in found]


def _change(at: bytes, value: bytes | None, key: SealingKey) -> Change:
    name = records.name_of(at)
    if at.startswith(records.USER):
        return DeleteUser(name) if value is None else PutUser(records.read_user(at, value, key))
    return DeleteAcl(Subject(name)) if value is None else PutAcl(records.read_acl(at, value).decode())
