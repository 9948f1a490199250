"""Where commands about policies find users and policies: a file, a stopped server's data, or a running server."""

import functools
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import click

from mqguard.cli.connection import Connection, connected
from mqguard.cli.exits import Exit
from mqguard.errors import MqguardError

if TYPE_CHECKING:
    from mqguard.admin.session import Session
    from mqguard.auth.analysis.directory import Directory
    from mqguard.auth.documents.document import Document
    from mqguard.auth.manager import MetadataManager
    from mqguard.auth.snapshot import Snapshot
    from mqguard.auth.user import Secret
    from mqguard.config.secret import Credentials

MAX_FILE = 64 << 20
"""Bytes of the longest file that is read: a million entries fit."""

MOST_PROBLEMS = 100
"""Problems of a file that are told; of those beyond, the number is."""

_FILE = click.option("-f", "--file", type=click.Path(path_type=Path), help="A policy file, instead of the server.")
_STORE = click.option(
    "--store", type=click.Path(path_type=Path), help="The data directory of a stopped server, instead of the server."
)


class SourceUnavailable(MqguardError):
    """Users and policies cannot be read where they are; ends with `Exit.UNREACHABLE`, never like a verdict."""


@contextmanager
def _reading() -> "Iterator[None]":
    """Tell apart what a command finds from what it cannot look at."""
    from mqguard.admin.errors import AnswerInvalid, ClusterUnknown, PeerRefused
    from mqguard.auth.errors import MetadataStoreFailed

    try:
        yield
    except (AnswerInvalid, ClusterUnknown, MetadataStoreFailed, PeerRefused) as error:
        raise SourceUnavailable(str(error)) from error


class PolicySource(NamedTuple):
    """Where users and policies are: in a file, in the data directory of a stopped server, else at a running server."""

    connection: Connection
    file: Path | None
    store: Path | None

    def load(self) -> "tuple[Directory, Document | None]":
        """Users and policies, and the document if they are in a file.

        Raises:
            click.UsageError: Both places were given.
            PolicyInvalid: The file cannot be read, or something in it is wrong.
            SourceUnavailable: The data directory cannot be read, or the server does not answer with them.
            Unreachable: There is no server.
        """
        if self.file is not None and self.store is not None:
            raise click.UsageError("users and policies are in one place: give `--file` or `--store`, not both")
        if self.file is not None:
            document = load_document(self.file)
            return document.directory, document
        if self.store is not None:
            with open_manager(self.store) as manager, _reading():
                return directory_of(manager.snapshot), None
        with open_brokers(self.connection) as brokers:
            return _agreed(brokers), None


