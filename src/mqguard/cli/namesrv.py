"""`mqguard namesrv`: a name server alone."""

from typing import TYPE_CHECKING

import click

from mqguard.cli.configuration import NAMESRV_FLAGS, with_configuration
from mqguard.cli.output import examples, json_option
from mqguard.cli.standalone import serve

if TYPE_CHECKING:
    from mqguard.config.loader import Configuration


@click.command(epilog=examples("namesrv", "namesrv --data /var/lib/mqguard-namesrv --bind 0.0.0.0"))
@with_configuration(NAMESRV_FLAGS)
@json_option
def namesrv(configuration: "Configuration", *, as_json: bool) -> None:
    """Run a name server with access control, with which brokers register.

    Brokers of mqguard and of Apache RocketMQ can register. They must sign with the credentials of a Super user, such as
    `innerClientAuthenticationCredentials`. The name server has its own users and policies in its data directory. Manage
    them at its port: `mqguard user list --broker HOST:9876`. Its first start creates a Super user, as `mqguard
    standalone` does. Stop it with Ctrl-C or SIGTERM.
    """
    serve(configuration, "namesrv", as_json=as_json)
