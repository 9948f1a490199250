"""`mqguard acl …`."""

from typing import TYPE_CHECKING

import click

from mqguard.cli.connection import Connection, connected
from mqguard.cli.exits import NothingThere
from mqguard.cli.output import emit, json_option, table

if TYPE_CHECKING:
    from mqguard.auth.policy import Acl, Entry

_DECISIONS = click.Choice(["Allow", "Deny"], case_sensitive=False)
_TYPES = click.Choice(["Custom", "Default"], case_sensitive=False)


@click.group()
def acl() -> None:
    """Make, change and list what users may do."""


@acl.command()
@click.argument("subject")
@click.option("-r", "--resource", "resources", required=True, help="Such as `Topic:orders,Group:billing*`.")
@click.option("-a", "--actions", required=True, help="Such as `Pub,Sub`.")
@click.option("-i", "--source", "sources", default="", help="Addresses or ranges, such as `10.0.0.0/8`.")
@click.option("-d", "--decision", type=_DECISIONS, default="Allow", show_default=True)
@click.option("--policy", "kind", type=_TYPES, default="Custom", show_default=True)
@connected
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
    """Say what SUBJECT, such as `User:alice`, may or may not do to resources.

    What was said before of the very same resource is replaced.
    """
    from mqguard.admin import policies
    from mqguard.auth.policy import PolicyType
    from mqguard.auth.subject import Subject

    entries = _entries(resources, actions, sources, decision)
    who = Subject.parse(subject)
    with connection.client() as client:
        for broker in client.brokers(connection.cluster):
            policies.create(client.at(broker.address), who, entries, PolicyType.parse(kind))
    emit({"subject": who.key}, f"changed the policy of {who.key}", as_json=as_json)


@acl.command()
@click.argument("subject")
@click.option("-r", "--resource", help="Only what is said of this very resource.")
@click.option("--policy", "kind", type=_TYPES, help="Only in this policy [default: Custom with --resource, else all].")
@connected
@json_option
def delete(connection: Connection, subject: str, resource: str | None, kind: str | None, *, as_json: bool) -> None:
    """Take back what was said of SUBJECT."""
    from mqguard.admin import policies
    from mqguard.auth.policy import PolicyType
    from mqguard.auth.resource import Resource
    from mqguard.auth.subject import Subject

    who = Subject.parse(subject)
    what = None if resource is None else Resource.parse(resource)
    with connection.client() as client:
        for broker in client.brokers(connection.cluster):
            session = client.at(broker.address)
            policies.delete(session, who, what, None if kind is None else PolicyType.parse(kind))
    emit({"subject": who.key}, f"changed the policy of {who.key}", as_json=as_json)


@acl.command()
@click.argument("subject")
@connected
@json_option
def get(connection: Connection, subject: str, *, as_json: bool) -> None:
    """Show what SUBJECT may do; exit code 4 if nothing is said of it."""
    from mqguard.admin import policies
    from mqguard.auth.subject import Subject

    who = Subject.parse(subject)
    with connection.client() as client:
        broker = client.brokers(connection.cluster)[0]
        found = policies.get(client.at(broker.address), who)
    if found is None:
        raise NothingThere(f"nothing is said of `{who.key}`")
    _show([found], as_json=as_json)


@acl.command("list")
@click.option("-s", "--subject", default="", help="Only subjects that hold this text.")
@click.option("-r", "--resource", default="", help="Only resources that hold this text.")
@connected
@json_option
def find(connection: Connection, subject: str, resource: str, *, as_json: bool) -> None:
    """List what subjects may do."""
    from mqguard.admin import policies

    with connection.client() as client:
        broker = client.brokers(connection.cluster)[0]
        found = policies.find(client.at(broker.address), subject, resource)
    _show(found, as_json=as_json)


def _entries(resources: str, actions: str, sources: str, decision: str) -> "list[Entry]":
    from mqguard.auth.action import Action
    from mqguard.auth.policy import Decision, Entry
    from mqguard.auth.resource import Resource
    from mqguard.auth.source import Source

    parsed = tuple(map(Action.parse, _split(actions)))
    places = tuple(map(Source.parse, _split(sources)))
    word = Decision.parse(decision)
    return [Entry(Resource.parse(resource), parsed, places, word) for resource in _split(resources)]


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
