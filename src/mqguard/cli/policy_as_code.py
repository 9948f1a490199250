"""`mqguard export`, `mqguard plan`, `mqguard apply`: users and policies as a file under version control."""

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mqguard.cli.connection import Connection, PolicySource, open_brokers, with_connection, with_policy_source
from mqguard.cli.output import Exit, emit, end, examples, json_option
from mqguard.model.process import gc_disabled
from mqguard.model.text import visible

if TYPE_CHECKING:
    from mqguard.auth.documents.plan import Plan
    from mqguard.config.secret import Credentials

_MAX_NAMED_USERS = 5
"""Maximum number of users that a line names; it counts the rest."""

_file = click.option("-f", "--file", type=click.Path(path_type=Path), required=True, help="The policy file.")
_prune = click.option("--prune", is_flag=True, help="Also delete users and policies that the file does not name.")

_set_secrets = click.option(
    "--set-secrets", is_flag=True, help="Also set secrets that the server hides, which cannot be compared."
)

_confirm = click.option(
    "--confirm",
    "confirmed",
    multiple=True,
    metavar="USER=INCARNATION",
    help="Confirm that the file means this user, which `apply` did not create; repeatable.",
)


@click.command(epilog=examples("export > policy.yaml"))
@with_policy_source
@click.option(
    "--secrets",
    type=click.Choice(["keep", "env"]),
    default="keep",
    show_default=True,
    help="keep: write no secrets, so that users keep theirs; env: refer to an environment variable for each user.",
)
@click.option("--incarnations", is_flag=True, help="Write the incarnation of each user, which `apply` checks.")
@json_option
@gc_disabled()
def export(source: PolicySource, secrets: str, *, incarnations: bool, as_json: bool) -> None:
    """Print users and policies as a policy file, without secrets.

    With `--file` the output is the same file in plain form, with its entry groups expanded.
    """
    from mqguard.admin.policy_files import variables
    from mqguard.auth.documents.writer import write_document

    directory, _ = source.load()
    secret_of = variables(directory.users) if secrets == "env" else None
    text = write_document(directory, secret_of, with_incarnations=incarnations)
    emit({"document": text}, text.rstrip("\n"), as_json=as_json, verbatim=True)


@click.command(epilog=examples("plan -f policy.yaml"))
@_file
@click.option("--against", type=click.Path(path_type=Path), help="Compare with this policy file, not with the server.")
@click.option("--store", type=click.Path(path_type=Path), help="Compare with the data directory of a stopped server.")
@with_connection
@_prune
@_set_secrets
@_confirm
@json_option
@gc_disabled()
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
    """Show what `apply` would change: users, entries, and the permissions that users gain or lose.

    Exit code 1: there is something to change.
    """
    from mqguard.admin.policy_files import PlanOptions, plan_file

    options = PlanOptions(prune, set_secrets, _pairs(confirmed))
    if against is not None and store is not None:
        raise click.UsageError("`--against` and `--store` are two states to compare with: give only one")
    if against is not None or store is not None:
        stored, _ = PolicySource(connection, against, store).load()
        found = plan_file(file, [stored], options)
        # A policy file has no incarnations.
        plans = {"": dataclasses.replace(found[0], unconfirmed=()) if against is not None else found[0]}
        sender = None
    else:
        with open_brokers(connection) as brokers:
            found = plan_file(file, [broker.directory for broker in brokers], options)
            plans = {broker.name: one for broker, one in zip(brokers, found, strict=True)}
        sender = connection.credentials()
    shown = list(map(_plan_json, plans.values()))
    value = shown[0] if all(one == shown[0] for one in shown) else {"plans": dict(zip(plans, shown, strict=True))}
    emit(value, _plans_text(plans, sender), as_json=as_json)
    end(Exit.DONE if all(one.is_empty for one in plans.values()) else Exit.FAILED)


@click.command(epilog=examples("apply -f policy.yaml"))
@_file
@click.option("--store", type=click.Path(path_type=Path), help="Change the data directory of a stopped server.")
@with_connection
@_prune
@_set_secrets
@_confirm
@json_option
@gc_disabled()
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
    """Bring users and policies to the state of a policy file.

    Each broker makes all changes or none. Applying a file twice has the same result as applying it once.

    The command refuses to leave the server without an enabled Super user. It also refuses to grant permissions to a
    user that it has not created, unless you confirm the user: another user may have had that name before.

    A running server must be mqguard.
    """
    from mqguard.admin.policy_files import PlanOptions, apply_to_brokers, apply_to_manager

    options = PlanOptions(prune, set_secrets, _pairs(confirmed))
    sender = None
    if store is not None:
        from mqguard.runtime.access import open_manager

        with open_manager(store) as manager:
            plans = {str(store): apply_to_manager(file, manager, options)}
    else:
        with open_brokers(connection) as brokers:
            found = apply_to_brokers(file, brokers, options)
            plans = {broker.name: one for broker, one in zip(brokers, found, strict=True)}
        sender = connection.credentials()
        _follow_own_secret(connection, found)
    emit(
        {"applied": list(plans), "plans": {name: _plan_json(found) for name, found in plans.items()}},
        _plans_text(plans, sender),
        as_json=as_json,
    )


def _follow_own_secret(connection: Connection, plans: "Iterable[Plan]") -> None:
    """Keep the caller's own secret in step, if a plan has set it."""
    from mqguard.auth.ports import PutUser

    own = connection.credentials()
    for found in plans:
        for change in found.without_kept_secrets():
            if own is not None and isinstance(change, PutUser) and change.user.name == own.name and change.user.secrets:
                connection.follow_secret(own.name, change.user.secrets[0].secret)
                return


def _pairs(confirmed: tuple[str, ...]) -> frozenset[tuple[str, str]]:
    pairs = [text.rpartition("=") for text in confirmed]
    for text, (name, _, incarnation) in zip(confirmed, pairs, strict=True):
        if not name or not incarnation:
            raise click.UsageError(f"`{text}` is not a valid confirmation: write `--confirm USER=INCARNATION`")
    return frozenset((name, incarnation) for name, _, incarnation in pairs)


def _plans_text(plans: "Mapping[str, Plan]", sender: "Credentials | None") -> str:
    """Return equal plans once, and different plans each with the name of its broker."""
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
        blocks += [visible(f"note: this changes your own user `{sender.name}` ({step})") for step in sorted(steps)]
    return "\n\n".join(blocks)


def _plan_json(found: "Plan") -> dict[str, object]:
    from mqguard.cli.policy_output import comparison_json

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
    from mqguard.admin.policy_files import confirm_option
    from mqguard.cli.policy_output import comparison_text

    blocks = [_steps_text(found), comparison_text(found.comparison)] if not found.is_empty else ["nothing to change"]
    if found.uncompared:
        first, more = found.uncompared[:_MAX_NAMED_USERS], len(found.uncompared) - _MAX_NAMED_USERS
        names = ", ".join(f"`{visible(name)}`" for name in first) + (f" and {more} more" if more > 0 else "")
        blocks.append(f"not compared: the secrets of {names}, which the server hides: use `--set-secrets` to set them")
    if found.unconfirmed:
        options = visible(" ".join(map(confirm_option, found.unconfirmed)))
        blocks.append(f"`apply` will refuse users that it has not created until you confirm them: {options}")
    return "\n\n".join(blocks)


def _steps_text(found: "Plan") -> str:
    lines = []
    for step in found.steps:
        lines.append(visible(f"{step.verb} {step.what} {step.name}"))
        lines += [visible(f"    {detail}") for detail in step.details]
    return "\n".join(lines)
