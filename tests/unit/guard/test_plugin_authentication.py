"""Authentication with plugins."""

import dataclasses

import pytest

from mqguard.auth.user import UserStatus
from mqguard.guard.admitted_request import Identity
from mqguard.guard.errors import Refused
from mqguard.guard.plugin_api import CachedResult, HandlerResult, NotAuthenticated, Ruling
from mqguard.guard.settings import GuardSettings, Strategy
from mqguard.model.peer import Channel, Peer
from mqguard.remoting.command import Command
from mqguard.remoting.signed_content import signed_content
from mqguard.testing.plugin_guard import PEER, signed
from tests.fixtures.links import channel
from tests.unit.guard.plugins import Relying, Scripted, guarded, reason

ALONE = GuardSettings(authentication_enabled=True)
EXCUSING = dataclasses.replace(ALONE, authentication_whitelist=frozenset({"105"}))
STATEFUL = dataclasses.replace(ALONE, authentication_strategy=Strategy.STATEFUL)
SEND = signed(310, {"b": "orders"}, b"body")


def beside(name):
    """Another connection from the same address."""
    return Peer(PEER.ip, 4000, channel(name))


def outcome(world, peer=PEER, command=SEND):
    """Return the reason for a denial; None if the request is admitted."""
    return None if world.admits(command, peer) else reason(world)


def test_a_claim_shows_what_the_request_showed():
    """Absent credentials are empty."""
    provider = Scripted("alice")
    world = guarded(ALONE, authentication_provider=provider)
    ext = {**SEND.ext, "SecurityToken": "token"}
    world.admit(Command(310, version=513, ext=ext, body=b"body"), Peer("10.9.9.9", 1, Channel("c"), tls=True))
    world.admit(Command(25))
    [full], [empty] = provider.asked

    assert (full.user, full.signature, full.token) == ("alice", SEND.ext["Signature"], "token")
    assert full.content == signed_content(ext, b"body", 513)
    assert (full.code, full.source, full.tls) == (310, "10.9.9.9", True)
    assert (empty.user, empty.signature, empty.token, empty.code, empty.tls) == ("", "", "", 25, False)


def test_handlers_get_the_user():
    handler = Scripted(HandlerResult.NEXT)
    world = guarded(ALONE, authentication_provider=Scripted("stranger"), authentication_handlers=(handler,))
    world.admit(SEND)

    assert [(claim.user, user) for claim, user in handler.asked] == [("alice", "stranger")]


@pytest.mark.parametrize("named", [{"AccessKey": "alice"}, {"SecurityToken": "t"}])
def test_a_provider_is_asked_about_an_whitelisted_request_only_if_it_shows_something(named):
    provider = Scripted("alice")
    world = guarded(EXCUSING, authentication_provider=provider)

    assert world.admit(Command(105)).identity is None
    assert provider.asked == []
    assert world.admit(Command(105, ext=named)).identity.user == "alice"


@pytest.mark.parametrize("answer", [NotAuthenticated.REFUSED, ValueError("x"), None])
def test_a_whitelisted_request_with_invalid_credentials_is_anonymous(answer):
    world = guarded(EXCUSING, authentication_provider=Scripted(answer))

    assert world.admit(Command(105, ext={"AccessKey": "alice"})).identity is None


def test_handlers_are_not_called_for_anonymous_requests():
    """There is no user to restrict."""
    handler = Scripted(HandlerResult.REFUSE)
    world = guarded(EXCUSING, authentication_handlers=(handler,))

    assert world.admit(Command(105)).identity is None
    assert handler.asked == []


@pytest.mark.parametrize(
    ("answer", "expected"),
    [(NotAuthenticated.REFUSED, "plugin-refused"), (ValueError("x"), "plugin-raised"), (None, "plugin-nonsense")],
)
@pytest.mark.parametrize("port", ["provider", "handler"])
def test_a_plugin_that_fails_denies_with_the_usual_message(answer, expected, port):
    """The kept denial has the reason."""
    if port == "provider":
        world = guarded(ALONE, authentication_provider=Scripted(answer))
    else:
        world = guarded(
            ALONE,
            authentication_handlers=(
                Scripted(HandlerResult.REFUSE if isinstance(answer, NotAuthenticated) else answer),
            ),
        )
    with pytest.raises(
        Refused, match=r"^Authentication failed\. Please verify the credentials and try again\."
    ) as refused:
        world.admit(SEND)

    story = world.guard.denials.find(refused.value.decision_id)
    assert (story.event.stage.value, story.event.reason) == ("authentication", expected)


def test_a_disabled_user_is_denied_for_every_provider_and_setting():
    world = guarded(ALONE, authentication_provider=Scripted("alice"))
    world.users.update_user("alice", status=UserStatus.DISABLE)

    assert outcome(world) == "disabled"
    assert "User:alice is disabled." in world.guard.denials.last(1)[0].message


@pytest.mark.parametrize(("name", "is_super"), [("alice", False), ("root", True), ("stranger", False)])
def test_only_our_users_decide_who_is_super(name, is_super):
    """A provider may authenticate users that the server does not know."""
    world = guarded(authentication_provider=Scripted(name), authorization_provider=Scripted(Ruling.ALLOW))

    assert world.admit(SEND).identity == Identity(name, "plugin", is_super)


# Cached results.


