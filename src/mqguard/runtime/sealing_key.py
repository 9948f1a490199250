"""The sealing key of a stopped server: found, replaced by a new one, and replaced if it is lost."""

import dataclasses
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from mqguard.admin.broker_states import unavailable_errors
from mqguard.auth.errors import PolicyInvalid
from mqguard.auth.ports import ChangeRecord
from mqguard.auth.seal import SealingKey
from mqguard.auth.user import LiveSecret, Secret, User, UserStatus
from mqguard.config.secret import make_secret
from mqguard.guard.audit import DONE, AdminChange, bounded, new_change_id
from mqguard.runtime.process import SystemClock
from mqguard.runtime.settings import SEALING_KEY_FILE, SEALING_KEY_VARIABLE
from mqguard.store.metadata.rocksdb import RocksMetadataStore
from mqguard.store.sealing_key import (
    load_sealing_key,
    parse_sealing_key,
    pending_path,
    prepare_key,
    read_sealing_key,
    settle_key_file,
)

OFFLINE = "a command, without a server"
"""Cause of changes in the audit log that no request made."""
SAVED = "access.before-reset"
"""Directory within the data directory: users and policies before their secrets were reset."""


class Resealed(NamedTuple):
    """The result of a replacement.

    Attributes:
        old: Id of the old key.
        new: Id of the new key.
        file: The file that has the new key; None if the operator has it.
        users: The users, with their secrets.
    """

    old: str
    new: str
    file: Path | None
    users: Sequence[User]


class ResetUser(NamedTuple):
    """A user whose secret was reset.

    Attributes:
        user: The user with its new secret.
        is_known: True if the caller gets the new secret; else no person knows it.
    """

    user: User
    is_known: bool


@contextmanager
def open_store(data: Path, key: SealingKey | None) -> Iterator[RocksMetadataStore]:
    """Open the store of a stopped server.

    Args:
        data: The data directory.
        key: Its sealing key; None to read users without their secrets.

    Raises:
        PolicyInvalid: The path is not a data directory.
        SourceUnavailable: A server is using the data directory, or it cannot be read.
    """
    _require_store(data)
    with unavailable_errors():
        store = RocksMetadataStore(data / "access", key)
    try:
        yield store
    finally:
        store.close()


def sealing_key_of(data: Path) -> SealingKey | None:
    """Return the sealing key of a data directory, from the environment or its file; None if there is none.

    Raises:
        PolicyInvalid: The path is not a data directory.
        SourceUnavailable: A server is using the data directory, or it cannot be read.
        SealingKeyUnusable: The key is malformed, cannot be read, or can be read by others.
    """
    _require_store(data)
    settle_sealing_key(data)
    return read_sealing_key(data / SEALING_KEY_FILE, os.environ.get(SEALING_KEY_VARIABLE))


def server_sealing_key(data: Path) -> SealingKey:
    """Return the sealing key for a start of the server. The first start creates it.

    Raises:
        SourceUnavailable: Another process is using the data directory, or it cannot be read.
        SealingKeyUnusable: The key is malformed, cannot be read or written, or can be read by others.
    """
    settle_sealing_key(data)
    return load_sealing_key(data / SEALING_KEY_FILE, os.environ.get(SEALING_KEY_VARIABLE))


def settle_sealing_key(data: Path) -> None:
    """Complete or undo a replacement of the key that a process has not completed.

    Raises:
        SourceUnavailable: Another process is using the data directory, or it cannot be read.
        SealingKeyUnusable: The files of the keys cannot be read or changed.
    """
    if pending_path(data / SEALING_KEY_FILE).exists():
        with open_store(data, None) as store:
            settle_key_file(data / SEALING_KEY_FILE, store.sealed_with)


def key_ids(data: Path, given: str | None) -> tuple[str, str | None]:
    """Return the id of the key that seals the stored secrets, and that of a given key.

    Args:
        data: The data directory.
        given: A key in Base64 or hex; None for that of the data directory. A missing key has the id None.

    Raises:
        PolicyInvalid: The path is not a data directory.
        SourceUnavailable: A server is using the data directory, or it cannot be read.
        SealingKeyUnusable: The key is malformed, or its file cannot be used.
    """
    key = sealing_key_of(data) if given is None else parse_sealing_key(given, "the given key")
    with open_store(data, None) as store:
        return store.sealed_with, None if key is None else key.id


