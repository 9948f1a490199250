"""`mqguard explain`, `mqguard why`: explanations of decisions, by policies or by what a server recorded."""

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mqguard.cli.connection import Connection, with_connection
from mqguard.cli.exit_codes import Exit
from mqguard.cli.output import emit, end, json_option
from mqguard.cli.policy_output import MAX_SHOWN, right_json, right_text
from mqguard.cli.policy_source import PolicySource, with_policy_source
from mqguard.model.gc_control import gc_disabled
from mqguard.model.text import visible

if TYPE_CHECKING:
    from mqguard.admin.explanations import ExplainedRequest


@click.command()
@click.option("--user", required=True, help="The user that sends the request.")
@click.option("--action", required=True, help="The action, such as Pub; any of several, separated by commas.")
@click.option("--resource", required=True, help="The resource, such as Topic:orders; one name, not a prefix.")
@click.option("--from", "origin", metavar="ADDRESS", help="The client's address [default: an unknown address].")
@with_policy_source
@json_option
@gc_disabled()
def explain(source: PolicySource, user: str, action: str, resource: str, origin: str | None, *, as_json: bool) -> None:
    """Decide a request and explain the decision.

    The explanation names the entry that decides, the entries that it overrules, and the smallest change that reverses
    the decision.

    Exit code 1: the request is denied.
    """
    from mqguard.admin.explanations import explain_request, parse_request
    from mqguard.auth.explain_json import explanation_facts
    from mqguard.auth.explain_text import render

    request = parse_request(action, resource, origin)
    directory, _ = source.load()
    found = explain_request(directory, user, request)
    facts, text = explanation_facts(found.explanation), render(found.explanation)
    if found.explanation.turn is not None:
        facts["minimal_change"] = {
            **_object(facts["minimal_change"]),
            "changes": [right_json(change) for change in found.changes],
        }
        text += "\n" + _changes_text(found)
    emit(facts, text, as_json=as_json)
    end(Exit.DONE if found.explanation.verdict.allowed else Exit.FAILED)


def _changes_text(found: "ExplainedRequest") -> str:
    """Return the first permissions that the smallest change would give or take, one a line."""
    if found.is_isolated:
        return "this change affects no other request"
    lines = [f"  {visible(right_text(change))}" for change in found.changes[:MAX_SHOWN]]
    if len(found.changes) > MAX_SHOWN:
        lines.append(f"  and {len(found.changes) - MAX_SHOWN} more (`--json` shows all)")
    return "\n".join(["this change has these effects:", *lines])


def _object(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}


@click.command()
@click.argument("decision_text", metavar="DECISION")
@click.option("--log", type=click.Path(path_type=Path), help="Read only this audit log and ask no server.")
@with_connection
@json_option
def why(connection: Connection, decision_text: str, log: Path | None, *, as_json: bool) -> None:
    """Explain why a request was denied.

    DECISION is the decision id in the error message that the client received, or the whole message.

    The command asks every broker of the cluster. If no broker has the decision, it searches the audit log in the data
    directory, including its older parts.
    """
    from mqguard.admin.denials import decision_id, find_at_brokers, find_in_log

    decision = decision_id(decision_text)
    if decision is None:
        raise click.UsageError(
            f"`{visible(decision_text)}` is not a decision id: copy it from `[decision ...]` in the error message"
        )
    found, failed = None, None
    if log is None:
        with connection.client() as client:
            found, failed = find_at_brokers(client, connection.cluster, decision)
    if found is None:
        found = find_in_log(log or connection.data / "audit" / "audit.jsonl", decision, failed)
    emit(found, _denial_text(found), as_json=as_json)


def _denial_text(found: Mapping[str, object]) -> str:
    user = f"User:{found['user']}" if found["user"] else "an anonymous client"
    proof = f", authenticated by {found['authenticated_by']}" if found["authenticated_by"] else ", not authenticated"
    lines = [
        f"{found['time']}: request {found['code']} {found['request']} of {user}{proof}, from {found['source']}",
        f"{_outcome(found)} in {found['event']}: {found['reason']}",
        *_needs(found["needs"]),
    ]
    lines = list(map(visible, lines))
    if found.get("explanation_text"):
        return "\n".join([*lines, str(found["explanation_text"])])
    if found.get("hidden_reason"):
        lines.append(str(found["hidden_reason"]))
    return "\n".join([*lines, visible(f"to reverse this decision: {_hint(found)}")])


def _outcome(found: Mapping[str, object]) -> str:
    is_shadow = found.get("verdict") == "shadow-deny"
    return "allowed in shadow mode; would be denied if enforced" if is_shadow else "denied"


def _needs(needs: object) -> Iterator[str]:
    for need in needs if isinstance(needs, list) else ():
        yield f"  {need.get('verdict', 'not decided')}: {' or '.join(need['actions'])} on {need['resource']}"
        entry = need.get("decided_by")
        if entry:
            actions, sources = ",".join(entry["actions"]), ",".join(entry["sources"]) or "anywhere"
            yield f"    by the entry {entry['decision']} {actions} on {entry['resource']} from {sources}"


def _hint(found: Mapping[str, object]) -> str:
    needs = found["needs"]
    if found["event"] in ("authorization", "touched") and isinstance(needs, list):
        for need in needs:
            if need.get("verdict") == "Deny":
                user, action = str(found["user"]), need["actions"][0]
                asked = ("--user", user, "--action", action, "--resource", need["resource"], "--from", found["source"])
                return f"mqguard explain {shlex.join(map(str, asked))}"
    from mqguard.guard.denial import remedy

    return remedy(str(found["reason"]))
