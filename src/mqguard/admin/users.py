"""Users of a broker (3001 to 3005)."""

from mqguard.admin.client import read
from mqguard.admin.session import Session
from mqguard.auth.user import Secret
from mqguard.remoting.bodies.access import UserInfo
from mqguard.remoting.bodies.codec import encode
from mqguard.remoting.codes import RequestCode
from mqguard.remoting.headers.access import UserFilterHeader, UserHeader


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


def delete(session: Session, name: str) -> None:
    """Remove a user and its policies; no error if there is none.

    Raises:
        PeerRefused: The caller may not.
    """
    session.call(RequestCode.AUTH_DELETE_USER, UserHeader(username=name))


def get(session: Session, name: str) -> UserInfo | None:
    """A user, None if there is none.

    Raises:
        PeerRefused: The caller may not.
    """
    answer = session.call(RequestCode.AUTH_GET_USER, UserHeader(username=name))
    return read(answer, UserInfo) if answer.body else None


def find(session: Session, text: str = "") -> list[UserInfo]:
    """The users whose name holds a text, all if it is empty.

    Raises:
        PeerRefused: The caller may not.
    """
    answer = session.call(RequestCode.AUTH_LIST_USER, UserFilterHeader(filter=text))
    return read(answer, list[UserInfo]) if answer.body else []
