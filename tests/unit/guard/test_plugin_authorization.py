"""Authorization with plugins."""

import dataclasses

import pytest

from mqguard.auth.policy_index import Rights
from mqguard.auth.user import User, UserStatus
from mqguard.guard.audit import Stage
from mqguard.guard.plugin_api import AuthorizationRequest, CachedResult, HandlerResult, Ruling
from mqguard.guard.plugin_authorization import Rulings
from mqguard.guard.settings import GuardSettings, Strategy
from mqguard.remoting.command import Command
from mqguard.testing.plugin_guard import signed
from tests.unit.guard.plugins import ON, Relying, Scripted, guarded, reason

STATEFUL = dataclasses.replace(ON, authorization_strategy=Strategy.STATEFUL)
CLAIMING = GuardSettings(authorization_enabled=True, trust_claimed_user=True)
SEND = signed(310, {"b": "orders"})
PULL = signed(11, {"topic": "orders", "consumerGroup": "g"})
TOPIC = AuthorizationRequest("alice", "signature", "10.1.2.3", "PULL_MESSAGE", 11, "Topic", "orders", ("Sub",))
GROUP = AuthorizationRequest("alice", "signature", "10.1.2.3", "PULL_MESSAGE", 11, "Group", "g", ("Sub",))
SENDER = AuthorizationRequest("alice", "signature", "10.1.2.3", "RESUME_CHECK_HALF_MESSAGE", 323, "", "", ())


def outcome(world, command=SEND):
    """Return the reason for a denial; None if the request is admitted."""
    return None if world.admits(command) else reason(world)


# Cached results.


@pytest.fixture(name="rights")
def some_rights():
    return Rights(User("alice", ()), None)


def test_a_ruling_is_for_one_question_and_the_rights_of_that_moment(rights):
    rulings = Rulings(2, 1_000, None)
    rulings.add(TOPIC, rights, Ruling.DENY, 5)

    assert rulings.find(TOPIC, rights, 5) is Ruling.DENY
    assert rulings.find(GROUP, rights, 5) is None
    assert rulings.find(TOPIC, Rights(User("alice", ()), None), 5) is None
    assert rulings.find(TOPIC, None, 5) is None


def test_a_ruling_ends_with_its_time(rights):
    rulings = Rulings(2, 1_000, None)
    rulings.add(TOPIC, rights, Ruling.ALLOW, 5)

    assert rulings.find(TOPIC, rights, 1_004) is Ruling.ALLOW
    assert rulings.find(TOPIC, rights, 1_005) is None


def test_at_the_limit_all_rulings_are_forgotten(rights):
    """And asked for again."""
    rulings = Rulings(2, 1_000, None)
    for question in (TOPIC, GROUP):
        rulings.add(question, rights, Ruling.ALLOW, 0)
    assert {rulings.find(question, rights, 0) for question in (TOPIC, GROUP)} == {Ruling.ALLOW}

    rulings.add(SENDER, rights, Ruling.DENY, 0)

    assert [rulings.find(question, rights, 0) for question in (TOPIC, GROUP, SENDER)] == [None, None, Ruling.DENY]


def test_a_strategy_is_asked_about_a_ruling_that_could_be_relied_on(rights):
    """The strategy gets the question and its age, and no other question."""
    strategy = Relying()
    rulings = Rulings(2, 1_000, strategy)
    rulings.add(TOPIC, rights, Ruling.ALLOW, 5)
    for question, now in ((GROUP, 5), (TOPIC, 1_005)):
        assert rulings.find(question, rights, now) is None
    assert strategy.asked == []

    assert rulings.find(TOPIC, rights, 305) is Ruling.ALLOW
    assert strategy.asked == [CachedResult("alice", "", TOPIC, 300)]
    for answer in (False, None, 1):
        strategy.answer = answer
        assert rulings.find(TOPIC, rights, 305) is None


@pytest.mark.parametrize("quick", [True, False])
@pytest.mark.parametrize("by", ["setting", "plugin"])
def test_rulings_are_cached_where_a_strategy_says_so(quick, by):
    provider = Scripted(Ruling.ALLOW, quick)
    if by == "setting":
        world = guarded(STATEFUL, authorization_provider=provider)
    else:
        world = guarded(ON, authorization_provider=provider, authorization_strategy=Relying())
    for _ in range(3):
        assert outcome(world, PULL) is None
    assert [question for (question,) in provider.asked] == [TOPIC, GROUP]

    provider.answer = Ruling.DENY
    assert outcome(world, PULL) is None
    world.users.update_user("alice", secret="another secret of usual length")
    assert outcome(world, signed(11, dict(PULL.ext), secret="another secret of usual length")) == "plugin-refused"


