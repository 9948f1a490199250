"""Requests and sets of requests, for a person."""

from mqguard.auth.action import Action
from mqguard.auth.analysis.cells import Region, Witness, parts
from mqguard.auth.analysis.origins import ANYWHERE, NOWHERE, Origins
from mqguard.auth.request import AccessRequest
from mqguard.auth.resource import Resource, ResourceType
from mqguard.auth.source import Source, parse_address


def test_a_witness_is_a_request():
    """In words, and as `decide` takes it."""
    witness = Witness(ResourceType.TOPIC, "a", Action.PUB, parse_address("10.0.0.1"))

    assert witness.text == "Pub Topic:a from 10.0.0.1"
    assert witness.request == AccessRequest(ResourceType.TOPIC, "a", frozenset({Action.PUB}), parse_address("10.0.0.1"))
    assert Witness(ResourceType.GROUP, "g", Action.SUB, None).text == "Sub Group:g from an unknown address"


def test_actions_with_the_same_places_are_told_together():
    """In their order; actions without a place are left out."""
    inside = Origins.of([Source.parse("10.0.0.0/8")])
    origins = {Action.PUB: ANYWHERE, Action.SUB: inside, Action.GET: ANYWHERE}

    assert parts(lambda action: origins.get(action, NOWHERE)) == (
        ((Action.PUB, Action.GET), ANYWHERE),
        ((Action.SUB,), inside),
    )


def test_a_region_holds_its_requests():
    """Resource, holes, actions and places all count."""
    inside = Origins.of([Source.parse("10.0.0.0/8")])
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
