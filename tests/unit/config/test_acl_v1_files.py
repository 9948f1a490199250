"""Finding ACL 1.0 files."""

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


def test_what_cannot_be_read_is_told(tmp_path, monkeypatch):
    """A missing home or file, another encoding, a file without end."""
    path = tmp_path / "a.yml"
    path.write_bytes(b"\xff\xfe")
    for call, message in (
        (lambda: read_acl_v1(tmp_path / "none"), "is no directory"),
        (lambda: read_acl_v1_file(tmp_path / "none"), "cannot be read: No such file"),
        (lambda: read_acl_v1_file(path), "is no UTF-8"),
    ):
        with pytest.raises(ConfigInvalid, match=message):
            call()
    monkeypatch.setattr(acl_v1_files, "_MAX_FILE", 1)
    with pytest.raises(ConfigInvalid, match="is longer than"):
        read_acl_v1_file(path)
