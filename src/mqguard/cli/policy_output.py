"""Output of commands about policies: regions, findings and changes, as text and as JSON."""

import functools
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from mqguard.cli.output import table
from mqguard.model.text import visible

if TYPE_CHECKING:
    from mqguard.auth.analysis.access_state import EntryLocation
    from mqguard.auth.analysis.comparison import Comparison, RightChange
    from mqguard.auth.analysis.lint import Finding
    from mqguard.auth.analysis.regions import Region, Witness
    from mqguard.auth.analysis.source_sets import SourceSet
    from mqguard.auth.documents.document import Document
    from mqguard.auth.documents.nodes import Mark
    from mqguard.auth.verdict import Verdict

Json = dict[str, object]
REGION_HEAD = ("#Resource", "#Actions", "#From")
"""Head of a table of `region_row`."""
MAX_SHOWN = 8
"""Maximum number of names, ranges or permissions in one place of the text; JSON has all of them."""


def region_json(region: "Region") -> Json:
    """Return a set of requests, with one of them as example."""
    return {
        "resource": region.resource.key,
        "namespaced": region.namespaced,
        "except": [hole.key for hole in region.holes],
        "actions": list(region.action_names),
        "from": list(_ranges(region.sources)),
        "anywhere": _sources_text(region.sources) == "anywhere",
        "example": witness_json(region.witness),
    }


def region_row(region: "Region") -> tuple[str, str, str]:
    """Return resource, actions and source of a set of requests, as cells of a table."""
    return region.brief_names(MAX_SHOWN), ",".join(region.action_names), _sources_text(region.sources)


# Thousands of regions share few sets of sources, and the text of each takes long to build.
@functools.lru_cache(maxsize=4096)
def _sources_text(sources: "SourceSet") -> str:
    return sources.brief(MAX_SHOWN)


@functools.lru_cache(maxsize=4096)
def _ranges(sources: "SourceSet") -> tuple[str, ...]:
    return sources.ranges()


def regions_text(regions: "Iterable[Region]") -> str:
    """Return permissions as a table."""
    return table(REGION_HEAD, [region_row(region) for region in regions])


def witness_json(witness: "Witness") -> Json:
    """Return one request."""
    return {
        "action": witness.action.value,
        "resource": f"{witness.type.value}:{witness.name}",
        "from": None if witness.address is None else str(witness.address),
    }


def verdict_json(verdict: "Verdict") -> Json:
    """Return a decision with its reason and its entry."""
    return {
        "decision": verdict.decision.value,
        "reason": verdict.reason.value,
        "entry": verdict.decided_by.text if verdict.decided_by else None,
    }


def verdict_text(verdict: "Verdict") -> str:
    """Return a decision in a few words."""
    decision = "allowed" if verdict.allowed else "denied"
    if verdict.decided_by is None:
        return f"{decision} ({verdict.reason.value})"
    return f"{decision} by `{verdict.decided_by.text}`"


def place_text(place: "EntryLocation", document: "Document | None", path: Path | None) -> str:
    """Return the location of an entry: in the file if there is one, else in the policies."""
    mark = document.mark(place) if document else None
    return f"{path}:{mark}" if mark else place.text


def finding_mark(finding: "Finding", document: "Document | None") -> "Mark | None":
    """Return the position of a finding in the file, None without a file."""
    if document is None:
        return None
    return document.mark(finding.place) if finding.place else document.subject_mark(finding.subject)


def finding_json(finding: "Finding", document: "Document | None", path: Path | None) -> Json:
    """Return a finding."""
    mark = finding_mark(finding, document)
    return {
        "rule": finding.rule.value,
        "subject": f"User:{finding.subject}",
        "policy": finding.place.policy.value if finding.place else None,
        "entry": finding.place.number if finding.place else None,
        "file": str(path) if mark else None,
        "line": mark.line if mark else None,
        "column": mark.column if mark else None,
        "message": finding.message,
        "others": [other.text for other in finding.others],
        "example": witness_json(finding.witness) if finding.witness else None,
    }


def finding_text(finding: "Finding", document: "Document | None", path: Path | None) -> str:
    """Return a finding in one line that begins with its location.

    All users of an entry group share the location of its entries, so the line also names the user.
    """
    mark = finding_mark(finding, document)
    subject = f"User:{finding.subject}"
    where = f"{path}:{mark}" if mark else finding.place.text if finding.place else subject
    user = f"{subject}: " if mark and finding.place else ""
    shown = [f"e.g. {finding.witness.text}"] if finding.witness else []
    shown += [f"see {_other_text(other, document)}" for other in finding.others[:1]]
    return f"{where}: {finding.rule.value}: {user}{finding.message}" + (f" ({'; '.join(shown)})" if shown else "")


def _other_text(other: "EntryLocation", document: "Document | None") -> str:
    mark = document.mark(other) if document else None
    return f"line {mark.line}" if mark else f"{other.policy.value} entry {other.number}"


def right_json(change: "RightChange") -> Json:
    """Return a permission that a user gains or loses."""
    return {"user": change.user, "change": change.direction.value, **region_json(change.region)}


def right_text(change: "RightChange") -> str:
    """Return a permission that a user gains or loses, in one line."""
    sign = "+" if change.direction.value == "gained" else "-"
    names, actions, source = region_row(change.region)
    return f"{sign} {change.user} {change.direction.value} {actions} on {names} from {source}"


def comparison_json(comparison: "Comparison") -> Json:
    """Return all changes between two states."""
    return {
        "changed": not comparison.is_empty,
        "users": [
            {"user": change.user, "what": change.what, "old": change.old, "new": change.new}
            for change in comparison.users
        ],
        "rights": [
            {**right_json(change), "old": verdict_json(change.old), "new": verdict_json(change.new)}
            for change in comparison.rights
        ],
        "rewritten": list(comparison.rewritten),
    }


def comparison_text(comparison: "Comparison") -> str:
    """Return all changes between two states, one a line."""
    lines = []
    for change in comparison.users:
        value = " -> ".join(text for text in (change.old, change.new) if text)
        lines.append(visible(f"user {change.user}: {change.what} ({value})"))
    lines += [_right_text(change) for change in comparison.rights]
    lines += [visible(f"User:{name}: written differently, same permissions") for name in comparison.rewritten]
    if not comparison.rights:
        lines.append("no permission changes: every request gets the same decision")
    return "\n".join(lines)


def _right_text(change: "RightChange") -> str:
    old, new = verdict_text(change.old), verdict_text(change.new)
    return visible(right_text(change)) + "\n" + visible(f"    e.g. {change.region.witness.text}: was {old}, is {new}")
