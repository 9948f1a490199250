"""`mqguard migrate` as a dry run, into a store, and into a policy file."""

import errno
import json
import os
import stat
from pathlib import Path

import pytest

from mqguard.auth.manager import MetadataManager
from mqguard.auth.user import Secret, UserType
from mqguard.runtime.access import open_manager
from mqguard.store.metadata.rocksdb import RocksMetadataStore
from mqguard.store.sealing_key import load_sealing_key
from tests.unit.cli.policy_run import run, run_json

PLAIN = """\
accounts:
  - {accessKey: account1, secretKey: secret-one, topicPerms: [a=PUB]}
  - {accessKey: operator, secretKey: secret-two, admin: true}
"""


@pytest.fixture
def plain(tmp_path):
    path = tmp_path / "plain_acl.yml"
    path.write_text(PLAIN)
    return path


@pytest.fixture
def store(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    kept = RocksMetadataStore(data / "access", load_sealing_key(data / "sealing.key", None))
    MetadataManager(kept).create_user("operator", "my-own-secret")
    kept.close()
    return data


def test_a_dry_run_changes_nothing(plain, store, capsys):
    """It lists the users and policies to create and the differences, for existing users too."""
    code, found = run_json(capsys, "migrate", plain, "--store", store)

    assert (code, found["applied"]) == (1, False)
    assert [one["user"] for one in found["accounts"]] == ["account1"]
    assert [note["kind"] for note in found["notes"]] == ["existing-user"]
    assert {one["after"] for one in found["differences"]} == {"denied"}
    with open_manager(store) as manager:
        assert [user.name for user in manager.snapshot.users()] == ["operator"]


def test_apply_stores_new_accounts(plain, store, capsys):
    """Existing users stay unchanged, and a second run has nothing to do."""
    assert run(capsys, "migrate", plain, "--store", store, "--apply")[0] == 0
    with open_manager(store) as manager:
        operator = manager.snapshot.user("operator")
        assert (operator.type, operator.secrets[0].secret) == (UserType.NORMAL, Secret("my-own-secret"))
        assert manager.snapshot.user("account1").secrets[0].secret == Secret("secret-one")
        assert manager.snapshot.acl("account1") is not None
        (record,) = manager.unwritten_records()
        assert json.loads(record.data)["operation"] == "change-offline"
        assert b"secret-one" not in record.data
    code, again = run_json(capsys, "migrate", plain, "--store", store, "--apply")
    assert (code, again["accounts"]) == (0, [])
    with open_manager(store) as manager:
        assert len(manager.unwritten_records()) == 1


def test_migrate_writes_a_policy_file_and_files_of_secrets(plain, tmp_path, capsys):
    """The result is a valid policy file; each secret is in a file of its own that only its owner can read."""
    out = tmp_path / "out"
    code, text, _ = run(capsys, "migrate", plain, "--out", out)

    assert code == 0
    assert "secret-one" not in text + (out / "policy.yaml").read_text()
    assert (out / "secrets" / "001-account1").read_text() == "secret-one\n"
    assert stat.S_IMODE((out / "secrets" / "001-account1").stat().st_mode) == 0o600
    empty = tmp_path / "empty.yaml"
    empty.write_text("version: 1\n")
    code, planned = run_json(capsys, "plan", "-f", out / "policy.yaml", "--against", empty)
    assert code == 1
    assert [step["name"] for step in planned["steps"]] == ["account1", "operator", "account1"]
    code, _, err = run(capsys, "migrate", plain, "--out", out)
    assert code == 2
    assert "cannot be written: File exists" in err


def test_the_files_of_a_home_directory_have_an_order(plain, tmp_path, capsys):
    """The files of conf/acl come by path, then conf/plain_acl.yml; the first account of a name counts."""
    home = tmp_path / "home"
    (home / "conf" / "acl" / "team").mkdir(parents=True)
    (home / "conf" / "plain_acl.yml").write_text(PLAIN)
    (home / "conf" / "tools.yml").write_text("accessKey: x\nsecretKey: y\n")
    (home / "conf" / "acl" / "team" / "b.yaml").write_text(PLAIN.replace("admin: true", "admin: false"))
    code, found = run_json(capsys, "migrate", "--home", home)

    assert code == 1
    assert {one["user"]: one["type"] for one in found["accounts"]} == {"account1": "Normal", "operator": "Normal"}
    repeated = [note["file"] for note in found["notes"] if note["kind"] == "repeated-account"]
    assert repeated == [str(home / "conf" / "plain_acl.yml")] * 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "give either files to migrate"),
        (["none.yml"], "the ACL file `none.yml` cannot be read: No such file or directory"),
        (["--home", "none"], "the RocketMQ home `none` is not a directory"),
        (["--home", "."], "`.` has no ACL 1.0 files"),
        (["bad.yml"], "bad.yml:1:1: unknown key `accont` in the file: did you mean `accounts`?"),
    ],
)
def test_a_wrong_call_is_code_2(words, message, tmp_path, capsys, monkeypatch):
    """The error names a right call."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.yml").write_text("accont: []\n")
    code, _, err = run(capsys, "migrate", *words)

    assert code == 2
    assert message in err


def test_every_problem_of_all_files_is_shown(tmp_path, capsys):
    """Each problem has a line of its own, with file, line and column; nothing is migrated."""
    (tmp_path / "a.yml").write_text("accont: []\naccounts:\n- {admin: maybe, key: x}\n- a\n")
    (tmp_path / "b.yml").write_text("accounts: {}\n")
    code, out, err = run(capsys, "migrate", tmp_path / "a.yml", tmp_path / "b.yml")

    assert (code, out) == (2, "")
    lines = err.removeprefix("mqguard: ").splitlines()
    assert [line.removeprefix(f"{tmp_path}/").split(": ")[0] for line in lines] == [
        *("a.yml:1:1", "a.yml:3:11", "a.yml:3:18", "a.yml:4:3", "b.yml:1:11")
    ]


def test_the_version_decides_about_admins_with_permissions(tmp_path, capsys):
    """Without a version, the report has both readings, and the user gets what both allowed."""
    path = tmp_path / "plain_acl.yml"
    path.write_text("accounts:\n- {accessKey: operator, secretKey: secret-two, admin: true, topicPerms: [a=PUB]}\n")

    _, out, _ = run(capsys, "migrate", path)
    assert (
        "operator: Sub on Topic:a: allowed in 5.1.1 to 5.3.2, denied here: versions of 1.0 differ, and mqguard allows "
        "what all of them allowed\n"
    ) in out
    _, both = run_json(capsys, "migrate", path)
    assert {one["versions"] for one in both["differences"]} == {"5.1.1 to 5.3.2"}
    found = {}
    for version in ("4.9.8", "5.2.0"):
        _, found[version] = run_json(capsys, "migrate", path, "--from-version", version)
        assert found[version]["differences"] == []
    assert [found[version]["accounts"][0]["type"] for version in found] == ["Normal", "Super"]


@pytest.mark.parametrize("version", ["5.3.3", "4.4.0", "5", "five", "4.9.8 "])
def test_an_unknown_version_is_an_error(version, plain, capsys):
    """The error has the known versions."""
    code, _, err = run(capsys, "migrate", plain, "--from-version", version)

    assert code == 2
    assert f"`{version}` is not a version of RocketMQ whose ACL 1.0 is known" in err
    assert "from 4.6.0 to 5.3.2" in err


def test_a_white_list_becomes_the_sources_of_entries(tmp_path, capsys):
    """The written policy file has the sources, and requests from elsewhere are denied."""
    path = tmp_path / "plain_acl.yml"
    keys = "accessKey: account1, secretKey: secret-one, whiteRemoteAddress: 10.0.0.*"
    path.write_text(f"accounts:\n- {{{keys}, topicPerms: [a=PUB]}}\n")
    out = tmp_path / "out"
    assert run(capsys, "migrate", path, "--white-lists", "as-sources", "--out", out)[0] == 0

    asked = ("explain", "--user", "account1", "--action", "Pub", "--resource", "Topic:a", "-f", out / "policy.yaml")
    _, inside = run_json(capsys, *asked, "--from", "10.0.0.9")
    _, outside = run_json(capsys, *asked, "--from", "10.0.1.9")
    assert "10.0.0.0/24" in (out / "policy.yaml").read_text()
    assert (inside["decision"], outside["decision"]) == ("Allow", "Deny")


def test_accounts_are_stored_or_written_but_not_both(plain, store, tmp_path, capsys):
    """A call with both options changes nothing."""
    code, _, err = run(capsys, "migrate", plain, "--store", store, "--apply", "--out", tmp_path / "out")

    assert code == 2
    assert "`--apply` and `--out` are two destinations" in err
    assert not (tmp_path / "out").exists()


def test_a_policy_file_is_written_completely_or_not_at_all(tmp_path, capsys, monkeypatch):
    """A secret that no file can hold, or a full disk, leaves no file."""
    path = tmp_path / "plain_acl.yml"
    path.write_text(PLAIN.replace("secret-two", '"secret\\ntwo"'))
    code, _, err = run(capsys, "migrate", path, "--out", tmp_path / "out")
    assert (code, err) == (
        2,
        "mqguard: the secret of `operator` is not a line of text, so a file cannot hold it: use `--apply`\n",
    )
    path.write_text(PLAIN)
    whole = Path.write_text
    monkeypatch.setattr(Path, "write_text", no_room)
    code, _, err = run(capsys, "migrate", path, "--out", tmp_path / "out")
    assert (code, err) == (2, f"mqguard: `{tmp_path}/out` cannot be written: No space left on device\n")
    assert [one.name for one in tmp_path.iterdir()] == ["plain_acl.yml"]
    monkeypatch.setattr(Path, "write_text", whole)
    assert run(capsys, "migrate", path, "--out", tmp_path / "out")[0] == 0
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o700
    assert sorted(one.name for one in (tmp_path / "out").iterdir()) == ["policy.yaml", "secrets"]


def no_room(*_args, **_kwargs):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_existing_users_have_a_block_of_their_own(plain, store, capsys):
    """The block has their differences from the accounts."""
    _, out, _ = run(capsys, "migrate", plain, "--store", store)
    block = out.split("existing users, which stay unchanged and differ from their accounts:\n")[1]

    assert block.splitlines()[1] == (
        f"{plain}:3:5: operator: Pub,Sub,Create,Update,Delete on any other topic: allowed in 1.0, denied here: "
        "the existing user has other rights"
    )


def test_a_name_cannot_forge_a_line(tmp_path, capsys):
    """The name of an account is shown in one line."""
    path = tmp_path / "plain_acl.yml"
    path.write_text(
        'accounts:\n- {accessKey: "a\\nplain: all is well", secretKey: 12345678, topicPerms: ["b\\n=PUB"]}\n'
    )
    _, out, _ = run(capsys, "migrate", path)

    assert not [line for line in out.splitlines() if line.startswith("plain")]
    assert "a\\nplain: all is well" in out


def test_different_files_of_a_directory_keep_an_account_out(tmp_path, capsys):
    """Java reads files under conf/acl in any order, but conf/plain_acl.yml always last."""
    (tmp_path / "conf" / "acl").mkdir(parents=True)
    (tmp_path / "conf" / "acl" / "a.yml").write_text(PLAIN)
    (tmp_path / "conf" / "acl" / "b.yml").write_text(PLAIN.replace("a=PUB", "a=SUB"))
    (tmp_path / "conf" / "plain_acl.yml").write_text(PLAIN.replace("admin: true", "admin: false"))
    code, found = run_json(capsys, "migrate", "--home", tmp_path)

    assert code == 1
    assert [(one["user"], one["type"]) for one in found["accounts"]] == [("operator", "Super")]
    assert {note["account"] for note in found["notes"] if note["kind"] == "skipped-account"} == {"account1"}
