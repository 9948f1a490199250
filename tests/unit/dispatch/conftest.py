"""Fixtures: a broker whose request loop is tested."""

from tests.unit.broker.conftest import house, open_house

__all__ = ["house", "open_house"]
