"""Classes of names: a tree in which each class has the names that the narrower ones leave."""

import pytest

from mqguard.auth.analysis.names import WIDEST, NameTree, key_of, trees
from mqguard.auth.resource import Pattern, Resource, ResourceType


def tree(*keys):
    return NameTree(ResourceType.TOPIC, [Resource.parse(key) for key in keys])


def test_classes_nest():
    """A prefix precedes its own literal. Each class is inside the longest prefix that covers it. Other types are left out."""
    found = tree("Topic:a*", "Topic:a", "Topic:ab*", "Topic:abc", "Topic:b", "Group:x", "*", "Topic:*")

    assert [(one.resource.key, one.parent, one.end) for one in found.classes] == [
        ("Topic:*", -1, 6),
        ("Topic:a*", 0, 5),
        ("Topic:a", 1, 3),
        ("Topic:ab*", 1, 5),
        ("Topic:abc", 3, 5),
        ("Topic:b", 0, 6),
    ]
    assert list(found.within(Resource.parse("Topic:a*"))) == [1, 2, 3, 4]
    assert list(found.within(Resource.parse("*"))) == list(found.within(Resource.parse("Topic:*"))) == list(range(6))
    assert list(found.within(Resource.parse("Group:x"))) == []


def test_samples_are_of_their_class():
    """A sample is as simple as possible, and never in a hole."""
    found = tree("Topic:a*", "Topic:a", "Topic:a-1", "Topic:a-o*", "Topic:b-*", "Topic:any", "Topic:o*")

    assert {one.resource.key: one.sample() for one in found.classes} == {
        "Topic:*": "1",
        "Topic:a*": "aany",
        "Topic:a": "a",
        "Topic:a-1": "a-1",
        "Topic:a-o*": "a-o",
        "Topic:any": "any",
        "Topic:b-*": "b-any",
        "Topic:o*": "o",
    }


@pytest.mark.parametrize(
    ("prefix", "endings"),
    [
        ("p", ["", "-1", "-other", "any", "other", "1", "x", "a", "b", "0", "_", "2", "3"]),
        ("p-", ["any", "other", "1", "x", "a", "b", "0", "_", "", "2", "3"]),
        ("", ["any", "other", "1", "x", "a", "b", "0", "_", "2", "3"]),
    ],
)
def test_the_simplest_free_name_is_used(prefix, endings):
    """A word comes first, then single letters. A dash is added only if the prefix does not end with one."""
    taken = [f"Topic:{prefix}*"]
    for ending in endings:
        found = tree(*taken)
        place = next(one for one in found.classes if one.resource.key == f"Topic:{prefix}*")
        assert place.sample() == prefix + ending
        taken.append(f"Topic:{prefix}{ending}")


def test_a_class_full_of_holes_still_has_a_name():
    """If every short word is taken, a later letter is used."""
    words = ("", "-1", "-other", "any", "other", "1", "x", "a", "b", "0", "_")
    found = tree("Topic:p*", *(f"Topic:p{word}" for word in words), *(f"Topic:p{letter}*" for letter in "0123456789"))
    place = next(one for one in found.classes if one.resource.key == "Topic:p*")

    sample = place.sample()
    assert sample is not None
    assert sample.startswith("p")
    assert sample[1] not in "0123456789"


def test_a_blank_literal_has_no_name():
    """No request can have a blank name, but a prefix of blanks can be continued."""
    blank = Resource(ResourceType.TOPIC, " ", Pattern.LITERAL)
    prefix = Resource(ResourceType.TOPIC, " ", Pattern.PREFIXED)
    found = NameTree(ResourceType.TOPIC, [blank, prefix])

    samples = {one.resource.key: one.sample() for one in found.classes}
    assert samples["Topic: "] is None
    assert samples["Topic: *"] == " any"


def test_there_is_a_tree_for_each_type():
    """The trees are in the order of the types, each with at least the class of all names."""
    assert [one.type for one in trees([])] == [
        ResourceType.CLUSTER,
        ResourceType.TOPIC,
        ResourceType.GROUP,
    ]
    assert all(len(one.classes) == 1 for one in trees([Resource.parse("*")]))


def test_an_entry_for_every_name_belongs_to_the_widest_class():
    """An entry for all names of any type belongs to that class. A name and a prefix have their own classes."""
    assert [key_of(Resource.parse(key)) for key in ("*", "Topic:*", "Group:*")] == [WIDEST] * 3
    assert [key_of(Resource.parse(key)) for key in ("Topic:a", "Topic:a*")] == [("a", True), ("a", False)]


def test_an_entry_for_several_namespaces_makes_two_trees_of_topics_and_of_groups():
    """One tree has the names without a namespace, the other one those with a namespace, and each name is in one."""
    resources = [Resource.parse(key) for key in ("Namespace:a*", "Topic:ab*", "Topic:a%x", "Topic:ab", "Namespace:q")]
    found = trees(resources)

    assert [(tree.type, tree.namespaced) for tree in found] == [
        (ResourceType.CLUSTER, None),
        (ResourceType.TOPIC, False),
        (ResourceType.TOPIC, True),
        (ResourceType.GROUP, False),
        (ResourceType.GROUP, True),
    ]
    _, without, with_namespace, *_ = found
    assert [one.base for one in without.classes] == ["", "ab", "ab"]
    assert [one.base for one in with_namespace.classes] == ["", "a", "a%x", "ab", "q%"]
    assert [one.sample() for one in with_namespace.classes] == ["other%any", "a%any", "a%x", "ab%any", "q%any"]
    assert [list(without.within(resource)) for resource in resources] == [[], [1, 2], [], [2], []]
    assert [list(with_namespace.within(resource)) for resource in resources] == [[1, 2, 3], [3], [2], [], [4]]
