"""The port behind which users and policies are kept."""

import dataclasses
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from mqguard.auth.policy import Acl
from mqguard.auth.records import AclRecord
from mqguard.auth.subject import Subject
from mqguard.auth.user import User


@dataclasses.dataclass(frozen=True, slots=True)
class PutUser:
    """Store a user, in place of one of the same name."""

    user: User


@dataclasses.dataclass(frozen=True, slots=True)
class DeleteUser:
    """Remove a user; nothing happens when there is none of that name. Its policies are another change."""

    name: str


@dataclasses.dataclass(frozen=True, slots=True)
class PutAcl:
    """Store all policies of a subject, in place of those it had."""

    acl: Acl


@dataclasses.dataclass(frozen=True, slots=True)
class DeleteAcl:
    """Remove all policies of a subject; nothing happens when there are none."""

    subject: Subject


Change = PutUser | DeleteUser | PutAcl | DeleteAcl


@dataclasses.dataclass(frozen=True, slots=True)
class Metadata:
    """All users and policies, as read from a store; no user and no subject twice.

    Attributes:
        users: Every user.
        acls: The policies of every subject, read or still as stored bytes that were checked.
    """

    users: Sequence[User]
    acls: Sequence[Acl | AclRecord]


class MetadataStore(Protocol):
    """Keeps users and policies. `mqguard.testing.metadata_contract` is the suite that every implementation passes."""

    def load(self) -> Metadata:
        """Read everything.

        Raises:
            RecordCorrupt: A record cannot be read; none is ever skipped.
            MetadataStoreFailed: The store cannot be read.
        """
        ...  # pragma: no cover

    def apply(self, changes: Sequence[Change]) -> None:
        """Make all changes, in their order, or none; they survive a crash of machine or process once this returns.

        Raises:
            MetadataStoreFull: There is no room; nothing has changed.
            MetadataStoreFailed: The store cannot be written; nothing has changed.
        """
        ...  # pragma: no cover

    def close(self) -> None:
        """Let go of the store. Closing twice is harmless; anything else after closing raises MetadataStoreFailed."""
        ...  # pragma: no cover


@dataclasses.dataclass(frozen=True, slots=True)
class ChangeRecord:
    """The record of a change for the audit log, stored with the change until the log has it.

    Attributes:
        id: Unique; the line in the audit log has it too, so that a line that was written twice can be told.
        data: The record as bytes. Stores do not look inside.
        doubtful: True if the store does not know whether the change was made, since a process ended in between.
    """

    id: str
    data: bytes
    doubtful: bool = False


@runtime_checkable
class RecordingStore(MetadataStore, Protocol):
    """A metadata store that can also store the record of a change, in the same write as the change."""

    def apply_recorded(self, changes: Sequence[Change], record: ChangeRecord) -> None:
        """Make all changes as `apply` does, and keep the record; both or none survive a crash.

        Raises:
            MetadataStoreFull: There is no room; nothing has changed.
            MetadataStoreFailed: The store cannot be written; nothing has changed.
        """
        ...  # pragma: no cover

    def unwritten_records(self) -> Sequence[ChangeRecord]:
        """Return the records that `records_written` has not removed, oldest first.

        Raises:
            RecordCorrupt: A record cannot be read.
            MetadataStoreFailed: The store cannot be read.
        """
        ...  # pragma: no cover

    def records_written(self, ids: Sequence[str]) -> None:
        """Remove records, because the audit log has them. A crash may bring them back.

        Raises:
            MetadataStoreFailed: The store cannot be written.
        """
        ...  # pragma: no cover
