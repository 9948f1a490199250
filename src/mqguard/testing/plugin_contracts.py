"""Contract tests for plugins: one class for each kind of plugin.

Subclass the contract of your plugin and define the fixtures that it names. The fixture `broken` is the same plugin
while its dependency is out of order (a port without a listener, an empty file). A plugin without dependencies returns
itself.
"""
# ruff: noqa: S101, D102 - tests assert, and their names are their sentences

import copy
import itertools
import time
from collections.abc import Callable

import msgspec

from mqguard.auth.user import UserStatus
from mqguard.guard.plugin_adapters import InstalledPlugin, InstalledPlugins
from mqguard.guard.plugin_api import (
    AuthenticationHandler,
    AuthenticationProvider,
    AuthenticationRequest,
    AuthorizationHandler,
    AuthorizationProvider,
    AuthorizationRequest,
    CachedResult,
    CacheStrategy,
    HandlerResult,
    NotAuthenticated,
    RecordSink,
    Ruling,
)
from mqguard.guard.settings import GuardSettings, Strategy
from mqguard.testing.plugin_guard import (
    QUICK_S,
    SECRET,
    PluginTestGuard,
    call_in_time,
    call_together,
    is_quick,
    mean_seconds,
    signed,
)

ODD_NAMES = ("", " ", "*", "%RETRY%g", "x" * 5000, "用户", "a\nb", '"', "../..", "\0", "'; drop table", "\ud800")


def odd_requests(request: AuthorizationRequest) -> list[AuthorizationRequest]:
    """Return unusual requests that a client can cause; none of them equals the given one."""
    replace = msgspec.structs.replace
    return [
        *(replace(request, name=name) for name in ODD_NAMES),
        *(replace(request, user=name) for name in ODD_NAMES),
        replace(request, type="", name="", actions=()),
        replace(request, source="2001:db8::1"),
        replace(request, source=""),
        replace(request, code=-1),
        replace(request, code=99_999),
    ]


def topic_request(name: str, user: str = "alice", *actions: str) -> AuthorizationRequest:
    """Return a request for actions on a topic."""
    return AuthorizationRequest(
        user, "signature", "10.1.2.3", "SEND_MESSAGE_V2", 310, "Topic", name, actions or ("Pub",)
    )


class AuthorizationProviderContract:
    """Tests for any provider. Fixtures: `provider`, `broken`, `allowed` and `denied` (requests)."""

    def test_it_allows_and_denies(
        self, provider: AuthorizationProvider, allowed: AuthorizationRequest, denied: AuthorizationRequest
    ) -> None:
        assert provider.decide(allowed) is Ruling.ALLOW
        assert provider.decide(denied) in {Ruling.DENY, Ruling.NO_OPINION}

    def test_equal_requests_get_equal_answers(
        self, provider: AuthorizationProvider, allowed: AuthorizationRequest, denied: AuthorizationRequest
    ) -> None:
        asked = [allowed, denied, allowed, allowed, denied] * 4
        expected = {allowed: provider.decide(allowed), denied: provider.decide(denied)}
        assert [provider.decide(copy.copy(one)) for one in asked] == [expected[one] for one in asked]

    def test_every_request_gets_a_ruling_or_an_exception(
        self, provider: AuthorizationProvider, allowed: AuthorizationRequest
    ) -> None:
        for one in odd_requests(allowed):
            found = call_in_time(lambda one=one: provider.decide(one))  # type: ignore[misc]
            assert isinstance(found, (Ruling, Exception)), f"it answered {found!r} to {one!r}"
        assert provider.decide(allowed) is Ruling.ALLOW

    def test_a_request_without_actions_is_not_allowed(
        self, provider: AuthorizationProvider, allowed: AuthorizationRequest
    ) -> None:
        found = call_in_time(lambda: provider.decide(msgspec.structs.replace(allowed, actions=())))
        assert found is not Ruling.ALLOW

    def test_threads_get_their_own_answers(
        self, provider: AuthorizationProvider, allowed: AuthorizationRequest, denied: AuthorizationRequest
    ) -> None:
        asked = [allowed, denied] * 40
        found = call_together([lambda one=one: provider.decide(one) for one in asked])  # type: ignore[misc]
        assert [one is Ruling.ALLOW for one in found] == [True, False] * 40

    def test_nothing_is_allowed_while_its_dependency_is_broken(
        self, provider: AuthorizationProvider, broken: AuthorizationProvider, allowed: AuthorizationRequest
    ) -> None:
        if broken is not provider:
            assert call_in_time(lambda: broken.decide(allowed)) is not Ruling.ALLOW

    def test_a_quick_plugin_is_quick(self, provider: AuthorizationProvider, allowed: AuthorizationRequest) -> None:
        if is_quick(provider):
            assert mean_seconds(lambda: provider.decide(allowed)) < QUICK_S

    def test_the_guard_follows_its_ruling(self, provider: AuthorizationProvider) -> None:
        installed = InstalledPlugin("p", provider, is_quick(provider))
        world = PluginTestGuard(InstalledPlugins(authorization_provider=installed))
        world.users.create_user("alice", SECRET)
        for name in ("orders", "unknown"):
            asked = AuthorizationRequest(
                "alice", "signature", "10.1.2.3", "SEND_MESSAGE_V2", 310, "Topic", name, ("Pub",)
            )
            expected = call_in_time(lambda asked=asked: provider.decide(asked))  # type: ignore[misc]
            assert world.admits(signed(310, {"b": name})) is (expected is Ruling.ALLOW)


