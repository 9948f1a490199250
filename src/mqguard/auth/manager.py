"""Changing users and policies: checked, stored, then in force for the very next decision.

The operations and their sentences are those of Apache RocketMQ (as of 5.5.0); what is stricter here: nothing
unknown is ignored, and the last enabled Super user stays.
"""

import contextlib
import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeVar

from mqguard.auth.blank import is_blank
from mqguard.auth.delegation import check_delegation
from mqguard.auth.errors import MetadataRejected, RevisionConflict
from mqguard.auth.incarnation import MeantUsers, incarnate
from mqguard.auth.initial import InitialUser
from mqguard.auth.merging import containing, merge, without
from mqguard.auth.policy import Acl, PolicyType
from mqguard.auth.ports import (
    Change,
    ChangeRecord,
    DeleteAcl,
    DeleteUser,
    MetadataStore,
    MetadataUpdate,
    PutAcl,
    PutUser,
    RecordingStore,
)
from mqguard.auth.resource import Resource
from mqguard.auth.snapshot import Snapshot
from mqguard.auth.subject import Subject
from mqguard.auth.user import LiveSecret, Secret, User, UserStatus, UserType, replace_secret

MakeRecord = Callable[[Sequence[Change]], ChangeRecord]
"""Makes the record of changes."""

DecideChanges = Callable[[Snapshot], Sequence[Change]]
"""Returns the changes to make to users and policies. It is called again if another server has changed these meanwhile.
"""

MAX_TRIES: Final = 8
"""Times that a change is decided before it is refused because other servers kept changing users and policies."""

_T = TypeVar("_T")


