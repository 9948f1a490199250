"""Rights as lines for users."""

from mqguard.auth.analysis.access_state import AccessState, rights_of, who_can
from mqguard.auth.analysis.source_sets import SourceSet
from mqguard.auth.documents.reader import read_document
from mqguard.auth.policy import Action
from mqguard.auth.resource import Resource
from mqguard.auth.source import Source

POLICY = """\
version: 1
users:
  root: {type: Super}
  all: {}
  some: {}
  off: {type: Super, status: disable}
policies:
  User:all:
    custom:
      - {resource: "*", actions: All, decision: Allow}
  User:some:
    custom:
      - {resource: "*", actions: Get, decision: Allow}
      - {resource: "Topic:a*", actions: [Pub, Sub], decision: Allow}
      - {resource: Topic:ab, actions: [Pub, Sub, Get], decision: Allow}
      - {resource: Topic:ac, actions: Pub, sources: 10.0.0.0/8, decision: Deny}
      - {resource: "Group:*", actions: Get, sources: 10.0.0.0/8, decision: Deny}
"""
DIRECTORY = read_document(POLICY).directory


def lines(regions):
    return [(region.names, ",".join(region.action_names), region.sources.text) for region in regions]


def test_equal_rights_are_listed_once():
    """Types with equal rights are joined, and so are redundant narrow entries and actions with the same sources."""
    assert lines(rights_of(DIRECTORY, "root")) == [("*", "All", "anywhere")]
    assert lines(rights_of(DIRECTORY, "all")) == [("*", "All", "anywhere")]
    assert lines(rights_of(DIRECTORY, "some")) == [
        ("Cluster:*", "Get", "anywhere"),
        ("Topic:* but Topic:a*", "Get", "anywhere"),
        ("Topic:a* but Topic:ac", "Pub,Sub,Get", "anywhere"),
        ("Topic:ac", "Pub", "anywhere but 10.0.0.0/8"),
        ("Topic:ac", "Sub,Get", "anywhere"),
        ("Group:*", "Get", "anywhere but 10.0.0.0/8"),
    ]


def test_users_without_rights():
    """A disabled user, a missing user, and policies without a user have no rights."""
    assert rights_of(DIRECTORY, "off") == ()
    assert rights_of(DIRECTORY, "nobody") == ()
    assert rights_of(AccessState({}, DIRECTORY.acls), "some") == ()


def test_holders_of_a_name_and_of_a_prefix():
    """The answer names each user that may do a part of it, the exact part, and if it is the whole."""
    found = who_can(DIRECTORY, frozenset({Action.PUB}), Resource.parse("Topic:ac"))
    assert [(one.user, one.is_super, one.whole) for one in found] == [
        ("all", False, True),
        ("root", True, True),
        ("some", False, False),
    ]
    assert lines(found[2].regions) == [("Topic:ac", "Pub", "anywhere but 10.0.0.0/8")]

    inside = SourceSet.of([Source.parse("10.1.0.0/16")])
    found = who_can(DIRECTORY, frozenset({Action.PUB}), Resource.parse("Topic:a*"), inside)
    assert lines(found[2].regions) == [("Topic:a* but Topic:ac", "Pub", "10.1.0.0/16")]
    assert [one.user for one in who_can(DIRECTORY, frozenset({Action.PUB}), Resource.parse("Topic:b"))] == [
        "all",
        "root",
    ]


def test_all_means_every_action():
    """A user that may do one of them is named with that action."""
    found = who_can(DIRECTORY, frozenset({Action.ALL}), Resource.parse("Topic:ab"))

    assert [(one.user, one.whole) for one in found] == [("all", True), ("root", True), ("some", False)]
    assert lines(found[2].regions) == [("Topic:ab", "Pub,Sub,Get", "anywhere")]


def test_rights_on_several_namespaces_are_those_of_their_topics_and_groups():
    """Names with and without a namespace are separate lines if their rights differ, and one line if they are equal."""
    document = read_document("""
version: 1
users: {some: {}, all: {}, one: {}}
policies:
  User:some:
    custom:
      - {resource: "Namespace:a*", actions: Pub, decision: Allow}
      - {resource: "Topic:*", actions: Sub, decision: Allow}
  User:all:
    custom:
      - {resource: "Namespace:*", actions: Pub, decision: Allow}
      - {resource: "Topic:*", actions: Pub, decision: Allow}
  User:one:
    custom:
      - {resource: "Namespace:n", actions: Pub, decision: Allow}
""")
    assert lines(rights_of(document.directory, "some")) == [
        ("Topic:* without a namespace", "Sub", "anywhere"),
        ("Topic:* with a namespace but Topic:a*", "Sub", "anywhere"),
        ("Topic:a* with a namespace", "Pub,Sub", "anywhere"),
        ("Group:a* with a namespace", "Pub", "anywhere"),
    ]
    assert lines(rights_of(document.directory, "all")) == [
        ("Topic:*", "Pub", "anywhere"),
        ("Group:* with a namespace", "Pub", "anywhere"),
    ]
    assert lines(rights_of(document.directory, "one")) == [
        ("Topic:n%*", "Pub", "anywhere"),
        ("Group:n%*", "Pub", "anywhere"),
    ]
    holders = who_can(document.directory, frozenset({Action.PUB}), Resource.parse("Namespace:ab"))
    assert [(holder.user, holder.whole) for holder in holders] == [("all", True), ("some", True)]
