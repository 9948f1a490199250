"""`mqguard user …`."""

import click

from mqguard.cli.connection import Connection, connected
from mqguard.cli.exits import NothingThere
from mqguard.cli.output import emit, json_option, table

_KINDS = click.Choice(["Normal", "Super"], case_sensitive=False)
_STATUSES = click.Choice(["enable", "disable"], case_sensitive=False)


@click.group()
def user() -> None:
    """Make, change and list users."""


@user.command()
@click.argument("name")
@click.option("-p", "--secret", help="The user's secret [default: a random one, printed].")
@click.option("-t", "--type", "kind", type=_KINDS, default="Normal", show_default=True, help="Super may do everything.")
@connected
@json_option
def create(connection: Connection, name: str, secret: str | None, kind: str, *, as_json: bool) -> None:
    """Make the user NAME at every broker of the cluster."""
    from mqguard.admin import users
    from mqguard.auth.user import Secret
    from mqguard.runtime.first_start import make_secret

    chosen = make_secret() if secret is None else Secret(secret)
    with connection.client() as client:
        for broker in client.brokers(connection.cluster):
            users.create(client.at(broker.address), name, chosen, kind)
    value = {"username": name, "userType": kind}
    text = f"made the user {name}"
    if secret is None:
        value["password"] = chosen.reveal()
        text += f" with the secret {chosen.reveal()}"
    emit(value, text, as_json=as_json)


@user.command()
@click.argument("name")
@click.option("-p", "--secret", help="A new secret.")
@click.option("-t", "--type", "kind", type=_KINDS, help="Another kind.")
@click.option("-s", "--status", type=_STATUSES, help="Let in, or not.")
@connected
@json_option
def update(
    connection: Connection, name: str, secret: str | None, kind: str | None, status: str | None, *, as_json: bool
) -> None:
    """Change a secret, kind or status of the user NAME."""
    from mqguard.admin import users
    from mqguard.auth.user import Secret

    if secret is None and kind is None and status is None:
        raise click.UsageError("nothing to change: give --secret, --type or --status")
    with connection.client() as client:
        for broker in client.brokers(connection.cluster):
            chosen = None if secret is None else Secret(secret)
            users.update(client.at(broker.address), name, secret=chosen, user_type=kind, status=status)
    emit({"username": name}, f"changed the user {name}", as_json=as_json)


@user.command()
@click.argument("name")
@connected
@json_option
def delete(connection: Connection, name: str, *, as_json: bool) -> None:
    """Remove the user NAME and its policies."""
    from mqguard.admin import users

    with connection.client() as client:
        for broker in client.brokers(connection.cluster):
            users.delete(client.at(broker.address), name)
    emit({"username": name}, f"removed the user {name}", as_json=as_json)


@user.command()
@click.argument("name")
@connected
@json_option
def get(connection: Connection, name: str, *, as_json: bool) -> None:
    """Show the user NAME; exit code 4 if there is none."""
    from mqguard.admin import users

    with connection.client() as client:
        broker = client.brokers(connection.cluster)[0]
        found = users.get(client.at(broker.address), name)
    if found is None:
        raise NothingThere(f"there is no user `{name}`")
    _show([(found.username or name, found.user_type or "", found.user_status or "")], as_json=as_json)


@user.command("list")
@click.argument("text", default="")
@connected
@json_option
def find(connection: Connection, text: str, *, as_json: bool) -> None:
    """List the users whose name holds TEXT, or all."""
    from mqguard.admin import users

    with connection.client() as client:
        broker = client.brokers(connection.cluster)[0]
        found = users.find(client.at(broker.address), text)
    _show([(info.username or "", info.user_type or "", info.user_status or "") for info in found], as_json=as_json)


def _show(rows: list[tuple[str, str, str]], *, as_json: bool) -> None:
    if as_json:
        for name, kind, status in rows:
            emit({"username": name, "userType": kind, "userStatus": status}, "", as_json=True)
    else:
        click.echo(table(("#UserName", "#UserType", "#UserStatus"), rows))
