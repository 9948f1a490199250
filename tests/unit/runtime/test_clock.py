"""The clock never runs backwards."""

import time

import pytest

from mqguard.runtime.clock import SystemClock


def test_it_tells_the_time():
    assert abs(SystemClock().now_ms() - time.time() * 1000) < 5000


def test_a_machine_clock_that_is_set_back_is_not_followed(monkeypatch: pytest.MonkeyPatch):
    times = iter([5_000_000_000, 3_000_000_000, 6_000_000_000])
    clock = SystemClock()
    monkeypatch.setattr(time, "time_ns", lambda: next(times))
    assert [clock.now_ms() for _ in range(3)] == [5000, 5000, 6000]
