"""Changes of users and policies: checked, stored, and then in force for the next decision.

The operations and their messages are those of Apache RocketMQ (as of 5.5.0). Two rules are stricter: unknown input is
never ignored, and the last enabled Super user stays.
"""

import contextlib
import copy
import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Self, TypeVar

from mqguard.auth.errors import MetadataRejected, RevisionConflict
from mqguard.auth.escalation import check_delegation
from mqguard.auth.incarnation import MeantUsers, incarnate
from mqguard.auth.policy import Acl, PolicyType, matching_text, merge_acls, without_resource
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
    changed_name,
)
from mqguard.auth.resource import Resource
from mqguard.auth.snapshot import Snapshot
from mqguard.auth.user import InitialUser, LiveSecret, Secret, Subject, User, UserStatus, UserType, replace_secret
from mqguard.model.text import is_blank

MakeRecord = Callable[[Sequence[Change]], ChangeRecord]
"""A factory for the record of changes."""

DecideChanges = Callable[[Snapshot], Sequence[Change]]
"""Returns the changes to make to users and policies. It is called again if another server has changed these meanwhile.
"""

MAX_TRIES: Final = 8
"""Times that a change is decided before it is refused because other servers kept changing users and policies."""

_T = TypeVar("_T")


class MetadataManager:
    """The only place that changes users and policies.

    Order of every change: validate, store, then swap the snapshot. An acknowledged change is in force for the next
    decision and survives a crash. If the store fails, its error is passed on and nothing has changed.

    Several servers may share the store. A change names the revision that it was decided on. If the store has a newer
    one, the manager loads it and decides the change again, delegation included, so that no update is lost.

    The manager is not thread-safe. If a method takes `by`, it is the name of the user that requests the change, and the
    rules of `delegation` apply. None means the operator at the machine, who may change everything.

    Attributes:
        conflicts: Number of times that a change was not stored because another server was faster.
    """

    def __init__(self, store: MetadataStore, new_incarnation: Callable[[], str] | None = None) -> None:
        """Read everything from the store.

        Args:
            store: The store of users and policies.
            new_incarnation: Returns the incarnation of a new user, a text that no other user has had. None uses a
                counter, which is enough for a manager whose store does not outlive it.

        Raises:
            MetadataStoreFailed: The store cannot be read, or a record is corrupt.
        """
        self._use(store)
        counter = itertools.count(1)
        self._new_incarnation = new_incarnation or (lambda: f"counted-{next(counter)}")
        metadata = store.load()
        self._snapshot, self._revision = Snapshot.of(metadata), metadata.revision
        self.conflicts = 0
        store.watch(self._follow)

    def _use(self, store: MetadataStore) -> None:
        self._store = store
        self._recording = store if isinstance(store, RecordingStore) else None
        self._make_record: MakeRecord | None = None

    @property
    def snapshot(self) -> Snapshot:
        """All current users and policies."""
        return self._snapshot

    @property
    def revision(self) -> int:
        """Revision of the store that the snapshot is of."""
        return self._revision

    @contextlib.contextmanager
    def recorded(self, make: MakeRecord) -> Iterator[None]:
        """Store the record of each change made inside the block, in the same write as the change.

        A store without this ability makes the changes without their records.

        Args:
            make: Creates the record of changes, right before these are stored.
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
        """Add a user; Normal and enabled by default.

        Raises:
            MetadataRejected: The name or the secret is missing, the user exists, or `by` may not create it.
        """
        user = _new_user(name, secret, user_type, status)

        def decide(before: Snapshot) -> tuple[User, Sequence[Change]]:
            if before.user(name) is not None:
                raise MetadataRejected("The user is existed")
            return user, [PutUser(user)]

        return self._change(decide, by=by)

    def ensure_super(self, initial: InitialUser) -> bool:
        """Create the Super user that the configuration names, unless a user of that name exists.

        Returns:
            True if it was created. An existing user keeps its secret, type and status.
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
        """Change the given fields of a user and leave the others.

        Args:
            name: The user's name.
            secret: The new secret; a blank one changes nothing.
            user_type: The new kind.
            status: The new status.
            keep_old_until: The end of the replaced secret, in milliseconds since the epoch, so that clients can switch.
                None ends it at once. If the new secret is already the current one, this can only move the end earlier,
                so that a repeated call changes nothing.
            force: True to proceed even if no enabled Super user is left.
            by: The user that requests the change.

        Raises:
            MetadataRejected: The name is missing, the user does not exist, `by` may not change it, or the last enabled
                Super user would be gone.
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
        """Remove a user together with its policies; do nothing if no such user exists.

        Args:
            name: The user's name.
            force: True to proceed even if no enabled Super user is left.
            by: The user that requests the change.

        Raises:
            MetadataRejected: The name is missing, `by` may not delete it, or the last enabled Super user would be gone.
        """
        _require_name(name)
        self.apply(lambda _: [DeleteUser(name)], force=force, by=by)

    def get_user(self, name: str) -> User | None:
        """Return the user of that name, or None if no such user exists.

        Raises:
            MetadataRejected: The name is missing.
        """
        _require_name(name)
        return self._snapshot.user(name)

    def list_users(self, text: str | None = None) -> list[User]:
        """Return the users whose name contains `text`, or all if it is blank, in the byte order of their names."""
        everyone = is_blank(text)
        return [user for user in self._snapshot.users() if everyone or str(text) in user.name]

    def is_super(self, name: str) -> bool:
        """True if the user is Super.

        Raises:
            MetadataRejected: The name is missing, or no such user exists.
        """
        _require_name(name)
        user = self._snapshot.user(name)
        if user is None:
            raise MetadataRejected(f"User:{name} is not found")
        return user.is_super

    def create_acl(self, acl: Acl, *, by: str | None = None) -> Acl:
        """Merge policies into those of the subject: by type, then by resource; nothing is removed.

        Returns:
            All policies of the subject after the change.

        Raises:
            MetadataRejected: There are no policies, a policy has no entries, no such user exists, or `by` may not grant
                them.
        """
        if not acl.policies:
            raise MetadataRejected("The policies is empty.")
        if not all(policy.entries for policy in acl.policies):
            raise MetadataRejected("The policy entries is empty.")

        def decide(before: Snapshot) -> tuple[Acl, Sequence[Change]]:
            merged = merge_acls(before.acl(acl.subject.name), acl)
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
            subject: The owner of the policies.
            policy_type: The type of policy; Custom if None. Used only together with a resource.
            resource: Exactly this resource; a resource without an entry is a success. None removes all policies of
                every type: the caller must reject a resource that did not parse, and never pass it as None.
            by: The user that requests the change.

        Raises:
            MetadataRejected: No such user exists, it has no policies, or `by` may not change them.
        """

        def decide(before: Snapshot) -> Sequence[Change]:
            acl = _acl_of(before, subject)
            if acl is None:
                raise MetadataRejected("The acl is not exist.")
            left = without_resource(acl, policy_type or PolicyType.CUSTOM, resource) if resource is not None else None
            return [DeleteAcl(subject) if left is None else PutAcl(left)]

        self.apply(decide, by=by)

    def get_acl(self, subject: Subject) -> Acl | None:
        """Return the policies of a subject, or None if it has none.

        Raises:
            MetadataRejected: No such user exists.
        """
        return _acl_of(self._snapshot, subject)

    def list_acls(self, subject_filter: str | None = None, resource_filter: str | None = None) -> list[Acl]:
        """Return the entries whose subject key and resource key contain the filters (blank: any), by subject."""
        found = []
        for acl in self._snapshot.acls():
            if not is_blank(subject_filter) and str(subject_filter) not in acl.subject.key:
                continue
            kept = acl if is_blank(resource_filter) else matching_text(acl, str(resource_filter))
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
        """Apply several changes as one: all are stored and in force together, or none.

        Args:
            changes: The changes in order; deleting a user also deletes its policies. A function that returns them is
                called again if another server has changed users or policies meanwhile; a sequence is then rejected.
            force: True to proceed even if no enabled Super user is left.
            by: The user that requests the changes, for the rules of `delegation`. None if no permission is required,
                such as offline and at the first start.
            meant: The intended users, if the changes come from a document. If `by` is Super or None, the confirmed
                users, created users and users that get a secret are confirmed from now on.

        Raises:
            MetadataRejected: A policy has no user, a user has another incarnation, `by` may not make a change, or the
                last enabled Super user would be gone.
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
        """Decide a change and store it; repeat this if another server changes users or policies in between.

        Args:
            decide: Returns the result of the operation and the changes, given the current users and policies.
            force: See `apply`.
            by: See `apply`.
            meant: See `apply`.
        """
        for _ in range(MAX_TRIES):
            # In this order: if another thread replaced both in between, the store would refuse the older revision.
            revision, before = self._revision, self._snapshot
            result, changes = decide(before)
            every = tuple(incarnate(changes, before, self._new_incarnation, by=by, meant=meant))
            after = before.after(every)
            _check(changes, before, after, by, force=force)
            if not every:
                return result
            try:
                revision = self._write(every, revision)
            except RevisionConflict:
                self.conflicts += 1
                self._load_newer(before, by)
                continue
            if revision > self._revision:
                self._snapshot, self._revision = after, revision
            return result
        raise RevisionConflict(f"{_CHANGED_MEANWHILE}, {MAX_TRIES} times in a row: try again later")

    def _write(self, changes: Sequence[Change], revision: int) -> int:
        if self._recording is not None and self._make_record is not None:
            return self._recording.apply_recorded(changes, revision, self._make_record(changes))
        return self._store.apply(changes, revision)

    def _load_newer(self, before: Snapshot, by: str | None) -> None:
        """Load the changes that another server has stored.

        Args:
            before: Users and policies that the change was decided on.
            by: The user that requests the change.

        Raises:
            RevisionConflict: The author's user has changed. The guard admitted the request by rights that may be gone,
                so the change must not be decided again without the guard.
            MetadataStoreFailed: The store cannot be read.
        """
        self._load()
        if by is not None and not _is_unchanged(by, before, self._snapshot):
            raise RevisionConflict(f"User:{by} has been changed by another server meanwhile: send the request again")

    def reload(self) -> None:
        """Read everything from the store again, whatever its revision is.

        Raises:
            MetadataStoreFailed: The store cannot be read.
        """
        self._load()

    def replace(self, snapshot: Snapshot, revision: int) -> None:
        """Use users and policies that another thread has read from the same store."""
        self._snapshot, self._revision = snapshot.renumbered(self._snapshot.version + 1), revision

    def fork(self, store: MetadataStore) -> Self:
        """Return a manager of the same users and policies for another thread; it does not follow the store."""
        other = copy.copy(self)
        other._use(store)  # noqa: SLF001 - the same class
        return other

    def _load(self) -> None:
        metadata = self._store.load()
        self._snapshot = Snapshot.of(metadata, self._snapshot.version + 1)
        self._revision = metadata.revision

    def _follow(self, update: MetadataUpdate) -> None:
        """Apply the changes that another server has stored.

        Raises:
            MetadataStoreFailed: The changes must be loaded, and the store cannot be read.
        """
        if update.revision <= self._revision:
            return
        if update.changes is None or update.previous != self._revision:
            self._load()
            return
        self._snapshot, self._revision = self._snapshot.after(update.changes), update.revision


_CHANGED_MEANWHILE: Final = "users or policies have been changed by another server meanwhile"


def _check(changes: Sequence[Change], before: Snapshot, after: Snapshot, by: str | None, *, force: bool) -> None:
    """Reject changes that must not be made.

    Raises:
        MetadataRejected: A policy has no user, `by` may not make a change, or the last enabled Super user would be
            gone.
    """
    for change in changes:
        if isinstance(change, PutAcl) and after.user(change.acl.subject.name) is None:
            raise MetadataRejected(f"The subject of {change.acl.subject.key} is not exist.")
    if by is not None:
        check_delegation(by, before, after, map(changed_name, changes))
    if not force and after.live_supers == 0 and before.live_supers > 0:
        raise MetadataRejected(
            "the last enabled Super user cannot be deleted, disabled or made Normal: create another one first"
        )


def _is_unchanged(name: str, before: Snapshot, after: Snapshot) -> bool:
    """True if the user is the same one, with the same secrets, state and policies."""
    old, new = before.user(name), after.user(name)
    if old is None or new is None:
        return False
    return old == new and old.incarnation == new.incarnation and before.acl(name) == after.acl(name)


def _acl_of(snapshot: Snapshot, subject: Subject) -> Acl | None:
    """Return the policies of a subject, or None if it has none.

    Raises:
        MetadataRejected: No such user exists.
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
