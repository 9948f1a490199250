"""The short paths of the guard end as the long one does: the same admissions, denials, records, counters and limits.

One short path is the first check of a connection's next signature. The other is the cache of admissions, which lives
as long as one snapshot of users and policies is the newest. The guard that takes the long path has neither.
"""

import dataclasses
from unittest import mock

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mqguard.auth.user import UserType
from mqguard.guard import authentication as authentication_module
from mqguard.guard import authorization as authorization_module
from mqguard.guard.errors import Refused
from mqguard.guard.requirements.evaluation import Requirements
from mqguard.guard.settings import Enforcement, GuardSettings
from mqguard.model.peer import Channel, Peer
from mqguard.remoting.command import Command
from tests.property.guard.test_strategies import change, changes
from tests.unit.guard.world import World, signed

SETTINGS = GuardSettings(authentication_enabled=True, authorization_enabled=True)
SHARING = (10, 310, 320, 11, 361)
TOPIC_FIELDS = {10: "topic", 310: "b", 320: "b", 11: "topic", 361: "topic", 34: "x"}
TOPICS = ("orders", "orders", "orders", "bills", "%RETRY%g", "RMQ_SYS_TRACE_TOPIC", "", "a" * 300, "\ud800", "ø")
ADDRESSES = ("10.1.2.3", "10.1.2.3", "192.168.0.9", "2001:db8::1")

requests = st.tuples(
    st.just("request"),
    st.sampled_from(("alice", "alice", "alice", "alice", "bob", "root", "nobody", "")),
    st.sampled_from(("one", "one", "one", "one", "two", None)),
    st.sampled_from((310, 310, 11, *TOPIC_FIELDS)),
    st.sampled_from(TOPICS),
    st.sampled_from(("whole", "whole", "whole", "token", "cut", "odd")),
    st.integers(0, len(ADDRESSES) - 1),
)
sourced = st.tuples(st.just("sourced"), st.sampled_from(("alice", "bob")), st.sampled_from(("Pub", "Sub")))
# An admission from the cache shows only where the same is asked again, with a change between.
usual = st.tuples(
    *(st.just("request"), st.just("alice"), st.just("one"), st.sampled_from((310, 11))),
    *(st.just("orders"), st.just("whole"), st.just(0)),
)
of_policies = st.tuples(st.sampled_from(("allow", "deny", "forget")), st.just("alice"), st.just("orders"))
steps = st.lists(st.one_of(usual, usual, requests, requests, sourced, of_policies, changes), min_size=8, max_size=40)


class LongPath(World):
    """A guard that checks every signature and every permission in full."""

    def __init__(self, guard_settings):
        super().__init__(guard_settings)
        known = Requirements(guard_settings.cluster)
        self.whole = {
            code: msgspec.structs.replace(known.operation(code), shares_permissions=False) for code in TOPIC_FIELDS
        }

    def admit(self, command, peer):
        request = self.admission.request(command, peer)
        with mock.patch.object(authentication_module, "has_signed", return_value=False):
            return self.guard.admit(msgspec.structs.replace(request, operation=self.whole[command.code]))


def command_of(user, secret, code, topic, kind):
    fields = {TOPIC_FIELDS[code]: topic}
    if code in {11, 361}:
        fields["consumerGroup"] = "g"
    if secret is None:
        return Command(code, version=513, ext={**fields, "AccessKey": user})
    if kind == "token":
        # As Go clients do: the token is sent and not signed.
        command = signed(code, fields, b"body", user=user, secret=secret)
        command.ext["SecurityToken"] = "token"
        return command
    command = signed(code, fields, b"body", user=user, secret=secret)
    if kind == "cut":
        command.ext["Signature"] = command.ext["Signature"][:-1]
    if kind == "odd":
        command.ext["Signature"] += "\ud800ø"
    return command


def described(record):
    """Return all of a record; the operation by its name, because both guards have operations of their own."""
    fields = {name: getattr(record, name) for name in record.__struct_fields__}
    if "operation" in fields and not isinstance(fields["operation"], str):
        fields["operation"] = fields["operation"].text
    return type(record).__name__, fields