class MetadataManager:
    """The one place where users and policies change.

    Order of every change: validate, store, then swap the snapshot. A change that was acknowledged is in force for the
    next decision and survives a crash; when the store fails, its error is passed on and nothing has changed.

    Several servers may share the store. A change names the revision that it was decided on. If the store has a newer
    one, the manager loads it and decides the change anew, delegation included, so that no update is lost.

    Not for use by several threads at once. Where a method takes `by`, it is the name of the user who asks for the
    change, and the rules of `delegation` hold; None is whoever may do everything: the operator at the machine.

    Attributes:
        conflicts: Number of times that a change was not stored because another server was faster.
    """

    def __init__(self, store: MetadataStore, new_incarnation: Callable[[], str] | None = None) -> None:
        """Read everything from the store.

        Args:
            store: Holds users and policies.
            new_incarnation: Makes the incarnation of a new user, a text that no other user has had. None counts, which
                is enough for a manager whose store is gone when it is.

        Raises:
            MetadataStoreFailed: It cannot be read, or a record is corrupt.
        """
        self._store = store
        self._recording = store if isinstance(store, RecordingStore) else None
        self._make_record: MakeRecord | None = None
        counter = itertools.count(1)
        self._new_incarnation = new_incarnation or (lambda: f"counted-{next(counter)}")
        metadata = store.load()
        self._snapshot, self._revision = Snapshot.of(metadata), metadata.revision
        self.conflicts = 0
        store.watch(self._follow)

    @property
    def snapshot(self) -> Snapshot:
        """All users and policies as they are now."""
        return self._snapshot

    @property
    def revision(self) -> int:
        """Revision of the store that the snapshot is of."""
        return self._revision

    @contextlib.contextmanager
    def recorded(self, make: MakeRecord) -> Iterator[None]:
        """Store the record of each change that is made inside, in the same write as the change.

        A store that cannot do that makes the changes without their records.

        Args:
            make: Makes the record of changes, right before these are stored.
        """
        before, self._make_record = self._make_record, make
        try:
            yield
        finally:
            self._make_record = before

    def unwritten_records(self) -> Sequence[ChangeRecord]:
        """Return the stored records of changes that the audit log may not have, oldest first.

        Raises:
            MetadataStoreFailed: The store cannot be read.
        """
        return () if self._recording is None else self._recording.unwritten_records()

    def records_written(self, ids: Sequence[str]) -> None:
        """Remove stored records, because the audit log has them.

        Raises:
            MetadataStoreFailed: The store cannot be written.
        """
        if self._recording is not None and ids:
            self._recording.records_written(ids)

    def create_user(
        self,
        name: str,
        secret: str | None,
        user_type: UserType | None = None,
        status: UserStatus | None = None,
        *,
        by: str | None = None,
    ) -> User:
        """Add a user; Normal and enabled when not said otherwise.

        Raises:
            MetadataRejected: No name, no secret, there is such a user, or `by` may not.
        """
        user = _new_user(name, secret, user_type, status)

        def decide(before: Snapshot) -> tuple[User, Sequence[Change]]:
            if before.user(name) is not None:
                raise MetadataRejected("The user is existed")
            return user, [PutUser(user)]

        return self._change(decide, by=by)

    def ensure_super(self, initial: InitialUser) -> bool:
        """Make the Super user that configuration names, unless there is a user of that name.

        Returns:
            Whether it was made. A user who is there keeps its secret, type and status.
        """
        user = _new_user(initial.name, initial.secret, UserType.SUPER, UserStatus.ENABLE)

        def decide(before: Snapshot) -> tuple[bool, Sequence[Change]]:
            return (True, [PutUser(user)]) if before.user(user.name) is None else (False, ())

        return self._change(decide)

    def update_user(
        self,
        name: str,
        secret: str | None = None,
        user_type: UserType | None = None,
        status: UserStatus | None = None,
        *,
        keep_old_until: int | None = None,
        force: bool = False,
        by: str | None = None,
    ) -> User:
        """Change what is given of a user and leave the rest.

        Args:
            name: Whose.
            secret: The new secret; blank is no change.
            user_type: The new kind.
            status: The new status.
            keep_old_until: With a new secret: milliseconds since the epoch until which the one it replaces is still
                accepted, so that clients can move over; None ends it at once. With the secret that is current already
                it can only bring that end nearer, so that asking twice is asking once.
            force: Also when no enabled Super user is left.
            by: Who asks for the change.

        Raises:
            MetadataRejected: No name, no such user, `by` may not, or the last enabled Super user would be gone.
        """
        _require_name(name)

        def decide(before: Snapshot) -> tuple[User, Sequence[Change]]:
            user = before.user(name)
            if user is None:
                raise MetadataRejected("The user is not exist")
            secrets = user.secrets
            if secret is not None and not is_blank(secret):
                secrets = replace_secret(secrets, Secret(secret), keep_old_until)
            kind, state = user_type or user.type, status or user.status
            changed = dataclasses.replace(user, secrets=secrets, type=kind, status=state)
            return changed, [PutUser(changed)]

        return self._change(decide, force=force, by=by)

    def delete_user(self, name: str, *, force: bool = False, by: str | None = None) -> None:
        """Remove a user and its policies together; nothing happens when there is no such user.

        Args:
            name: Whose.
            force: Also when no enabled Super user is left.
            by: Who asks for the change.

        Raises:
            MetadataRejected: No name, `by` may not, or the last enabled Super user would be gone.
        """
        _require_name(name)
        self.apply(lambda _: [DeleteUser(name)], force=force, by=by)

    def get_user(self, name: str) -> User | None:
        """The user of that name, None if there is none.

        Raises:
            MetadataRejected: No name.
        """
        _require_name(name)
        return self._snapshot.user(name)

    def list_users(self, text: str | None = None) -> list[User]:
        """The users whose name contains `text`, all when it is blank; in the byte order of their names."""
        everyone = is_blank(text)
        return [user for user in self._snapshot.users() if everyone or str(text) in user.name]

    def is_super(self, name: str) -> bool:
        """Whether the user is Super.

        Raises:
            MetadataRejected: No name, or there is no such user.
        """
        _require_name(name)
        user = self._snapshot.user(name)
        if user is None:
            raise MetadataRejected(f"User:{name} is not found")
        return user.is_super

    def create_acl(self, acl: Acl, *, by: str | None = None) -> Acl:
        """Merge policies into those of the subject: by type, then by resource; nothing is removed.

        Returns:
            All policies of the subject as they are now.

        Raises:
            MetadataRejected: No policies, a policy without entries, no such user, or `by` may not.
        """
        if not acl.policies:
            raise MetadataRejected("The policies is empty.")
        if not all(policy.entries for policy in acl.policies):
            raise MetadataRejected("The policy entries is empty.")

        def decide(before: Snapshot) -> tuple[Acl, Sequence[Change]]:
            merged = merge(before.acl(acl.subject.name), acl)
            return merged, [PutAcl(merged)]

        return self._change(decide, by=by)

    update_acl = create_acl

    def delete_acl(
        self,
        subject: Subject,
        policy_type: PolicyType | None = None,
        resource: Resource | None = None,
        *,
        by: str | None = None,
    ) -> None:
        """Remove the entries for one resource, or all policies of the subject.

        Args:
            subject: Whose.
            policy_type: Of which policy; Custom when None. Only asked together with a resource.
            resource: Exactly this resource; success when there is no entry for it. None removes all policies of every
                type: a resource that did not parse must be refused before, never passed as None.
            by: Who asks for the change.

        Raises:
            MetadataRejected: No such user, it has no policies, or `by` may not.
        """

        def decide(before: Snapshot) -> Sequence[Change]:
            acl = _acl_of(before, subject)
            if acl is None:
                raise MetadataRejected("The acl is not exist.")
            left = without(acl, policy_type or PolicyType.CUSTOM, resource) if resource is not None else None
            return [DeleteAcl(subject) if left is None else PutAcl(left)]

        self.apply(decide, by=by)

    def get_acl(self, subject: Subject) -> Acl | None:
        """The policies of a subject, None if it has none.

        Raises:
            MetadataRejected: No such user.
        """
        return _acl_of(self._snapshot, subject)

    def list_acls(self, subject_filter: str | None = None, resource_filter: str | None = None) -> list[Acl]:
        """The entries whose subject key and resource key contain the filters (blank: any), by subject."""
        found = []
        for acl in self._snapshot.acls():
            if not is_blank(subject_filter) and str(subject_filter) not in acl.subject.key:
                continue
            kept = acl if is_blank(resource_filter) else containing(acl, str(resource_filter))
            if kept is not None:
                found.append(kept)
        return found

    def apply(
        self,
        changes: Sequence[Change] | DecideChanges,
        *,
        force: bool = False,
        by: str | None = None,
        meant: MeantUsers | None = None,
    ) -> None:
        """Make several changes as one: all are stored and in force together, or none.

        Args:
            changes: In the order in which they count; a user goes with its policies. A function that returns them is
                called again if another server has changed users or policies meanwhile; a sequence is then refused.
            force: Also when no enabled Super user is left.
            by: Who asks for the changes, for the rules of `delegation`; None where nobody has to be asked, such as
                offline and at the first start.
            meant: The users that the changes are meant for, if they come from a document. If `by` is Super or None, the
                confirmed ones, those that are created and those that get a secret are confirmed from now on.

        Raises:
            MetadataRejected: Policies for no user, another incarnation of a user, `by` may not, or the last enabled
                Super user would be gone.
            RevisionConflict: Another server has changed users or policies meanwhile; nothing has changed.
            MetadataStoreFailed: The store failed; nothing has changed.
        """
        planned_on = self._snapshot

        def decide(before: Snapshot) -> tuple[None, Sequence[Change]]:
            if callable(changes):
                return None, changes(before)
            if before is not planned_on:
                raise RevisionConflict(f"{_CHANGED_MEANWHILE}: read them and decide again")
            return None, changes

        self._change(decide, force=force, by=by, meant=meant)

    def _change(
        self,
        decide: Callable[[Snapshot], tuple[_T, Sequence[Change]]],
        *,
        force: bool = False,
        by: str | None = None,
        meant: MeantUsers | None = None,
    ) -> _T:
        """Decide a change and store it, as often as other servers change users or policies in between.

        Args:
            decide: Returns the result of the operation and the changes, given users and policies as they are.
            force: See `apply`.
            by: See `apply`.
            meant: See `apply`.
        """
        for _ in range(MAX_TRIES):
            before = self._snapshot
            result, changes = decide(before)
            every = tuple(incarnate(changes, before, self._new_incarnation, by=by, meant=meant))
            after = before.after(every)
            _check(changes, before, after, by, force=force)
            if not every:
                return result
            try:
                revision = self._write(every)
            except RevisionConflict:
                self.conflicts += 1
                self._load_newer(before, by)
                continue
            self._snapshot, self._revision = after, revision
            return result
        raise RevisionConflict(f"{_CHANGED_MEANWHILE}, {MAX_TRIES} times in a row: try again later")

    def _write(self, changes: Sequence[Change]) -> int:
        if self._recording is not None and self._make_record is not None:
            return self._recording.apply_recorded(changes, self._revision, self._make_record(changes))
        return self._store.apply(changes, self._revision)

    def _load_newer(self, before: Snapshot, by: str | None) -> None:
        """Load what another server has stored.

        Args:
            before: Users and policies that the change was decided on.
            by: Who asks for the change.

        Raises:
            RevisionConflict: The author of the change is not who it was: the request was admitted by rights that may
                be gone, so it must not be decided anew without the guard.
            MetadataStoreFailed: The store cannot be read.
        """
        self._load()
        if by is not None and not _is_unchanged(by, before, self._snapshot):
            raise RevisionConflict(f"User:{by} has been changed by another server meanwhile: send the request again")

    def _load(self) -> None:
        metadata = self._store.load()
        self._snapshot = Snapshot.of(metadata, self._snapshot.version + 1)
        self._revision = metadata.revision

    def _follow(self, update: MetadataUpdate) -> None:
        """Put changes in force that another server has stored.

        Raises:
            MetadataStoreFailed: The changes have to be loaded, and the store cannot be read.
        """
        if update.revision <= self._revision:
            return
        if update.changes is None or update.previous != self._revision:
            self._load()
            return
        self._snapshot, self._revision = self._snapshot.after(update.changes), update.revision


