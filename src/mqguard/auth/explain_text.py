"""Explanations as text for a terminal."""

from typing import assert_never

from mqguard.auth.explain import ConsideredEntry, EntryOutcome, Explanation
from mqguard.auth.minimal_change import ChangeKind, MinimalChange
from mqguard.auth.policy import Entry
from mqguard.auth.verdict import Reason
from mqguard.model.text import visible

_WHY = {
    Reason.SUPER: "a Super user has all permissions",
    Reason.ALLOWED: "an entry allows it",
    Reason.DENIED: "an entry denies it",
    Reason.NO_MATCH: "no entry matches the resource, the action and the address",
    Reason.UNKNOWN_USER: "the user does not exist",
    Reason.DISABLED: "the user is disabled",
    Reason.MISSING_NAME: "the request names no resource",
    Reason.NO_RESOURCE: "`*` is for entries; a request names one type",
    Reason.NO_ACTION: "the request names no action",
    Reason.UNREADABLE: "the stored policies cannot be read",
}
_MARKS = {EntryOutcome.DECIDED: "=>", EntryOutcome.AGREES: " ="}


def render(explanation: Explanation) -> str:
    """Render the explanation as lines, without colour and without a final line break."""
    request, verdict = explanation.request, explanation.verdict
    actions = " or ".join(sorted(action.value for action in request.actions)) or "no action"
    source = f" from {request.address}" if request.address is not None else ""
    lines = [
        f"{verdict.decision.value}: User:{explanation.user} {actions} {request.type.value}:{request.name}{source}",
        f"reason: {verdict.reason.value}, {_WHY[verdict.reason]}",
    ]
    if explanation.considered:
        lines.append("entries that cover the resource, best first:")
        lines += [_considered(one) for one in explanation.considered]
    elif verdict.reason is Reason.NO_MATCH:
        lines.append("no entry covers the resource")
    if explanation.turn is not None:
        lines += _turn(explanation.user, explanation.turn)
    return "\n".join(map(visible, lines))


def entry_text(entry: Entry) -> str:
    """Return one entry on one line: `Allow Pub,Sub on Topic:orders from 10.0.0.0/8`."""
    sources = ",".join(source.text for source in entry.sources) or "anywhere"
    actions = ",".join(action.value for action in entry.actions)
    return f"{entry.decision.value} {actions} on {entry.resource.key} from {sources}"


def _considered(one: ConsideredEntry) -> str:
    mark = _MARKS.get(one.standing, "  ")
    return f" {mark} {one.policy.value}: {entry_text(one.entry)} ({one.standing.value}: {one.why})"


def _turn(user: str, turn: MinimalChange) -> list[str]:
    kind = turn.policy.value
    entries = [f"  remove from User:{user} {kind}: {entry_text(entry)}" for entry in turn.removed]
    entries += [f"  add to User:{user} {kind}: {entry_text(entry)}" for entry in turn.added]
    step = _step(user, turn.step)
    if entries:
        return ["smallest change that reverses this decision:", *([f"  {step}"] if step else []), *entries]
    return [f"smallest change that reverses this decision: {step}"]


def _step(user: str, step: ChangeKind) -> str:
    match step:
        case ChangeKind.CREATE_USER:
            return f"create the user `{user}`"
        case ChangeKind.ENABLE_USER:
            return f"enable the user `{user}`"
        case ChangeKind.MAKE_NORMAL:
            return f"make the user `{user}` Normal, or disable it"
        case ChangeKind.DISABLE_USER:
            return f"disable the user `{user}`; as a Normal user its policies would still allow the request"
        case ChangeKind.CHANGE_ENTRIES:
            return ""
        case _:
            assert_never(step)
