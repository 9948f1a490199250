"""Counters are plain integers with names."""

import pytest

from mqguard.telemetry.metrics import Family, Metrics


def test_counters_are_told_apart_by_labels():
    """Each combination of values counts by itself; reading gives all of them."""
    refused = Metrics().family("refused_total", "Refused requests.", ("stage", "reason"))
    refused.of("authentication", "unknown-user").value += 2
    refused.of("authorization", "no-match").value += 1

    assert dict(refused) == {("authentication", "unknown-user"): 2, ("authorization", "no-match"): 1}


def test_a_family_is_made_once():
    """Whoever asks for a name gets the same counters, and must mean the same labels."""
    metrics = Metrics()
    metrics.family("b_total", "B.").of().value += 1
    metrics.family("a_total", "A.")

    assert metrics.family("b_total", "B.").of().value == 1
    assert [family.name for family in metrics] == ["a_total", "b_total"]
    with pytest.raises(ValueError, match="labels"):
        metrics.family("b_total", "B.", ("code",))


def test_values_must_match_the_labels():
    """A forgotten label is a mistake of ours, said at once."""
    with pytest.raises(ValueError, match="labels"):
        Family("x_total", "X.", ("code",)).of()


def test_the_number_of_counters_is_bounded(monkeypatch):
    """Beyond the limit, values are counted together."""
    monkeypatch.setattr(Family, "MAX_CHILDREN", 2)
    family = Family("x_total", "X.", ("code",))
    for code in ("1", "2", "3", "4"):
        family.of(code).value += 1

    assert dict(family) == {("1",): 1, ("2",): 1, ("other",): 2}
