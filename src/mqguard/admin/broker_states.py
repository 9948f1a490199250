"""Users and policies of a running cluster: read from each of its brokers, and changed at mqguard brokers."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from mqguard.admin import policies, users
from mqguard.admin.client import Client
from mqguard.admin.errors import (
    AnswerInvalid,
    ChangesIncomplete,
    ChangesTooMany,
    ClusterUnknown,
    PeerRefused,
    SourceUnavailable,
)
from mqguard.admin.session import Session
from mqguard.auth.analysis.access_state import AccessState
from mqguard.auth.errors import MetadataStoreFailed, PolicyInvalid
from mqguard.auth.incarnation import MeantUsers
from mqguard.auth.ports import Change, DeleteAcl, DeleteUser, PutAcl, PutUser
from mqguard.auth.seal import MASK, SealInvalid, is_sealed, transfer_keys
from mqguard.auth.snapshot import Snapshot
from mqguard.auth.user import NO_INCARNATION, LiveSecret, Secret, User, UserStatus, UserType
from mqguard.config.secret import Credentials
from mqguard.net.errors import LinkClosed, LinkError
from mqguard.remoting.bodies.access import ChangesInfo, UserInfo
from mqguard.remoting.bodies.codec import encode
from mqguard.remoting.codes import RequestCode
from mqguard.remoting.headers.access import ChangesHeader


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
        secret = shown_secret(one.name, one.password, credentials)
        secrets = () if secret is None else (LiveSecret(secret),)
        kind, status = UserType.parse(one.type), UserStatus.parse(one.status)
        # Apache's brokers have no incarnations, and take no changes of a document.
        confirmed = one.confirmed or one.incarnation is None
        found.append(User(one.name, secrets, kind, status, one.incarnation or NO_INCARNATION, confirmed=confirmed))
    return AccessState.of(found, policies.find(session))


def shown_secret(name: str, text: str | None, credentials: Credentials | None) -> Secret | None:
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


_MIB = 1 << 20
MAX_SAFE_BYTES = 16 * _MIB - 1024
"""Maximum size of a body that fits into the longest frame that a broker accepts by default, 16 MiB."""

_SECONDS_PER_MIB = 5.0
"""Extra time to wait for the answer to a large change, as a slow and busy machine may need it."""


def apply(session: Session, changes: Sequence[Change], meant: MeantUsers) -> None:
    """Apply changes at one broker.

    Args:
        session: Connection to the broker.
        changes: Changes to apply; a user without secrets keeps the secrets that it has.
        meant: Users that the changes are meant for.

    Raises:
        PeerRefused: The caller has no permission, a user has another incarnation, or a change is not possible;
            nothing has changed.
        ChangesTooMany: The changes do not fit into one request; nothing has changed.
        LinkError: The broker did not answer; it may have made the changes.
    """
    body = ChangesInfo(
        put_users=[_user(change) for change in changes if isinstance(change, PutUser)],
        put_acls=[policies.acl_info(change.acl) for change in changes if isinstance(change, PutAcl)],
        delete_acls=[change.subject.key for change in changes if isinstance(change, DeleteAcl)],
        delete_users=[change.name for change in changes if isinstance(change, DeleteUser)],
        incarnations=dict(meant.incarnations) or None,
        confirmed=list(meant.confirmed) or None,
    )
    data = encode(body)
    size = len(data) / _MIB
    try:
        session.call(
            RequestCode.AUTH_UPDATE_ACL, ChangesHeader(mqguard_changes="1"), data, more_seconds=size * _SECONDS_PER_MIB
        )
    except LinkClosed as error:
        if len(data) < MAX_SAFE_BYTES:
            raise
        # A broker closes the connection without an answer if a frame is too long.
        raise ChangesTooMany(
            f"{error}: the changes are {size:.0f} MiB, and brokers accept at most 16 MiB at once by default: split the "
            "policy file by users, or apply it to a stopped server with `--store`"
        ) from None


def apply_at(
    brokers: Sequence[BrokerState],
    changes_of: Sequence[Sequence[Change]],
    confirmed_of: Sequence[Collection[str]] | None = None,
) -> None:
    """Apply the changes of each broker, one broker after the other.

    Args:
        brokers: Brokers in the order in which they change.
        changes_of: Changes for each broker; a broker without changes gets no request.
        confirmed_of: For each broker, users that an operator has confirmed.

    Raises:
        PeerRefused: The first broker refused; nothing has changed.
        ChangesTooMany: The changes do not fit into one request to the first broker; nothing has changed.
        ChangesIncomplete: A later broker refused; the message names the brokers that have changed.
        LinkError: A broker did not answer; the message says what is known.
    """
    done: list[str] = []
    confirmed = confirmed_of or [()] * len(brokers)
    for broker, wanted, known in zip(brokers, changes_of, confirmed, strict=True):
        if not wanted:
            continue
        try:
            apply(broker.session, wanted, meant_users(wanted, broker.directory, known))
        except LinkError as error:
            unknown = f"`{broker.name}` may have made the changes or not: check with `mqguard plan` before you repeat"
            raise type(error)(f"{error}: {unknown}{_changed_text(done)}") from None
        except (ChangesTooMany, PeerRefused) as error:
            if not done:
                raise
            raise ChangesIncomplete(f"`{broker.name}` refuses: {error}{_changed_text(done)}") from None
        done.append(broker.name)


def meant_users(changes: Sequence[Change], seen: AccessState, confirmed: Collection[str] = ()) -> MeantUsers:
    """Return the users that changes are meant for: the users of the state that the caller has seen."""
    names = [change.user.name for change in changes if isinstance(change, PutUser)]
    names += [change.acl.subject.name for change in changes if isinstance(change, PutAcl)]
    incarnations = {name: seen.users[name].incarnation for name in names if name in seen.users}
    return MeantUsers(incarnations, sorted(incarnations.keys() & set(confirmed)))


def _changed_text(done: list[str]) -> str:
    names = ", ".join(f"`{name}`" for name in done)
    return f"; already changed: {names}" if done else ""


def _user(change: PutUser) -> UserInfo:
    user = change.user
    password = user.secrets[0].secret.reveal() if user.secrets else None
    return UserInfo(username=user.name, password=password, user_type=user.type.value, user_status=user.status.value)
