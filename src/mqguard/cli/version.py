"""`mqguard version`."""

import json
import platform

import click

from mqguard import __version__
from mqguard.cli.output import json_option


def installed() -> str:
    """The version of this installation."""
    return __version__


@click.command()
@json_option
def version(*, as_json: bool) -> None:
    """Say which version this is, and which RocketMQ it speaks."""
    found = {
        "mqguard": __version__,
        "rocketmq": "5.5.0",
        "python": platform.python_version(),
    }
    if as_json:
        click.echo(json.dumps(found))
    else:
        click.echo(f"mqguard {__version__} (speaks RocketMQ 5.5.0, runs on Python {platform.python_version()})")
