"""A remembered refusal as facts for programs: what the audit log tells of it, and the story of its entries."""

import datetime as dt

from mqguard.auth.explain_json import explanation_facts
from mqguard.auth.explain_text import render
from mqguard.auth.policy import Decision as Word
from mqguard.auth.verdict import Reason, Verdict
from mqguard.guard.audit_format import SHADOW_DENY, need_facts
from mqguard.guard.context import RequiredPermission
from mqguard.guard.denial import FORGOTTEN, Denial
from mqguard.remoting.codes import CODE_NAMES

WITHHELD = "the user or its policies have changed since: only a Super user may see the entries of that time"
_MET = Verdict(Word.ALLOW, Reason.ALLOWED)


def facts_of(refusal: Denial, *, with_entries: bool) -> dict[str, object]:
    """Everything about a refusal, under the names of the audit log's JSON lines.

    Args:
        refusal: The refusal.
        with_entries: True to include the entries of policies; else `hidden_reason` says why they are missing.

    Returns:
        The members of its line in the audit log, without its duration; `message`, the error message that the client
        received or would receive; and `version` of users and policies. Where entries were evaluated also `explanation`,
        see `explanation_facts`, and `explanation_text`, the same as text.
    """
    moment = dt.datetime.fromtimestamp(refusal.when_ms / 1000, dt.UTC)
    facts: dict[str, object] = {
        "time": f"{moment:%Y-%m-%dT%H:%M:%S}.{refusal.when_ms % 1000:03d}Z",
        "event": refusal.stage,
        "verdict": SHADOW_DENY if refusal.shadow else "deny",
        "reason": str(refusal.reason),
        "user": refusal.user,
        "authenticated_by": refusal.method,
        "source": refusal.source,
        "code": refusal.code,
        "request": CODE_NAMES.get(refusal.code, "unknown"),
        "needs": [need_facts(need, verdict) for need, verdict in _judged(refusal, with_entries=with_entries)],
        "decision": refusal.decision_id,
        "message": refusal.remark,
        "version": refusal.version,
    }
    explanation = refusal.explanation()
    if explanation is not None and with_entries:
        facts["explanation"] = explanation_facts(explanation)
        facts["explanation_text"] = render(explanation)
    elif explanation is not None:
        facts["hidden_reason"] = WITHHELD
    elif refusal.forgotten:
        facts["hidden_reason"] = FORGOTTEN
    return facts


def _judged(refusal: Denial, *, with_entries: bool) -> list[tuple[RequiredPermission, Verdict | None]]:
    """Every need with its verdict: judged in order up to the one that was refused."""
    needs, refused = refusal.needs, refusal.refused
    place = needs.index(refused) if refused in needs else 0
    verdict = refusal.verdict
    if verdict is not None and not with_entries:
        verdict = Verdict(verdict.decision, verdict.reason)
    told = (*(_MET for _ in needs[:place]), verdict, *(None for _ in needs[place + 1 :]))
    return list(zip(needs, told, strict=False))
