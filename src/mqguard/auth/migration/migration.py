"""A whole migration: files in; users, policies and a report out. It never changes existing users or policies."""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence

from mqguard.auth.analysis.access_state import AccessState
from mqguard.auth.analysis.evaluation import REQUEST_ACTIONS
from mqguard.auth.incarnation import MeantUsers
from mqguard.auth.manager import MetadataManager
from mqguard.auth.migration.acl_v1 import AclV1Account, AclV1File, AclV1Permissions, items_of
from mqguard.auth.migration.conversion import AccountUnfit, Converted, Note, NoteKind, convert
from mqguard.auth.migration.differential import Difference, differences, differences_of
from mqguard.auth.ports import Change, PutAcl, PutUser
from mqguard.auth.snapshot import Snapshot

NOBODY = AccessState({}, {})


@dataclasses.dataclass(frozen=True, slots=True)
class Migration:
    """The changes and the report of a migration.

    Attributes:
        converted: The migrated accounts.
        changes: The same for `MetadataManager.apply`; empty if there is nothing to migrate.
        notes: Messages for the operator, in the order of the files.
        differences: Different decisions of 1.0 and mqguard; never a right more than before.
        existing: Differences between existing users and their accounts; rights beyond 1.0 existed before.
    """

    converted: tuple[Converted, ...]
    changes: tuple[Change, ...]
    notes: tuple[Note, ...]
    differences: tuple[Difference, ...]
    existing: tuple[Difference, ...] = ()


def plan_migration(files: Sequence[AclV1File], existing: AccessState = NOBODY) -> Migration:
    """Plan the migration of the files, without changing anything.

    Args:
        files: In order: of several accounts of one name, the first is used.
        existing: Existing users and policies; accounts of their names are left out.
    """
    return _MigrationPlanner(files, existing).migration()


def migrate(files: Iterable[AclV1File], manager: MetadataManager) -> Migration:
    """Add the accounts to the stored users and policies: all of them at once, or none on an error.

    A repeated run changes nothing, since the users exist then. `migrateAuthFromV1Enabled` runs this at start.

    Args:
        files: In order.
        manager: The manager of the stored users and policies.

    Raises:
        MetadataStoreFailed: The store failed; nothing has changed.
    """
    found: list[AclV1File] = list(files)
    done: list[Migration] = []

    def decide(before: Snapshot) -> Sequence[Change]:
        done.append(plan_migration(found, AccessState.of(before.users(), before.acls())))
        return done[-1].changes

    manager.apply(decide, meant=MeantUsers())
    return done[-1]


class _MigrationPlanner:
    def __init__(self, files: Sequence[AclV1File], existing: AccessState) -> None:
        self._files = files
        self._existing_state = existing
        self._taken = frozenset(existing.names)
        self._doubtful: dict[str, list[AclV1Account]] = {name: [] for name in _doubtful(files)}
        for account in (account for file in files for account in file.accounts):
            if account.access_key in self._doubtful:
                self._doubtful[account.access_key].append(account)
        self._first: dict[str, AclV1Account] = {}
        self._converted: list[Converted] = []
        self._notes: list[Note] = []
        self._found: list[Difference] = []
        self._existing_differences: list[Difference] = []

    def migration(self) -> Migration:
        for file in self._files:
            self._notes += _white_list_notes(file)
            self._found += _white_list_differences(file)
            for account in file.accounts:
                self._take(account)
        return Migration(
            tuple(self._converted),
            tuple(_changes(self._converted)),
            tuple(self._notes),
            tuple(self._found),
            tuple(self._existing_differences),
        )

    def _take(self, account: AclV1Account) -> None:
        name = account.access_key
        if name is not None:
            first = self._first.setdefault(name, account)
            if name in self._taken and first is account:
                self._note(account, NoteKind.EXISTING_USER, f"`{name}` exists and stays unchanged")
                if not _is_refused(account):
                    self._existing_differences += differences_of(
                        account, self._existing_state.rights(name), exists=True
                    )
                return
            if name in self._doubtful and name not in self._taken:
                self._note(account, NoteKind.SKIPPED_ACCOUNT, self._why_doubtful(name))
                self._found += differences_of(account, None)
                return
            if first is not account:
                where = f"`{first.file}` line {first.mark.line}"
                self._note(
                    account,
                    NoteKind.REPEATED_ACCOUNT,
                    f"the account `{name}` is repeated: only the first, {where}, is used",
                )
                return
        self._convert(account)

    def _convert(self, account: AclV1Account) -> None:
        try:
            done = convert(account)
        except AccountUnfit as error:
            self._notes += error.notes
            # An account that 1.0 rejects had no rights.
            self._found += () if error.refused else differences_of(account, None)
            return
        self._converted.append(done)
        self._notes += done.notes
        self._found += differences(done)

    def _why_doubtful(self, name: str) -> str:
        places = [f"`{one.file}` line {one.mark.line}" for one in self._doubtful[name]]
        return (
            f"the account `{name}` differs in {' and in '.join(places)}, and 1.0 uses the one whose "
            "file the directory lists first, which is unknown here: the account is left out; keep one of them"
        )

    def _note(self, account: AclV1Account, topic: NoteKind, message: str) -> None:
        self._notes.append(Note(topic, account.file, account.mark, account.access_key or "", message))


def _is_refused(account: AclV1Account) -> bool:
    """True if 1.0 rejects a file with such an account, so that the account had no rights."""
    try:
        convert(account)
    except AccountUnfit as error:
        return error.refused
    return False


def _doubtful(files: Iterable[AclV1File]) -> Iterator[str]:
    """Yield names of accounts with different content in files without an order, so that either may be used."""
    said: dict[str, object] = {}
    for file in files:
        own: dict[str, object] = {}
        for account in file.accounts if file.unordered else ():
            if account.access_key is not None:
                own.setdefault(account.access_key, _meaning(account))
        for name, meaning in own.items():
            if said.setdefault(name, meaning) != meaning:
                yield name


def _meaning(account: AclV1Account) -> object:
    """Return the content that must be equal for two accounts to be the same."""
    items = items_of(account)
    unreadable = frozenset(item.source.text for item in items if item.key is None)
    return account.secret, AclV1Permissions.of(account), unreadable


def _white_list_notes(file: AclV1File) -> Iterable[Note]:
    for address in file.white_addresses:
        message = (
            f"1.0 allows everything to all clients from `{address.text}`, without an account; mqguard does not: every "
            "client needs an account, a signature and rights"
        )
        yield Note(NoteKind.WHITE_LIST, file.name, address.mark, "", message)


def _white_list_differences(file: AclV1File) -> Iterable[Difference]:
    for address in file.white_addresses:
        told = f"everything, from `{address.text}` without an account"
        why = "1.0 required no credentials from there"
        yield Difference(
            "", told, REQUEST_ACTIONS, before=True, after=False, why=why, file=file.name, mark=address.mark
        )


def _changes(converted: Iterable[Converted]) -> Iterable[Change]:
    for done in converted:
        yield PutUser(done.user)
        if done.acl is not None:
            yield PutAcl(done.acl)
