"""The port behind which users and policies are kept."""

import dataclasses
from collections.abc import Sequence
from typing import Protocol

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
