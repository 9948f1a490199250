"""One process per data directory."""

import os
import subprocess
import sys

import pytest

from mqguard.runtime.data_directory import DataLock
from mqguard.runtime.errors import StartFailed

HOLD = "import sys; from pathlib import Path; from mqguard.runtime.data_directory import DataLock; "
HOLD += "lock = DataLock(Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"


def test_a_directory_is_made_for_its_owner_and_can_be_taken_again(tmp_path):
    path = tmp_path / "a" / "b"
    DataLock(path).release()
    lock = DataLock(path)
    assert path.stat().st_mode & 0o777 == 0o700
    lock.release()


def test_a_held_directory_is_refused_with_the_holder_and_free_again_when_it_dies(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(StartFailed, match=f"in use by process {holder.pid}: stop it, or name another"):
            DataLock(tmp_path)
        holder.kill()
        holder.wait()
    lock = DataLock(tmp_path)
    assert (tmp_path / "mqguard.lock").read_text() == f"{os.getpid()}\n"
    lock.release()


def test_a_link_in_place_of_the_lock_is_not_followed(tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("keep me")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mqguard.lock").symlink_to(precious)
    with pytest.raises(StartFailed, match="cannot be used"):
        DataLock(tmp_path / "data")
    assert precious.read_text() == "keep me"


@pytest.mark.parametrize("name", ["file", "file/below"])
def test_a_path_that_is_not_a_directory_is_refused(tmp_path, name):
    (tmp_path / "file").write_text("")
    with pytest.raises(StartFailed, match="cannot be used"):
        DataLock(tmp_path / name)
