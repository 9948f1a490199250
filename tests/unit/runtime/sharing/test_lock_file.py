"""The file that shows that a member lives is locked, whatever an owner that starts does at the same moment."""

import fcntl
import os
import threading
from pathlib import Path

import pytest

from mqguard.runtime.errors import StartFailed
from mqguard.runtime.sharing import member
from mqguard.runtime.sharing.member_process import has_ended


@pytest.fixture
def after_creation(monkeypatch):
    """Return a list of functions: each is called once, with the path of a file that was just created."""
    steps = []
    create = os.open

    def open_(path, flags, mode=0o777):
        made = create(path, flags, mode)
        if flags & os.O_CREAT and steps:
            steps.pop(0)(path)
        return made

    monkeypatch.setattr(member.os, "open", open_)
    return steps


def lock_for(path, seconds):
    """Hold the lock of a file for some seconds, as an owner that looks for members does."""
    holder = os.open(path, os.O_RDWR)
    fcntl.flock(holder, fcntl.LOCK_EX)
    timer = threading.Timer(seconds, os.close, [holder])
    timer.start()
    return timer


def test_a_member_waits_for_an_owner_that_looks_at_its_file(tmp_path, after_creation):
    timers = []
    after_creation.append(lambda path: timers.append(lock_for(path, 0.1)))
    lock, name = member._lock_file(tmp_path / "members")
    timers[0].join()
    assert not has_ended(tmp_path / "members" / name)
    os.close(lock)
    assert has_ended(tmp_path / "members" / name)


def test_a_member_whose_file_was_removed_before_it_was_locked_makes_another(tmp_path, after_creation):
    removed = []
    after_creation += [lambda path: (removed.append(path.name), path.unlink())] * 2
    lock, name = member._lock_file(tmp_path)
    assert len(removed) == 2
    assert name not in removed
    assert not has_ended(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    os.close(lock)


def test_a_member_whose_file_stays_locked_does_not_start(tmp_path, after_creation, monkeypatch):
    monkeypatch.setattr(member, "LOCK_S", 0.1)
    timers = []
    after_creation.append(lambda path: timers.append(lock_for(path, 1.0)))
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(StartFailed, match="cannot be locked: another process locks or removes it"):
        member._lock_file(tmp_path)
    timers[0].join()
    assert list(tmp_path.iterdir()) == []
    assert len(list(Path("/proc/self/fd").iterdir())) <= before


def test_a_file_that_cannot_be_locked_at_all_is_an_error_at_once(tmp_path, monkeypatch):
    def fail(_file, _how):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(member.fcntl, "flock", fail)
    with pytest.raises(StartFailed, match="cannot be locked: No locks available"):
        member._lock_file(tmp_path)
    assert list(tmp_path.iterdir()) == []
