"""What every `AuthenticationProvider` and `AuthenticationHandler` does, as tests.

Subclass the contract and give it the fixtures that it names. `broken` is the same plugin with whatever it depends on
out of order; a plugin that depends on nothing answers with itself.
"""
# ruff: noqa: S101, D102 - tests assert, and their names are their sentences

import copy

import msgspec

from mqguard.guard.plugin_api import (
    AuthenticationHandler,
    AuthenticationProvider,
    AuthenticationRequest,
    HandlerResult,
    NotAuthenticated,
)
from mqguard.testing.authorization_contract import ODD_NAMES
from mqguard.testing.plugin_calls import QUICK_S, call_in_time, call_together, is_quick, mean_seconds


def odd_claims(claim: AuthenticationRequest) -> list[AuthenticationRequest]:
    """Claims that a peer can make, none of them the one that is given."""
    replace = msgspec.structs.replace
    return [
        *(replace(claim, user=name, signature="AAAA") for name in ODD_NAMES),
        *(replace(claim, signature=name, token="") for name in ODD_NAMES),
        *(replace(claim, token=name, signature="") for name in ODD_NAMES),
        replace(claim, source="", content=b""),
    ]


class AuthenticationProviderContract:
    """Tests for any provider. Fixtures: `provider`, `broken`, `right` (a claim and the user it proves), `wrong`."""

    def test_it_proves_and_refuses(
        self, provider: AuthenticationProvider, right: tuple[AuthenticationRequest, str], wrong: AuthenticationRequest
    ) -> None:
        claim, user = right
        assert provider.authenticate(claim) == user
        assert provider.authenticate(wrong) is NotAuthenticated.REFUSED

    def test_a_failure_leaves_nothing_behind(
        self, provider: AuthenticationProvider, right: tuple[AuthenticationRequest, str], wrong: AuthenticationRequest
    ) -> None:
        claim, user = right
        for _ in range(5):
            assert provider.authenticate(copy.copy(wrong)) is NotAuthenticated.REFUSED
            assert provider.authenticate(copy.copy(claim)) == user

    def test_nothing_proves_nobody(
        self, provider: AuthenticationProvider, right: tuple[AuthenticationRequest, str]
    ) -> None:
        bare = msgspec.structs.replace(right[0], user="", signature="", token="")
        assert not isinstance(call_in_time(lambda: provider.authenticate(bare)), str)
        named = msgspec.structs.replace(right[0], signature="", token="")
        assert not isinstance(call_in_time(lambda: provider.authenticate(named)), str), "a name alone proves nothing"

    def test_whatever_is_claimed_it_refuses_or_raises(
        self, provider: AuthenticationProvider, right: tuple[AuthenticationRequest, str]
    ) -> None:
        for one in odd_claims(right[0]):
            found = call_in_time(lambda one=one: provider.authenticate(one))  # type: ignore[misc]
            assert isinstance(found, (NotAuthenticated, Exception)), f"it answered {found!r} to {one!r}"

    def test_threads_do_not_mix_users_up(
        self, provider: AuthenticationProvider, right: tuple[AuthenticationRequest, str], wrong: AuthenticationRequest
    ) -> None:
        asked = [right[0], wrong] * 40
        found = call_together([lambda one=one: provider.authenticate(one) for one in asked])  # type: ignore[misc]
        assert found == [right[1], NotAuthenticated.REFUSED] * 40

    def test_what_it_depends_on_is_out_of_order_and_it_proves_nobody(
        self, provider: AuthenticationProvider, broken: AuthenticationProvider, right: tuple[AuthenticationRequest, str]
    ) -> None:
        if broken is not provider:
            assert not isinstance(call_in_time(lambda: broken.authenticate(right[0])), str)

    def test_it_is_as_quick_as_it_says(
        self, provider: AuthenticationProvider, right: tuple[AuthenticationRequest, str]
    ) -> None:
        if is_quick(provider):
            assert mean_seconds(lambda: provider.authenticate(right[0])) < QUICK_S


class AuthenticationHandlerContract:
    """Tests for any handler. Fixtures: `handler`, `broken`, `passed` and `refused` (each a claim and a user)."""

    def test_it_passes_and_refuses(
        self,
        handler: AuthenticationHandler,
        passed: tuple[AuthenticationRequest, str],
        refused: tuple[AuthenticationRequest, str],
    ) -> None:
        assert handler.check(*passed) is HandlerResult.NEXT
        assert handler.check(*refused) is HandlerResult.REFUSE

    def test_whatever_is_asked_it_steps_or_raises(
        self, handler: AuthenticationHandler, passed: tuple[AuthenticationRequest, str]
    ) -> None:
        for one in odd_claims(passed[0]):
            found = call_in_time(lambda one=one: handler.check(one, passed[1]))  # type: ignore[misc]
            assert isinstance(found, (HandlerResult, Exception)), f"it answered {found!r} to {one!r}"
        assert handler.check(*passed) is HandlerResult.NEXT

    def test_threads_do_not_mix_answers_up(
        self,
        handler: AuthenticationHandler,
        passed: tuple[AuthenticationRequest, str],
        refused: tuple[AuthenticationRequest, str],
    ) -> None:
        asked = [passed, refused] * 40
        found = call_together([lambda one=one: handler.check(*one) for one in asked])  # type: ignore[misc]
        assert found == [HandlerResult.NEXT, HandlerResult.REFUSE] * 40

    def test_what_it_depends_on_is_out_of_order_and_it_passes_nothing(
        self, handler: AuthenticationHandler, broken: AuthenticationHandler, passed: tuple[AuthenticationRequest, str]
    ) -> None:
        if broken is not handler:
            assert call_in_time(lambda: broken.check(*passed)) is not HandlerResult.NEXT

    def test_it_is_as_quick_as_it_says(
        self, handler: AuthenticationHandler, passed: tuple[AuthenticationRequest, str]
    ) -> None:
        if is_quick(handler):
            assert mean_seconds(lambda: handler.check(*passed)) < QUICK_S
