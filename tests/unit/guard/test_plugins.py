"""The guard with plugins: what they are asked, what they may say, and what becomes of everything else."""

import itertools
import logging

import pytest

from mqguard.auth.user import UserStatus
from mqguard.guard.denial import remedy
from mqguard.guard.plugin_adapters import InstalledPlugins
from mqguard.guard.plugin_api import (
    AuthenticationRequest,
    AuthorizationRequest,
    CachedResult,
    HandlerResult,
    NotAuthenticated,
    Ruling,
)
from mqguard.guard.plugin_calls import (
    BUSY,
    LATE,
    NONSENSE,
    RAISED,
    PluginCallsPending,
    PluginFailed,
    PluginInvoker,
    PluginResults,
)
from mqguard.guard.settings import GuardSettings
from mqguard.remoting.command import Command
from mqguard.testing.plugin_guard import PEER, SECRET, PluginTestGuard, signed
from tests.unit.guard.plugins import Scripted, guarded, reason

SEND = signed(310, {"b": "orders"})
WRONG = [None, True, "allow", 1, object(), [Ruling.ALLOW], Ruling, HandlerResult.NEXT]


@pytest.mark.parametrize("quick", [True, False])
def test_a_provider_decides_in_place_of_policies(quick):
    provider = Scripted(Ruling.ALLOW, quick)
    world = guarded(authorization_provider=provider)
    assert world.admits(SEND)
    assert provider.asked == [
        (AuthorizationRequest("alice", "signature", "10.1.2.3", "SEND_MESSAGE_V2", 310, "Topic", "orders", ("Pub",)),)
    ]
    provider.answer = Ruling.DENY
    assert not world.admits(SEND)
    assert reason(world) == "plugin-refused"
    assert world.guard.denials.last(1)[0].event.user == "alice"


@pytest.mark.parametrize("quick", [True, False])
@pytest.mark.parametrize("answer", WRONG, ids=lambda value: type(value).__name__)
def test_nothing_but_allow_allows(answer, quick):
    world = guarded(authorization_provider=Scripted(answer, quick))
    assert not world.admits(SEND)
    assert reason(world) == "plugin-nonsense"


@pytest.mark.parametrize("quick", [True, False])
@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(0), KeyboardInterrupt(), GeneratorExit(), MemoryError()])
def test_whatever_is_raised_refuses(error, quick, caplog):
    world = guarded(authorization_provider=Scripted(error, quick))
    with caplog.at_level(logging.ERROR):
        assert not world.admits(SEND)
    assert reason(world) == "plugin-raised"
    [told] = [record for record in caplog.records if record.name == "mqguard.guard.plugin_calls"]
    assert "`authorization_provider`" in told.getMessage()
    assert told.getMessage().endswith("plugin-raised (1 times since the last line)")
    assert told.exc_info[1] is error


def test_a_failing_plugin_does_not_flood_the_log(caplog):
    world = guarded(authorization_provider=Scripted(ValueError("x")))
    for _ in range(50):
        assert not world.admits(SEND)
    assert caplog.text.count("gave no valid answer") == 1
    world.clock.now += 1000
    assert not world.admits(SEND)
    assert "(50 times since the last line)" in caplog.text


def test_no_plugin_decides_about_super_disabled_and_anonymous_senders():
    provider = Scripted(Ruling.ALLOW)
    world = guarded(authorization_provider=provider)
    world.users.update_user("alice", status=UserStatus.DISABLE)
    assert not world.admits(SEND)
    assert not world.admits(Command(310, ext={"b": "orders"}))
    provider.answer = Ruling.DENY
    assert world.admits(signed(310, {"b": "orders"}, user="root"))
    assert provider.asked == []


def test_claims_to_be_super_are_anonymous_for_a_provider_too():
    settings = GuardSettings(authorization_enabled=True, trust_claimed_user=True)
    world = guarded(settings, authorization_provider=Scripted(Ruling.ALLOW))
    assert world.admits(Command(310, ext={"b": "orders", "AccessKey": "alice"}))
    assert not world.admits(Command(310, ext={"b": "orders", "AccessKey": "root"}))


