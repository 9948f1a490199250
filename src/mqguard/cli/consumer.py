"""`mqguard group`, `mqguard consumer`: consumer groups, their members, lag and offsets."""

import datetime as dt
from typing import TYPE_CHECKING

import click

from mqguard.cli.completion import complete_groups, complete_topics
from mqguard.cli.connection import Connection, with_connection
from mqguard.cli.output import emit, examples, json_option, show_table
from mqguard.errors import NotFound

if TYPE_CHECKING:
    from mqguard.admin.groups import QueueLag


@click.group()
def group() -> None:
    """Create, delete and list consumer groups."""


@group.command(epilog=examples("group create billing", "group create ledger --orderly --retries 3"))
@click.argument("name")
@click.option("--broadcast/--no-broadcast", default=True, show_default=True, help="Allow broadcasting consumers.")
@click.option("--orderly", is_flag=True, help="Deliver the messages of a queue one after the other.")
@click.option(
    "--retries",
    type=click.IntRange(0, 1000),
    default=16,
    show_default=True,
    help="Maximum number of deliveries after a failure.",
)
@with_connection
@json_option
def create(connection: Connection, name: str, retries: int, *, broadcast: bool, orderly: bool, as_json: bool) -> None:
    """Create the consumer group NAME at every broker of the cluster.

    Exit code 1: the group exists.
    """
    from mqguard.admin import groups

    with connection.client() as client:
        groups.create(client, connection.cluster, name, broadcast=broadcast, orderly=orderly, retries=retries)
    emit({"group": name}, f"created the group {name}", as_json=as_json)


@group.command(epilog=examples("group delete billing"))
@click.argument("name", shell_complete=complete_groups)
@with_connection
@json_option
def delete(connection: Connection, name: str, *, as_json: bool) -> None:
    """Delete the consumer group NAME and its offsets.

    Exit code 4: the group does not exist.
    """
    from mqguard.admin import groups

    with connection.client() as client:
        groups.delete(client, connection.cluster, name)
    emit({"group": name}, f"deleted the group {name}", as_json=as_json)


@group.command("list", epilog=examples("group list", "group list --all"))
@click.option("--all", "show_all", is_flag=True, help="Also the groups that every broker has.")
@with_connection
@json_option
def find(connection: Connection, *, show_all: bool, as_json: bool) -> None:
    """List the consumer groups that users have created."""
    from mqguard.admin import groups

    with connection.client() as client:
        names = groups.find(client, connection.cluster, reserved=show_all)
    for name in names:
        emit({"group": name}, name, as_json=as_json)


@click.group()
def consumer() -> None:
    """Show members and lag of consumer groups, and reset their offsets."""


@consumer.command("list", epilog=examples("consumer list billing"))
@click.argument("name", metavar="GROUP", shell_complete=complete_groups)
@with_connection
@json_option
def find_members(connection: Connection, name: str, *, as_json: bool) -> None:
    """List the connected consumers of GROUP.

    Exit code 4: the group does not exist, or no consumer is connected.
    """
    from mqguard.admin import groups

    with connection.client() as client:
        groups.check_exists(client, connection.cluster, name)
        found = groups.members(client, connection.cluster, name)
    if not found:
        raise NotFound(f"no consumer of the group `{name}` is connected")
    rows = []
    for one in found:
        if as_json:
            emit({"clientId": one.client_id, "address": one.address, "language": one.language}, "", as_json=True)
        rows.append((one.client_id, one.address, one.language))
    if not as_json:
        show_table(("#Client", "#Address", "#Language"), rows)


