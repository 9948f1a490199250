"""`mqguard acl`: policies of users."""

from typing import TYPE_CHECKING

import click

from mqguard.cli.connection import Connection, with_connection
from mqguard.cli.output import emit, json_option, table
from mqguard.errors import NotFound

if TYPE_CHECKING:
    from mqguard.auth.policy import Acl, Entry

_DECISIONS = click.Choice(["Allow", "Deny"], case_sensitive=False)
_TYPES = click.Choice(["Custom", "Default"], case_sensitive=False)


@click.group()
def acl() -> None:
    """Create, change, delete and list the policies of users."""


@acl.command()
@click.argument("subject")
@click.option("-r", "--resource", "resources", required=True, help="Resources, such as `Topic:orders,Group:billing*`.")
@click.option("-a", "--actions", required=True, help="Actions, such as `Pub,Sub`.")
@click.option(
    "-i", "--source", "sources", default="", help="Client addresses or ranges, such as `10.0.0.0/8` [default: any]."
)
@click.option("-d", "--decision", type=_DECISIONS, default="Allow", show_default=True)
@click.option("--policy", "kind", type=_TYPES, default="Custom", show_default=True)
@with_connection
@json_option
def create(
    connection: Connection,
    subject: str,
    resources: str,
    actions: str,
    sources: str,
    decision: str,
    kind: str,
    *,
    as_json: bool,
) -> None:
    """Allow or deny SUBJECT, such as `User:alice`, actions on resources.

    An existing entry for exactly the same resource is replaced.
    """
    from mqguard.admin import policies
    from mqguard.auth.policy import PolicyType
    from mqguard.auth.user import Subject

    entries = _entries(resources, actions, sources, decision)
    parsed = Subject.parse(subject)
    with connection.client() as client:
        for broker in client.brokers(connection.cluster):
            policies.create(client.at(broker.address), parsed, entries, PolicyType.parse(kind))
    emit({"subject": parsed.key}, f"changed the policies of {parsed.key}", as_json=as_json)


@acl.command()
@click.argument("subject")
@click.option("-r", "--resource", help="Delete only the entry for exactly this resource.")
@click.option(
    "--policy", "kind", type=_TYPES, help="Delete only in this policy [default: Custom with --resource, else all]."
)
@with_connection
@json_option
def delete(connection: Connection, subject: str, resource: str | None, kind: str | None, *, as_json: bool) -> None:
    """Delete the policies of SUBJECT, or one entry of them."""
    from mqguard.admin import policies
    from mqguard.auth.policy import PolicyType
    from mqguard.auth.resource import Resource
    from mqguard.auth.user import Subject

    parsed = Subject.parse(subject)
    parsed_resource = None if resource is None else Resource.parse(resource)
    with connection.client() as client:
        for broker in client.brokers(connection.cluster):
            session = client.at(broker.address)
            policies.delete(session, parsed, parsed_resource, None if kind is None else PolicyType.parse(kind))
    emit({"subject": parsed.key}, f"changed the policies of {parsed.key}", as_json=as_json)


@acl.command()
@click.argument("subject")
@with_connection
@json_option
def get(connection: Connection, subject: str, *, as_json: bool) -> None:
    """Show the policies of SUBJECT.

    Exit code 4: SUBJECT has no policies.
    """
    from mqguard.admin import policies
    from mqguard.auth.user import Subject

    parsed = Subject.parse(subject)
    with connection.client() as client:
        broker = client.brokers(connection.cluster)[0]
        found = policies.get(client.at(broker.address), parsed)
    if found is None:
        raise NotFound(f"`{parsed.key}` has no policies")
    _show([found], as_json=as_json)


@acl.command("list")
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


def _entries(resources: str, actions: str, sources: str, decision: str) -> "list[Entry]":
    from mqguard.auth.policy import Action, Decision, Entry
    from mqguard.auth.resource import Resource
    from mqguard.auth.source import Source

    parsed_actions = tuple(map(Action.parse, _split(actions)))
    parsed_sources = tuple(map(Source.parse, _split(sources)))
    parsed_decision = Decision.parse(decision)
    return [
        Entry(Resource.parse(resource), parsed_actions, parsed_sources, parsed_decision)
        for resource in _split(resources)
    ]


def _split(text: str) -> list[str]:
    return [item for item in (part.strip() for part in text.split(",")) if item]


def _show(acls: "list[Acl]", *, as_json: bool) -> None:
    rows = [
        (
            found.subject.key,
            policy.type.value,
            entry.resource.key,
            ",".join(action.value for action in entry.actions),
            ",".join(source.text for source in entry.sources) or "-",
            entry.decision.value,
        )
        for found in acls
        for policy in found.policies
        for entry in policy.entries
    ]
    names = ("subject", "policyType", "resource", "actions", "sourceIps", "decision")
    if as_json:
        for row in rows:
            emit(dict(zip(names, row, strict=True)), "", as_json=True)
    else:
        click.echo(table(("#Subject", "#PolicyType", "#Resource", "#Actions", "#SourceIp", "#Decision"), rows))
