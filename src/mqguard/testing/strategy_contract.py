"""Tests that every `CacheStrategy` passes. Subclass the contract and give it a fixture `strategy` with a fresh one."""
# ruff: noqa: S101, D102 - tests assert, and their names are their sentences

import itertools

from mqguard.auth.user import UserStatus
from mqguard.guard.plugin_adapters import InstalledPlugins
from mqguard.guard.plugin_api import CachedResult, CacheStrategy
from mqguard.guard.settings import GuardSettings
from mqguard.guard.settings import Strategy as Word
from mqguard.testing.authorization_contract import question
from mqguard.testing.plugin_calls import QUICK_S, mean_seconds
from mqguard.testing.plugin_guard import SECRET, PluginTestGuard, signed


class StrategyContract:
    """Tests for any strategy."""

    def test_it_says_yes_or_no_whatever_is_remembered(self, strategy: CacheStrategy) -> None:
        for user, channel, asked, age in itertools.product(
            ("alice", "", "用户"), ("", "c1"), (None, question("t")), (0, 1, 59_999, 10**9)
        ):
            assert isinstance(strategy.relies(CachedResult(user, channel, asked, age)), bool)

    def test_it_is_quick(self, strategy: CacheStrategy) -> None:
        assert mean_seconds(lambda: strategy.relies(CachedResult("alice", "c1", None, 5))) < QUICK_S

    def test_a_change_of_users_is_seen_at_once_whatever_it_relies_on(self, strategy: CacheStrategy) -> None:
        settings = GuardSettings(
            authentication_enabled=True,
            authentication_strategy=Word.STATEFUL,
        )
        world = PluginTestGuard(InstalledPlugins(authentication_strategy=strategy), settings)
        world.users.create_user("alice", SECRET)
        right, wrong = signed(310, {"b": "t"}), signed(310, {"b": "t"}, secret="another")  # noqa: S106 - a test's
        assert world.admits(right)
        assert world.admits(right)
        world.users.update_user("alice", status=UserStatus.DISABLE)
        assert not world.admits(right)
        world.users.update_user("alice", status=UserStatus.ENABLE)
        assert not world.admits(wrong)
        assert world.admits(right)
        world.clock.now += settings.stateful_ms
        assert not world.admits(wrong), "the configured time bounds what is relied on"
