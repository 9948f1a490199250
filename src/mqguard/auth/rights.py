"""The rights of one user: the user and the compiled index of its policies."""

from collections.abc import Mapping
from types import MappingProxyType

from mqguard.auth.policy import Acl
from mqguard.auth.policy_index import NameIndex, PolicyIndex
from mqguard.auth.records import AclRecord
from mqguard.auth.resource import ResourceType
from mqguard.auth.subject import Subject
from mqguard.auth.user import User

_NOTHING = Acl(Subject("nobody"), ())
_NOT_COMPILED: Mapping[ResourceType, NameIndex] = MappingProxyType({})


class Rights:
    """A user and its policies in one version; immutable, so a change creates new rights.

    The policies are compiled at first use, so that a start with many users is fast. Cached verdicts belong to the index
    and disappear with it, so a cached verdict is never out of date.

    Attributes:
        user: The owner of the rights.
        names: The places of all names, by resource type; empty until the policies are compiled.
    """

    __slots__ = ("_acl", "names", "user")

    def __init__(self, user: User, acl: Acl | AclRecord | None) -> None:
        self.user = user
        self.names = _NOT_COMPILED
        self._acl = acl

    @property
    def acl(self) -> Acl | None:
        """The policies, or None if there are none.

        Raises:
            RecordCorrupt: The policies were loaded from a store and cannot be read.
        """
        acl = self._acl
        return acl.decode() if isinstance(acl, AclRecord) else acl

    @property
    def stored_acl(self) -> Acl | AclRecord | None:
        """The policies in their original form."""
        return self._acl

    def compile(self) -> None:
        """Compile the policies into places, once.

        Raises:
            RecordCorrupt: As for `acl`.
        """
        if not self.names:
            self.names = PolicyIndex(self.acl or _NOTHING).names