def test_no_opinion_allows_implicit_grants():
    world = guarded(authorization_provider=Scripted(Ruling.NO_OPINION))
    assert world.admits(signed(105, {"topic": "TBW102"}))
    assert not world.admits(signed(105, {"topic": "orders"}))


def test_all_resources_of_a_request_are_asked_about_at_once():
    provider = Scripted(Ruling.ALLOW, quick=False)
    world = guarded(authorization_provider=provider)
    answers = PluginResults()
    pull = signed(11, {"topic": "orders", "consumerGroup": "g"})
    with pytest.raises(PluginCallsPending) as waits:
        world.admission.resume(pull, PEER, answers)
    assert len(waits.value.calls) == 2
    assert provider.asked == []
    for call in waits.value.calls:
        call.answer(call.run())
    world.admission.resume(pull, PEER, answers)
    assert {question.name for (question,) in provider.asked} == {"orders", "g"}


@pytest.mark.parametrize("quick", [True, False])
def test_handlers_narrow_and_come_last(quick):
    first, second = Scripted(HandlerResult.NEXT, quick), Scripted(HandlerResult.REFUSE, quick)
    world = guarded(authorization_handlers=(first, second))
    assert not world.admits(SEND)
    assert (first.asked, second.asked) == ([], []), "what is refused is nothing to narrow"
    root = signed(310, {"b": "orders"}, user="root")
    assert not world.admits(root), "handlers are asked about Super users too"
    assert (len(first.asked), len(second.asked)) == (1, 1)
    second.answer = HandlerResult.NEXT
    assert world.admits(root)
    assert world.admits(signed(307, {"consumerGroup": "g"}, user="root"))
    second.answer = HandlerResult.REFUSE
    # Handlers restrict requests without permissions too.
    assert not world.admits(signed(323, {}))
    assert second.asked[-1][0].name == ""


@pytest.mark.parametrize(
    "answer", [*WRONG[:-1], Ruling.ALLOW, HandlerResult.REFUSE], ids=lambda value: type(value).__name__
)
def test_a_handler_that_says_anything_else_refuses(answer):
    world = guarded(authorization_handlers=(Scripted(answer),))
    assert not world.admits(signed(310, {"b": "orders"}, user="root"))


@pytest.mark.parametrize("quick", [True, False])
def test_a_provider_authenticates_the_sender(quick):
    provider = Scripted("alice", quick)
    world = guarded(authentication_provider=provider, authorization_provider=Scripted(Ruling.ALLOW))
    access = world.admit(signed(310, {"b": "orders", "SecurityToken": "t"}, user="whoever", secret="x"))
    assert access.identity is not None
    assert (access.identity.user, access.identity.method, access.identity.is_super) == ("alice", "plugin", False)
    (claim,) = provider.asked[0]
    assert isinstance(claim, AuthenticationRequest)
    assert (claim.user, claim.token, claim.code, claim.source) == ("whoever", "t", 310, "10.1.2.3")
    assert "t'" not in repr(claim)
    assert claim.signature not in repr(claim)
    for wrong in (NotAuthenticated.REFUSED, "", " ", "a\nb", "x" * 256, None, 1, ["root"], b"root"):
        provider.answer = wrong
        assert not world.admits(SEND), wrong


def test_a_provider_authenticates_no_disabled_user():
    world = guarded(authentication_provider=Scripted("alice"), authorization_provider=Scripted(Ruling.ALLOW))
    world.users.update_user("alice", status=UserStatus.DISABLE)
    assert not world.admits(SEND)
    assert reason(world) == "disabled"


def test_an_authentication_handler_makes_a_whitelisted_sender_anonymous():
    handler = Scripted(HandlerResult.REFUSE)
    settings = GuardSettings(authentication_enabled=True, authentication_whitelist=frozenset({"105"}))
    world = guarded(settings, authentication_handlers=(handler,))
    assert not world.admits(SEND)
    assert world.admit(signed(105, {"topic": "orders"})).identity is None
    handler.answer = HandlerResult.NEXT
    assert world.admit(signed(105, {"topic": "orders"})).identity.user == "alice"
    handler.answer = ValueError("x")
    assert world.admit(signed(105, {"topic": "orders"})).identity is None


