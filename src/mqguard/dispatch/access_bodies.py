"""Users and policies on the wire: as administrators get them, and as they send them.

Several changes can be one request, which is 3007 with the ext field `mqguardChanges`. So it needs the permissions of
every change of policies. A server that does not know the field finds no policies in the body and refuses the request
without a change.

The secret of a user can be sent in a sealed form: asterisks, and behind them the encrypted secret. Apache's `copyUser`
reads a user at one broker and writes it at another. So the copy works, and the secret is unreadable on the way.

If a Super user sent the request, the key is derived from that user's own secret. Each mqguard that has the same Super
user can open it, and needs no other secret in common. For all others, the key is this server's sealing key, which only
mqguards with the same key file have.
"""

import enum
from collections.abc import Callable, Iterator, Sequence

from mqguard.auth.acl_parser import EntryText, PolicyText, read_acl, read_subject
from mqguard.auth.errors import MetadataRejected, PolicyInvalid
from mqguard.auth.policy import Acl, Entry
from mqguard.auth.ports import Change, DeleteAcl, DeleteUser, PutAcl, PutUser
from mqguard.auth.seal import MASK, SealingKey, SealInvalid, is_sealed, transfer_keys
from mqguard.auth.snapshot import Snapshot
from mqguard.auth.source import check_sources
from mqguard.auth.user import LiveSecret, Secret, User, UserStatus, UserType
from mqguard.model.text import is_blank
from mqguard.remoting.bodies.access import AclInfo, ChangesInfo, EntryInfo, PolicyInfo, UserInfo, UserSecretsInfo


class SecretExposure(enum.Enum):
    """Form in which an administrator gets the secret of a user."""

    SEALED = "sealed"
    """Encrypted behind asterisks: unreadable, but other mqguards accept it as the password (see `SecretTransfer`)."""
    MASKED = "masked"
    """Asterisks only."""
    PLAIN = "plain"
    """Cleartext, as Apache's broker sends it."""


def user_info(user: User, password: str | None) -> UserInfo:
    """Return the body for a user; `password` replaces its secret."""
    return UserInfo(username=user.name, password=password, user_type=user.type.value, user_status=user.status.value)


def user_secrets_info(user: User, password: str | None, now_ms: int) -> UserSecretsInfo:
    """Return the body for a user, with the number of its secrets and other details."""
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
    """Return the body for the policies of a subject."""
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


CHANGES_FIELD = "mqguardChanges"
"""Ext field of 3007 with the value `1`: the body is a `ChangesInfo`."""

MAX_USERNAME_CHARS = 255
"""Maximum characters of the name of a new user; names from plugins have the same limit."""

OpenSecret = Callable[[str, str | None], str | None]
"""Function that opens the secret that was sent for a user, such as `SecretTransfer.open`."""


def read_changes(info: ChangesInfo, snapshot: Snapshot, open_secret: OpenSecret) -> tuple[Change, ...]:
    """Return the changes of a body: users, then policies, then deletions.

    Args:
        info: The body.
        snapshot: Current users. For an existing user, fields that the body leaves out do not change.
        open_secret: Function that opens secrets.

    Raises:
        MetadataRejected: A change is invalid, such as a new user without a secret.
        SealInvalid: A secret cannot be opened.
    """
    return tuple(_changes(info, snapshot, open_secret))


def policy_texts(info: AclInfo) -> list[PolicyText] | None:
    """Return the policies of a body as texts, None if it has no list of policies."""
    return None if info.policies is None else [_policy(policy) for policy in info.policies]


def check_new_sources(acl: Acl, snapshot: Snapshot) -> None:
    """Refuse sources of an entry that mislead, except those that the subject has already.

    Raises:
        MetadataRejected: A source is not the address of any client, or a range whose notation names one address.
    """
    stored = snapshot.acl(acl.subject.name)
    try:
        check_sources(acl.sources, () if stored is None else stored.sources)
    except PolicyInvalid as exc:
        raise MetadataRejected(f"The source ip is invalid. [{exc}]") from exc


def acl_details(acl: Acl) -> dict[str, str]:
    """Return policies as texts for the audit record."""
    return {
        policy.type.value: "; ".join(
            f"{entry.decision.value} {','.join(action.value for action in entry.actions)} on {entry.resource.key}"
            + (f" from {','.join(source.text for source in entry.sources)}" if entry.sources else "")
            for entry in policy.entries
        )
        for policy in acl.policies
    }


def check_new_name(name: str) -> None:
    """Refuse a name for a new user that looks like another name when it is displayed.

    Users that were created before this check existed may have such names.

    Raises:
        MetadataRejected: The name is too long, or has an unprintable character, or begins or ends with a space.
    """
    if is_blank(name):
        raise MetadataRejected("username can not be blank")
    if len(name) > MAX_USERNAME_CHARS:
        raise MetadataRejected(f"the username has {len(name)} characters: use at most {MAX_USERNAME_CHARS}")
    if not name.isprintable() or name != name.strip():
        raise MetadataRejected(
            f"the username {name!a} is not allowed: use printable characters only, without a space at either end"
        )


