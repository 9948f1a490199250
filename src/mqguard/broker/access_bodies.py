"""Users and policies on the wire: as administrators get them, and as they send them.

Several changes can be one request, which is 3007 with the ext field `mqguardChanges`. So it needs the permissions of
every change of policies. A server that does not know the field finds no policies in the body and refuses the request
without a change.

The secret of a user can be sent in a sealed form: asterisks, and behind them the encrypted secret. So a copy of a user
(Apache's `copyUser` reads it at one broker and writes it at another) gives a working user, and the secret stays
unreadable on the way. It is sealed with one of two keys:

* for a Super user who asks: with a key made of that user's own secret. Every mqguard at which the same Super user may
  administer can open it, and needs no other secret in common with this one.
* for all others: with this server's sealing key, which only mqguards that were given the same key have.
"""

from collections.abc import Callable, Iterator, Sequence

from mqguard.auth.acl_parser import EntryText, PolicyText, read_acl, read_subject
from mqguard.auth.errors import MetadataRejected
from mqguard.auth.policy import Acl, Entry
from mqguard.auth.ports import Change, DeleteAcl, DeleteUser, PutAcl, PutUser
from mqguard.auth.sealing import MASK, SealingKey, SealInvalid, is_sealed, transfer_keys
from mqguard.auth.snapshot import Snapshot
from mqguard.auth.user import LiveSecret, Secret, User, UserStatus, UserType
from mqguard.broker.settings import SecretExposure
from mqguard.model.text import is_blank
from mqguard.remoting.bodies.access import AclInfo, ChangesInfo, EntryInfo, PolicyInfo, UserInfo, UserSecretsInfo


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


FIELD = "mqguardChanges"
"""The ext field that says that a request 3007 has a `ChangesInfo` for a body; its value is `1`."""

LONGEST_NAME = 255
"""Maximum characters of the name of a new user, as of one that a plugin names."""

TakeSecret = Callable[[str, str | None], str | None]
"""Opens the secret that was sent for a user, as `Exposure.take` does."""


def read_changes(info: ChangesInfo, snapshot: Snapshot, take: TakeSecret) -> tuple[Change, ...]:
    """The changes that a body asks for: users, then policies, then what goes.

    Args:
        info: The body.
        snapshot: Users as they are: what is not said of one that exists stays.
        take: Opens secrets.

    Raises:
        MetadataRejected: A change cannot be meant: no name, a new user without a secret, policies that are none.
        SealInvalid: A secret cannot be opened.
    """
    return tuple(_changes(info, snapshot, take))


def policy_texts(info: AclInfo) -> list[PolicyText] | None:
    """The policies of a body as texts; None when it names none."""
    return None if info.policies is None else [_policy(policy) for policy in info.policies]


def acl_details(acl: Acl) -> dict[str, str]:
    """Policies as they go on record."""
    return {
        policy.type.value: "; ".join(
            f"{entry.decision.value} {','.join(action.value for action in entry.actions)} on {entry.resource.key}"
            + (f" from {','.join(source.text for source in entry.sources)}" if entry.sources else "")
            for entry in policy.entries
        )
        for policy in acl.policies
    }


def check_new_name(name: str) -> None:
    """Refuse a name that no new user may have: people could not tell it from another one where it is shown.

    A user that exists may have such a name, from a time before this check.

    Raises:
        MetadataRejected: It is too long, or has a character that is not printed, or a space at an end.
    """
    if is_blank(name):
        raise MetadataRejected("username can not be blank")
    if len(name) > LONGEST_NAME:
        raise MetadataRejected(f"a username has at most {LONGEST_NAME} characters, this one has {len(name)}")
    if not name.isprintable() or name != name.strip():
        raise MetadataRejected(
            f"the username {name!a} is not allowed: it has characters that are not printed, or a space at an end"
        )


