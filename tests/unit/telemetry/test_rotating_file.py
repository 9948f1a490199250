"""A file that grows at its end and makes room by renaming."""

import os
import time

import pytest

from mqguard.telemetry.audit_files import CHECK_MS, DAY_MS, MaxAge, RotatingFile


def write(file, data):
    file.make_room()
    while data:
        data = data[file.append(data) :]


def test_full_parts_are_renamed_and_the_oldest_goes(tmp_path):
    """`log` is the newest, `log.1` the part before, and no more parts are kept than asked."""
    file = RotatingFile(tmp_path / "log", max_bytes=4, parts=2)

    for line in (b"one\n", b"two\n", b"three\n", b"four\n"):
        write(file, line)
    file.close()

    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        "log": b"four\n",
        "log.1": b"three\n",
        "log.2": b"two\n",
    }


def test_without_parts_a_full_file_begins_anew(tmp_path):
    """Only the file itself is kept."""
    file = RotatingFile(tmp_path / "log", max_bytes=4, parts=0)
    write(file, b"one\n")
    write(file, b"two\n")
    file.close()

    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"log": b"two\n"}


def test_what_was_there_is_kept_and_counts(tmp_path):
    """After a restart the file goes on where it ended."""
    (tmp_path / "log").write_bytes(b"old\n")
    file = RotatingFile(tmp_path / "log", max_bytes=6, parts=1)
    write(file, b"new\n")
    write(file, b"more\n")
    file.close()

    assert (tmp_path / "log.1").read_bytes() == b"old\nnew\n"
    assert (tmp_path / "log").read_bytes() == b"more\n"


def test_only_the_owner_reads_it(tmp_path):
    """Mode 0600, also for a file that was there with another mode."""
    path = tmp_path / "log"
    path.touch(mode=0o644)
    path.chmod(0o644)
    file = RotatingFile(path, max_bytes=1, parts=1)
    write(file, b"x")
    write(file, b"y")
    file.close()

    assert path.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "log.1").stat().st_mode & 0o777 == 0o600


def test_a_disk_that_cannot_is_said(tmp_path):
    """The caller decides what to do."""
    with pytest.raises(OSError, match="No such file"):
        RotatingFile(tmp_path / "missing" / "log", max_bytes=1, parts=1).append(b"x")


def test_parts_that_are_too_old_are_removed_and_the_current_file_stays(tmp_path):
    """The age of a part is the time since its last write. Parts of other files are not touched."""
    now = int(time.time() * 1000)
    names = ["log", "log.1", "log.2", "log.12", "log.old", "log.unauthenticated.1"]
    for name in names:
        (tmp_path / name).write_bytes(b"x\n")
        os.utime(tmp_path / name, (now // 1000 - 10, now // 1000 - 10))
    os.utime(tmp_path / "log.2", (now // 1000, now // 1000))
    for ms, kept in [(0, names), (20_000, names), (5_000, ["log", "log.2", "log.old", "log.unauthenticated.1"])]:
        RotatingFile(tmp_path / "log", 4, 2, MaxAge(ms, lambda: now)).remove_old()
        assert {path.name for path in tmp_path.iterdir()} == set(kept)


def test_old_parts_are_removed_while_the_file_is_written(tmp_path):
    """At a rotation, and each hour without one."""
    now = [int(time.time() * 1000)]
    file = RotatingFile(tmp_path / "log", 1 << 20, 3, MaxAge(DAY_MS, lambda: now[0]))
    write(file, b"x\n")
    (tmp_path / "log.3").write_bytes(b"y\n")
    now[0] += DAY_MS - CHECK_MS
    write(file, b"x\n")
    assert (tmp_path / "log.3").exists()
    now[0] += 2 * CHECK_MS
    write(file, b"x\n")
    file.close()
    assert not (tmp_path / "log.3").exists()


def test_an_old_part_that_cannot_be_removed_is_logged(tmp_path, caplog):
    (tmp_path / "log.1").mkdir()
    os.utime(tmp_path / "log.1", (0, 0))
    file = RotatingFile(tmp_path / "log", 1 << 20, 3, MaxAge(1, lambda: DAY_MS))
    write(file, b"x\n")
    file.close()
    assert "log.1` cannot be removed: Is a directory" in caplog.text
