"""Evaluation in layers: the decision of a narrow layer is final, and the rest falls through to the wider one."""

from mqguard.auth.analysis.access_state import resources_of
from mqguard.auth.analysis.evaluation import EVERYTHING, NO_OPINION, EntriesByResource, PolicyEvaluation, SourceDecision
from mqguard.auth.analysis.names import WIDEST, trees
from mqguard.auth.analysis.source_sets import ANYWHERE, NOWHERE, SourceSet
from mqguard.auth.documents.reader import read_document
from mqguard.auth.policy import Action, PolicyType
from mqguard.auth.resource import ResourceType
from mqguard.auth.source import Source
from mqguard.auth.user import User, UserStatus, UserType


def of(*texts):
    return SourceSet.of([Source.parse(text) for text in texts])


def acl_of(*entries, default=()):
    lines = ["version: 1", "policies:", "  User:u:", "    custom:", *(f"      - {{{entry}}}" for entry in entries)]
    if default:
        lines += ["    default:", *(f"      - {{{entry}}}" for entry in default)]
    return read_document("\n".join(lines)).acls["u"]


def outcome(grid, acl, name, action, kind=ResourceType.TOPIC):
    tree = next(tree for tree in trees(resources_of(acl)) if tree.type is kind)
    place = next(at for at, found in enumerate(tree.classes) if (found.base, found.exact) == name)
    return grid.outcome(tree, place, action)


def test_a_layer_over_another():
    """The Allow and the Deny of the narrow layer both precede those of the wider one."""
    narrow = SourceDecision(allowed=of("10.0.0.0/8"), denied=of("11.0.0.0/8"))
    wide = SourceDecision(allowed=of("11.0.0.0/8", "12.0.0.0/8"), denied=of("10.0.0.0/8", "13.0.0.0/8"))

    assert narrow.over(wide) == SourceDecision(of("10.0.0.0/8", "12.0.0.0/8"), of("11.0.0.0/8", "13.0.0.0/8"))
    assert narrow.over(NO_OPINION) is narrow
    assert narrow.decided == of("10.0.0.0/7")


def test_denied_requests_differ_from_those_without_an_entry():
    """The test goes from a name to a prefix, a type and everything."""
    acl = acl_of(
        "resource: Topic:ab, actions: Pub, sources: 10.0.0.0/8, decision: Allow",
        "resource: 'Topic:a*', actions: Pub, sources: 10.0.0.0/7, decision: Deny",
        "resource: 'Topic:*', actions: [Pub, Sub], sources: 12.0.0.0/8, decision: Deny",
        "resource: '*', actions: All, sources: 13.0.0.0/8, decision: Allow",
    )
    grid = PolicyEvaluation(User("u", ()), acl)

    assert outcome(grid, acl, ("ab", True), Action.PUB) == SourceDecision(
        of("10.0.0.0/8", "13.0.0.0/8"), of("11.0.0.0/8", "12.0.0.0/8")
    )
    assert outcome(grid, acl, ("a", False), Action.PUB) == SourceDecision(
        of("13.0.0.0/8"), of("10.0.0.0/7", "12.0.0.0/8")
    )
    assert outcome(grid, acl, ("a", False), Action.SUB) == SourceDecision(of("13.0.0.0/8"), of("12.0.0.0/8"))
    assert outcome(grid, acl, WIDEST, Action.PUB) == SourceDecision(of("13.0.0.0/8"), of("12.0.0.0/8"))
    assert outcome(grid, acl, WIDEST, Action.GET, ResourceType.GROUP) == SourceDecision(of("13.0.0.0/8"))


def test_default_applies_to_names_without_a_custom_entry():
    """Neither the action nor the source matters. A narrower Custom entry does not disable Default entries for other names."""
    acl = acl_of(
        "resource: Topic:ab, actions: Sub, sources: 10.0.0.0/8, decision: Allow",
        default=("resource: 'Topic:*', actions: Pub, decision: Allow",),
    )
    grid = PolicyEvaluation(User("u", ()), acl)

    assert outcome(grid, acl, ("ab", True), Action.PUB) == NO_OPINION
    assert outcome(grid, acl, WIDEST, Action.PUB) == EVERYTHING
    assert outcome(grid, acl, WIDEST, Action.PUB, ResourceType.GROUP) == NO_OPINION
    under = acl_of(
        "resource: 'Topic:*', actions: Get, decision: Allow",
        default=("resource: Topic:ab, actions: Pub, decision: Allow",),
    )
    assert outcome(PolicyEvaluation(User("u", ()), under), under, ("ab", True), Action.PUB) == NO_OPINION
    covered = acl_of(
        "resource: '*', actions: Get, decision: Allow",
        default=("resource: 'Topic:*', actions: Pub, decision: Allow",),
    )
    assert outcome(PolicyEvaluation(User("u", ()), covered), covered, WIDEST, Action.PUB) == NO_OPINION


