"""Counters and rates."""

import pytest

from mqguard.broker.throughput import MAX_SAMPLES, SAMPLE_MS, Throughput
from tests.fixtures.memory import reachable_objects


def test_rates_are_over_ten_seconds_a_minute_and_ten_minutes():
    traffic = Throughput(0)
    for step in range(1, 62):
        traffic.put += 100 if step <= 60 else 1000
        traffic.got += 10
        traffic.sample(step * SAMPLE_MS)
    put, got = traffic.rates(61 * SAMPLE_MS + 5000)
    assert [round(value) for value in put] == [67, 23, 11]
    assert [round(value, 1) for value in got] == [0.7, 0.9, 1.0]


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
    assert traffic.rates(5)[0] == [1000.0] * 3
