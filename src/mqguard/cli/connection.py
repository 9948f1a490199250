"""Options that commands share: the server to connect to, the credentials, and the source of users and policies."""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click
from click.core import ParameterSource

from mqguard.cli.output import warn
from mqguard.cli.secret_options import FORMS, FROM_TERMINAL, has_terminal, is_typed, read_secret

if TYPE_CHECKING:
    from mqguard.admin.broker_states import BrokerState
    from mqguard.admin.client import Client
    from mqguard.admin.session import Session
    from mqguard.auth.analysis.access_state import AccessState
    from mqguard.auth.documents.document import Document
    from mqguard.auth.user import Secret
    from mqguard.config.secret import Credentials

NAMESRV = "127.0.0.1:9876"
DATA = "mqguard-data"


class OwnCredentials(NamedTuple):
    """Credentials of the caller, and the file that has to follow when the secret changes.

    Attributes:
        credentials: Name and secret.
        file: File that holds them; None if they are not in a file.
        is_secret_file: True if the file holds only the secret.
    """

    credentials: "Credentials"
    file: Path | None = None
    is_secret_file: bool = False


class Connection(NamedTuple):
    """Values of the connection options.

    Attributes:
        namesrv: Address of the name server, `host:port`; several are separated by `;`.
        cluster: Name of the cluster; None if there is only one.
        access_key: Name of the user; None uses the credentials in a file.
        secret_key: Secret of the user, or a reference to it.
        data: Data directory of a server on this machine.
        broker: Addresses of brokers to use instead of those that the name server lists, each `host:port`.
        tls: True to encrypt.
        tls_ca: File with the trusted certificates; None accepts any certificate.
        tls_cert: File with the certificate to show; None shows none.
        tls_key: File with its key; None if the file of the certificate has it.
        timeout: Maximum seconds to wait for a response.
        only_data: True if the operator has named the data directory, so that credentials are looked for only there.
        may_ask: True if a person at the terminal may be asked for a secret or an unknown broker.
    """

    namesrv: str
    cluster: str | None
    access_key: str | None
    secret_key: str | None
    data: Path
    broker: tuple[str, ...]
    tls: bool
    tls_ca: Path | None
    tls_cert: Path | None
    tls_key: Path | None
    timeout: float
    only_data: bool = False
    may_ask: bool = True

    def client(self) -> "Client":
        """Return a client for these options."""
        from mqguard.admin.client import Client
        from mqguard.admin.session import ConnectionOptions, KnownBrokers, default_path, read_pins, tls_context
        from mqguard.cli.brokers import ask_to_pin

        if self.tls_key is not None and self.tls_cert is None:
            raise click.UsageError("`--tls-key` belongs to a certificate: give `--tls-cert` too")
        is_tls = self.tls or self.tls_ca is not None or self.tls_cert is not None
        context = tls_context(self.tls_ca, self.tls_cert, self.tls_key) if is_tls else None
        known = KnownBrokers(self.broker, read_pins(default_path()), ask_to_pin if self._is_interactive() else None)
        own = self.credentials()
        hint = "" if own is not None else self._unsigned_hint()
        return Client(self.namesrv, ConnectionOptions(own, context, self.timeout, known, hint))

    def credentials(self) -> "Credentials | None":
        """Return the credentials in the options, else those in a file, else None; see `own`."""
        own = self.own()
        return None if own is None else own.credentials

    def own(self) -> OwnCredentials | None:
        """Return the caller's credentials and their file, None if there are none.

        Raises:
            UsageError: A user is given without a secret and there is no terminal to ask at, or the reverse.
            CredentialsInvalid: A file with credentials cannot be read.
        """
        from mqguard.admin.credentials import read_credentials_file
        from mqguard.config.secret import Credentials

        if is_typed(self.secret_key) and not self.may_ask:
            return None
        if self.access_key and self.secret_key:
            found = Credentials(self.access_key, _secret_once(self.access_key, self.secret_key))
            kind, _, place = self.secret_key.partition(":")
            return OwnCredentials(found, Path(place) if kind == "file" else None, is_secret_file=True)
        if self.access_key and self.secret_key is None and self._is_interactive():
            return OwnCredentials(Credentials(self.access_key, _secret_once(self.access_key, FROM_TERMINAL)))
        if self.access_key or self.secret_key:
            raise click.UsageError("`--access-key` and `--secret-key` belong together: give both")
        for path in self._places():
            read = read_credentials_file(path)
            if read is not None:
                return OwnCredentials(read, path)
        return None

    def follow_secret(self, name: str, secret: "Secret", session: "Session | None" = None) -> None:
        """Keep up with a change of the caller's own secret, so that this command and the next one work.

        The secret is written into the file that holds the old one.

        Args:
            name: Name of the user whose secret has changed; another user than the caller changes nothing.
            secret: New secret.
            session: Connection to a broker that has the new secret now.
        """
        from mqguard.admin.credentials import CredentialsInvalid, write_credentials_file, write_secret_file
        from mqguard.config.secret import Credentials

        meta = click.get_current_context().meta
        own = meta.setdefault(f"{__name__}.own", self.own())
        if own is None or own.credentials.name != name:
            return
        if session is not None:
            session.sign_as(Credentials(name, secret))
        followed: Secret = meta.setdefault(f"{__name__}.followed", own.credentials.secret)
        if followed.equals(secret):
            return
        meta[f"{__name__}.followed"] = secret
        if own.file is None:
            warn(f"`{name}` is your own user: change the secret that `--secret-key` or `MQGUARD_SECRET_KEY` gives")
            return
        try:
            if own.is_secret_file:
                write_secret_file(own.file, secret)
            else:
                write_credentials_file(own.file, Credentials(name, secret))
        except CredentialsInvalid as error:
            warn(f"{error}; it still has the old secret of your own user `{name}`: change it by hand")

    def words(self) -> list[str]:
        """Return the connection options of the command line, to repeat them in another command; never a secret."""
        context = click.get_current_context()
        words = []
        for option in context.command.params:
            name = str(option.name)
            is_option = name in (*CONTEXT_OPTIONS, "context_name") and isinstance(option, click.Option)
            if not is_option or context.get_parameter_source(name) is not ParameterSource.COMMANDLINE:
                continue
            value = context.params.get(name, getattr(self, name, None))
            if name == "secret_key" and not str(value).startswith(("env:", "file:")):
                value = "-"
            for one in value if isinstance(value, tuple) else (value,):
                words += [option.opts[0]] if one is True else [option.opts[0], str(one)]
        return words

    def _is_interactive(self) -> bool:
        return self.may_ask and has_terminal()

    def _places(self) -> list[Path]:
        from mqguard.admin.credentials import credentials_places

        return credentials_places(self.data, only_data=self.only_data)

    def _unsigned_hint(self) -> str:
        looked = ", ".join(f"`{place}`" for place in self._places())
        return (
            f"the request was not signed, because no credentials were found: looked for {looked}; "
            "give `--access-key` and `--secret-key`, or a context"
        )


