"""How commands reach a server, and in whose name: the options that they share."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from mqguard.cli.secret_places import FORMS, has_terminal, read_secret

if TYPE_CHECKING:
    from mqguard.admin.client import Client
    from mqguard.auth.user import Secret
    from mqguard.config.secret import Credentials

NAMESRV = "127.0.0.1:9876"
DATA = "mqguard-data"


class Connection(NamedTuple):
    """What the options say.

    Attributes:
        namesrv: `host:port` of the name server; several are separated by `;`.
        cluster: Name of the cluster; None is the only one.
        access_key: The user; None looks into the data directory.
        secret_key: The user's secret.
        data: The data directory of a server on this machine.
        tls: Whether to encrypt.
        tls_ca: Who may vouch for the server; None trusts whatever it shows.
        timeout: Seconds to wait for an answer.
        broker: Brokers to use in place of those that the name server knows, each `host:port`.
    """

    namesrv: str
    cluster: str | None
    access_key: str | None
    secret_key: str | None
    data: Path
    tls: bool
    tls_ca: Path | None
    timeout: float
    broker: tuple[str, ...] = ()

    def client(self) -> "Client":
        """A client for these options."""
        from mqguard.admin.client import Client
        from mqguard.admin.known_brokers import KnownBrokers, default_path, read_pins
        from mqguard.admin.session import Manner
        from mqguard.cli.broker import ask_to_pin

        context = None
        if self.tls or self.tls_ca is not None:
            from mqguard.net.tls import client_context

            context = client_context(None if self.tls_ca is None else str(self.tls_ca))
        known = KnownBrokers(self.broker, read_pins(default_path()), ask_to_pin if has_terminal() else None)
        return Client(self.namesrv, Manner(self.credentials(), context, self.timeout, known))

    def credentials(self) -> "Credentials | None":
        """Who signs: the flags or the environment, else what the first start left in the data directory, else nobody.

        Raises:
            UsageError: A user without a secret and nobody to ask, or the reverse.
        """
        from mqguard.config.secret import Credentials
        from mqguard.runtime.first_start import read_credentials

        if self.access_key and self.secret_key:
            return Credentials(self.access_key, _secret_once(self.access_key, self.secret_key))
        if self.access_key and self.secret_key is None and has_terminal():
            return Credentials(self.access_key, _secret_once(self.access_key, "-"))
        if self.access_key or self.secret_key:
            raise click.UsageError("an access key and a secret key go together: give both")
        return read_credentials(self.data)


def _secret_once(user: str, text: str) -> "Secret":
    """Return the secret; a command that needs it twice asks for it once."""
    meta = click.get_current_context().meta
    key = f"{__name__}.secret"
    if key not in meta:
        meta[key] = read_secret(text, "secret_key", f"the secret of {user}")
    found: Secret = meta[key]
    return found


_OPTIONS = (
    click.option(
        "-n",
        "--namesrv",
        envvar="MQGUARD_NAMESRV",
        default=NAMESRV,
        show_default=True,
        help="The name server; several with `;`.",
    ),
    click.option("-c", "--cluster", help="The cluster [default: the only one]."),
    click.option("--access-key", envvar="MQGUARD_ACCESS_KEY", help="Who asks [default: as the data directory says]."),
    click.option("--secret-key", envvar="MQGUARD_SECRET_KEY", help=f"Its secret: {FORMS}."),
    click.option(
        "--data",
        envvar="MQGUARD_DATA",
        type=click.Path(path_type=Path),
        default=DATA,
        show_default=True,
        help="The data directory of a server here, for the administrator's secret.",
    ),
    click.option(
        "--broker",
        multiple=True,
        envvar="MQGUARD_BROKERS",
        metavar="ADDRESS",
        help="A broker to use, in place of those that the name server knows; repeatable.",
    ),
    click.option("--tls", is_flag=True, help="Encrypt."),
    click.option("--tls-ca", type=click.Path(path_type=Path), help="Encrypt, and believe only these certificates."),
    click.option("--timeout", type=click.FloatRange(0.1, 3600), default=5.0, show_default=True, help="In seconds."),
)


def connected(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of a connection, as its first argument `connection`."""

    @functools.wraps(command)
    def wrapped(**arguments: Any) -> None:
        values = {name: arguments.pop(name) for name in Connection._fields}
        command(Connection(**values), **arguments)

    for option in reversed(_OPTIONS):
        option(wrapped)
    return wrapped
