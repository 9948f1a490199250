"""Entries of one rank with opposite decisions about the same requests."""

from collections.abc import Iterator

from mqguard.auth.analysis.acl_analysis import AclAnalysis, NumberedEntry
from mqguard.auth.analysis.evaluation import origins_of
from mqguard.auth.analysis.findings import Finding, LintRule
from mqguard.auth.analysis.regions import Witness
from mqguard.auth.policy import Decision, PolicyType
from mqguard.auth.resource import Resource


def contradictions(scene: AclAnalysis) -> Iterator[Finding]:
    """Yield each Allow that a Deny about the same resource contradicts.

    A Deny wholly inside the Allow, for fewer actions or sources, is an exception to it, not a contradiction.
    """
    groups: dict[tuple[PolicyType, Resource], list[NumberedEntry]] = {}
    for line in scene.lines:
        groups.setdefault((line.place.policy, line.entry.resource), []).append(line)
    for group in groups.values():
        denies = [line for line in group if line.entry.decision is Decision.DENY]
        for line in group:
            against = [deny for deny in denies if line.entry.decision is Decision.ALLOW and _clash(line, deny)]
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
