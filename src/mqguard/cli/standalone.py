"""`mqguard standalone`, `mqguard demo`: a name server and a broker in one process, and a demonstration of them."""

import json
import os
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from mqguard import __version__
from mqguard.cli.configuration import with_configuration
from mqguard.cli.connection import Connection, with_connection
from mqguard.cli.output import emit, examples, json_option

if TYPE_CHECKING:
    from mqguard.admin.client import Client
    from mqguard.admin.demo_scenario import DemoStep
    from mqguard.config.loader import Configuration
    from mqguard.runtime.server import Companion, CreatedAdmin, Ready


@click.command(
    epilog=examples(
        "standalone", "standalone --config broker.conf", "standalone --data /var/lib/mqguard --bind 0.0.0.0"
    )
)
@with_configuration()
@click.option(
    "--brokers",
    type=click.IntRange(1, 16),
    default=1,
    show_default=True,
    help="The number of brokers. Several are processes of their own, with the same users and policies.",
)
@click.option("--demo", is_flag=True, help="Show an allowed and a denied message, then continue to serve.")
@json_option
def standalone(configuration: "Configuration", *, brokers: int, demo: bool, as_json: bool) -> None:
    """Run a name server and a broker with access control in one process, or several brokers with `--brokers`.

    The first start creates a Super user with a random secret and stores the secret in the data directory. It prints
    the secret once, and only to a terminal. Stop the server with Ctrl-C or SIGTERM.
    """
    if brokers > 1 and demo:
        raise click.UsageError("`--demo` needs one broker: leave out `--brokers`, or run `mqguard demo` afterwards")
    if brokers > 1:
        _supervise(configuration, brokers, as_json=as_json)
        return
    demonstrate = (lambda found, stopping: _demonstrate(found, stopping, as_json=as_json)) if demo else None
    serve(configuration, "standalone", as_json=as_json, then=demonstrate)


def _supervise(configuration: "Configuration", brokers: int, *, as_json: bool) -> None:
    from mqguard.runtime.supervisor import Supervisor

    configure_log(configuration)
    Supervisor(configuration, brokers).run(
        first_start=lambda found: print_first_start(found, as_json=as_json),
        ready=lambda found: print_ready(found, as_json=as_json),
    )


def configure_log(configuration: "Configuration") -> None:
    """Set the level and form of the log."""
    from mqguard.config import server_options
    from mqguard.telemetry import log

    log.configure(
        configuration.get(server_options.LOG_LEVEL).upper(), as_json=configuration.get(server_options.LOG_JSON)
    )


def serve(configuration: "Configuration", role: str, *, as_json: bool, then: "Companion | None" = None) -> None:
    """Run a server until it is stopped.

    Args:
        configuration: The configuration.
        role: `standalone`, `namesrv` or `broker`.
        as_json: True to print JSON.
        then: Run in a thread once the server is ready.
    """
    from mqguard.runtime.components import Role
    from mqguard.runtime.server import Server

    configure_log(configuration)
    Server(configuration, Role(role)).run(
        first_start=lambda found: print_first_start(found, as_json=as_json),
        ready=lambda found: print_ready(found, as_json=as_json),
        then=then,
    )


def print_first_start(found: "CreatedAdmin", *, as_json: bool) -> None:
    """Print the Super user that a first start has created."""
    name = found.credentials.name
    # Anything but a terminal may be a log, which others read and keep.
    secret = found.credentials.secret.reveal() if sys.stdout.isatty() else None
    if as_json:
        line = {"event": "first-start", "accessKey": name, "file": str(found.path)}
        click.echo(json.dumps(line if secret is None else {**line, "secretKey": secret}))
        return
    shown = f"with the secret `{secret}`" if secret is not None else "with a random secret"
    click.echo(
        f"first start: created the Super user `{name}` {shown}\n"
        f"  stored in {found.path}, readable only by you; it is not shown again\n"
        f"  `mqguard` commands read it from there; for Apache's mqadmin, copy the file to $ROCKETMQ_HOME/conf/tools.yml"
    )


