"""Policy lint: each finding is decided exactly and shown with a concrete request.

Every entry reported as shadowed, redundant or default-shadowed can be removed, one of them or all at once, without a
change to any decision.
"""

import dataclasses
import enum
from collections.abc import Iterator

from mqguard.auth.analysis.access_state import AccessState, EntryLocation, may_do_nothing
from mqguard.auth.analysis.acl_analysis import AclAnalysis, EntryRegion, NumberedEntry
from mqguard.auth.analysis.evaluation import sources_of
from mqguard.auth.analysis.names import Key, key_of
from mqguard.auth.analysis.regions import Witness
from mqguard.auth.analysis.source_sets import ANYWHERE, SourceSet
from mqguard.auth.policy import Acl, Action, Decision, PolicyType
from mqguard.auth.resource import NAMESPACE_END, Pattern, ResourceType
from mqguard.auth.source import address_problem, range_problem
from mqguard.auth.verdict import Verdict
from mqguard.model.names import DLQ_PREFIX, RETRY_PREFIX, group_fault, topic_fault


class LintRule(enum.StrEnum):
    """The kind of finding, as a keyword."""

    SHADOWED = "shadowed"
    """The entry never decides, and some request that it matches gets the opposite decision."""
    REDUNDANT = "redundant"
    """Without the entry every request gets the same decision."""
    CONTRADICTORY = "contradictory"
    """An Allow and a Deny of one rank match the same requests, and the Deny is not a plain exception to the Allow."""
    UNREACHABLE = "unreachable"
    """No request can match the entry."""
    DEFAULT_SHADOWED = "default-shadowed"
    """A Default entry whose names are all covered by Custom entries."""
    OVERLY_BROAD = "overly-broad"
    """A right that is probably broader than intended."""
    NO_USER = "no-user"
    """A subject with policies, but without a user."""
    NO_RIGHTS = "no-rights"
    """An enabled Normal user without rights."""
    SUPER_POLICIES = "super-policies"
    """Policies of a Super user, which are never evaluated."""


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """One problem in policies.

    Attributes:
        rule: The kind.
        subject: The owner of the policies.
        message: The problem and its reason, in one line.
        place: The entry, or None if the finding is about the whole subject.
        others: The related entries.
        witness: A concrete request that shows the problem, or None if no request can.
    """

    rule: LintRule
    subject: str
    message: str
    place: EntryLocation | None = None
    others: tuple[EntryLocation, ...] = ()
    witness: Witness | None = None


def contradictions(analysis: AclAnalysis) -> Iterator[Finding]:
    """Yield each Allow that a Deny of the same precedence contradicts.

    A Deny wholly inside the Allow, for fewer resources, actions or sources, is an exception to it, not a contradiction.
    """
    denies: dict[tuple[PolicyType, bool, Key], list[NumberedEntry]] = {}
    for line in analysis.entries:
        if line.entry.decision is Decision.DENY and _impossible_name(line) is None:
            denies.setdefault(_precedence(line), []).append(line)
    for line in analysis.entries:
        if line.entry.decision is Decision.ALLOW:
            against = [deny for deny in denies.get(_precedence(line), ()) if _clash(line, deny)]
            if against:
                yield _finding(analysis, line, against)


def _precedence(line: NumberedEntry) -> tuple[PolicyType, bool, Key]:
    resource = line.entry.resource
    return line.place.policy, resource.type is ResourceType.ANY, key_of(resource)


def _finding(analysis: AclAnalysis, allow: NumberedEntry, against: list[NumberedEntry]) -> Finding:
    message = f"`{allow.entry.text}` is contradicted by `{against[0].entry.text}`, and Deny wins"
    places = tuple(deny.place for deny in against)
    return Finding(
        LintRule.CONTRADICTORY, allow.place.subject, message, allow.place, places, _witness(analysis, allow, against[0])
    )


def _clash(allow: NumberedEntry, deny: NumberedEntry) -> bool:
    """True if a Deny of the same precedence matches requests of an Allow and is not an exception to it."""
    here, there = sources_of(allow.entry), sources_of(deny.entry)
    kinds, denied_kinds = set(allow.entry.resource.types), set(deny.entry.resource.types)
    actions, denied_actions = set(allow.actions), set(deny.actions)
    if not kinds & denied_kinds or not actions & denied_actions or (here & there).is_empty:
        return False
    # Of two resources with the same text, one that spans namespaces matches fewer names.
    spans, denied_spans = allow.entry.resource.spans_namespaces, deny.entry.resource.spans_namespaces
    within = denied_kinds <= kinds and spans <= denied_spans
    within = within and denied_actions <= actions and (there - here).is_empty
    equal = denied_kinds == kinds and spans == denied_spans and denied_actions == actions and (here - there).is_empty
    return not within or equal


def _witness(analysis: AclAnalysis, allow: NumberedEntry, deny: NumberedEntry) -> Witness | None:
    shared = sources_of(allow.entry) & sources_of(deny.entry)
    denied = set(analysis.cells(deny))
    return next((cell.witness(shared) for cell in analysis.cells(allow) if cell in denied), None)


