"""Examples of findings. The property tests show that findings are exact."""

import pytest

from mqguard.auth.analysis.lint import LintRule, lint, lint_acl
from mqguard.auth.documents.reader import read_document
from mqguard.auth.policy import Acl, Policy, PolicyType
from mqguard.auth.user import Subject


def findings(*entries, default=(), user="{}"):
    lines = ["version: 1", f"users: {{u: {user}}}", "policies:", "  User:u:", "    custom:"]
    lines += [f"      - {{{entry}}}" for entry in entries]
    if not entries:
        lines.pop()
    if default:
        lines += ["    default:", *(f"      - {{{entry}}}" for entry in default)]
    return lint(read_document("\n".join(lines)).directory)


def told(found, rule):
    return [(one.place.number, one.message) for one in found if one.rule is rule]


ALLOW, DENY = "decision: Allow", "decision: Deny"


def test_a_shadowed_entry_names_the_deciding_entry():
    """The finding has a request that the entry matches and that gets the opposite decision."""
    found = findings(
        f"resource: Topic:a, actions: [Pub, Sub], {DENY}",
        f"resource: Topic:a, actions: Pub, sources: 10.0.0.0/8, {ALLOW}",
        f"resource: 'Topic:*', actions: Pub, {ALLOW}",
    )

    assert told(found, LintRule.SHADOWED) == [
        (
            2,
            "`Allow Pub on Topic:a from 10.0.0.0/8` never decides: `Deny Pub,Sub on Topic:a from anywhere` has precedence",
        )
    ]
    (shadowed,) = [one for one in found if one.rule is LintRule.SHADOWED]
    assert shadowed.witness.text == "Pub Topic:a from 10.0.0.1"
    assert [other.number for other in shadowed.others] == [1]
    # There is one finding: an entry that never decides is not also redundant.
    assert [one.place.number for one in found if one.rule is not LintRule.CONTRADICTORY] == [2]


def test_a_shadowed_deny_shows_a_request_that_is_allowed():
    """The request comes from one of the sources of the Deny."""
    found = findings(
        f"resource: Topic:a, actions: Pub, {ALLOW}",
        f"resource: Topic:b, actions: Pub, {ALLOW}",
        *(f"resource: '{kind}:*', actions: All, {ALLOW}" for kind in ("Cluster", "Topic", "Group")),
        f"resource: '*', actions: Sub, sources: 10.0.0.0/8, {DENY}",
    )

    (shadowed,) = [one for one in found if one.rule is LintRule.SHADOWED]
    assert (shadowed.place.number, shadowed.witness.text) == (6, "Sub Cluster:any from 10.0.0.1")
    assert [other.number for other in shadowed.others] == [3]


def test_a_default_entry_can_be_covered_in_part():
    """Custom entries cover a part of its names, and narrower Default entries cover the rest."""
    found = findings(
        f"resource: Topic:a, actions: Sub, {ALLOW}",
        default=(
            f"resource: 'Topic:a*', actions: Pub, {ALLOW}",
            f"resource: 'Topic:a*', actions: Pub, {DENY}",
            f"resource: 'Topic:*', actions: Pub, {ALLOW}",
        ),
    )

    assert told(found, LintRule.SHADOWED)[0][0] == 1
    assert told(found, LintRule.DEFAULT_SHADOWED) == []


def test_a_covered_default_entry_names_the_covering_entry():
    """One entry or several together cover its names."""
    found = findings(
        f"resource: 'Topic:a*', actions: Sub, {ALLOW}", default=(f"resource: Topic:ab, actions: Pub, {ALLOW}",)
    )

    assert told(found, LintRule.DEFAULT_SHADOWED) == [
        (
            1,
            "`Allow Pub on Topic:ab from anywhere` never applies: Custom entries such as `Allow Sub on Topic:a* from anywhere` cover all of `Topic:ab`",
        )
    ]


