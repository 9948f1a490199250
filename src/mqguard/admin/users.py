"""Users of a broker (request codes 3001 to 3005)."""

from typing import NamedTuple, Self

from mqguard.admin.client import read
from mqguard.admin.session import Session
from mqguard.auth.user import Secret
from mqguard.remoting.bodies.access import UserInfo, UserSecretsInfo
from mqguard.remoting.bodies.codec import encode
from mqguard.remoting.codes import RequestCode
from mqguard.remoting.headers.access import (
    RotationHeader,
    UserHeader,
    UserSecretsHeader,
    UsersSecretsHeader,
)


class UserDetails(NamedTuple):
    """One user as a broker shows it.

    Attributes:
        name: Name of the user.
        type: `Normal` or `Super`.
        status: `enable` or `disable`.
        password: Secret as the broker shows it: plain, sealed or masked; None if it shows nothing.
        live_secrets: Number of secrets that are accepted now; None if the broker is not mqguard.
        old_secret_until_ms: Milliseconds since the epoch until which the replaced secret is accepted.
        incarnation: Text that distinguishes this user from others that had its name; None if the broker is not mqguard.
        confirmed: True if `mqguard apply` has created the user, or an operator has confirmed it.
    """

    name: str
    type: str
    status: str
    password: str | None
    live_secrets: int | None
    old_secret_until_ms: int | None
    incarnation: str | None
    confirmed: bool

    @classmethod
    def of(cls, info: UserSecretsInfo) -> Self:
        """Return the details in a response body."""
        return cls(
            info.username or "",
            info.user_type or "",
            info.user_status or "",
            info.password,
            info.live_secrets,
            info.old_secret_until,
            info.incarnation,
            bool(info.confirmed),
        )


def create(session: Session, name: str, secret: Secret, user_type: str = "Normal") -> None:
    """Create a user.

    Raises:
        PeerRefused: A user of that name exists, or the caller has no permission.
    """
    body = UserInfo(username=name, password=secret.reveal(), user_type=user_type)
    session.call(RequestCode.AUTH_CREATE_USER, UserHeader(username=name), encode(body))


def update(
    session: Session,
    name: str,
    *,
    secret: Secret | None = None,
    user_type: str | None = None,
    status: str | None = None,
) -> None:
    """Change the given fields of a user and keep the others.

    Raises:
        PeerRefused: The user does not exist, or the caller has no permission.
    """
    body = UserInfo(
        username=name,
        password=None if secret is None else secret.reveal(),
        user_type=user_type,
        user_status=status,
    )
    session.call(RequestCode.AUTH_UPDATE_USER, UserHeader(username=name), encode(body))


def rotate(session: Session, name: str, secret: Secret, keep_ms: int) -> None:
    """Give a user a new secret, and keep the old one accepted for a time.

    Apache's brokers end the old secret at once: check with `get` first that the broker is mqguard.

    Args:
        session: Connection to the broker.
        name: Name of the user.
        secret: New secret. A second call with the same secret changes nothing.
        keep_ms: Milliseconds for which the old secret stays accepted; 0 ends it at once.

    Raises:
        PeerRefused: The user does not exist, or the caller has no permission.
    """
    header = RotationHeader(username=name, keep_old_secret_ms=keep_ms)
    session.call(RequestCode.AUTH_UPDATE_USER, header, encode(UserInfo(username=name, password=secret.reveal())))


def delete(session: Session, name: str) -> None:
    """Delete a user and its policies; a user that does not exist is not an error.

    Raises:
        PeerRefused: The caller has no permission.
    """
    session.call(RequestCode.AUTH_DELETE_USER, UserHeader(username=name))


def get(session: Session, name: str) -> UserDetails | None:
    """Return a user, None if the user does not exist.

    Raises:
        PeerRefused: The caller has no permission.
    """
    answer = session.call(RequestCode.AUTH_GET_USER, UserSecretsHeader(username=name, mqguard_secrets="1"))
    return UserDetails.of(read(answer, UserSecretsInfo)) if answer.body else None


def find(session: Session, text: str = "") -> list[UserDetails]:
    """Return the users whose name contains a text, all users if the text is empty.

    Raises:
        PeerRefused: The caller has no permission.
    """
    answer = session.call(RequestCode.AUTH_LIST_USER, UsersSecretsHeader(filter=text, mqguard_secrets="1"))
    return list(map(UserDetails.of, read(answer, list[UserSecretsInfo]))) if answer.body else []
