"""`mqguard topic`: topics of a cluster."""

import click

from mqguard.cli.connection import Connection, with_connection
from mqguard.cli.output import emit, json_option

_PERMISSIONS = {"rw": 6, "r": 4, "w": 2}


@click.group()
def topic() -> None:
    """Create, change, delete and list topics."""


@topic.command()
@click.argument("name")
@click.option(
    "--queues", type=click.IntRange(1, 1024), default=8, show_default=True, help="Number of queues at each broker."
)
@click.option(
    "--perm", type=click.Choice(list(_PERMISSIONS)), default="rw", show_default=True, help="Read, write or both."
)
@click.option("--type", "kind", help="The message type: NORMAL, FIFO, DELAY or TRANSACTION.")
@with_connection
@json_option
def create(connection: Connection, name: str, queues: int, perm: str, kind: str | None, *, as_json: bool) -> None:
    """Create or change the topic NAME at every broker of the cluster."""
    from mqguard.admin import topics
    from mqguard.model.topic import MESSAGE_TYPE, TopicConfig

    attributes = {} if kind is None else {MESSAGE_TYPE: kind.upper()}
    config = TopicConfig(name, queues, queues, _PERMISSIONS[perm], attributes=attributes)
    with connection.client() as client:
        for broker in client.brokers(connection.cluster):
            topics.create(client.at(broker.address), config)
    emit({"topic": name, "queues": queues, "perm": perm}, f"created the topic {name}", as_json=as_json)


@topic.command()
@click.argument("name")
@with_connection
@json_option
def delete(connection: Connection, name: str, *, as_json: bool) -> None:
    """Delete the topic NAME and its messages."""
    from mqguard.admin import topics

    with connection.client() as client:
        topics.delete(client, name, connection.cluster)
    emit({"topic": name}, f"deleted the topic {name}", as_json=as_json)


@topic.command("list")
@with_connection
@json_option
def find(connection: Connection, *, as_json: bool) -> None:
    """List all topics."""
    from mqguard.admin import topics

    with connection.client() as client:
        names = topics.find(client)
    for name in names:
        emit({"topic": name}, name, as_json=as_json)
