"""Finding ACL 1.0 files."""

import errno
import os

import pytest

from mqguard.config import acl_v1_files
from mqguard.config.acl_v1_files import read_acl_v1, read_acl_v1_file
from mqguard.config.errors import ConfigInvalid


def test_files_come_in_the_order_in_which_they_count(tmp_path):
    """All YAML under conf/acl by path, then the plain file, which may be another one; nothing else."""
    acl = tmp_path / "conf" / "acl"
    (acl / "z").mkdir(parents=True)
    for name in ("b.yml", "a.yaml", "z/c.yml", "notes.txt"):
        (acl / name).write_text(name)
    (tmp_path / "conf" / "plain_acl.yml").write_text("plain")
    (tmp_path / "conf" / "tools.yml").write_text("tools")

    assert [file.text for file in read_acl_v1(tmp_path)] == ["a.yaml", "b.yml", "z/c.yml", "plain"]
    assert [file.text for file in read_acl_v1(tmp_path, "conf/acl/b.yml")] == ["a.yaml", "z/c.yml", "b.yml"]
    assert [file.unordered for file in read_acl_v1(tmp_path)] == [True, True, True, False]
    assert read_acl_v1(tmp_path)[0].name == str(acl / "a.yaml")


def test_a_home_without_files_has_none(tmp_path):
    """Nothing is made there."""
    assert read_acl_v1(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_read_is_an_error(tmp_path, monkeypatch):
    """A missing home or file, another encoding, a file without end."""
    path = tmp_path / "a.yml"
    path.write_bytes(b"\xff\xfe")
    for call, message in (
        (lambda: read_acl_v1(tmp_path / "none"), "is not a directory"),
        (lambda: read_acl_v1_file(tmp_path / "none"), "cannot be read: No such file"),
        (lambda: read_acl_v1_file(path), "is not UTF-8"),
    ):
        with pytest.raises(ConfigInvalid, match=message):
            call()
    monkeypatch.setattr(acl_v1_files, "MAX_FILE_BYTES", 1)
    with pytest.raises(ConfigInvalid, match="is longer than"):
        read_acl_v1_file(path)


def test_links_are_followed_and_lead_nowhere_twice(tmp_path):
    """A mounted volume is made of links: their targets are read, a circle ends, and a dead link is an error."""
    acl, volume = tmp_path / "conf" / "acl", tmp_path / "volume"
    for directory in (acl, volume):
        directory.mkdir(parents=True)
    (volume / "a.yml").write_text("a")
    (acl / "team").symlink_to(volume)
    (volume / "circle").symlink_to(volume)
    (acl / "b.yml").symlink_to("../../volume/a.yml")
    assert [(file.name, file.text) for file in read_acl_v1(tmp_path)] == [
        (str(acl / "b.yml"), "a"),
        (str(acl / "team" / "a.yml"), "a"),
    ]
    for dead in (acl / "dead.yml", tmp_path / "conf" / "plain_acl.yml"):
        dead.symlink_to("nowhere")
        with pytest.raises(ConfigInvalid, match=f"`{dead}` cannot be read: No such file"):
            read_acl_v1(tmp_path)
        dead.unlink()


def test_a_directory_that_cannot_be_listed_is_an_error(tmp_path, monkeypatch):
    """Accounts in it would be left out without a word; so would those of a plain file that is a directory."""
    acl = tmp_path / "conf" / "acl"
    acl.mkdir(parents=True)

    def scandir(path):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", scandir)
        with pytest.raises(ConfigInvalid, match=f"the ACL directory `{acl}` cannot be read: Permission denied"):
            read_acl_v1(tmp_path)
    acl.rmdir()
    acl.write_text("no directory")
    with pytest.raises(ConfigInvalid, match=f"the ACL directory `{acl}` cannot be read: Not a directory"):
        read_acl_v1(tmp_path)
    acl.unlink()
    (tmp_path / "conf" / "plain_acl.yml").mkdir()
    with pytest.raises(ConfigInvalid, match="cannot be read: Is a directory"):
        read_acl_v1(tmp_path)


def test_a_directory_that_cannot_be_searched_is_an_error(tmp_path, monkeypatch):
    """The file may exist. A start that ignores it would omit its accounts without a log line."""
    acl, plain = tmp_path / "conf" / "acl", tmp_path / "conf" / "plain_acl.yml"
    (tmp_path / "conf").symlink_to("conf")
    with pytest.raises(ConfigInvalid, match=f"`{acl}` cannot be read: Too many levels of symbolic links"):
        read_acl_v1(tmp_path)
    (tmp_path / "conf").unlink()
    acl.mkdir(parents=True)
    (acl / "a.yml").write_text("a")
    stat, hidden = os.stat, set()

    def closed(path, *arguments, **named):
        if str(path) in hidden:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return stat(path, *arguments, **named)

    monkeypatch.setattr(os, "stat", closed)
    monkeypatch.setattr(os, "lstat", lambda path, **named: closed(path, follow_symlinks=False, **named))
    for path, told in ((tmp_path, f"the RocketMQ home `{tmp_path}`"), (plain, f"`{plain}`")):
        hidden = {str(path)}
        with pytest.raises(ConfigInvalid, match=f"^{told} cannot be read: Permission denied$"):
            read_acl_v1(tmp_path)
    hidden = {str(acl / "a.yml")}
    assert [file.text for file in read_acl_v1(tmp_path)] == ["a"], "reading says whether it can be read"
