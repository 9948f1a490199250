"""Help of commands."""

import shlex

import click
import pytest

from mqguard.cli.installation import completion
from mqguard.cli.main import mqguard


def leaves(command):
    """Yield the commands that are not groups."""
    for child in command.commands.values():
        yield from leaves(child) if isinstance(child, click.Group) else [child]


@pytest.mark.parametrize(
    "command",
    [one for one in leaves(mqguard) if one is not completion],
    ids=lambda command: command.callback.__module__,
)
def test_every_command_has_examples_that_click_accepts(command):
    """An example must name an existing command, with options that the command has."""
    found = [line.strip() for line in (command.epilog or "").splitlines() if line.startswith("  mqguard ")]
    assert found, f"add `epilog=examples(...)` to `{command.name}`"
    for line in found:
        words = shlex.split(line.split(" < ")[0].split(" > ")[0])[1:]
        context = click.Context(mqguard)
        part = mqguard
        while isinstance(part, click.Group):
            _, part, words = part.resolve_command(context, words)
        assert part is command
        part.make_context(part.name, words)


def test_the_help_names_the_environment_variables(capsys):
    with pytest.raises(SystemExit):
        mqguard.main(["user", "list", "--help"], prog_name="mqguard")
    shown = capsys.readouterr().out
    for name in ("NAMESRV", "CLUSTER", "ACCESS_KEY", "SECRET_KEY", "DATA", "BROKERS", "TLS", "TLS_CA", "CONTEXT"):
        assert f"MQGUARD_{name}" in shown
