"""`mqguard lint`, `diff`, `test`, `replay`: checks of policies before they are in force."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mqguard.cli.connection import PolicySource, with_policy_source
from mqguard.cli.output import Exit, emit, end, examples, json_option
from mqguard.model.process import gc_disabled
from mqguard.model.text import visible

if TYPE_CHECKING:
    from mqguard.admin.decisions import LogReplay
    from mqguard.auth.analysis.access_state import EntryLocation
    from mqguard.auth.analysis.replay import ChangedDecision, Replay
    from mqguard.auth.documents.assertions import AssertionResult
    from mqguard.auth.documents.document import Document
    from mqguard.auth.documents.nodes import Mark
    from mqguard.auth.policy import Entry


@click.command(epilog=examples("lint", "lint -f policy.yaml"))
@with_policy_source
@click.option("--ignore", multiple=True, metavar="RULE", help="Ignore findings of this rule; repeatable.")
@json_option
@gc_disabled()
def lint(source: PolicySource, ignore: tuple[str, ...], *, as_json: bool) -> None:
    """Find entries that do not have the effect that they seem to have, each with an example request.

    Rules: shadowed, redundant, contradictory, unreachable, default-shadowed, overly-broad, no-user, no-rights,
    super-policies.

    Exit code 1: there are findings.
    """
    from mqguard.auth.analysis.lint import LintRule
    from mqguard.auth.analysis.lint import lint as findings_of
    from mqguard.auth.documents.nodes import nearest
    from mqguard.cli.policy_output import finding_json, finding_mark, finding_text

    known = [rule.value for rule in LintRule]
    for name in ignore:
        if name not in known:
            raise click.UsageError(f"unknown rule `{name}`: {nearest(name, known)}")
    directory, document = source.load()
    findings = [finding for finding in findings_of(directory) if finding.rule.value not in ignore]
    if document is not None:
        findings.sort(key=lambda finding: _order(finding_mark(finding, document)))
    value = {"findings": [finding_json(finding, document, source.file) for finding in findings]}
    lines = [visible(finding_text(finding, document, source.file)) for finding in findings]
    emit(value, "\n".join(lines) or "no findings", as_json=as_json)
    end(Exit.FAILED if findings else Exit.DONE)


def _order(mark: "Mark | None") -> tuple[int, int]:
    return (mark.line, mark.column) if mark is not None else (0, 0)


@click.command(epilog=examples("diff old.yaml new.yaml"))
@click.argument("old", type=click.Path(path_type=Path))
@click.argument("new", type=click.Path(path_type=Path))
@json_option
@gc_disabled()
def diff(old: Path, new: Path, *, as_json: bool) -> None:
    """Show each permission that users gain or lose from policy file OLD to NEW, each with an example request.

    The comparison covers all possible requests, not only the examples.

    Exit code 1: users or permissions differ.
    """
    from mqguard.admin.policy_files import load_document
    from mqguard.auth.analysis.comparison import compare
    from mqguard.cli.policy_output import comparison_json, comparison_text

    found = compare(load_document(old).directory, load_document(new).directory)
    emit(comparison_json(found), comparison_text(found), as_json=as_json)
    end(Exit.DONE if found.is_empty else Exit.FAILED)


@click.command(epilog=examples("test -f policy.yaml"))
@click.argument("tests", nargs=-1, type=click.Path(path_type=Path))
@with_policy_source
@json_option
@gc_disabled()
def test(source: PolicySource, tests: tuple[Path, ...], *, as_json: bool) -> None:
    """Run the tests of a policy file, and of further files TESTS, on its policies.

    A test states that requests must be allowed or denied. A test with a prefix or an address range covers every
    request that matches it.

    Exit code 1: a test fails. Exit code 2: there are no tests.
    """
    from mqguard.admin.policy_files import load_document
    from mqguard.auth.documents.assertions import check
    from mqguard.auth.errors import PolicyInvalid

    directory, document = source.load()
    sources = [(source.file, document)] if source.file is not None and document is not None else []
    sources += [(path, load_document(path)) for path in tests]
    outcomes = [(path, outcome) for path, found in sources for outcome in check(found.tests, directory)]
    if not outcomes:
        raise PolicyInvalid(
            "there are no tests: write them under `tests`, each with `user`, `action`, `resource`, `must`"
        )
    failed = [outcome for _, outcome in outcomes if not outcome.holds]
    lines = [line for path, outcome in outcomes for line in _failure_lines(path, outcome)]
    lines.append(f"{len(outcomes) - len(failed)} of {len(outcomes)} tests pass")
    value = {
        "tests": len(outcomes),
        "failed": len(failed),
        "outcomes": [_outcome_json(path, outcome) for path, outcome in outcomes],
    }
    emit(value, "\n".join(lines), as_json=as_json)
    end(Exit.FAILED if failed else Exit.DONE)


def _failure_lines(path: Path, outcome: "AssertionResult") -> list[str]:
    from mqguard.auth.documents.assertions import describe

    if outcome.holds:
        return []
    head = f"{path}:{outcome.assertion.mark}: failed: {describe(outcome.assertion)}"
    return [visible(line) for line in (head, *(f"    {failure.message}" for failure in outcome.failures))]


def _outcome_json(path: Path, outcome: "AssertionResult") -> dict[str, object]:
    from mqguard.auth.documents.assertions import describe
    from mqguard.cli.policy_output import verdict_json, witness_json

    return {
        "file": str(path),
        "line": outcome.assertion.mark.line,
        "column": outcome.assertion.mark.column,
        "test": describe(outcome.assertion),
        "holds": outcome.holds,
        "failures": [
            {
                "user": failure.user,
                "example": witness_json(failure.witness) if failure.witness else None,
                "verdict": verdict_json(failure.verdict) if failure.verdict is not None else None,
                "message": failure.message,
            }
            for failure in outcome.failures
        ],
    }


@click.command(epilog=examples("replay mqguard-data/audit -f policy.yaml"))
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
    from mqguard.admin.decisions import replay_logs

    directory, document = source.load()
    found = replay_logs(logs, directory)
    rights = found.replay.unused if unused else ()
    lines = [*_head(found), *_changes(found.replay), *_rights(rights, document, source.file)]
    # The clients that sent the requests chose the names in them.
    emit(_json(found, unused=unused), "\n".join(map(visible, lines)), as_json=as_json)
    end(Exit.FAILED if found.replay.changed else Exit.DONE)


def _head(found: "LogReplay") -> Iterator[str]:
    reader = found.reader
    span = f", {reader.first} to {reader.last}" if reader.first else ""
    yield f"{_count(reader.decisions, 'decision')} in {_count(len(found.files), 'file')}{span}"
    if reader.lost:
        yield f"{_count(reader.lost, 'record')} missing in the log: the audit queue was full"
    if reader.is_without_admissions:
        yield "the log lacks admissions of a part of this time: `auditAdmissions` was `off`"
    if reader.folded:
        yield f"{_count(reader.folded, 'denial')} not replayed: the log has only their number"
    if reader.unnamed:
        yield f"{_count(reader.unnamed, 'resource')} not replayed: the log has only their number"
    if reader.unreadable:
        yield f"{_count(reader.unreadable, 'line')} skipped: not audit records"


def _changes(found: "Replay") -> Iterator[str]:
    if not found.changed:
        yield "all decisions would be the same"
        return
    denied = sum(not turned.verdict.allowed for turned in found.changed)
    yield f"would be denied: {denied} different, would be allowed: {len(found.changed) - denied} different"
    for turned in found.changed:
        yield from _change(turned)


def _change(turned: "ChangedDecision") -> Iterator[str]:
    from mqguard.cli.policy_output import verdict_text

    question = turned.recorded
    request = question.request
    actions = " or ".join(sorted(action.value for action in request.actions))
    origin = f" from {request.address}" if request.address is not None else ""
    sign = "+" if turned.verdict.allowed else "-"
    yield f"{sign} {question.user} {actions} on {request.type.value}:{request.name}{origin}"
    was = "allowed" if question.allowed else "denied"
    times = _count(turned.occurrences.count, "time")
    yield f"    {times}, last {turned.occurrences.last}: was {was}, would be {verdict_text(turned.verdict)}"


def _rights(
    unused: "Iterable[tuple[EntryLocation, Entry]]", document: "Document | None", path: Path | None
) -> Iterator[str]:
    from mqguard.cli.policy_output import place_text

    for place, entry in unused:
        yield f"{place_text(place, document, path)}: unused: {entry.text} of User:{place.subject}"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _json(found: "LogReplay", *, unused: bool) -> dict[str, object]:

    reader = found.reader
    value: dict[str, object] = {
        "files": [str(path) for path in found.files],
        "decisions": reader.decisions,
        "lost": reader.lost,
        "withoutAdmissions": reader.is_without_admissions,
        "folded": reader.folded,
        "unnamed": reader.unnamed,
        "unreadable": reader.unreadable,
        "first": reader.first or None,
        "last": reader.last or None,
        "changes": [_change_json(turned) for turned in found.replay.changed],
    }
    if unused:
        value["unused"] = [
            {
                "subject": f"User:{place.subject}",
                "policy": place.policy.value,
                "number": place.number,
                "entry": entry.text,
            }
            for place, entry in found.replay.unused
        ]
    return value


def _change_json(turned: "ChangedDecision") -> dict[str, object]:
    from mqguard.cli.policy_output import verdict_json

    request = turned.recorded.request
    return {
        "user": turned.recorded.user,
        "actions": sorted(action.value for action in request.actions),
        "resource": f"{request.type.value}:{request.name}",
        "from": None if request.address is None else str(request.address),
        "times": turned.occurrences.count,
        "last": turned.occurrences.last,
        "old": "Allow" if turned.recorded.allowed else "Deny",
        "new": verdict_json(turned.verdict),
    }
