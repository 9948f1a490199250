"""Whatever a peer sends, the guard answers yes or no; and saying less never gets more."""

import contextlib
import itertools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mqguard.auth.resource import ResourceType
from mqguard.guard.errors import PermissionsUnclear, Refused
from mqguard.guard.requirements.evaluation import TABLE, Requirements
from mqguard.guard.requirements.row import WhenAbsent
from mqguard.guard.settings import GuardSettings, Strategy
from mqguard.model.peer import Channel, Peer
from mqguard.remoting.codes import RequestCode
from mqguard.remoting.command import Command
from tests.unit.guard.requirements.shape import is_pending
from tests.unit.guard.world import PEER, World, signed

REQUIREMENTS = Requirements("DefaultCluster")

FIELDS = sorted(
    {named.field for row in TABLE.values() for named in row.named}
    | {"topic", "b", "a", "consumerGroup", "producerGroup", "clientID", "topicFilterType", "AccessKey", "Signature"}
)
NAMES = ["t", "u", "g", "h", "", " ", "%RETRY%g", "%RETRY%h", "%RETRY%g+t", "%RETRY%g_t", "%DLQ%h", "%LMQ%$u$l"]
NAMES += ["DefaultCluster", "other", "SINGLE_TAG", "c_REPLY_TOPIC", "SCHEDULE_TOPIC_XXXX", "t;u", "g,h", "*"]
JUNK = st.text(max_size=8) | st.sampled_from(NAMES)

codes = st.sampled_from(sorted(int(code) for code in RequestCode))
ext_fields = st.dictionaries(st.sampled_from(FIELDS), JUNK, max_size=8)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | JUNK,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=8,
)
bodies = st.binary(max_size=40) | json_values.map(lambda value: json.dumps(value).encode())

NARROWING = {
    (code, named.field) for code, row in TABLE.items() for named in row.named if named.absent is WhenAbsent.NARROWS
}


LISTS = {208: {"topic", "topicList"}}
"""Codes that name things in several fields: leaving out one of these while another stays asks for fewer things."""


def narrows(command, field):
    """Return True if a request without the field needs less."""
    others = LISTS.get(command.code, set()) - {field}
    return (command.code, field) in NARROWING or (
        field in LISTS.get(command.code, ()) and any(command.ext.get(other, "").strip() for other in others)
    )


def test_only_these_fields_may_be_left_out_and_then_touch_nothing():
    """Each of them is a filter or a detail: without it the request asks for less of what is checked anyway."""
    assert {(321, "consumerGroup")} == NARROWING


@settings(deadline=None)
@given(code=codes | st.integers(-1, 300_000), ext=ext_fields, body=bodies)
def test_permissions_are_found_or_unclear(code, ext, body):
    """Any fields and any body give needs or one documented error; a resource always has a name."""
    try:
        needs = REQUIREMENTS.permissions(Command(code, ext=ext, body=body))
    except PermissionsUnclear:
        return

    assert all(need.name.strip() and need.actions for need in needs)
    assert all(need.type is not ResourceType.ANY for need in needs)


WORLD = World()
WORLD.allow("alice", "*", "All")


@settings(deadline=None)
@given(code=codes | st.integers(-1, 300_000), ext=st.dictionaries(JUNK, JUNK, max_size=6), body=st.binary(max_size=40))
def test_admission_ends_in_access_or_refusal(code, ext, body):
    """Unsigned or signed, nothing but `Refused` ever comes out, and unsigned nothing gets in."""
    with contextlib.suppress(Refused):
        WORLD.admit(signed(code, ext, body))

    WORLD.refusal(Command(code, ext=dict(ext), body=body))


PLAIN = ["t", "u", "g", "h", "DefaultCluster", "other"]
THINGS = [(kind, name) for kind in (ResourceType.TOPIC, ResourceType.GROUP, ResourceType.CLUSTER) for name in PLAIN]