_V4, _V6 = SourceSet(v4=ANYWHERE.v4), SourceSet(v6=ANYWHERE.v6)
_FAMILIES = (("IPv4", _V4, "IPv6", _V6), ("IPv6", _V6, "IPv4", _V4))


def overly_broad(analysis: AclAnalysis, line: NumberedEntry) -> Iterator[Finding]:
    """Yield a finding for each right beyond the probable intention; its witness is a request that the entry allows."""
    entry = line.entry
    if entry.decision is Decision.DENY:
        yield from _ineffective_deny(analysis, line)
        return
    text = f"`{entry.text}`"
    resource = entry.resource
    if resource.type is ResourceType.ANY:
        yield from _broad(analysis, line, f"{text} matches every cluster, topic and group, including future ones")
    elif resource.pattern is Pattern.ANY and Action.ALL in entry.actions:
        yield from _broad(analysis, line, f"{text} allows all actions on every {resource.type.value.lower()}")
    if resource.type is ResourceType.CLUSTER and Action.UPDATE in line.actions:
        yield from _broad(analysis, line, f"{text} allows its user to administer users and policies", Action.UPDATE)
    for problem in filter(None, map(range_problem, entry.sources)):
        yield from _broad(analysis, line, f"{text}: {problem}")
    for family, whole, _, _ in _FAMILIES:
        if entry.sources and (whole - sources_of(entry)).is_empty:
            yield from _broad(analysis, line, f"{text} matches every {family} address, so it limits nothing")


def unreachable(line: NumberedEntry) -> Finding | None:
    """Return the reason why no request can match an entry, or None if one can."""
    reason = _impossible_name(line)
    if reason is None and line.entry.sources and all(map(address_problem, line.entry.sources)):
        reason = address_problem(line.entry.sources[0])
    if reason is None:
        return None
    message = f"`{line.entry.text}` cannot match any request: {reason}"
    return Finding(LintRule.UNREACHABLE, line.place.subject, message, line.place)


def _ineffective_deny(analysis: AclAnalysis, line: NumberedEntry) -> Iterator[Finding]:
    """Yield a finding if a Deny matches every address of one family, and the other family is still allowed."""
    entry = line.entry
    for family, whole, other, rest in _FAMILIES:
        if not entry.sources or not (whole - sources_of(entry)).is_empty:
            continue
        for cell in analysis.cells(line):
            allowed = analysis.evaluation.outcome(cell.tree, cell.place, cell.action).allowed & (
                rest - sources_of(entry)
            )
            if not allowed.is_empty:
                message = (
                    f"`{entry.text}` matches every {family} address, but {other} addresses are allowed: leave "
                    f"the sources out to deny from everywhere"
                )
                yield Finding(
                    LintRule.OVERLY_BROAD, line.place.subject, message, line.place, witness=cell.witness(allowed)
                )
                break


def _broad(analysis: AclAnalysis, line: NumberedEntry, message: str, action: Action | None = None) -> Iterator[Finding]:
    witness = _deciding_witness(analysis, line, action)
    if witness is not None:
        yield Finding(LintRule.OVERLY_BROAD, line.place.subject, message, line.place, witness=witness)


def _deciding_witness(analysis: AclAnalysis, line: NumberedEntry, action: Action | None) -> Witness | None:
    for cell in analysis.cells(line):
        if action is None or cell.action is action:
            live = analysis.deciding_sources(line, cell)
            if not live.is_empty:
                return cell.witness(live)
    return None


def _impossible_name(line: NumberedEntry) -> str | None:
    resource = line.entry.resource
    if resource.spans_namespaces and NAMESPACE_END in resource.name:
        return f"no namespace has a `{NAMESPACE_END}` in its name"
    pattern, text = resource.compared
    if resource.type in (ResourceType.ANY, ResourceType.CLUSTER) or pattern is Pattern.ANY:
        return None
    for prefix in (RETRY_PREFIX, DLQ_PREFIX):
        if text.startswith(prefix):
            star = "*" if pattern is Pattern.PREFIXED else ""
            group = text[len(prefix) :] + star or "name"
            return f"a `{prefix}` topic belongs to its group, so write `Group:{group}`"
    return group_fault(text) if resource.type is ResourceType.GROUP else topic_fault(text)


def lint(directory: AccessState) -> tuple[Finding, ...]:
    """Return all findings about the policies of a state, by subject and entry."""
    findings: list[Finding] = []
    for name in directory.names:
        findings += _subject_findings(directory, name)
        user, acl = directory.users.get(name), directory.acls.get(name)
        if acl is not None and not (user is not None and user.is_super):
            findings += lint_acl(acl)
    return tuple(findings)


