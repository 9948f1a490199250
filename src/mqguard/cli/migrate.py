"""`mqguard migrate`: users and policies from the files of ACL 1.0."""

import errno
import os
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mqguard.cli.connection import Connection, connected
from mqguard.cli.exits import Exit
from mqguard.cli.output import emit, json_option, table
from mqguard.cli.policy_changes import apply_at
from mqguard.cli.policy_source import directory_of, end, open_brokers, open_manager
from mqguard.cli.secret_places import is_secret
from mqguard.model.collector import uncollected
from mqguard.model.text import visible

if TYPE_CHECKING:
    from mqguard.auth.analysis.directory import Directory
    from mqguard.auth.documents.document import SecretReference
    from mqguard.auth.documents.writing import SecretOf
    from mqguard.auth.migration.migrating import Migration
    from mqguard.auth.migration.plain import PlainFile
    from mqguard.auth.migration.report import Difference

_PATH = click.Path(path_type=Path)


@click.command()
@click.argument("files", nargs=-1, type=_PATH)
@click.option("--home", type=_PATH, help="A RocketMQ home: reads conf/acl and conf/plain_acl.yml under it.")
@click.option("--store", type=_PATH, help="The data directory of a stopped server, whose users stay as they are.")
@click.option(
    "--apply",
    "carry_out",
    is_flag=True,
    help="Store users and policies: at the server, or in the directory of --store.",
)
@click.option("--out", type=_PATH, help="Write policy.yaml and a file for each secret into this new directory.")
@connected
@json_option
@uncollected()
def migrate(
    connection: Connection,
    files: tuple[Path, ...],
    home: Path | None,
    store: Path | None,
    out: Path | None,
    *,
    carry_out: bool,
    as_json: bool,
) -> None:
    """Show what ACL 1.0 FILES come to: users, policies, what cannot be kept, and what is decided differently.

    No account gains a right, but that dead letters belong to their group. Without `--apply` or `--out` this is a dry
    run, which ends with exit code 1 if there is anything to note. Users that exist are never changed.
    """
    if carry_out and out is not None:
        raise click.UsageError("accounts go to one place: give `--apply` or `--out`, not both")
    read = _read(files, home)
    if carry_out and store is None:
        migration = _run_at_server(read, connection)
    else:
        migration = _run(read, store, carry_out=carry_out)
    if out is not None:
        _write(migration, out)
    text = _report(migration, done="stored" if carry_out else "to carry over")
    emit(_json(migration, carried_out=carry_out), text, as_json=as_json)
    noted = bool(migration.notes or migration.differences)
    end(Exit.FAILED if noted and not carry_out and out is None else Exit.DONE)


def _read(files: tuple[Path, ...], home: Path | None) -> "list[PlainFile]":
    from mqguard.auth.migration.plain import read_plain
    from mqguard.config.acl_v1_files import read_acl_v1, read_acl_v1_file

    if bool(files) is (home is not None):
        raise click.UsageError("say what to migrate: files, or `--home DIR`, one of them")
    if home is None:
        return [read_plain(str(path), read_acl_v1_file(path)) for path in files]
    found = read_acl_v1(home)
    if not found:
        raise click.UsageError(f"there is no ACL file under `{home}`: neither conf/acl nor conf/plain_acl.yml")
    return [read_plain(file.name, file.text, unordered=file.unordered) for file in found]


def _run(files: "list[PlainFile]", store: Path | None, *, carry_out: bool) -> "Migration":
    from mqguard.auth.migration.migrating import migrate as run
    from mqguard.auth.migration.migrating import plan_migration

    if store is None:
        return plan_migration(files)
    with open_manager(store) as manager:
        return run(files, manager) if carry_out else plan_migration(files, directory_of(manager.snapshot))


def _run_at_server(files: "list[PlainFile]", connection: Connection) -> "Migration":
    from mqguard.auth.migration.migrating import plan_migration

    with open_brokers(connection) as brokers:
        # An account that one broker has and another lacks is made where it is lacking.
        migrations = [plan_migration(files, broker.directory) for broker in brokers]
        apply_at(brokers, [migration.changes for migration in migrations])
    return max(migrations, key=lambda migration: len(migration.converted))


