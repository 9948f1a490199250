"""`mqguard why`: the story of a refusal, from the audit log of a server on this machine."""

import shlex
from collections.abc import Mapping
from pathlib import Path

import click

from mqguard.cli.exits import NothingThere
from mqguard.cli.output import emit, json_option


@click.command()
@click.argument("decision_id", metavar="DECISION")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    envvar="MQGUARD_DATA",
    default="mqguard-data",
    show_default=True,
    help="The data directory of a server here; its audit log is read.",
)
@click.option("--log", type=click.Path(path_type=Path), help="The audit log itself, where `auditPath` moved it.")
@json_option
def why(decision_id: str, data: Path, log: Path | None, *, as_json: bool) -> None:
    """Tell why a request was refused, by the DECISION id that its sender was told.

    Looks into the audit log that is being written and into those that were set aside.
    """
    from mqguard.telemetry.audit_search import find_decision

    place = log if log is not None else data / "audit" / "audit.jsonl"
    try:
        found = find_decision(place, decision_id)
    except OSError as exc:
        raise click.ClickException(f"the audit log `{place}` cannot be read: {exc.strerror}") from None
    if found is None:
        raise NothingThere(f"no decision `{decision_id}` in `{place}`, nor in what was set aside beside it")
    emit(found, _story(found), as_json=as_json)


def _story(found: Mapping[str, object]) -> str:
    who = f"User:{found['user']}" if found["user"] else "nobody"
    proof = f", proven by {found['proven_by']}" if found["proven_by"] else ", not proven"
    lines = [
        f"{found['time']}: request {found['code']} {found['request']} of {who}{proof}, from {found['source']}",
        f"refused in {found['event']}: {found['reason']}",
    ]
    needs = found["needs"]
    for need in needs if isinstance(needs, list) else ():
        lines.append(f"  {need.get('verdict', 'not judged')}: {' or '.join(need['actions'])} on {need['resource']}")
        entry = need.get("decided_by")
        if entry:
            actions, sources = ",".join(entry["actions"]), ",".join(entry["sources"]) or "anywhere"
            lines.append(f"    by the entry {entry['decision']} {actions} on {entry['resource']} from {sources}")
    lines.append(f"what would turn it: {_hint(found)}")
    return "\n".join(lines)


def _hint(found: Mapping[str, object]) -> str:
    needs = found["needs"]
    if found["event"] in ("authorization", "touched") and isinstance(needs, list):
        for need in needs:
            if need.get("verdict") == "Deny":
                user, action = str(found["user"]), need["actions"][0]
                asked = ("--user", user, "--action", action, "--resource", need["resource"], "--from", found["source"])
                return f"mqguard explain {shlex.join(map(str, asked))}"
    from mqguard.guard.refusals import remedy

    return remedy(str(found["reason"]))