def test_a_covered_default_entry_shows_the_covering_entry_and_a_request():
    """Other entries do not affect the finding."""
    found = findings(
        f"resource: Topic:zz, actions: Pub, {ALLOW}",
        f"resource: 'Topic:a*', actions: Sub, {ALLOW}",
        default=(
            f"resource: 'Group:*', actions: Pub, {ALLOW}",
            f"resource: 'Topic:ab*', actions: Pub, sources: 10.0.0.0/8, {ALLOW}",
        ),
    )

    (silent,) = [one for one in found if one.rule is LintRule.DEFAULT_SHADOWED]
    assert (silent.place.text, silent.witness.text) == ("User:u Default entry 2", "Pub Topic:ab from 10.0.0.1")
    assert [other.text for other in silent.others] == ["User:u Custom entry 2"]
    assert "such as `Allow Sub on Topic:a* from anywhere` cover all of `Topic:ab*`" in silent.message


def test_of_two_equal_entries_the_later_is_redundant():
    """One of the two can be removed, not both. An entry that only disables Default entries cannot be removed."""
    twice = f"resource: Topic:a, actions: Pub, {ALLOW}"
    assert [number for number, _ in told(findings(twice, twice), LintRule.REDUNDANT)] == [2]
    keeping = findings(
        f"resource: Topic:a, actions: Pub, {DENY}", default=(f"resource: 'Topic:*', actions: [Pub, Sub], {ALLOW}",)
    )
    assert told(keeping, LintRule.REDUNDANT) == []
    # This holds even if Default entries match other actions than the entry.
    for actions in ("Sub", "List", "All"):
        default = (f"resource: 'Topic:*', actions: {actions}, {ALLOW}",)
        keeping = findings(f"resource: Topic:a, actions: Pub, {DENY}", default=default)
        assert told(keeping, LintRule.REDUNDANT) == []


def test_a_repeated_entry_has_the_location_of_the_first():
    """After the removal of one of them, the first one remains."""
    (entry,) = (
        read_document(
            "version: 1\npolicies: {'User:u': {custom: [{resource: Topic:a, actions: Pub, decision: Allow}]}}"
        )
        .acls["u"]
        .entries(PolicyType.CUSTOM)
    )
    found = lint_acl(Acl(Subject("u"), (Policy(PolicyType.CUSTOM, (entry, entry, entry)),)))

    redundant = [one for one in found if one.rule is LintRule.REDUNDANT]
    assert [one.place.number for one in redundant] == [2, 3]
    assert [[other.number for other in one.others] for one in redundant] == [[1], [1]]


def test_an_entry_that_needs_another_removed_is_not_redundant():
    """The Deny can be removed only together with the Allow that never decides."""
    found = findings(f"resource: Topic:a, actions: Pub, {DENY}", f"resource: Topic:a, actions: Pub, {ALLOW}")

    assert [number for number, _ in told(found, LintRule.SHADOWED)] == [2]
    assert told(found, LintRule.REDUNDANT) == []


def test_a_deny_of_nothing_is_redundant():
    """Without it the same requests are denied, because no entry matches."""
    found = findings(f"resource: Topic:a, actions: Pub, {DENY}", f"resource: Topic:b, actions: Pub, {ALLOW}")

    assert told(found, LintRule.REDUNDANT) == [
        (
            1,
            "`Deny Pub on Topic:a from anywhere` changes nothing: without it the same requests are still denied because no entry matches",
        )
    ]
    (redundant,) = [one for one in found if one.rule is LintRule.REDUNDANT]
    assert redundant.others == ()
    assert redundant.witness.text == "Pub Topic:a from 192.0.2.1"


