"""`mqguard user …`."""

import datetime as dt
from typing import TYPE_CHECKING

import click

from mqguard.cli.connection import Connection, connected
from mqguard.cli.duration import Duration
from mqguard.cli.exits import NothingThere
from mqguard.cli.output import emit, json_option, table
from mqguard.cli.secret_places import FORMS, new_secret

if TYPE_CHECKING:
    from mqguard.admin.session import Session
    from mqguard.remoting.bodies.access import UserSecretsInfo

_KINDS = click.Choice(["Normal", "Super"], case_sensitive=False)
_STATUSES = click.Choice(["enable", "disable"], case_sensitive=False)


@click.group()
def user() -> None:
    """Make, change and list users."""


@user.command()
@click.argument("name")
@click.option("-p", "--secret", help=f"The user's secret: {FORMS} [default: typed, or random and printed].")
@click.option("-t", "--type", "kind", type=_KINDS, default="Normal", show_default=True, help="Super may do everything.")
@connected
@json_option
def create(connection: Connection, name: str, secret: str | None, kind: str, *, as_json: bool) -> None:
    """Make the user NAME at every broker of the cluster."""
    from mqguard.admin import users
    from mqguard.runtime.first_start import make_secret

    given = new_secret(name, secret)
    chosen = given or make_secret()
    with connection.client() as client:
        for broker in client.brokers(connection.cluster):
            users.create(client.at(broker.address), name, chosen, kind)
    value = {"username": name, "userType": kind}
    text = f"made the user {name}"
    if given is None:
        value["password"] = chosen.reveal()
        text += f" with the secret {chosen.reveal()}"
    emit(value, text, as_json=as_json)


@user.command()
@click.argument("name")
@click.option("-p", "--secret", help=f"A new secret: {FORMS}.")
@click.option("-t", "--type", "kind", type=_KINDS, help="Another kind.")
@click.option("-s", "--status", type=_STATUSES, help="Let in, or not.")
@connected
@json_option
def update(
    connection: Connection, name: str, secret: str | None, kind: str | None, status: str | None, *, as_json: bool
) -> None:
    """Change a secret, kind or status of the user NAME."""
    from mqguard.admin import users

    if secret is None and kind is None and status is None:
        raise click.UsageError("nothing to change: give --secret, --type or --status")
    chosen = None if secret is None else new_secret(name, secret)
    with connection.client() as client:
        for broker in client.brokers(connection.cluster):
            users.update(client.at(broker.address), name, secret=chosen, user_type=kind, status=status)
    emit({"username": name}, f"changed the user {name}", as_json=as_json)


@user.command()
@click.argument("name")
@click.option("-p", "--secret", help=f"The new secret: {FORMS} [default: typed, or random and printed].")
@click.option(
    "--keep", "keep_ms", type=Duration(), default="24h", show_default=True, help="How long the old secret is accepted."
)
@connected
@json_option
def rotate(connection: Connection, name: str, secret: str | None, keep_ms: int, *, as_json: bool) -> None:
    """Give the user NAME a new secret, while its clients move over.

    Both secrets are accepted until the time is up; with `--keep 0` the old one ends at once. A third that was still
    being replaced ends. Doing it again with the same secret changes nothing.
    """
    from mqguard.admin import users
    from mqguard.errors import MqguardError
    from mqguard.runtime.first_start import make_secret

    given = new_secret(name, secret)
    chosen = given or make_secret()
    done: list[str] = []
    with connection.client() as client:
        brokers = client.brokers(connection.cluster)
        if keep_ms:
            for broker in brokers:
                _check_rotates(client.at(broker.address), broker.name, name)
        try:
            for broker in brokers:
                users.rotate(client.at(broker.address), name, chosen, keep_ms)
                done.append(broker.name)
        except MqguardError:
            # The secret is in force at some: whoever made it random must hear it, to bring the others to it.
            if done:
                _tell_rotated(name, done, None if given else chosen.reveal(), keep_ms, as_json=as_json)
            raise
    _tell_rotated(name, done, None if given else chosen.reveal(), keep_ms, as_json=as_json)


def _check_rotates(session: "Session", broker: str, name: str) -> None:
    """Make sure that a broker has the user, and would keep its old secret.

    Raises:
        NothingThere: It has no such user.
        RotationUnknown: It would end the old secret at once.
    """
    from mqguard.admin import users
    from mqguard.admin.errors import RotationUnknown

    found = users.get(session, name)
    if found is None:
        raise NothingThere(f"there is no user `{name}` at the broker `{broker}`")
    if found.live_secrets is None:
        raise RotationUnknown(
            f"the broker `{broker}` is none of mqguard and would end the old secret at once: use `--keep 0` if that "
            "is what you want"
        )


def _tell_rotated(name: str, brokers: list[str], secret: str | None, keep_ms: int, *, as_json: bool) -> None:
    value: dict[str, object] = {"username": name, "brokers": brokers, "keepOldSecretMs": keep_ms}
    text = f"the user {name} has a new secret at {', '.join(brokers)}"
    if secret is not None:
        value["password"] = secret
        text += f": {secret}"
    emit(value, text, as_json=as_json)


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
    _show([found], as_json=as_json)


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
    _show(found, as_json=as_json)


def _show(found: "list[UserSecretsInfo]", *, as_json: bool) -> None:
    if as_json:
        for info in found:
            emit(_user_json(info), "", as_json=True)
        return
    rows = [(info.username or "", info.user_type or "", info.user_status or "", _secrets(info)) for info in found]
    click.echo(table(("#UserName", "#UserType", "#UserStatus", "#Secrets"), rows))


def _user_json(info: "UserSecretsInfo") -> dict[str, object]:
    value: dict[str, object] = {
        "username": info.username or "",
        "userType": info.user_type or "",
        "userStatus": info.user_status or "",
    }
    if info.live_secrets is not None:
        value["liveSecrets"] = info.live_secrets
        value["oldSecretUntil"] = _moment(info.old_secret_until)
    if info.incarnation is not None:
        value["incarnation"] = info.incarnation
        value["confirmed"] = bool(info.confirmed)
    return value


def _secrets(info: "UserSecretsInfo") -> str:
    until = _moment(info.old_secret_until)
    if info.live_secrets is None:
        return "-"
    return f"{info.live_secrets}, the old one until {until}" if until else str(info.live_secrets)


def _moment(ms: int | None) -> str | None:
    return None if ms is None else f"{dt.datetime.fromtimestamp(ms // 1000, dt.UTC):%Y-%m-%dT%H:%M:%SZ}"
