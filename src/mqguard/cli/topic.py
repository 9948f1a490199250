"""`mqguard topic`: topics of a cluster."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import click

from mqguard.cli.completion import complete_topics
from mqguard.cli.connection import Connection, with_connection
from mqguard.cli.output import emit, examples, json_option

if TYPE_CHECKING:
    from mqguard.admin.topics import TopicChange
    from mqguard.model.topic import TopicConfig

_PERMISSIONS = {"rw": 6, "r": 4, "w": 2}
_DEFAULT_QUEUES = 8
_QUEUES = click.IntRange(1, 1024)


@click.group()
def topic() -> None:
    """Create, change, delete and list topics."""


def _with_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of a topic's settings."""
    for option in (
        click.option("--type", "kind", help="The message type: NORMAL, FIFO, DELAY or TRANSACTION."),
        click.option("--perm", type=click.Choice(list(_PERMISSIONS)), help="Read, write or both [default: rw]."),
        click.option("--write-queues", type=_QUEUES, help="Number of queues that can be written."),
        click.option("--read-queues", type=_QUEUES, help="Number of queues that can be read."),
        click.option("--queues", type=_QUEUES, help="Number of queues at each broker [default: 8]."),
    ):
        command = option(command)
    return command


@topic.command(epilog=examples("topic create orders", "topic create payments --queues 16 --type FIFO"))
@click.argument("name")
@_with_settings
@with_connection
@json_option
def create(connection: Connection, name: str, *, as_json: bool, **settings: Any) -> None:
    """Create the topic NAME at every broker of the cluster.

    Exit code 1: the topic exists with other settings; `topic update` changes them.
    """
    from mqguard.admin import topics
    from mqguard.model.topic import TopicConfig

    start = TopicConfig(name, _DEFAULT_QUEUES, _DEFAULT_QUEUES)
    wanted = _settings(start, settings)
    with connection.client() as client:
        changes = topics.create_everywhere(client, connection.cluster, wanted)
    _show(name, changes, as_json=as_json)


@topic.command(epilog=examples("topic update orders --queues 16", "topic update orders --write-queues 4 --shrink"))
@click.argument("name", shell_complete=complete_topics)
@_with_settings
@click.option("--shrink", is_flag=True, help="Allow fewer queues than the topic has.")
@with_connection
@json_option
def update(connection: Connection, name: str, *, shrink: bool, as_json: bool, **settings: Any) -> None:
    """Change the given settings of the topic NAME at every broker that has it, and keep the others.

    Consumers no longer receive messages from queues that cannot be read. To shrink a topic without that, first lower
    `--write-queues`, wait until consumers have received the messages, and then lower `--read-queues`.

    Exit code 4: the topic does not exist.
    """
    from mqguard.admin import topics

    if all(value is None for value in settings.values()):
        raise click.UsageError("there is nothing to change: give `--queues`, `--perm` or `--type`")

    with connection.client() as client:
        changes = topics.update_everywhere(
            client, connection.cluster, name, lambda old: _settings(old, settings), shrink=shrink
        )
    _show(name, changes, as_json=as_json)


@topic.command(epilog=examples("topic delete orders"))
@click.argument("name", shell_complete=complete_topics)
@with_connection
@json_option
def delete(connection: Connection, name: str, *, as_json: bool) -> None:
    """Delete the topic NAME and its messages.

    Exit code 4: the topic does not exist.
    """
    from mqguard.admin import topics

    with connection.client() as client:
        topics.check_exists(client, name)
        topics.delete(client, name, connection.cluster)
    emit({"topic": name}, f"deleted the topic {name}", as_json=as_json)


@topic.command("list", epilog=examples("topic list", "topic list --all"))
@click.option("--all", "show_all", is_flag=True, help="Also topics of the system, and retry and dead-letter topics.")
@with_connection
@json_option
def find(connection: Connection, *, show_all: bool, as_json: bool) -> None:
    """List the topics that users have created."""
    from mqguard.admin import topics

    with connection.client() as client:
        names = topics.find(client) if show_all else topics.find_of_users(client)
    for name in names:
        emit({"topic": name}, name, as_json=as_json)


def _settings(old: "TopicConfig", values: Mapping[str, Any]) -> "TopicConfig":
    """Return a topic with the given settings of `_with_settings`, and its own where none is given."""
    from mqguard.model.topic import MESSAGE_TYPE, PERM_BOTH, TopicConfig

    queues, perm, kind = values["queues"], values["perm"], values["kind"]
    bits = old.perm if perm is None else (old.perm & ~PERM_BOTH) | _PERMISSIONS[perm]
    attributes = old.attributes if kind is None else {**old.attributes, MESSAGE_TYPE: kind.upper()}
    return TopicConfig(
        old.name,
        values["read_queues"] or queues or old.read_queues,
        values["write_queues"] or queues or old.write_queues,
        bits,
        old.filter_type,
        old.sys_flag,
        old.order,
        attributes,
    )


def _show(name: str, changes: "list[TopicChange]", *, as_json: bool) -> None:
    from mqguard.admin.topics import settings_text

    brokers = [
        {
            "broker": change.broker,
            "created": change.old is None,
            "changed": change.old != change.new,
            "readQueues": change.new.read_queues,
            "writeQueues": change.new.write_queues,
            "perm": change.new.perm,
            "attributes": change.new.attributes,
        }
        for change in changes
    ]
    lines = []
    for change in changes:
        new = settings_text(change.new)
        if change.old is None:
            lines.append(f"created the topic {name} at {change.broker}: {new}")
        elif change.old == change.new:
            lines.append(f"nothing to change: the topic {name} at {change.broker} has {new}")
        else:
            lines.append(f"changed the topic {name} at {change.broker}: {settings_text(change.old)} -> {new}")
    emit({"topic": name, "brokers": brokers}, "\n".join(lines), as_json=as_json)
