"""The story of a refusal, for administrators; mqguard's own request.

Rule 1: whoever may read policies may ask. Who is not Super is told no entries but those that are in force, which it may
read as well by 3009.
Rule 2: what is not remembered is not found; the audit log knows it longer.
"""

from mqguard.auth.manager import MetadataManager
from mqguard.dispatch.request import Handler, Request, RequestRefused
from mqguard.guard.denial import Denial, DenialLog
from mqguard.guard.denial_json import facts_of
from mqguard.remoting.bodies.codec import encode
from mqguard.remoting.codes import OwnCode, ResponseCode
from mqguard.remoting.command import Reply
from mqguard.remoting.headers.access import DecisionHeader
from mqguard.remoting.headers.codec import read

UNKNOWN = "no decision of this id is remembered here; older ones are in the audit log"


class Decisions:
    """Tells why requests were refused.

    Args:
        refusals: The last refusals.
        manager: Users and policies as they are.
    """

    def __init__(self, refusals: DenialLog, manager: MetadataManager) -> None:
        self._refusals = refusals
        self._manager = manager

    def handlers(self) -> dict[int, Handler]:
        """What is served here."""
        return {OwnCode.GET_DECISION: self.get_decision}

    def get_decision(self, request: Request) -> Reply:
        """One refusal by its id; the body is `facts_of` it."""
        wanted = read(request.command.ext, DecisionHeader).decision_id
        if not wanted:
            raise RequestRefused(ResponseCode.INVALID_PARAMETER, "the field `decisionId` is missing or empty")
        found = self._refusals.find(wanted)
        if found is None:
            raise RequestRefused(ResponseCode.QUERY_NOT_FOUND, UNKNOWN)
        identity = request.access.identity
        is_super = identity is not None and identity.is_super
        return Reply(body=encode(facts_of(found, with_entries=is_super or self._is_in_force(found))))

    def _is_in_force(self, refusal: Denial) -> bool:
        """Whether the entries that the refusal was judged by are those of now: a change makes other rights."""
        if refusal.forgotten:
            return False
        return refusal.rights is None or self._manager.snapshot.rights(refusal.user) is refusal.rights
