"""A whole migration: files in; users, policies and a report out. It never changes existing users or policies."""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence

from mqguard.auth.analysis.access_state import AccessState
from mqguard.auth.analysis.evaluation import REQUEST_ACTIONS
from mqguard.auth.documents.nodes import Mark
from mqguard.auth.incarnation import MeantUsers
from mqguard.auth.manager import MetadataManager
from mqguard.auth.migration.acl_v1 import AclV1Account, AclV1File, AclV1Permissions, LocatedText, items_of
from mqguard.auth.migration.conversion import (
    DEFAULT_OPTIONS,
    AccountUnfit,
    Converted,
    MigrationOptions,
    Note,
    NoteKind,
    convert,
    quoted_white_list,
)
from mqguard.auth.migration.differential import Difference, differences, differences_of
from mqguard.auth.migration.white_list import WhiteList, WhiteListInvalid, parse_white_list
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


def plan_migration(
    files: Sequence[AclV1File], existing: AccessState = NOBODY, options: MigrationOptions = DEFAULT_OPTIONS
) -> Migration:
    """Plan the migration of the files, without changing anything.

    Args:
        files: In order: of several accounts of one name, the first is used.
        existing: Existing users and policies; accounts of their names are left out.
        options: The choices of the operator.
    """
    return _MigrationPlanner(files, existing, options).migration()


def migrate(
    files: Iterable[AclV1File], manager: MetadataManager, options: MigrationOptions = DEFAULT_OPTIONS
) -> Migration:
    """Add the accounts to the stored users and policies: all of them at once, or none on an error.

    A repeated run changes nothing, since the users exist then. `migrateAuthFromV1Enabled` runs this at start.

    Args:
        files: In order.
        manager: The manager of the stored users and policies.
        options: The choices of the operator.

    Raises:
        MetadataStoreFailed: The store failed; nothing has changed.
    """
    found: list[AclV1File] = list(files)
    done: list[Migration] = []

    def decide(before: Snapshot) -> Sequence[Change]:
        done.append(plan_migration(found, AccessState.of(before.users(), before.acls()), options))
        return done[-1].changes

    manager.apply(decide, meant=MeantUsers())
    return done[-1]


