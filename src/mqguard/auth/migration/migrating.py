"""A whole migration: files in; users, policies and a report out. Nothing that exists is ever changed."""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence

from mqguard.auth.analysis.directory import Directory
from mqguard.auth.analysis.grid import REQUEST_ACTIONS
from mqguard.auth.incarnation import MeantUsers
from mqguard.auth.manager import MetadataManager
from mqguard.auth.migration.conversion import AccountUnfit, Converted, convert
from mqguard.auth.migration.differential import differences, differences_of
from mqguard.auth.migration.evaluation import PlainRights, items_of
from mqguard.auth.migration.plain import PlainAccount, PlainFile
from mqguard.auth.migration.report import Difference, Note, Topic
from mqguard.auth.ports import Change, PutAcl, PutUser
from mqguard.auth.snapshot import Snapshot

NOBODY = Directory({}, {})


@dataclasses.dataclass(frozen=True, slots=True)
class Migration:
    """What a migration does and has to say.

    Attributes:
        converted: The accounts that are carried over.
        changes: The same for `MetadataManager.apply`; empty when there is nothing to carry over.
        notes: What a person should know, in the order of the files.
        differences: Where 1.0 and mqguard decide differently; never a right more than before.
        standing: Where users that exist and their accounts differ; what these may do beyond 1.0 they may already.
    """

    converted: tuple[Converted, ...]
    changes: tuple[Change, ...]
    notes: tuple[Note, ...]
    differences: tuple[Difference, ...]
    standing: tuple[Difference, ...] = ()


def plan_migration(files: Sequence[PlainFile], existing: Directory = NOBODY) -> Migration:
    """Work out what the files come to, without changing anything.

    Args:
        files: In the order in which they count: of several accounts of one name, the first is taken.
        existing: Users and policies that exist; accounts of their names are left out.
    """
    return _Planner(files, existing).migration()


def migrate(files: Iterable[PlainFile], manager: MetadataManager) -> Migration:
    """Carry accounts over into the stored users and policies: all of them at once, or nothing when something fails.

    Running it again does nothing, since the users exist then. This is what `migrateAuthFromV1Enabled` runs at start.

    Args:
        files: In the order in which they count.
        manager: Holds what is stored.

    Raises:
        MetadataStoreFailed: The store failed; nothing has changed.
    """
    found: list[PlainFile] = list(files)
    done: list[Migration] = []

    def decide(before: Snapshot) -> Sequence[Change]:
        done.append(plan_migration(found, Directory.of(before.users(), before.acls())))
        return done[-1].changes

    manager.apply(decide, meant=MeantUsers())
    return done[-1]


class _Planner:
    def __init__(self, files: Sequence[PlainFile], existing: Directory) -> None:
        self._files = files
        self._existing = existing
        self._taken = frozenset(existing.names)
        self._doubtful: dict[str, list[PlainAccount]] = {name: [] for name in _doubtful(files)}
        for account in (account for file in files for account in file.accounts):
            if account.access_key in self._doubtful:
                self._doubtful[account.access_key].append(account)
        self._first: dict[str, PlainAccount] = {}
        self._converted: list[Converted] = []
        self._notes: list[Note] = []
        self._found: list[Difference] = []
        self._standing: list[Difference] = []

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
            tuple(self._standing),
        )

    def _take(self, account: PlainAccount) -> None:
        name = account.access_key
        if name is not None:
            first = self._first.setdefault(name, account)
            if name in self._taken and first is account:
                self._note(account, Topic.EXISTING_USER, f"`{name}` exists and stays as it is")
                if not _is_refused(account):
                    self._standing += differences_of(account, self._existing.rights(name), exists=True)
                return
            if name in self._doubtful and name not in self._taken:
                self._note(account, Topic.SKIPPED_ACCOUNT, self._why_doubtful(name))
                self._found += differences_of(account, None)
                return
            if first is not account:
                where = f"`{first.file}` line {first.mark.line}"
                self._note(
                    account, Topic.REPEATED_ACCOUNT, f"the account `{name}` is repeated: {where} comes first and counts"
                )
                return
        self._convert(account)

    def _convert(self, account: PlainAccount) -> None:
        try:
            done = convert(account)
        except AccountUnfit as error:
            self._notes += error.notes
            # Nobody had the rights of an account that 1.0 refuses.
            self._found += () if error.refused else differences_of(account, None)
            return
        self._converted.append(done)
        self._notes += done.notes
        self._found += differences(done)

    def _why_doubtful(self, name: str) -> str:
        places = [f"`{one.file}` line {one.mark.line}" for one in self._doubtful[name]]
        return (
            f"the account `{name}` is written differently in {' and in '.join(places)}, and 1.0 takes the one whose "
            "file the directory lists first, which nobody can know here: it is left out; leave one of them"
        )

    def _note(self, account: PlainAccount, topic: Topic, message: str) -> None:
        self._notes.append(Note(topic, account.file, account.mark, account.access_key or "", message))


def _is_refused(account: PlainAccount) -> bool:
    """Whether 1.0 refuses a file with such an account, so that it could do nothing."""
    try:
        convert(account)
    except AccountUnfit as error:
        return error.refused
    return False


def _doubtful(files: Iterable[PlainFile]) -> Iterator[str]:
    """Names of accounts that files without an order say different things about, so that either may count."""
    said: dict[str, object] = {}
    for file in files:
        own: dict[str, object] = {}
        for account in file.accounts if file.unordered else ():
            if account.access_key is not None:
                own.setdefault(account.access_key, _meaning(account))
        for name, meaning in own.items():
            if said.setdefault(name, meaning) != meaning:
                yield name


def _meaning(account: PlainAccount) -> object:
    """What must be the same for two accounts to be one."""
    items = items_of(account)
    unreadable = frozenset(item.source.text for item in items if item.key is None)
    return account.secret, PlainRights.of(account), unreadable


def _white_list_notes(file: PlainFile) -> Iterable[Note]:
    for address in file.white_addresses:
        message = (
            f"1.0 lets everybody do everything from `{address.text}`, without an account; this ends: every client "
            "needs an account, a signature and rights"
        )
        yield Note(Topic.WHITE_LIST, file.name, address.mark, "", message)


def _white_list_differences(file: PlainFile) -> Iterable[Difference]:
    for address in file.white_addresses:
        told = f"everything, from `{address.text}` without an account"
        why = "1.0 asked nothing of requests from there"
        yield Difference(
            "", told, REQUEST_ACTIONS, before=True, after=False, why=why, file=file.name, mark=address.mark
        )


def _changes(converted: Iterable[Converted]) -> Iterable[Change]:
    for done in converted:
        yield PutUser(done.user)
        if done.acl is not None:
            yield PutAcl(done.acl)
