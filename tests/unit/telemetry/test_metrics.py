"""Counters are plain integers with names, and other numbers are read when they are asked for."""

import pytest

from mqguard.telemetry.metrics import CounterFamily, MetricKind, Metrics
from mqguard.telemetry.prometheus import PrometheusCollector


def test_counters_are_distinguished_by_labels():
    """Each combination of values counts by itself; reading gives all of them."""
    refused = Metrics().family("refused_total", "Refused requests.", ("stage", "reason"))
    refused.of("authentication", "unknown-user").value += 2
    refused.of("authorization", "no-match").value += 1

    assert dict(refused) == {("authentication", "unknown-user"): 2, ("authorization", "no-match"): 1}


def test_a_family_is_made_once():
    """Each caller that asks for a name gets the same counters, and must mean the same labels."""
    metrics = Metrics()
    metrics.family("b_total", "B.").of().value += 1
    metrics.family("a_total", "A.")

    assert metrics.family("b_total", "B.").of().value == 1
    assert [family.name for family in metrics] == ["a_total", "b_total"]
    with pytest.raises(ValueError, match="labels"):
        metrics.family("b_total", "B.", ("code",))


def test_values_must_match_the_labels():
    """A forgotten label is an internal error that shows at once."""
    with pytest.raises(ValueError, match="labels"):
        CounterFamily("x_total", "X.", ("code",)).of()


def test_the_number_of_counters_is_bounded(monkeypatch):
    """Beyond the limit, values are counted together."""
    monkeypatch.setattr(CounterFamily, "MAX_CHILDREN", 2)
    family = CounterFamily("x_total", "X.", ("code",))
    for code in ("1", "2", "3", "4"):
        family.of(code).value += 1

    assert dict(family) == {("1",): 1, ("2",): 1, ("other",): 2}


def test_a_name_is_taken_once():
    metrics = Metrics()
    metrics.observe("a_total", "A.", lambda: 1)
    with pytest.raises(ValueError, match="exists: choose another name"):
        metrics.observe_each("a_total", "A.", "x", {})
    with pytest.raises(ValueError, match="a_total"):
        metrics.family("a_total", "A.")


def test_all_numbers_are_exported_as_they_are_at_that_moment():
    """Under the names that Prometheus gives them, with labels escaped as it does."""
    metrics, held = Metrics(), {"open": 3}
    counter = metrics.family("refused_total", "Refused.", ("stage", "reason")).of("guard", "audit-full")
    metrics.family("unused_total", "Never counted.", ("x",))
    metrics.observe("open", "Open.", lambda: held["open"], MetricKind.GAUGE)
    metrics.observe("seconds_total", "Seconds.", lambda: 1.25)
    metrics.observe_each("dropped_total", "Dropped.", "sink", {'a"\\b\n': lambda: 7, "c": lambda: 0})
    collector = PrometheusCollector(metrics)
    assert collector.samples() == {
        "open": "3",
        "seconds_total": "1.250",
        'refused_total{stage="guard",reason="audit-full"}': "0",
        r'dropped_total{sink="a\"\\b\n"}': "7",
        'dropped_total{sink="c"}': "0",
    }
    counter.value += 2
    held["open"] = 1
    assert collector.samples()["open"] == "1"
    assert collector.registry.get_sample_value("refused_total", {"stage": "guard", "reason": "audit-full"}) == 2
    assert {metric.type for metric in collector.registry.collect()} == {"counter", "gauge"}
