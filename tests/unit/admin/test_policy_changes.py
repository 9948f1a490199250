"""Edits of policy entries, as functions of the stored entries."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqguard.admin.policy_changes import Selection, add, create, put, remove
from mqguard.auth.analysis.access_state import AccessState
from mqguard.auth.analysis.comparison import Direction, compare
from mqguard.auth.policy import Acl, Action, Decision, Entry, Policy, PolicyType
from mqguard.auth.resource import Resource
from mqguard.auth.source import Source
from mqguard.auth.user import Subject, User
from mqguard.errors import MqguardError, NotFound

RESOURCES = st.sampled_from(["Topic:a", "Topic:b", "Topic:a*", "Topic:*", "Group:a", "*"]).map(Resource.parse)
ACTIONS = st.lists(st.sampled_from(Action), min_size=1, max_size=3, unique=True).map(tuple)
SOURCES = st.lists(st.sampled_from(["10.0.0.0/8", "10.1.0.0/16", "::1"]), max_size=2, unique=True).map(
    lambda texts: tuple(map(Source.parse, texts))
)


def entries(decisions=tuple(Decision)):
    entry = st.builds(Entry, RESOURCES, ACTIONS, SOURCES, st.sampled_from(decisions))
    return st.lists(entry, max_size=4).map(tuple)


def state(stored):
    return AccessState.of([User("u", ())], [Acl(Subject("u"), (Policy(PolicyType.CUSTOM, stored),))])


def directions(before, after):
    return {right.direction for right in compare(state(before), state(after)).rights}


@given(entries(), entries([Decision.ALLOW]))
def test_an_added_allow_removes_a_permission_only_by_precedence(stored, given_entries):
    """An added entry has the same effect as an entry that is written below the others."""
    assert directions((*stored, *given_entries), add(given_entries)(stored)) == set()


@given(entries(), entries([Decision.DENY]))
def test_an_added_deny_grants_no_permission(stored, given_entries):
    assert Direction.GAINED not in directions(stored, add(given_entries)(stored))


@given(entries(), entries())
def test_an_entry_added_twice_is_stored_once(stored, given_entries):
    once = add(given_entries)(stored)
    assert add(given_entries)(once) == once


@given(entries(), entries())
def test_set_leaves_other_resources_alone(stored, given_entries):
    named = {entry.resource for entry in given_entries}
    after = put(given_entries)(stored)
    assert [one for one in after if one.resource not in named] == [one for one in stored if one.resource not in named]
    assert directions([one for one in after if one.resource in named], given_entries) == set()


@given(entries(), RESOURCES, ACTIONS)
def test_remove_deletes_the_given_actions_only(stored, resource, actions):
    try:
        after = remove([Selection(resource, actions)])(stored)
    except NotFound:
        about = [entry for entry in stored if entry.resource == resource]
        assert not any(entry.matches_action(action) for entry in about for action in actions)
        return
    singles = [one for one in Action if one is not Action.ALL]
    for kept in singles:
        before, now = (
            [one for one in side if one.resource == resource and one.matches_action(kept)] for side in (stored, after)
        )
        gone = kept in actions or Action.ALL in actions
        assert len(now) == (0 if gone else len(before))
    assert [one for one in after if one.resource != resource] == [one for one in stored if one.resource != resource]


@given(entries(), entries())
def test_create_replaces_nothing(stored, given_entries):
    named = {entry.resource for entry in given_entries}
    taken = [entry for entry in stored if entry.resource in named and entry not in given_entries]
    if taken:
        with pytest.raises(MqguardError, match="nothing was changed"):
            create(given_entries)(stored)
    else:
        assert directions(stored, create(given_entries)(stored)) <= directions(stored, (*stored, *given_entries))
