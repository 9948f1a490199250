"""`mqguard broker`: a broker alone."""

from typing import TYPE_CHECKING

import click

from mqguard.cli.brokers import brokers
from mqguard.cli.configuration import BROKER_FLAGS, with_configuration
from mqguard.cli.output import examples, json_option
from mqguard.cli.standalone import serve

if TYPE_CHECKING:
    from mqguard.config.loader import Configuration


class _WithPins(click.Group):
    """Group that also accepts `pin`, `list` and `unpin`, whose place is `mqguard brokers`."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command of `mqguard brokers`."""
        return brokers.get_command(ctx, cmd_name)


@click.group(
    cls=_WithPins,
    invoke_without_command=True,
    subcommand_metavar="",
    epilog=examples(
        "broker --namesrv 10.1.2.3:9876 --data /var/lib/mqguard",
        "broker --namesrv '10.1.2.3:9876;10.1.2.4:9876' --name broker-b --port 10921",
    ),
)
@with_configuration(BROKER_FLAGS)
@json_option
def broker(configuration: "Configuration", *, as_json: bool) -> None:
    """Run a broker with access control, which registers with name servers in other processes.

    It registers with name servers of mqguard and of Apache RocketMQ. It signs its registration with
    `innerClientAuthenticationCredentials`, which a name server of mqguard requires. Its first start creates a Super
    user, as `mqguard standalone` does. Stop it with Ctrl-C or SIGTERM; it then leaves the routes at once.

    `mqguard brokers` has the brokers that commands trust.
    """
    serve(configuration, "broker", as_json=as_json)
