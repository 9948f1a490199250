"""`mqguard doctor`, `mqguard denials`: what keeps a client from working, and which clients are denied now."""

import datetime as dt
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mqguard.cli.completion import complete_groups, complete_topics, complete_users
from mqguard.cli.connection import Connection, PolicySource, open_brokers, with_connection, with_policy_source
from mqguard.cli.output import Exit, emit, end, examples, json_option, show_table, warn
from mqguard.cli.user import Duration
from mqguard.errors import MqguardError, NotFound
from mqguard.model.process import gc_disabled
from mqguard.model.text import visible

if TYPE_CHECKING:
    from mqguard.admin.denied_requests import DenialCount, DenialKey
    from mqguard.admin.doctor import CheckedRequest, Diagnosis
    from mqguard.auth.analysis.access_state import AccessState

_MS = 1000


@click.command(
    epilog=examples(
        "doctor --user bob --topic orders --group billing",
        "doctor --user alice --topic orders --from 10.1.2.3",
        "doctor --user bob --topic orders --group billing -f policy.yaml",
    )
)
@click.option("--user", required=True, shell_complete=complete_users, help="The user that the client signs as.")
@click.option("--topic", shell_complete=complete_topics, help="The topic that the client sends to or receives from.")
@click.option(
    "--group", shell_complete=complete_groups, help="The consumer group; without it the client is a producer."
)
@click.option("--from", "origin", metavar="ADDRESS", help="The client's address [default: an unknown address].")
@with_policy_source
@json_option
@gc_disabled()
def doctor(
    source: PolicySource, user: str, topic: str | None, group: str | None, origin: str | None, *, as_json: bool
) -> None:
    """Show step by step how far a client gets, and the smallest change that makes it work.

    The steps are the requests that a consumer or a producer sends: route, heartbeat, pull, offsets, retries and dead
    letters, or send and transactions. Each is decided by the same rules as at the server. Without a topic the command
    shows the permissions of the user and the problems in its policies.

    Exit code 1: a step is denied.
    """
    from mqguard.admin.doctor import consumer_requests, diagnose, producer_requests
    from mqguard.auth.errors import PolicyInvalid
    from mqguard.auth.source import parse_address
    from mqguard.model.names import group_fault, topic_fault

    if topic is None:
        _show_user(source, user, as_json=as_json)
        return
    fault = topic_fault(topic) or (group_fault(group) if group is not None else None)
    if fault is not None:
        raise click.UsageError(fault)
    address = None if origin is None else parse_address(origin)
    if origin is not None and address is None:
        raise PolicyInvalid(f"`{origin}` is not a valid address: write one, such as `10.1.2.3` or `2001:db8::1`")
    requests = producer_requests(topic) if group is None else consumer_requests(topic, group)
    state, _ = source.load()
    notes = list(_surroundings(source, state, user, topic, group))
    diagnosis = diagnose(state, user, requests, address, source.connection.cluster or "")
    commands = _commands(user, diagnosis, source)
    value = {
        "user": user,
        "topic": topic,
        "group": group,
        "from": origin,
        "allowed": diagnosis.is_allowed,
        "steps": list(map(_step_json, diagnosis.requests)),
        "notes": notes,
        "commands": commands,
    }
    emit(value, "\n".join(_diagnosis_lines(value, diagnosis, notes, commands)), as_json=as_json)
    end(Exit.DONE if diagnosis.is_allowed else Exit.FAILED)


