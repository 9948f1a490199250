"""What every `AuthorizationProvider` and `AuthorizationHandler` does, as tests.

Subclass the contract and give it the fixtures that it names. `broken` is the same plugin with whatever it depends on
out of order (a port where nobody listens, an empty file); a plugin that depends on nothing answers with itself.
"""
# ruff: noqa: S101, D102 - tests assert, and their names are their sentences

import copy

import msgspec

from mqguard.guard.plugin_adapters import InstalledPlugin, InstalledPlugins
from mqguard.guard.plugin_api import (
    AuthorizationHandler,
    AuthorizationProvider,
    AuthorizationRequest,
    HandlerResult,
    Ruling,
)
from mqguard.testing.plugin_calls import QUICK_S, call_in_time, call_together, is_quick, mean_seconds
from mqguard.testing.plugin_guard import SECRET, PluginTestGuard, signed

ODD_NAMES = ("", " ", "*", "%RETRY%g", "x" * 5000, "用户", "a\nb", '"', "../..", "\0", "'; drop table", "\ud800")


def odd_questions(question: AuthorizationRequest) -> list[AuthorizationRequest]:
    """Questions that a peer can bring about, none of them the one that is given."""
    replace = msgspec.structs.replace
    return [
        *(replace(question, name=name) for name in ODD_NAMES),
        *(replace(question, user=name) for name in ODD_NAMES),
        replace(question, type="", name="", actions=()),
        replace(question, source="2001:db8::1"),
        replace(question, source=""),
        replace(question, code=-1),
        replace(question, code=99_999),
    ]


def question(name: str, user: str = "alice", *actions: str) -> AuthorizationRequest:
    """A question about a topic."""
    return AuthorizationRequest(user, "signature", "10.1.2.3", 310, "Topic", name, actions or ("Pub",))


class AuthorizationProviderContract:
    """Tests for any provider. Fixtures: `provider`, `broken`, `allowed` and `denied` (questions)."""

    def test_it_allows_and_denies(
        self, provider: AuthorizationProvider, allowed: AuthorizationRequest, denied: AuthorizationRequest
    ) -> None:
        assert provider.decide(allowed) is Ruling.ALLOW
        assert provider.decide(denied) in {Ruling.DENY, Ruling.SILENT}

    def test_it_answers_the_same_again(
        self, provider: AuthorizationProvider, allowed: AuthorizationRequest, denied: AuthorizationRequest
    ) -> None:
        asked = [allowed, denied, allowed, allowed, denied] * 4
        expected = {allowed: provider.decide(allowed), denied: provider.decide(denied)}
        assert [provider.decide(copy.copy(one)) for one in asked] == [expected[one] for one in asked]

    def test_whatever_is_asked_it_rules_or_raises(
        self, provider: AuthorizationProvider, allowed: AuthorizationRequest
    ) -> None:
        for one in odd_questions(allowed):
            found = call_in_time(lambda one=one: provider.decide(one))  # type: ignore[misc]
            assert isinstance(found, (Ruling, Exception)), f"it answered {found!r} to {one!r}"
        assert provider.decide(allowed) is Ruling.ALLOW

    def test_a_question_without_actions_is_not_allowed(
        self, provider: AuthorizationProvider, allowed: AuthorizationRequest
    ) -> None:
        found = call_in_time(lambda: provider.decide(msgspec.structs.replace(allowed, actions=())))
        assert found is not Ruling.ALLOW

    def test_threads_do_not_mix_answers_up(
        self, provider: AuthorizationProvider, allowed: AuthorizationRequest, denied: AuthorizationRequest
    ) -> None:
        asked = [allowed, denied] * 40
        found = call_together([lambda one=one: provider.decide(one) for one in asked])  # type: ignore[misc]
        assert [one is Ruling.ALLOW for one in found] == [True, False] * 40

    def test_what_it_depends_on_is_out_of_order_and_it_allows_nothing(
        self, provider: AuthorizationProvider, broken: AuthorizationProvider, allowed: AuthorizationRequest
    ) -> None:
        if broken is not provider:
            assert call_in_time(lambda: broken.decide(allowed)) is not Ruling.ALLOW

    def test_it_is_as_quick_as_it_says(self, provider: AuthorizationProvider, allowed: AuthorizationRequest) -> None:
        if is_quick(provider):
            assert mean_seconds(lambda: provider.decide(allowed)) < QUICK_S

    def test_the_guard_does_as_it_says(self, provider: AuthorizationProvider) -> None:
        installed = InstalledPlugin("p", provider, is_quick(provider))
        world = PluginTestGuard(InstalledPlugins(authorization_provider=installed))
        world.users.create_user("alice", SECRET)
        for name in ("orders", "unheard-of"):
            asked = AuthorizationRequest("alice", "signature", "10.1.2.3", 310, "Topic", name, ("Pub",))
            expected = call_in_time(lambda asked=asked: provider.decide(asked))  # type: ignore[misc]
            assert world.admits(signed(310, {"b": name})) is (expected is Ruling.ALLOW)


class AuthorizationHandlerContract:
    """Tests for any handler. Fixtures: `handler`, `broken`, `passed` and `refused` (questions)."""

    def test_it_passes_and_refuses(
        self, handler: AuthorizationHandler, passed: AuthorizationRequest, refused: AuthorizationRequest
    ) -> None:
        assert handler.check(passed) is HandlerResult.NEXT
        assert handler.check(refused) is HandlerResult.REFUSE

    def test_whatever_is_asked_it_steps_or_raises(
        self, handler: AuthorizationHandler, passed: AuthorizationRequest
    ) -> None:
        for one in odd_questions(passed):
            found = call_in_time(lambda one=one: handler.check(one))  # type: ignore[misc]
            assert isinstance(found, (HandlerResult, Exception)), f"it answered {found!r} to {one!r}"
        assert handler.check(passed) is HandlerResult.NEXT

    def test_threads_do_not_mix_answers_up(
        self, handler: AuthorizationHandler, passed: AuthorizationRequest, refused: AuthorizationRequest
    ) -> None:
        asked = [passed, refused] * 40
        found = call_together([lambda one=one: handler.check(one) for one in asked])  # type: ignore[misc]
        assert found == [HandlerResult.NEXT, HandlerResult.REFUSE] * 40

    def test_what_it_depends_on_is_out_of_order_and_it_passes_nothing(
        self, handler: AuthorizationHandler, broken: AuthorizationHandler, passed: AuthorizationRequest
    ) -> None:
        if broken is not handler:
            assert call_in_time(lambda: broken.check(passed)) is not HandlerResult.NEXT

    def test_it_is_as_quick_as_it_says(self, handler: AuthorizationHandler, passed: AuthorizationRequest) -> None:
        if is_quick(handler):
            assert mean_seconds(lambda: handler.check(passed)) < QUICK_S