def test_an_exception_is_not_a_contradiction():
    """A Deny within the Allow excludes addresses and actions. A Deny that reaches beyond it contradicts."""
    wide = f"resource: Topic:a, actions: [Pub, Sub], {ALLOW}"
    assert told(findings(wide, f"resource: Topic:a, actions: Pub, {DENY}"), LintRule.CONTRADICTORY) == []
    inside = f"resource: Topic:a, actions: [Sub, Pub], sources: 10.0.0.0/8, {DENY}"
    assert told(findings(wide, inside), LintRule.CONTRADICTORY) == []
    assert [number for number, _ in told(findings(inside.replace(DENY, ALLOW), inside), LintRule.CONTRADICTORY)] == [1]
    assert told(
        findings(wide, f"resource: Topic:a, actions: All, sources: '::/0', {DENY}"), LintRule.CONTRADICTORY
    ) == [
        (
            1,
            "`Allow Pub,Sub on Topic:a from anywhere` is contradicted by `Deny All on Topic:a from ::/0`, and Deny wins",
        )
    ]


@pytest.mark.parametrize(
    ("allowed", "denied", "contradicted"),
    [
        ("Topic:a%*", "Namespace:a", True),
        ("Topic:a*", "Namespace:a*", True),
        ("Namespace:*", "Topic:*", True),
        ("Namespace:a", "Topic:a%*", False),
        ("Group:a%*", "Topic:a%*", False),
        ("Topic:a%*", "Namespace:a%*", False),
    ],
)
def test_entries_of_equal_precedence_contradict_each_other(allowed, denied, contradicted):
    """`Namespace:a` has the precedence of `Topic:a%*`. A Deny for topics only is an exception to the Allow of both."""
    found = findings(f"resource: '{allowed}', actions: Pub, {ALLOW}", f"resource: '{denied}', actions: Pub, {DENY}")
    assert [number for number, _ in told(found, LintRule.CONTRADICTORY)] == ([1] if contradicted else [])


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (f"resource: '*', actions: Pub, {ALLOW}", "matches every cluster, topic and group, including future ones"),
        (f"resource: 'Group:*', actions: All, {ALLOW}", "allows all actions on every group"),
        (f"resource: Cluster:c, actions: [Get, Update], {ALLOW}", "allows its user to administer users and policies"),
        (f"resource: Topic:a, actions: Pub, sources: 0.0.0.0/0, {ALLOW}", "matches every IPv4 address, so it limits"),
        (f"resource: Topic:a, actions: Pub, sources: ['::/0', 10.0.0.1], {ALLOW}", "matches every IPv6 address"),
    ],
)
def test_a_broad_right_names_its_reach(entry, message):
    """The finding has a request that the entry allows."""
    (wide,) = [one for one in findings(entry) if one.rule is LintRule.OVERLY_BROAD]

    assert message in wide.message
    assert wide.witness is not None


def test_a_right_to_administer_is_shown_by_a_request_to_do_so():
    """There is no finding if an entry with higher precedence removes the right."""
    entry = f"resource: 'Cluster:*', actions: [Get, Update], {ALLOW}"
    (wide,) = [one for one in findings(entry) if one.rule is LintRule.OVERLY_BROAD]
    assert wide.witness.text == "Update Cluster:any from 192.0.2.1"
    assert told(findings(entry, f"resource: 'Cluster:*', actions: Update, {DENY}"), LintRule.OVERLY_BROAD) == []


def test_a_right_that_never_decides_is_not_broad():
    """A Deny of the same rank removes the whole right."""
    found = findings(f"resource: '*', actions: Pub, {ALLOW}", f"resource: '*', actions: All, {DENY}")

    assert told(found, LintRule.OVERLY_BROAD) == []


def test_a_deny_of_one_family_does_not_deny_the_other():
    """`0.0.0.0/0` does not match IPv6 addresses. There is no finding if those are denied anyway."""
    deny = f"resource: Topic:a, actions: Pub, sources: 0.0.0.0/0, {DENY}"
    found = findings(deny, f"resource: 'Topic:*', actions: Pub, {ALLOW}")

    (leak,) = [one for one in found if one.rule is LintRule.OVERLY_BROAD]
    assert leak.message == (
        "`Deny Pub on Topic:a from 0.0.0.0/0` matches every IPv4 address, but IPv6 addresses are allowed: leave the sources out to deny from everywhere"
    )
    assert leak.witness.text == "Pub Topic:a from 2001:db8::1"
    assert told(findings(deny), LintRule.OVERLY_BROAD) == []
    # Once, however many actions and names it is for.
    deny = f"resource: 'Topic:a*', actions: All, sources: '::/0', {DENY}"
    found = findings(deny, f"resource: Topic:ab, actions: Pub, {ALLOW}", f"resource: 'Topic:*', actions: All, {ALLOW}")
    assert [message for number, message in told(found, LintRule.OVERLY_BROAD) if number == 1] == [
        "`Deny All on Topic:a* from ::/0` matches every IPv6 address, but IPv4 addresses are allowed: leave the sources out to deny from everywhere"
    ]


