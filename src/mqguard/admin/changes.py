"""Several changes of a broker's users and policies, made together or not at all; brokers of mqguard alone know it."""

from collections.abc import Sequence

from mqguard.admin.errors import ChangesTooMany
from mqguard.admin.session import Session
from mqguard.auth.incarnation import MeantUsers
from mqguard.auth.policy import Acl
from mqguard.auth.ports import Change, DeleteAcl, DeleteUser, PutAcl, PutUser
from mqguard.net.errors import LinkClosed
from mqguard.remoting.bodies.access import AclInfo, ChangesInfo, EntryInfo, PolicyInfo, UserInfo
from mqguard.remoting.bodies.codec import encode
from mqguard.remoting.codes import RequestCode
from mqguard.remoting.headers.access import ChangesHeader

_MIB = 1 << 20
_MANY = 16 * _MIB - 1024
"""Bytes of a body that may not fit into the longest frame that brokers take, which is 16 MiB by default."""

_SECONDS_PER_MIB = 5.0
"""How much longer a broker may take for a large change, on a slow machine that has other work."""


def apply(session: Session, changes: Sequence[Change], meant: MeantUsers) -> None:
    """Make changes.

    Args:
        session: The broker.
        changes: A user without secrets keeps those it has.
        meant: The users that the changes are meant for.

    Raises:
        PeerRefused: The caller may not, a user is of another incarnation, or a change cannot be made; nothing has
            changed.
        ChangesTooMany: They are more than the broker takes in one request; nothing has changed.
        LinkError: There is no answer, so it is not known whether they were made.
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
        if len(data) < _MANY:
            raise
        # A broker closes a connection whose frame is too long, without a word.
        raise ChangesTooMany(
            f"{error}: the changes are {size:.0f} MiB, and brokers take no more than 16 MiB at once by default: divide "
            "the file by users, or give the changes to a stopped server with `--store`"
        ) from None


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