def changes_details(changes: Sequence[Change], snapshot: Snapshot) -> dict[str, str]:
    """Return changes as texts for the audit record, by number, with a note for each new secret but never the secret.

    Args:
        changes: Result of `read_changes`.
        snapshot: The users that it was made with.
    """
    return {str(number): _detail(change, snapshot) for number, change in enumerate(changes, 1)}


def _detail(change: Change, snapshot: Snapshot) -> str:
    match change:
        case PutUser(user):
            there = snapshot.user(user.name)
            secret = "" if there is not None and user.secrets is there.secrets else ", secret set"
            return f"put user {user.name}: {user.type.value}, {user.status.value}{secret}"
        case DeleteUser(name):
            return f"delete user {name}"
        case PutAcl(acl):
            policies = "; ".join(f"{kind}: {text}" for kind, text in acl_details(acl).items())
            return f"put policies of {acl.subject.key}: {policies}"
        case DeleteAcl(subject):
            return f"delete policies of {subject.key}"


def _changes(info: ChangesInfo, snapshot: Snapshot, open_secret: OpenSecret) -> Iterator[Change]:
    for user in info.put_users or ():
        yield PutUser(_user(user, snapshot, open_secret))
    for acl in info.put_acls or ():
        texts = policy_texts(acl)
        if not texts:
            raise MetadataRejected("The policies is empty.")
        given = read_acl(read_subject(acl.subject), texts)
        check_new_sources(given, snapshot)
        yield PutAcl(given)
    for subject in info.delete_acls or ():
        yield DeleteAcl(read_subject(subject))
    for name in info.delete_users or ():
        yield DeleteUser(_name(name))


def _user(info: UserInfo, snapshot: Snapshot, open_secret: OpenSecret) -> User:
    name = _name(info.username)
    there = snapshot.user(name)
    if there is None:
        check_new_name(name)
    secret = open_secret(name, info.password)
    secrets = () if there is None else there.secrets
    if secret is not None:
        if is_blank(secret):
            # A sender that does not change the secret leaves the field out. A blank one is a mistake.
            raise MetadataRejected("password can not be blank")
        secrets = _set_secret(secrets, Secret(secret))
    if not secrets:
        # The user may have existed when the sender read the users.
        raise MetadataRejected(f"password can not be blank [User:{name} does not exist, and a new user needs a secret]")
    kind = UserType.NORMAL if there is None else there.type
    status = UserStatus.ENABLE if there is None else there.status
    return User(
        name,
        secrets,
        UserType.parse(info.user_type) if info.user_type else kind,
        UserStatus.parse(info.user_status) if info.user_status else status,
    )


def _set_secret(secrets: tuple[LiveSecret, ...], secret: Secret) -> tuple[LiveSecret, ...]:
    """Return the secrets with a new current one.

    If it equals the current secret, older secrets of a rotation stay. The tuple is a new one in each case, which shows
    that a secret was set.
    """
    same = bool(secrets) and secrets[0].secret.equals(secret)
    return (LiveSecret(secret), *(secrets[1:] if same else ()))


def _name(name: str | None) -> str:
    if name is None or is_blank(name):
        raise MetadataRejected("username can not be blank")
    return name


def _policy(info: PolicyInfo) -> PolicyText:
    entries = None
    if info.entries is not None:
        entries = [EntryText(entry.resource, entry.actions, entry.source_ips, entry.decision) for entry in info.entries]
    return PolicyText(info.policy_type, entries)


class SecretTransfer:
    """Secrets of users in the form in which they are sent to administrators and accepted from them.

    Args:
        form: The form that the operator chose.
        key: The sealing key; None if this server has none.
    """

    def __init__(self, form: SecretExposure, key: SealingKey | None) -> None:
        self._form = form
        self._key = key

    def show(self, user: User, reader: User | None) -> str | None:
        """Return the text that is sent in place of a user's secret.

        Args:
            user: Owner of the secret.
            reader: The user who gets it; None if the request is anonymous.
        """
        if not user.secrets:
            return None
        secret = user.secrets[0].secret
        if self._form is SecretExposure.PLAIN:
            return secret.reveal()
        key = self._key
        if reader is not None and reader.is_super:
            key = transfer_keys(reader)[0]
        if self._form is SecretExposure.MASKED or key is None:
            return MASK
        return MASK + key.seal_deterministic(user.name, secret)

    def open(self, name: str, text: str | None, sender: User | None) -> str | None:
        """Return the secret that an administrator sent for a user, opened if it is sealed.

        Raises:
            MetadataRejected: The text is the mask, and not a secret.
            SealInvalid: It is sealed with an unknown key or for another user, or damaged.
        """
        if text is None:
            return None
        if text == MASK:
            raise MetadataRejected(
                f"the password of User:{name} is the mask that replaces secrets: to copy users, set "
                "`secretExposure = sealed` on the server from which they are read"
            )
        sealed = text.removeprefix(MASK)
        if not is_sealed(sealed):
            return text
        keys = [] if self._key is None else [self._key]
        if sender is not None and sender.is_super:
            keys += transfer_keys(sender)
        for key in keys:
            if key.made(sealed):
                return key.open(name, sealed).reveal()
        raise SealInvalid(
            f"the password of User:{name} is sealed with a key that this server does not have: copy users as a Super "
            "user with the same secret on both servers, or use the same sealing key on both"
        )
