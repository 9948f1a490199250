"""Policy lint: each finding is decided exactly and shown with a concrete request.

Every entry reported as shadowed, redundant or default-shadowed can be removed, one of them or all at once, without a
change to any decision.
"""

import dataclasses
import enum
from collections.abc import Iterator

from mqguard.auth.analysis.access_state import AccessState, EntryLocation, may_do_nothing
from mqguard.auth.analysis.acl_analysis import AclAnalysis, EntryRegion, NumberedEntry
from mqguard.auth.analysis.evaluation import Place, origins_of, places_of
from mqguard.auth.analysis.regions import Witness
from mqguard.auth.analysis.source_sets import ANYWHERE, SourceSet
from mqguard.auth.policy import Acl, Action, Decision, PolicyType
from mqguard.auth.resource import NAMESPACE_END, Pattern, ResourceType
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


def contradictions(scene: AclAnalysis) -> Iterator[Finding]:
    """Yield each Allow that a Deny of the same precedence contradicts.

    A Deny wholly inside the Allow, for fewer actions or sources, is an exception to it, not a contradiction.
    """
    denies: dict[tuple[PolicyType, Place], list[NumberedEntry]] = {}
    for line in scene.lines:
        if line.entry.decision is Decision.DENY:
            for place in places_of(line.entry.resource):
                denies.setdefault((line.place.policy, place), []).append(line)
    for line in scene.lines:
        if line.entry.decision is Decision.ALLOW:
            near = (denies.get((line.place.policy, place), []) for place in places_of(line.entry.resource))
            alike = {deny.place: deny for group in near for deny in group}
            against = [deny for deny in alike.values() if _clash(line, deny)]
            if against:
                yield _finding(scene, line, against)


def _finding(scene: AclAnalysis, allow: NumberedEntry, against: list[NumberedEntry]) -> Finding:
    message = f"`{allow.entry.text}` is contradicted by `{against[0].entry.text}`, and Deny wins"
    places = tuple(deny.place for deny in against)
    return Finding(
        LintRule.CONTRADICTORY, allow.place.subject, message, allow.place, places, _witness(scene, allow, against[0])
    )


def _clash(allow: NumberedEntry, deny: NumberedEntry) -> bool:
    here, there = origins_of(allow.entry), origins_of(deny.entry)
    if not set(allow.actions) & set(deny.actions) or (here & there).is_empty:
        return False
    within = set(deny.actions) <= set(allow.actions) and (there - here).is_empty
    equal = len(deny.actions) == len(allow.actions) and (here - there).is_empty
    return not within or equal


def _witness(scene: AclAnalysis, allow: NumberedEntry, deny: NumberedEntry) -> Witness | None:
    shared = origins_of(allow.entry) & origins_of(deny.entry)
    return next((cell.witness(shared) for cell in scene.cells(allow) if cell.action in deny.actions), None)


_V4, _V6 = SourceSet(v4=ANYWHERE.v4), SourceSet(v6=ANYWHERE.v6)
_FAMILIES = (("IPv4", _V4, "IPv6", _V6), ("IPv6", _V6, "IPv4", _V4))


def overly_broad(scene: AclAnalysis, line: NumberedEntry) -> Iterator[Finding]:
    """Yield a finding for each right beyond the probable intention; its witness is a request that the entry allows."""
    entry = line.entry
    if entry.decision is Decision.DENY:
        yield from _ineffective_deny(scene, line)
        return
    text = f"`{entry.text}`"
    resource = entry.resource
    if resource.type is ResourceType.ANY:
        yield from _told(scene, line, f"{text} matches every cluster, topic and group, including future ones")
    elif resource.pattern is Pattern.ANY and Action.ALL in entry.actions:
        yield from _told(scene, line, f"{text} allows all actions on every {resource.type.value.lower()}")
    if resource.type is ResourceType.CLUSTER and Action.UPDATE in line.actions:
        yield from _told(scene, line, f"{text} allows its user to administer users and policies", Action.UPDATE)
    for family, whole, _, _ in _FAMILIES:
        if entry.sources and (whole - origins_of(entry)).is_empty:
            yield from _told(scene, line, f"{text} matches every {family} address, so it limits nothing")


def unreachable(line: NumberedEntry) -> Finding | None:
    """Return the reason why no request can match an entry, or None if one can."""
    reason = _unasked_name(line)
    if reason is None:
        return None
    message = f"`{line.entry.text}` cannot match any request: {reason}"
    return Finding(LintRule.UNREACHABLE, line.place.subject, message, line.place)


def _ineffective_deny(scene: AclAnalysis, line: NumberedEntry) -> Iterator[Finding]:
    """Yield a finding if a Deny matches every address of one family, and the other family is still allowed."""
    entry = line.entry
    for family, whole, other, rest in _FAMILIES:
        if not entry.sources or not (whole - origins_of(entry)).is_empty:
            continue
        for cell in scene.cells(line):
            let_in = scene.grid.outcome(cell.tree, cell.place, cell.action).allowed & (rest - origins_of(entry))
            if not let_in.is_empty:
                message = (
                    f"`{entry.text}` matches every {family} address, but {other} addresses are allowed: leave "
                    f"the sources out to deny from everywhere"
                )
                yield Finding(
                    LintRule.OVERLY_BROAD, line.place.subject, message, line.place, witness=cell.witness(let_in)
                )
                break


