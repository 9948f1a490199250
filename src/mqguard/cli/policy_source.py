"""Sources of users and policies that commands read: a policy file, a data directory, or a running cluster."""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from mqguard.cli.connection import Connection, with_connection

if TYPE_CHECKING:
    from mqguard.admin.broker_states import BrokerState
    from mqguard.auth.analysis.access_state import AccessState
    from mqguard.auth.documents.document import Document

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
            from mqguard.runtime.offline import open_manager

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
