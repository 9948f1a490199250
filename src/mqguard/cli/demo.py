"""`mqguard demo`: an allowed and a denied message on a running server."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from mqguard.cli.connection import Connection, with_connection
from mqguard.cli.output import emit, json_option

if TYPE_CHECKING:
    from mqguard.admin.client import Client
    from mqguard.admin.demo_scenario import DemoStep


@click.command()
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
