"""Users: the access key, its secrets, its type and its status."""

import dataclasses
import enum
import hmac

from mqguard.auth.errors import PolicyInvalid

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
        for kind in cls:
            if text.isascii() and text.lower() == kind.value.lower():
                return kind
        raise PolicyInvalid(f"unknown user type `{text}`: write `Super` or `Normal`")


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
        for status in cls:
            if text.isascii() and text.lower() == status.value:
                return status
        raise PolicyInvalid(f"unknown user status `{text}`: write `enable` or `disable`")


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
