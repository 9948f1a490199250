"""Who a request comes from: its credentials and the users in, one user or a refusal out."""

import msgspec

from mqguard.auth.errors import AuthenticationFailed
from mqguard.auth.signature import Match, match
from mqguard.auth.snapshot import Snapshot
from mqguard.auth.user import User, UserStatus

NO_USER_NAME = "username cannot be null."
"""Apache's sentence for a request without credentials."""
WRONG_SIGNATURE = "check signature failed."
"""Apache's sentence for a wrong signature; here also for an unknown user, so that names cannot be probed."""
AUTHENTICATION_FAILED = "Authentication failed. Please verify the credentials and try again."
"""Apache's sentence for everything else that goes wrong."""

# A member looked up in its class costs as much as a step of the comparison.
_RIGHT, _ENABLED = Match.RIGHT, UserStatus.ENABLE


class Credentials(msgspec.Struct, frozen=True, gc=False):
    """What a request shows to prove who sent it.

    Attributes:
        user: The access key it claims; None or empty if it claims none.
        signature: The signature in Base64; None if it has none.
        content: What the signature covers.
    """

    user: str | None
    signature: str | None
    content: bytes


def authenticate(credentials: Credentials, snapshot: Snapshot, now_ms: int) -> User:
    """The user who signed.

    Args:
        credentials: What the request shows.
        snapshot: The users as they are now.
        now_ms: Milliseconds since the epoch, for secrets that expire.

    Raises:
        AuthenticationFailed: With the reason `no-credentials`, `unknown-user`, `no-signature`, `wrong-signature`,
            `expired-secret` or `disabled`. The peer hears the same, after the same work, whether the user is unknown
            or the secret wrong; that a user is disabled is said only to who has signed rightly.
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
