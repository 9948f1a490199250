"""`mqguard config`: what a configuration comes to."""

import os
from pathlib import Path

import click

from mqguard.cli.output import emit, json_option, table


@click.command()
@click.option("--config", "path", type=click.Path(path_type=Path), envvar="MQGUARD_CONFIG", help="A broker.conf.")
@click.option("--all", "show_all", is_flag=True, help="Show options that have their default, too.")
@json_option
def config(path: Path | None, *, show_all: bool, as_json: bool) -> None:
    """Check a configuration and show what is set, and where. Secrets are hidden.

    Reads the file and the environment as a server would, and ends with exit code 2 and one line if it would not start.
    """
    from mqguard.config.loader import load
    from mqguard.config.options import OPTIONS

    found = load(path, os.environ)
    shown = [option for option in OPTIONS if show_all or found.is_set(option)]
    rows = [(option.name, found.text(option) or "-", found.source(option)) for option in shown]
    notices = [{"level": notice.level.value, "text": notice.text} for notice in found.notices]
    values = {name: {"value": value, "source": source} for name, value, source in rows}
    text = table(("#Option", "#Value", "#Source"), rows) if rows else "nothing is set: every option has its default"
    emit({"options": values, "notices": notices}, text, as_json=as_json)
    if not as_json:
        for notice in found.notices:
            click.echo(f"{notice.level.value}: {notice.text}", err=True)