@click.command(epilog=examples("denials", "denials --since 1h", "denials --log /var/log/mqguard/audit.jsonl --json"))
@click.option(
    "--since",
    "since_ms",
    type=Duration(),
    default="1h",
    show_default=True,
    help="Time to look back, such as 30m.",
)
@click.option("--log", type=click.Path(path_type=Path), help="The audit log [default: that of the data directory].")
@with_connection
@json_option
@gc_disabled()
def denials(connection: Connection, since_ms: int, log: Path | None, *, as_json: bool) -> None:
    """Show who is denied now, for which requests and how often, and what would allow them.

    The command reads the audit log on this machine; each server writes its own. If the server can be reached, it
    compares with the current policies: what they allow by now is marked. In shadow mode it shows who would be denied.

    Exit code 1: requests were denied.
    """
    from mqguard.admin.broker_states import common_state
    from mqguard.admin.denied_requests import count_denials

    since = dt.datetime.now(dt.UTC) - dt.timedelta(milliseconds=since_ms)
    found = count_denials(log or connection.data / "audit" / "audit.jsonl", since)
    state = None
    if found:
        try:
            with open_brokers(connection) as brokers:
                state = common_state(brokers)
        except MqguardError as error:
            warn(f"the current policies cannot be read, so the suggestions are only those of the log: {error}")
    words = connection.words()
    rows = [(key, count, *_suggestion(key, count, state, words)) for key, count in found.items()]
    value = {"since": since.isoformat(timespec="seconds"), "denials": [_denial_json(*row) for row in rows]}
    emit(value, "" if rows else "no request was denied", as_json=as_json)
    if rows and not as_json:
        show_table(_DENIAL_HEAD, list(map(_denial_row, rows)))
        emit(None, "\n".join(_denial_hints(rows)), as_json=False)
    end(Exit.FAILED if rows else Exit.DONE)


def _show_user(source: PolicySource, user: str, *, as_json: bool) -> None:
    """Print the permissions of a user, and the problems in its policies."""
    from mqguard.admin.errors import nearest_names
    from mqguard.auth.analysis.access_state import AccessState, rights_of
    from mqguard.auth.analysis.lint import lint
    from mqguard.cli.policy_output import region_json, regions_text

    state, _ = source.load()
    found, acl = state.users.get(user), state.acls.get(user)
    if found is None:
        raise NotFound(f"the user `{user}` does not exist{nearest_names(user, state.users)}")
    alone = AccessState.of([found], [acl] if acl is not None else [])
    regions, problems = rights_of(alone, user), [finding.message for finding in lint(alone)]
    value = {
        "user": user,
        "type": found.type.value,
        "status": found.status.value,
        "rights": [region_json(region) for region in regions],
        "problems": problems,
    }
    lines = [f"User:{user}: {found.type.value}, {found.status.value}", *(f"problem: {text}" for text in problems)]
    blocks = ["\n".join(map(visible, lines)), regions_text(regions) if regions else "no permissions"]
    emit(value, "\n".join(blocks), as_json=as_json)
    end(Exit.DONE if regions else Exit.FAILED)


def _surroundings(
    source: PolicySource, state: "AccessState", user: str, topic: str, group: str | None
) -> Iterator[str]:
    """Yield what keeps a client from working besides policies."""
    from mqguard.admin import topics
    from mqguard.admin.errors import nearest_names

    found = state.users.get(user)
    if found is None:
        yield f"the user `{user}` does not exist{nearest_names(user, state.users)}"
    elif not found.is_enabled:
        yield f"the user `{user}` is disabled"
    elif found.is_super:
        yield f"`{user}` is a Super user, so policies are not evaluated"
    if source.file is not None or source.store is not None:
        return
    with source.connection.client() as client:
        for broker in client.brokers(source.connection.cluster):
            session = client.at(broker.address)
            if topics.is_known(session, topic) is False:
                creates = topics.creates_by_sending(session) and group is None
                how = "; the first send creates it if the user has `Create` on it" if creates else ""
                yield f"the topic `{topic}` does not exist at `{broker.name}`{how}: run `mqguard topic create {topic}`"


def _commands(user: str, diagnosis: "Diagnosis", source: PolicySource) -> list[str]:
    from mqguard.admin.suggestions import change_commands
    from mqguard.auth.explain import change_facts

    words = source.connection.words()
    lines = [line for change in diagnosis.changes for line in change_commands(user, change_facts(change), words)]
    return list(dict.fromkeys(lines))


def _step_json(step: "CheckedRequest") -> dict[str, object]:
    return {
        "step": step.request.title,
        "code": int(step.request.code),
        "request": step.request.code.name,
        "allowed": step.is_allowed,
        "needs": [
            {"needed": one.need.text, "decision": one.verdict.decision.value, "reason": one.verdict.reason.value}
            for one in step.permissions
        ],
        "message": step.message or None,
        "effect": None if step.is_allowed else step.request.effect,
    }


