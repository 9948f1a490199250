"""Strategies under their contract: ours as plugins, one that raises, and one by age."""

import pytest

from mqguard.guard.plugin_api import CachedResult
from mqguard.testing.plugin_contracts import StrategyContract


class Stateless:
    def accepts(self, result: CachedResult) -> bool:
        return False


class Stateful:
    def accepts(self, result: CachedResult) -> bool:
        return True


class Young:
    """A strategy that accepts results of less than five seconds."""

    def accepts(self, result: CachedResult) -> bool:
        return result.age_ms < 5_000


class TestStrategies(StrategyContract):
    @pytest.fixture(params=[Stateless, Stateful, Young])
    def strategy(self, request: pytest.FixtureRequest) -> object:
        return request.param()
