"""`mqguard migrate`: users and policies converted from ACL 1.0 files."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mqguard.cli.connection import Connection, open_brokers, with_connection
from mqguard.cli.output import Exit, emit, end, examples, json_option, table
from mqguard.model.process import gc_disabled
from mqguard.model.text import visible

if TYPE_CHECKING:
    from mqguard.auth.migration.acl_v1 import AclV1File
    from mqguard.auth.migration.conversion import MigrationOptions
    from mqguard.auth.migration.differential import Difference
    from mqguard.auth.migration.migration import Migration

_PATH = click.Path(path_type=Path)


def _with_migration_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of the migration, as its argument `options`."""

    @click.option(
        "--from-version",
        metavar="VERSION",
        help="The version of the brokers that used the files, such as 4.9.8. Without it, accounts get what every "
        "version allowed, and the report has the differences between versions.",
    )
    @click.option(
        "--white-lists",
        type=click.Choice(["report", "as-sources"]),
        default="report",
        show_default=True,
        help="Only report white lists, or make the white list of an account the sources of its Allow entries.",
    )
    @functools.wraps(command)
    def wrapped(connection: Connection, *, from_version: str | None, white_lists: str, **arguments: object) -> None:
        from mqguard.auth.migration.acl_v1 import AclV1Version
        from mqguard.auth.migration.conversion import MigrationOptions

        version = None if from_version is None else AclV1Version.parse(from_version)
        options = MigrationOptions(version, white_lists_as_sources=white_lists == "as-sources")
        command(connection, options=options, **arguments)

    return wrapped


@click.command(
    epilog=examples(
        "migrate --home /opt/rocketmq",
        "migrate --home /opt/rocketmq --from-version 4.9.8 --out policies",
        "migrate plain_acl.yml --white-lists as-sources",
    )
)
@click.argument("files", nargs=-1, type=_PATH)
@click.option("--home", type=_PATH, help="Read conf/acl and conf/plain_acl.yml of this RocketMQ home.")
@click.option("--store", type=_PATH, help="The data directory of a stopped server; its users do not change.")
@click.option(
    "--apply",
    "carry_out",
    is_flag=True,
    help="Create users and policies: at the server, or in the directory of --store.",
)
@click.option("--out", type=_PATH, help="Write policy.yaml and one file per secret into this new directory.")
@with_connection
@_with_migration_options
@json_option
@gc_disabled()
def migrate(
    connection: Connection,
    files: tuple[Path, ...],
    home: Path | None,
    store: Path | None,
    out: Path | None,
    options: "MigrationOptions",
    *,
    carry_out: bool,
    as_json: bool,
) -> None:
    """Convert ACL 1.0 FILES to users and policies.

    The output shows the converted users, the settings that cannot be converted, and the requests that will be decided
    differently. No account gains a permission, except that a consumer group may read its own dead letters. Existing
    users are never changed.

    In ACL 1.0, requests from a white list needed no credentials at all. No option of mqguard keeps that.

    Without `--apply` or `--out` the command is a dry run. Exit code 1: the dry run has notes or differences.
    """
    if carry_out and out is not None:
        raise click.UsageError("`--apply` and `--out` are two destinations: give only one")
    read = _read(files, home)
    if carry_out and store is None:
        migration = _run_at_server(read, connection, options)
    else:
        migration = _run(read, store, options, carry_out=carry_out)
    if out is not None:
        from mqguard.admin.migration import write_migration

        write_migration(migration, out)
    text = _report(migration, done="created" if carry_out else "to migrate")
    emit(_json(migration, carried_out=carry_out), text, as_json=as_json)
    noted = bool(migration.notes or migration.differences)
    end(Exit.FAILED if noted and not carry_out and out is None else Exit.DONE)