def test_an_authentication_is_cached_where_the_strategy_says_so():
    """For one user, one connection, one version of the users and a limited time."""
    provider = Scripted("alice")
    world = guarded(STATEFUL, authentication_provider=provider)
    first = world.admit(SEND).identity
    provider.answer = NotAuthenticated.REFUSED

    assert world.admit(SEND).identity == first == Identity("alice", "plugin")
    assert len(provider.asked) == 1
    for command, peer in ((SEND, beside("other")), (signed(310, {}, user="bob"), PEER)):
        assert outcome(world, peer, command) == "plugin-refused"
    world.clock.now += STATEFUL.stateful_ms
    assert outcome(world) == "plugin-refused"


def test_a_change_of_users_ends_what_was_proved():
    provider = Scripted("alice")
    world = guarded(STATEFUL, authentication_provider=provider)
    world.admit(SEND)
    world.users.create_user("bob", "x")
    provider.answer = NotAuthenticated.REFUSED

    assert outcome(world) == "plugin-refused"


def test_without_such_a_strategy_every_request_is_asked_about():
    provider = Scripted("alice")
    world = guarded(ALONE, authentication_provider=provider)
    for _ in range(3):
        world.admit(SEND)

    assert len(provider.asked) == 3


@pytest.mark.parametrize("provided", [True, False])
def test_a_strategy_decides_whether_a_authentication_is_relied_on(provided):
    """The strategy gets the user and the age, for signatures and for a provider."""
    strategy = Relying()
    provider = {"authentication_provider": Scripted("alice")} if provided else {}
    world = guarded(ALONE, authentication_strategy=strategy, **provider)
    altered = Command(310, version=513, ext=SEND.ext, body=b"other")
    world.admit(SEND)
    world.clock.now += 300
    if provided:
        provider["authentication_provider"].answer = NotAuthenticated.REFUSED

    assert outcome(world, command=altered) is None
    assert strategy.asked == [CachedResult("alice", "channel-1", None, 300)]
    for answer in (False, None, 1):
        strategy.answer = answer
        assert outcome(world, command=altered) in {"plugin-refused", "wrong-signature"}


# The throttle.


def keep_failing(world, provider, peer=PEER, times=15, command=SEND):
    provider.answer, good = NotAuthenticated.REFUSED, provider.answer
    last = [outcome(world, peer, command) for _ in range(times)][-1]
    provider.answer = good
    return last


@pytest.fixture(name="provider")
def a_provider():
    return Scripted("alice")


@pytest.fixture(name="world")
def a_world(provider):
    return guarded(ALONE, authentication_provider=provider)


def test_a_connection_that_keeps_failing_is_slowed_by_itself(world, provider):
    assert keep_failing(world, provider) == "throttled"
    assert outcome(world, command=signed(310, {}, user="bob")) == "throttled"
    assert outcome(world, beside("another"), signed(310, {}, user="bob")) is None


def test_credentials_without_a_user_are_never_cached(world, provider):
    for number in range(20):
        keep_failing(world, provider, beside(f"guesser-{number}"), command=signed(310, {}, user=f"guess-{number}"))
    assert outcome(world, beside("newcomer")) == "throttled", "so many failures slow the address, whoever is claimed"
    asked = len(provider.asked)

    assert outcome(world, command=Command(310)) is None
    assert len(provider.asked) == asked + 1


def test_who_shows_nothing_guesses_nothing(world, provider):
    """Some clients send no credentials to a name server; that slows no other client."""
    assert keep_failing(world, provider, times=150, command=Command(310)) == "plugin-refused"
    assert keep_failing(world, provider, times=2) == "plugin-refused"


def test_tokens_without_a_user_are_guesses(world, provider):
    """Also of a connection that has proved to be somebody by another token."""
    token = Command(310, ext={"SecurityToken": "t"})
    other = Command(310, ext={"SecurityToken": "u"})
    assert outcome(world, command=token) is None
    assert keep_failing(world, provider, command=other) == "throttled"
    assert outcome(world, command=other) == "throttled"
    assert outcome(world, beside("rightful"), token) is None


def test_a_connection_that_has_proved_is_slowed_for_other_names_only(world, provider):
    world.admit(SEND)

    assert keep_failing(world, provider, times=150) == "plugin-refused"
    assert outcome(world) is None
    other = signed(310, {}, user="bob")
    provider.answer = NotAuthenticated.REFUSED
    assert [outcome(world, command=other) for _ in range(15)][-1] == "throttled"


def test_a_connection_that_has_proved_is_slowed_once_its_user_has_changed(world, provider):
    """The earlier authentication was with another secret, or another user of that name."""
    world.admit(SEND)
    assert keep_failing(world, provider, times=150) == "plugin-refused"
    world.users.update_user("alice", "new")
    assert keep_failing(world, provider) == "throttled"


def test_a_claim_that_the_provider_does_not_confirm_is_slowed(world, provider):
    """A provider may name another user than the request claims: that does not authenticate the claim."""
    provider.answer = "mallory"
    world.admit(SEND)

    assert keep_failing(world, provider) == "throttled"


def test_a_cached_authentication_is_not_used_for_another_token():
    """Requests that claim one access key may carry the tokens of many users."""
    provider = Scripted("bob")
    world = guarded(STATEFUL, authentication_provider=provider)
    assert world.admit(SEND).identity.user == "bob"

    provider.answer = "eve"

    assert world.admit(SEND).identity.user == "eve"
