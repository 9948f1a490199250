"""Durations on the command line."""

import click
import pytest

from mqguard.cli.user import Duration


@pytest.mark.parametrize(
    ("text", "ms"),
    [("0", 0), ("0s", 0), ("90s", 90_000), ("30m", 1_800_000), (" 24H ", 86_400_000), ("7d", 604_800_000), (5, 5)],
)
def test_valid_durations_are_read(text, ms):
    assert Duration().convert(text, None, None) == ms


@pytest.mark.parametrize("text", ["", "24", "h", "-1h", "1.5h", "1w", "\u0661h", "9999999999d", "1h30m"])
def test_invalid_durations_are_refused(text):
    with pytest.raises(click.BadParameter, match="is not a valid length of time: write one, such as"):
        Duration().convert(text, None, None)
