"""The last refusals with their whole story, for `mqguard why`."""

from collections import OrderedDict

import msgspec

from mqguard.auth.verdict import Verdict
from mqguard.guard.context import Need, Needs


class Refusal(msgspec.Struct, frozen=True, gc=False):
    """One refusal.

    Attributes:
        decision_id: The id that the peer was told.
        when_ms: Milliseconds since the epoch.
        user: Who was refused: the proven user, or the name that was claimed if nothing was proven; empty for none.
        proven: Whether `user` was proven.
        source: The address that the request came from.
        code: The request code.
        stage: `authentication`, `requirements`, `authorization` or `guard`.
        reason: Machine word.
        remark: What the peer was told.
        needs: Everything that the request needed, as far as it was known.
        refused: The need that was not met, None if it did not come to that.
        verdict: The decision about `refused`, with the entries considered; None if it did not come to that.
        version: Version of users and policies.
    """

    decision_id: str
    when_ms: int
    user: str
    proven: bool
    source: str
    code: int
    stage: str
    reason: str
    remark: str
    needs: Needs = ()
    refused: Need | None = None
    verdict: Verdict | None = None
    version: int = 0

    def remedy(self) -> str:
        """What would turn the refusal, in one sentence for the administrator."""
        if self.refused is not None and self.verdict is not None:
            return _grant(self.user, self.refused, self.source, self.verdict)
        return _REMEDIES.get(self.reason, "see the reason; no policy would turn this refusal")


class RefusalLog:
    """Remembers the last refusals; older ones are found in the audit log by their id."""

    def __init__(self, limit: int) -> None:
        """Keep at most `limit` refusals."""
        self._limit = limit
        self._kept: OrderedDict[str, Refusal] = OrderedDict()

    def add(self, refusal: Refusal) -> None:
        """Remember one, and forget the oldest if there are too many."""
        kept = self._kept
        kept[refusal.decision_id] = refusal
        while len(kept) > self._limit:
            kept.popitem(last=False)

    def find(self, decision_id: str) -> Refusal | None:
        """The refusal of that id, None if it is not remembered."""
        return self._kept.get(decision_id)

    def last(self, count: int) -> list[Refusal]:
        """The latest refusals, newest first."""
        return [refusal for _, refusal in zip(range(count), reversed(self._kept.values()), strict=False)]


_REMEDIES = {
    "no-credentials": "the client must sign its requests with an access key and a secret",
    "unknown-user": "create the user, or correct the access key in the client's configuration",
    "wrong-signature": "correct the secret in the client's configuration",
    "disabled": "enable the user",
    "throttled": "wait, and correct the credentials of the client that keeps failing from this address",
    "super-only": "send it as a Super user",
    "unmapped-code": "send it as a Super user",
    "audit-full": "make room for the audit log, or set `auditFull = drop`",
}


def _grant(user: str, need: Need, source: str, verdict: Verdict) -> str:
    actions = " or ".join(sorted(action.value for action in need.actions))
    if verdict.decided_by is not None:
        return (
            f"the entry for `{verdict.decided_by.resource.key}` of `User:{user}` says Deny: remove it, or allow "
            f"{actions} on `{need.key}` in an entry that speaks before it"
        )
    return f"allow `User:{user}` {actions} on `{need.key}` from {source or 'anywhere'}"
