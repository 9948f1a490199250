"""`mqguard send`."""

import sys

import click

from mqguard.cli.connection import Connection, connected
from mqguard.cli.output import emit, json_option


@click.command()
@click.argument("topic")
@click.argument("text")
@click.option("--tags", default="", help="The message's tag.")
@click.option("--keys", default="", help="The message's keys, blank-separated.")
@connected
@json_option
def send(connection: Connection, topic: str, text: str, tags: str, keys: str, *, as_json: bool) -> None:
    """Send TEXT to TOPIC; `-` as TEXT reads standard input.

    Ends with exit code 1 if the server refuses, and says the server's reason.
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
