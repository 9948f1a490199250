"""`mqguard config`, `mqguard version`, `mqguard completion`: commands about this installation."""

import json
import platform
from typing import TYPE_CHECKING

import click
from click.shell_completion import get_completion_class

from mqguard import __version__
from mqguard.cli.configuration import with_configuration
from mqguard.cli.output import emit, examples, json_option, show_table

if TYPE_CHECKING:
    from mqguard.config.loader import Configuration

ROCKETMQ_VERSION = "5.5.0"

_START_FILE_LINES = {
    "bash": 'eval "$(mqguard completion bash)"',
    "zsh": 'eval "$(mqguard completion zsh)"',
    "fish": "mqguard completion fish | source",
}


@click.command(epilog=examples("config --config broker.conf"))
@with_configuration()
@click.option(
    "--for",
    "role",
    type=click.Choice(["standalone", "namesrv", "broker"]),
    default="standalone",
    show_default=True,
    help="The command that will start with this configuration.",
)
@click.option("--all", "show_all", is_flag=True, help="Also show the options that have their default value.")
@json_option
def config(configuration: "Configuration", *, role: str, show_all: bool, as_json: bool) -> None:
    """Check a configuration, and show each value and its source. Secrets are hidden.

    The command makes the same checks as a start of the server, and prints the same warnings. It creates nothing.

    Exit code 2: the configuration is not valid, so a server would not start.
    """
    from mqguard.config.loader import OPTIONS
    from mqguard.runtime import plugins, settings

    found = configuration
    registers = role == "broker"
    settings.check(found, needs_namesrv=registers)
    plugins.load(found)
    shown = [option for option in OPTIONS if show_all or found.is_set(option)]
    rows = [(option.name, found.text(option) or "-", found.source(option)) for option in shown]
    notices = [{"level": notice.level.value, "text": notice.text} for notice in found.notices]
    warnings = settings.startup_warnings(found, registers=registers)
    notices += [{"level": "warning", "text": warning} for warning in warnings]
    values = {name: {"value": value, "source": source} for name, value, source in rows}
    text = "" if rows else "no option is set: all have their default values"
    emit({"options": values, "notices": notices}, text, as_json=as_json)
    if rows and not as_json:
        show_table(("#Option", "#Value", "#Source"), rows)
    if not as_json:
        for notice in notices:
            click.echo(f"{notice['level']}: {notice['text']}", err=True)


@click.command(epilog=examples("version"))
@json_option
def version(*, as_json: bool) -> None:
    """Show the version of mqguard, and the version of RocketMQ that it is compatible with."""
    found = {"mqguard": __version__, "rocketmq": ROCKETMQ_VERSION, "python": platform.python_version()}
    text = f"mqguard {__version__} (compatible with RocketMQ {ROCKETMQ_VERSION}, Python {platform.python_version()})"
    click.echo(json.dumps(found) if as_json else text)


@click.command(
    epilog="Add to the start file of the shell: " + "; ".join(f"{k}: {v}" for k, v in _START_FILE_LINES.items())
)
@click.argument("shell", type=click.Choice(list(_START_FILE_LINES)))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print a script that makes SHELL complete commands and options."""
    kind = get_completion_class(shell)
    if kind is None:  # pragma: no cover - click knows all three
        raise click.UsageError(f"no completion for `{shell}`")
    click.echo(kind(ctx.find_root().command, {}, "mqguard", "_MQGUARD_COMPLETE").source())
