"""Entries that reach further than they are likely to be meant, and entries that no request reaches."""

from collections.abc import Iterator

from mqguard.auth.action import Action
from mqguard.auth.analysis.cells import Witness
from mqguard.auth.analysis.findings import Finding, Rule
from mqguard.auth.analysis.grid import origins_of
from mqguard.auth.analysis.origins import ANYWHERE, Origins
from mqguard.auth.analysis.scene import Line, Scene
from mqguard.auth.explain_text import entry_text
from mqguard.auth.policy import Decision
from mqguard.auth.resource import Pattern, ResourceType
from mqguard.model.names import DLQ_PREFIX, RETRY_PREFIX, group_fault, topic_fault

_V4, _V6 = Origins(v4=ANYWHERE.v4), Origins(v6=ANYWHERE.v6)
_FAMILIES = (("IPv4", _V4, "IPv6", _V6), ("IPv6", _V6, "IPv4", _V4))


def too_wide(scene: Scene, line: Line) -> Iterator[Finding]:
    """What an entry allows beyond the likely meaning; each finding's witness is a request that it does allow."""
    entry = line.entry
    if entry.decision is Decision.DENY:
        yield from _leaky(scene, line)
        return
    text = f"`{entry_text(entry)}`"
    resource = entry.resource
    if resource.type is ResourceType.ANY:
        yield from _told(scene, line, f"{text} reaches every cluster, topic and group, also those to come")
    elif resource.pattern is Pattern.ANY and Action.ALL in entry.actions:
        yield from _told(scene, line, f"{text} allows all actions on every {resource.type.value.lower()}")
    if resource.type is ResourceType.CLUSTER and Action.UPDATE in line.actions:
        yield from _told(scene, line, f"{text} lets its holder administer users and policies", Action.UPDATE)
    for family, whole, _, _ in _FAMILIES:
        if entry.sources and (whole - origins_of(entry)).is_empty:
            yield from _told(scene, line, f"{text} names every {family} address, which limits nothing")


def never_asked(line: Line) -> Finding | None:
    """Why no request can match an entry, None if one can."""
    reason = _unasked_name(line)
    if reason is None:
        return None
    message = f"`{entry_text(line.entry)}` can match no request: {reason}"
    return Finding(Rule.UNREACHABLE, line.place.subject, message, line.place)


def _leaky(scene: Scene, line: Line) -> Iterator[Finding]:
    """A Deny for every address of one family, where the other family gets in."""
    entry = line.entry
    for family, whole, other, rest in _FAMILIES:
        if not entry.sources or not (whole - origins_of(entry)).is_empty:
            continue
        for cell in scene.cells(line):
            let_in = scene.grid.outcome(cell.tree, cell.place, cell.action).allowed & (rest - origins_of(entry))
            if not let_in.is_empty:
                message = (
                    f"`{entry_text(entry)}` names every {family} address, but {other} addresses get in: leave the "
                    f"sources out to deny from everywhere"
                )
                yield Finding(Rule.WIDE, line.place.subject, message, line.place, witness=cell.witness(let_in))
                break


def _told(scene: Scene, line: Line, message: str, action: Action | None = None) -> Iterator[Finding]:
    witness = _live_witness(scene, line, action)
    if witness is not None:
        yield Finding(Rule.WIDE, line.place.subject, message, line.place, witness=witness)


def _live_witness(scene: Scene, line: Line, action: Action | None) -> Witness | None:
    for cell in scene.cells(line):
        if action is None or cell.action is action:
            live = scene.live(line, cell)
            if not live.is_empty:
                return cell.witness(live)
    return None


def _unasked_name(line: Line) -> str | None:
    resource = line.entry.resource
    if resource.type is ResourceType.NAMESPACE:
        return "requests name topics, groups and clusters, no namespaces"
    if resource.type not in (ResourceType.TOPIC, ResourceType.GROUP) or resource.pattern is Pattern.ANY:
        return None
    for prefix in (RETRY_PREFIX, DLQ_PREFIX):
        if resource.name.startswith(prefix):
            star = "*" if resource.pattern is Pattern.PREFIXED else ""
            group = resource.name[len(prefix) :] + star or "name"
            return f"a `{prefix}` topic belongs to its group, so write `Group:{group}`"
    return topic_fault(resource.name) if resource.type is ResourceType.TOPIC else group_fault(resource.name)
