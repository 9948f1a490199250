"""The plugins of a guard: whether there are any, what a strategy makes of proofs, and which names are names."""

import dataclasses

import msgspec
import pytest

from mqguard.guard.admitted_request import Identity
from mqguard.guard.authentication import ChannelAuthentication
from mqguard.guard.plugin_adapters import InstalledPlugin, InstalledPlugins, SelectiveAuthenticationCache, is_accepted
from mqguard.guard.plugin_api import CachedResult, HandlerResult, NotAuthenticated, Ruling
from mqguard.guard.plugin_calls import PluginCallsPending
from mqguard.guard.settings import GuardSettings, Strategy
from mqguard.testing.plugin_guard import PEER, SECRET, PluginTestGuard, signed
from tests.fixtures.links import channel
from tests.unit.guard.plugins import Relying, Scripted, guarded

ALICE = Identity("alice", "signature")
PLUGIN = InstalledPlugin("p", Scripted(Ruling.ALLOW))
PORTS = {
    "authentication_provider": PLUGIN,
    "authentication_handlers": (PLUGIN,),
    "authentication_strategy": Relying(),
    "authorization_provider": PLUGIN,
    "authorization_handlers": (PLUGIN,),
    "authorization_strategy": Relying(),
}


def test_whether_there_is_any_plugin():
    """The time limit is not a plugin."""
    assert set(PORTS) == {field.name for field in dataclasses.fields(InstalledPlugins)} - {"limit_ms"}
    assert not InstalledPlugins()
    assert not InstalledPlugins(limit_ms=7)
    for port, plugin in PORTS.items():
        assert InstalledPlugins(**{port: plugin})


def test_the_words_of_what_plugins_answer():
    """Plugins may keep them as texts, and make answers of them again."""
    assert [Ruling(word) for word in ("allow", "deny", "no-opinion")] == [Ruling.ALLOW, Ruling.DENY, Ruling.NO_OPINION]
    assert [HandlerResult(word) for word in ("next", "refuse")] == [HandlerResult.NEXT, HandlerResult.REFUSE]
    assert NotAuthenticated("refused") is NotAuthenticated.REFUSED


def test_a_plugin_counts_as_one_that_may_wait_unless_it_is_said_to_be_quick():
    world = PluginTestGuard(InstalledPlugins(authorization_provider=InstalledPlugin("p", Scripted(Ruling.ALLOW))))
    world.users.create_user("alice", SECRET)
    with pytest.raises(PluginCallsPending):
        world.admission.admit(signed(310, {"b": "orders"}), PEER)


@pytest.mark.parametrize(
    ("answer", "relied"), [(True, True), (False, False), (None, False), (1, False), ("yes", False), ([True], False)]
)
def test_nothing_but_true_is_relied_on(answer, relied):
    remembered = CachedResult("alice", "c", None, 5)
    strategy = Relying(answer)

    assert is_accepted(strategy, remembered) is relied
    assert strategy.asked == [remembered]


def test_a_strategy_gets_the_age_of_an_authentication():
    strategy = Relying(answer=False)
    cache, state = SelectiveAuthenticationCache(10_000, 4, strategy), ChannelAuthentication("a", object())
    for now, version in enumerate([0, 1, 1]):
        cache.add(state, ALICE, version, now * 100, None)

    assert cache.find(state, "alice", 1, 1_000, 1_000) is None
    assert strategy.asked == [CachedResult("alice", "a", None, 800)]


def test_a_strategy_gets_only_valid_entries():
    strategy = Relying()
    cache, state = SelectiveAuthenticationCache(1_000, 3, strategy), ChannelAuthentication("a", object())
    cache.add(state, ALICE, 0, 0, 500)

    assert cache.find(state, "bob", 0, 0, 0) is None
    assert cache.find(state, "alice", 0, 501, 501) is None
    assert strategy.asked == []
    assert cache.find(state, "alice", 0, 500, 500) is ALICE
    assert strategy.asked == [CachedResult("alice", "a", None, 500)]


@pytest.mark.parametrize("strategies", [{}, {"authentication_strategy": Relying()}])
def test_how_long_an_authentication_is_cached_is_the_number_of_the_operator(strategies):
    settings = GuardSettings(
        authentication_enabled=True,
        authentication_strategy=Strategy.STATELESS if strategies else Strategy.STATEFUL,
        stateful_ms=50,
    )
    provider = Scripted("alice")
    world = guarded(settings, authentication_provider=provider, **strategies)
    world.admit(signed(310, {}))
    provider.answer = NotAuthenticated.REFUSED
    world.clock.now += 49

    assert world.admits(signed(310, {}))
    assert not world.admits(signed(310, {}), msgspec.structs.replace(PEER, channel=channel("another")))
    world.clock.now += 1
    assert not world.admits(signed(310, {}))


@pytest.mark.parametrize("name", ["x", "x" * 255, "Ünïcode", "a b"])
def test_names_that_a_provider_may_return(name):
    world = guarded(GuardSettings(authentication_enabled=True), authentication_provider=Scripted(name))

    assert world.admit(signed(310, {})).user == name
