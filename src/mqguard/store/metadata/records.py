"""Records of users and policies in a key-value store: a version, a checksum, then the value; secrets are sealed."""

import secrets
import zlib
from typing import Annotated, Final

import msgspec

from mqguard.auth.errors import RecordCorrupt
from mqguard.auth.policy import Acl
from mqguard.auth.ports import ChangeRecord
from mqguard.auth.records import AclRecord, encode_acl
from mqguard.auth.seal import NONCE_BYTES, SealingKey, SealInvalid
from mqguard.auth.user import NO_INCARNATION, LiveSecret, Subject, User, UserStatus, UserType

USER: Final = b"u\0"
ACL: Final = b"a\0"
RECORD: Final = b"r\0"
META: Final = b"m\0format"
REVISION: Final = b"m\0revision"
_VERSION: Final = b"\x01"
_HEAD: Final = 5
"""Bytes before the value: the version and a CRC-32 of key and value."""


class _StoredUser(msgspec.Struct, array_like=True, forbid_unknown_fields=True, gc=False):
    type: UserType
    status: UserStatus
    secrets: list[tuple[str, int | None]]
    incarnation: str = NO_INCARNATION
    confirmed: bool = False


class Meta(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """Description of a store within the store.

    Attributes:
        key: Id of the key that its secrets are sealed with.
    """

    key: str


_USERS = msgspec.json.Decoder(_StoredUser)
_METAS = msgspec.json.Decoder(Meta)
_REVISIONS: Final[msgspec.json.Decoder[int]] = msgspec.json.Decoder(Annotated[int, msgspec.Meta(ge=0)])


def user_key(name: str) -> bytes:
    """Return the key of a user."""
    return USER + name.encode("utf-8", "surrogatepass")


def acl_key(subject: Subject) -> bytes:
    """Return the key of the policies of a subject."""
    return ACL + subject.name.encode("utf-8", "surrogatepass")


def name_of(key: bytes) -> str:
    """Return the name of the user, subject or change of a key.

    Raises:
        RecordCorrupt: The key does not contain a valid name.
    """
    try:
        return key[len(USER) :].decode("utf-8", "surrogatepass")
    except UnicodeError:
        raise RecordCorrupt(f"a stored record has the name `{key[:80]!r}`, which is not text") from None


def write_user(user: User, key: SealingKey) -> bytes:
    """Return the record of a user, with every secret sealed with a new nonce."""
    sealed = [
        (key.seal(user.name, live.secret, secrets.token_bytes(NONCE_BYTES)), live.not_after) for live in user.secrets
    ]
    form = _StoredUser(user.type, user.status, sealed, user.incarnation, user.confirmed)
    return framed(user_key(user.name), msgspec.json.encode(form))


def read_user(at: bytes, record: bytes, key: SealingKey | None) -> User:
    """Return the user in a record; without a key, the user has no secrets.

    Raises:
        RecordCorrupt: It cannot be read or its secrets cannot be opened.
    """
    name = name_of(at)
    try:
        form = _USERS.decode(unframed(at, record))
        opened: tuple[LiveSecret, ...] = ()
        if key is not None:
            opened = tuple([LiveSecret(key.open(name, sealed), not_after) for sealed, not_after in form.secrets])
    except (msgspec.MsgspecError, UnicodeError):
        raise unreadable(at) from None
    except SealInvalid as exc:
        raise RecordCorrupt(f"the stored user `{name}` cannot be read: {exc}") from None
    return User(name, opened, form.type, form.status, form.incarnation, form.confirmed)


def write_acl(acl: Acl) -> bytes:
    """Return the record of the policies of a subject."""
    return framed(acl_key(acl.subject), encode_acl(acl).data)


def read_acl(at: bytes, record: bytes) -> AclRecord:
    """Return the policies in a record, checked but not yet decoded.

    Raises:
        RecordCorrupt: They cannot be read.
    """
    found = AclRecord(Subject(name_of(at)), unframed(at, record))
    found.check()
    return found


def record_key(record_id: str) -> bytes:
    """Return the key of the record of a change."""
    return RECORD + record_id.encode("utf-8", "surrogatepass")


def write_record(record: ChangeRecord) -> bytes:
    """Return the stored form of the record of a change."""
    return framed(record_key(record.id), record.data)


def read_record(at: bytes, stored: bytes) -> ChangeRecord:
    """Return the record of a change in its stored form.

    Raises:
        RecordCorrupt: It cannot be read.
    """
    return ChangeRecord(name_of(at), unframed(at, stored))


def write_meta(meta: Meta) -> bytes:
    """Return the record that describes the store."""
    return framed(META, msgspec.json.encode(meta))


def read_meta(record: bytes) -> Meta:
    """Return the description of the store.

    Raises:
        RecordCorrupt: It cannot be read.
    """
    try:
        return _METAS.decode(unframed(META, record))
    except (msgspec.MsgspecError, UnicodeError):
        raise unreadable(META) from None


def write_revision(revision: int) -> bytes:
    """Return the stored form of the store's revision."""
    return framed(REVISION, b"%d" % revision)


def read_revision(stored: bytes | None) -> int:
    """Return the store's revision; 0 if none is stored, since the first mqguard stored none.

    Raises:
        RecordCorrupt: It cannot be read.
    """
    if stored is None:
        return 0
    try:
        return _REVISIONS.decode(unframed(REVISION, stored))
    except (msgspec.MsgspecError, UnicodeError):
        raise unreadable(REVISION) from None


def framed(at: bytes, value: bytes) -> bytes:
    """Return the stored form of a value.

    Args:
        at: Its key.
        value: The value.
    """
    return _VERSION + _checksum(at, value) + value


def unframed(at: bytes, record: bytes) -> bytes:
    """Return the value in a stored form.

    Raises:
        RecordCorrupt: It is damaged, or of another version.
    """
    if record[:1] != _VERSION:
        raise RecordCorrupt(
            f"the stored record `{_printable(at)}` has the version `{record[:1].hex()}`, "
            f"this version of mqguard reads `{_VERSION.hex()}`"
        )
    value = record[_HEAD:]
    if record[1:_HEAD] != _checksum(at, value):
        raise unreadable(at)
    return value


def _checksum(at: bytes, value: bytes) -> bytes:
    # The key is part of the checksum: a record under another name is as wrong as a damaged one.
    return zlib.crc32(value, zlib.crc32(at)).to_bytes(4, "big")


def unreadable(at: bytes) -> RecordCorrupt:
    """Return the error for a record that cannot be read."""
    return RecordCorrupt(f"the stored record `{_printable(at)}` is damaged: restore the store from a backup")


def _printable(at: bytes) -> str:
    return at.replace(b"\0", b":", 1).decode("utf-8", "backslashreplace")