def changes_details(changes: Sequence[Change], snapshot: Snapshot) -> dict[str, str]:
    """Changes as they go on record, by their number; secrets are not told, but that one was set is.

    Args:
        changes: What `read_changes` gave.
        snapshot: Users as they were for it.
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
            told = "; ".join(f"{kind}: {text}" for kind, text in acl_details(acl).items())
            return f"put policies of {acl.subject.key}: {told}"
        case DeleteAcl(subject):
            return f"delete policies of {subject.key}"


def _changes(info: ChangesInfo, snapshot: Snapshot, take: TakeSecret) -> Iterator[Change]:
    for user in info.put_users or ():
        yield PutUser(_user(user, snapshot, take))
    for acl in info.put_acls or ():
        texts = policy_texts(acl)
        if not texts:
            raise MetadataRejected("The policies is empty.")
        yield PutAcl(read_acl(read_subject(acl.subject), texts))
    for subject in info.delete_acls or ():
        yield DeleteAcl(read_subject(subject))
    for name in info.delete_users or ():
        yield DeleteUser(_name(name))


def _user(info: UserInfo, snapshot: Snapshot, take: TakeSecret) -> User:
    name = _name(info.username)
    there = snapshot.user(name)
    if there is None:
        check_new_name(name)
    secret = take(name, info.password)
    secrets = () if there is None else there.secrets
    if secret is not None:
        if is_blank(secret):
            # Nothing to say about the secret is to leave the member out: whoever sends a blank one means another.
            raise MetadataRejected("password can not be blank")
        secrets = _set_secret(secrets, Secret(secret))
    if not secrets:
        # Perhaps it was there when the sender looked.
        raise MetadataRejected(f"password can not be blank [there is no User:{name}, and a new one needs a secret]")
    kind = UserType.NORMAL if there is None else there.type
    status = UserStatus.ENABLE if there is None else there.status
    return User(
        name,
        secrets,
        UserType.parse(info.user_type) if info.user_type else kind,
        UserStatus.parse(info.user_status) if info.user_status else status,
    )


def _set_secret(secrets: tuple[LiveSecret, ...], secret: Secret) -> tuple[LiveSecret, ...]:
    """A user who has the secret already stays in its rotation. Another tuple all the same: a secret was set."""
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


class Exposure:
    """Shows secrets, and takes back what was shown.

    Args:
        form: What the operator chose.
        key: The sealing key; None if this server has none.
    """

    def __init__(self, form: SecretExposure, key: SealingKey | None) -> None:
        self._form = form
        self._key = key

    def show(self, user: User, asker: User | None) -> str | None:
        """What is answered in place of a user's secret.

        Args:
            user: Whose secret.
            asker: The user who asks; None is nobody in particular.
        """
        if not user.secrets:
            return None
        secret = user.secrets[0].secret
        if self._form is SecretExposure.PLAIN:
            return secret.reveal()
        key = self._key
        if asker is not None and asker.is_super:
            key = transfer_keys(asker)[0]
        if self._form is SecretExposure.MASKED or key is None:
            return MASK
        return MASK + key.seal_deterministic(user.name, secret)

    def take(self, name: str, text: str | None, asker: User | None) -> str | None:
        """The secret that an administrator sends for a user, opened if it is sealed.

        Raises:
            MetadataRejected: It is a mask, which is no secret.
            SealInvalid: It is sealed with a key that is not known here, for another user, or damaged.
        """
        if text is None:
            return None
        if text == MASK:
            raise MetadataRejected(
                f"the password of User:{name} is the mask that stands in place of a secret: to copy users, set "
                "`secretExposure = sealed` where they come from"
            )
        sealed = text.removeprefix(MASK)
        if not is_sealed(sealed):
            return text
        keys = [] if self._key is None else [self._key]
        if asker is not None and asker.is_super:
            keys += transfer_keys(asker)
        for key in keys:
            if key.made(sealed):
                return key.open(name, sealed).reveal()
        raise SealInvalid(
            f"the password of User:{name} is sealed with a key that is not known here: copy users as a Super user "
            "that has the same secret on both servers, or give both the same sealing key"
        )
