"""Users of a broker (3001 to 3005)."""

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


def create(session: Session, name: str, secret: Secret, user_type: str = "Normal") -> None:
    """Add a user.

    Raises:
        PeerRefused: There is one of that name, or the caller may not.
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
    """Change what is given of a user and leave the rest.

    Raises:
        PeerRefused: There is no such user, or the caller may not.
    """
    body = UserInfo(
        username=name,
        password=None if secret is None else secret.reveal(),
        user_type=user_type,
        user_status=status,
    )
    session.call(RequestCode.AUTH_UPDATE_USER, UserHeader(username=name), encode(body))


def rotate(session: Session, name: str, secret: Secret, keep_ms: int) -> None:
    """Give a user a new secret, while the one that it replaces is still accepted for a time.

    Brokers that are none of mqguard know no such time and end the old secret at once: look at `get` before.

    Args:
        session: The broker.
        name: Whose.
        secret: The new one. Doing it again with the same one changes nothing.
        keep_ms: For how long the old one is accepted, in milliseconds; 0 ends it at once.

    Raises:
        PeerRefused: There is no such user, or the caller may not.
    """
    header = RotationHeader(username=name, keep_old_secret_ms=keep_ms)
    session.call(RequestCode.AUTH_UPDATE_USER, header, encode(UserInfo(username=name, password=secret.reveal())))


def delete(session: Session, name: str) -> None:
    """Remove a user and its policies; no error if there is none.

    Raises:
        PeerRefused: The caller may not.
    """
    session.call(RequestCode.AUTH_DELETE_USER, UserHeader(username=name))


def get(session: Session, name: str) -> UserSecretsInfo | None:
    """A user, None if there is none; `live_secrets` is None at brokers that are none of mqguard.

    Raises:
        PeerRefused: The caller may not.
    """
    answer = session.call(RequestCode.AUTH_GET_USER, UserSecretsHeader(username=name, mqguard_secrets="1"))
    return read(answer, UserSecretsInfo) if answer.body else None


def find(session: Session, text: str = "") -> list[UserSecretsInfo]:
    """The users whose name holds a text, all if it is empty.

    Raises:
        PeerRefused: The caller may not.
    """
    answer = session.call(RequestCode.AUTH_LIST_USER, UsersSecretsHeader(filter=text, mqguard_secrets="1"))
    return read(answer, list[UserSecretsInfo]) if answer.body else []
