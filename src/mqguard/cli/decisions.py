"""`mqguard explain`, `why`, `can`, `who-can`: decisions and their reasons, and the permissions of users."""

import difflib
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mqguard.cli.completion import complete_actions, complete_resources, complete_users
from mqguard.cli.connection import Connection, PolicySource, with_connection, with_policy_source
from mqguard.cli.output import Exit, emit, end, examples, json_option, show_table
from mqguard.cli.policy_output import MAX_SHOWN, right_json, right_text
from mqguard.errors import NotFound
from mqguard.model.process import gc_disabled
from mqguard.model.text import visible

if TYPE_CHECKING:
    from mqguard.admin.decisions import ExplainedRequest
    from mqguard.auth.analysis.access_state import AccessState
    from mqguard.auth.analysis.source_sets import SourceSet


@click.command(epilog=examples("explain --user alice --action Pub --resource Topic:orders --from 10.1.2.3"))
@click.option("--user", required=True, shell_complete=complete_users, help="The user that sends the request.")
@click.option(
    "--action",
    required=True,
    shell_complete=complete_actions,
    help="The action, such as Pub; any of several, separated by commas.",
)
@click.option(
    "--resource",
    required=True,
    shell_complete=complete_resources,
    help="The resource, such as Topic:orders; one name, not a prefix.",
)
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
    from mqguard.admin.decisions import explain_request, parse_request
    from mqguard.admin.suggestions import change_commands
    from mqguard.auth.explain import explanation_json, explanation_text

    request = parse_request(action, resource, origin)
    directory, _ = source.load()
    found = explain_request(directory, user, request)
    facts, text = explanation_json(found.explanation), explanation_text(found.explanation)
    if found.explanation.minimal_change is not None:
        change = _object(facts["minimalChange"])
        is_running = source.file is None and source.store is None
        commands = change_commands(user, change, source.connection.words()) if is_running else []
        changes = [right_json(one) for one in found.changes]
        facts["minimalChange"] = {**change, "changes": changes, "commands": commands}
        text = "\n".join([text, _changes_text(found), *_commands_text(commands)])
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


@click.command(epilog=examples("why 0c6b1f1ac1e5"))
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
    from mqguard.admin.decisions import decision_id, find_at_brokers, find_in_log

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
    words = connection.words()
    emit(_with_commands(found, words), _denial_text(found, words), as_json=as_json)


def _with_commands(found: Mapping[str, object], words: Sequence[str]) -> dict[str, object]:
    """Return the facts of a denial with the commands that make its smallest change."""
    from mqguard.admin.suggestions import change_commands

    explanation = _object(found.get("explanation"))
    change = _object(explanation.get("minimalChange"))
    if not change:
        return dict(found)
    commands = change_commands(str(found["user"]), change, words)
    return {**found, "explanation": {**explanation, "minimalChange": {**change, "commands": commands}}}


def _denial_text(found: Mapping[str, object], words: Sequence[str]) -> str:
    from mqguard.admin.suggestions import change_commands, is_route_question, route_commands

    user = f"User:{found['user']}" if found["user"] else "an anonymous client"
    proof = f", authenticated by {found['authenticatedBy']}" if found["authenticatedBy"] else ", not authenticated"
    code = f"{found['code']} " if "code" in found else ""
    lines = [
        f"{found['time']}: request {code}{found['request']} of {user}{proof}, from {found['source']}",
        f"{_outcome(found)} in {found['event']}: {found['reason']}",
        *_permissions(found["permissions"]),
    ]
    lines = list(map(visible, lines))
    name = str(found["user"])
    commands = route_commands(name, found["permissions"], words) if is_route_question(found.get("code")) else []
    if commands:
        lines.append("clients ask this question before they send or receive: allow what the client is for, with one of")
        return "\n".join([*lines, *(visible(f"  {command}") for command in commands)])
    if found.get("explanationText"):
        change = _object(_object(found.get("explanation")).get("minimalChange"))
        commands = change_commands(name, change, words) if change else []
        return "\n".join([*lines, str(found["explanationText"]), *_commands_text(commands)])
    if found.get("hiddenReason"):
        lines.append(str(found["hiddenReason"]))
    return "\n".join([*lines, *map(visible, _hints(found, words))])


def _commands_text(commands: Sequence[str]) -> list[str]:
    return ["to make this change, run:", *(visible(f"  {command}") for command in commands)] if commands else []


def _outcome(found: Mapping[str, object]) -> str:
    is_shadow = found.get("verdict") == "shadow-deny"
    return "allowed in shadow mode; would be denied if enforced" if is_shadow else "denied"


def _permissions(permissions: object) -> Iterator[str]:
    from mqguard.guard.audit_log_reader import read_entry

    for permission in permissions if isinstance(permissions, list) else ():
        actions = " or ".join(permission["actions"])
        yield f"  {permission.get('verdict', 'not decided')}: {actions} on {permission['resource']}"
        entry = permission.get("decidedBy")
        if entry:
            yield f"    by the entry {read_entry(entry).text}"


