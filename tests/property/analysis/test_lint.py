"""The findings of the linter are exactly those of brute force over a small universe."""

from hypothesis import given

from mqguard.auth.analysis.access_state import AccessState
from mqguard.auth.analysis.acl_analysis import AclAnalysis
from mqguard.auth.analysis.comparison import compare
from mqguard.auth.analysis.lint import LintRule, lint, lint_acl
from mqguard.auth.decide import decide
from mqguard.auth.policy import Acl, Decision, Policy, PolicyType, rank
from mqguard.auth.policy_index import Rights
from mqguard.auth.resource import ResourceType
from mqguard.auth.source import Source
from mqguard.auth.user import User
from tests.property.analysis.universe import REQUESTS, acls, directories, effort

USER = User("u", ())


def matches(entry, request):
    (action,) = request.actions
    inside = not entry.sources or (
        request.address is not None and any(holds(source, request.address) for source in entry.sources)
    )
    return inside and entry.resource.covers(request.type, request.name) and entry.matches_action(action)


def holds(source: Source, address) -> bool:
    return source.network.version == address.version and address in source.network


def matched(entry):
    return [request for request in REQUESTS if matches(entry, request)]


def verdicts(acl):
    rights = Rights(USER, acl)
    return [decide(request, rights).decision for request in REQUESTS]


def less(acl, gone):
    return Acl(
        acl.subject,
        tuple(
            Policy(
                policy.type,
                tuple(entry for at, entry in enumerate(policy.entries, 1) if (policy.type, at) not in gone),
            )
            for policy in acl.policies
        ),
    )


def places(acl):
    return [(policy.type, at, entry) for policy in acl.policies for at, entry in enumerate(policy.entries, 1)]


def found(findings, rule):
    return {(finding.place.policy, finding.place.number): finding for finding in findings if finding.rule is rule}


@given(acls(most=6))
@effort(80)
def test_shadowed_entries_are_those_that_never_decide(acl):
    """An entry is shadowed when no request is decided by its rank, and one it matches gets the other decision."""
    findings = found(lint_acl(acl), LintRule.SHADOWED)
    silent = found(lint_acl(acl), LintRule.DEFAULT_SHADOWED)
    rights = Rights(USER, acl)

    for policy, at, entry in places(acl):
        if (policy, at) in silent:
            continue
        asked = [(request, decide(request, rights)) for request in matched(entry)]
        decides = any(
            verdict.policy is policy and verdict.decided_by is not None and rank(verdict.decided_by) == rank(entry)
            for _, verdict in asked
        )
        turned = any(verdict.decision is not entry.decision for _, verdict in asked)
        assert ((policy, at) in findings) is (not decides and turned)
    for (policy, at), finding in findings.items():
        entry = acl.entries(policy)[at - 1]
        assert matches(entry, finding.witness.request)
        assert decide(finding.witness.request, rights).decision is not entry.decision


@given(acls(most=6))
@effort(80)
def test_covered_default_entries_are_those_whose_names_are_all_covered(acl):
    """A Default entry never applies if a Custom entry covers each of its names."""
    findings = found(lint_acl(acl), LintRule.DEFAULT_SHADOWED)

    for at, entry in enumerate(acl.entries(PolicyType.DEFAULT), 1):
        covered = all(
            any(custom.resource.covers(request.type, request.name) for custom in acl.entries(PolicyType.CUSTOM))
            for request in REQUESTS
            if entry.resource.covers(request.type, request.name)
        )
        assert ((PolicyType.DEFAULT, at) in findings) is covered


@given(acls(most=6))
@effort(80)
def test_redundant_entries_can_be_removed_alone_and_together(acl):
    """Without any one of them, and without all of them, each request gets the same decision. No other can be removed."""
    findings = lint_acl(acl)
    redundant = set(found(findings, LintRule.REDUNDANT))
    dead = set(found(findings, LintRule.SHADOWED)) | set(found(findings, LintRule.DEFAULT_SHADOWED))
    before = verdicts(acl)

    for gone in redundant | dead:
        assert verdicts(less(acl, {gone})) == before
    rest = less(acl, redundant | dead)
    assert verdicts(rest) == before
    assert compare(AccessState.of([USER], [acl]), AccessState.of([USER], [rest])).is_empty
    for policy, at, entry in places(acl):
        if (policy, at) not in redundant | dead and matched(entry):
            alone = verdicts(less(acl, {(policy, at)})) != before
            together = verdicts(less(acl, redundant | dead | {(policy, at)})) != before
            assert alone or together
    for (policy, at), finding in found(findings, LintRule.REDUNDANT).items():
        assert matches(acl.entries(policy)[at - 1], finding.witness.request)


@given(acls(most=6))
@effort(80)
def test_contradictions_are_overlaps_that_are_not_exceptions(acl):
    """An Allow is contradicted by a Deny of its precedence that matches some of its requests and is not within it."""
    findings = found(lint_acl(acl), LintRule.CONTRADICTORY)

    for policy, at, entry in places(acl):
        if entry.decision is Decision.DENY:
            assert (policy, at) not in findings
            continue
        mine = set(map(id, matched(entry)))
        against = []
        for number, deny in enumerate(acl.entries(policy), 1):
            if deny.decision is Decision.DENY and rank(deny)[:-1] == rank(entry)[:-1]:
                theirs = set(map(id, matched(deny)))
                if mine & theirs and not theirs < mine:
                    against.append((policy, number))
        finding = findings.get((policy, at))
        assert [(other.policy, other.number) for other in finding.others] == against if finding else not against
        if finding:
            deny = acl.entries(policy)[finding.others[0].number - 1]
            assert matches(entry, finding.witness.request)
            assert matches(deny, finding.witness.request)


@given(acls(most=6))
@effort(80)
def test_a_broad_right_is_shown_by_a_request_that_it_allows(acl):
    """The witness of a broad Allow is decided by it. The witness of an ineffective Deny is allowed."""
    findings = [finding for finding in lint_acl(acl) if finding.rule is LintRule.OVERLY_BROAD]
    rights = Rights(USER, acl)

    for finding in findings:
        entry = acl.entries(finding.place.policy)[finding.place.number - 1]
        verdict = decide(finding.witness.request, rights)
        assert verdict.allowed
        if entry.decision is Decision.ALLOW:
            assert rank(verdict.decided_by) == rank(entry)
        else:
            assert not matches(entry, finding.witness.request)
    for policy, at, entry in places(acl):
        if entry.decision is Decision.ALLOW and entry.resource.type is ResourceType.ANY and AclAnalysis(acl).entries:
            verdict = [decide(request, rights) for request in matched(entry)]
            speaks = any(
                v.decided_by is not None and v.policy is policy and rank(v.decided_by) == rank(entry) for v in verdict
            )
            told = any(f.place.policy is policy and f.place.number == at for f in findings)
            assert told or not speaks


@given(directories)
@effort(80)
def test_findings_about_subjects_are_true(directory):
    """These findings are reported exactly if they are true."""
    rules = {finding.rule for finding in lint(directory) if finding.place is None}
    user, acl = directory.users.get("u"), directory.acls.get("u")
    rights = directory.rights("u")

    assert (LintRule.NO_USER in rules) is (user is None and acl is not None)
    assert (LintRule.SUPER_POLICIES in rules) is (user is not None and user.is_super and acl is not None)
    nothing = user is not None and not any(decide(request, rights).allowed for request in REQUESTS)
    assert (LintRule.NO_RIGHTS in rules) is (nothing and user.is_enabled and not user.is_super)