@consumer.command(epilog=examples("consumer lag", "consumer lag billing", "consumer lag billing --queues"))
@click.argument("name", metavar="[GROUP]", default="", shell_complete=complete_groups)
@click.option("--topic", shell_complete=complete_topics, help="Only this topic.")
@click.option("--queues", "by_queue", is_flag=True, help="One line for each queue.")
@with_connection
@json_option
def lag(connection: Connection, name: str, topic: str | None, *, by_queue: bool, as_json: bool) -> None:
    """Show how many messages GROUP, or every group, has not consumed.

    Exit code 4: the group does not exist.
    """
    from mqguard.admin import groups

    lines: list[dict[str, object]] = []
    with connection.client() as client:
        if name:
            groups.check_exists(client, connection.cluster, name)
        for one in [name] if name else groups.find(client, connection.cluster):
            queues = groups.lag(client, connection.cluster, one, topic)
            members = len(groups.members(client, connection.cluster, one))
            lines += _queue_lines(one, queues) if by_queue else _topic_lines(one, queues, members)
    if as_json:
        for line in lines:
            emit(line, "", as_json=True)
        return
    if not lines:
        emit(None, "no group has offsets", as_json=False)
        return
    head = tuple(f"#{key[0].upper()}{key[1:]}" for key in lines[0])
    rows = [tuple("-" if cell is None else str(cell) for cell in line.values()) for line in lines]
    show_table(head, rows)


@consumer.command(
    epilog=examples(
        "consumer reset billing orders --to earliest", "consumer reset billing orders --to 2026-03-01T08:00:00Z"
    )
)
@click.argument("name", metavar="GROUP", shell_complete=complete_groups)
@click.argument("topic", shell_complete=complete_topics)
@click.option("--to", "moment", required=True, metavar="TIME", help="`earliest`, `latest`, or a time in ISO 8601.")
@with_connection
@json_option
def reset(connection: Connection, name: str, topic: str, moment: str, *, as_json: bool) -> None:
    """Set the offsets of GROUP in TOPIC to a time, so that messages are received again or skipped.

    Exit code 4: the group does not exist.
    """
    from mqguard.admin import groups

    time_ms = _time_ms(moment)
    with connection.client() as client:
        groups.check_exists(client, connection.cluster, name)
        groups.reset(client, connection.cluster, name, topic, time_ms)
        left = sum(queue.lag for queue in groups.lag(client, connection.cluster, name, topic))
    value = {"group": name, "topic": topic, "to": moment, "lag": left}
    emit(value, f"the group {name} continues at {moment} of {topic}: {left} messages to receive", as_json=as_json)


def _time_ms(text: str) -> int:
    from mqguard.admin.groups import LATEST

    if text in ("earliest", "latest"):
        return 0 if text == "earliest" else LATEST
    try:
        found = dt.datetime.fromisoformat(text)
    except ValueError:
        raise click.UsageError(
            f"`{text}` is not a valid time: write `earliest`, `latest`, or a time such as `2026-03-01T08:00:00Z`"
        ) from None
    return int(found.timestamp() * 1000)


def _topic_lines(name: str, queues: "list[QueueLag]", members: int) -> list[dict[str, object]]:
    lines: list[dict[str, object]] = []
    for topic in dict.fromkeys(queue.topic for queue in queues):
        own = [queue for queue in queues if queue.topic == topic]
        last = max(queue.last_ms for queue in own)
        total = sum(queue.lag for queue in own)
        lines.append({"group": name, "topic": topic, "lag": total, "members": members, "lastConsumed": _moment(last)})
    return lines


def _queue_lines(name: str, queues: "list[QueueLag]") -> list[dict[str, object]]:
    return [
        {
            "group": name,
            "topic": queue.topic,
            "broker": queue.broker,
            "queueId": queue.queue_id,
            "lag": queue.lag,
            "offset": queue.offset,
            "end": queue.end,
            "lastConsumed": _moment(queue.last_ms),
        }
        for queue in queues
    ]


def _moment(ms: int) -> str | None:
    return f"{dt.datetime.fromtimestamp(ms // 1000, dt.UTC):%Y-%m-%dT%H:%M:%SZ}" if ms > 0 else None