def _report(migration: "Migration", *, done: str) -> str:
    blocks = [f"accounts {done}: {len(migration.converted)}"]
    if migration.converted:
        rows = [
            (one.user.name, one.user.type.value, str(sum(len(p.entries) for p in one.acl.policies) if one.acl else 0))
            for one in migration.converted
        ]
        blocks.append(table(("#User", "#Type", "#Entries"), rows))
    if migration.notes:
        lines = [visible(f"{note.file}:{note.mark}: {note.topic.value}: {note.message}") for note in migration.notes]
        blocks.append("\n".join(["to note:", *lines]))
    if migration.differences:
        blocks.append("\n".join(["decided differently:", *map(_difference_text, migration.differences)]))
    else:
        blocks.append("decided differently: nothing")
    if migration.standing:
        lines = list(map(_difference_text, migration.standing))
        blocks.append("\n".join(["users that exist and stay, where they differ from their accounts:", *lines]))
    return "\n\n".join(blocks)


def _difference_text(found: "Difference") -> str:
    return visible(
        f"{found.file}:{found.mark}: {found.account or 'everybody'}: {_actions(found.actions)} on "
        f"{found.resource}: {_word(allowed=found.before)} in 1.0, {_word(allowed=found.after)} here: {found.why}"
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
                "topic": note.topic.value,
                "file": note.file,
                "line": note.mark.line,
                "column": note.mark.column,
                "account": note.account,
                "message": note.message,
            }
            for note in migration.notes
        ],
        "differences": list(map(_difference_json, migration.differences)),
        "standing": list(map(_difference_json, migration.standing)),
    }


def _difference_json(found: "Difference") -> dict[str, object]:
    return {
        "account": found.account,
        "resource": found.resource,
        "actions": [action.value for action in found.actions],
        "before": _word(allowed=found.before),
        "after": _word(allowed=found.after),
        "why": found.why,
        "file": found.file,
        "line": found.mark.line,
    }


def _actions(actions: "tuple[object, ...]") -> str:
    from mqguard.auth.action import Action

    names = [action.value for action in actions if isinstance(action, Action)]
    return "All" if len(names) == len(Action) - 1 else ",".join(names)


def _word(*, allowed: bool) -> str:
    return "allowed" if allowed else "denied"


def _write(migration: "Migration", out: Path) -> None:
    """Write the accounts as a policy file, and each secret into a file that its owner alone can read."""
    from mqguard.auth.analysis.directory import Directory
    from mqguard.auth.documents.document import SecretPlace, SecretReference
    from mqguard.auth.errors import PolicyInvalid

    names = {one.user.name: f"secrets/{_file_name(at, one.user.name)}" for at, one in enumerate(migration.converted, 1)}

    def place_of(name: str) -> "SecretReference":
        return SecretReference(SecretPlace.FILE, names[name])

    directory = Directory.of(
        [one.user for one in migration.converted], [one.acl for one in migration.converted if one.acl is not None]
    )
    for one in migration.converted:
        if not is_secret(one.user.secrets[0].secret.reveal()):
            raise PolicyInvalid(
                f"the secret of `{one.user.name}` is no line of text, so no file can hold it: `--apply` stores it"
            )
    try:
        _write_all(out, directory, place_of, names)
    except OSError as error:
        raise PolicyInvalid(f"`{out}` cannot be written: {error.strerror}") from None


def _write_all(out: Path, directory: "Directory", place_of: "SecretOf", names: dict[str, str]) -> None:
    """Write the whole directory under another name first, so that there is all of it or none."""
    from mqguard.auth.documents.writing import write_document

    if out.exists() or out.is_symlink():
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as made:
        whole = Path(made) / "whole"
        whole.mkdir(mode=0o700)
        (whole / "secrets").mkdir(mode=0o700)
        for name, place in names.items():
            _write_secret(whole / place, directory.users[name].secrets[0].secret.reveal())
        (whole / "policy.yaml").write_text(write_document(directory, place_of), encoding="utf-8")
        whole.rename(out)


def _write_secret(path: Path, secret: str) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(file, "w", encoding="utf-8") as stream:
        stream.write(secret + "\n")


def _file_name(number: int, name: str) -> str:
    return f"{number:03}-{re.sub(r'[^A-Za-z0-9_-]', '_', name)[:80]}"
