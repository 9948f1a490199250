"""`mqguard replay`: what the audit log recorded, decided once more."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mqguard.cli.exits import Exit
from mqguard.cli.output import emit, json_option
from mqguard.cli.policy_source import PolicySource, end, sourced
from mqguard.model.collector import uncollected
from mqguard.model.text import visible

if TYPE_CHECKING:
    from mqguard.auth.analysis.findings import Place
    from mqguard.auth.analysis.replay import Replay, Turned
    from mqguard.auth.documents.document import Document
    from mqguard.auth.policy import Entry
    from mqguard.guard.audit_reading import AuditReader

LOG = "audit.jsonl"
"""The name of the audit log whose lines are JSON; full parts are `audit.jsonl.1` and so on."""


@click.command()
@click.argument("logs", nargs=-1, required=True, type=click.Path(path_type=Path))
@sourced
@click.option("--unused", is_flag=True, help="Also list the entries that allow something and that no request used.")
@json_option
@uncollected()
def replay(source: PolicySource, logs: tuple[Path, ...], *, unused: bool, as_json: bool) -> None:
    """Decide once more what the audit log recorded, by other policies.

    Shows what a policy file would have done, had it been in force: each request that it would have refused or let in
    otherwise. LOGS are files `audit.jsonl`, full parts of it, or directories that hold them. Ends with exit code 1 if a
    decision would be another one.
    """
    from mqguard.auth.analysis.replay import replay as replayed
    from mqguard.guard.audit_reading import AuditReader

    directory, document = source.load()
    reader = AuditReader()
    files = list(_files(logs))
    for path in files:
        _read(path, reader)
    found = replayed(reader.asked, directory)
    rights = found.unused if unused else ()
    lines = [*_head(reader, files), *_changes(found), *_rights(rights, document, source.file)]
    # Whoever sent a request chose the names in it.
    emit(_json(reader, files, found, unused=unused), "\n".join(map(visible, lines)), as_json=as_json)
    end(Exit.FAILED if found.turned else Exit.DONE)


def _files(logs: Iterable[Path]) -> Iterator[Path]:
    """The files, those of directories put in, each once.

    Raises:
        PolicyInvalid: A directory has no audit log.
    """
    from mqguard.auth.errors import PolicyInvalid

    seen = set()
    for path in logs:
        parts = sorted(path.glob(f"{LOG}*")) if path.is_dir() else [path]
        if not parts:
            raise PolicyInvalid(f"the directory `{path}` has no `{LOG}`")
        for part in parts:
            if part.resolve() not in seen:
                seen.add(part.resolve())
                yield part


def _read(path: Path, reader: "AuditReader") -> None:
    """Read a file line by line.

    Raises:
        PolicyInvalid: It cannot be read, or nothing in it is a record.
    """
    from mqguard.auth.errors import PolicyInvalid

    lines = 0
    before = reader.unreadable
    try:
        with path.open("rb") as stream:
            for line in stream:
                lines += 1
                reader.take(line)
    except OSError as error:
        raise PolicyInvalid(f"the file `{path}` cannot be read: {error.strerror}") from None
    if lines and reader.unreadable - before == lines:
        raise PolicyInvalid(f"the file `{path}` is no audit log with JSON lines: give `{LOG}`")


def _head(reader: "AuditReader", files: list[Path]) -> Iterator[str]:
    span = f", {reader.first} to {reader.last}" if reader.first else ""
    yield f"{_count(reader.decisions, 'decision')} in {_count(len(files), 'file')}{span}"
    if reader.lost:
        yield f"{_count(reader.lost, 'record')} missing in the log: there was no room for them"
    if reader.folded:
        yield f"{_count(reader.folded, 'refusal')} not replayed: the log has only their number"
    if reader.unnamed:
        yield f"{_count(reader.unnamed, 'resource')} not replayed: the log has only their number"
    if reader.unreadable:
        yield f"{_count(reader.unreadable, 'line')} left out: no records"


def _changes(found: "Replay") -> Iterator[str]:
    if not found.turned:
        yield "every one of them would be the same"
        return
    refused = sum(not turned.verdict.allowed for turned in found.turned)
    yield f"would be refused: {refused} different, would be let in: {len(found.turned) - refused} different"
    for turned in found.turned:
        yield from _change(turned)


def _change(turned: "Turned") -> Iterator[str]:
    from mqguard.cli.policy_view import verdict_text

    question = turned.question
    request = question.request
    actions = " or ".join(sorted(action.value for action in request.actions))
    origin = f" from {request.address}" if request.address is not None else ""
    sign = "+" if turned.verdict.allowed else "-"
    yield f"{sign} {question.user} {actions} on {request.type.value}:{request.name}{origin}"
    was = "allowed" if question.allowed else "denied"
    times = _count(turned.times.count, "time")
    yield f"    {times}, last {turned.times.last}: was {was}, would be {verdict_text(turned.verdict)}"


def _rights(unused: "Iterable[tuple[Place, Entry]]", document: "Document | None", path: Path | None) -> Iterator[str]:
    from mqguard.auth.explain_text import entry_text
    from mqguard.cli.policy_view import place_text

    for place, entry in unused:
        yield f"{place_text(place, document, path)}: unused: {entry_text(entry)} of User:{place.subject}"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _json(reader: "AuditReader", files: list[Path], found: "Replay", *, unused: bool) -> dict[str, object]:
    from mqguard.auth.explain_text import entry_text

    value: dict[str, object] = {
        "files": [str(path) for path in files],
        "decisions": reader.decisions,
        "lost": reader.lost,
        "folded": reader.folded,
        "unnamed": reader.unnamed,
        "unreadable": reader.unreadable,
        "first": reader.first or None,
        "last": reader.last or None,
        "changes": [_change_json(turned) for turned in found.turned],
    }
    if unused:
        value["unused"] = [
            {
                "subject": f"User:{place.subject}",
                "policy": place.policy.value,
                "number": place.number,
                "entry": entry_text(entry),
            }
            for place, entry in found.unused
        ]
    return value


def _change_json(turned: "Turned") -> dict[str, object]:
    from mqguard.cli.policy_view import verdict_json

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
