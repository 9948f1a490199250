"""A whole migration: files in; users, policies and a report out. Nothing that exists is ever changed."""

import dataclasses
from collections.abc import Container, Iterable, Sequence

from mqguard.auth.analysis.grid import REQUEST_ACTIONS
from mqguard.auth.manager import MetadataManager
from mqguard.auth.migration.conversion import AccountUnfit, Converted, convert
from mqguard.auth.migration.differential import differences
from mqguard.auth.migration.plain import PlainAccount, PlainFile, read_plain
from mqguard.auth.migration.report import Difference, Note, Topic
from mqguard.auth.ports import Change, PutAcl, PutUser
from mqguard.auth.snapshot import Snapshot


@dataclasses.dataclass(frozen=True, slots=True)
class Migration:
    """What a migration does and has to say.

    Attributes:
        converted: The accounts that are carried over.
        changes: The same for `MetadataManager.apply`; empty when there is nothing to carry over.
        notes: What a person should know, in the order of the files.
        differences: Where 1.0 and mqguard decide differently; never a right more than before.
    """

    converted: tuple[Converted, ...]
    changes: tuple[Change, ...]
    notes: tuple[Note, ...]
    differences: tuple[Difference, ...]


def plan_migration(files: Sequence[PlainFile], taken: Container[str]) -> Migration:
    """Work out what the files come to, without changing anything.

    Args:
        files: In the order in which they count: of several accounts of one name, the first is taken.
        taken: Names of users and subjects that exist; their accounts are left out.
    """
    converted: list[Converted] = []
    notes: list[Note] = []
    found: list[Difference] = []
    first: dict[str, PlainAccount] = {}
    for file in files:
        notes += _white_list_notes(file)
        found += _white_list_differences(file)
        for account in file.accounts:
            note = _reason_to_skip(account, first, taken)
            if note is not None:
                notes.append(note)
                continue
            try:
                done = convert(account)
            except AccountUnfit as error:
                notes.append(error.note)
                continue
            converted.append(done)
            notes += done.notes
            found += differences(done)
    return Migration(tuple(converted), tuple(_changes(converted)), tuple(notes), tuple(found))


def migrate(texts: Iterable[tuple[str, str]], manager: MetadataManager) -> Migration:
    """Carry accounts over into the stored users and policies: all of them at once, or nothing when something fails.

    Running it again does nothing, since the users exist then. This is what `migrateAuthFromV1Enabled` runs at start.

    Args:
        texts: Name and content of each file, in the order in which they count.
        manager: Holds what is stored.

    Raises:
        PlainFileInvalid: A file cannot be read; nothing has changed.
        MetadataStoreFailed: The store failed; nothing has changed.
    """
    files = [read_plain(name, text) for name, text in texts]
    migration = plan_migration(files, taken_names(manager.snapshot))
    if migration.changes:
        manager.apply(migration.changes)
    return migration


def taken_names(snapshot: Snapshot) -> frozenset[str]:
    """The names of all users and subjects that exist, which no migration touches."""
    return frozenset(user.name for user in snapshot.users()) | {acl.subject.name for acl in snapshot.acls()}


def _reason_to_skip(account: PlainAccount, first: dict[str, PlainAccount], taken: Container[str]) -> Note | None:
    name = account.access_key
    if name is None:
        return None
    if name in first:
        other = first[name]
        message = f"the account `{name}` is repeated: `{other.file}` line {other.mark.line} comes first and counts"
        return Note(Topic.REPEATED_ACCOUNT, account.file, account.mark, name, message)
    first[name] = account
    if name in taken:
        message = f"`{name}` exists and stays as it is"
        return Note(Topic.EXISTING_USER, account.file, account.mark, name, message)
    return None


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