def _secret_once(user: str, text: str) -> "Secret":
    """Return the secret; a command that needs it twice asks only once."""
    meta = click.get_current_context().meta
    key = f"{__name__}.secret"
    if key not in meta:
        meta[key] = read_secret(text, "secret_key", f"the secret of {user}")
    found: Secret = meta[key]
    return found


_FILE_PATH = click.Path(path_type=Path)

_OPTIONS = (
    click.option(
        "-n",
        "--namesrv",
        envvar="MQGUARD_NAMESRV",
        default=NAMESRV,
        show_default=True,
        show_envvar=True,
        help="The name server; separate several with `;`.",
    ),
    click.option(
        "-c",
        "--cluster",
        envvar="MQGUARD_CLUSTER",
        show_envvar=True,
        help="The cluster [default: the only cluster].",
    ),
    click.option(
        "--access-key",
        envvar="MQGUARD_ACCESS_KEY",
        show_envvar=True,
        help="Your user name [default: from the context, or from tools.yml].",
    ),
    click.option("--secret-key", envvar="MQGUARD_SECRET_KEY", show_envvar=True, help=f"Your secret: {FORMS}."),
    click.option(
        "--data",
        envvar="MQGUARD_DATA",
        type=_FILE_PATH,
        default=DATA,
        show_default=True,
        show_envvar=True,
        help="The data directory of a server on this machine, with the administrator's credentials in tools.yml.",
    ),
    click.option(
        "--broker",
        multiple=True,
        envvar="MQGUARD_BROKERS",
        show_envvar=True,
        metavar="ADDRESS",
        help="Use this broker instead of those that the name server lists; repeatable.",
    ),
    click.option("--tls", is_flag=True, envvar="MQGUARD_TLS", show_envvar=True, help="Use TLS."),
    click.option(
        "--tls-ca",
        type=_FILE_PATH,
        envvar="MQGUARD_TLS_CA",
        show_envvar=True,
        help="Use TLS, and trust only the certificates in this file.",
    ),
    click.option(
        "--tls-cert",
        type=_FILE_PATH,
        envvar="MQGUARD_TLS_CERT",
        show_envvar=True,
        help="Use TLS, and show the certificate in this PEM file.",
    ),
    click.option(
        "--tls-key",
        type=_FILE_PATH,
        envvar="MQGUARD_TLS_KEY",
        show_envvar=True,
        help="The key of that certificate [default: in the same file].",
    ),
    click.option(
        "--timeout", type=click.FloatRange(0.1, 3600), default=5.0, show_default=True, help="Timeout in seconds."
    ),
    click.option(
        "--context",
        "context_name",
        envvar="MQGUARD_CONTEXT",
        show_envvar=True,
        metavar="NAME",
        help="Take options that are not given from this context; see `mqguard context`.",
    ),
)
CONTEXT_OPTIONS = tuple(name for name in Connection._fields if name not in Connection._field_defaults)
"""Options of a connection, which a context may have."""