def lint_acl(acl: Acl) -> tuple[Finding, ...]:
    """Return all findings about one subject's entries, in the order of the entries."""
    analysis = AclAnalysis(acl)
    found: list[Finding] = []
    never_deciding: list[NumberedEntry] = []
    unreachable_entries: set[EntryLocation] = set()
    for line in analysis.entries:
        fault = unreachable(line)
        if fault is not None:
            unreachable_entries.add(line.place)
        else:
            fault = _never_applies(analysis, line) or _shadowed(analysis, line)
            if fault is not None:
                never_deciding.append(line)
        if fault is not None:
            found.append(fault)
    others = [*_redundant(analysis, never_deciding, unreachable_entries), *contradictions(analysis)]
    others += [wide for line in analysis.entries for wide in overly_broad(analysis, line)]
    # An entry that no request matches has no other finding of importance.
    found += [one for one in others if one.place not in unreachable_entries]
    order = {line.place: at for at, line in enumerate(analysis.entries)}
    return tuple(sorted(found, key=lambda finding: order[finding.place] if finding.place else -1))


def _subject_findings(directory: AccessState, name: str) -> Iterator[Finding]:
    user, acl = directory.users.get(name), directory.acls.get(name)
    if user is None:
        yield Finding(LintRule.NO_USER, name, f"`User:{name}` has policies, but no such user exists")
    elif user.is_super and acl is not None and acl.policies:
        yield Finding(LintRule.SUPER_POLICIES, name, f"`{name}` is Super, so its policies are never evaluated")
    elif user.is_enabled and may_do_nothing(directory, name):
        yield Finding(LintRule.NO_RIGHTS, name, f"`{name}` is enabled but has no rights")


def _never_applies(analysis: AclAnalysis, line: NumberedEntry) -> Finding | None:
    if line.place.policy is not PolicyType.DEFAULT:
        return None
    name_classes = list(analysis.name_classes(line.entry))
    if not name_classes or not all(analysis.evaluation.is_covered(tree, place) for tree, place in name_classes):
        return None
    cell = EntryRegion(*name_classes[0], line.actions[0])
    covering = next(other for other in analysis.covering(cell) if other.place.policy is PolicyType.CUSTOM)
    message = (
        f"`{line.entry.text}` never applies: Custom entries such as `{covering.entry.text}` cover all of "
        f"`{line.entry.resource.key}`"
    )
    sources = sources_of(line.entry)
    witness = None if sources.is_empty else cell.witness(sources)
    return Finding(LintRule.DEFAULT_SHADOWED, line.place.subject, message, line.place, (covering.place,), witness)


def _shadowed(analysis: AclAnalysis, line: NumberedEntry) -> Finding | None:
    shown: tuple[EntryRegion, Witness] | None = None
    for cell in analysis.cells(line):
        if not analysis.deciding_sources(line, cell).is_empty:
            return None
        if shown is None:
            overridden = analysis.overridden_sources(line, cell)
            shown = None if overridden.is_empty else (cell, cell.witness(overridden))
    if shown is None:
        return None
    verdict = analysis.verdict(*shown)
    message = f"`{line.entry.text}` never decides: {_precedence_text(verdict)}"
    return Finding(LintRule.SHADOWED, line.place.subject, message, line.place, analysis.location_of(verdict), shown[1])


def _redundant(
    analysis: AclAnalysis, never_deciding: list[NumberedEntry], kept: set[EntryLocation]
) -> Iterator[Finding]:
    rest, spared = analysis.evaluation, {line.place for line in never_deciding} | kept
    for line in never_deciding:
        rest = rest.without(line.place.policy, line.entry)
    # From the last entry on: of two entries with the same effect, the later one is reported. A removed entry can make
    # an earlier one redundant, so this is repeated until nothing changes.
    found = True
    while found:
        found = False
        for line in reversed(analysis.entries):
            if line.place in spared or sources_of(line.entry).is_empty or not any(analysis.name_classes(line.entry)):
                continue
            alone = analysis.evaluation.without(line.place.policy, line.entry)
            if analysis.differs(line, analysis.evaluation, alone):
                spared.add(line.place)
                continue
            less = rest.without(line.place.policy, line.entry)
            if not analysis.differs(line, rest, less):
                rest = less
                spared.add(line.place)
                found = True
                yield _redundancy(analysis, line)


def _redundancy(analysis: AclAnalysis, line: NumberedEntry) -> Finding:
    live = ((cell, analysis.deciding_sources(line, cell)) for cell in analysis.cells(line))
    cell, sources = next(
        ((cell, sources) for cell, sources in live if not sources.is_empty),
        (next(analysis.cells(line)), sources_of(line.entry)),
    )
    witness = cell.witness(sources)
    verdict = analysis.verdict(cell, witness, without=line)
    decision = "allowed" if verdict.allowed else "denied"
    why = f"by `{verdict.decided_by.text}`" if verdict.decided_by else "because no entry matches"
    message = f"`{line.entry.text}` changes nothing: without it the same requests are still {decision} {why}"
    return Finding(LintRule.REDUNDANT, line.place.subject, message, line.place, analysis.location_of(verdict), witness)


def _precedence_text(verdict: Verdict) -> str:
    if verdict.decided_by is None:
        return "Custom entries for the same names take its place"
    return f"`{verdict.decided_by.text}` has precedence"
