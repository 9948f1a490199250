"""A policy document as values."""

import dataclasses
import enum
from collections.abc import Mapping

from mqguard.auth.action import Action
from mqguard.auth.analysis.directory import Directory
from mqguard.auth.analysis.findings import Place
from mqguard.auth.documents.problems import Mark
from mqguard.auth.policy import Acl, Decision
from mqguard.auth.resource import Resource
from mqguard.auth.source import Source
from mqguard.auth.user import User, UserStatus, UserType
from mqguard.auth.verdict import Reason


class SecretPlace(enum.Enum):
    """Where a document may say that a secret is."""

    ENV = "env"
    FILE = "file"


@dataclasses.dataclass(frozen=True, slots=True)
class SecretReference:
    """A secret that is somewhere else.

    Attributes:
        place: In the environment or in a file.
        name: The variable, or the path as it was written.
        mark: Where the document says so, None if no document does.
    """

    place: SecretPlace
    name: str
    mark: Mark | None = dataclasses.field(default=None, compare=False)


@dataclasses.dataclass(frozen=True, slots=True)
class DocumentUser:
    """A user as a document says it.

    Attributes:
        name: The access key.
        type: Super or Normal.
        status: Enabled or disabled.
        secret: Where its secret is; None leaves a user that exists its own.
        mark: Where the document says so.
        incarnations: The incarnations that the document means; empty if it does not say.
    """

    name: str
    type: UserType
    status: UserStatus
    secret: SecretReference | None
    mark: Mark
    incarnations: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Assertion:
    """What a document says that policies must do, about every request that fits.

    Attributes:
        users: Who.
        actions: What.
        resources: To what.
        sources: From where; empty is anywhere.
        must: The decision that each such request must get.
        reason: Why it must be so; None does not matter.
        mark: Where it stands.
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
    """Everything that one file says.

    Attributes:
        users: By name.
        acls: Policies by the subject's name, entry groups put in.
        tests: What must be allowed and denied.
        places: Where each entry stands; that of a group stands in the group.
        subjects: Where each subject of policies stands.
    """

    users: Mapping[str, DocumentUser]
    acls: Mapping[str, Acl]
    tests: tuple[Assertion, ...]
    places: Mapping[Place, Mark]
    subjects: Mapping[str, Mark]

    @property
    def directory(self) -> Directory:
        """The state that the document describes, without secrets: for analysis, not for storing."""
        users = {user.name: User(user.name, (), user.type, user.status) for user in self.users.values()}
        return Directory(users, {name: acl for name, acl in self.acls.items() if acl.policies})

    def mark(self, place: Place) -> Mark | None:
        """Where an entry stands, None if the document has no such entry."""
        return self.places.get(place)

    def subject_mark(self, name: str) -> Mark | None:
        """Where a subject's policies stand, else where its user stands; None if the document has neither."""
        user = self.users.get(name)
        return self.subjects.get(name) or (user.mark if user else None)