def test_a_client_that_keeps_failing_at_a_provider_is_throttled():
    provider = Scripted(NotAuthenticated.REFUSED)
    world = guarded(authentication_provider=provider)
    for _ in range(200):
        world.admits(SEND)
    assert len(provider.asked) < 100
    assert reason(world) == "throttled"


def test_a_strategy_that_fails_relies_on_nothing():
    class Broken:
        def accepts(self, result: CachedResult) -> bool:
            raise SystemExit

    world = PluginTestGuard(
        InstalledPlugins(authentication_strategy=Broken()), GuardSettings(authentication_enabled=True)
    )
    world.users.create_user("alice", SECRET)
    assert world.admits(SEND)
    assert not world.admits(signed(310, {"b": "orders"}, secret="wrong"))


def plug_of(reads, took=0):
    ticking = iter(range(0, 1_000_000, took) if took else [0] * 10)
    return PluginInvoker(
        "slow", lambda: Ruling.ALLOW, reads, quick=True, limit_ms=500, now_ms=lambda: next(ticking), ticks=lambda: 0
    )


def test_a_quick_plugin_that_is_late_is_not_used():
    assert plug_of(lambda raw: raw, took=500).ask(PluginResults()) is Ruling.ALLOW
    with pytest.raises(PluginFailed, match="the plugin `slow` gave no valid answer: plugin-late") as failed:
        plug_of(lambda raw: raw, took=501).ask(PluginResults())
    assert failed.value.reason == "plugin-late"


def timed_plug(durations_ns):
    """Return a plugin with `quick = True` whose calls take these times."""
    ticks = itertools.chain.from_iterable((0, took) for took in durations_ns)
    return PluginInvoker(
        "slow",
        lambda: Ruling.ALLOW,
        lambda raw: raw,
        quick=True,
        limit_ms=500,
        now_ms=lambda: 0,
        ticks=lambda: next(ticks),
    )


def calls_until_moved(durations_ns):
    plug = timed_plug(durations_ns)
    for number in range(len(durations_ns)):
        try:
            assert plug.ask(PluginResults()) is Ruling.ALLOW
        except PluginCallsPending:
            return number
    return None


@pytest.mark.parametrize(
    ("durations", "calls"),
    [
        ([5_000_000] * 10, None),
        ([5_000_001] * 10, 3),
        ([60_000_000] * 10, 1),
        ([5_000_001] * 2 + [0] * 1_000 + [5_000_001] * 2 + [0] * 10, None),
        ([5_000_001] * 2 + [0] * 999 + [5_000_001] * 2 + [0] * 10, 1_002),
    ],
)
def test_a_quick_plugin_that_is_slow_is_called_on_threads_from_then_on(durations, calls, caplog):
    assert calls_until_moved(durations) == calls
    assert ("worker threads" in caplog.text) == (calls is not None)


def test_a_quick_plugin_that_raises_late_is_measured_as_well():
    def late():
        raise OSError("no connection")

    ticks = iter([0, 60_000_000])
    plug = PluginInvoker(
        "p", late, lambda raw: raw, quick=True, limit_ms=500, now_ms=lambda: 0, ticks=lambda: next(ticks)
    )
    with pytest.raises(PluginFailed):
        plug.ask(PluginResults())
    with pytest.raises(PluginCallsPending):
        plug.ask(PluginResults())


def test_an_answer_that_cannot_even_be_read_is_nonsense():
    def unreadable(_raw):
        raise ZeroDivisionError

    with pytest.raises(PluginFailed) as failed:
        plug_of(unreadable).ask(PluginResults())
    assert failed.value.reason == "plugin-nonsense"


@pytest.mark.parametrize(
    ("word", "told"), [(RAISED, "fix"), (LATE, "pluginTimeoutMs"), (NONSENSE, "returned"), (BUSY, "pluginThreads")]
)
def test_every_way_to_fail_has_a_remedy(word, told):
    assert told in remedy(word)
