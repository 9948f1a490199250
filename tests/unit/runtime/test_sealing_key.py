"""A new sealing key of a stopped server, also if the process ends in the middle."""

import base64
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from mqguard.admin.errors import SourceUnavailable
from mqguard.auth.errors import PolicyInvalid
from mqguard.auth.manager import MetadataManager
from mqguard.auth.user import Secret, UserStatus, UserType
from mqguard.runtime import sealing_key
from mqguard.runtime.access import open_manager, read_stored
from mqguard.runtime.sealing_key import Resealed, ResetUser, key_ids, reset_secrets, rotate_sealing_key
from mqguard.store.metadata.rocksdb import RocksMetadataStore
from mqguard.store.sealing_key import SealingKeyUnusable, load_sealing_key

NEW = base64.b64encode(bytes(range(32))).decode()


class Interrupted(BaseException):
    """The end of a process, as a test simulates it."""


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the data directory of a stopped server with a Super user, an enabled and a disabled user."""
    monkeypatch.delenv("MQGUARD_SEALING_KEY", raising=False)
    directory = tmp_path / "data"
    store = RocksMetadataStore(directory / "access", load_sealing_key(directory / "sealing.key"))
    manager = MetadataManager(store)
    manager.create_user("root", "root-secret", UserType.SUPER)
    manager.create_user("alice", "alice-secret")
    manager.create_user("bob", "bob-secret", status=UserStatus.DISABLE)
    store.close()
    return directory


def secrets_of(data: Path) -> dict[str, str]:
    """Return the stored secret of each user."""
    with open_manager(data) as manager:
        return {user.name: user.secrets[0].secret.reveal() for user in manager.snapshot.users()}


SECRETS = {"root": "root-secret", "alice": "alice-secret", "bob": "bob-secret"}


def lose_key(data: Path) -> None:
    (data / "sealing.key").unlink()


def reset(data: Path, new: str | None = None, *, disable: bool = False) -> tuple[Resealed, dict[str, ResetUser]]:
    """Reset the secrets, and return the result with the users by name."""
    kept: dict[str, Secret] = {}

    def keep(found: Mapping[str, Secret]) -> None:
        kept.update(found)

    done, users = reset_secrets(data, new, disable=disable, keep=keep)
    assert kept == {one.user.name: one.user.secrets[0].secret for one in users if one.is_known}
    return done, {one.user.name: one for one in users}


def stored_bytes(directory: Path) -> bytes:
    return b"".join(path.read_bytes() for path in directory.iterdir() if path.is_file())


def test_a_rotation_keeps_the_secrets_and_removes_what_the_old_key_opens(data: Path) -> None:
    old = key_ids(data, None)[0]
    assert f"sealed:1:{old}".encode() in stored_bytes(data / "access")
    done = rotate_sealing_key(data, None)
    assert done.old == old != done.new
    assert key_ids(data, None) == (done.new, done.new)
    assert secrets_of(data) == SECRETS
    assert f"sealed:1:{old}".encode() not in stored_bytes(data / "access")
    assert (data / "sealing.key").stat().st_mode & 0o777 == 0o600


def test_a_given_key_is_used(data: Path) -> None:
    done = rotate_sealing_key(data, f"{NEW}\n")
    assert (data / "sealing.key").read_text() == f"{NEW}\n"
    assert key_ids(data, NEW) == (done.new, done.new)


@pytest.mark.parametrize("text", ["", "short", base64.b64encode(bytes(31)).decode()])
def test_a_key_that_is_not_valid_changes_nothing(data: Path, text: str) -> None:
    with pytest.raises(SealingKeyUnusable, match="the new sealing key"):
        rotate_sealing_key(data, text)
    assert secrets_of(data) == SECRETS


def test_a_key_in_the_environment_stays_there(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MQGUARD_SEALING_KEY", (data / "sealing.key").read_text())
    lose_key(data)
    with pytest.raises(PolicyInvalid, match="--new-key"):
        rotate_sealing_key(data, None)
    done = rotate_sealing_key(data, NEW)
    assert done.file is None
    assert sorted(path.name for path in data.iterdir()) == ["access"]
    with pytest.raises(SourceUnavailable, match="give the key that they were sealed with"):
        secrets_of(data)
    monkeypatch.setenv("MQGUARD_SEALING_KEY", NEW)
    assert secrets_of(data) == SECRETS


def test_the_secrets_are_not_reset_while_the_key_is_there(data: Path) -> None:
    with pytest.raises(PolicyInvalid, match="is not lost"):
        reset(data)
    assert secrets_of(data) == SECRETS


def test_users_and_policies_are_read_without_the_key(data: Path) -> None:
    lose_key(data)
    state, why = read_stored(data)
    assert set(state.users) == set(SECRETS)
    assert all(not user.secrets for user in state.users.values())
    assert "has no `sealing.key`" in why
    with pytest.raises(PolicyInvalid, match="sealing-key reset"):
        secrets_of(data)


def test_users_are_read_without_secrets_if_the_key_is_another_one(data: Path) -> None:
    lose_key(data)
    load_sealing_key(data / "sealing.key")
    state, why = read_stored(data)
    assert set(state.users) == set(SECRETS)
    assert "are sealed with the key" in why


def test_a_reset_gives_new_secrets_and_keeps_the_old_state(data: Path) -> None:
    old = (data / "sealing.key").read_text()
    lose_key(data)
    done, users = reset(data)
    after = secrets_of(data)
    assert set(after) == set(SECRETS)
    assert not set(after.values()) & set(SECRETS.values())
    assert {name: one.is_known for name, one in users.items()} == {"root": True, "alice": True, "bob": False}
    assert users["bob"].user.status is UserStatus.DISABLE
    assert done.file == data / "sealing.key"
    # The key is found again.
    (data / "access").rename(data / "access.reset")
    (data / "access.before-reset").rename(data / "access")
    (data / "sealing.key").write_text(old)
    assert secrets_of(data) == SECRETS


def test_a_reset_can_disable_all_but_super_users(data: Path) -> None:
    lose_key(data)
    _, users = reset(data, disable=True)
    enabled = {name for name, one in users.items() if one.user.is_enabled}
    assert enabled == {"root"} == {name for name, one in users.items() if one.is_known}


def test_a_reset_uses_the_key_of_the_environment(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lose_key(data)
    monkeypatch.setenv("MQGUARD_SEALING_KEY", NEW)
    done, _ = reset(data)
    assert done.file is None
    assert not (data / "sealing.key").exists()
    assert set(secrets_of(data)) == set(SECRETS)


def test_a_reset_whose_secrets_cannot_be_kept_changes_nothing(data: Path) -> None:
    key = (data / "sealing.key").read_text()
    lose_key(data)

    def keep(_secrets: Mapping[str, Secret]) -> None:
        raise PolicyInvalid("the directory exists")

    with pytest.raises(PolicyInvalid, match="exists"):
        reset_secrets(data, None, disable=False, keep=keep)
    assert sorted(path.name for path in data.iterdir()) == ["access"]
    (data / "sealing.key").touch(0o600)
    (data / "sealing.key").write_text(key)
    assert secrets_of(data) == SECRETS


@pytest.mark.parametrize("step", ["prepare_key", "reseal", "settle_key_file"])
@pytest.mark.parametrize("lost", [False, True])
@pytest.mark.parametrize("after", [False, True])
def test_a_process_that_ends_in_the_middle_loses_no_key(
    data: Path, monkeypatch: pytest.MonkeyPatch, step: str, *, lost: bool, after: bool
) -> None:
    """Before or after any step, the next command opens the store with the key on the disk, or can reset it again."""
    where = RocksMetadataStore if step == "reseal" else sealing_key
    original = getattr(where, step)

    def interrupted(*args: object) -> object:
        found = original(*args) if after else None
        raise Interrupted(found)

    def replace_key() -> object:
        return reset(data) if lost else rotate_sealing_key(data, None)

    if lost:
        lose_key(data)
    with monkeypatch.context() as patched:
        patched.setattr(where, step, interrupted)
        with pytest.raises(Interrupted):
            replace_key()
    is_stored = step == "settle_key_file" or (step == "reseal" and after)
    if lost and not is_stored:
        (data / "access.before-reset").rename(data / "moved")
        reset(data)
    assert set(secrets_of(data)) == set(SECRETS)
    assert not (data / "sealing.key.new").exists()
    if not lost:
        assert secrets_of(data) == SECRETS


def test_a_leftover_of_a_process_with_the_same_id_is_not_in_the_way(tmp_path: Path) -> None:
    (tmp_path / f"sealing.key.{os.getpid()}.part").touch()
    assert load_sealing_key(tmp_path / "sealing.key").id == load_sealing_key(tmp_path / "sealing.key").id
