"""Totals, rates and times of storing."""

import time

import pytest

from mqguard.broker.throughput import MAX_SAMPLES, SAMPLE_MS, PutTimes, Throughput
from tests.fixtures.memory import reachable_objects

MINUTE_MS = 60_000
DAY_MS = 24 * 60 * MINUTE_MS


def test_rates_are_over_ten_seconds_a_minute_and_ten_minutes():
    traffic = Throughput(0)
    for step in range(1, 62):
        traffic.put += 100 if step <= 60 else 1000
        traffic.got += 10
        traffic.found += 5
        traffic.missed += 20
        traffic.sample(step * SAMPLE_MS)
    rates = traffic.rates(61 * SAMPLE_MS + 5000)
    assert [round(value) for value in rates.put] == [67, 23, 11]
    assert [round(value, 1) for value in rates.got] == [0.7, 0.9, 1.0]
    assert [round(value, 2) for value in rates.found] == [0.33, 0.46, 0.5]
    assert [round(value, 1) for value in rates.missed] == [1.3, 1.8, 2.0]


def test_samples_are_limited_and_taken_at_intervals():
    traffic = Throughput(0)
    for now in range(0, 100 * SAMPLE_MS, 1000):
        traffic.sample(now)
    expected = Throughput(0)
    for number in range(1, MAX_SAMPLES):
        expected.sample(number * SAMPLE_MS)
    assert reachable_objects(traffic) == pytest.approx(reachable_objects(expected), abs=3)


def test_a_rate_is_available_at_once():
    traffic = Throughput(5)
    traffic.put = 1
    assert traffic.rates(5).put == [1000.0] * 3


def test_totals_of_the_last_two_midnights_are_kept_in_local_time(monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Shanghai")
    time.tzset()
    try:
        first = 1_700_000_000_000  # 06:13:20 in Shanghai
        traffic = Throughput(0)
        traffic.mark_day(first, lambda: traffic.put)
        traffic.put, traffic.got, traffic.got_of_system = 10, 15, 5
        traffic.mark_day(first + 17 * 60 * MINUTE_MS, lambda: traffic.put)
        assert traffic.put_at_morning == (0, 0)
        traffic.mark_day(first + 18 * 60 * MINUTE_MS, lambda: traffic.put)
        assert (traffic.put_at_morning, traffic.got_at_morning) == ((10, 0), (10, 0))
        traffic.put = 30
        traffic.mark_day(first, lambda: traffic.put)  # the clock is set back
        traffic.mark_day(first + DAY_MS, lambda: traffic.put)
        assert traffic.put_at_morning == (10, 0)
        traffic.mark_day(first + 2 * DAY_MS, lambda: traffic.put)
        assert traffic.put_at_morning == (30, 10)
    finally:
        monkeypatch.undo()
        time.tzset()


def test_times_of_the_last_full_minute_are_shown_by_class():
    times = PutTimes(0)
    times.immediate += 100
    for milliseconds, messages in ((0, 800), (3, 80), (10, 5), (11, 5), (700, 9), (60_000, 1)):
        times.add(milliseconds, messages)
    assert (times.distribution().split()[0], times.quantile(0.99)) == ("[<=0ms]:0", 0.0)
    times.sample(MINUTE_MS)
    assert times.distribution() == (
        "[<=0ms]:900 [0~10ms]:85 [10~50ms]:5 [50~100ms]:0 [100~200ms]:0 [200~500ms]:0 [500ms~1s]:9 [1~2s]:0 [2~3s]:0 "
        "[3~4s]:0 [4~5s]:0 [5~10s]:0 [10s~]:1"
    )
    assert [times.quantile(share) for share in (0.5, 0.98, 0.99, 0.999, 1.0)] == [0.0, 3.0, 11.0, 700.0, 10_001.0]
    assert times.longest_ms == 60_000
    times.sample(2 * MINUTE_MS)
    assert times.quantile(1.0) == 0.0
