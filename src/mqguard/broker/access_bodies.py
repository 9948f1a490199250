"""Users and policies in the form in which administrators get them."""

from mqguard.auth.policy import Acl, Entry
from mqguard.auth.user import User
from mqguard.remoting.bodies.access import AclInfo, EntryInfo, PolicyInfo, UserInfo, UserSecretsInfo


def user_info(user: User, password: str | None) -> UserInfo:
    """A user, with what is shown in place of its secret."""
    return UserInfo(username=user.name, password=password, user_type=user.type.value, user_status=user.status.value)


def user_secrets_info(user: User, password: str | None, now_ms: int) -> UserSecretsInfo:
    """The same, and how many secrets the user has."""
    ends = [live.not_after for live in user.secrets if live.not_after is None or live.not_after >= now_ms]
    return UserSecretsInfo(
        username=user.name,
        password=password,
        user_type=user.type.value,
        user_status=user.status.value,
        live_secrets=len(ends),
        old_secret_until=min((end for end in ends if end is not None), default=None),
        incarnation=user.incarnation,
        confirmed=user.confirmed,
    )


def acl_info(acl: Acl) -> AclInfo:
    """The policies of a subject."""
    return AclInfo(
        subject=acl.subject.key,
        policies=[
            PolicyInfo(policy_type=policy.type.value, entries=[_entry(entry) for entry in policy.entries])
            for policy in acl.policies
        ],
    )


def _entry(entry: Entry) -> EntryInfo:
    return EntryInfo(
        resource=entry.resource.key,
        actions=[action.value for action in entry.actions],
        source_ips=[source.text for source in entry.sources] or None,
        decision=entry.decision.value,
    )
