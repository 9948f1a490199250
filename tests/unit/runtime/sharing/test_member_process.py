"""The processes for which a change waits, and the files that show that they live."""

import fcntl
import os
from pathlib import Path

from mqguard.runtime.sharing.member_process import MemberProcess, has_ended


def member(granted_until_ms: int = 0) -> MemberProcess:
    return MemberProcess(Path("x.lock"), granted_until_ms)


def test_a_change_waits_until_it_is_applied() -> None:
    one = member()
    one.pushed(1, 1000, 0)
    one.take_applied(1)
    one.pushed(2, 1100, 100)
    assert not one.blocks(1, 100)
    assert one.blocks(2, 100)
    one.take_applied(2)
    assert not one.blocks(2, 100)
    assert not one.pushes


def test_a_change_waits_no_longer_than_the_messages_before_it_allow() -> None:
    """A later message gives more time, but the process cannot read it before it has read the change."""
    one = member()
    one.pushed(1, 1000, 0)
    one.take_applied(1)
    one.pushed(2, 1100, 100)
    one.granted_until_ms = 5000
    assert one.blocks(2, 999)
    assert not one.blocks(2, 1000)
    one.pushed(3, 9000, 4000)
    assert one.blocks(3, 4999)
    assert not one.blocks(3, 5000)


def test_a_process_that_begins_decides_nothing_before_its_first_message() -> None:
    one = member()
    one.pushed(7, 1000, 0)
    assert not one.blocks(7, 0)


def test_a_process_of_an_earlier_owner_blocks_until_its_time_is_over() -> None:
    one = member(granted_until_ms=500)
    assert one.blocks(1, 499)
    assert not one.blocks(1, 500)
    one.pushed(1, 2000, 100)
    assert one.blocks(1, 499), "it has connected, and may still decide by the older state"
    assert not one.blocks(1, 500)


def test_a_message_that_was_not_sent_gives_no_time() -> None:
    one = member(granted_until_ms=500)
    one.pushed(1, 0, 100)
    assert one.granted_until_ms == 500


def test_the_lock_shows_whether_a_process_lives(tmp_path: Path) -> None:
    lock = tmp_path / "1.lock"
    assert has_ended(lock)
    file = os.open(lock, os.O_RDWR | os.O_CREAT)
    assert has_ended(lock)
    fcntl.flock(file, fcntl.LOCK_EX)
    assert not has_ended(lock)
    os.close(file)
    assert has_ended(lock)