@pytest.mark.parametrize(
    ("resource", "reason"),
    [
        ("'Group:%RETRY%g'", "a `%RETRY%` topic belongs to its group, so write `Group:g`"),
        ("'Topic:%DLQ%*'", "a `%DLQ%` topic belongs to its group, so write `Group:*`"),
        ("'Topic:a b'", "the topic `a b` holds characters other than"),
        ("'Group:a.b*'", "the group `a.b` holds characters other than"),
        ("'Namespace:a%*'", "no namespace has a `%` in its name"),
        ("Namespace:a b", "the topic `a b%` holds characters other than"),
        ("'Namespace:%RETRY'", "a `%RETRY%` topic belongs to its group, so write `Group:*`"),
    ],
)
def test_names_that_no_request_has(resource, reason):
    """The finding for an impossible name has the correct form."""
    ((_, message),) = told(findings(f"resource: {resource}, actions: Sub, {ALLOW}"), LintRule.UNREACHABLE)

    assert reason in message


@pytest.mark.parametrize(
    "resource",
    [
        "'*'",
        "'Topic:*'",
        "'Group:*'",
        "Cluster:a b",
        "'Cluster:%RETRY%*'",
        "Topic:a-b_1",
        "Namespace:n",
        "'Namespace:*'",
    ],
)
def test_names_that_a_request_can_have(resource):
    """Only names of topics and groups have rules. A resource for all names breaks none of them."""
    assert told(findings(f"resource: {resource}, actions: Get, {ALLOW}"), LintRule.UNREACHABLE) == []


def test_facts_about_subjects():
    """Findings cover policies of Super users, users without rights, and policies without a user."""
    assert [one.rule for one in findings(f"resource: Topic:a, actions: Pub, {ALLOW}", user="{type: Super}")] == [
        LintRule.SUPER_POLICIES
    ]
    document = read_document(
        "version: 1\nusers: {idle: {}, off: {status: disable}}\n"
        "policies: {'User:gone': {custom: [{resource: Topic:a, actions: Pub, decision: Allow}]}}\n"
    )
    assert [(one.rule, one.subject) for one in lint(document.directory)] == [
        (LintRule.NO_USER, "gone"),
        (LintRule.NO_RIGHTS, "idle"),
    ]


def test_everything_can_be_shadowed_by_the_types_together():
    """An entry for `*` never decides if each type has its own entries for all actions; two types are too few."""
    for decision, other, sources in ((ALLOW, DENY, ""), (DENY, ALLOW, "sources: 10.0.0.0/8, ")):
        kinds = [f"resource: '{kind}:*', actions: All, {decision}" for kind in ("Cluster", "Topic", "Group")]
        found = findings(*kinds, f"resource: '*', actions: [Pub, Sub], {sources}{other}")
        (shadowed,) = [one for one in found if one.rule is LintRule.SHADOWED]
        assert shadowed.place.number == 4
        assert shadowed.witness.text.startswith("Pub Cluster:any from ")
        assert [one.number for one in shadowed.others] == [1]
        if sources:
            assert shadowed.witness.text.endswith("from 10.0.0.1")
        assert told(findings(*kinds[1:], f"resource: '*', actions: Pub, {other}"), LintRule.SHADOWED) == []


