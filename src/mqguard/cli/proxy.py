"""`mqguard proxy`: a guard in front of a cluster."""

from typing import TYPE_CHECKING

import click

from mqguard.cli.configuration import PROXY_FLAGS, with_configuration
from mqguard.cli.output import examples, json_option
from mqguard.cli.standalone import configure_log, print_first_start, print_ready

if TYPE_CHECKING:
    from mqguard.config.loader import Configuration


@click.command(
    epilog=examples(
        "proxy --namesrv 10.1.2.3:9876",
        "proxy --namesrv '10.1.2.3:9876;10.1.2.4:9876' --config rmq-proxy.json --data /var/lib/mqguard",
    )
)
@with_configuration(PROXY_FLAGS)
@json_option
def proxy(configuration: "Configuration", *, as_json: bool) -> None:
    """Guard a RocketMQ cluster that runs already: clients connect to the guard, and the guard to the brokers.

    The guard offers a port in place of the name servers, and one port for each broker. It decides about every request
    by its own users and policies, and passes on what is allowed. Clients need only another address for their name
    server. If the brokers check signatures, set `innerClientAuthenticationCredentials` to a Super user of theirs.

    The first start creates a Super user, as `mqguard standalone` does. Stop it with Ctrl-C or SIGTERM.
    """
    from mqguard.runtime.proxy_server import ProxyServer

    configure_log(configuration)
    ProxyServer(configuration).run(
        first_start=lambda found: print_first_start(found, as_json=as_json),
        ready=lambda found: print_ready(found, as_json=as_json),
    )