def outcomes(world, events):
    """Return what the guard answered to the events, all its records and all its counters."""
    peers = [Peer(ip, 40_000, Channel(f"c{number}")) for number, ip in enumerate(ADDRESSES)]
    found = []
    for kind, *what in events:
        if kind == "sourced":
            user, action = what
            change(world, "create", user, "one", UserType.NORMAL)
            world.allow(user, "Topic:orders", action, sources=("10.0.0.0/8", "2001:db8::/64"))
        elif kind != "request":
            change(world, kind, *what)
        else:
            peer = peers[what[-1]]
            try:
                access = world.admit(command_of(*what[:-1]), peer)
            except Refused as refused:
                found.append((refused.reason, refused.message, refused.decision_id))
            else:
                found.append(
                    (
                        *(access.identity, access.peer.ip, access.operation.text, access.permissions, access.pending),
                        *(access.user, access.creator, access.is_current(), access.still_allowed()),
                    )
                )
            latest = [denial.facts(with_entries=True) for denial in world.guard.denials.last(3)]
            found.append((peer.channel.user, latest))
    records = [described(record) for record in world.sink.records]
    counters = [(family.name, list(family)) for family in world.metrics]
    return found, records, counters


@settings(max_examples=max(200, settings.default.max_examples))
@given(steps, st.sampled_from(Enforcement), st.sampled_from([frozenset(), frozenset({"11"})]))
def test_the_short_paths_end_as_the_long_one_does(events, enforcement, whitelist):
    of_both = dataclasses.replace(SETTINGS, enforcement=enforcement, authentication_whitelist=whitelist)
    results = []
    for kind in (World, LongPath):
        world = kind(of_both)
        for user in ("root", "alice"):
            world.metadata.update_user(user, secret="one")
        world.allow("alice", "Topic:orders", "Pub")
        world.allow("alice", "Group:g", "Sub")
        results.append(outcomes(world, events))
    assert results[0] == results[1]


@pytest.mark.parametrize("code", SHARING)
def test_equal_requests_of_the_most_frequent_codes_share_their_permissions(code):
    known = Requirements("DefaultCluster").operation(code)
    assert known.shares_permissions
    first, second = (known.find(command_of("alice", None, code, "orders", "whole")) for _ in range(2))
    assert first is second


def test_a_cached_admission_ends_with_its_snapshot_and_with_another_address():
    world = World(SETTINGS)
    world.allow("alice", "Topic:orders", "Pub", sources=("10.0.0.0/8",))
    peer = Peer("10.1.2.3", 1, Channel())
    send = signed(310, {"b": "orders"})
    decided = mock.Mock(side_effect=authorization_module.decide)
    with mock.patch.object(authorization_module, "decide", decided):
        world.admit(send, peer)
        world.admit(send, peer)
        assert decided.call_count == 1
        world.refusal(send, Peer("192.168.1.1", 1, Channel()))
        assert decided.call_count == 2
        world.deny("alice", "Topic:orders", "Pub")
        world.refusal(send, peer)
        assert decided.call_count == 3


def test_the_cached_admissions_are_bounded(monkeypatch):
    monkeypatch.setattr(authorization_module, "MAX_CACHED_ADMISSIONS", 3)
    world = World(SETTINGS)
    world.allow("alice", "Topic:*", "Pub")
    peer = Peer("10.1.2.3", 1, Channel())
    decided = mock.Mock(side_effect=authorization_module.decide)
    with mock.patch.object(authorization_module, "decide", decided):
        for _ in range(2):
            for number in range(4):
                world.admit(signed(310, {"b": f"t{number}"}), peer)
    assert decided.call_count > 4, "the fourth name cleared the cache"


def test_another_user_of_the_connection_is_not_taken_for_the_known_one():
    world = World(SETTINGS)
    world.user("bob")
    world.allow("alice", "Topic:orders", "Pub")
    peer = Peer("10.1.2.3", 1, Channel())
    assert world.admit(signed(310, {"b": "orders"}), peer).user == "alice"
    forged = signed(310, {"b": "orders"}, secret="wrong")
    assert world.refusal(forged, peer).reason == "wrong-signature"
    assert world.refusal(signed(310, {"b": "orders"}, user="bob"), peer).reason == "no-match"


def test_a_secret_that_ends_is_refused_after_its_end_on_a_known_connection():
    world = World(SETTINGS)
    world.allow("alice", "Topic:orders", "Pub")
    peer = Peer("10.1.2.3", 1, Channel())
    send = signed(310, {"b": "orders"})
    world.admit(send, peer)
    world.metadata.update_user("alice", secret="another one", keep_old_until=world.clock.now + 1_000)
    world.admit(send, peer)
    world.clock.now += 1_001
    assert world.refusal(send, peer).reason == "expired-secret"
