"""What commands about policies show: regions, findings, changes, as text and as JSON."""

import functools
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from mqguard.cli.output import table
from mqguard.model.text import visible

if TYPE_CHECKING:
    from mqguard.auth.analysis.cells import Region, Witness
    from mqguard.auth.analysis.comparison import Comparison, RightChange
    from mqguard.auth.analysis.findings import Finding, Place
    from mqguard.auth.analysis.origins import Origins
    from mqguard.auth.documents.document import Document
    from mqguard.auth.verdict import Verdict

Json = dict[str, object]


def region_json(region: "Region") -> Json:
    """A set of requests, with one of them."""
    return {
        "resource": region.resource.key,
        "except": [hole.key for hole in region.holes],
        "actions": list(region.action_names),
        "from": list(_ranges(region.origins)),
        "anywhere": _origins_text(region.origins) == "anywhere",
        "example": witness_json(region.witness),
    }


def region_row(region: "Region") -> tuple[str, str, str]:
    """Resource, actions and origin of a set of requests."""
    return region.names, ",".join(region.action_names), _origins_text(region.origins)


# Thousands of regions share few sets of places, and each takes long to write.
@functools.lru_cache(maxsize=4096)
def _origins_text(origins: "Origins") -> str:
    return origins.text


@functools.lru_cache(maxsize=4096)
def _ranges(origins: "Origins") -> tuple[str, ...]:
    return origins.ranges()


def regions_text(regions: "Iterable[Region]") -> str:
    """Rights as a table."""
    return table(("#Resource", "#Actions", "#From"), [region_row(region) for region in regions])


def witness_json(witness: "Witness") -> Json:
    """One request."""
    return {
        "action": witness.action.value,
        "resource": f"{witness.type.value}:{witness.name}",
        "from": None if witness.address is None else str(witness.address),
    }


def verdict_json(verdict: "Verdict") -> Json:
    """A verdict, short."""
    from mqguard.auth.explain_text import entry_text

    return {
        "decision": verdict.decision.value,
        "reason": verdict.reason.value,
        "entry": entry_text(verdict.decided_by) if verdict.decided_by else None,
    }


def verdict_text(verdict: "Verdict") -> str:
    """A verdict in a few words."""
    from mqguard.auth.explain_text import entry_text

    said = "allowed" if verdict.allowed else "denied"
    if verdict.decided_by is None:
        return f"{said} ({verdict.reason.value})"
    return f"{said} by `{entry_text(verdict.decided_by)}`"


def place_text(place: "Place", document: "Document | None", path: Path | None) -> str:
    """Where an entry stands: in the file if it is known, else in the policies."""
    mark = document.mark(place) if document else None
    return f"{path}:{mark}" if mark else place.text


def finding_json(finding: "Finding", document: "Document | None", path: Path | None) -> Json:
    """A finding."""
    mark = document.mark(finding.place) if document and finding.place else None
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
    """A finding in a line, with its place before it."""
    place = finding.place
    if place is not None:
        where = place_text(place, document, path)
    else:
        mark = document.subject_mark(finding.subject) if document else None
        where = f"{path}:{mark}" if mark else f"User:{finding.subject}"
    example = f" (e.g. {finding.witness.text})" if finding.witness else ""
    return f"{where}: {finding.rule.value}: {finding.message}{example}"


def comparison_json(comparison: "Comparison") -> Json:
    """All changes between two states."""
    return {
        "changed": not comparison.is_empty,
        "users": [
            {"user": change.user, "what": change.what, "old": change.old, "new": change.new}
            for change in comparison.users
        ],
        "rights": [
            {
                "user": change.user,
                "change": change.direction.value,
                **region_json(change.region),
                "old": verdict_json(change.old),
                "new": verdict_json(change.new),
            }
            for change in comparison.rights
        ],
        "rewritten": list(comparison.rewritten),
    }


def comparison_text(comparison: "Comparison") -> str:
    """All changes between two states, a line each."""
    lines = []
    for change in comparison.users:
        value = " -> ".join(text for text in (change.old, change.new) if text)
        lines.append(visible(f"user {change.user}: {change.what} ({value})"))
    lines += [_right_text(change) for change in comparison.rights]
    lines += [visible(f"User:{name}: written differently, same rights") for name in comparison.rewritten]
    if not comparison.rights:
        lines.append("no right changes: every request gets the same decision")
    return "\n".join(lines)


def _right_text(change: "RightChange") -> str:
    sign = "+" if change.direction.value == "gained" else "-"
    names, actions, origin = region_row(change.region)
    old, new = verdict_text(change.old), verdict_text(change.new)
    head = visible(f"{sign} {change.user} {change.direction.value} {actions} on {names} from {origin}")
    return head + "\n" + visible(f"    e.g. {change.region.witness.text}: was {old}, is {new}")
