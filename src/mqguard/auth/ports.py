"""The port to the store of users and policies."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

from mqguard.auth.errors import RevisionConflict
from mqguard.auth.policy import Acl
from mqguard.auth.records import AclRecord
from mqguard.auth.user import Subject, User


@dataclasses.dataclass(frozen=True, slots=True)
class PutUser:
    """A change that stores a user and replaces one of the same name."""

    user: User


@dataclasses.dataclass(frozen=True, slots=True)
class DeleteUser:
    """A change that removes a user, if it exists. Another change removes its policies."""

    name: str


@dataclasses.dataclass(frozen=True, slots=True)
class PutAcl:
    """A change that stores all policies of a subject and replaces those it had."""

    acl: Acl


@dataclasses.dataclass(frozen=True, slots=True)
class DeleteAcl:
    """A change that removes all policies of a subject, if there are any."""

    subject: Subject


Change = PutUser | DeleteUser | PutAcl | DeleteAcl


def changed_name(change: Change) -> str:
    """Return the name of the user, or of the subject, that a change is about."""
    match change:
        case PutUser(user):
            return user.name
        case DeleteUser(name):
            return name
        case PutAcl(acl):
            return acl.subject.name
        case DeleteAcl(subject):
            return subject.name


@dataclasses.dataclass(frozen=True, slots=True)
class Metadata:
    """All users and policies read from a store; no user and no subject occurs twice.

    Attributes:
        users: Every user.
        acls: The policies of every subject, decoded or still as checked stored bytes.
        revision: The revision of the store at the read.
    """

    users: Sequence[User]
    acls: Sequence[Acl | AclRecord]
    revision: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class MetadataUpdate:
    """Changes that another server has stored.

    Attributes:
        revision: The revision of the store after the changes.
        previous: The revision right before them. A reader at another revision has missed changes, and loads again.
        changes: The changes in order; None if the store does not have them, so that readers load again.
    """

    revision: int
    previous: int
    changes: Sequence[Change] | None


OnUpdate = Callable[[MetadataUpdate], None]


def check_revision(expected: int, found: int) -> None:
    """Reject a change that was decided on another revision than that of the store.

    Raises:
        RevisionConflict: The revisions differ.
    """
    if expected != found:
        raise RevisionConflict(
            f"users and policies have been changed meanwhile: the store has revision {found}, not {expected}"
        )


class MetadataStore(Protocol):
    """A store of users and policies. `mqguard.testing.metadata_contract` is the suite that every implementation passes.

    Several servers can share one store. The store has a revision: a number that grows with each write of users or
    policies, and is stored in the same write. A server names the revision that its change was decided on. If the store
    has another revision, it rejects the change, so that a server never overwrites changes that it has not read.
    """

    def load(self) -> Metadata:
        """Read everything, all of it at one revision.

        Raises:
            RecordCorrupt: A record cannot be read; the store never skips one.
            MetadataStoreFailed: The store cannot be read.
        """
        ...  # pragma: no cover

    def apply(self, changes: Sequence[Change], expected_revision: int) -> int:
        """Apply all changes in order, or none; once this returns they survive a crash of machine or process.

        The store compares the revision and writes in one step: no other write comes in between.

        Args:
            changes: The changes. If there are none, nothing is written, and the revision stays.
            expected_revision: The revision that the changes were decided on.

        Returns:
            The new revision, higher than the expected one.

        Raises:
            RevisionConflict: The store has another revision; nothing has changed.
            MetadataStoreFull: There is no space; nothing has changed.
            MetadataStoreFailed: The store cannot be written; nothing has changed.
        """
        ...  # pragma: no cover

    def watch(self, on_update: OnUpdate) -> None:
        """Call back after each write of another server, in the order of revisions.

        Writes through this object are not reported: `apply` has returned their revision. A store that no other
        process can write to never calls.

        Args:
            on_update: Receives the changes.

        Raises:
            MetadataStoreFailed: The store cannot be watched.
        """
        ...  # pragma: no cover

    def close(self) -> None:
        """Release the store. Closing twice is harmless; any other call after closing raises MetadataStoreFailed."""
        ...  # pragma: no cover


@dataclasses.dataclass(frozen=True, slots=True)
class ChangeRecord:
    """The record of a change for the audit log, stored with the change until the log has it.

    Attributes:
        id: Unique. The line in the audit log has it too, so that a line that was written twice can be recognized.
        data: The record as bytes. Stores do not interpret it.
        doubtful: True if a process ended during the write, so that the store cannot say whether the change was made.
    """

    id: str
    data: bytes
    doubtful: bool = False


@runtime_checkable
class RecordingStore(MetadataStore, Protocol):
    """A metadata store that can also store the record of a change, in the same write as the change."""

    def apply_recorded(self, changes: Sequence[Change], expected_revision: int, record: ChangeRecord) -> int:
        """Apply all changes as `apply` does, and keep the record; both or none survive a crash.

        Raises:
            RevisionConflict: The store has another revision; neither the changes nor the record are stored.
            MetadataStoreFull: There is no space; nothing has changed.
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
        """Remove records, because the audit log has them. A crash may bring them back. The revision stays.

        Raises:
            MetadataStoreFailed: The store cannot be written.
        """
        ...  # pragma: no cover