def test_a_denial_is_cached_too():
    provider = Scripted(Ruling.DENY)
    world = guarded(STATEFUL, authorization_provider=provider)
    for _ in range(3):
        assert outcome(world) == "plugin-refused"

    assert len(provider.asked) == 1


def test_how_many_rulings_are_cached_and_how_long_are_the_operators_numbers():
    provider = Scripted(Ruling.ALLOW)
    settings = dataclasses.replace(STATEFUL, stateful_rulings=1, stateful_rulings_ms=50)
    world = guarded(settings, authorization_provider=provider)
    world.admit(signed(310, {"b": "bills"}))
    world.admit(SEND)
    world.clock.now += 49
    world.admit(SEND)
    world.admit(signed(310, {"b": "bills"}))

    assert [question.name for (question,) in provider.asked] == ["bills", "orders", "bills"]


def test_without_a_strategy_every_request_is_asked_about():
    provider = Scripted(Ruling.ALLOW)
    world = guarded(authorization_provider=provider)
    for _ in range(3):
        world.admit(SEND)

    assert len(provider.asked) == 3


# Senders about whom plugins decide.


def test_no_plugin_is_called_for_an_anonymous_request():
    """A whitelisted anonymous sender has no permissions, for any answer of a provider."""
    provider, handler = Scripted(Ruling.ALLOW), Scripted(HandlerResult.NEXT)
    settings = dataclasses.replace(ON, authentication_whitelist=frozenset({"310", "323"}))
    world = guarded(settings, authorization_provider=provider, authorization_handlers=(handler,))

    assert outcome(world, Command(310, ext={"b": "orders"})) == "no-credentials"
    assert outcome(world, Command(323)) == "no-credentials"
    assert provider.asked == handler.asked == []


@pytest.mark.parametrize("provided", [True, False])
def test_a_request_that_needs_no_more_than_a_user(provided):
    """A user of the provider's need not be one of ours; who is disabled or only says to be Super is refused."""
    plugins = {"authorization_provider": Scripted(Ruling.DENY)} if provided else {}
    world = guarded(CLAIMING, authorization_handlers=(Scripted(HandlerResult.NEXT),), **plugins)
    world.users.create_user("carol", "x", status=UserStatus.DISABLE)
    outcomes = {name: outcome(world, Command(323, ext={"AccessKey": name})) for name in ("alice", "dave", "carol")}

    assert outcomes == {"alice": None, "dave": None if provided else "unknown-user", "carol": "disabled"}
    assert outcome(world, Command(323, ext={"AccessKey": "root"})) == "no-credentials"
    assert outcome(world, Command(323)) == "no-credentials"


@pytest.mark.parametrize("quick", [True, False])
def test_a_super_user_is_not_asked_about(quick):
    """However much it needs."""
    provider = Scripted(Ruling.DENY, quick)
    world = guarded(authorization_provider=provider)

    assert outcome(world, signed(11, {"topic": "orders", "consumerGroup": "g"}, user="root")) is None
    assert provider.asked == []


# Calls of handlers.


def test_handlers_are_called_for_everything_that_is_touched():
    handler = Scripted(HandlerResult.NEXT)
    world = guarded(authorization_provider=Scripted(Ruling.ALLOW), authorization_handlers=(handler,))
    world.admit(PULL)
    world.admit(signed(323, {}))

    assert handler.asked == [(TOPIC,), (GROUP,), (SENDER,)]


@pytest.mark.parametrize("command", [SEND, signed(323, {})])
@pytest.mark.parametrize(
    ("answer", "expected"),
    [(HandlerResult.REFUSE, "plugin-refused"), (ValueError("x"), "plugin-raised"), (None, "plugin-nonsense")],
)
@pytest.mark.parametrize("quick", [True, False])
def test_a_handler_that_refuses_or_fails_refuses(command, answer, expected, quick):
    """Every request, those that need no more than a user as well."""
    handlers = (Scripted(HandlerResult.NEXT, quick), Scripted(answer, quick))
    world = guarded(authorization_provider=Scripted(Ruling.ALLOW, quick), authorization_handlers=handlers)

    assert outcome(world, command) == expected
    refusal = world.guard.denials.last(1)[0]
    assert refusal.event.stage is Stage.AUTHORIZATION
    if expected == "plugin-refused" and command is SEND:
        assert "User:alice has no permission to access Topic:orders from 10.1.2.3" in refusal.message
    else:
        assert refusal.message.startswith("Authorization failed. Please verify your access rights and try again.")


def test_an_admission_is_audited_with_its_reason():
    world = guarded(authorization_provider=Scripted(Ruling.ALLOW))
    world.admit(SEND)
    world.admit(signed(323, {}))

    assert [(record.reason, len(record.verdicts)) for record in world.records] == [
        ("allowed", 1),
        ("authenticated", 0),
    ]
