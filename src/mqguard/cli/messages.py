"""`mqguard send`, `mqguard receive`: single messages."""

import sys

import click

from mqguard.cli.completion import complete_groups, complete_topics
from mqguard.cli.connection import Connection, with_connection
from mqguard.cli.output import emit, examples, json_option
from mqguard.errors import NotFound


@click.command(epilog=examples("send orders hello", "send orders - --tags paid < message.json"))
@click.argument("topic", shell_complete=complete_topics)
@click.argument("text")
@click.option("--tags", default="", help="The message's tag.")
@click.option("--keys", default="", help="The message's keys, separated by blanks.")
@with_connection
@json_option
def send(connection: Connection, topic: str, text: str, tags: str, keys: str, *, as_json: bool) -> None:
    """Send TEXT to TOPIC; `-` as TEXT reads standard input.

    Exit code 1: the server denies or rejects the message; the error message has the reason.
    """
    from mqguard.admin import messages

    body = sys.stdin.buffer.read() if text == "-" else text.encode()
    with connection.client() as client:
        sent = messages.send(client, topic, body, tags=tags, keys=keys)
    value = {
        "topic": topic,
        "msgId": sent.unique_id,
        "offsetMsgId": sent.offset_id,
        "broker": sent.broker,
        "queueId": sent.queue_id,
        "queueOffset": sent.queue_offset,
    }
    where = f"{sent.broker}, queue {sent.queue_id}, offset {sent.queue_offset}"
    emit(value, f"sent to {topic} at {where}: {sent.unique_id}", as_json=as_json)


@click.command(epilog=examples("receive orders --group billing", "receive orders --group billing --count 10 --json"))
@click.argument("topic", shell_complete=complete_topics)
@click.option(
    "-g",
    "--group",
    default="mqguard-cli",
    show_default=True,
    shell_complete=complete_groups,
    help="The consumer group.",
)
@click.option("--count", type=click.IntRange(1), default=1, show_default=True, help="Maximum number of messages.")
@click.option(
    "--wait", type=click.FloatRange(0), default=5.0, show_default=True, help="Seconds to wait for the next message."
)
@with_connection
@json_option
def receive(connection: Connection, topic: str, group: str, count: int, wait: float, *, as_json: bool) -> None:
    """Receive messages of TOPIC that the group has not received yet, and print them.

    Exit code 4: no message arrived in time.
    """
    from mqguard.admin import messages

    taken = 0
    with connection.client() as client:
        for message in messages.receive(client, topic, group, limit=count, seconds=wait):
            text = message.body.decode("utf-8", "backslashreplace")
            value = {
                "topic": message.topic,
                "body": text,
                "properties": message.properties,
                "broker": message.broker,
                "queueId": message.queue_id,
                "queueOffset": message.queue_offset,
                "storeTimestamp": message.store_timestamp,
            }
            emit(value, text, as_json=as_json)
            taken += 1
    if taken == 0:
        raise NotFound(f"no message of `{topic}` for the group `{group}` arrived within {wait:g} s")
