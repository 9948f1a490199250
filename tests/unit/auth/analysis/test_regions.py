"""Requests and sets of requests as users read them."""

from mqguard.auth.analysis.names import trees
from mqguard.auth.analysis.regions import Region, Witness, parts, regions
from mqguard.auth.analysis.source_sets import ANYWHERE, NOWHERE, SourceSet
from mqguard.auth.policy import Action
from mqguard.auth.resource import Pattern, Resource, ResourceType
from mqguard.auth.source import Source, parse_address
from mqguard.auth.verdict import AccessRequest


def test_a_witness_is_a_request():
    """A witness has a text, and the input of `decide`."""
    witness = Witness(ResourceType.TOPIC, "a", Action.PUB, parse_address("10.0.0.1"))

    assert witness.text == "Pub Topic:a from 10.0.0.1"
    assert witness.request == AccessRequest(ResourceType.TOPIC, "a", frozenset({Action.PUB}), parse_address("10.0.0.1"))
    assert Witness(ResourceType.GROUP, "g", Action.SUB, None).text == "Sub Group:g from an unknown address"


def test_actions_with_the_same_sources_are_joined():
    """Actions are in their order, and those without a source are left out."""
    inside = SourceSet.of([Source.parse("10.0.0.0/8")])
    origins = {Action.PUB: ANYWHERE, Action.SUB: inside, Action.GET: ANYWHERE}

    assert parts(lambda action: origins.get(action, NOWHERE)) == (
        ((Action.PUB, Action.GET), ANYWHERE),
        ((Action.SUB,), inside),
    )


def test_a_region_contains_its_requests():
    """Resource, holes, actions and sources all count."""
    inside = SourceSet.of([Source.parse("10.0.0.0/8")])
    region = Region(Resource.parse("Topic:a*"), (Resource.parse("Topic:ab*"),), (Action.PUB, Action.SUB), inside, "a")

    def holds(name, action, address, kind=ResourceType.TOPIC):
        return region.holds(AccessRequest(kind, name, frozenset({action}), parse_address(address)))

    assert holds("ac", Action.PUB, "10.0.0.1")
    assert not holds("abc", Action.PUB, "10.0.0.1")
    assert not holds("b", Action.PUB, "10.0.0.1")
    assert not holds("ac", Action.GET, "10.0.0.1")
    assert not holds("ac", Action.PUB, "11.0.0.1")
    assert not holds("ac", Action.PUB, "10.0.0.1", ResourceType.GROUP)
    assert region.names == "Topic:a* but Topic:ab*"
    assert region.action_names == ("Pub", "Sub")
    assert region.witness.text == "Pub Topic:a from 10.0.0.1"


def told(*resources):
    """Return the regions in which each class has the parts of its narrowest resource."""
    said = {resource: found for resource, found in resources if found}

    def parts_of(tree, place):
        while place >= 0 and tree.classes[place].resource not in dict(resources):
            place = tree.classes[place].parent
        return said.get(tree.classes[place].resource, ()) if place >= 0 else ()

    return regions(trees(resource for resource, _ in resources), parts_of)


PUB, SUB = (((Action.PUB,), ANYWHERE),), (((Action.SUB,), ANYWHERE),)
EVERY_TYPE = tuple((Resource(kind, "", Pattern.ANY), PUB) for kind in ResourceType if kind is not ResourceType.ANY)


def topic(name, found):
    return Resource.parse(f"Topic:{name}"), found


def test_a_class_with_the_same_parts_is_merged_into_its_parent():
    """This includes the class of all names. A class with other parts, or none, is a hole."""
    (line,) = told(topic("*", PUB), topic("a", PUB), topic("b*", PUB), topic("bc", PUB))
    assert (line.names, line.holes) == ("Topic:*", ())
    (line,) = told(topic("*", PUB), topic("a", ()), topic("b*", PUB), topic("bc", ()), topic("bcd*", PUB))
    assert line.names == "Topic:* but Topic:a, Topic:bc"
    lines = told(topic("*", PUB), topic("b*", SUB), topic("bc", PUB), topic("bd", SUB))
    assert [(line.names, line.actions) for line in lines] == [
        ("Topic:* but Topic:b*", (Action.PUB,)),
        ("Topic:b* but Topic:bc", (Action.SUB,)),
        ("Topic:bc", (Action.PUB,)),
    ]


def test_a_blank_name_has_no_line():
    """No request can have a blank name, so it is neither a hole nor a line."""
    blank = Resource(ResourceType.TOPIC, " ", Pattern.LITERAL)

    assert [line.names for line in told(topic("*", PUB), (blank, ()))] == ["Topic:*"]
    assert [line.names for line in told(topic("*", PUB), (blank, SUB))] == ["Topic:*"]
    assert told((blank, PUB)) == ()


def test_types_with_the_same_parts_are_joined():
    """The line covers all names, and its witness is a topic."""
    (line,) = told(*EVERY_TYPE)
    assert (line.names, line.witness.text) == ("*", "Pub Topic:any from 192.0.2.1")
    (line,) = told(*EVERY_TYPE, topic("any", PUB))
    assert line.names == "*"
    assert [line.names for line in told(*EVERY_TYPE[1:])] == ["Topic:*", "Group:*"]
    assert [line.names for line in told(*EVERY_TYPE, topic("a", SUB))] == [
        "Cluster:*",
        "Topic:* but Topic:a",
        "Topic:a",
        "Group:*",
    ]
