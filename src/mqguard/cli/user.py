"""`mqguard user`: users and their secrets."""

import datetime as dt
import re
from typing import TYPE_CHECKING, Any

import click

from mqguard.cli.acl import advice_about, show_changes
from mqguard.cli.completion import complete_users
from mqguard.cli.connection import Connection, with_connection
from mqguard.cli.output import emit, examples, json_option, show_table
from mqguard.cli.secret_options import FORMS, new_secret
from mqguard.cli.task_options import tasks_of, with_tasks
from mqguard.errors import NotFound

if TYPE_CHECKING:
    from mqguard.admin.session import Session
    from mqguard.admin.users import UserDetails

_KINDS = click.Choice(["Normal", "Super"], case_sensitive=False)
_STATUSES = click.Choice(["enable", "disable"], case_sensitive=False)

_UNITS_MS = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_DURATION = re.compile(r"([0-9]{1,9})([smhd])")


class Duration(click.ParamType[int]):
    """A length of time such as `90s`, `30m`, `24h`, `7d` or `0`, in milliseconds."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read a length of time.

        Raises:
            BadParameter: The value is not a valid length of time.
        """
        if isinstance(value, int):
            return value
        text = str(value).strip().lower()
        if text == "0":
            return 0
        found = _DURATION.fullmatch(text)
        if found is None:
            self.fail(f"`{value}` is not a valid length of time: write one, such as 90s, 30m, 24h, 7d or 0", param, ctx)
        return int(found[1]) * _UNITS_MS[found[2]]


@click.group()
def user() -> None:
    """Create, change, delete and list users."""


@user.command(
    epilog=examples(
        "user create alice",
        "user create bob --consumer orders --group billing",
        "user create carol --secret file:carol.secret --producer orders",
    )
)
@click.argument("name")
@click.option("-p", "--secret", help=f"The user's secret: {FORMS} [default: typed, or random and printed].")
@click.option(
    "-t", "--type", "kind", type=_KINDS, default="Normal", show_default=True, help="A Super user has all permissions."
)
@with_tasks
@with_connection
@json_option
def create(connection: Connection, name: str, secret: str | None, kind: str, *, as_json: bool, **tasks: Any) -> None:
    """Create the user NAME at every broker of the cluster, with the permissions of tasks if you name any.

    Exit code 1: a user of that name exists.
    """
    from mqguard.admin import policy_changes, users
    from mqguard.auth.policy import PolicyType
    from mqguard.auth.user import Subject
    from mqguard.config.secret import make_secret
    from mqguard.errors import MqguardError

    request, subject = tasks_of(tasks, ()), Subject(name)
    if request is not None:
        policy_changes.check_entries(subject, PolicyType.CUSTOM, request.entries("CLUSTER"))
    given = new_secret(name, secret)
    chosen = given or make_secret()
    with connection.client() as client:
        brokers = client.brokers(connection.cluster)
        for broker in brokers:
            users.create(client.at(broker.address), name, chosen, kind)
        value: dict[str, object] = {"user": name, "type": kind}
        text = f"created the user {name}"
        if given is None:
            value["password"] = chosen.reveal()
            text += f" with the secret {chosen.reveal()}"
        if request is None:
            emit(value, text, as_json=as_json)
            return
        edit = policy_changes.add(request.entries(connection.cluster or brokers[0].cluster))
        try:
            changes = policy_changes.change_acl(client, connection.cluster, subject, {PolicyType.CUSTOM: edit})
        except MqguardError:
            # The user exists already, and a random secret is shown only here.
            emit(value, text, as_json=as_json)
            raise
        show_changes(value, text, changes, advice_about(client, connection.cluster, changes), as_json=as_json)


@user.command(epilog=examples("user update alice --status disable", "user update alice --type Super"))
@click.argument("name", shell_complete=complete_users)
@click.option("-p", "--secret", help=f"A new secret: {FORMS}.")
@click.option("-t", "--type", "kind", type=_KINDS, help="A new type.")
@click.option("-s", "--status", type=_STATUSES, help="A disabled user cannot authenticate.")
@with_connection
@json_option
def update(
    connection: Connection, name: str, secret: str | None, kind: str | None, status: str | None, *, as_json: bool
) -> None:
    """Change the secret, type or status of the user NAME, and show the permissions gained and lost.

    Exit code 4: the user does not exist.
    """
    from mqguard.admin import users
    from mqguard.admin.policy_changes import change_user

    if secret is None and kind is None and status is None:
        raise click.UsageError("there is nothing to change: give `--secret`, `--type` or `--status`")
    chosen = None if secret is None else new_secret(name, secret)

    def store(_broker: str, session: "Session", _before: object) -> None:
        users.update(session, name, secret=chosen, user_type=kind, status=status)
        if chosen is not None:
            connection.follow_secret(name, chosen, session)

    with connection.client() as client:
        changes = change_user(client, connection.cluster, name, store)
    show_changes({"user": name}, f"changed the user {name}", changes, [], as_json=as_json)


