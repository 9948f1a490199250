"""Whether a sender may do what a request needs: the second of the guard's three steps.

Rule 1: every need must be met. One that is not refuses the request.
Rule 2: a Super user has all permissions. A mere claim to be Super may do nothing.
Rule 3: what clients touch by themselves needs no grant, unless a policy speaks about it: see `builtin.py`.
"""

import functools

from mqguard.auth.decide import decide
from mqguard.auth.policy import Decision
from mqguard.auth.request import AccessRequest
from mqguard.auth.rights import Rights
from mqguard.auth.source import parse_address
from mqguard.auth.verdict import Reason, Verdict
from mqguard.guard.context import BY_CLAIM, Identity, RequiredPermission, RequiredPermissions
from mqguard.guard.implicit_grants import ImplicitGrants

NOBODY = Verdict(Decision.DENY, Reason.UNKNOWN_USER)
"""The verdict about a sender without a name."""

SOMEBODY = Verdict(Decision.ALLOW, Reason.ALLOWED)
"""Allowed: the sender is a user, and no more is needed."""
DISABLED = Verdict(Decision.DENY, Reason.DISABLED)
"""Refused: the sender is disabled."""
BUILTIN = Verdict(Decision.ALLOW, Reason.ALLOWED)
"""Allowed without an entry: clients touch this by themselves."""

# A member looked up in its class costs as much as a step of the decision.
_NO_MATCH = Reason.NO_MATCH

_address_of = functools.lru_cache(maxsize=4096)(parse_address)


class Authorization:
    """Judges needs by users and policies.

    Attributes:
        foresees: True if `prefetch` has to be called with all needs before any of them is judged.
    """

    prefetches = False

    def __init__(self, builtin: ImplicitGrants) -> None:
        """Take what needs no grant."""
        self._builtin = builtin

    def judge(
        self, identity: Identity | None, rights: Rights | None, need: RequiredPermission, code: int, ip: str
    ) -> Verdict:
        """Whether the need is met.

        Args:
            identity: Who asks.
            rights: The rights of that user as of now.
            need: What is needed.
            code: The request code.
            ip: The address that the request comes from.
        """
        if identity is None or (identity.method is BY_CLAIM and rights is not None and rights.user.is_super):
            return NOBODY
        verdict = decide(AccessRequest(need.type, need.name, need.actions, _address_of(ip)), rights)
        if verdict.reason is _NO_MATCH and self._builtin.grants(code, need):
            return BUILTIN
        return verdict

    def prefetch(
        self, identity: Identity | None, rights: Rights | None, needs: RequiredPermissions, code: int, ip: str
    ) -> None:
        """Called before several needs are judged, for those who would rather look all up at once."""

    def judge_sender(self, identity: Identity | None, rights: Rights | None) -> Verdict:
        """Whether the sender is somebody who is let in at all, for requests that need no more."""
        if identity is None or rights is None or (identity.method is BY_CLAIM and rights.user.is_super):
            return NOBODY
        return SOMEBODY if rights.user.is_enabled else DISABLED
