"""`mqguard replay`: requests of the audit log decided again, by other policies."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mqguard.cli.exit_codes import Exit
from mqguard.cli.output import emit, end, json_option
from mqguard.cli.policy_source import PolicySource, with_policy_source
from mqguard.model.gc_control import gc_disabled
from mqguard.model.text import visible

if TYPE_CHECKING:
    from mqguard.admin.audit_replay import LogReplay
    from mqguard.auth.analysis.findings import EntryLocation
    from mqguard.auth.analysis.replay import ChangedDecision, Replay
    from mqguard.auth.documents.document import Document
    from mqguard.auth.policy import Entry


@click.command()
@click.argument("logs", nargs=-1, required=True, type=click.Path(path_type=Path))
@with_policy_source
@click.option("--unused", is_flag=True, help="Also list allow entries that no request used.")
@json_option
@gc_disabled()
def replay(source: PolicySource, logs: tuple[Path, ...], *, unused: bool, as_json: bool) -> None:
    """Decide the requests in the audit log again, by other policies.

    The output shows the effect that a policy file would have had: each request that it would have denied or allowed
    differently. LOGS are files `audit.jsonl`, older parts of them, or directories that contain them.

    Exit code 1: a decision would be different.
    """
    from mqguard.admin.audit_replay import replay_logs

    directory, document = source.load()
    found = replay_logs(logs, directory)
    rights = found.replay.unused if unused else ()
    lines = [*_head(found), *_changes(found.replay), *_rights(rights, document, source.file)]
    # The clients that sent the requests chose the names in them.
    emit(_json(found, unused=unused), "\n".join(map(visible, lines)), as_json=as_json)
    end(Exit.FAILED if found.replay.turned else Exit.DONE)


def _head(found: "LogReplay") -> Iterator[str]:
    reader = found.reader
    span = f", {reader.first} to {reader.last}" if reader.first else ""
    yield f"{_count(reader.decisions, 'decision')} in {_count(len(found.files), 'file')}{span}"
    if reader.lost:
        yield f"{_count(reader.lost, 'record')} missing in the log: the audit queue was full"
    if reader.folded:
        yield f"{_count(reader.folded, 'denial')} not replayed: the log has only their number"
    if reader.unnamed:
        yield f"{_count(reader.unnamed, 'resource')} not replayed: the log has only their number"
    if reader.unreadable:
        yield f"{_count(reader.unreadable, 'line')} skipped: not audit records"


def _changes(found: "Replay") -> Iterator[str]:
    if not found.turned:
        yield "all decisions would be the same"
        return
    denied = sum(not turned.verdict.allowed for turned in found.turned)
    yield f"would be denied: {denied} different, would be allowed: {len(found.turned) - denied} different"
    for turned in found.turned:
        yield from _change(turned)


def _change(turned: "ChangedDecision") -> Iterator[str]:
    from mqguard.cli.policy_output import verdict_text

    question = turned.question
    request = question.request
    actions = " or ".join(sorted(action.value for action in request.actions))
    origin = f" from {request.address}" if request.address is not None else ""
    sign = "+" if turned.verdict.allowed else "-"
    yield f"{sign} {question.user} {actions} on {request.type.value}:{request.name}{origin}"
    was = "allowed" if question.allowed else "denied"
    times = _count(turned.times.count, "time")
    yield f"    {times}, last {turned.times.last}: was {was}, would be {verdict_text(turned.verdict)}"


def _rights(
    unused: "Iterable[tuple[EntryLocation, Entry]]", document: "Document | None", path: Path | None
) -> Iterator[str]:
    from mqguard.auth.explain_text import entry_text
    from mqguard.cli.policy_output import place_text

    for place, entry in unused:
        yield f"{place_text(place, document, path)}: unused: {entry_text(entry)} of User:{place.subject}"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _json(found: "LogReplay", *, unused: bool) -> dict[str, object]:
    from mqguard.auth.explain_text import entry_text

    reader = found.reader
    value: dict[str, object] = {
        "files": [str(path) for path in found.files],
        "decisions": reader.decisions,
        "lost": reader.lost,
        "folded": reader.folded,
        "unnamed": reader.unnamed,
        "unreadable": reader.unreadable,
        "first": reader.first or None,
        "last": reader.last or None,
        "changes": [_change_json(turned) for turned in found.replay.turned],
    }
    if unused:
        value["unused"] = [
            {
                "subject": f"User:{place.subject}",
                "policy": place.policy.value,
                "number": place.number,
                "entry": entry_text(entry),
            }
            for place, entry in found.replay.unused
        ]
    return value


def _change_json(turned: "ChangedDecision") -> dict[str, object]:
    from mqguard.cli.policy_output import verdict_json

    request = turned.question.request
    return {
        "user": turned.question.user,
        "actions": sorted(action.value for action in request.actions),
        "resource": f"{request.type.value}:{request.name}",
        "from": None if request.address is None else str(request.address),
        "times": turned.times.count,
        "last": turned.times.last,
        "old": "Allow" if turned.question.allowed else "Deny",
        "new": verdict_json(turned.verdict),
    }
