"""Policy lint: each finding is decided exactly and shown with a concrete request.

Every entry reported as shadowed, redundant or default-silent can be removed, one of them or all at once, without a
change to any decision.
"""

from collections.abc import Iterator

from mqguard.auth.analysis.access_state import AccessState
from mqguard.auth.analysis.acl_analysis import AclAnalysis, EntryRegion, NumberedEntry
from mqguard.auth.analysis.broad_grants import overly_broad, unreachable
from mqguard.auth.analysis.contradictions import contradictions
from mqguard.auth.analysis.evaluation import origins_of
from mqguard.auth.analysis.findings import EntryLocation, Finding, LintRule
from mqguard.auth.analysis.regions import Witness
from mqguard.auth.analysis.rights import may_do_nothing
from mqguard.auth.policy import Acl, PolicyType
from mqguard.auth.verdict import Verdict


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
    return Finding(LintRule.DEFAULT_SILENT, line.place.subject, message, line.place, (covering.place,), witness)


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
