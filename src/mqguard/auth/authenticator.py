"""Authentication of a request: credentials and users in, one user or an error out."""

import msgspec

from mqguard.auth.errors import AuthenticationFailed
from mqguard.auth.signature import Match, match
from mqguard.auth.snapshot import Snapshot
from mqguard.auth.user import User, UserStatus

NO_USER_NAME = "username cannot be null."
"""Apache's message for a request without credentials."""
WRONG_SIGNATURE = "check signature failed."
"""Apache's message for a wrong signature; also used for an unknown user, so that names cannot be probed."""
AUTHENTICATION_FAILED = "Authentication failed. Please verify the credentials and try again."
"""Apache's message for every other failure."""

# A module constant is cheaper than an enum member, whose lookup costs as much as a step of the comparison.
_RIGHT, _ENABLED = Match.RIGHT, UserStatus.ENABLE


class Credentials(msgspec.Struct, frozen=True, gc=False):
    """The credentials of a request.

    Attributes:
        user: The claimed access key; None or empty if the request claims none.
        signature: The signature in Base64; None if the request has none.
        content: The content that the signature covers.
    """

    user: str | None
    signature: str | None
    content: bytes


def authenticate(credentials: Credentials, snapshot: Snapshot, now_ms: int) -> User:
    """Return the user that signed the request.

    Args:
        credentials: The credentials of the request.
        snapshot: The current users.
        now_ms: Milliseconds since the epoch, for secrets that expire.

    Raises:
        AuthenticationFailed: With the reason `no-credentials`, `unknown-user`, `no-signature`, `wrong-signature`,
            `expired-secret` or `disabled`. An unknown user and a wrong secret give the peer the same message after the
            same work. Only a correct signature reveals that the user is disabled.
    """
    name = credentials.user
    if not name:
        raise AuthenticationFailed("no-credentials", NO_USER_NAME)
    user = snapshot.user(name)
    signature = credentials.signature
    found = match(user, credentials.content, signature or "", now_ms)
    if user is None:
        raise AuthenticationFailed("unknown-user", WRONG_SIGNATURE)
    if found is not _RIGHT:
        raise AuthenticationFailed(_reason(signature, found), WRONG_SIGNATURE)
    if user.status is not _ENABLED:
        raise AuthenticationFailed("disabled", f"User:{name} is disabled.")
    return user


def _reason(signature: str | None, found: Match) -> str:
    if not signature:
        return "no-signature"
    return "expired-secret" if found is Match.EXPIRED else "wrong-signature"
