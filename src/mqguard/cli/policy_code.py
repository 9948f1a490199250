"""`mqguard export`, `mqguard plan`, `mqguard apply`: users and policies as a document under version control."""

from collections.abc import Iterable, Mapping
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
from mqguard.model.collector import uncollected
from mqguard.model.text import visible

if TYPE_CHECKING:
    from mqguard.auth.analysis.directory import Directory
    from mqguard.auth.documents.planning import Plan
    from mqguard.config.secret import Credentials

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
@uncollected()
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
@uncollected()
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
    if against is not None or store is not None:
        stored, _ = PolicySource(connection, against, store).load()
        plans = {"": _plans(file, [stored], prune=prune, set_secrets=set_secrets)[0]}
        sender = None
    else:
        with open_brokers(connection) as brokers:
            states = [broker.directory for broker in brokers]
            found = _plans(file, states, prune=prune, set_secrets=set_secrets)
            plans = {broker.name: one for broker, one in zip(brokers, found, strict=True)}
        sender = connection.credentials()
    shown = list(map(_plan_json, plans.values()))
    value = shown[0] if all(one == shown[0] for one in shown) else {"plans": dict(zip(plans, shown, strict=True))}
    emit(value, _plans_text(plans, sender), as_json=as_json)
    end(Exit.DONE if all(one.is_empty for one in plans.values()) else Exit.FAILED)


@click.command()
@_file
@click.option("--store", type=click.Path(path_type=Path), help="The data directory of a stopped server.")
@connected
@_prune
@_set_secrets
@json_option
@uncollected()
def apply(
    connection: Connection, file: Path, store: Path | None, *, prune: bool, set_secrets: bool, as_json: bool
) -> None:
    """Bring users and policies to what a policy file says: all of it, or nothing when something is wrong.

    Applying twice is applying once. Refuses to leave no enabled Super user. At a server it needs one of mqguard.
    """
    sender = None
    if store is not None:
        with open_manager(store) as manager:
            found = _plans(file, [directory_of(manager.snapshot)], prune=prune, set_secrets=set_secrets)[0]
            if found.changes:
                manager.apply(found.changes)
        plans = {str(store): found}
    else:
        plans = _apply_at_brokers(connection, file, prune=prune, set_secrets=set_secrets)
        sender = connection.credentials()
    emit(
        {"applied": list(plans), "plans": {name: _plan_json(found) for name, found in plans.items()}},
        _plans_text(plans, sender),
        as_json=as_json,
    )


def _apply_at_brokers(connection: Connection, file: Path, *, prune: bool, set_secrets: bool) -> "dict[str, Plan]":
    """Bring each broker to the file. A broker that cannot be reached in the middle is brought to it by the next run."""
    with open_brokers(connection) as brokers:
        # Every plan is made before the first is carried out, so that what is wrong is wrong before anything changes.
        plans = _plans(file, [broker.directory for broker in brokers], prune=prune, set_secrets=set_secrets)
        apply_at(brokers, [found.without_kept_secrets() for found in plans])
        return {broker.name: found for broker, found in zip(brokers, plans, strict=True)}


def _plans(file: Path, states: "Iterable[Directory]", *, prune: bool, set_secrets: bool) -> "list[Plan]":
    """The way to the file from each of these states."""
    from mqguard.auth.documents.planning import plan as plan_of
    from mqguard.auth.documents.problems import DocumentInvalid

    document, resolve = load_document(file), resolver(file)
    try:
        return [plan_of(document, state, resolve, prune=prune, set_secrets=set_secrets) for state in states]
    except DocumentInvalid as error:
        raise located(file, error) from None


def _plans_text(plans: "Mapping[str, Plan]", sender: "Credentials | None") -> str:
    """Plans that are the same are shown once, others by the name of the broker."""
    texts = [_plan_text(found) for found in plans.values()]
    blocks = (
        texts[:1] if len(set(texts)) == 1 else [f"{visible(n)}:\n{text}" for n, text in zip(plans, texts, strict=True)]
    )
    if sender is not None:
        steps = {
            f"{step.verb}: {', '.join(step.details)}" if step.details else step.verb
            for found in plans.values()
            for step in found.steps
            if (step.what, step.name) == ("user", sender.name)
        }
        blocks += [visible(f"mind that you sign in as `{sender.name}` ({step})") for step in sorted(steps)]
    return "\n\n".join(blocks)


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
