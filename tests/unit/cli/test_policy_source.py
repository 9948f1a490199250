"""Sources of policies for commands, and the errors if there are none."""

import pytest

from mqguard.admin import policy_files
from mqguard.admin.policy_files import read_text
from mqguard.auth.errors import PolicyInvalid
from mqguard.auth.manager import MetadataManager
from mqguard.auth.seal import SealingKey
from mqguard.auth.user import UserType
from mqguard.runtime.access import open_manager
from mqguard.store.metadata.rocksdb import RocksMetadataStore
from mqguard.store.sealing_key import load_sealing_key
from tests.unit.cli.policy_run import run


@pytest.fixture
def store(tmp_path):
    """Create the data directory of a stopped server with one Super user."""
    data = tmp_path / "data"
    data.mkdir()
    key = load_sealing_key(data / "sealing.key", None)
    assert isinstance(key, SealingKey)
    kept = RocksMetadataStore(data / "access", key)
    MetadataManager(kept).create_user("admin", "admin-secret", UserType.SUPER)
    kept.close()
    return data


def test_policies_are_read_from_the_data_directory_of_a_stopped_server(store, capsys):
    """The directory is free again afterwards."""
    for _ in range(2):
        code, out, _ = run(capsys, "can", "admin", "--store", store)
        assert (code, out.splitlines()[1].split()) == (0, ["*", "All", "anywhere"])


def test_a_missing_directory_is_not_created(tmp_path, capsys):
    """A wrong path is reported and leaves no directory."""
    code, _, err = run(capsys, "can", "admin", "--store", tmp_path / "nowhere")

    assert code == 2
    assert err == f"mqguard: `{tmp_path}/nowhere` is not a data directory of mqguard: it has no `access` directory\n"
    assert list(tmp_path.iterdir()) == []


def test_no_key_is_created_for_secrets_that_another_key_seals(store, capsys):
    """Without the key, users and policies are read without secrets, and no key file is created."""
    (store / "sealing.key").unlink()
    code, _, err = run(capsys, "can", "admin", "--store", store)

    assert code == 0
    assert err == f"mqguard: warning: users are read without their secrets: `{store}` has no `sealing.key`\n"
    assert not (store / "sealing.key").exists()


def test_a_store_in_use_is_reported(store, capsys):
    """A running server locks its data directory. The exit code differs from that of findings."""
    with open_manager(store):
        for command in (["can", "admin"], ["lint"], ["who-can", "Pub", "Topic:a"]):
            code, _, err = run(capsys, *command, "--store", store)

            assert code == 3
            assert err == f"mqguard: the users and policies in `{store / 'access'}` are in use by another process\n"


def test_only_one_source_may_be_given(tmp_path, capsys):
    """A file together with a store is an error."""
    code, _, err = run(capsys, "can", "admin", "-f", tmp_path / "a", "--store", tmp_path)

    assert code == 2
    assert "`--file` and `--store` are two sources" in err


def test_the_server_is_the_default_source(capsys):
    """No server listens there, which is exit code 3."""
    code, _, err = run(capsys, "can", "admin", "-n", "127.0.0.1:1")

    assert code == 3
    assert "127.0.0.1:1" in err


def test_a_file_that_cannot_be_read_is_code_2(tmp_path, capsys, monkeypatch):
    """A missing file, one in another encoding and one that is too long have an error of one line each."""
    code, _, err = run(capsys, "lint", "-f", tmp_path / "none.yaml")
    assert (code, err) == (2, f"mqguard: the file `{tmp_path}/none.yaml` cannot be read: No such file or directory\n")

    path = tmp_path / "latin.yaml"
    path.write_bytes(b"version: 1\nusers:\n  \xe9: {}\n")
    code, _, err = run(capsys, "lint", "-f", path)
    assert (code, err) == (2, f"mqguard: the file `{path}` is not UTF-8: line 3 has another encoding\n")

    monkeypatch.setattr(policy_files, "MAX_FILE_BYTES", 8)
    with pytest.raises(PolicyInvalid, match="is longer than"):
        read_text(path)


def test_every_problem_has_a_line(tmp_path, capsys):
    """The line begins with the file; `--json` has all in one object."""
    path = tmp_path / "bad.yaml"
    path.write_text("version: 1\nuser: {}\nusers: {a: {typ: Super}}\n")
    code, out, err = run(capsys, "lint", "-f", path)

    assert (code, out) == (2, "")
    assert err == (
        f"mqguard: {path}:2:1: unknown key `user` in the document: did you mean `users`?\n"
        f"{path}:3:13: unknown key `typ` in user `a`: did you mean `type`?\n"
    )


def test_many_problems_are_cut(tmp_path, capsys):
    """The first hundred are listed, with the number of the others."""
    path = tmp_path / "bad.yaml"
    path.write_text("version: 1\nusers:\n" + "".join(f"  u{at}: {{typ: Super}}\n" for at in range(103)))
    _, _, err = run(capsys, "lint", "-f", path)

    assert len(err.splitlines()) == 101
    assert err.splitlines()[-2:] == [
        f"{path}:102:9: unknown key `typ` in user `u99`: did you mean `type`?",
        "and 3 more",
    ]
