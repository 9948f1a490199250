"""A policy document as values."""

import dataclasses
import enum
from collections.abc import Mapping

from mqguard.auth.analysis.access_state import AccessState, EntryLocation
from mqguard.auth.documents.nodes import Mark
from mqguard.auth.policy import Acl, Action, Decision
from mqguard.auth.resource import Resource
from mqguard.auth.source import Source
from mqguard.auth.user import User, UserStatus, UserType
from mqguard.auth.verdict import Reason


class SecretPlace(enum.Enum):
    """A place for secrets that a document can refer to."""

    ENV = "env"
    FILE = "file"


@dataclasses.dataclass(frozen=True, slots=True)
class SecretReference:
    """A reference to a secret outside the document.

    Attributes:
        place: In the environment or in a file.
        name: The variable, or the path as it was written.
        mark: The position of the reference in the document, or None if it is not from a document.
    """

    place: SecretPlace
    name: str
    mark: Mark | None = dataclasses.field(default=None, compare=False)


@dataclasses.dataclass(frozen=True, slots=True)
class DocumentUser:
    """A user in a document.

    Attributes:
        name: The access key.
        type: Super or Normal.
        status: Enabled or disabled.
        secret: The reference to its secret; with None, an existing user keeps its own.
        mark: The position in the document.
        incarnations: The incarnations that the document names; empty if it names none.
    """

    name: str
    type: UserType
    status: UserStatus
    secret: SecretReference | None
    mark: Mark
    incarnations: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Assertion:
    """A test in a document: the required decision for every matching request.

    Attributes:
        users: The users.
        actions: The actions.
        resources: The resources.
        sources: The sources; empty is anywhere.
        must: The required decision for each such request.
        reason: The required reason; None accepts any.
        mark: The position in the document.
    """

    users: tuple[str, ...]
    actions: tuple[Action, ...]
    resources: tuple[Resource, ...]
    sources: tuple[Source, ...]
    must: Decision
    reason: Reason | None
    mark: Mark


@dataclasses.dataclass(frozen=True, slots=True)
class Document:
    """The complete content of one file.

    Attributes:
        users: By name.
        acls: Policies by the subject's name, with entry groups expanded.
        tests: The requests that must be allowed and denied.
        places: The position of each entry; an entry of a group has its position in the group.
        subjects: The position of each subject of policies.
    """

    users: Mapping[str, DocumentUser]
    acls: Mapping[str, Acl]
    tests: tuple[Assertion, ...]
    places: Mapping[EntryLocation, Mark]
    subjects: Mapping[str, Mark]

    @property
    def directory(self) -> AccessState:
        """The state that the document describes, without secrets: for analysis, not for storing."""
        users = {user.name: User(user.name, (), user.type, user.status) for user in self.users.values()}
        return AccessState(users, {name: acl for name, acl in self.acls.items() if acl.policies})

    def mark(self, place: EntryLocation) -> Mark | None:
        """Return the position of an entry, or None if the document has no such entry."""
        return self.places.get(place)

    def subject_mark(self, name: str) -> Mark | None:
        """Return the position of a subject's policies, else that of its user; None if the document has neither."""
        user = self.users.get(name)
        return self.subjects.get(name) or (user.mark if user else None)
