"""Changes of users and policies at mqguard brokers: at each broker all of them or none."""

from collections.abc import Collection, Sequence

from mqguard.admin.broker_states import BrokerState
from mqguard.admin.errors import ChangesIncomplete, ChangesTooMany, PeerRefused
from mqguard.admin.session import Session
from mqguard.auth.analysis.access_state import AccessState
from mqguard.auth.incarnation import MeantUsers
from mqguard.auth.policy import Acl
from mqguard.auth.ports import Change, DeleteAcl, DeleteUser, PutAcl, PutUser
from mqguard.net.errors import LinkClosed, LinkError
from mqguard.remoting.bodies.access import AclInfo, ChangesInfo, EntryInfo, PolicyInfo, UserInfo
from mqguard.remoting.bodies.codec import encode
from mqguard.remoting.codes import RequestCode
from mqguard.remoting.headers.access import ChangesHeader

_MIB = 1 << 20
_MAX_SAFE_BYTES = 16 * _MIB - 1024
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
        put_acls=[_acl(change.acl) for change in changes if isinstance(change, PutAcl)],
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
        if len(data) < _MAX_SAFE_BYTES:
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


def _acl(acl: Acl) -> AclInfo:
    policies = [
        PolicyInfo(
            policy_type=policy.type.value,
            entries=[
                EntryInfo(
                    resource=entry.resource.key,
                    actions=[action.value for action in entry.actions],
                    source_ips=[source.text for source in entry.sources],
                    decision=entry.decision.value,
                )
                for entry in policy.entries
            ],
        )
        for policy in acl.policies
    ]
    return AclInfo(subject=acl.subject.key, policies=policies)
