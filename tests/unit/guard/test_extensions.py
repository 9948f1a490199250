"""The plugins of a guard: whether there are any, what a strategy makes of proofs, and which names are names."""

import dataclasses

import msgspec
import pytest

from mqguard.guard.asking import Waits
from mqguard.guard.context import Identity
from mqguard.guard.extension import Remembered, Ruling, Step, Unproven
from mqguard.guard.extensions import Extensions, Installed, SelectedConnections, relies
from mqguard.guard.settings import GuardSettings, Strategy
from mqguard.testing.plugin_guard import PEER, SECRET, PluginGuard, signed
from tests.unit.guard.plugins import Relying, Scripted, guarded

ALICE = Identity("alice", "signature")
PLUGIN = Installed("p", Scripted(Ruling.ALLOW))
PORTS = {
    "authentication_provider": PLUGIN,
    "authentication_handlers": (PLUGIN,),
    "authentication_strategy": Relying(),
    "authorization_provider": PLUGIN,
    "authorization_handlers": (PLUGIN,),
    "authorization_strategy": Relying(),
}


def test_whether_there_is_any_plugin():
    """How long they are waited for is none."""
    assert set(PORTS) == {field.name for field in dataclasses.fields(Extensions)} - {"limit_ms"}
    assert not Extensions()
    assert not Extensions(limit_ms=7)
    for port, plugin in PORTS.items():
        assert Extensions(**{port: plugin})


def test_the_words_of_what_plugins_answer():
    """Plugins may keep them as texts, and make answers of them again."""
    assert [Ruling(word) for word in ("allow", "deny", "silent")] == [Ruling.ALLOW, Ruling.DENY, Ruling.SILENT]
    assert [Step(word) for word in ("next", "refuse")] == [Step.NEXT, Step.REFUSE]
    assert Unproven("refused") is Unproven.REFUSED


def test_a_plugin_counts_as_one_that_may_wait_unless_it_is_said_to_be_quick():
    world = PluginGuard(Extensions(authorization_provider=Installed("p", Scripted(Ruling.ALLOW))))
    world.users.create_user("alice", SECRET)
    with pytest.raises(Waits):
        world.guard.admit(signed(310, {"b": "orders"}), PEER)


@pytest.mark.parametrize(
    ("answer", "relied"), [(True, True), (False, False), (None, False), (1, False), ("yes", False), ([True], False)]
)
def test_nothing_but_true_is_relied_on(answer, relied):
    remembered = Remembered("alice", "c", None, 5)
    strategy = Relying(answer)

    assert relies(strategy, remembered) is relied
    assert strategy.asked == [remembered]


def ages(known, strategy, channels, version, now_ms):
    """How old a strategy is told that the proofs of connections are; None where there is none."""
    found = {}
    for channel in channels:
        strategy.asked.clear()
        known.find(channel, "alice", version, now_ms)
        found[channel] = strategy.asked[0].age_ms if strategy.asked else None
    return found


def test_a_strategy_is_told_how_old_a_proof_is():
    """Whatever else was proved, forgotten and proved again meanwhile."""
    strategy = Relying(answer=False)
    known = SelectedConnections(4, 10_000, strategy)
    for now, (channel, version) in enumerate([("a", 0), ("b", 0), ("c", 1), ("d", 1), ("e", 1), ("e", 1)]):
        known.add(channel, ALICE, version, now * 100, None)

    assert ages(known, strategy, "abcde", 1, 1_000) == {"a": None, "b": None, "c": 800, "d": 700, "e": 500}


def test_what_a_strategy_is_asked_about_is_bounded():
    known = SelectedConnections(3, 10_000, Relying())
    for at in range(50):
        known.add(f"channel-{at % 7}-{at}", ALICE, at // 10, at, None)
        assert all(len(kept) <= 3 for kept in vars(known).values() if isinstance(kept, dict))


def test_only_what_the_base_believes_is_asked_about():
    strategy = Relying()
    known = SelectedConnections(3, 1_000, strategy)
    known.add("a", ALICE, 0, 0, 500)

    assert known.find("a", "bob", 0, 0) is None
    assert known.find("b", "alice", 0, 0) is None
    assert known.find("a", "alice", 0, 501) is None
    assert strategy.asked == []
    assert known.find("a", "alice", 0, 500) is ALICE
    assert strategy.asked == [Remembered("alice", "a", None, 500)]


@pytest.mark.parametrize("strategies", [{}, {"authentication_strategy": Relying()}])
def test_how_many_proofs_are_believed_and_how_long_are_the_operators_numbers(strategies):
    settings = GuardSettings(
        authentication_enabled=True,
        authentication_strategy=Strategy.STATELESS if strategies else Strategy.STATEFUL,
        stateful_entries=1,
        stateful_ms=50,
    )
    provider = Scripted("alice")
    world = guarded(settings, authentication_provider=provider, **strategies)
    for channel in ("a", "b"):
        world.admit(signed(310, {}), msgspec.structs.replace(PEER, channel=channel))
    provider.answer = Unproven.REFUSED
    world.clock.now += 49

    assert not world.admits(signed(310, {}), msgspec.structs.replace(PEER, channel="a"))
    assert world.admits(signed(310, {}), msgspec.structs.replace(PEER, channel="b"))
    world.clock.now += 1
    assert not world.admits(signed(310, {}), msgspec.structs.replace(PEER, channel="b"))


@pytest.mark.parametrize("name", ["x", "x" * 255, "Ünïcode", "a b"])
def test_names_that_a_provider_may_prove(name):
    world = guarded(GuardSettings(authentication_enabled=True), authentication_provider=Scripted(name))

    assert world.admit(signed(310, {})).user == name
