"""Explanations as facts for programs: texts, lists and maps, ready for JSON."""

from mqguard.auth.explain import Explanation
from mqguard.auth.explain_text import entry_text
from mqguard.auth.minimal_change import MinimalChange


def explanation_facts(found: Explanation) -> dict[str, object]:
    """Return the request, the decision, every covering entry, and the smallest change that reverses the decision."""
    request, verdict = found.request, found.verdict
    return {
        "user": found.user,
        "actions": sorted(action.value for action in request.actions),
        "resource": f"{request.type.value}:{request.name}",
        "from": None if request.address is None else str(request.address),
        "decision": verdict.decision.value,
        "reason": verdict.reason.value,
        "entry": entry_text(verdict.decided_by) if verdict.decided_by else None,
        "considered": [
            {
                "policy": one.policy.value,
                "entry": entry_text(one.entry),
                "standing": one.standing.value,
                "why": one.why,
            }
            for one in found.considered
        ],
        "minimal_change": None if found.turn is None else _turn_facts(found.turn),
    }


def _turn_facts(turn: MinimalChange) -> dict[str, object]:
    return {
        "step": turn.step.value,
        "policy": turn.policy.value,
        "remove": [entry_text(entry) for entry in turn.removed],
        "add": [entry_text(entry) for entry in turn.added],
    }
