"""`mqguard demo`."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from mqguard.cli.connection import Connection, connected
from mqguard.cli.output import emit, json_option

if TYPE_CHECKING:
    from mqguard.admin.client import Client
    from mqguard.cli.demo_story import Step


@click.command()
@connected
@json_option
def demo(connection: Connection, *, as_json: bool) -> None:
    """Show on a running server what it is for: one message admitted, one refused, and why.

    Makes a topic and two users with policies, and removes them again, also when it is interrupted. Each step shows the
    line of Apache's mqadmin that does the same. Needs the rights of a super user.
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
    """Play the demo and print its steps.

    Args:
        client: A client in the name of a super user.
        namesrv: `host:port` of the name server.
        cluster: Name of the cluster; None is the only one.
        as_json: Whether to print JSON.
        stopped: Whether to end early.
    """
    from mqguard.cli.demo_story import Story

    numbers = iter(range(1, 100))
    Story(client, namesrv, cluster, lambda step: _print(next(numbers), step, as_json=as_json), stopped).play()


def _print(number: int, step: "Step", *, as_json: bool) -> None:
    value = {"event": "demo", "step": number, **{name: item for name, item in step._asdict().items() if item}}
    lines = [f"{number:>2}. {step.what}"]
    lines += [f"      $ mqadmin {line}" for line in step.mqadmin]
    if step.outcome != "done":
        lines.append(f"      {step.outcome}: {step.said}")
    if step.why:
        lines.append(f"      why: {step.why}")
    if step.decision:
        lines.append(f"      the whole story: mqguard why {step.decision}")
    if step.remedy:
        lines.append(f"      would allow it: mqadmin {step.remedy}")
    emit(value, "\n".join(lines), as_json=as_json)