def _hints(found: Mapping[str, object], words: Sequence[str]) -> Iterator[str]:
    from mqguard.admin.suggestions import SIGNING_SLIPS
    from mqguard.guard.denial import remedy

    permissions = found["permissions"]
    if found["event"] in ("authorization", "object") and found["user"] and isinstance(permissions, list):
        for permission in permissions:
            if permission.get("verdict") == "Deny":
                user, action = str(found["user"]), permission["actions"][0]
                what = ("--user", user, "--action", action, "--resource", permission["resource"])
                asked = (*what, "--from", found["source"])
                yield f"to reverse this decision: {shlex.join(map(str, ('mqguard', 'explain', *asked, *words)))}"
                return
    yield f"to reverse this decision: {remedy(str(found['reason']))}"
    if found["reason"] == "wrong-signature":
        yield "if the client signs its requests by hand, check that:"
        yield from (f"  {slip}" for slip in SIGNING_SLIPS)


_MAX_NAMED = 10
"""Maximum number of users that an error names."""


@click.command(epilog=examples("can alice", "can alice -f policy.yaml"))
@click.argument("user", shell_complete=complete_users)
@with_policy_source
@json_option
@gc_disabled()
def can(source: PolicySource, user: str, *, as_json: bool) -> None:
    """Show all permissions of USER, as the result of all its entries.

    Exit code 1: the user has no permissions.
    """
    from mqguard.auth.analysis.access_state import rights_of
    from mqguard.cli.policy_output import REGION_HEAD, region_json, region_row

    directory, _ = source.load()
    found = directory.users.get(user)
    if found is None:
        raise NotFound(_unknown(user, directory))
    regions = rights_of(directory, user)
    why = "the user is disabled" if not found.is_enabled else "no entry allows anything"
    value = {
        "user": user,
        "type": found.type.value,
        "status": found.status.value,
        "rights": [region_json(region) for region in regions],
    }
    emit(value, "" if regions else f"`{user}` has no permissions: {why}", as_json=as_json)
    if regions and not as_json:
        show_table(REGION_HEAD, list(map(region_row, regions)))
    end(Exit.DONE if regions else Exit.FAILED)


@click.command("who-can", epilog=examples("who-can Pub Topic:orders", "who-can Sub 'Topic:order*' --from 10.0.0.0/8"))
@click.argument("action", shell_complete=complete_actions)
@click.argument("resource", shell_complete=complete_resources)
@click.option("--from", "origin", metavar="ADDRESS", help="Only requests from this address or CIDR range.")
@with_policy_source
@json_option
@gc_disabled()
def who_can(source: PolicySource, action: str, resource: str, origin: str | None, *, as_json: bool) -> None:
    """Show every user that may do ACTION on RESOURCE, such as `who-can Pub Topic:orders`.

    ACTION is one action, several separated by commas (any of them suffices), or `All` for any action.

    RESOURCE is one name, a prefix (`Topic:order*`), a type (`Topic:*`) or `*`. For several names, each user is shown
    with the part that it may access.

    Exit code 1: no user has the permission.
    """
    from mqguard.auth.analysis.access_state import who_can as holders_of
    from mqguard.auth.policy import Action
    from mqguard.auth.resource import Resource
    from mqguard.cli.policy_output import REGION_HEAD, region_json, region_row

    actions = frozenset(Action.parse(name.strip()) for name in action.split(","))
    asked = actions, Resource.parse(resource), _origins(origin)
    directory, _ = source.load()
    holders = holders_of(directory, *asked)
    value = {
        "action": action,
        "resource": resource,
        "holders": [
            {
                "user": holder.user,
                "super": holder.is_super,
                "all": holder.whole,
                "rights": [region_json(region) for region in holder.regions],
            }
            for holder in holders
        ],
    }
    rows = [
        (holder.user, "Super" if holder.is_super else "policy", *region_row(region))
        for holder in holders
        for region in holder.regions
    ]
    emit(value, "" if rows else "no user", as_json=as_json)
    if rows and not as_json:
        show_table(("#User", "#By", *REGION_HEAD), rows)
    end(Exit.DONE if holders else Exit.FAILED)


def _unknown(user: str, directory: "AccessState") -> str:
    if user in directory.acls:
        return f"the user `{user}` does not exist; policies for that name exist and apply once the user is created"
    close = difflib.get_close_matches(user, directory.users, n=1)
    if close:
        return f"the user `{user}` does not exist: did you mean `{close[0]}`?"
    known = ", ".join(f"`{name}`" for name in sorted(directory.users)[:_MAX_NAMED])
    more = f" and {len(directory.users) - _MAX_NAMED} more" if len(directory.users) > _MAX_NAMED else ""
    return f"the user `{user}` does not exist: " + (f"the users are {known}{more}" if known else "there are no users")


def _origins(text: str | None) -> "SourceSet":
    from mqguard.auth.analysis.source_sets import ANYWHERE, SourceSet
    from mqguard.auth.source import Source

    return ANYWHERE if text is None else SourceSet.of([Source.parse(text)])
