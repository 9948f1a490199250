"""Options that commands share: the server to connect to, the credentials, and the source of users and policies."""

import functools
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click
from click.core import ParameterSource

from mqguard.cli.output import warn

if TYPE_CHECKING:
    from mqguard.admin.broker_states import BrokerState
    from mqguard.admin.client import Client
    from mqguard.auth.analysis.access_state import AccessState
    from mqguard.auth.documents.document import Document
    from mqguard.auth.user import Secret
    from mqguard.config.secret import Credentials

FORMS = "`env:NAME`, `file:PATH`, or `-` for the terminal or the first line of standard input"
"""Forms in which an option refers to a secret."""


def read_secret(text: str, parameter: str, prompt: str) -> "Secret":
    """Return the secret that an option contains or refers to; `-` asks for it.

    Args:
        text: Value of the option.
        parameter: Name of the option as an argument of the command, for the warning about a visible secret.
        prompt: Prompt at a terminal.

    Raises:
        click.UsageError: The value refers to a secret that cannot be read.
    """
    from mqguard.config.errors import ValueInvalid
    from mqguard.config.secret import resolve_secret

    context = click.get_current_context(silent=True)
    if text == "-":
        return ask_secret(prompt) if has_terminal() else _from_standard_input()
    try:
        secret = resolve_secret(text)
    except ValueInvalid as error:
        raise click.UsageError(f"{_flag(parameter)}: {error}") from None
    is_literal = not text.startswith(("env:", "file:"))
    if is_literal and context and context.get_parameter_source(parameter) is ParameterSource.COMMANDLINE:
        warn(f"{_flag(parameter)} shows the secret to every process here and in the shell history: use {FORMS}")
    return secret


def new_secret(name: str, text: str | None) -> "Secret | None":
    """Return the new secret of a user, from the option `--secret` or typed at a terminal.

    Args:
        name: Name of the user.
        text: Value of the option.

    Returns:
        None if no secret is given, so that the caller creates a random one.

    Raises:
        click.UsageError: The value refers to a secret that cannot be read.
    """
    from mqguard.auth.user import Secret
    from mqguard.config.secret import weakness

    if text is not None:
        secret = read_secret(text, "secret", f"the secret of {name}")
    elif has_terminal():
        typed = click.prompt(
            f"the secret of {name} (leave it empty for a random one)",
            default="",
            show_default=False,
            hide_input=True,
            confirmation_prompt=True,
            err=True,
        )
        if not typed:
            return None
        secret = Secret(typed)
    else:
        return None
    weak = weakness(name, secret)
    if weak is not None:
        warn(f"the secret of `{name}` is easy to guess: {weak}")
    return secret


def ask_secret(prompt: str) -> "Secret":
    """Ask for a secret at the terminal, without showing it."""
    from mqguard.auth.user import Secret

    return Secret(click.prompt(prompt, hide_input=True, err=True))


def has_terminal() -> bool:
    """True if a person can answer a prompt."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def _from_standard_input() -> "Secret":
    from mqguard.admin.policy_files import MAX_SECRET_BYTES, is_secret
    from mqguard.auth.user import Secret

    line = sys.stdin.buffer.readline(MAX_SECRET_BYTES + 1)
    try:
        text = line.decode("utf-8").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise click.UsageError("the first line of standard input is not UTF-8, so it is not a valid secret") from None
    if len(line) > MAX_SECRET_BYTES or not is_secret(text):
        raise click.UsageError("the first line of standard input must be the secret and nothing else")
    return Secret(text)


def _flag(parameter: str) -> str:
    return f"`--{parameter.replace('_', '-')}`"


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
        from mqguard.admin.session import ConnectionOptions, KnownBrokers, default_path, read_pins, tls_context
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


_FILE = click.option("-f", "--file", type=click.Path(path_type=Path), help="Read a policy file instead of the server.")
_STORE = click.option(
    "--store",
    type=click.Path(path_type=Path),
    help="Read the data directory of a stopped server instead of a running one.",
)


class PolicySource(NamedTuple):
    """Source of users and policies: a file, the data directory of a stopped server, or else a running cluster.

    Attributes:
        connection: Options of connections to a running cluster.
        file: Path of the policy file; None if another source is used.
        store: Path of the data directory; None if another source is used.
    """

    connection: Connection
    file: Path | None
    store: Path | None

    def load(self) -> "tuple[AccessState, Document | None]":
        """Return users and policies, and the document if they are in a file.

        Raises:
            click.UsageError: Two sources are given.
            PolicyInvalid: The file cannot be read, or is not valid.
            SourceUnavailable: The data directory cannot be read, or a server refuses.
            LinkError: A server cannot be reached.
        """
        from mqguard.admin.broker_states import common_state, state_of
        from mqguard.admin.policy_files import load_document

        if self.file is not None and self.store is not None:
            raise click.UsageError("`--file` and `--store` are two sources of users and policies: give only one")
        if self.file is not None:
            document = load_document(self.file)
            return document.directory, document
        if self.store is not None:
            from mqguard.runtime.access import open_manager

            with open_manager(self.store) as manager:
                return state_of(manager.snapshot), None
        with open_brokers(self.connection) as brokers:
            return common_state(brokers), None


def with_policy_source(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of a policy source, as its first argument `source`."""

    @functools.wraps(command)
    def wrapped(connection: Connection, file: Path | None, store: Path | None, **arguments: Any) -> None:
        command(PolicySource(connection, file, store), **arguments)

    return _FILE(_STORE(with_connection(wrapped)))


@contextmanager
def open_brokers(connection: Connection) -> "Iterator[list[BrokerState]]":
    """Read users and policies of every broker of a running cluster, and keep the connections open.

    Raises:
        LinkError: A server cannot be reached.
        SourceUnavailable: A server refuses, or sends an answer that cannot be read.
    """
    from mqguard.admin.broker_states import read_brokers

    credentials = connection.credentials()
    with connection.client() as client:
        yield read_brokers(client, connection.cluster, credentials)