def _told(scene: AclAnalysis, line: NumberedEntry, message: str, action: Action | None = None) -> Iterator[Finding]:
    witness = _live_witness(scene, line, action)
    if witness is not None:
        yield Finding(LintRule.OVERLY_BROAD, line.place.subject, message, line.place, witness=witness)


def _live_witness(scene: AclAnalysis, line: NumberedEntry, action: Action | None) -> Witness | None:
    for cell in scene.cells(line):
        if action is None or cell.action is action:
            live = scene.live(line, cell)
            if not live.is_empty:
                return cell.witness(live)
    return None


def _unasked_name(line: NumberedEntry) -> str | None:
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
    scene = AclAnalysis(acl)
    found: list[Finding] = []
    dead: list[NumberedEntry] = []
    unasked: set[EntryLocation] = set()
    for line in scene.lines:
        fault = unreachable(line)
        if fault is not None:
            unasked.add(line.place)
        else:
            fault = _silent(scene, line) or _shadowed(scene, line)
            if fault is not None:
                dead.append(line)
        if fault is not None:
            found.append(fault)
    others = [*_redundant(scene, dead, unasked), *contradictions(scene)]
    others += [wide for line in scene.lines for wide in overly_broad(scene, line)]
    # An entry that no request matches has no other finding of importance.
    found += [one for one in others if one.place not in unasked]
    order = {line.place: at for at, line in enumerate(scene.lines)}
    return tuple(sorted(found, key=lambda finding: order[finding.place] if finding.place else -1))


def _subject_findings(directory: AccessState, name: str) -> Iterator[Finding]:
    user, acl = directory.users.get(name), directory.acls.get(name)
    if user is None:
        yield Finding(LintRule.NO_USER, name, f"`User:{name}` has policies, but no such user exists")
    elif user.is_super and acl is not None and acl.policies:
        yield Finding(LintRule.SUPER_POLICIES, name, f"`{name}` is Super, so its policies are never evaluated")
    elif user.is_enabled and may_do_nothing(directory, name):
        yield Finding(LintRule.NO_RIGHTS, name, f"`{name}` is enabled but has no rights")


def _silent(scene: AclAnalysis, line: NumberedEntry) -> Finding | None:
    if line.place.policy is not PolicyType.DEFAULT:
        return None
    spots = list(scene.spots(line.entry))
    if not spots or not all(scene.grid.is_covered(tree, place) for tree, place in spots):
        return None
    cell = EntryRegion(*spots[0], line.actions[0])
    covering = next(other for other in scene.covering(cell) if other.place.policy is PolicyType.CUSTOM)
    message = (
        f"`{line.entry.text}` never applies: Custom entries such as `{covering.entry.text}` cover all of "
        f"`{line.entry.resource.key}`"
    )
    origins = origins_of(line.entry)
    witness = None if origins.is_empty else cell.witness(origins)
    return Finding(LintRule.DEFAULT_SHADOWED, line.place.subject, message, line.place, (covering.place,), witness)


def _shadowed(scene: AclAnalysis, line: NumberedEntry) -> Finding | None:
    shown: tuple[EntryRegion, Witness] | None = None
    for cell in scene.cells(line):
        if not scene.live(line, cell).is_empty:
            return None
        if shown is None:
            turned = scene.turned(line, cell)
            shown = None if turned.is_empty else (cell, cell.witness(turned))
    if shown is None:
        return None
    verdict = scene.judge(*shown)
    message = f"`{line.entry.text}` never decides: {_said(verdict)}"
    return Finding(LintRule.SHADOWED, line.place.subject, message, line.place, scene.place_of(verdict), shown[1])


def _redundant(scene: AclAnalysis, dead: list[NumberedEntry], kept: set[EntryLocation]) -> Iterator[Finding]:
    rest, spared = scene.grid, {line.place for line in dead} | kept
    for line in dead:
        rest = rest.without(line.place.policy, line.entry)
    # From the last entry on: of two entries with the same effect, the later one is reported.
    for line in reversed(scene.lines):
        if line.place in spared or origins_of(line.entry).is_empty or not any(scene.spots(line.entry)):
            continue
        alone = scene.grid.without(line.place.policy, line.entry)
        if scene.differs(line, scene.grid, alone):
            continue
        less = rest.without(line.place.policy, line.entry)
        if not scene.differs(line, rest, less):
            rest = less
            yield _redundancy(scene, line)


def _redundancy(scene: AclAnalysis, line: NumberedEntry) -> Finding:
    live = ((cell, scene.live(line, cell)) for cell in scene.cells(line))
    cell, origins = next(
        ((cell, origins) for cell, origins in live if not origins.is_empty),
        (next(scene.cells(line)), origins_of(line.entry)),
    )
    witness = cell.witness(origins)
    verdict = scene.judge(cell, witness, without=line)
    decision = "allowed" if verdict.allowed else "denied"
    why = f"by `{verdict.decided_by.text}`" if verdict.decided_by else "because no entry matches"
    message = f"`{line.entry.text}` changes nothing: without it the same requests are still {decision} {why}"
    return Finding(LintRule.REDUNDANT, line.place.subject, message, line.place, scene.place_of(verdict), witness)


def _said(verdict: Verdict) -> str:
    if verdict.decided_by is None:
        return "Custom entries for the same names take its place"
    return f"`{verdict.decided_by.text}` has precedence"