rights = st.frozensets(st.sampled_from(THINGS), min_size=len(THINGS) // 2)
"""The resources of a user with all actions: many, so that requests are often admitted."""


@st.composite
def requests(draw):
    """Draw a request with the fields of its row, most of them with plain names."""
    code = draw(codes)
    fields = {named.field for named in TABLE[code].named} or {"topic", "b", "consumerGroup"}
    names = st.sampled_from(PLAIN) | st.sampled_from(NAMES)
    ext = draw(st.fixed_dictionaries({}, optional=dict.fromkeys(sorted(fields), names)))
    return Command(code, ext={**ext, "clientID": "c", "producerGroup": "p", "topicFilterType": "SINGLE_TAG"})


def is_in(command, allowed):
    """Return True if the request would be served without a further check."""
    try:
        needs = REQUIREMENTS.permissions(command)
    except PermissionsUnclear:
        return False
    return all((need.type, need.name) in allowed for need in needs) and not is_pending(REQUIREMENTS, command)


@pytest.mark.parametrize("code", sorted(TABLE))
def test_leaving_out_a_name_never_gets_more_all_cases(code):
    """For every code, every mixture of names that are the user's, that are not and that are absent."""
    fields = sorted({named.field for named in TABLE[code].named} or {"topic", "b", "consumerGroup"})
    mine = {(kind, "t") for kind in ResourceType}
    for values in itertools.product(("t", "forbidden", None), repeat=len(fields)):
        ext = {name: value for name, value in zip(fields, values, strict=True) if value is not None}
        ext |= {"clientID": "c", "producerGroup": "p", "topicFilterType": "SINGLE_TAG"}
        command = Command(code, ext=ext)
        if is_in(command, mine):
            continue
        for field in fields:
            less = {name: value for name, value in ext.items() if name != field}
            assert narrows(command, field) or not is_in(Command(code, ext=less), mine), (ext, field)


@settings(deadline=None)
@given(command=requests(), allowed=rights)
def test_leaving_out_a_field_never_gets_more(command, allowed):
    """A request that is refused stays refused, or becomes one whose handler must ask, when a field is left out."""
    if is_in(command, allowed):
        return
    for field in command.ext:
        less = {name: value for name, value in command.ext.items() if name != field}
        if not narrows(command, field):
            assert not is_in(Command(command.code, ext=less), allowed), field


@settings(deadline=None)
@given(command=requests(), allowed=rights, field=st.sampled_from(FIELDS), nothing=st.sampled_from(["", "  "]))
def test_emptying_a_field_never_gets_more(command, allowed, field, nothing):
    """Neither does leaving it empty or blank."""
    if not is_in(command, allowed) and not narrows(command, field):
        assert not is_in(Command(command.code, ext={**command.ext, field: nothing}), allowed)


steps = st.lists(
    st.one_of(
        st.tuples(st.just("send"), st.sampled_from(["alice", "bob", "root"]), st.sampled_from(["t", "u", "%RETRY%g"])),
        st.tuples(
            st.just("allow"), st.sampled_from(["alice", "bob"]), st.sampled_from(["Topic:t", "Group:g", "Topic:*"])
        ),
        st.tuples(st.just("deny"), st.sampled_from(["alice", "bob"]), st.sampled_from(["Topic:t", "Topic:*"])),
        st.tuples(st.just("wait"), st.integers(0, 90_000), st.none()),
    ),
    max_size=25,
)


def outcomes(world, script):
    heard = []
    for step, who, what in script:
        if step == "wait":
            world.clock.now += who
        elif step == "allow":
            world.allow(who, what, "Pub", "Sub")
        elif step == "deny":
            world.deny(who, what, "Pub")
        else:
            try:
                world.admit(signed(310, b=what, user=who), Peer(PEER.ip, 1, Channel(f"channel of {who}")))
                heard.append("in")
            except Refused as refused:
                heard.append(refused.message)
    return heard


@settings(deadline=None)
@given(script=steps)
def test_stateful_decides_as_stateless(script):
    """The cache of connections changes no decision, for any changes of users and policies."""
    worlds = []
    for strategy in Strategy:
        settings = GuardSettings(
            authentication_enabled=True,
            authorization_enabled=True,
            authentication_strategy=strategy,
            authorization_strategy=strategy,
        )
        world = World(settings)
        world.user("bob")
        worlds.append(world)

    assert outcomes(worlds[0], script) == outcomes(worlds[1], script)