def test_the_witness_of_a_broad_right_is_decided_by_it():
    """If narrower entries decide for some types, the witness has another type."""
    found = findings(
        f"resource: 'Cluster:*', actions: All, {DENY}",
        f"resource: 'Topic:*', actions: [Pub, Sub], sources: 10.0.0.0/8, {DENY}",
        f"resource: 'Topic:*', actions: [Pub, Sub], sources: 192.0.2.0/24, {ALLOW}",
        f"resource: '*', actions: Pub, {ALLOW}",
    )

    (wide,) = [one for one in found if one.rule is LintRule.OVERLY_BROAD]
    assert wide.witness.text == "Pub Topic:any from 0.0.0.1"


def test_what_decides_without_a_redundant_entry_is_of_the_same_policy():
    """The other Custom entries still precede Default entries."""
    found = findings(
        f"resource: Topic:a, actions: Pub, {ALLOW}",
        f"resource: 'Topic:a*', actions: Pub, {ALLOW}",
        default=(f"resource: 'Topic:*', actions: All, {DENY}",),
    )

    assert told(found, LintRule.REDUNDANT)[0] == (
        1,
        "`Allow Pub on Topic:a from anywhere` changes nothing: without it the same requests are still allowed by `Allow Pub on Topic:a* from anywhere`",
    )


def test_a_repeated_use_is_reported_at_the_later_one():
    """The finding names the first use, which has the same effect."""
    entry = read_document(
        "version: 1\nusers: {u: {}}\npolicies: {User:u: {custom: [{resource: Topic:a, actions: Pub, decision: Allow}]}}"
    )
    (used,) = entry.directory.acls["u"].entries(PolicyType.CUSTOM)
    acl = Acl(Subject("u"), (Policy(PolicyType.CUSTOM, (used, used)),))

    (found,) = lint_acl(acl)
    assert (found.rule, found.place.number, [other.number for other in found.others]) == (LintRule.REDUNDANT, 2, [1])


def test_an_entry_in_both_policies_is_reported_in_default():
    """The Custom entry decides."""
    entry = "resource: Topic:a, actions: Pub, decision: Allow"

    (found,) = findings(entry, default=[entry])
    assert (found.rule, found.place.policy, found.others[0].policy) == (
        LintRule.DEFAULT_SHADOWED,
        PolicyType.DEFAULT,
        PolicyType.CUSTOM,
    )


@pytest.mark.parametrize(
    ("resource", "advice"),
    [
        ("Topic:%RETRY%g", "write `Group:g`"),
        ("'Topic:%RETRY%g*'", "write `Group:g*`"),
        ("'Topic:%DLQ%*'", "write `Group:*`"),
        ("Topic:%DLQ%", "write `Group:name`"),
        ("'Namespace:n%*'", "no namespace has a `%` in its name"),
    ],
)
def test_an_unreachable_entry_is_reported_once(resource, advice):
    """Such an entry has no other finding. Other redundant entries are still reported."""
    found = findings(
        f"resource: 'Topic:*', actions: [Pub, Sub], {ALLOW}",
        f"resource: {resource}, actions: Sub, {ALLOW}",
        f"resource: {resource}, actions: Sub, sources: 10.0.0.0/8, {DENY}",
        f"resource: Topic:b, actions: Sub, {ALLOW}",
    )

    assert [(one.rule, one.place.number) for one in found] == [
        (LintRule.UNREACHABLE, 2),
        (LintRule.UNREACHABLE, 3),
        (LintRule.REDUNDANT, 4),
    ]
    assert found[0].message.endswith(advice)


def test_entries_that_become_redundant_after_others_are_reported():
    """Without the two equal entries the third one is redundant too, because the Default entry then decides the same."""
    found = findings(
        f"resource: Topic:b, actions: Pub, {ALLOW}",
        f"resource: Topic:b, actions: All, {ALLOW}",
        f"resource: Topic:b, actions: All, {ALLOW}",
        default=(f"resource: '*', actions: All, {ALLOW}",),
    )

    assert [one.place.number for one in found if one.rule is LintRule.REDUNDANT] == [1, 2, 3]
