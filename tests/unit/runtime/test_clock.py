"""The clocks of the machine."""

import time

import pytest

from mqguard.runtime.process import SystemClock


def test_the_clock_returns_the_date():
    assert abs(SystemClock().now_ms() - time.time() * 1000) < 5000


def test_a_jump_of_the_date_does_not_move_the_monotonic_clock(monkeypatch: pytest.MonkeyPatch):
    clock = SystemClock()
    before = clock.monotonic_ms()
    for hours in (1, -1):
        date = time.time_ns() + hours * 3_600_000_000_000
        monkeypatch.setattr(time, "time_ns", lambda date=date: date)
        assert clock.now_ms() == date // 1_000_000
        assert 0 <= clock.monotonic_ms() - before < 600_000
