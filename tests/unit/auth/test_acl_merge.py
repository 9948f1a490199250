from mqguard.auth.policy import (
    Acl,
    Action,
    Decision,
    Entry,
    Policy,
    PolicyType,
    matching_text,
    merge_acls,
    without_resource,
)
from mqguard.auth.resource import Resource
from mqguard.auth.user import Subject

CUSTOM, DEFAULT = PolicyType.CUSTOM, PolicyType.DEFAULT


def entry(key, action=Action.PUB, decision=Decision.ALLOW):
    return Entry(Resource.parse(key), (action,), (), decision)


def acl(custom=(), default=()):
    made = ((CUSTOM, custom), (DEFAULT, default))
    return Acl(Subject("a"), tuple(Policy(kind, tuple(entries)) for kind, entries in made if entries))


def test_merging_into_nothing_keeps_what_is_given():
    given = acl([entry("Topic:a"), entry("Topic:a", Action.SUB)])
    assert merge_acls(None, given) is given


def test_an_entry_for_the_same_resource_is_replaced_at_its_position():
    merged = merge_acls(
        acl([entry("Topic:a"), entry("Topic:b")]), acl([entry("Topic:a", Action.SUB), entry("Topic:c")])
    )
    assert merged == acl([entry("Topic:a", Action.SUB), entry("Topic:b"), entry("Topic:c")])


def test_the_same_resource_means_the_same_pattern_too():
    merged = merge_acls(acl([entry("Topic:a"), entry("Topic:a*")]), acl([entry("Topic:a*", Action.SUB)]))
    assert merged == acl([entry("Topic:a"), entry("Topic:a*", Action.SUB)])


def test_all_entries_given_for_a_resource_take_the_place_of_all_stored():
    stored = acl([entry("Topic:a"), entry("Topic:b"), entry("Topic:a", Action.GET)])
    given = acl([entry("Topic:a", Action.SUB), entry("Topic:a", Action.SUB, Decision.DENY)])
    assert merge_acls(stored, given) == acl([*given.entries(CUSTOM), entry("Topic:b")])


def test_types_do_not_affect_each_other_and_new_ones_come_last():
    merged = merge_acls(acl(default=[entry("Topic:a")]), acl([entry("Topic:a", Action.SUB)]))
    assert [policy.type for policy in merged.policies] == [DEFAULT, CUSTOM]
    assert merged.entries(DEFAULT) == (entry("Topic:a"),)


def test_merging_twice_is_merging_once():
    stored = acl([entry("Topic:a"), entry("Topic:b")], [entry("*")])
    given = acl([entry("Topic:b", Action.SUB), entry("Topic:c")], [entry("Group:*")])
    once = merge_acls(stored, given)
    assert merge_acls(once, given) == once


def test_removing_a_resource_removes_empty_policies():
    full = acl([entry("Topic:a"), entry("Topic:a", Action.SUB)], [entry("Topic:a")])
    assert without_resource(full, CUSTOM, Resource.parse("Topic:a")) == acl(default=[entry("Topic:a")])
    assert without_resource(acl([entry("Topic:a")]), CUSTOM, Resource.parse("Topic:a")) is None
    assert without_resource(full, CUSTOM, Resource.parse("Topic:a*")) == full
    assert without_resource(full, DEFAULT, Resource.parse("Topic:b")) == full


def test_filtering_by_a_part_of_the_resource_key():
    full = acl([entry("Topic:orders"), entry("Group:orders")], [entry("*")])
    assert matching_text(full, "Topic:") == acl([entry("Topic:orders")])
    assert matching_text(full, "*") == acl(default=[entry("*")])
    assert matching_text(full, "TOPIC") is None
