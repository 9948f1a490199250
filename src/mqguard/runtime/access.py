"""Users and policies at the start: from configuration and from ACL 1.0, and never without an administrator."""

import dataclasses
import logging
import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from mqguard.admin.broker_states import unavailable_errors
from mqguard.auth.errors import PolicyInvalid
from mqguard.auth.manager import MakeRecord, MetadataManager
from mqguard.auth.migration.acl_v1 import AclV1File, parse_acl_v1
from mqguard.auth.migration.conversion import NoteKind
from mqguard.auth.migration.migration import migrate
from mqguard.auth.ports import Change, ChangeRecord, PutUser
from mqguard.auth.user import InitialUser
from mqguard.broker.access_bodies import changes_details
from mqguard.config import access_options
from mqguard.config.acl_v1_files import read_acl_v1
from mqguard.config.loader import Configuration
from mqguard.config.secret import Credentials, make_secret
from mqguard.guard.audit import DONE, AdminChange, bounded, new_change_id
from mqguard.model.process import Clock
from mqguard.model.text import visible
from mqguard.runtime.data_directory import read_migrated, write_migrated
from mqguard.runtime.errors import StartFailed
from mqguard.runtime.first_start import ADMIN, save_credentials
from mqguard.runtime.process import SystemClock
from mqguard.store.metadata.rocksdb import RocksMetadataStore
from mqguard.store.sealing_key import load_sealing_key

_LOG = logging.getLogger(__name__)

OnAdminCreated = Callable[[Credentials, Path], None]
"""Told of the super user that a first start makes, and of the file that keeps its secret."""


def prepare_users(
    manager: MetadataManager, config: Configuration, data: Path, first_start: OnAdminCreated, clock: Clock
) -> None:
    """Make the users that are configured, those of ACL 1.0 if asked for, and an administrator where there is none.

    Users that exist are never changed, so all of it may run at every start.

    Args:
        manager: Holds users and policies.
        config: What is configured.
        data: Where the secret of a new administrator is kept.
        first_start: Told of a new administrator.
        clock: Tells the time of the records.

    Raises:
        ConfigInvalid: The files of ACL 1.0 cannot be found.
        StartFailed: Nobody could administer, and the administrator's name is taken; or its file cannot be written.
    """
    is_fresh = next(manager.snapshot.users(), None) is None
    for option in (access_options.INIT_AUTHENTICATION_USER, access_options.INNER_CLIENT_CREDENTIALS):
        found = config.get(option)
        if found is not None:
            with manager.recorded(recorder(manager, clock, "initial-user", option.name)):
                manager.ensure_super(InitialUser(found.name, found.secret.reveal()))
    _warn_of_inner_user(manager, config)
    if config.get(access_options.MIGRATE_V1):
        with manager.recorded(recorder(manager, clock, "migrate", access_options.MIGRATE_V1.name)):
            _migrate(manager, config, data, frozenset() if is_fresh else read_migrated(data))
    if config.get(access_options.AUTHENTICATION_ENABLED) and not manager.snapshot.live_supers:
        with manager.recorded(recorder(manager, clock, "initial-user", "first start")):
            _make_administrator(manager, data, first_start)


def _warn_of_inner_user(manager: MetadataManager, config: Configuration) -> None:
    """Log that brokers cannot register, where the user that they sign with existed before and is not a Super user."""
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
    """Return what makes the records of changes that no request asked for.

    Args:
        manager: Users and policies before the changes.
        clock: Tells the time of the records.
        operation: What is done, such as `initial-user`.
        why: What asks for it.
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
    home = config.get(access_options.ROCKETMQ_HOME) or os.environ.get("ROCKETMQ_HOME")
    if not home:
        raise config.refusal(
            access_options.MIGRATE_V1,
            "`true` needs `rocketmqHome`, under which conf/acl and conf/plain_acl.yml are looked for",
        )
    files = [parse_acl_v1(file.name, file.text, unordered=file.unordered) for file in read_acl_v1(Path(home))]
    # Users that were deleted since, which would come back with their old secrets and rights.
    deleted = {name for name in migrated if manager.snapshot.user(name) is None}
    done = migrate([_without(file, deleted) for file in files], manager)
    names = {account.access_key for file in files for account in file.accounts if account.access_key is not None}
    if not names <= migrated:
        write_migrated(data, migrated | names)
    _LOG.info("ACL 1.0: %d accounts of %s were carried over", len(done.converted), home)
    if deleted & names:
        _LOG.info(
            "ACL 1.0: %d accounts of %s were carried over before, and stay deleted: `mqguard migrate --apply` brings "
            "them back",
            len(deleted & names),
            home,
        )
    existing = sum(note.topic is NoteKind.EXISTING_USER for note in done.notes)
    if existing:
        # As at every start but the first.
        _LOG.info("ACL 1.0: %d accounts of %s exist as users, which stay as they are", existing, home)
    for note in done.notes:
        if note.topic is NoteKind.EXISTING_USER:
            continue
        _LOG.warning("ACL 1.0: %s:%s: %s: %s", note.file, note.mark, note.topic.value, visible(note.message))
    for found in done.differences:
        account, resource = visible(found.account or "everybody"), visible(found.resource)
        _LOG.warning(
            "ACL 1.0: %s:%s: decided differently: `%s` on %s (%s)", found.file, found.mark, account, resource, found.why
        )


def _without(file: AclV1File, names: set[str]) -> AclV1File:
    return dataclasses.replace(file, accounts=tuple(one for one in file.accounts if one.access_key not in names))


def _make_administrator(manager: MetadataManager, data: Path, first_start: OnAdminCreated) -> None:
    if manager.snapshot.user(ADMIN) is not None:
        raise StartFailed(
            f"no enabled super user is left, and `{ADMIN}` exists: name another one in `initAuthenticationUser`"
        )
    made = Credentials(ADMIN, make_secret())
    # The file first: a crash in between leaves a file that the next start replaces, not a user whose secret is lost.
    path = save_credentials(data, made)
    if not manager.ensure_super(InitialUser(made.name, made.secret.reveal())):
        raise StartFailed(
            f"another server has created `{made.name}` in the same store just now: remove `{path}`, whose secret is "
            "not valid, and start again"
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
    if not (data / "access").is_dir():
        raise PolicyInvalid(f"`{data}` is not a data directory of mqguard: it has no `access` directory")
    given = os.environ.get("MQGUARD_SEALING_KEY")
    if given is None and not (data / "sealing.key").exists():
        # A new key could not open the stored secrets, and would hide that the right key is missing.
        raise PolicyInvalid(f"`{data}` has no `sealing.key`: give the key of its secrets in MQGUARD_SEALING_KEY")
    key = load_sealing_key(data / "sealing.key", given)
    with unavailable_errors():
        store = RocksMetadataStore(data / "access", key)
    try:
        with unavailable_errors():
            manager = MetadataManager(store, new_incarnation)
        with manager.recorded(recorder(manager, SystemClock(), "change-offline", "a command, without a server")):
            yield manager
    finally:
        store.close()


def new_incarnation() -> str:
    """Return a random text that no user has had: one of 64 bits, which a person can still type."""
    return secrets.token_hex(8)
