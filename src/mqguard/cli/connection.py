"""Options that commands share: the server to connect to, and the credentials."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from mqguard.cli.secret_options import FORMS, has_terminal, read_secret

if TYPE_CHECKING:
    from mqguard.admin.client import Client
    from mqguard.auth.user import Secret
    from mqguard.config.secret import Credentials

NAMESRV = "127.0.0.1:9876"
DATA = "mqguard-data"


class Connection(NamedTuple):
    """Values of the connection options.

    Attributes:
        namesrv: Address of the name server, `host:port`; several are separated by `;`.
        cluster: Name of the cluster; None if there is only one.
        access_key: Name of the user; None uses the credentials in the data directory.
        secret_key: Secret of the user, or a reference to it.
        data: Data directory of a server on this machine.
        tls: True to encrypt.
        tls_ca: File with the trusted certificates; None accepts any certificate.
        timeout: Maximum seconds to wait for a response.
        broker: Addresses of brokers to use instead of those that the name server lists, each `host:port`.
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
        """Return a client for these options."""
        from mqguard.admin.client import Client
        from mqguard.admin.known_brokers import KnownBrokers, default_path, read_pins
        from mqguard.admin.session import ConnectionOptions, tls_context
        from mqguard.cli.broker import ask_to_pin

        context = tls_context(self.tls_ca) if self.tls or self.tls_ca is not None else None
        known = KnownBrokers(self.broker, read_pins(default_path()), ask_to_pin if has_terminal() else None)
        return Client(self.namesrv, ConnectionOptions(self.credentials(), context, self.timeout, known))

    def credentials(self) -> "Credentials | None":
        """Return the credentials in the options, else those in the data directory, else None.

        Raises:
            UsageError: A user is given without a secret and there is no terminal to ask at, or the reverse.
        """
        from mqguard.config.secret import Credentials
        from mqguard.runtime.first_start import read_credentials

        if self.access_key and self.secret_key:
            return Credentials(self.access_key, _secret_once(self.access_key, self.secret_key))
        if self.access_key and self.secret_key is None and has_terminal():
            return Credentials(self.access_key, _secret_once(self.access_key, "-"))
        if self.access_key or self.secret_key:
            raise click.UsageError("`--access-key` and `--secret-key` belong together: give both")
        return read_credentials(self.data)


def _secret_once(user: str, text: str) -> "Secret":
    """Return the secret; a command that needs it twice asks only once."""
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
        help="The name server; separate several with `;`.",
    ),
    click.option("-c", "--cluster", help="The cluster [default: the only cluster]."),
    click.option(
        "--access-key", envvar="MQGUARD_ACCESS_KEY", help="Your user name [default: from the data directory]."
    ),
    click.option("--secret-key", envvar="MQGUARD_SECRET_KEY", help=f"Your secret: {FORMS}."),
    click.option(
        "--data",
        envvar="MQGUARD_DATA",
        type=click.Path(path_type=Path),
        default=DATA,
        show_default=True,
        help="The data directory of a server on this machine, which holds the administrator's credentials.",
    ),
    click.option(
        "--broker",
        multiple=True,
        envvar="MQGUARD_BROKERS",
        metavar="ADDRESS",
        help="Use this broker instead of those that the name server lists; repeatable.",
    ),
    click.option("--tls", is_flag=True, help="Use TLS."),
    click.option(
        "--tls-ca", type=click.Path(path_type=Path), help="Use TLS, and trust only the certificates in this file."
    ),
    click.option(
        "--timeout", type=click.FloatRange(0.1, 3600), default=5.0, show_default=True, help="Timeout in seconds."
    ),
)


def with_connection(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of a connection, as its first argument `connection`."""

    @functools.wraps(command)
    def wrapped(**arguments: Any) -> None:
        values = {name: arguments.pop(name) for name in Connection._fields}
        command(Connection(**values), **arguments)

    for option in reversed(_OPTIONS):
        option(wrapped)
    return wrapped
