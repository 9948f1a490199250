"""Users: the subject of policies, the access key, its secrets, its type and its status."""

import dataclasses
import enum
import hmac

import msgspec

from mqguard.auth.errors import MetadataRejected, PolicyInvalid
from mqguard.model.text import find_member, is_blank, lower_ascii


class SubjectType(enum.Enum):
    """A kind of subject."""

    USER = "User"

    @classmethod
    def parse(cls, text: str) -> "SubjectType":
        """Parse `User`, in any letter case.

        Raises:
            PolicyInvalid: The text is another word.
        """
        found = find_member(cls, text)
        if found is None:
            raise PolicyInvalid(f"unknown subject type `{text}`: write `User`")
        return found


@dataclasses.dataclass(frozen=True, slots=True)
class Subject:
    """The owner of a policy.

    Attributes:
        name: The user's name (its access key).
        type: The kind of subject.
    """

    name: str
    type: SubjectType = SubjectType.USER

    @classmethod
    def parse(cls, key: str) -> "Subject":
        """Parse `User:name`; the name may contain further colons.

        A key without a name is accepted, as in Apache RocketMQ: no such user exists, so nothing can be granted to it.

        Raises:
            PolicyInvalid: The key has another kind of subject.
        """
        kind, _, name = key.partition(":")
        if find_member(SubjectType, kind) is None:
            raise PolicyInvalid(f"`{key}` is not a valid subject: write `User:name`")
        return cls(name)

    @property
    def key(self) -> str:
        """The subject in the notation of policies."""
        return f"{self.type.value}:{self.name}"


NO_INCARNATION = "0"
"""The incarnation of a user that was stored before incarnations existed."""


class UserType(enum.Enum):
    """The type of a user. A `SUPER` user may do everything, unless disabled."""

    SUPER = "Super"
    NORMAL = "Normal"

    @classmethod
    def parse(cls, text: str) -> "UserType":
        """Parse `Super` or `Normal`, in any letter case.

        Raises:
            PolicyInvalid: The text is another word.
        """
        found = find_member(cls, text)
        if found is None:
            raise PolicyInvalid(f"unknown user type `{text}`: write `Super` or `Normal`")
        return found


class UserStatus(enum.Enum):
    """The status of a user: a disabled one is always denied."""

    ENABLE = "enable"
    DISABLE = "disable"

    @classmethod
    def parse(cls, text: str) -> "UserStatus":
        """Parse `enable` or `disable`, in any letter case.

        Raises:
            PolicyInvalid: The text is another word.
        """
        found = find_member(cls, text)
        if found is None:
            raise PolicyInvalid(f"unknown user status `{text}`: write `enable` or `disable`")
        return found


