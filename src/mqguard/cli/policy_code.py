"""`mqguard export`, `mqguard plan`, `mqguard apply`: users and policies as a document under version control."""

import dataclasses
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from mqguard.cli.connection import Connection, connected
from mqguard.cli.exits import Exit
from mqguard.cli.output import emit, json_option
from mqguard.cli.policy_changes import apply_at, meant_users
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
    from mqguard.auth.user import User
    from mqguard.config.secret import Credentials

_MANY_USERS = 5
"""Users that are named in a line; of more, the number is told."""

_file = click.option("-f", "--file", type=click.Path(path_type=Path), required=True, help="The policy file.")
_prune = click.option("--prune", is_flag=True, help="Also delete users and policies that the file does not name.")

_set_secrets = click.option(
    "--set-secrets", is_flag=True, help="Also set secrets where the server hides the ones it has, so they may be equal."
)

_confirm = click.option(
    "--confirm",
    "confirmed",
    multiple=True,
    metavar="USER=INCARNATION",
    help="A user that the file means, although `apply` did not create it; repeatable.",
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
@click.option("--incarnations", is_flag=True, help="Write which user each name means, as `apply` checks it.")
@json_option
@uncollected()
def export(source: PolicySource, secrets: str, *, incarnations: bool, as_json: bool) -> None:
    """Print users and policies as a policy file, without any secret.

    From a file it prints the same file in plain form, its entry groups put in.
    """
    from mqguard.auth.documents.writing import write_document

    directory, _ = source.load()
    secret_of = variables(directory.users) if secrets == "env" else None
    text = write_document(directory, secret_of, with_incarnations=incarnations)
    emit({"document": text}, text.rstrip("\n"), as_json=as_json, verbatim=True)


@click.command()
@_file
@click.option("--against", type=click.Path(path_type=Path), help="Compare with this policy file, not with the server.")
@click.option("--store", type=click.Path(path_type=Path), help="Compare with the data directory of a stopped server.")
@connected
@_prune
@_set_secrets
@_confirm
@json_option
@uncollected()
def plan(
    connection: Connection,
    file: Path,
    against: Path | None,
    store: Path | None,
    confirmed: tuple[str, ...],
    *,
    prune: bool,
    set_secrets: bool,
    as_json: bool,
) -> None:
    """Show what applying a policy file would change: users, entries, and which rights come and go.

    Ends with exit code 1 if there is something to do.
    """
    options = _PlanOptions(prune, set_secrets, _pairs(confirmed))
    if against is not None and store is not None:
        raise click.UsageError("a file is compared with one state: give `--against` or `--store`, not both")
    if against is not None or store is not None:
        stored, _ = PolicySource(connection, against, store).load()
        found = _plans(file, [stored], options)
        # A file knows no incarnations.
        plans = {"": dataclasses.replace(found[0], unconfirmed=()) if against is not None else found[0]}
        sender = None
    else:
        with open_brokers(connection) as brokers:
            states = [broker.directory for broker in brokers]
            found = _plans(file, states, options)
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
@_confirm
@json_option
@uncollected()
def apply(
    connection: Connection,
    file: Path,
    store: Path | None,
    confirmed: tuple[str, ...],
    *,
    prune: bool,
    set_secrets: bool,
    as_json: bool,
) -> None:
    """Bring users and policies to what a policy file says: all of it, or nothing when something is wrong.

    Applying twice is applying once. Refuses to leave no enabled Super user, and to give rights to a user that it has
    not created and nobody has confirmed: another one may have had the name before. At a server it needs one of mqguard.
    """
    options = _PlanOptions(prune, set_secrets, _pairs(confirmed))
    sender = None
    if store is not None:
        with open_manager(store) as manager:
            state = directory_of(manager.snapshot)
            found = _plans(file, [state], options)[0]
            _check_confirmed([found])
            if found.changes:
                manager.apply(found.changes, meant=meant_users(found.changes, state, found.confirmed))
        plans = {str(store): found}
    else:
        plans = _apply_at_brokers(connection, file, options)
        sender = connection.credentials()
    emit(
        {"applied": list(plans), "plans": {name: _plan_json(found) for name, found in plans.items()}},
        _plans_text(plans, sender),
        as_json=as_json,
    )


def _apply_at_brokers(connection: Connection, file: Path, options: "_PlanOptions") -> "dict[str, Plan]":
    """Bring each broker to the file. A broker that cannot be reached in the middle is brought to it by the next run."""
    with open_brokers(connection) as brokers:
        # Every plan is made before the first is carried out, so that what is wrong is wrong before anything changes.
        plans = _plans(file, [broker.directory for broker in brokers], options)
        _check_confirmed(plans)
        apply_at(brokers, [found.without_kept_secrets() for found in plans], [found.confirmed for found in plans])
        return {broker.name: found for broker, found in zip(brokers, plans, strict=True)}


class _PlanOptions(NamedTuple):
    prune: bool
    set_secrets: bool
    confirmed: frozenset[tuple[str, str]]


def _pairs(confirmed: tuple[str, ...]) -> frozenset[tuple[str, str]]:
    pairs = [text.rpartition("=") for text in confirmed]
    for text, (name, _, incarnation) in zip(confirmed, pairs, strict=True):
        if not name or not incarnation:
            raise click.UsageError(f"`{text}` confirms no user: write `--confirm USER=INCARNATION`")
    return frozenset((name, incarnation) for name, _, incarnation in pairs)


def _check_confirmed(plans: "Iterable[Plan]") -> None:
    """Refuse plans that give rights to users of whom nobody knows that they are those that the file means.

    Raises:
        PlanRefused: There are such users; the message says how to confirm them.
    """
    from mqguard.auth.documents.planning import PlanRefused

    found = {_confirm_text(user): user.name for plan in plans for user in plan.unconfirmed}
    if found:
        names = ", ".join(f"`{name}`" for name in sorted(set(found.values())))
        raise PlanRefused(
            f"nothing was changed: the file gives rights to {names}, but the name may mean another user than when "
            "the file was written: `apply` has not created the user, or a user who is not Super has set its secret "
            f"since. If it is the right one, add {' '.join(sorted(found))}"
        )


def _confirm_text(user: "User") -> str:
    return f"--confirm {shlex.quote(f'{user.name}={user.incarnation}')}"


def _plans(file: Path, states: "Iterable[Directory]", options: _PlanOptions) -> "list[Plan]":
    """The way to the file from each of these states."""
    from mqguard.auth.documents.planning import plan as plan_of
    from mqguard.auth.documents.problems import DocumentInvalid

    document, resolve = load_document(file), resolver(file)
    try:
        return [plan_of(document, state, resolve, **options._asdict()) for state in states]
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
    return {
        "steps": steps,
        **comparison_json(found.comparison),
        "secretsNotCompared": list(found.uncompared),
        "unconfirmed": [{"user": user.name, "incarnation": user.incarnation} for user in found.unconfirmed],
    }


def _plan_text(found: "Plan") -> str:
    from mqguard.cli.policy_view import comparison_text

    blocks = [_steps_text(found), comparison_text(found.comparison)] if not found.is_empty else ["nothing to do"]
    if found.uncompared:
        first, more = found.uncompared[:_MANY_USERS], len(found.uncompared) - _MANY_USERS
        names = ", ".join(f"`{visible(name)}`" for name in first) + (f" and {more} more" if more > 0 else "")
        blocks.append(f"not compared: the secrets of {names}, which cannot be seen there: `--set-secrets` sets them")
    if found.unconfirmed:
        names = visible(" ".join(map(_confirm_text, found.unconfirmed)))
        blocks.append(f"`apply` will refuse users that it has not created and nobody has confirmed: {names}")
    return "\n\n".join(blocks)


def _steps_text(found: "Plan") -> str:
    lines = []
    for step in found.steps:
        lines.append(visible(f"{step.verb} {step.what} {step.name}"))
        lines += [visible(f"    {detail}") for detail in step.details]
    return "\n".join(lines)