def sourced(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of a policy source, as its first argument `source`."""

    @functools.wraps(command)
    def wrapped(connection: Connection, file: Path | None, store: Path | None, **arguments: Any) -> None:
        command(PolicySource(connection, file, store), **arguments)

    return _FILE(_STORE(connected(wrapped)))


def end(code: Exit) -> NoReturn:
    """Leave a command with an exit code."""
    click.get_current_context().exit(code)
    raise AssertionError  # click's exit raises


class BrokerState(NamedTuple):
    """What one broker of a running cluster has.

    Attributes:
        name: The broker's name.
        session: The connection to it.
        directory: Its users and policies; secrets are in it where the server shows them, sealed ones to Super users.
    """

    name: str
    session: "Session"
    directory: "Directory"


@contextmanager
def open_brokers(connection: Connection) -> "Iterator[list[BrokerState]]":
    """The users and policies of every broker of a running cluster, as long as the connections stay open.

    Raises:
        Unreachable: There is no server.
        SourceUnavailable: The server does not answer with them, such as to a user that may not read them.
    """
    credentials = connection.credentials()
    with connection.client() as client:
        with _reading():
            sessions = [(broker.name, client.at(broker.address)) for broker in client.brokers(connection.cluster)]
            found = [BrokerState(name, session, _read_broker(session, credentials)) for name, session in sessions]
        yield found


def _agreed(brokers: list[BrokerState]) -> "Directory":
    """What all brokers have.

    Raises:
        PolicyInvalid: They have different users or policies.
    """
    from mqguard.auth.errors import PolicyInvalid

    for broker in brokers[1:]:
        if broker.directory != brokers[0].directory:
            raise PolicyInvalid(
                f"the brokers `{brokers[0].name}` and `{broker.name}` have different users or policies: "
                "`mqguard apply` brings each of them to what a file says"
            )
    return brokers[0].directory


def _read_broker(session: "Session", asker: "Credentials | None") -> "Directory":
    from mqguard.admin import policies, users
    from mqguard.auth.analysis.directory import Directory
    from mqguard.auth.user import NO_INCARNATION, LiveSecret, User, UserStatus, UserType

    found = []
    for info in users.find(session):
        name = info.username or ""
        secret = _shown_secret(name, info.password, asker)
        secrets = () if secret is None else (LiveSecret(secret),)
        kind, status = UserType.parse(info.user_type or ""), UserStatus.parse(info.user_status or "")
        incarnation = info.incarnation or NO_INCARNATION
        # A broker of Apache knows no incarnations, and takes no changes of a document.
        confirmed = bool(info.confirmed) or info.incarnation is None
        found.append(User(name, secrets, kind, status, incarnation, confirmed=confirmed))
    return Directory.of(found, policies.find(session))


def _shown_secret(name: str, text: str | None, asker: "Credentials | None") -> "Secret | None":
    """The secret that a server shows of a user, None if it hides it from who asks."""
    from mqguard.auth.sealing import SealInvalid, is_sealed
    from mqguard.auth.user import LiveSecret, Secret, User, UserType
    from mqguard.broker.configuration import MASK
    from mqguard.broker.exposure import travel_keys

    if not text or text == MASK:
        return None
    sealed = text.removeprefix(MASK)
    if not is_sealed(sealed):
        return Secret(text)
    keys = [] if asker is None else travel_keys(User(asker.name, (LiveSecret(asker.secret),), UserType.SUPER))
    for key in keys:
        if key.made(sealed):
            try:
                return key.open(name, sealed)
            except SealInvalid:
                return None
    return None


def load_document(path: Path) -> "Document":
    """Read a policy file.

    Raises:
        FileInvalid: It cannot be read, or something in it is wrong; every problem has its line and column.
    """
    from mqguard.auth.documents.problems import DocumentInvalid
    from mqguard.auth.documents.reading import read_document

    text = read_text(path)
    try:
        return read_document(text)
    except DocumentInvalid as error:
        raise located(path, error) from None


def located(path: Path, error: Exception) -> Exception:
    """The error with the file before each of its problems, a line each."""
    from mqguard.auth.documents.problems import DocumentInvalid
    from mqguard.auth.errors import PolicyInvalid

    if not isinstance(error, DocumentInvalid):
        return error
    lines = [f"{path}:{problem.mark}: {problem.message}" for problem in error.problems[:MOST_PROBLEMS]]
    more = len(error.problems) - len(lines)
    return PolicyInvalid("\n".join([*lines, f"and {more} more"] if more else lines))


def read_text(path: Path) -> str:
    """The text of a file, `-` for standard input.

    Raises:
        PolicyInvalid: It cannot be read, is too long, or is no UTF-8.
    """
    from mqguard.auth.errors import PolicyInvalid

    try:
        data = _read(path)
    except OSError as error:
        raise PolicyInvalid(f"the file `{path}` cannot be read: {error.strerror}") from None
    if len(data) > MAX_FILE:
        raise PolicyInvalid(f"the file `{path}` is longer than {MAX_FILE >> 20} MiB")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise PolicyInvalid(f"the file `{path}` is no UTF-8: line {line} has another encoding") from None


def _read(path: Path) -> bytes:
    if str(path) == "-":
        return sys.stdin.buffer.read(MAX_FILE + 1)
    with path.open("rb") as stream:
        return stream.read(MAX_FILE + 1)


@contextmanager
def open_manager(data: Path) -> "Iterator[MetadataManager]":
    """The users and policies in a data directory; no server may run on it.

    A change is stored with its record, which the next start of a server writes to the audit log.

    Raises:
        PolicyInvalid: It is no data directory.
        SourceUnavailable: It is in use, or cannot be read.
    """
    from mqguard.auth.errors import PolicyInvalid
    from mqguard.auth.manager import MetadataManager
    from mqguard.runtime.access import recorder
    from mqguard.runtime.clock import SystemClock
    from mqguard.runtime.incarnations import new_incarnation
    from mqguard.store.access_key import load_sealing_key
    from mqguard.store.metadata.rocksdb import RocksMetadataStore

    if not (data / "access").is_dir():
        raise PolicyInvalid(f"`{data}` is no data directory of mqguard: it has no `access` directory")
    given = os.environ.get("MQGUARD_SEALING_KEY")
    if given is None and not (data / "sealing.key").exists():
        # A key made here would open nothing, and would hide that the right one is elsewhere.
        raise PolicyInvalid(f"`{data}` has no `sealing.key`: give the key of its secrets in MQGUARD_SEALING_KEY")
    key = load_sealing_key(data / "sealing.key", given)
    with _reading():
        store = RocksMetadataStore(data / "access", key)
    try:
        with _reading():
            manager = MetadataManager(store, new_incarnation)
        with manager.recorded(recorder(manager, SystemClock(), "change-offline", "a command, without a server")):
            yield manager
    finally:
        store.close()


def directory_of(snapshot: "Snapshot") -> "Directory":
    """A snapshot as a state to analyse and to compare, secrets included."""
    from mqguard.auth.analysis.directory import Directory

    return Directory.of(snapshot.users(), snapshot.acls())
