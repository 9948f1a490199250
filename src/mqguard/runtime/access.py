"""Users and policies at a start: from the configuration and from ACL 1.0, and always with an administrator."""

import dataclasses
import logging
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from mqguard.admin.broker_states import state_of, unavailable_errors
from mqguard.admin.migration import read_home
from mqguard.auth.analysis.access_state import AccessState
from mqguard.auth.errors import PolicyInvalid
from mqguard.auth.manager import MakeRecord, MetadataManager
from mqguard.auth.migration.acl_v1 import AclV1File
from mqguard.auth.migration.conversion import NoteKind
from mqguard.auth.migration.migration import migrate
from mqguard.auth.ports import Change, ChangeRecord, PutUser
from mqguard.auth.snapshot import Snapshot
from mqguard.auth.user import InitialUser
from mqguard.config import access_options
from mqguard.config.loader import Configuration
from mqguard.config.secret import Credentials, make_secret
from mqguard.dispatch.access_bodies import changes_details
from mqguard.guard.audit import DONE, AdminChange, bounded, new_change_id
from mqguard.model.process import Clock
from mqguard.model.text import visible
from mqguard.runtime.data_directory import read_migrated, write_migrated
from mqguard.runtime.errors import StartFailed
from mqguard.runtime.first_start import ADMIN, save_credentials
from mqguard.runtime.process import SystemClock
from mqguard.runtime.sealing_key import OFFLINE, open_store, sealing_key_of
from mqguard.runtime.settings import SEALING_KEY_FILE, SEALING_KEY_VARIABLE, rocketmq_home

_LOG = logging.getLogger(__name__)

OnAdminCreated = Callable[[Credentials, Path], None]
"""Receiver of the super user that a first start creates, and of the file with its secret."""


def prepare_users(
    manager: MetadataManager, config: Configuration, data: Path, first_start: OnAdminCreated, clock: Clock
) -> None:
    """Create the configured users, those of ACL 1.0 if configured, and an administrator if there is none.

    Existing users are never changed, so this may run at every start.

    Args:
        manager: The users and policies.
        config: The configuration.
        data: The data directory, for the secret of a new administrator.
        first_start: Called with a new administrator.
        clock: Clock of the records.

    Raises:
        ConfigInvalid: The files of ACL 1.0 cannot be found.
        StartFailed: There is no administrator and its name is taken, or its file cannot be written.
    """
    is_fresh = next(manager.snapshot.users(), None) is None
    for option in (access_options.INIT_AUTHENTICATION_USER, access_options.INNER_CLIENT_CREDENTIALS):
        found = config.get(option)
        if found is not None:
            with manager.recorded(recorder(manager, clock, "initial-user", option.name)):
                manager.ensure_super(InitialUser(found.name, found.secret.reveal()))
            _warn_of_other_secret(manager, option.name, found)
    _warn_of_inner_user(manager, config)
    if config.get(access_options.MIGRATE_V1):
        with manager.recorded(recorder(manager, clock, "migrate", access_options.MIGRATE_V1.name)):
            _migrate(manager, config, data, frozenset() if is_fresh else read_migrated(data))
    if config.get(access_options.AUTHENTICATION_ENABLED) and not manager.snapshot.live_supers:
        with manager.recorded(recorder(manager, clock, "initial-user", "first start")):
            _make_administrator(manager, data, first_start)


def _warn_of_other_secret(manager: MetadataManager, option: str, configured: Credentials) -> None:
    """Warn that an existing user keeps its secret, if the configuration has another one."""
    user = manager.snapshot.user(configured.name)
    if user is None or any(live.secret.equals(configured.secret) for live in user.secrets):
        return
    _LOG.warning(
        "`%s` has another secret for the user `%s`, which exists and keeps its own secret: change that with `mqguard "
        "user rotate`, or write it here",
        option,
        visible(configured.name),
    )


def _warn_of_inner_user(manager: MetadataManager, config: Configuration) -> None:
    """Warn that brokers cannot register, if the user that they sign with exists and is not a Super user."""
    inner = config.get(access_options.INNER_CLIENT_CREDENTIALS)
    if inner is None:
        return
    user = manager.snapshot.user(inner.name)
    if user is not None and not (user.is_super and user.is_enabled):
        _LOG.warning(
            "`%s` names the user `%s`, which is not an enabled Super user: requests of brokers are refused until it is",
            access_options.INNER_CLIENT_CREDENTIALS.name,
            visible(inner.name),
        )


