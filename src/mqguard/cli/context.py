"""`mqguard context`: named sets of connection options, for several clusters."""

from pathlib import Path
from typing import Any

import click

from mqguard.cli.connection import CONTEXT_OPTIONS, connection_options, context_values
from mqguard.cli.output import emit, examples, json_option, show_table


@click.group()
def context() -> None:
    """Keep connection options under names, one for each cluster.

    A context holds options such as `--namesrv`, `--tls-ca` and `--access-key`, and a reference to the secret, but
    never the secret itself. Options of a command, and environment variables, have precedence over the context. The
    current context does not count for a command with another `--namesrv` or `--data`.
    """


@context.command(
    "set",
    epilog=examples("context set prod -n 10.1.2.3:9876 --tls-ca ca.pem --access-key ops --secret-key env:OPS_SECRET"),
)
@click.argument("name")
@connection_options
@json_option
def put(name: str, *, as_json: bool, **values: Any) -> None:
    """Create the context NAME, or change the given options of it. The first context becomes the current one."""
    from mqguard.admin.credentials import Contexts, contexts_path, read_contexts, write_contexts

    given = {
        option.replace("_", "-"): _text(values[option])
        for option in CONTEXT_OPTIONS
        if click.get_current_context().get_parameter_source(option) is click.core.ParameterSource.COMMANDLINE
    }
    if not given:
        raise click.UsageError("there is nothing to keep: give connection options, such as `--namesrv ADDRESS`")
    secret = given.get("secret-key")
    if isinstance(secret, str) and not secret.startswith(("env:", "file:")):
        raise click.UsageError("a context keeps no secret: write `--secret-key file:PATH` or `--secret-key env:NAME`")
    path = contexts_path()
    contexts = read_contexts(path)
    options = {**contexts.options.get(name, {}), **given}
    context_values(name, options)
    write_contexts(path, Contexts(contexts.current or name, {**contexts.options, name: options}))
    emit(
        {"context": name, "options": options, "file": str(path)}, f"kept the context {name} in {path}", as_json=as_json
    )


@context.command(epilog=examples("context use prod"))
@click.argument("name")
@json_option
def use(name: str, *, as_json: bool) -> None:
    """Make NAME the current context.

    Exit code 4: there is no such context.
    """
    from mqguard.admin.credentials import contexts_path, read_contexts, write_contexts

    contexts = read_contexts(contexts_path())
    contexts.get(name)
    write_contexts(contexts_path(), contexts._replace(current=name))
    emit({"context": name}, f"commands now use the context {name}", as_json=as_json)


@context.command("list", epilog=examples("context list"))
@json_option
def find(*, as_json: bool) -> None:
    """List the contexts. The current one has a star."""
    from mqguard.admin.credentials import contexts_path, read_contexts

    contexts = read_contexts(contexts_path())
    rows = []
    for name, options in sorted(contexts.options.items()):
        is_current = name == contexts.current
        if as_json:
            emit({"context": name, "current": is_current, "options": options}, "", as_json=True)
        text = " ".join(f"--{key} {value}" for key, value in options.items())
        rows.append(("*" if is_current else "", name, text))
    if not as_json:
        show_table(("", "#Context", "#Options"), rows)


@context.command(epilog=examples("context delete prod"))
@click.argument("name")
@json_option
def delete(name: str, *, as_json: bool) -> None:
    """Delete the context NAME. Nothing at the cluster changes.

    Exit code 4: there is no such context.
    """
    from mqguard.admin.credentials import Contexts, contexts_path, read_contexts, write_contexts

    contexts = read_contexts(contexts_path())
    contexts.get(name)
    rest = {one: options for one, options in contexts.options.items() if one != name}
    write_contexts(contexts_path(), Contexts("" if contexts.current == name else contexts.current, rest))
    emit({"context": name}, f"deleted the context {name}", as_json=as_json)


def _text(value: object) -> object:
    """Return the value of an option as the file of contexts has it: texts, or lists of texts."""
    if isinstance(value, tuple):
        return [str(one) for one in value]
    if isinstance(value, Path):
        return str(value.absolute())
    if isinstance(value, str) and value.startswith("file:"):
        return f"file:{Path(value.removeprefix('file:')).absolute()}"
    return str(value).lower() if isinstance(value, bool) else str(value)
