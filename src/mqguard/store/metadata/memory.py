"""Users and policies in memory: for tests, for reading a document, and for trying a change before it is made."""

from collections.abc import Iterable, Sequence

from mqguard.auth.errors import MetadataStoreFailed
from mqguard.auth.policy import Acl
from mqguard.auth.ports import Change, DeleteAcl, DeleteUser, Metadata, PutAcl, PutUser
from mqguard.auth.user import User


class MemoryMetadataStore:
    """A metadata store that forgets everything when the process ends."""

    def __init__(self, users: Iterable[User] = (), acls: Iterable[Acl] = ()) -> None:
        self._users = {user.name: user for user in users}
        self._acls = {acl.subject: acl for acl in acls}
        self._closed = False

    def load(self) -> Metadata:
        """Read everything."""
        self._check_open()
        return Metadata(tuple(self._users.values()), tuple(self._acls.values()))

    def apply(self, changes: Sequence[Change]) -> None:
        """Make all changes."""
        self._check_open()
        for change in changes:
            match change:
                case PutUser(user):
                    self._users[user.name] = user
                case DeleteUser(name):
                    self._users.pop(name, None)
                case PutAcl(acl):
                    self._acls[acl.subject] = acl
                case DeleteAcl(subject):
                    self._acls.pop(subject, None)

    def close(self) -> None:
        """Let go of the store."""
        self._closed = True

    def _check_open(self) -> None:
        if self._closed:
            raise MetadataStoreFailed("the store of users and policies is closed")
