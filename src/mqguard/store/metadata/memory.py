"""Users and policies in memory: for tests, for reading a document, and to test a change before it is made."""

from collections.abc import Iterable, Sequence
from typing import Self

from mqguard.auth.errors import MetadataStoreFailed
from mqguard.auth.policy import Acl
from mqguard.auth.ports import (
    Change,
    DeleteAcl,
    DeleteUser,
    Metadata,
    MetadataUpdate,
    OnUpdate,
    PutAcl,
    PutUser,
    check_revision,
)
from mqguard.auth.user import User


class _Content:
    """Users and policies, and the stores that share them."""

    def __init__(self, users: Iterable[User], acls: Iterable[Acl]) -> None:
        self.users = {user.name: user for user in users}
        self.acls = {acl.subject: acl for acl in acls}
        self.revision = 0
        self.stores: list[MemoryMetadataStore] = []

    def change(self, changes: Sequence[Change]) -> None:
        self.revision += 1
        for change in changes:
            match change:
                case PutUser(user):
                    self.users[user.name] = user
                case DeleteUser(name):
                    self.users.pop(name, None)
                case PutAcl(acl):
                    self.acls[acl.subject] = acl
                case DeleteAcl(subject):
                    self.acls.pop(subject, None)


class MemoryMetadataStore:
    """A metadata store that keeps nothing after the end of the process.

    `share` opens the same users and policies again, as a second server would open a shared store.
    """

    def __init__(self, users: Iterable[User] = (), acls: Iterable[Acl] = ()) -> None:
        self._open(_Content(users, acls))

    def share(self) -> Self:
        """Return another store of the same users and policies; each reports the other's writes."""
        other = self.__class__.__new__(self.__class__)
        other._open(self._content)  # noqa: SLF001 - the same class
        return other

    def _open(self, content: _Content) -> None:
        self._content = content
        self._listeners: list[OnUpdate] = []
        self._closed = False
        content.stores.append(self)

    def load(self) -> Metadata:
        """Read everything; see `MetadataStore`."""
        self._check_open()
        content = self._content
        return Metadata(tuple(content.users.values()), tuple(content.acls.values()), content.revision)

    def apply(self, changes: Sequence[Change], expected_revision: int) -> int:
        """Make all changes; see `MetadataStore`. The other stores report them before this returns."""
        self._check_open()
        content, changes = self._content, tuple(changes)
        check_revision(expected_revision, content.revision)
        if not changes:
            return content.revision
        content.change(changes)
        update = MetadataUpdate(content.revision, expected_revision, changes)
        for store in content.stores:
            if store is not self:
                store._report(update)  # noqa: SLF001 - the same class
        return update.revision

    def watch(self, on_update: OnUpdate) -> None:
        """Call back after each write through a store that `share` has opened; see `MetadataStore`."""
        self._check_open()
        self._listeners.append(on_update)

    def close(self) -> None:
        """Close the store; see `MetadataStore`."""
        self._closed = True
        if self in self._content.stores:
            self._content.stores.remove(self)

    def _report(self, update: MetadataUpdate) -> None:
        for on_update in self._listeners:
            on_update(update)

    def _check_open(self) -> None:
        if self._closed:
            raise MetadataStoreFailed("the store of users and policies is closed")