class Secret:
    """A secret key. Its repr, str and format never show it; only `reveal` returns the text."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        if not text:
            raise PolicyInvalid("a secret cannot be empty")
        self._text = text

    def reveal(self) -> str:
        """Return the text itself: only for signing, sealing and the one-time print of a generated secret."""
        return self._text

    def equals(self, other: "Secret") -> bool:
        """True if both are the same text; the duration does not reveal where they differ."""
        one, another = (secret.reveal().encode("utf-8", "surrogatepass") for secret in (self, other))
        return hmac.compare_digest(one, another)

    def __repr__(self) -> str:
        return "Secret(…)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self.equals(other)

    def __hash__(self) -> int:
        return hash(self._text)


@dataclasses.dataclass(frozen=True, slots=True)
class LiveSecret:
    """A secret that a user may sign with.

    Attributes:
        secret: The key.
        not_after: Milliseconds since the epoch after which the secret is rejected; None is for ever.
    """

    secret: Secret
    not_after: int | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class User:
    """One user.

    Attributes:
        name: The access key.
        secrets: The accepted secrets: the current one first, then at most one that is being replaced.
        type: Super or Normal.
        status: Enabled or disabled.
        incarnation: Distinguishes this user from earlier and later users of the same name. It is new when the user is
            created, and when a user that is not Super sets the secret of another one.
        confirmed: True if `mqguard apply` has created this incarnation, or an operator has confirmed it.
    """

    name: str
    secrets: tuple[LiveSecret, ...]
    type: UserType = UserType.NORMAL
    status: UserStatus = UserStatus.ENABLE
    incarnation: str = dataclasses.field(default=NO_INCARNATION, compare=False)
    confirmed: bool = dataclasses.field(default=False, compare=False)

    @property
    def is_super(self) -> bool:
        """True if policies are not evaluated for the user."""
        return self.type is UserType.SUPER

    @property
    def is_enabled(self) -> bool:
        """True if the user is enabled."""
        return self.status is UserStatus.ENABLE


def replace_secret(
    secrets: tuple[LiveSecret, ...], secret: Secret, keep_old_until: int | None
) -> tuple[LiveSecret, ...]:
    """Return the secrets of a user after its current one was replaced.

    Args:
        secrets: The secrets before, the current one first.
        secret: The new secret.
        keep_old_until: Milliseconds since the epoch until which the current one is still accepted; None ends it at
            once. If the new secret is the current one, this only brings the end of older ones nearer.
    """
    current = LiveSecret(secret)
    if keep_old_until is None or not secrets:
        return (current,)
    if secrets[0].secret.equals(secret):
        return (current, *(_ended_by(live, keep_old_until) for live in secrets[1:]))
    return current, LiveSecret(secrets[0].secret, keep_old_until)


def _ended_by(live: LiveSecret, latest: int) -> LiveSecret:
    return LiveSecret(live.secret, latest if live.not_after is None else min(live.not_after, latest))


class InitialUser(msgspec.Struct, frozen=True):
    """A Super user that is created unless a user of that name exists.

    Attributes:
        name: The access key.
        secret: The secret key. A repr never shows it.
    """

    name: str
    secret: str

    def __repr__(self) -> str:
        return f"InitialUser(name={self.name!r})"


class _InitialUserForm(msgspec.Struct, forbid_unknown_fields=True):
    username: str | None = None
    password: str | None = None
    userType: str | None = None  # noqa: N815 - the configuration's name


class _InnerUserForm(msgspec.Struct, forbid_unknown_fields=True):
    accessKey: str | None = None  # noqa: N815
    secretKey: str | None = None  # noqa: N815
    securityToken: str | None = None  # noqa: N815


def initial_user(text: str) -> InitialUser:
    """Parse the value of `initAuthenticationUser`: `{"username": "…", "password": "…"}`.

    Raises:
        MetadataRejected: The text has another form, or a value is blank.
    """
    right = '`{"username": "…", "password": "…"}`'
    try:
        form = msgspec.json.decode(text, type=_InitialUserForm)
    except (msgspec.MsgspecError, UnicodeError):
        raise MetadataRejected(f"`initAuthenticationUser` is not valid: write {right}") from None
    if form.userType is not None and lower_ascii(form.userType) != "super":
        raise MetadataRejected("the user of `initAuthenticationUser` is always Super: remove `userType`")
    return _initial("initAuthenticationUser", right, form.username, form.password)


def inner_user(text: str) -> InitialUser:
    """Parse the value of `innerClientAuthenticationCredentials`: `{"accessKey": "…", "secretKey": "…"}`.

    Raises:
        MetadataRejected: The text has another form, or a value is blank.
    """
    right = '`{"accessKey": "…", "secretKey": "…"}`'
    try:
        form = msgspec.json.decode(text, type=_InnerUserForm)
    except (msgspec.MsgspecError, UnicodeError):
        raise MetadataRejected(f"`innerClientAuthenticationCredentials` is not valid: write {right}") from None
    return _initial("innerClientAuthenticationCredentials", right, form.accessKey, form.secretKey)


def _initial(option: str, right: str, name: str | None, secret: str | None) -> InitialUser:
    if name is None or is_blank(name) or secret is None or is_blank(secret):
        raise MetadataRejected(f"`{option}` has no name or no secret: write {right}")
    return InitialUser(name, secret)
