"""All users and policies in one version."""

from collections.abc import Iterable, Iterator, Mapping

from mqguard.auth.policy import Acl
from mqguard.auth.policy_index import Rights
from mqguard.auth.ports import Change, DeleteAcl, DeleteUser, Metadata, PutAcl, PutUser
from mqguard.auth.records import AclRecord
from mqguard.auth.user import User

_MAX_OVERLAY = 512
"""Maximum number of subjects that differ from the shared base: a change copies no more, then a new base is made."""

_Holding = tuple[User | None, Acl | AclRecord | None]


class Snapshot:
    """Immutable users and policies; a change creates another snapshot, which shares all unchanged subjects.

    Attributes:
        version: The number of changes; a higher one is newer.
        live_supers: The number of enabled Super users.
    """

    __slots__ = ("_base", "_orphans", "_overlay", "live_supers", "version")

    def __init__(
        self,
        version: int,
        base: dict[str, Rights],
        overlay: dict[str, Rights | None],
        orphans: Mapping[str, Acl | AclRecord],
        live_supers: int,
    ) -> None:
        """Assemble the parts; use `of` and `after` to create a snapshot."""
        self.version = version
        self.live_supers = live_supers
        self._base = base
        self._overlay = overlay
        # Policies without a user decide nothing, but an administrator must be able to see and remove them.
        self._orphans = orphans

    @classmethod
    def of(cls, metadata: Metadata, version: int = 0) -> "Snapshot":
        """Return the snapshot of all users and policies of a store."""
        orphans = {acl.subject.name: acl for acl in metadata.acls}
        base = {user.name: Rights(user, orphans.pop(user.name, None)) for user in metadata.users}
        return cls(version, base, {}, orphans, sum(_is_live_super(user) for user in metadata.users))

    def renumbered(self, version: int) -> "Snapshot":
        """Return the same users and policies with another version."""
        return Snapshot(version, self._base, self._overlay, self._orphans, self.live_supers)

    def rights(self, name: str) -> Rights | None:
        """Return the user of that name with its policies, or None."""
        overlay = self._overlay
        if name in overlay:
            return overlay[name]
        return self._base.get(name)

    def user(self, name: str) -> User | None:
        """Return the user of that name, or None."""
        rights = self.rights(name)
        return None if rights is None else rights.user

    def acl(self, name: str) -> Acl | None:
        """Return the policies of the subject `User:name`, even if the user does not exist, or None.

        Raises:
            RecordCorrupt: The policies were loaded from a store and cannot be read.
        """
        return _decode(self._holding(name)[1])

    def users(self) -> Iterator[User]:
        """Yield every user, in the byte order of the names."""
        return (user for user, _ in self._sorted() if user is not None)

    def acls(self) -> Iterator[Acl]:
        """Yield the policies of every subject that has any, in the byte order of the names.

        Raises:
            RecordCorrupt: As for `acl`.
        """
        return (acl for acl in (_decode(stored) for _, stored in self._sorted()) if acl is not None)

    def after(self, changes: Iterable[Change]) -> "Snapshot":
        """Return the snapshot after the changes. Only the subjects they name are built again."""
        touched: dict[str, _Holding] = {}
        for change in changes:
            match change:
                case PutUser(user):
                    touched[user.name] = (user, self._held(touched, user.name)[1])
                case DeleteUser(name):
                    touched[name] = (None, self._held(touched, name)[1])
                case PutAcl(acl):
                    touched[acl.subject.name] = (self._held(touched, acl.subject.name)[0], acl)
                case DeleteAcl(subject):
                    touched[subject.name] = (self._held(touched, subject.name)[0], None)
        return self._with(touched)

    def _held(self, touched: Mapping[str, _Holding], name: str) -> _Holding:
        return touched[name] if name in touched else self._holding(name)

    def _holding(self, name: str) -> _Holding:
        rights = self.rights(name)
        return (None, self._orphans.get(name)) if rights is None else (rights.user, rights.stored_acl)

    def _with(self, touched: Mapping[str, _Holding]) -> "Snapshot":
        overlay, orphans, supers = dict(self._overlay), self._orphans, self.live_supers
        for name, (user, acl) in touched.items():
            before = self.rights(name)
            if before is not None:
                supers -= _is_live_super(before.user)
            if user is not None:
                supers += _is_live_super(user)
            overlay[name] = None if user is None else Rights(user, acl)
            orphans = _replace_orphan(orphans, name, acl if user is None else None)
        base, overlay = _fold(self._base, overlay)
        return Snapshot(self.version + 1, base, overlay, orphans, supers)

    def _sorted(self) -> Iterator[_Holding]:
        names = {*self._base, *self._overlay, *self._orphans}
        # Code point order is the byte order of UTF-8.
        return (self._holding(name) for name in sorted(names))


def _fold(
    base: dict[str, Rights], overlay: dict[str, Rights | None]
) -> tuple[dict[str, Rights], dict[str, Rights | None]]:
    if len(overlay) <= _MAX_OVERLAY:
        return base, overlay
    folded = dict(base)
    for name, rights in overlay.items():
        if rights is None:
            folded.pop(name, None)
        else:
            folded[name] = rights
    return folded, {}


def _replace_orphan(
    orphans: Mapping[str, Acl | AclRecord], name: str, acl: Acl | AclRecord | None
) -> Mapping[str, Acl | AclRecord]:
    if acl is None and name not in orphans:
        return orphans
    kept = {other: policies for other, policies in orphans.items() if other != name}
    if acl is not None:
        kept[name] = acl
    return kept


def _is_live_super(user: User) -> bool:
    return user.is_super and user.is_enabled


def _decode(acl: Acl | AclRecord | None) -> Acl | None:
    return acl.decode() if isinstance(acl, AclRecord) else acl