def _diagnosis_lines(
    value: dict[str, Any], diagnosis: "Diagnosis", notes: Sequence[str], commands: Sequence[str]
) -> Iterator[str]:
    role = (
        f"consumer of {value['topic']} in the group {value['group']}"
        if value["group"]
        else f"producer to {value['topic']}"
    )
    yield visible(f"User:{value['user']} as a {role}, from {value['from'] or 'an unknown address'}")
    yield from (visible(f"  note: {note}") for note in notes)
    for step in diagnosis.requests:
        needs = ", ".join(one.need.text for one in step.permissions) or "an authenticated user"
        yield visible(
            f"  {'ok    ' if step.is_allowed else 'DENIED'}  {step.request.title} ({step.request.code}): {needs}"
        )
        if not step.is_allowed:
            yield visible(f"            the client receives: {step.message}")
            yield visible(f"            so {step.request.effect}")
    if not commands:
        yield "every step is allowed" if diagnosis.is_allowed else "no change of policies allows this"
        return
    yield "the smallest change that makes it work:" if diagnosis.is_complete else "the first steps that make it work:"
    yield from (visible(f"  {command}") for command in commands)


def _suggestion(
    key: "DenialKey", count: "DenialCount", state: "AccessState | None", words: Sequence[str]
) -> tuple[str, list[str]]:
    """Return a remark about denied requests, and the commands that would allow them."""
    from mqguard.admin.decisions import explain_request, parse_request
    from mqguard.admin.suggestions import change_commands, is_route_question, route_commands
    from mqguard.auth.explain import change_facts
    from mqguard.guard.denial import remedy

    if not key.resource or not key.user or not key.is_authenticated:
        return (remedy(key.reason) if "," not in key.reason and key.code else ""), []
    if state is None:
        action = key.actions[0]
        if key.reason != "no-match":
            return f"see `mqguard why {count.decision}`", []
        add = {"kind": "change-entries", "policy": "Custom", "add": [f"Allow {action} on {key.resource} from anywhere"]}
        return "", change_commands(key.user, add, words)
    try:
        request = parse_request(
            ",".join(key.actions), key.resource, count.sources[0] if len(count.sources) == 1 else None
        )
    except MqguardError:
        return f"see `mqguard why {count.decision}`", []
    found = explain_request(state, key.user, request).explanation
    if found.verdict.allowed:
        return "allowed by now", []
    if is_route_question(key.code):
        need = {"resource": key.resource, "verdict": "Deny"}
        return "", route_commands(key.user, [need], words)
    return "", change_commands(
        key.user, change_facts(found.minimal_change), words
    ) if found.minimal_change is not None else []


def _denial_json(key: "DenialKey", count: "DenialCount", remark: str, commands: list[str]) -> dict[str, object]:
    return {
        "user": key.user or None,
        "authenticated": key.is_authenticated,
        "request": key.request,
        "code": key.code or None,
        "resource": key.resource or None,
        "actions": list(key.actions),
        "reason": key.reason,
        "shadow": key.is_shadow,
        "count": count.count,
        "last": count.last,
        "sources": count.sources,
        "decision": count.decision or None,
        "remark": remark or None,
        "commands": commands,
    }


_DENIAL_HEAD = ("#Count", "#Last", "#User", "#Request", "#Needed", "#Reason", "#From", "#Decision")

_Denied = tuple["DenialKey", "DenialCount", str, list[str]]
"""Denied requests of one kind with their count, a remark and commands."""


def _denial_row(row: _Denied) -> tuple[str, ...]:
    key, count, _, _ = row
    return (
        str(count.count),
        count.last[:19],
        (key.user or "anonymous") + ("" if key.is_authenticated or not key.user else " (not authenticated)"),
        key.request,
        f"{' or '.join(key.actions)} on {key.resource}" if key.resource else "-",
        ("would be denied: " if key.is_shadow else "") + key.reason,
        ",".join(count.sources),
        count.decision or "-",
    )


def _denial_hints(rows: Sequence[_Denied]) -> Iterator[str]:
    for key, _, remark, commands in rows:
        if remark or commands:
            about = f", {' or '.join(key.actions)} on {key.resource}" if key.resource else f", {key.reason}"
            yield visible(f"to allow {key.request} of {key.user or 'anonymous clients'}{about}:")
            yield from (visible(f"  {line}") for line in commands or [remark])