def _read(files: tuple[Path, ...], home: Path | None) -> "list[AclV1File]":
    from mqguard.admin.migration import read_files, read_home

    if bool(files) is (home is not None):
        raise click.UsageError("give either files to migrate or `--home DIR`")
    if home is None:
        return read_files(files)
    found = read_home(home)
    if not found:
        raise click.UsageError(f"`{home}` has no ACL 1.0 files: neither conf/acl nor conf/plain_acl.yml exists")
    return found


def _run(files: "list[AclV1File]", store: Path | None, options: "MigrationOptions", *, carry_out: bool) -> "Migration":
    from mqguard.admin.broker_states import state_of
    from mqguard.auth.migration.migration import NOBODY, plan_migration
    from mqguard.auth.migration.migration import migrate as run

    if store is None:
        return plan_migration(files, NOBODY, options)
    from mqguard.runtime.access import open_manager

    with open_manager(store) as manager:
        return run(files, manager, options) if carry_out else plan_migration(files, state_of(manager.snapshot), options)


def _run_at_server(files: "list[AclV1File]", connection: Connection, options: "MigrationOptions") -> "Migration":
    from mqguard.admin.migration import migrate_to_brokers

    with open_brokers(connection) as brokers:
        return migrate_to_brokers(files, brokers, options)


def _report(migration: "Migration", *, done: str) -> str:
    blocks = [f"accounts {done}: {len(migration.converted)}"]
    if migration.converted:
        rows = [
            (one.user.name, one.user.type.value, str(sum(len(p.entries) for p in one.acl.policies) if one.acl else 0))
            for one in migration.converted
        ]
        blocks.append(table(("#User", "#Type", "#Entries"), rows))
    if migration.notes:
        lines = [visible(f"{note.file}:{note.mark}: {note.kind.value}: {note.message}") for note in migration.notes]
        blocks.append("\n".join(["notes:", *lines]))
    if migration.differences:
        blocks.append("\n".join(["decided differently:", *map(_difference_text, migration.differences)]))
    else:
        blocks.append("decided differently: nothing")
    if migration.existing:
        lines = list(map(_difference_text, migration.existing))
        blocks.append("\n".join(["existing users, which stay unchanged and differ from their accounts:", *lines]))
    return "\n\n".join(blocks)


def _difference_text(found: "Difference") -> str:
    decided = f"{_word(allowed=found.before)} in {found.versions or '1.0'}, {_word(allowed=found.after)} here"
    return visible(
        f"{found.file}:{found.mark}: {found.account or 'every user'}: {_actions(found.actions)} on "
        f"{found.resource}: {decided}: {found.why}"
    )


def _json(migration: "Migration", *, carried_out: bool) -> dict[str, object]:
    return {
        "applied": carried_out,
        "accounts": [
            {
                "user": one.user.name,
                "type": one.user.type.value,
                "entries": sum(len(policy.entries) for policy in one.acl.policies) if one.acl else 0,
                "file": one.account.file,
                "line": one.account.mark.line,
            }
            for one in migration.converted
        ],
        "notes": [
            {
                "kind": note.kind.value,
                "file": note.file,
                "line": note.mark.line,
                "column": note.mark.column,
                "account": note.account,
                "message": note.message,
            }
            for note in migration.notes
        ],
        "differences": list(map(_difference_json, migration.differences)),
        "existing": list(map(_difference_json, migration.existing)),
    }


def _difference_json(found: "Difference") -> dict[str, object]:
    return {
        "account": found.account,
        "resource": found.resource,
        "actions": [action.value for action in found.actions],
        "before": _word(allowed=found.before),
        "after": _word(allowed=found.after),
        "why": found.why,
        "versions": found.versions,
        "file": found.file,
        "line": found.mark.line,
    }


def _actions(actions: "tuple[object, ...]") -> str:
    from mqguard.auth.policy import Action

    names = [action.value for action in actions if isinstance(action, Action)]
    return "All" if len(names) == len(Action) - 1 else ",".join(names)


def _word(*, allowed: bool) -> str:
    return "allowed" if allowed else "denied"