class _MigrationPlanner:
    def __init__(self, files: Sequence[AclV1File], existing: AccessState, options: MigrationOptions) -> None:
        self._options = options
        self._notes: list[Note] = []
        files = [file for file in files if self._is_read(file)]
        self._files = files
        self._existing_state = existing
        self._taken = frozenset(existing.names)
        self._doubtful: dict[str, list[AclV1Account]] = {name: [] for name in _doubtful(files, options)}
        for account in (account for file in files for account in file.accounts):
            if account.access_key in self._doubtful:
                self._doubtful[account.access_key].append(account)
        self._first: dict[str, AclV1Account] = {}
        self._converted: list[Converted] = []
        self._found: list[Difference] = []
        self._existing_differences: list[Difference] = []

    def migration(self) -> Migration:
        for file in self._files:
            for address in file.white_addresses:
                self._take_white_address(file, address)
            for account in file.accounts:
                self._take(account)
        return Migration(
            tuple(self._converted),
            tuple(_changes(self._converted)),
            tuple(self._notes),
            tuple(self._found),
            tuple(self._existing_differences),
        )

    def _is_read(self, file: AclV1File) -> bool:
        version = self._options.version
        if not file.unordered or version is None or version.reads_directory:
            return True
        message = f"{version} does not read this file, only `conf/plain_acl.yml`: nothing in it is migrated"
        self._notes.append(Note(NoteKind.UNREAD_FILE, file.name, Mark(1, 1), "", message))
        return False

    def _take_white_address(self, file: AclV1File, address: LocatedText) -> None:
        message, white = _global_white_list(address)
        self._notes.append(Note(NoteKind.WHITE_LIST, file.name, address.mark, "", message))
        if white is not None and not white.is_empty:
            told = f"everything, from `{address.text}` without an account"
            why = "1.0 required no credentials from there"
            self._found.append(
                Difference(
                    "", told, REQUEST_ACTIONS, before=True, after=False, why=why, file=file.name, mark=address.mark
                )
            )

    def _take(self, account: AclV1Account) -> None:
        name = account.access_key
        if name is not None:
            first = self._first.setdefault(name, account)
            if name in self._taken and first is account:
                self._note(account, NoteKind.EXISTING_USER, f"`{name}` exists and stays unchanged")
                if not self._is_refused(account):
                    self._existing_differences += differences_of(
                        account, self._existing_state.rights(name), self._options, exists=True
                    )
                return
            if name in self._doubtful and name not in self._taken:
                self._note(account, NoteKind.SKIPPED_ACCOUNT, self._why_doubtful(name))
                self._found += differences_of(account, None, self._options)
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
            done = convert(account, self._options)
        except AccountUnfit as error:
            self._notes += error.notes
            # An account that 1.0 rejects had no rights.
            self._found += () if error.refused else differences_of(account, None, self._options)
            return
        self._converted.append(done)
        self._notes += done.notes
        self._found += differences(done, self._options)

    def _why_doubtful(self, name: str) -> str:
        accounts = self._doubtful[name]
        places = [f"`{one.file}` line {one.mark.line}" for one in accounts]
        if len({one.file for one in accounts}) < len(accounts):
            return (
                f"the account `{name}` differs in {' and in '.join(places)}, and 1.0 uses the first or the last of "
                "them, depending on its version and on changes of the file since its start: the account is left out; "
                "keep one of them"
            )
        return (
            f"the account `{name}` differs in {' and in '.join(places)}, and 1.0 uses the one whose "
            "file the directory lists first, which is unknown here: the account is left out; keep one of them"
        )

    def _is_refused(self, account: AclV1Account) -> bool:
        """True if 1.0 rejects a file with such an account, so that the account had no rights."""
        try:
            convert(account, self._options)
        except AccountUnfit as error:
            return error.refused
        return False

    def _note(self, account: AclV1Account, topic: NoteKind, message: str) -> None:
        self._notes.append(Note(topic, account.file, account.mark, account.access_key or "", message))


def _doubtful(files: Iterable[AclV1File], options: MigrationOptions) -> Iterator[str]:
    """Yield names of accounts with different content in one file, or in files without an order."""
    said: dict[str, object] = {}
    for file in files:
        own: dict[str, object] = {}
        for account in file.accounts:
            name = account.access_key
            if name is not None and own.setdefault(name, _meaning(account, options)) != _meaning(account, options):
                yield name
        for name, meaning in own.items() if file.unordered else ():
            if said.setdefault(name, meaning) != meaning:
                yield name


def _meaning(account: AclV1Account, options: MigrationOptions) -> object:
    """Return the content that must be equal for two accounts to be the same."""
    items = items_of(account)
    unreadable = frozenset(item.source.text for item in items if item.key is None)
    white = account.white_address.text if account.white_address and options.white_lists_as_sources else None
    return account.secret, AclV1Permissions.of(account, options.version), unreadable, white


def _global_white_list(address: LocatedText) -> tuple[str, WhiteList | None]:
    """Return a message for the operator, and the white list unless 1.0 refuses it."""
    try:
        white = parse_white_list(address.text)
    except WhiteListInvalid as error:
        return f"the white list `{address.text}` is not valid in 1.0, so it allowed nothing: {error}", None
    if white.is_empty:
        return f"the white list `{address.text}` matches no address in 1.0", white
    place = quoted_white_list(address.text, white)
    return (
        f"1.0 allows everything to all clients from {place}, without an account; mqguard does not: every "
        "client needs an account, a signature and rights"
    ), white


def _changes(converted: Iterable[Converted]) -> Iterable[Change]:
    for done in converted:
        yield PutUser(done.user)
        if done.acl is not None:
            yield PutAcl(done.acl)