def connection_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of a connection."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def with_connection(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of a connection, as its first argument `connection`."""

    @functools.wraps(command)
    def wrapped(**arguments: Any) -> None:
        values = {name: arguments.pop(name) for name in CONTEXT_OPTIONS}
        command(Connection(**_completed(values, arguments.pop("context_name"))), **arguments)

    return connection_options(wrapped)


def connection_of(context: click.Context) -> Connection:
    """Return the connection of a command that is not complete yet."""
    values = {name: context.params.get(name) for name in CONTEXT_OPTIONS}
    for option in context.command.params:
        name = str(option.name)
        if name in values and values[name] is None:
            default = option.get_default(context)
            is_set = isinstance(default, str | int | float | tuple)
            values[name] = option.type_cast_value(context, default if is_set else None)
    return Connection(**_completed(values, context.params.get("context_name")))


def is_given(name: str) -> bool:
    """True if an option is given on the command line or in the environment."""
    source = click.get_current_context().get_parameter_source(name)
    return source in (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT)


def _completed(values: dict[str, Any], context: str | None) -> dict[str, Any]:
    """Return the values of the options, with those of a context where none is given.

    The current context belongs to its name server: it counts only if no other one is given.
    """
    values["only_data"] = is_given("data")
    if context is None and (is_given("namesrv") or is_given("data")):
        return values
    found = _context_values(context)
    if is_given("access_key"):
        found.pop("secret_key", None)
    for name, value in found.items():
        if not is_given(name):
            values[name] = value
            values["only_data"] = values["only_data"] or name == "data"
    return values


def _context_values(name: str | None) -> dict[str, Any]:
    from mqguard.admin.credentials import contexts_path, read_contexts

    path = contexts_path()
    if name is None and not path.exists():
        return {}
    contexts = read_contexts(path)
    chosen = name or contexts.current
    return context_values(chosen, contexts.get(chosen)) if chosen else {}


def context_values(name: str, texts: dict[str, Any]) -> dict[str, Any]:
    """Return the values of a context's options, checked as on the command line.

    Raises:
        UsageError: An option is unknown, or its value is not valid.
    """
    command = click.get_current_context().command
    options = {option.name: option for option in command.params if option.name in CONTEXT_OPTIONS}
    values = {}
    for key, text in texts.items():
        option = options.get(key.replace("-", "_"))
        if option is None:
            known = ", ".join(f"`{one.replace('_', '-')}`" for one in CONTEXT_OPTIONS)
            raise click.UsageError(f"the context `{name}` has the unknown option `{key}`: the options are {known}")
        try:
            values[str(option.name)] = option.type_cast_value(click.get_current_context(), text)
        except click.BadParameter as error:
            raise click.UsageError(f"the context `{name}`: `{key}`: {error.message}") from None
    return values


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
        from mqguard.admin.broker_states import common_state
        from mqguard.admin.policy_files import load_document

        if self.file is not None and self.store is not None:
            raise click.UsageError("`--file` and `--store` are two sources of users and policies: give only one")
        if self.file is not None:
            document = load_document(self.file)
            return document.directory, document
        if self.store is not None:
            from mqguard.runtime.access import read_stored

            state, why = read_stored(self.store)
            if why:
                warn(f"users are read without their secrets: {why}")
            return state, None
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
