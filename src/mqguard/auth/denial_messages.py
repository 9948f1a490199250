"""Denial messages for peers, in Apache's words (as of 5.5.0)."""

from typing import assert_never

from mqguard.auth.resource import ResourceType
from mqguard.auth.verdict import Reason, Verdict

AUTHORIZATION_FAILED = "Authorization failed. Please verify your access rights and try again."
"""Message for a request that could not be evaluated at all."""


def refusal(user: str, kind: ResourceType, name: str, source: str, verdict: Verdict) -> str:
    """Return the message for a peer whose request was denied; it reveals nothing of the policy.

    Args:
        user: Name of the authenticated user.
        kind: Type of the resource.
        name: Name of the resource.
        source: The address of the peer, as text.
        verdict: The denial.

    Raises:
        ValueError: The verdict is not a denial.
    """
    reason = verdict.reason
    match reason:
        case Reason.UNKNOWN_USER:
            return f"User:{user} not found."
        case Reason.DISABLED:
            return f"User:{user} is disabled."
        case Reason.DENIED | Reason.NO_MATCH | Reason.MISSING_NAME | Reason.NO_RESOURCE | Reason.NO_ACTION:
            why = "the decision is deny" if reason is Reason.DENIED else "no matched policies"
            return f"User:{user} has no permission to access {kind.value}:{name} from {source}, {why}."
        case Reason.UNREADABLE:
            return AUTHORIZATION_FAILED
        case Reason.SUPER | Reason.ALLOWED:
            raise ValueError(f"a verdict with the reason `{reason.value}` is not a denial")
        case _:
            assert_never(reason)