def rotate_sealing_key(data: Path, new: str | None) -> Resealed:
    """Seal all stored secrets with a new key.

    Args:
        data: The data directory.
        new: The new key in Base64 or hex; None for a random one.

    Raises:
        PolicyInvalid: The path is not a data directory, or the old key is missing.
        SourceUnavailable: A server is using the data directory, the old key is wrong, or a file cannot be written.
        SealingKeyUnusable: A key is malformed, or its file cannot be used.
    """
    old = sealing_key_of(data)
    if old is None:
        raise PolicyInvalid(
            f"`{data}` has no `{SEALING_KEY_FILE}`: give its key in {SEALING_KEY_VARIABLE}; if it is lost, use "
            "`mqguard sealing-key reset`"
        )
    is_in_file = SEALING_KEY_VARIABLE not in os.environ
    if new is None and not is_in_file:
        raise PolicyInvalid(
            f"{SEALING_KEY_VARIABLE} has the key, so no file can have the new one: give it with `--new-key`, and put "
            "it into that variable before the next start"
        )
    with open_store(data, old) as store, unavailable_errors():
        users = store.load().users
        key = _reseal(store, data, users, new, is_in_file=is_in_file, operation="rotate-sealing-key")
    return Resealed(old.id, key.id, data / SEALING_KEY_FILE if is_in_file else None, users)


def reset_secrets(
    data: Path, new: str | None, *, disable: bool, keep: Callable[[Mapping[str, Secret]], None]
) -> tuple[Resealed, Sequence[ResetUser]]:
    """Give all users new secrets, sealed with a new key, because the old key is lost.

    The users and policies before the change are kept in the directory `SAVED`.

    Args:
        data: The data directory.
        new: The new key in Base64 or hex; None for that of the environment, or a random one.
        disable: True to disable all users that are not Super users.
        keep: Stores the new secrets by user, before anything is changed.

    Raises:
        PolicyInvalid: The path is not a data directory, or its key is not lost.
        SourceUnavailable: A server is using the data directory, or it cannot be changed.
        SealingKeyUnusable: A key is malformed, or its file cannot be used.
    """
    is_in_file = SEALING_KEY_VARIABLE not in os.environ
    present = sealing_key_of(data)
    saved = data / SAVED
    with open_store(data, None) as store, unavailable_errors():
        if present is not None and present.id == store.sealed_with:
            raise PolicyInvalid(
                f"the sealing key of `{data}` is not lost, it opens the stored secrets: use `sealing-key rotate`"
            )
        if saved.exists():
            raise PolicyInvalid(f"`{saved}` has the state before an earlier reset: move it away first")
        if new is None and not is_in_file:
            new = os.environ[SEALING_KEY_VARIABLE]
        if new is not None:
            parse_sealing_key(new, "the new sealing key")
        old = store.sealed_with
        reset = [_reset(user, disable=disable) for user in store.load().users]
        keep({one.user.name: one.user.secrets[0].secret for one in reset if one.is_known})
        store.checkpoint(saved)
        users = [one.user for one in reset]
        key = _reseal(store, data, users, new, is_in_file=is_in_file, operation="reset-secrets")
    return Resealed(old, key.id, data / SEALING_KEY_FILE if is_in_file else None, users), reset


def _reset(user: User, *, disable: bool) -> ResetUser:
    status = UserStatus.DISABLE if disable and not user.is_super else user.status
    changed = dataclasses.replace(user, secrets=(LiveSecret(make_secret()),), status=status)
    return ResetUser(changed, changed.is_enabled)


def _reseal(
    store: RocksMetadataStore, data: Path, users: Sequence[User], new: str | None, *, is_in_file: bool, operation: str
) -> SealingKey:
    path = data / SEALING_KEY_FILE
    key = prepare_key(path, new) if is_in_file else parse_sealing_key(new or "", "the new sealing key")
    store.reseal(users, key, _record(operation, store.sealed_with, key.id, users))
    if is_in_file:
        settle_key_file(path, store.sealed_with)
    return key


def _record(operation: str, old: str, new: str, users: Sequence[User]) -> ChangeRecord:
    now = SystemClock().now_ms()
    details = {"by": OFFLINE, "from": old, "to": new}
    if operation == "reset-secrets":
        details |= {user.name: f"new secret, {user.status.value}" for user in users}
    record = bounded(
        AdminChange(
            when_ms=now, user="", source="", operation=operation, subject="several", details=details, outcome=DONE,
            id=new_change_id(now),
        )
    )  # fmt: skip
    return ChangeRecord(record.id, record.encode())


def _require_store(data: Path) -> None:
    if not (data / "access").is_dir():
        raise PolicyInvalid(f"`{data}` is not a data directory of mqguard: it has no `access` directory")