def print_ready(found: "Ready", *, as_json: bool) -> None:
    """Print the addresses of a server that is ready."""
    served = {
        key: address
        for key, address in (
            ("namesrv", found.namesrv),
            ("broker", found.broker),
            ("grpc", found.grpc),
            ("management", found.management),
        )
        if address
    }
    if as_json:
        several = {"brokers": list(found.brokers)} if found.brokers else {}
        line = {
            "event": "ready",
            "version": __version__,
            "pid": os.getpid(),
            "cluster": found.cluster,
            **served,
            **several,
            "bind": found.bind,
            "data": str(found.data),
            "authentication": found.authentication,
            "authorization": found.authorization,
        }
        click.echo(json.dumps(line))
        return
    guarded = [
        f"{what} {'on' if on else 'OFF'}"
        for what, on in (("authentication", found.authentication), ("authorization", found.authorization))
    ]
    if found.brokers:
        served["broker"] = ", ".join(found.brokers)
    servers = ", ".join(f"{_SERVERS[key]} {address}" for key, address in served.items())
    click.echo(
        f"mqguard {__version__} serves {found.cluster}: {servers}, "
        f"listening on {found.bind}, data in {found.data}, {', '.join(guarded)}"
    )


_SERVERS = {"namesrv": "name server", "broker": "broker", "grpc": "gRPC", "management": "metrics and health"}


def _demonstrate(found: "Ready", stopping: threading.Event, *, as_json: bool) -> None:
    """Run the demo against this server, which continues to serve whatever the result is."""
    from mqguard.admin.client import Client
    from mqguard.admin.session import ConnectionOptions
    from mqguard.cli.output import report

    try:
        with Client(found.namesrv, ConnectionOptions(found.administrator)) as client:
            show(client, found.namesrv, found.cluster, as_json=as_json, stopped=stopping.is_set)
    except Exception as exc:  # noqa: BLE001 - the server continues
        if not stopping.is_set():
            report(exc, as_json=as_json)
        return
    if not as_json:
        click.echo("the demo is complete; the server runs until Ctrl-C")


@click.command(epilog=examples("demo"))
@with_connection
@json_option
def demo(connection: Connection, *, as_json: bool) -> None:
    """Demonstrate a running server: one message is allowed, one is denied, and the output explains both.

    The command creates a topic and two users with policies, and deletes them at the end, also after an interruption.
    Each step shows the equivalent command of Apache's mqadmin. You need the permissions of a Super user.
    """
    with connection.client() as client:
        show(client, connection.namesrv, connection.cluster, as_json=as_json)


def show(
    client: "Client",
    namesrv: str,
    cluster: str | None,
    *,
    as_json: bool,
    stopped: Callable[[], bool] = lambda: False,
) -> None:
    """Run the demo and print its steps.

    Args:
        client: Client in the name of a Super user.
        namesrv: Address of the name server, `host:port`.
        cluster: Name of the cluster; None if there is only one.
        as_json: True to print JSON.
        stopped: Returns True to end early.
    """
    from mqguard.admin.demo_scenario import DemoScenario

    numbers = iter(range(1, 100))
    DemoScenario(client, namesrv, cluster, lambda step: _print(next(numbers), step, as_json=as_json), stopped).run()


def _print(number: int, step: "DemoStep", *, as_json: bool) -> None:
    value = {"event": "demo", "step": number, **{name: item for name, item in step._asdict().items() if item}}
    lines = [f"{number:>2}. {step.description}"]
    lines += [f"      $ mqadmin {line}" for line in step.mqadmin]
    if step.outcome != "done":
        lines.append(f"      {step.outcome}: {step.message}")
    if step.reason:
        lines.append(f"      reason: {step.reason}")
    if step.decision:
        lines.append(f"      full explanation: mqguard why {step.decision}")
    if step.remedy:
        lines.append(f"      to allow it: mqadmin {step.remedy}")
    emit(value, "\n".join(lines), as_json=as_json)
