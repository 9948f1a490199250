"""Entries that are probably broader than intended, and entries that no request matches."""

from collections.abc import Iterator

from mqguard.auth.analysis.acl_analysis import AclAnalysis, NumberedEntry
from mqguard.auth.analysis.evaluation import origins_of
from mqguard.auth.analysis.findings import Finding, LintRule
from mqguard.auth.analysis.regions import Witness
from mqguard.auth.analysis.source_sets import ANYWHERE, SourceSet
from mqguard.auth.policy import Action, Decision
from mqguard.auth.resource import Pattern, ResourceType
from mqguard.model.names import DLQ_PREFIX, RETRY_PREFIX, group_fault, topic_fault

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
                yield Finding(LintRule.WIDE, line.place.subject, message, line.place, witness=cell.witness(let_in))
                break


def _told(scene: AclAnalysis, line: NumberedEntry, message: str, action: Action | None = None) -> Iterator[Finding]:
    witness = _live_witness(scene, line, action)
    if witness is not None:
        yield Finding(LintRule.WIDE, line.place.subject, message, line.place, witness=witness)


def _live_witness(scene: AclAnalysis, line: NumberedEntry, action: Action | None) -> Witness | None:
    for cell in scene.cells(line):
        if action is None or cell.action is action:
            live = scene.live(line, cell)
            if not live.is_empty:
                return cell.witness(live)
    return None


def _unasked_name(line: NumberedEntry) -> str | None:
    resource = line.entry.resource
    if resource.type is ResourceType.NAMESPACE:
        return "requests name topics, groups and clusters, but never namespaces"
    if resource.type not in (ResourceType.TOPIC, ResourceType.GROUP) or resource.pattern is Pattern.ANY:
        return None
    for prefix in (RETRY_PREFIX, DLQ_PREFIX):
        if resource.name.startswith(prefix):
            star = "*" if resource.pattern is Pattern.PREFIXED else ""
            group = resource.name[len(prefix) :] + star or "name"
            return f"a `{prefix}` topic belongs to its group, so write `Group:{group}`"
    return topic_fault(resource.name) if resource.type is ResourceType.TOPIC else group_fault(resource.name)
