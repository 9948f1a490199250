"""The stateful strategy decides as the stateless one, for any requests and changes in any order.

There is one intended difference. On a connection that has authenticated as a user, a later signature of that user is not
verified. This ends with any change of users and policies, with the time limit, and with the end of the secret.
"""

import dataclasses
from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st

from mqguard.auth.errors import MetadataRejected
from mqguard.auth.resource import Resource
from mqguard.auth.user import Subject, UserStatus, UserType
from mqguard.guard.errors import Refused
from mqguard.guard.plugin_adapters import InstalledPlugin, InstalledPlugins
from mqguard.guard.plugin_api import AuthorizationRequest, CachedResult, Ruling
from mqguard.guard.settings import GuardSettings, Strategy
from mqguard.model.peer import Peer
from mqguard.remoting.command import Command
from mqguard.testing.plugin_guard import PluginTestGuard
from tests.fixtures.links import channel as channel_of
from tests.unit.guard.world import World, signed

KEEP_MS = 1_000
SETTINGS = GuardSettings(authentication_enabled=True, authorization_enabled=True, stateful_ms=KEEP_MS)
USERS, SECRETS, TOPICS, CHANNELS = ("alice", "bob", "root"), ("one", "two"), ("orders", "bills"), ("c1", "c2")
CODES = {310: "b", 105: "topic", 12: "topic", 34: "x"}

