"""`mqguard export`, `mqguard plan`, `mqguard apply`: users and policies as a document under version control."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mqguard.cli.connection import Connection, connected
from mqguard.cli.exits import Exit
from mqguard.cli.output import emit, json_option
from mqguard.cli.policy_changes import apply_at
from mqguard.cli.policy_source import (
    PolicySource,
    directory_of,
    end,
    load_document,
    located,
    open_brokers,
    open_manager,
    sourced,
)
from mqguard.cli.secret_places import resolver, variables
from mqguard.cli.uncollected import uncollected
from mqguard.model.text import visible

if TYPE_CHECKING:
    from mqguard.auth.analysis.directory import Directory
    from mqguard.auth.documents.planning import Plan

_MANY_USERS = 5
"""Users that are named in a line; of more, the number is told."""

_file = click.option("-f", "--file", type=click.Path(path_type=Path), required=True, help="The policy file.")
_prune = click.option("--prune", is_flag=True, help="Also delete users and policies that the file does not name.")

_set_secrets = click.option(
    "--set-secrets", is_flag=True, help="Also set secrets where the server hides the ones it has, so they may be equal."
)


@click.command()
@sourced
@click.option(
    "--secrets",
    type=click.Choice(["keep", "env"]),
    default="keep",
    show_default=True,
    help="How to refer to secrets: keep those that users have, or name an environment variable for each.",
)
@json_option
@uncollected
def export(source: PolicySource, secrets: str, *, as_json: bool) -> None:
    """Print users and policies as a policy file, without any secret.

    From a file it prints the same file in plain form, its entry groups put in.
    """
    from mqguard.auth.documents.writing import write_document

    directory, _ = source.load()
    text = write_document(directory, variables(directory.users) if secrets == "env" else None)
    emit({"document": text}, text.rstrip("\n"), as_json=as_json, verbatim=True)


@click.command()
@_file
@click.option("--against", type=click.Path(path_type=Path), help="Compare with this policy file, not with the server.")
@click.option("--store", type=click.Path(path_type=Path), help="Compare with the data directory of a stopped server.")
@connected
@_prune
@_set_secrets
@json_option
@uncollected
def plan(
    connection: Connection,
    file: Path,
    against: Path | None,
    store: Path | None,
    *,
    prune: bool,
    set_secrets: bool,
    as_json: bool,
) -> None:
    """Show what applying a policy file would change: users, entries, and which rights come and go.

    Ends with exit code 1 if there is something to do.
    """
    if against is not None and store is not None:
        raise click.UsageError("a file is compared with one state: give `--against` or `--store`, not both")
    stored, _ = PolicySource(connection, against, store).load()
    found = _plan(file, stored, prune=prune, set_secrets=set_secrets)
    emit(_plan_json(found), _plan_text(found), as_json=as_json)
    end(Exit.DONE if found.is_empty else Exit.FAILED)


@click.command()
@_file
@click.option("--store", type=click.Path(path_type=Path), help="The data directory of a stopped server.")
@connected
@_prune
@_set_secrets
@json_option
@uncollected
def apply(
    connection: Connection, file: Path, store: Path | None, *, prune: bool, set_secrets: bool, as_json: bool
) -> None:
    """Bring users and policies to what a policy file says: all of it, or nothing when something is wrong.

    Applying twice is applying once. Refuses to leave no enabled Super user. At a server it needs one of mqguard.
    """
    if store is not None:
        with open_manager(store) as manager:
            found = _plan(file, directory_of(manager.snapshot), prune=prune, set_secrets=set_secrets)
            if found.changes:
                manager.apply(found.changes)
        plans = [(str(store), found)]
    else:
        plans = _apply_at_brokers(connection, file, prune=prune, set_secrets=set_secrets)
    told = {_plan_text(found): None for _, found in plans}
    text = next(iter(told)) if len(told) == 1 else "\n\n".join(f"{name}:\n{_plan_text(found)}" for name, found in plans)
    emit(
        {"applied": [name for name, _ in plans], "plans": {name: _plan_json(found) for name, found in plans}},
        text,
        as_json=as_json,
    )


def _apply_at_brokers(
    connection: Connection, file: Path, *, prune: bool, set_secrets: bool
) -> "list[tuple[str, Plan]]":
    """Bring each broker to the file. A broker that cannot be reached in the middle is brought to it by the next run."""
    with open_brokers(connection) as brokers:
        # Every plan is made before the first is carried out, so that what is wrong is wrong before anything changes.
        plans = [_plan(file, broker.directory, prune=prune, set_secrets=set_secrets) for broker in brokers]
        apply_at(brokers, [found.without_kept_secrets() for found in plans])
        return [(broker.name, found) for broker, found in zip(brokers, plans, strict=True)]


def _plan(file: Path, stored: "Directory", *, prune: bool, set_secrets: bool) -> "Plan":
    from mqguard.auth.documents.planning import plan as plan_of
    from mqguard.auth.documents.problems import DocumentInvalid

    document = load_document(file)
    try:
        return plan_of(document, stored, resolver(file), prune=prune, set_secrets=set_secrets)
    except DocumentInvalid as error:
        raise located(file, error) from None


def _plan_json(found: "Plan") -> dict[str, object]:
    from mqguard.cli.policy_view import comparison_json

    steps = [
        {"verb": step.verb, "what": step.what, "name": step.name, "details": list(step.details)} for step in found.steps
    ]
    return {"steps": steps, **comparison_json(found.comparison), "secretsNotCompared": list(found.uncompared)}


def _plan_text(found: "Plan") -> str:
    from mqguard.cli.policy_view import comparison_text

    blocks = [_steps_text(found), comparison_text(found.comparison)] if not found.is_empty else ["nothing to do"]
    if found.uncompared:
        first, more = found.uncompared[:_MANY_USERS], len(found.uncompared) - _MANY_USERS
        names = ", ".join(f"`{visible(name)}`" for name in first) + (f" and {more} more" if more > 0 else "")
        blocks.append(f"not compared: the secrets of {names}, which cannot be seen there: `--set-secrets` sets them")
    return "\n\n".join(blocks)


def _steps_text(found: "Plan") -> str:
    lines = []
    for step in found.steps:
        lines.append(visible(f"{step.verb} {step.what} {step.name}"))
        lines += [visible(f"    {detail}") for detail in step.details]
    return "\n".join(lines)
