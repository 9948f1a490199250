"""Dates that gRPC clients sign."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqguard.auth.call_date import CallDate, read_date

AT = 1_704_103_810_000


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("20240101T101010Z", CallDate(AT, has_zone=False)),
        ("2024-01-01T10:10:10Z", CallDate(AT, has_zone=True)),
        ("2024-01-01T10:10:10.123456789Z", CallDate(AT, has_zone=True)),
        ("2024-01-01T18:10:10.5+08:00", CallDate(AT, has_zone=True)),
        ("2024-01-01t10:10:10z", CallDate(AT, has_zone=True)),
    ],
)
def test_each_form_is_read(text, found):
    assert read_date(text) == found


@pytest.mark.parametrize(
    "text",
    [
        "", "now", "20240101T101010", "20241301T101010Z", "20240101T251010Z", "2024-01-01", "2024-01-01T10:10:10",
        "2024-13-01T10:10:10Z", "\uff12\uff10\uff12\uff140101T101010Z", "20240101T101010Z ", "0000-01-01T00:00:00Z",
        "2024-01-01T10:10:10+99:99", "9" * 100_000,
    ],
)  # fmt: skip
def test_other_texts_are_not_dates(text):
    assert read_date(text) is None


@given(st.text(max_size=60))
def test_any_text_is_a_date_or_none(text):
    read_date(text)


@given(st.integers(31_536_000, 253_402_300_799))
def test_a_written_date_is_read(seconds):
    date = dt.datetime.fromtimestamp(seconds, dt.UTC)
    ms = seconds * 1000
    assert read_date(f"{date:%Y%m%dT%H%M%SZ}") == CallDate(ms, has_zone=False)
    assert read_date(date.isoformat()) == CallDate(ms, has_zone=True)
