"""Versions of tables."""

from mqguard.model.topic import DataVersion


def test_each_change_counts():
    first = DataVersion().next(5)
    assert first == DataVersion(counter=1, timestamp=5)
    assert first.next(9) == DataVersion(counter=2, timestamp=9)