class AuthorizationHandlerContract:
    """Tests for any handler. Fixtures: `handler`, `broken`, `passed` and `refused` (requests)."""

    def test_it_passes_and_refuses(
        self, handler: AuthorizationHandler, passed: AuthorizationRequest, refused: AuthorizationRequest
    ) -> None:
        assert handler.check(passed) is HandlerResult.NEXT
        assert handler.check(refused) is HandlerResult.REFUSE

    def test_every_request_gets_a_result_or_an_exception(
        self, handler: AuthorizationHandler, passed: AuthorizationRequest
    ) -> None:
        for one in odd_requests(passed):
            found = call_in_time(lambda one=one: handler.check(one))  # type: ignore[misc]
            assert isinstance(found, (HandlerResult, Exception)), f"it answered {found!r} to {one!r}"
        assert handler.check(passed) is HandlerResult.NEXT

    def test_threads_get_their_own_answers(
        self, handler: AuthorizationHandler, passed: AuthorizationRequest, refused: AuthorizationRequest
    ) -> None:
        asked = [passed, refused] * 40
        found = call_together([lambda one=one: handler.check(one) for one in asked])  # type: ignore[misc]
        assert found == [HandlerResult.NEXT, HandlerResult.REFUSE] * 40

    def test_nothing_passes_while_its_dependency_is_broken(
        self, handler: AuthorizationHandler, broken: AuthorizationHandler, passed: AuthorizationRequest
    ) -> None:
        if broken is not handler:
            assert call_in_time(lambda: broken.check(passed)) is not HandlerResult.NEXT

    def test_a_quick_plugin_is_quick(self, handler: AuthorizationHandler, passed: AuthorizationRequest) -> None:
        if is_quick(handler):
            assert mean_seconds(lambda: handler.check(passed)) < QUICK_S


def odd_credentials(request: AuthenticationRequest) -> list[AuthenticationRequest]:
    """Return unusual credentials that a client can send; none of them equals the given ones."""
    replace = msgspec.structs.replace
    return [
        *(replace(request, user=name, signature="AAAA") for name in ODD_NAMES),
        *(replace(request, signature=name, token="") for name in ODD_NAMES),
        *(replace(request, token=name, signature="") for name in ODD_NAMES),
        replace(request, source="", content=b""),
    ]


class AuthenticationProviderContract:
    """Tests for any provider. Fixtures: `provider`, `broken`, `right` (a request and its user), `wrong` (a request)."""

    def test_it_authenticates_and_refuses(
        self, provider: AuthenticationProvider, right: tuple[AuthenticationRequest, str], wrong: AuthenticationRequest
    ) -> None:
        request, user = right
        assert provider.authenticate(request) == user
        assert provider.authenticate(wrong) is NotAuthenticated.REFUSED

    def test_a_failure_does_not_change_later_answers(
        self, provider: AuthenticationProvider, right: tuple[AuthenticationRequest, str], wrong: AuthenticationRequest
    ) -> None:
        request, user = right
        for _ in range(5):
            assert provider.authenticate(copy.copy(wrong)) is NotAuthenticated.REFUSED
            assert provider.authenticate(copy.copy(request)) == user

    def test_a_request_without_signature_and_token_is_not_authenticated(
        self, provider: AuthenticationProvider, right: tuple[AuthenticationRequest, str]
    ) -> None:
        bare = msgspec.structs.replace(right[0], user="", signature="", token="")
        assert not isinstance(call_in_time(lambda: provider.authenticate(bare)), str)
        named = msgspec.structs.replace(right[0], signature="", token="")
        assert not isinstance(call_in_time(lambda: provider.authenticate(named)), str), (
            "a name alone is not a credential"
        )

    def test_odd_credentials_are_refused_or_raise(
        self, provider: AuthenticationProvider, right: tuple[AuthenticationRequest, str]
    ) -> None:
        for one in odd_credentials(right[0]):
            found = call_in_time(lambda one=one: provider.authenticate(one))  # type: ignore[misc]
            assert isinstance(found, (NotAuthenticated, Exception)), f"it answered {found!r} to {one!r}"

    def test_threads_get_their_own_users(
        self, provider: AuthenticationProvider, right: tuple[AuthenticationRequest, str], wrong: AuthenticationRequest
    ) -> None:
        asked = [right[0], wrong] * 40
        found = call_together([lambda one=one: provider.authenticate(one) for one in asked])  # type: ignore[misc]
        assert found == [right[1], NotAuthenticated.REFUSED] * 40

    def test_no_user_is_authenticated_while_its_dependency_is_broken(
        self, provider: AuthenticationProvider, broken: AuthenticationProvider, right: tuple[AuthenticationRequest, str]
    ) -> None:
        if broken is not provider:
            assert not isinstance(call_in_time(lambda: broken.authenticate(right[0])), str)

    def test_a_quick_plugin_is_quick(
        self, provider: AuthenticationProvider, right: tuple[AuthenticationRequest, str]
    ) -> None:
        if is_quick(provider):
            assert mean_seconds(lambda: provider.authenticate(right[0])) < QUICK_S