def test_users_whose_policies_are_not_evaluated():
    """A Super user may do everything. A disabled user and one that does not exist may do nothing."""
    acl = acl_of("resource: '*', actions: Pub, decision: Deny")

    assert outcome(PolicyEvaluation(User("u", (), UserType.SUPER), acl), acl, WIDEST, Action.PUB) == EVERYTHING
    for user in (None, User("u", (), UserType.SUPER, UserStatus.DISABLE), User("u", (), status=UserStatus.DISABLE)):
        assert outcome(PolicyEvaluation(user, acl), acl, WIDEST, Action.PUB) == NO_OPINION


def test_an_evaluation_keeps_forests_apart():
    """A forest of more names has other indexes, so cached results of another forest are not used."""
    acl = acl_of(
        "resource: Topic:b, actions: Sub, decision: Allow",
        default=("resource: 'Topic:*', actions: Pub, decision: Allow",),
    )
    wider = acl_of(
        "resource: Topic:a, actions: Pub, decision: Allow", "resource: Topic:b, actions: Pub, decision: Allow"
    )
    grid = PolicyEvaluation(User("u", ()), acl)

    assert outcome(grid, acl, ("b", True), Action.PUB) == NO_OPINION
    assert outcome(grid, wider, ("a", True), Action.PUB) == EVERYTHING
    assert outcome(grid, wider, ("b", True), Action.PUB) == NO_OPINION
    assert outcome(grid, wider, ("b", True), Action.SUB) == EVERYTHING
    assert outcome(grid, acl, ("b", True), Action.PUB) == NO_OPINION
    assert outcome(grid, acl, WIDEST, Action.PUB) == EVERYTHING
    covered = acl_of(
        "resource: 'Topic:*', actions: Sub, decision: Allow", "resource: Topic:b, actions: Pub, decision: Allow"
    )
    grid = PolicyEvaluation(User("u", ()), covered)
    assert outcome(grid, covered, ("b", True), Action.PUB) == EVERYTHING
    assert outcome(grid, wider, ("a", True), Action.PUB) == NO_OPINION
    assert outcome(grid, wider, ("b", True), Action.PUB) == EVERYTHING


def test_entries_of_one_resource_are_a_layer():
    """Deny comes first. Entries can be removed, and without entries there is no layer."""
    acl = acl_of(
        "resource: Topic:a, actions: Pub, decision: Allow",
        "resource: Topic:a, actions: All, sources: 10.0.0.0/8, decision: Deny",
    )
    entries = acl.entries(PolicyType.CUSTOM)
    layers, key = EntriesByResource(entries), ((ResourceType.TOPIC, ("a", True)),)

    inside = of("10.0.0.0/8")
    assert layers.outcome(key, Action.PUB) == SourceDecision(ANYWHERE - inside, inside)
    assert layers.outcome(key, Action.GET) == SourceDecision(NOWHERE, inside)
    less = layers.without(entries[1])
    assert less.outcome(key, Action.PUB) == EVERYTHING
    assert less.outcome(key, Action.GET) is NO_OPINION
    assert not less.without(entries[0]).about(key)
    assert layers.about(key)
    assert layers.outcome(((ResourceType.GROUP, ("a", True)),), Action.PUB) is NO_OPINION


def test_entries_can_be_removed_one_after_another():
    """The decisions of the other entries stay the same."""
    acl = acl_of(
        "resource: Topic:a, actions: Pub, decision: Allow",
        "resource: Topic:b, actions: Pub, decision: Allow",
        "resource: Topic:b, actions: Sub, decision: Allow",
        "resource: Topic:c, actions: Pub, decision: Allow",
    )
    first, second, third, _ = acl.entries(PolicyType.CUSTOM)

    less = EntriesByResource(acl.entries(PolicyType.CUSTOM)).without(first).without(second)
    keys = {name: ((ResourceType.TOPIC, (name, True)),) for name in "abc"}
    found = {name: (bool(less.about(key)), less.outcome(key, Action.PUB)) for name, key in keys.items()}
    assert found == {"a": (False, NO_OPINION), "b": (True, NO_OPINION), "c": (True, EVERYTHING)}
    assert less.about(keys["b"]) == [third]


def test_prefixes_may_be_nested_a_thousand_deep():
    """Each prefix is evaluated once, whichever one comes first."""
    entries = [f"resource: 'Topic:{'a' * length}*', actions: Pub, decision: Allow" for length in range(2, 1500)]
    acl = acl_of(*entries, "resource: 'Topic:a*', actions: Sub, decision: Deny")
    grid = PolicyEvaluation(User("u", ()), acl)

    assert outcome(grid, acl, ("a" * 1499, False), Action.PUB) == EVERYTHING
    assert outcome(grid, acl, ("a" * 1499, False), Action.SUB).denied == ANYWHERE