# The first choice is frequent: the cache has an effect only if the same request comes again.
OFTEN_USERS = ("alice", "alice", "alice", *USERS)
OFTEN_SECRETS = ("one", "one", "one", "two", "two", None)
OFTEN_CODES = (310, 310, 310, 310, *CODES)
requests = st.tuples(
    st.just("request"),
    st.sampled_from(OFTEN_USERS),
    st.sampled_from(OFTEN_SECRETS),
    st.sampled_from(OFTEN_CODES),
    st.sampled_from(TOPICS),
    st.sampled_from(CHANNELS),
)
changes = st.one_of(
    st.tuples(st.just("secret"), st.sampled_from(OFTEN_USERS), st.sampled_from(SECRETS)),
    st.tuples(st.just("rotate"), st.sampled_from(OFTEN_USERS), st.sampled_from(SECRETS)),
    st.tuples(st.just("status"), st.sampled_from(OFTEN_USERS), st.sampled_from(list(UserStatus))),
    st.tuples(st.just("delete"), st.sampled_from(OFTEN_USERS)),
    st.tuples(
        st.just("create"), st.sampled_from(OFTEN_USERS), st.sampled_from(SECRETS), st.sampled_from(list(UserType))
    ),
    st.tuples(st.just("allow"), st.sampled_from(OFTEN_USERS), st.sampled_from(TOPICS)),
    st.tuples(st.just("deny"), st.sampled_from(OFTEN_USERS), st.sampled_from(TOPICS)),
    st.tuples(st.just("forget"), st.sampled_from(OFTEN_USERS), st.sampled_from(TOPICS)),
    st.tuples(st.just("time"), st.sampled_from([1, KEEP_MS // 2, KEEP_MS])),
)
whitelists = st.frozensets(st.sampled_from([str(code) for code in CODES]), max_size=2)


class Unhurried:
    """No throttle: what it knows depends on how many signatures were looked at."""

    def wait_ms(self, *_):
        return 0

    def failed(self, *_):
        """Forget."""

    succeeded = failed


def world(strategy, authentication, authorization):
    settings_of_world = dataclasses.replace(
        SETTINGS,
        authentication_strategy=strategy,
        authorization_strategy=strategy,
        authentication_whitelist=authentication,
        authorization_whitelist=authorization,
    )
    with mock.patch.object(GuardSettings, "throttle", return_value=Unhurried()):
        found = World(settings_of_world)
    for user in ("root", "alice"):
        found.metadata.update_user(user, secret="one")
    found.metadata.create_user("super", "kept, for one must be", UserType.SUPER)
    found.allow("alice", "Topic:orders", "Pub")
    return found


def change(world, kind, *what):
    users = world.metadata
    try:
        match kind, *what:
            case "secret", user, secret:
                users.update_user(user, secret=secret)
            case "rotate", user, secret:
                users.update_user(user, secret=secret, keep_old_until=world.clock.now + KEEP_MS // 2)
            case "status", user, status:
                users.update_user(user, status=status)
            case "delete", user:
                users.delete_user(user)
            case "create", user, secret, type_:
                users.create_user(user, secret, type_)
            case "allow", user, topic:
                world.allow(user, f"Topic:{topic}", "Pub", "Get")
            case "deny", user, topic:
                world.deny(user, f"Topic:{topic}", "Pub")
            case "forget", user, topic:
                users.delete_acl(Subject(user), None, Resource.parse(f"Topic:{topic}"))
            case "time", ms:
                world.clock.now += ms
    except MetadataRejected:
        pass


def outcome(world, command, peer):
    try:
        access = world.admission.admit(command, peer)
    except Refused as refused:
        reason = world.sink.records[-1].reason
        return "refused", str(reason), refused.message.partition(" [")[0]
    return "admitted", access.identity, access.permissions


def command(user, secret, code, topic):
    if secret is None:
        return Command(code, version=513, ext={CODES[code]: topic, "AccessKey": user})
    return signed(code, {CODES[code]: topic}, user=user, secret=secret)


@settings(max_examples=max(300, settings.default.max_examples))
@given(st.lists(st.one_of(requests, requests, changes), min_size=12, max_size=30), whitelists, whitelists)
def test_stateful_is_stateless_but_for_signatures_that_need_no_look(events, authentication, authorization):
    plain = world(Strategy.STATELESS, authentication, authorization)
    quick = world(Strategy.STATEFUL, authentication, authorization)
    proven = {}
    for kind, *what in events:
        if kind != "request":
            change(plain, kind, *what)
            change(quick, kind, *what)
            continue
        user, secret, code, topic, channel = what
        peer, asked = Peer("10.1.2.3", 4000, channel_of(channel)), command(user, secret, code, topic)
        one, other = outcome(plain, asked, peer), outcome(quick, asked, peer)
        version, now = plain.metadata.snapshot.version, plain.clock.now
        if one == other:
            # A known user has authenticated now or earlier: the whitelist authenticates no sender.
            if other[0] == "admitted" and other[1] is not None and secret is not None:
                proven.setdefault((channel, user, version), now)
            elif one[1] not in {"wrong-signature", "expired-secret", "disabled", "unknown-user"} and secret is not None:
                # Proved, and then refused for want of rights.
                proven.setdefault((channel, user, version), now)
            continue
        assert secret is not None, "a request without a signature is never believed"
        since = [at for key, at in proven.items() if key == (channel, user, version)]
        assert since, (one, other)
        # A whitelisted request with a wrong signature is anonymous.
        nobody = str(code) in authentication and (one[1] in {None, "unknown-user", "super-only", "missing-field"})
        assert nobody or one[1] in {"wrong-signature", "expired-secret"}, one


@settings(max_examples=max(300, settings.default.max_examples))
@given(st.lists(st.one_of(requests, changes), min_size=12, max_size=30), whitelists, whitelists)
def test_stateful_is_stateless_for_those_who_sign_rightly(events, authentication, authorization):
    plain = world(Strategy.STATELESS, authentication, authorization)
    quick = world(Strategy.STATEFUL, authentication, authorization)
    for kind, *what in events:
        if kind != "request":
            change(plain, kind, *what)
            change(quick, kind, *what)
            continue
        user, _, code, topic, channel = what
        known = plain.metadata.snapshot.user(user)
        secret = known.secrets[0].secret.reveal() if known else "one"
        peer, asked = Peer("10.1.2.3", 4000, channel_of(channel)), command(user, secret, code, topic)
        assert outcome(plain, asked, peer) == outcome(quick, asked, peer)


class Changing:
    """A provider whose answers change when the test says so."""

    quick = True

    def __init__(self):
        self.allowed = set()
        self.asked = 0

    def decide(self, question: AuthorizationRequest) -> Ruling:
        self.asked += 1
        return Ruling.ALLOW if (question.user, question.name) in self.allowed else Ruling.DENY


class By:
    def __init__(self, limit):
        self.limit = limit

    def accepts(self, result: CachedResult) -> bool:
        return result.age_ms < self.limit


@settings(max_examples=max(300, settings.default.max_examples))
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("ask"), st.just("orders")),
            st.tuples(st.just("ask"), st.just("orders")),
            st.tuples(st.just("turn"), st.just("orders")),
            st.tuples(st.just("time"), st.sampled_from([1, 400, KEEP_MS])),
            st.tuples(st.just("user"), st.sampled_from(["disable", "enable", "policy"])),
        ),
        min_size=8,
        max_size=20,
    ),
    st.sampled_from([None, By(0), By(500), By(10**9)]),
)
def test_a_ruling_of_a_plugin_is_never_older_than_the_strategy_lets_it_be(events, strategy):
    provider = Changing()
    guard = PluginTestGuard(
        InstalledPlugins(
            authorization_provider=InstalledPlugin("p", provider, quick=True), authorization_strategy=strategy
        ),
        dataclasses.replace(SETTINGS, authorization_strategy=Strategy.STATEFUL, stateful_rulings_ms=KEEP_MS),
    )
    guard.users.create_user("alice", "one")
    oldest = KEEP_MS if strategy is None else min(KEEP_MS, strategy.limit)
    truths = {topic: [(guard.clock.now - 10**9, False)] for topic in TOPICS}
    enabled = True
    for kind, what in events:
        if kind == "time":
            guard.clock.now += what
        elif kind == "turn":
            asked = ("alice", what)
            provider.allowed ^= {asked}
            truths[what].append((guard.clock.now, asked in provider.allowed))
        elif kind == "user":
            if what == "policy":
                guard.users.create_user(f"u{guard.users.snapshot.version}", "x")
            else:
                enabled = what == "enable"
                guard.users.update_user("alice", status=UserStatus.ENABLE if enabled else UserStatus.DISABLE)
        else:
            admitted = guard.admits(signed(310, {"b": what}, user="alice", secret="one"))
            now = guard.clock.now
            story = truths[what]
            # The state at some moment that is young enough.
            possible = {
                value
                for at, (since, value) in enumerate(story)
                if at == len(story) - 1 or story[at + 1][0] > now - oldest
            }
            assert admitted in (possible if enabled else {False})