class AuthenticationHandlerContract:
    """Tests for any handler. Fixtures: `handler`, `broken`, `passed` and `refused` (each a request and a user)."""

    def test_it_passes_and_refuses(
        self,
        handler: AuthenticationHandler,
        passed: tuple[AuthenticationRequest, str],
        refused: tuple[AuthenticationRequest, str],
    ) -> None:
        assert handler.check(*passed) is HandlerResult.NEXT
        assert handler.check(*refused) is HandlerResult.REFUSE

    def test_every_request_gets_a_result_or_an_exception(
        self, handler: AuthenticationHandler, passed: tuple[AuthenticationRequest, str]
    ) -> None:
        for one in odd_credentials(passed[0]):
            found = call_in_time(lambda one=one: handler.check(one, passed[1]))  # type: ignore[misc]
            assert isinstance(found, (HandlerResult, Exception)), f"it answered {found!r} to {one!r}"
        assert handler.check(*passed) is HandlerResult.NEXT

    def test_threads_get_their_own_answers(
        self,
        handler: AuthenticationHandler,
        passed: tuple[AuthenticationRequest, str],
        refused: tuple[AuthenticationRequest, str],
    ) -> None:
        asked = [passed, refused] * 40
        found = call_together([lambda one=one: handler.check(*one) for one in asked])  # type: ignore[misc]
        assert found == [HandlerResult.NEXT, HandlerResult.REFUSE] * 40

    def test_nothing_passes_while_its_dependency_is_broken(
        self, handler: AuthenticationHandler, broken: AuthenticationHandler, passed: tuple[AuthenticationRequest, str]
    ) -> None:
        if broken is not handler:
            assert call_in_time(lambda: broken.check(*passed)) is not HandlerResult.NEXT

    def test_a_quick_plugin_is_quick(
        self, handler: AuthenticationHandler, passed: tuple[AuthenticationRequest, str]
    ) -> None:
        if is_quick(handler):
            assert mean_seconds(lambda: handler.check(*passed)) < QUICK_S


class StrategyContract:
    """Tests for any cache strategy. Fixture: `strategy`, a fresh one."""

    def test_it_returns_a_bool_for_every_cached_result(self, strategy: CacheStrategy) -> None:
        for user, channel, asked, age in itertools.product(
            ("alice", "", "用户"), ("", "c1"), (None, topic_request("t")), (0, 1, 59_999, 10**9)
        ):
            assert isinstance(strategy.accepts(CachedResult(user, channel, asked, age)), bool)

    def test_it_is_quick(self, strategy: CacheStrategy) -> None:
        assert mean_seconds(lambda: strategy.accepts(CachedResult("alice", "c1", None, 5))) < QUICK_S

    def test_a_change_of_users_takes_effect_at_once(self, strategy: CacheStrategy) -> None:
        settings = GuardSettings(
            authentication_enabled=True,
            authentication_strategy=Strategy.STATEFUL,
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
        assert not world.admits(wrong), "the configured time limits the use of cached results"


LINES = (
    b'{"time":"2024-05-01T12:00:00.000Z","event":"authorization","verdict":"allow","user":"alice"}',
    '{"time":"2024-05-01T12:00:00.001Z","event":"authorization","verdict":"deny","user":"用户"}'.encode(),
    b'{"time":"2024-05-01T12:00:00.002Z","event":"change","operation":"create-user"}',
)
MAX_WAIT_S = 5.0

Written = Callable[[], list[bytes]]


class RecordSinkContract:
    """Tests for any sink. Fixtures: `sink`, a fresh one, and `written`, which returns the lines that have arrived."""

    def test_everything_arrives_once_and_in_order(self, sink: RecordSink, written: Written) -> None:
        sink.write(LINES)
        sink.write(LINES[:1])
        sink.close()
        _await(written, [*LINES, *LINES[:1]])

    def test_many_lines_at_once_arrive(self, sink: RecordSink, written: Written) -> None:
        many = tuple(b'{"number":%d}' % number for number in range(1024))
        sink.write(many)
        sink.close()
        _await(written, list(many))

    def test_an_empty_batch_is_accepted(self, sink: RecordSink, written: Written) -> None:
        sink.write(())
        sink.close()
        assert written() == []

    def test_write_and_close_return_in_time(self, sink: RecordSink) -> None:
        call_in_time(lambda: sink.write(LINES))
        call_in_time(sink.close)


def _await(written: Written, expected: list[bytes]) -> None:
    end = time.monotonic() + MAX_WAIT_S
    while (found := written()) != expected and time.monotonic() < end:
        time.sleep(0.02)
    assert found == expected