def recorder(manager: MetadataManager, clock: Clock, operation: str, why: str) -> MakeRecord:
    """Return a function that creates the records of changes without a request.

    Args:
        manager: Users and policies before the changes.
        clock: Clock of the records.
        operation: The operation, such as `initial-user`.
        why: Cause of the changes, such as the name of an option.
    """

    def make(changes: Sequence[Change]) -> ChangeRecord:
        now = clock.now_ms()
        names = {change.user.name for change in changes if isinstance(change, PutUser)}
        record = bounded(
            AdminChange(
                when_ms=now,
                user="",
                source="",
                operation=operation,
                subject=f"User:{names.pop()}" if len(names) == 1 else "several",
                details={"by": why, **changes_details(changes, manager.snapshot)},
                outcome=DONE,
                id=new_change_id(now),
            )
        )
        return ChangeRecord(record.id, record.encode())

    return make


def _migrate(manager: MetadataManager, config: Configuration, data: Path, migrated: frozenset[str]) -> None:
    home = rocketmq_home(config)
    files = read_home(home)
    # Users that were deleted since then. They would return with their old secrets and rights.
    deleted = {name for name in migrated if manager.snapshot.user(name) is None}
    done = migrate([_without(file, deleted) for file in files], manager)
    names = {account.access_key for file in files for account in file.accounts if account.access_key is not None}
    if not names <= migrated:
        write_migrated(data, migrated | names)
    _LOG.info("ACL 1.0: %d accounts of %s were migrated", len(done.converted), home)
    if deleted & names:
        _LOG.info(
            "ACL 1.0: %d accounts of %s were migrated by an earlier start and then deleted; they stay deleted: "
            "`mqguard migrate --apply` creates them again",
            len(deleted & names),
            home,
        )
    existing = sum(note.kind is NoteKind.EXISTING_USER for note in done.notes)
    if existing:
        # This is the case at every start but the first.
        _LOG.info("ACL 1.0: %d accounts of %s exist as users and are not changed", existing, home)
    for note in done.notes:
        if note.kind is NoteKind.EXISTING_USER:
            continue
        _LOG.warning("ACL 1.0: %s:%s: %s: %s", note.file, note.mark, note.kind.value, visible(note.message))
    for found in done.differences:
        account, resource = visible(found.account or "every user"), visible(found.resource)
        why = f"{found.versions}: {found.why}" if found.versions else found.why
        _LOG.warning(
            "ACL 1.0: %s:%s: decisions differ for `%s` on %s (%s)", found.file, found.mark, account, resource, why
        )


def _without(file: AclV1File, names: set[str]) -> AclV1File:
    return dataclasses.replace(file, accounts=tuple(one for one in file.accounts if one.access_key not in names))


def _make_administrator(manager: MetadataManager, data: Path, first_start: OnAdminCreated) -> None:
    if manager.snapshot.user(ADMIN) is not None:
        raise StartFailed(
            f"no Super user is enabled, and `{ADMIN}` exists: name another user in `initAuthenticationUser`"
        )
    made = Credentials(ADMIN, make_secret())
    # The file is written first: after a crash in between, the next start replaces the file, and no secret is lost.
    path = save_credentials(data, made)
    if not manager.ensure_super(InitialUser(made.name, made.secret.reveal())):
        raise StartFailed(
            f"another server has just created `{made.name}` in the same store: remove `{path}`, whose secret is not "
            "valid, and start again"
        )
    first_start(made, path)


@contextmanager
def open_manager(data: Path) -> Iterator[MetadataManager]:
    """Open the users and policies of a stopped server.

    Each change is stored with its record, which the server writes to the audit log at its next start.

    Raises:
        PolicyInvalid: The path is not a data directory, or its key is missing.
        SourceUnavailable: A server is using the data directory, or it cannot be read.
    """
    key = sealing_key_of(data)
    if key is None:
        # A new key could not open the stored secrets, and would hide that the right one is missing.
        raise PolicyInvalid(
            f"`{data}` has no `{SEALING_KEY_FILE}`: give its sealing key in {SEALING_KEY_VARIABLE}; if it is lost, see "
            "`mqguard sealing-key reset`"
        )
    with open_store(data, key) as store:
        with unavailable_errors():
            manager = MetadataManager(store, new_incarnation)
        with manager.recorded(recorder(manager, SystemClock(), "change-offline", OFFLINE)):
            yield manager


def read_stored(data: Path) -> tuple[AccessState, str]:
    """Return the users and policies of a stopped server.

    Returns:
        Users and policies, and the reason why the users have no secrets; empty if they have them.

    Raises:
        PolicyInvalid: The path is not a data directory.
        SourceUnavailable: A server is using the data directory, or it cannot be read.
    """
    key, why = sealing_key_of(data), ""
    with open_store(data, None) as store, unavailable_errors():
        if key is None:
            why = f"`{data}` has no `{SEALING_KEY_FILE}`"
        elif key.id != store.sealed_with:
            why = f"the secrets in `{data}` are sealed with the key `{store.sealed_with}`, not with `{key.id}`"
        else:
            store.unseal(key)
        metadata = store.load()
    return state_of(Snapshot.of(metadata)), why


def new_incarnation() -> str:
    """Return a random text that no user has had: 64 bits, short enough to type."""
    return secrets.token_hex(8)
