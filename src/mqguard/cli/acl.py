"""`mqguard acl`: policies of users."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from mqguard.cli.completion import complete_actions, complete_resources, complete_subjects
from mqguard.cli.connection import Connection, with_connection
from mqguard.cli.output import emit, examples, json_option, show_table, warn
from mqguard.cli.task_options import tasks_of, with_tasks
from mqguard.errors import NotFound

if TYPE_CHECKING:
    from mqguard.admin.client import Client
    from mqguard.admin.policy_changes import AclChange, Edit, TaskRequest
    from mqguard.auth.policy import Acl, Action, Entry, PolicyType
    from mqguard.auth.resource import Resource
    from mqguard.auth.source import Source
    from mqguard.auth.user import Subject

ANY_SOURCE = "any"
"""Notation for entries without sources."""

_TYPES = click.Choice(["Custom", "Default"], case_sensitive=False)
_RESOURCES = click.option(
    "-r",
    "--resource",
    "resources",
    multiple=True,
    metavar="RESOURCE",
    shell_complete=complete_resources,
    help="A resource, such as `Topic:orders` or `Group:billing*`; repeat the option, or separate several by commas.",
)
_ACTIONS = click.option(
    "-a",
    "--action",
    "--actions",
    "actions",
    multiple=True,
    metavar="ACTION",
    shell_complete=complete_actions,
    help="An action, such as `Pub`; repeat the option, or separate several by commas.",
)
_SOURCES = click.option(
    "-i",
    "--source",
    "sources",
    multiple=True,
    metavar="ADDRESS",
    help="A client address or range, such as `10.0.0.0/8`; repeat the option, or separate several by commas "
    "[default: any].",
)
_DECISION = click.option(
    "-d", "--decision", type=click.Choice(["Allow", "Deny"], case_sensitive=False), default="Allow", show_default=True
)
_POLICY = click.option("--policy", "kind", type=_TYPES, default="Custom", show_default=True, help="The policy.")

F = Callable[..., None]


@click.group()
def acl() -> None:
    """Add, set, remove and list the policies of users."""


def _with_entries(command: F) -> F:
    """Give a command the options of entries."""
    for option in (_POLICY, _DECISION, _SOURCES, _ACTIONS, _RESOURCES):
        command = option(command)
    return command


@acl.command(
    epilog=examples(
        "acl add User:alice --producer orders",
        "acl add User:bob --consumer orders --group billing",
        "acl add User:carol -r Topic:a -r Topic:b -a Pub -i 10.0.0.0/8",
    )
)
@click.argument("subject", shell_complete=complete_subjects)
@_with_entries
@with_tasks
@with_connection
@json_option
def add(connection: Connection, subject: str, *, as_json: bool, **entries: Any) -> None:
    """Add permissions to those of SUBJECT, such as `User:alice`, or denials with `-d Deny`.

    Nothing is taken away: actions join an existing entry for the same resource, decision and sources. The output shows
    the permissions gained and lost.
    """
    from mqguard.admin.policy_changes import add as edit

    _change_entries(connection, subject, edit, entries, as_json=as_json)


@acl.command(epilog=examples("acl set User:alice -r Topic:orders -a Pub,Sub"))
@click.argument("subject", shell_complete=complete_subjects)
@_with_entries
@with_tasks
@with_connection
@json_option
def set(connection: Connection, subject: str, *, as_json: bool, **entries: Any) -> None:  # noqa: A001
    """Give SUBJECT exactly these entries for these resources, in place of all others for the same resources.

    Entries for other resources stay. The output shows the permissions gained and lost.
    """
    from mqguard.admin.policy_changes import put as edit

    _change_entries(connection, subject, edit, entries, as_json=as_json)


@acl.command(epilog=examples("acl create User:alice -r Topic:orders -a Pub"))
@click.argument("subject", shell_complete=complete_subjects)
@_with_entries
@with_tasks
@with_connection
@json_option
def create(connection: Connection, subject: str, *, as_json: bool, **entries: Any) -> None:
    """Create entries of SUBJECT for resources that have none.

    Exit code 1: a resource already has an entry. `acl add` adds to it, and `acl set` replaces it.
    """
    from mqguard.admin.policy_changes import create as edit

    _change_entries(connection, subject, edit, entries, as_json=as_json)


@acl.command(epilog=examples("acl remove User:alice -r Topic:orders -a Pub", "acl remove User:alice -r Topic:orders"))
@click.argument("subject", shell_complete=complete_subjects)
@_RESOURCES
@_ACTIONS
@click.option(
    "-i",
    "--source",
    "sources",
    multiple=True,
    metavar="ADDRESS",
    help="Only entries with exactly these sources; `any` for entries without sources; repeatable.",
)
@click.option("-d", "--decision", type=click.Choice(["Allow", "Deny"], case_sensitive=False), help="Only such entries.")
@_POLICY
@with_connection
@json_option
def remove(
    connection: Connection,
    subject: str,
    resources: tuple[str, ...],
    actions: tuple[str, ...],
    sources: tuple[str, ...],
    decision: str | None,
    kind: str,
    *,
    as_json: bool,
) -> None:
    """Remove entries of SUBJECT for exactly these resources, or only some of their actions.

    The output shows the permissions gained and lost. Removing a Deny grants permissions.

    Exit code 4: there is no such entry.
    """
    from mqguard.admin.policy_changes import Selection
    from mqguard.admin.policy_changes import remove as edit
    from mqguard.auth.policy import Decision, PolicyType
    from mqguard.auth.user import Subject

    if not _split(resources):
        raise click.UsageError("there is nothing to remove: name a resource with `--resource`, or use `acl delete`")
    chosen = None if decision is None else Decision.parse(decision)
    selections = [
        Selection(resource, _actions(actions), _sources(sources) if sources else None, chosen)
        for resource in _parsed(resources)
    ]
    _change(connection, Subject.parse(subject), {PolicyType.parse(kind): edit(selections)}, as_json=as_json)


@acl.command(epilog=examples("acl delete User:alice", "acl delete User:alice -r Topic:orders"))
@click.argument("subject", shell_complete=complete_subjects)
@_RESOURCES
@click.option(
    "--policy", "kind", type=_TYPES, help="Delete only in this policy [default: Custom with --resource, else all]."
)
@with_connection
@json_option
def delete(
    connection: Connection, subject: str, resources: tuple[str, ...], kind: str | None, *, as_json: bool
) -> None:
    """Delete all policies of SUBJECT, or all entries for some resources.

    Exit code 4: there is no such policy or entry.
    """
    from mqguard.admin.policy_changes import Selection, remove_all
    from mqguard.admin.policy_changes import remove as edit
    from mqguard.auth.policy import PolicyType
    from mqguard.auth.user import Subject

    parsed = Subject.parse(subject)
    named = _parsed(resources)
    if named:
        edits = {PolicyType.parse(kind or "Custom"): edit([Selection(resource) for resource in named])}
    else:
        edits = dict.fromkeys([PolicyType.parse(kind)] if kind else PolicyType, remove_all)
    _change(connection, parsed, edits, as_json=as_json, missing=f"`{parsed.key}` has no policies")


@acl.command(epilog=examples("acl get User:alice"))
@click.argument("subject", shell_complete=complete_subjects)
@with_connection
@json_option
def get(connection: Connection, subject: str, *, as_json: bool) -> None:
    """Show the policies of SUBJECT.

    Exit code 4: SUBJECT does not exist, or has no policies.
    """
    from mqguard.admin.policy_changes import read_subject
    from mqguard.auth.user import Subject

    parsed = Subject.parse(subject)
    with connection.client() as client:
        broker = client.brokers(connection.cluster)[0]
        found = read_subject(client.at(broker.address), parsed.name).acls.get(parsed.name)
    if found is None:
        raise NotFound(f"`{parsed.key}` has no policies")
    _show([found], as_json=as_json)


@acl.command("list", epilog=examples("acl list", "acl list -s alice -r Topic:orders"))
@click.option("-s", "--subject", default="", help="Only subjects that contain this text.")
@click.option("-r", "--resource", default="", help="Only resources that contain this text.")
@with_connection
@json_option
def find(connection: Connection, subject: str, resource: str, *, as_json: bool) -> None:
    """List policies."""
    from mqguard.admin import policies

    with connection.client() as client:
        broker = client.brokers(connection.cluster)[0]
        found = policies.find(client.at(broker.address), subject, resource)
    _show(found, as_json=as_json)


def _change_entries(
    connection: Connection,
    subject: str,
    edit: "Callable[[Sequence[Entry]], Edit]",
    values: dict[str, Any],
    *,
    as_json: bool,
) -> None:
    """Change the entries that the options describe."""
    from mqguard.admin.policy_changes import check_entries
    from mqguard.auth.policy import Decision, PolicyType
    from mqguard.auth.user import Subject

    parsed, kind = Subject.parse(subject), PolicyType.parse(values["kind"])
    sources, decision = _sources(values["sources"]), Decision.parse(values["decision"])
    request = tasks_of(values, sources)
    entries = _entries(values["resources"], values["actions"], sources, decision, with_tasks=request is not None)
    if request is not None and decision is Decision.DENY:
        raise click.UsageError("a task is allowed, not denied: write a denial with `--resource` and `--action`")
    check_entries(parsed, kind, entries if request is None else [*entries, *request.entries("CLUSTER")])
    _change(connection, parsed, {kind: edit}, as_json=as_json, entries=entries, tasks=request)


def _change(
    connection: Connection,
    subject: "Subject",
    edits: "dict[PolicyType, Any]",
    *,
    as_json: bool,
    entries: "Sequence[Entry] | None" = None,
    tasks: "TaskRequest | None" = None,
    missing: str = "",
) -> None:
    """Change policies at every broker, and print the permissions gained and lost.

    Args:
        connection: Options of the connection.
        subject: Owner of the policies.
        edits: Edits by policy; with `entries` or `tasks`, functions that make an edit from entries.
        as_json: True to print JSON.
        entries: Entries to make the edits from.
        tasks: Tasks to make entries from, when the name of the cluster is known.
        missing: Error if nothing has changed.
    """
    from mqguard.admin.policy_changes import change_acl

    with connection.client() as client:
        if entries is not None:
            cluster = connection.cluster or client.brokers()[0].cluster
            given = [*entries, *(tasks.entries(cluster) if tasks is not None else ())]
            edits = {kind: edit(given) for kind, edit in edits.items()}
        changes = change_acl(client, connection.cluster, subject, edits)
        advice = advice_about(client, connection.cluster, changes)
    if missing and all(one.before == one.after for one in changes):
        raise NotFound(missing)
    show_changes({"subject": subject.key}, f"policies of {subject.key}:", changes, advice, as_json=as_json)


def advice_about(client: "Client", cluster: str | None, changes: "Sequence[AclChange]") -> list[str]:
    """Return warnings about gained permissions that do not work alone, each once."""
    from mqguard.admin.policy_changes import advise

    return list(dict.fromkeys(text for one in changes for text in advise(client, cluster, one)))


def show_changes(
    value: dict[str, object], head: str, changes: "Sequence[AclChange]", advice: list[str], *, as_json: bool
) -> None:
    """Print the permissions gained and lost, equal changes of several brokers once.

    Args:
        value: First members of the result for scripts.
        head: First line of the result for people.
        changes: Changes at each broker.
        advice: Warnings about permissions that do not work alone.
        as_json: True to print JSON.
    """
    from mqguard.cli.policy_output import comparison_json, comparison_text

    groups: dict[str, list[AclChange]] = {}
    for change in changes:
        empty = change.before == change.after
        text = "nothing to change: the policies are already so" if empty else comparison_text(change.comparison)
        groups.setdefault(text, []).append(change)
    warnings = advice + list(
        dict.fromkeys(f"{finding.rule.value}: {finding.message}" for one in changes for finding in one.findings)
    )
    value = {
        **value,
        "changed": any(one.before != one.after for one in changes),
        "changes": [
            {"brokers": [one.broker for one in group], **comparison_json(group[0].comparison)}
            for group in groups.values()
        ],
        "warnings": warnings,
    }
    blocks = [
        text if len(groups) == 1 else f"{', '.join(one.broker for one in group)}:\n{text}"
        for text, group in groups.items()
    ]
    emit(value, "\n".join([head, *blocks]), as_json=as_json)
    if not as_json:
        for text in warnings:
            warn(text)


def _entries(
    resources: Sequence[str],
    actions: Sequence[str],
    sources: "tuple[Source, ...]",
    decision: "Any",
    *,
    with_tasks: bool,
) -> "list[Entry]":
    from mqguard.auth.policy import Entry

    named, done = _parsed(resources), _actions(actions)
    if not named and not done and with_tasks:
        return []
    if not named or not done:
        missing = "`--action`" if named else "`--resource`"
        raise click.UsageError(
            f"{missing} is missing: name resources and actions, or a task such as `--producer TOPIC`"
        )
    return [Entry(resource, done, sources, decision) for resource in named]


def _parsed(resources: Sequence[str]) -> "list[Resource]":
    from mqguard.auth.resource import Resource

    return list(dict.fromkeys(map(Resource.parse, _split(resources))))


def _actions(texts: Sequence[str]) -> "tuple[Action, ...]":
    from mqguard.auth.policy import Action

    return tuple(dict.fromkeys(map(Action.parse, _split(texts))))


def _sources(texts: Sequence[str]) -> "tuple[Source, ...]":
    from mqguard.auth.source import Source

    given = _split(texts)
    if ANY_SOURCE in given:
        if len(given) > 1:
            raise click.UsageError("`--source any` is every address: leave the other sources out")
        return ()
    return tuple(map(Source.parse, given))


def _split(texts: Sequence[str]) -> list[str]:
    return [item for text in texts for item in (part.strip() for part in text.split(",")) if item]


def _show(acls: "list[Acl]", *, as_json: bool) -> None:
    lines = [(found.subject, policy, entry) for found in acls for policy in found.policies for entry in policy.entries]
    if as_json:
        for subject, policy, entry in lines:
            value = {
                "subject": subject.key,
                "policy": policy.type.value,
                "resource": entry.resource.key,
                "actions": [action.value for action in entry.actions],
                "sources": [source.text for source in entry.sources],
                "decision": entry.decision.value,
            }
            emit(value, "", as_json=True)
        return
    rows = [
        (
            subject.key,
            policy.type.value,
            entry.resource.key,
            ",".join(action.value for action in entry.actions),
            ",".join(source.text for source in entry.sources) or "-",
            entry.decision.value,
        )
        for subject, policy, entry in lines
    ]
    show_table(("#Subject", "#PolicyType", "#Resource", "#Actions", "#SourceIp", "#Decision"), rows)
