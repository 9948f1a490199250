"""`mqguard receive`."""

import click

from mqguard.cli.connection import Connection, connected
from mqguard.cli.exits import NothingThere
from mqguard.cli.output import emit, json_option


@click.command()
@click.argument("topic")
@click.option("-g", "--group", default="mqguard-cli", show_default=True, help="The consumer group.")
@click.option("--count", type=click.IntRange(1), default=1, show_default=True, help="How many messages to take.")
@click.option(
    "--wait", type=click.FloatRange(0), default=5.0, show_default=True, help="Seconds to wait for the next message."
)
@connected
@json_option
def receive(connection: Connection, topic: str, group: str, count: int, wait: float, *, as_json: bool) -> None:
    """Take messages of TOPIC that the group has not had yet, and print them.

    Ends with exit code 4 if there is none in time.
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
        raise NothingThere(f"no message of `{topic}` for the group `{group}` within {wait:g} s")
