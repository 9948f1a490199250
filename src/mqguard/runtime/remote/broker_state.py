"""Users and policies of several brokers: how each broker has them, and what all of them have in common.

Rule 1: a user is in force as the brokers have it only if all of them have the same user with the same policies.
Otherwise it is disabled here until they agree again, so no decision depends on the broker that was asked.
Rule 2: a user or a policy that cannot be read counts as different.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from mqguard.admin import policies, users
from mqguard.admin.broker_states import shown_secret
from mqguard.admin.client import read
from mqguard.admin.session import Session
from mqguard.auth.errors import PolicyInvalid
from mqguard.auth.policy import Acl
from mqguard.auth.ports import Change, DeleteAcl, DeleteUser, PutAcl, PutUser
from mqguard.auth.user import LiveSecret, Subject, User, UserStatus, UserType
from mqguard.config.secret import Credentials
from mqguard.remoting.bodies.access import AclInfo, UserInfo
from mqguard.remoting.codes import RequestCode
from mqguard.remoting.headers.access import AclFilterHeader, UserFilterHeader


class BrokerAccess(NamedTuple):
    """Users and policies of one broker.

    Attributes:
        users: Users by name; None if a user cannot be read.
        acls: Policies by the name of their subject; None if they cannot be read.
        bodies: The answers that they were read from.
    """

    users: dict[str, User | None]
    acls: dict[str, Acl | None]
    bodies: tuple[bytes, bytes]


class Common(NamedTuple):
    """One name at all brokers.

    Attributes:
        user: The user; disabled if the brokers differ. None if no broker has it.
        acl: Its policies, those of the first broker that has any.
        difference: The difference between the brokers, empty without one.
    """

    user: User | None
    acl: Acl | None
    difference: str


def read_broker(session: Session, credentials: Credentials | None, before: BrokerAccess | None) -> BrokerAccess:
    """Read the users and policies of a broker (3005, 3010).

    Args:
        session: Connection to the broker.
        credentials: The credentials of the connection, which open sealed secrets.
        before: The last known state of the broker, which is returned again if nothing has changed.

    Raises:
        PeerRefused: The broker refuses.
        AnswerInvalid: An answer has another form.
        LinkError: The broker does not answer.
    """
    listed = session.call(RequestCode.AUTH_LIST_USER, UserFilterHeader(filter=""))
    granted = session.call(RequestCode.AUTH_LIST_ACL, AclFilterHeader(subject_filter="", resource_filter=""))
    bodies = bytes(listed.body), bytes(granted.body)
    if before is not None and before.bodies == bodies:
        return before
    infos = read(listed, list[UserInfo]) if listed.body else []
    acl_infos = read(granted, list[AclInfo]) if granted.body else []
    found = {info.username: _user(info, credentials) for info in infos if info.username}
    acls: dict[str, Acl | None] = {}
    for info in acl_infos:
        name = (info.subject or "").partition(":")[2]
        try:
            acls[name] = policies.acl_of(info)
        except PolicyInvalid:
            acls[name] = None
    return BrokerAccess(found, acls, bodies)


def _user(info: UserInfo, credentials: Credentials | None) -> User | None:
    name = info.username or ""
    secret = shown_secret(name, info.password, credentials)
    try:
        kind, status = UserType.parse(info.user_type or ""), UserStatus.parse(info.user_status or "")
    except PolicyInvalid:
        return None
    return None if secret is None else User(name, (LiveSecret(secret),), kind, status)


def common_access(brokers: Mapping[str, BrokerAccess]) -> dict[str, Common]:
    """Return the users and policies that several brokers have, by name.

    Args:
        brokers: Their users and policies by the name of the broker.
    """
    names = {name for broker in brokers.values() for name in (*broker.users, *broker.acls)}
    return {name: _common(name, brokers) for name in names}


def _common(name: str, brokers: Mapping[str, BrokerAccess]) -> Common:
    difference = _difference(name, brokers)
    first, *others = brokers.values()
    acl = next((one for broker in brokers.values() if (one := broker.acls.get(name)) is not None), None)
    if not difference:
        return Common(first.users.get(name), acl, "")
    found = [user for broker in (first, *others) if (user := broker.users.get(name)) is not None]
    is_known = any(name in broker.users for broker in brokers.values())
    if not is_known:
        return Common(None, acl, difference)
    is_super = len(found) == len(brokers) and all(user.is_super for user in found)
    kind = UserType.SUPER if is_super else UserType.NORMAL
    # Each user that was read has one secret.
    is_same_secret = all(user.secrets[0].secret.equals(found[0].secrets[0].secret) for user in found)
    secrets = found[0].secrets if found and is_same_secret else ()
    return Common(User(name, secrets, kind, UserStatus.DISABLE), acl, difference)


def _difference(name: str, brokers: Mapping[str, BrokerAccess]) -> str:
    """Return how the brokers differ in a user or its policies, empty if they do not."""
    (first_name, first), *others = brokers.items()
    for broker, state in brokers.items():
        if name in state.users and state.users[name] is None:
            return f"`{broker}` does not show the user in a form that can be read"
        if name in state.acls and state.acls[name] is None:
            return f"`{broker}` has policies that are not valid"
    for broker, state in others:
        if (name in state.users) is not (name in first.users):
            has, lacks = (broker, first_name) if name in state.users else (first_name, broker)
            return f"`{has}` has the user, and `{lacks}` does not"
        if (detail := _user_difference(first.users.get(name), state.users.get(name))) or (
            detail := "policies" if _entries(first.acls.get(name)) != _entries(state.acls.get(name)) else ""
        ):
            return f"`{first_name}` and `{broker}` have different {detail}"
    return ""


def _user_difference(one: User | None, other: User | None) -> str:
    if one is None or other is None or one == other:
        return ""
    if one.type is not other.type:
        return "types of the user"
    return "states of the user" if one.status is not other.status else "secrets of the user"


def _entries(acl: Acl | None) -> frozenset[object]:
    """Return the entries of policies in a form that can be compared, whatever their order."""
    if acl is None:
        return frozenset()
    return frozenset(
        (policy.type, entry.resource, frozenset(entry.actions), frozenset(entry.sources), entry.decision)
        for policy in acl.policies
        for entry in policy.entries
    )


def changes_between(before: Mapping[str, Common], after: Mapping[str, Common]) -> Iterator[Change]:
    """Yield the changes that lead from one state to another."""
    nothing = Common(None, None, "")
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name, nothing), after.get(name, nothing)
        if new.user is None and old.user is not None:
            yield DeleteUser(name)
        elif new.user is not None and new.user != old.user:
            yield PutUser(new.user)
        if new.acl is None and old.acl is not None:
            yield DeleteAcl(Subject(name))
        elif new.acl is not None and _entries(new.acl) != _entries(old.acl):
            yield PutAcl(new.acl)


class BrokerChanges:
    """Makes changes at one broker, with as few requests as possible.

    Entries are added, replaced and removed one by one. So another administrator, who changes other entries at the same
    time, loses nothing.

    Args:
        session: Connection to the broker.
        state: Its users and policies right before the changes; it is changed too.
    """

    def __init__(self, session: Session, state: BrokerAccess) -> None:
        self._session = session
        self._users = dict(state.users)
        self._acls = dict(state.acls)

    def make(self, change: Change) -> None:
        """Make a change.

        Raises:
            PeerRefused: The broker refuses.
            LinkError: The broker does not answer; it may have made the change.
        """
        match change:
            case PutUser(user):
                self._put_user(user)
            case DeleteUser(name):
                if name in self._users or name in self._acls:
                    users.delete(self._session, name)
                    self._users.pop(name, None)
                    self._acls.pop(name, None)
            case PutAcl(acl):
                self._put_acl(acl)
            case DeleteAcl(subject):
                if subject.name in self._acls:
                    policies.delete(self._session, subject)
                    del self._acls[subject.name]

    def _put_user(self, user: User) -> None:
        secret = user.secrets[0].secret if user.secrets else None
        if user.name not in self._users:
            if secret is None:
                raise PolicyInvalid(f"the user `{user.name}` has no secret, and brokers keep no such user")
            users.create(self._session, user.name, secret, user.type.value)
            if not user.is_enabled:
                users.update(self._session, user.name, status=user.status.value)
        else:
            old = self._users[user.name]
            is_same_secret = old is not None and secret is not None and old.secrets[0].secret.equals(secret)
            users.update(
                self._session,
                user.name,
                secret=None if is_same_secret else secret,
                user_type=user.type.value,
                status=user.status.value,
            )
        self._users[user.name] = user

    def _put_acl(self, acl: Acl) -> None:
        subject, is_known = acl.subject, acl.subject.name in self._acls
        old = self._acls.get(subject.name)
        if is_known and (old is None or _repeats(old) or _repeats(acl)):
            # The broker cannot distinguish these entries. The user has no rights for a moment.
            policies.delete(self._session, subject)
            old = None
        for policy in acl.policies:
            before = {entry.resource: entry for entry in _of_type(old, policy.type)}
            changed = [entry for entry in policy.entries if before.get(entry.resource) != entry]
            if changed:
                policies.update(self._session, subject, changed, policy.type)
        for policy in () if old is None else old.policies:
            kept = {entry.resource for entry in _of_type(acl, policy.type)}
            for entry in policy.entries:
                if entry.resource not in kept:
                    policies.delete(self._session, subject, entry.resource, policy.type)
        self._acls[subject.name] = acl


def _of_type(acl: Acl | None, kind: object) -> list:  # type: ignore[type-arg]
    return [
        entry for policy in (() if acl is None else acl.policies) if policy.type is kind for entry in policy.entries
    ]


def _repeats(acl: Acl) -> bool:
    """True if a resource has several entries of one type."""
    return any(len({entry.resource for entry in policy.entries}) < len(policy.entries) for policy in acl.policies)
