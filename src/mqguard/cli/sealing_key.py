"""`mqguard sealing-key`: the key that seals stored secrets, of a stopped server."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mqguard.cli.output import Exit, emit, end, examples, json_option, table, warn
from mqguard.cli.secret_options import read_secret
from mqguard.model.text import visible

if TYPE_CHECKING:
    from mqguard.auth.user import Secret
    from mqguard.runtime.sealing_key import Resealed

_store = click.option(
    "--store", type=click.Path(path_type=Path), required=True, help="The data directory of a stopped server."
)
_new_key = click.option(
    "--new-key",
    help="The new key, 32 random bytes in Base64 or hex: `env:NAME`, `file:PATH` or `-` [default: a random key].",
)


@click.group("sealing-key")
def sealing_key() -> None:
    """Check, rotate or reset the key that seals the stored secrets of users.

    All of these commands need a stopped server and its data directory.
    """


@sealing_key.command(epilog=examples("sealing-key check --store mqguard-data --key file:sealing.key.backup"))
@_store
@click.option("--key", help="Check this key instead: `env:NAME`, `file:PATH` or `-`.")
@json_option
def check(store: Path, key: str | None, *, as_json: bool) -> None:
    """Show which key seals the secrets, and check that the key of the server or a given key is that key.

    Keys are shown by their ids, which reveal nothing of a key. Exit code 1: the key is another one, or is missing.
    """
    from mqguard.runtime.sealing_key import key_ids

    sealed_with, key_id = key_ids(store, None if key is None else read_secret(key, "key", "the sealing key").reveal())
    shown = "there is no key" if key_id is None else f"the key is `{key_id}`"
    fits = "it opens them" if key_id == sealed_with else "it does not open them"
    text = f"the secrets are sealed with the key `{sealed_with}`; {shown}" + ("" if key_id is None else f": {fits}")
    emit({"sealedWith": sealed_with, "key": key_id, "fits": key_id == sealed_with}, text, as_json=as_json)
    end(Exit.DONE if key_id == sealed_with else Exit.FAILED)


@sealing_key.command(
    epilog=examples(
        "sealing-key rotate --store mqguard-data", "sealing-key rotate --store mqguard-data --new-key env:NEW_KEY"
    )
)
@_store
@_new_key
@json_option
def rotate(store: Path, new_key: str | None, *, as_json: bool) -> None:
    """Seal all secrets with a new key. Users keep their secrets.

    The new key replaces `sealing.key`. If MQGUARD_SEALING_KEY has the key, give the new one with `--new-key`, and put
    it into the variable before the next start. Backups from before still need the old key.
    """
    from mqguard.runtime.sealing_key import rotate_sealing_key

    done = rotate_sealing_key(store, _text_of(new_key))
    value = {**_json(done), "users": len(done.users)}
    count = "1 user" if len(done.users) == 1 else f"{len(done.users)} users"
    emit(value, f"sealed the secrets of {count} with the new key `{done.new}`\n{_key_text(done)}", as_json=as_json)


@sealing_key.command(
    epilog=examples(
        "sealing-key reset --store mqguard-data --out new-secrets",
        "sealing-key reset --store mqguard-data --out new-secrets --disable",
    )
)
@_store
@_new_key
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    help="Write the new secrets into this new directory, one file per user.",
)
@click.option("--disable", is_flag=True, help="Disable all users but Super users, and give them secrets later.")
@json_option
def reset(store: Path, new_key: str | None, out: Path, *, disable: bool, as_json: bool) -> None:
    """Give every user a new secret, because the sealing key is lost.

    Policies, types and status of users stay. The command refuses if the key of the server opens the secrets. It keeps
    the old state in `access.before-reset` in the data directory, in case the key is found.

    Disabled users stay disabled, and no file has their new secret: set one with `mqguard user update`. If tools.yml in
    the data directory names a user, it gets the new secret.
    """
    from mqguard.admin.credentials import write_secret_files
    from mqguard.runtime.sealing_key import SAVED, reset_secrets

    files: dict[str, Path] = {}
    secrets: Mapping[str, Secret] = {}

    def keep(found: "Mapping[str, Secret]") -> None:
        nonlocal secrets
        secrets = found
        files.update(write_secret_files(out, found))

    done, users = reset_secrets(store, _text_of(new_key), disable=disable, keep=keep)
    _follow(store, secrets)
    rows = [
        (one.user.name, one.user.type.value, one.user.status.value, str(files.get(one.user.name, "-"))) for one in users
    ]
    value = {**_json(done), "saved": str(store / SAVED), "users": list(map(_user_json, rows))}
    lines = [
        table(("#User", "#Type", "#Status", "#New secret in"), rows),
        f"users and policies with the old secrets are kept in {store / SAVED}: delete them when they are not needed",
        _key_text(done),
    ]
    emit(value, "\n".join(lines), as_json=as_json)


def _text_of(new_key: str | None) -> str | None:
    return None if new_key is None else read_secret(new_key, "new_key", "the new sealing key").reveal()


def _key_text(done: "Resealed") -> str:
    if done.file is not None:
        return f"the new key is in {done.file}: keep a copy in another place than your backups"
    return "put the new key into MQGUARD_SEALING_KEY before the next start"


def _json(done: "Resealed") -> dict[str, object]:
    return {"oldKey": done.old, "newKey": done.new, "file": None if done.file is None else str(done.file)}


def _user_json(row: Sequence[str]) -> dict[str, object]:
    name, kind, status, file = row
    return {"user": name, "type": kind, "status": status, "file": None if file == "-" else file}


def _follow(store: Path, secrets: "Mapping[str, Secret]") -> None:
    """Write the new secret of the user in tools.yml of the data directory into that file."""
    from mqguard.admin.credentials import (
        CREDENTIALS_FILE,
        CredentialsInvalid,
        read_credentials_file,
        write_credentials_file,
    )
    from mqguard.config.secret import Credentials

    path = store / CREDENTIALS_FILE
    try:
        own = read_credentials_file(path)
        secret = None if own is None else secrets.get(own.name)
        if own is not None and secret is not None:
            write_credentials_file(path, Credentials(own.name, secret))
    except CredentialsInvalid as error:
        warn(visible(f"{error}; it may still have an old secret"))
