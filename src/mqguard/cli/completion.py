"""`mqguard completion`."""

import click
from click.shell_completion import get_completion_class

_HOW = {
    "bash": 'eval "$(mqguard completion bash)"',
    "zsh": 'eval "$(mqguard completion zsh)"',
    "fish": "mqguard completion fish | source",
}


@click.command(epilog="Put into the start file of the shell: " + "; ".join(f"{k}: {v}" for k, v in _HOW.items()))
@click.argument("shell", type=click.Choice(list(_HOW)))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print what makes SHELL complete commands and options."""
    kind = get_completion_class(shell)
    if kind is None:  # pragma: no cover - click knows all three
        raise click.UsageError(f"no completion for `{shell}`")
    click.echo(kind(ctx.find_root().command, {}, "mqguard", "_MQGUARD_COMPLETE").source())
