"""The request loop is tested under the broker's face."""

from tests.unit.broker.conftest import house, open_house

__all__ = ["house", "open_house"]
