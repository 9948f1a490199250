"""`mqguard backup`: a copy of a running server's data."""

import datetime as dt
from pathlib import Path

import click

from mqguard.cli.connection import Connection, with_connection
from mqguard.cli.output import emit, examples, json_option


@click.command(epilog=examples("backup backups/monday", "backup backups/monday --check"))
@click.argument("directory", type=click.Path(path_type=Path))
@with_connection
@click.option("--check", is_flag=True, help="Check a backup that exists: complete, and no file has changed.")
@json_option
def backup(connection: Connection, directory: Path, *, check: bool, as_json: bool) -> None:
    """Copy messages, topics, groups, offsets, users and policies of a running server into the new DIRECTORY.

    Run the command at the server, as the user that runs it, with the credentials of a Super user. The copy is of one
    moment, and clients are served meanwhile. Secrets are sealed in it; the sealing key is not in it. The audit log is
    not in it either: copy its files with any tool.

    A server starts on a copy of the directory. An interrupted backup has the name DIRECTORY.partial, and no server
    starts on it.
    """
    from mqguard.admin.backup import check_backup, take_backup

    if check:
        found = check_backup(directory)
    else:
        with connection.client() as client:
            brokers = client.brokers(connection.cluster)
            if len(brokers) > 1:
                names = ", ".join(f"{broker.name} ({broker.address})" for broker in brokers)
                raise click.UsageError(f"a backup is of one broker, and there are {names}: name one with `--broker`")
            found = take_backup(client.at(brokers[0].address), directory)
    taken = dt.datetime.fromtimestamp(found.taken_at_ms / 1000, dt.UTC).isoformat(timespec="seconds")
    value = {
        "directory": str(directory),
        "takenAt": taken,
        "version": found.version,
        "sealedWith": found.sealed_with or None,
        "files": len(found.files),
        "bytes": found.bytes,
    }
    verb = "is complete and unchanged" if check else "was taken"
    key = f"the key `{found.sealed_with}` opens its secrets" if found.sealed_with else "it has no users"
    text = f"the backup {directory} of {taken} {verb}: {len(found.files)} files, {found.bytes} bytes; {key}"
    emit(value, text, as_json=as_json)
