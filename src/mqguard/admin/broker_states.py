"""Users and policies of a running cluster, read from each of its brokers."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from mqguard.admin import policies, users
from mqguard.admin.client import Client
from mqguard.admin.errors import AnswerInvalid, ClusterUnknown, PeerRefused, SourceUnavailable
from mqguard.admin.session import Session
from mqguard.auth.analysis.access_state import AccessState
from mqguard.auth.errors import MetadataStoreFailed, PolicyInvalid
from mqguard.auth.sealing import MASK, SealInvalid, is_sealed, transfer_keys
from mqguard.auth.snapshot import Snapshot
from mqguard.auth.user import NO_INCARNATION, LiveSecret, Secret, User, UserStatus, UserType
from mqguard.config.secret import Credentials


class BrokerState(NamedTuple):
    """Users and policies of one broker.

    Attributes:
        name: Name of the broker.
        session: Connection to the broker.
        directory: Users and policies, with the secrets that the broker shows to the caller.
    """

    name: str
    session: Session
    directory: AccessState


@contextmanager
def unavailable_errors() -> Iterator[None]:
    """Raise `SourceUnavailable` for errors of the source, so that no caller takes them for a finding."""
    try:
        yield
    except (AnswerInvalid, ClusterUnknown, MetadataStoreFailed, PeerRefused) as error:
        raise SourceUnavailable(str(error)) from error


def read_brokers(client: Client, cluster: str | None, credentials: Credentials | None) -> list[BrokerState]:
    """Read users and policies of every broker of a cluster.

    Args:
        client: Client of the cluster; the sessions in the result end with it.
        cluster: Name of the cluster; None if there is only one.
        credentials: Credentials of the client, which may open sealed secrets.

    Raises:
        LinkError: A server cannot be reached.
        SourceUnavailable: A server refuses, or sends an answer that cannot be read.
    """
    with unavailable_errors():
        sessions = [(broker.name, client.at(broker.address)) for broker in client.brokers(cluster)]
        return [BrokerState(name, session, _read_broker(session, credentials)) for name, session in sessions]


def common_state(brokers: Sequence[BrokerState]) -> AccessState:
    """Return the users and policies that all brokers have.

    Raises:
        PolicyInvalid: The brokers have different users or policies.
    """
    for broker in brokers[1:]:
        if broker.directory != brokers[0].directory:
            raise PolicyInvalid(
                f"the brokers `{brokers[0].name}` and `{broker.name}` have different users or policies: "
                "use `mqguard apply` to bring every broker to the state of one policy file"
            )
    return brokers[0].directory


def state_of(snapshot: Snapshot) -> AccessState:
    """Return a snapshot as a state to analyse and to compare, secrets included."""
    return AccessState.of(snapshot.users(), snapshot.acls())


def _read_broker(session: Session, credentials: Credentials | None) -> AccessState:
    found = []
    for one in users.find(session):
        secret = _shown_secret(one.name, one.password, credentials)
        secrets = () if secret is None else (LiveSecret(secret),)
        kind, status = UserType.parse(one.type), UserStatus.parse(one.status)
        # Apache's brokers have no incarnations, and take no changes of a document.
        confirmed = one.confirmed or one.incarnation is None
        found.append(User(one.name, secrets, kind, status, one.incarnation or NO_INCARNATION, confirmed=confirmed))
    return AccessState.of(found, policies.find(session))


def _shown_secret(name: str, text: str | None, credentials: Credentials | None) -> Secret | None:
    """Return the secret that a server shows of a user, None if the server hides it from the caller."""
    if not text or text == MASK:
        return None
    sealed = text.removeprefix(MASK)
    if not is_sealed(sealed):
        return Secret(text)
    if credentials is None:
        return None
    for key in transfer_keys(User(credentials.name, (LiveSecret(credentials.secret),), UserType.SUPER)):
        if key.made(sealed):
            try:
                return key.open(name, sealed)
            except SealInvalid:
                return None
    return None
