"""The clock never runs backwards."""

import time

import pytest

from mqguard.runtime.process import SystemClock


def test_the_clock_returns_the_time():
    assert abs(SystemClock().now_ms() - time.time() * 1000) < 5000


def test_a_machine_clock_that_is_set_back_is_not_followed(monkeypatch: pytest.MonkeyPatch):
    times = iter([5_000_000_000, 3_000_000_000, 6_000_000_000])
    clock = SystemClock()
    monkeypatch.setattr(time, "time_ns", lambda: next(times))
    assert [clock.now_ms() for _ in range(3)] == [5000, 5000, 6000]


def test_time_goes_on_after_the_clock_is_set_back(monkeypatch):
    """A clock that is set back for an hour must not make waits and refusals last for an hour."""
    wall, steady = [5_000_000_000_000_000], [77_000_000]
    monkeypatch.setattr(time, "time_ns", lambda: wall[0])
    monkeypatch.setattr(time, "monotonic_ns", lambda: steady[0])
    clock = SystemClock()
    first = clock.now_ms()
    wall[0] -= 3_600_000_000_000
    told = [clock.now_ms()]
    for _ in range(10_000):
        wall[0] += 1_000_000_000
        steady[0] += 1_000_000_000
        told.append(clock.now_ms())
    assert told[0] == first
    assert told == sorted(told)
    assert told[80] - first == 80 * 875
    wall[0] += 10**14
    assert clock.now_ms() == wall[0] // 1_000_000