_CHANGED_MEANWHILE: Final = "users or policies have been changed by another server meanwhile"


def _check(changes: Sequence[Change], before: Snapshot, after: Snapshot, by: str | None, *, force: bool) -> None:
    """Refuse changes that must not be made.

    Raises:
        MetadataRejected: Policies for no user, `by` may not, or the last enabled Super user would be gone.
    """
    for change in changes:
        if isinstance(change, PutAcl) and after.user(change.acl.subject.name) is None:
            raise MetadataRejected(f"The subject of {change.acl.subject.key} is not exist.")
    if by is not None:
        check_delegation(by, before, after, map(_name_of, changes))
    if not force and after.live_supers == 0 and before.live_supers > 0:
        raise MetadataRejected(
            "the last enabled Super user can not be deleted, disabled or made Normal: make another one first"
        )


def _is_unchanged(name: str, before: Snapshot, after: Snapshot) -> bool:
    """Return True if the user is the same one, with the same secrets, state and policies."""
    old, new = before.user(name), after.user(name)
    if old is None or new is None:
        return False
    return old == new and old.incarnation == new.incarnation and before.acl(name) == after.acl(name)


def _acl_of(snapshot: Snapshot, subject: Subject) -> Acl | None:
    """Return the policies of a subject, None if it has none.

    Raises:
        MetadataRejected: There is no such user.
    """
    if snapshot.user(subject.name) is None:
        raise MetadataRejected("The subject is not exist.")
    return snapshot.acl(subject.name)


def _require_name(name: str) -> None:
    if is_blank(name):
        raise MetadataRejected("username can not be blank")


def _new_user(name: str, secret: str | None, user_type: UserType | None, status: UserStatus | None) -> User:
    _require_name(name)
    if secret is None or is_blank(secret):
        raise MetadataRejected("password can not be blank")
    return User(name, (LiveSecret(Secret(secret)),), user_type or UserType.NORMAL, status or UserStatus.ENABLE)


def _name_of(change: Change) -> str:
    match change:
        case PutUser(user):
            return user.name
        case DeleteUser(name):
            return name
        case PutAcl(acl):
            return acl.subject.name
        case DeleteAcl(subject):
            return subject.name