@user.command(epilog=examples("user rotate alice", "user rotate alice --secret file:new.secret --keep 7d"))
@click.argument("name", shell_complete=complete_users)
@click.option("-p", "--secret", help=f"The new secret: {FORMS} [default: typed, or random and printed].")
@click.option(
    "--keep",
    "keep_ms",
    type=Duration(),
    default="24h",
    show_default=True,
    help="Time for which the old secret stays accepted.",
)
@with_connection
@json_option
def rotate(connection: Connection, name: str, secret: str | None, keep_ms: int, *, as_json: bool) -> None:
    """Give the user NAME a new secret, and keep the old one accepted while clients change over.

    Both secrets are accepted until the time of `--keep` is over; with `--keep 0` the old secret ends at once. If an
    even older secret was still accepted, it ends. A second run with the same secret changes nothing.
    """
    from mqguard.admin import users
    from mqguard.config.secret import make_secret
    from mqguard.errors import MqguardError

    given = new_secret(name, secret)
    chosen = given or make_secret()
    done: list[str] = []
    with connection.client() as client:
        brokers = client.brokers(connection.cluster)
        for broker in brokers:
            _check_rotates(client.at(broker.address), broker.name, name, keeps=bool(keep_ms))
        try:
            for broker in brokers:
                users.rotate(client.at(broker.address), name, chosen, keep_ms)
                if not done:
                    connection.follow_secret(name, chosen)
                done.append(broker.name)
        except MqguardError:
            # Some brokers use the new secret: print a random one, so that the operator can set it at the others.
            if done:
                _print_rotated(name, done, None if given else chosen.reveal(), keep_ms, as_json=as_json)
            raise
    _print_rotated(name, done, None if given else chosen.reveal(), keep_ms, as_json=as_json)


def _check_rotates(session: "Session", broker: str, name: str, *, keeps: bool) -> None:
    """Check that a broker has the user, and that it can keep the old secret if that is wanted.

    Raises:
        NotFound: The user does not exist at the broker.
        RotationUnknown: The broker would end the old secret at once.
    """
    from mqguard.admin import users
    from mqguard.admin.errors import RotationUnknown, nearest_names

    found = users.get(session, name)
    if found is None:
        near = nearest_names(name, [one.name for one in users.find(session)])
        raise NotFound(f"the user `{name}` does not exist at the broker `{broker}`{near}")
    if keeps and found.live_secrets is None:
        raise RotationUnknown(
            f"the broker `{broker}` is not mqguard and would end the old secret at once: use `--keep 0` to accept that"
        )


def _print_rotated(name: str, brokers: list[str], secret: str | None, keep_ms: int, *, as_json: bool) -> None:
    value: dict[str, object] = {"user": name, "brokers": brokers, "keepOldSecretMs": keep_ms}
    text = f"the user {name} has a new secret at {', '.join(brokers)}"
    if secret is not None:
        value["password"] = secret
        text += f": {secret}"
    emit(value, text, as_json=as_json)


@user.command(epilog=examples("user delete alice"))
@click.argument("name", shell_complete=complete_users)
@with_connection
@json_option
def delete(connection: Connection, name: str, *, as_json: bool) -> None:
    """Delete the user NAME and its policies, and show the permissions lost.

    Exit code 4: the user does not exist.
    """
    from mqguard.admin import users
    from mqguard.admin.policy_changes import change_user

    with connection.client() as client:
        changes = change_user(
            client,
            connection.cluster,
            name,
            lambda _broker, session, _before: users.delete(session, name),
            only_existing=True,
        )
    show_changes({"user": name}, f"deleted the user {name}", changes, [], as_json=as_json)


@user.command(epilog=examples("user get alice"))
@click.argument("name", shell_complete=complete_users)
@with_connection
@json_option
def get(connection: Connection, name: str, *, as_json: bool) -> None:
    """Show the user NAME.

    Exit code 4: the user does not exist.
    """
    from mqguard.admin import users
    from mqguard.admin.errors import nearest_names

    with connection.client() as client:
        broker = client.brokers(connection.cluster)[0]
        found = users.get(client.at(broker.address), name)
        if found is None:
            known = [one.name for one in users.find(client.at(broker.address))]
            raise NotFound(f"the user `{name}` does not exist{nearest_names(name, known)}")
    _show([found], as_json=as_json)


@user.command("list", epilog=examples("user list", "user list alice --json"))
@click.argument("text", default="")
@with_connection
@json_option
def find(connection: Connection, text: str, *, as_json: bool) -> None:
    """List the users whose name contains TEXT, or all users."""
    from mqguard.admin import users

    with connection.client() as client:
        broker = client.brokers(connection.cluster)[0]
        found = users.find(client.at(broker.address), text)
    _show(found, as_json=as_json)


def _show(found: "list[UserDetails]", *, as_json: bool) -> None:
    if as_json:
        for info in found:
            emit(_user_json(info), "", as_json=True)
        return
    rows = [(info.name, info.type, info.status, _secrets(info)) for info in found]
    show_table(("#UserName", "#UserType", "#UserStatus", "#Secrets"), rows)


def _user_json(info: "UserDetails") -> dict[str, object]:
    value: dict[str, object] = {
        "user": info.name,
        "type": info.type,
        "status": info.status,
    }
    if info.live_secrets is not None:
        value["liveSecrets"] = info.live_secrets
        value["oldSecretUntil"] = _moment(info.old_secret_until_ms)
    if info.incarnation is not None:
        value["incarnation"] = info.incarnation
        value["confirmed"] = info.confirmed
    return value


def _secrets(info: "UserDetails") -> str:
    until = _moment(info.old_secret_until_ms)
    if info.live_secrets is None:
        return "-"
    return f"{info.live_secrets}, the old one until {until}" if until else str(info.live_secrets)


def _moment(ms: int | None) -> str | None:
    return None if ms is None else f"{dt.datetime.fromtimestamp(ms // 1000, dt.UTC):%Y-%m-%dT%H:%M:%SZ}"
