"""Sums and rates over windows of samples."""

import pytest

from mqguard.broker.sample_windows import Figures, Rounds, SampleWindows, Totals, Window, figures

TEN_S = 10_000


def filled(count, per_step=7):
    windows = SampleWindows(0)
    for step in range(1, count + 1):
        windows.add(Window.MINUTE, step * TEN_S, Totals(step, step * per_step, step * 100, step))
    return windows


def test_without_a_sample_everything_is_zero():
    assert figures(SampleWindows(0).growth(Window.DAY), "messages") == Figures(0, 0.0, 0.0)


def test_the_first_sample_counts_from_one_interval_before():
    found = figures(filled(1).growth(Window.MINUTE), "messages")
    assert found == Figures(7, 0.7, 7.0)


@pytest.mark.parametrize("count", [6, 7, 30])
def test_a_minute_has_at_most_six_intervals(count):
    found = figures(filled(count).growth(Window.MINUTE), "messages")
    assert found == Figures(42, pytest.approx(0.7), 7.0)
    assert figures(filled(count).growth(Window.MINUTE), "size") == Figures(600, pytest.approx(10.0), 100.0)


@pytest.mark.parametrize(("window", "intervals"), [(Window.HOUR, 6), (Window.DAY, 24)])
def test_longer_windows_have_samples_of_their_own(window, intervals):
    windows = SampleWindows(0)
    for step in range(1, 60):
        windows.add(window, step * window.interval_ms, Totals(step, step))
    growth = windows.growth(window)
    assert growth.totals.messages == intervals
    assert growth.end_ms - growth.begin_ms == intervals * window.interval_ms
    assert windows.growth(Window.MINUTE) is None


def test_a_clock_that_is_set_back_gives_no_negative_rate():
    windows = filled(3)
    windows.add(Window.MINUTE, TEN_S, Totals(9, 900))
    windows.add(Window.MINUTE, 3 * TEN_S, Totals(9, 900))
    assert figures(windows.growth(Window.MINUTE), "messages").sum == 21
    windows.add(Window.MINUTE, 4 * TEN_S, Totals(9, 900))
    found = figures(windows.growth(Window.MINUTE), "messages")
    assert (found.sum, found.tps) == (900, pytest.approx(22.5))


def test_a_clock_that_jumps_ahead_makes_one_long_interval():
    windows = filled(2)
    windows.add(Window.MINUTE, 3_600_000, Totals(3, 21))
    found = figures(windows.growth(Window.MINUTE), "messages")
    assert (found.sum, found.tps) == (21, pytest.approx(21 / 3600))
    for step in range(1, 7):
        windows.add(Window.MINUTE, 3_600_000 + step * TEN_S, Totals(3, 21 + step))
    assert figures(windows.growth(Window.MINUTE), "messages").tps == pytest.approx(0.1)


def test_each_window_is_due_once_per_interval():
    rounds = Rounds(0)
    assert rounds.take(0) == list(Window)
    assert rounds.take(9_999) == []
    assert rounds.take(10_000) == [Window.MINUTE]
    assert rounds.take(3_600_000) == list(Window)
    assert rounds.take(3_600_001) == []
