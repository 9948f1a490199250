"""Explanation of a verdict: the covering entries, the deciding one, the overruled ones, and the reversing change."""

import enum
from typing import assert_never

import msgspec

from mqguard.auth.decide import decide
from mqguard.auth.minimal_change import ChangeKind, MinimalChange, find_minimal_change
from mqguard.auth.policy import Acl, Action, Entry, Policy, PolicyType
from mqguard.auth.policy_index import CompiledEntry, PolicyIndex, Rights, mask_of
from mqguard.auth.resource import Pattern, ResourceType
from mqguard.auth.verdict import AccessRequest, Reason, Verdict
from mqguard.model.text import visible

_ASKED = (Reason.ALLOWED, Reason.DENIED, Reason.NO_MATCH)
"""The verdicts of policies."""


class EntryOutcome(enum.StrEnum):
    """The effect of an entry that covers the requested resource."""

    DECIDED = "decided"
    """The entry decided the verdict."""
    OVERRULED = "overruled"
    """The entry allows another requested action, or denies one that an entry of higher precedence decided."""
    OTHER_ACTION = "other-action"
    """The entry matches none of the requested actions."""
    OTHER_ADDRESS = "other-address"
    """The entry does not match the source address."""
    DEFAULT_SHADOWED = "default-shadowed"
    """The entry is in the Default policy, and a Custom entry covers the resource."""
    NOT_EVALUATED = "not-evaluated"
    """No entry was evaluated: the user or the request decides it."""
    AGREES = "agrees"
    """The entry decided another requested action, with the same result as the verdict."""


class ConsideredEntry(msgspec.Struct, frozen=True):
    """One entry that covers the requested resource, and its effect.

    Attributes:
        entry: The entry.
        policy: The type of the policy it belongs to.
        outcome: The effect.
        why: The effect in words; for an overruled entry, the reason for the precedence of the other.
    """

    entry: Entry
    policy: PolicyType
    outcome: EntryOutcome
    why: str


class Explanation(msgspec.Struct, frozen=True):
    """The complete explanation of a verdict.

    Attributes:
        user: The user that sent the request.
        request: The request.
        verdict: The verdict.
        considered: Every entry that covers the resource, in order of precedence, Custom before Default.
        minimal_change: The smallest change that reverses the verdict; None if no change of users or policies does.
    """

    user: str
    request: AccessRequest
    verdict: Verdict
    considered: tuple[ConsideredEntry, ...]
    minimal_change: MinimalChange | None


def explain(user: str, request: AccessRequest, rights: Rights | None, orphan: Acl | None = None) -> Explanation:
    """Decide the request and explain the verdict.

    Args:
        user: The name in the request, which need not be that of a user.
        request: The request.
        rights: The rights of that user; None if no such user exists.
        orphan: Policies under that name, if no such user exists.

    Raises:
        RecordCorrupt: The user's stored policies cannot be read.
    """
    verdict = decide(request, rights)
    acl = rights.acl if rights is not None else orphan
    considered = _considered(acl, request, verdict) if acl is not None else ()
    return Explanation(user, request, verdict, considered, find_minimal_change(user, request, rights, orphan))


def _considered(acl: Acl, request: AccessRequest, verdict: Verdict) -> tuple[ConsideredEntry, ...]:
    found: list[ConsideredEntry] = []
    has_opinion = False
    for kind in (PolicyType.CUSTOM, PolicyType.DEFAULT):
        alone = PolicyIndex(Acl(acl.subject, (Policy(kind, acl.entries(kind)),)))
        covering = alone.rules(request.type, request.name)
        first: dict[Action, Entry] = {}
        for rule in covering:
            if verdict.reason not in _ASKED:
                found.append(
                    ConsideredEntry(rule.entry, kind, EntryOutcome.NOT_EVALUATED, "policies are not evaluated")
                )
            elif has_opinion:
                why = "a Custom entry covers the resource, so Default entries do not apply"
                found.append(ConsideredEntry(rule.entry, kind, EntryOutcome.DEFAULT_SHADOWED, why))
            else:
                found.append(ConsideredEntry(rule.entry, kind, *_outcome(rule, request, verdict, first)))
        has_opinion = has_opinion or bool(covering)
    return tuple(found)


def _outcome(
    rule: CompiledEntry, request: AccessRequest, verdict: Verdict, first: dict[Action, Entry]
) -> tuple[EntryOutcome, str]:
    """Return the effect of an entry, and the reason.

    Args:
        rule: The entry.
        request: The request.
        verdict: The verdict.
        first: The entry that decides each action so far; the entry is added for those that it decides.
    """
    entry = rule.entry
    asked = [action for action in request.actions if rule.bits & mask_of(frozenset({action}))]
    if not asked:
        return EntryOutcome.OTHER_ACTION, "its actions do not match the request"
    if not rule.matches_source(request.address):
        return EntryOutcome.OTHER_ADDRESS, "its sources do not match the client's address"
    decided = [action for action in asked if action not in first]
    for action in decided:
        first[action] = entry
    # Equal entries are compared by value: an explanation decodes the stored policies again.
    if decided and entry == verdict.decided_by:
        return EntryOutcome.DECIDED, "it is the first entry that matches"
    if not decided:
        return EntryOutcome.OVERRULED, why_first(first[asked[0]], entry)
    if entry.decision is verdict.decision:
        return EntryOutcome.AGREES, "it is the first entry for another requested action and has the same decision"
    return (
        EntryOutcome.OVERRULED,
        "it is the first entry for another requested action, and one allowed action is enough",
    )


def why_first(winner: Entry, loser: Entry) -> str:
    """Return the reason, in words, for the precedence of `winner` over `loser`: the first difference."""
    won, lost = winner.resource, loser.resource
    if (won.type is ResourceType.ANY) is not (lost.type is ResourceType.ANY):
        return f"`{won.key}` names a type, which comes before `*`"
    (won_pattern, won_text), (lost_pattern, lost_text) = won.compared, lost.compared
    if won_pattern is not lost_pattern:
        names = {Pattern.LITERAL: "a name", Pattern.PREFIXED: "a prefix", Pattern.ANY: "all names"}
        return f"`{won.key}` is {names[won_pattern]}, which comes before {names[lost_pattern]}"
    if won_pattern is Pattern.PREFIXED and len(won_text) != len(lost_text):
        return f"`{won.key}` is the longer prefix"
    if winner.decision is not loser.decision:
        return "Deny comes before Allow for the same resource"
    return "it has the same decision as the first entry for the same resource"


def explanation_json(found: Explanation) -> dict[str, object]:
    """Return the request, the decision, every covering entry, and the smallest change that reverses the decision."""
    request, verdict = found.request, found.verdict
    return {
        "user": found.user,
        "actions": sorted(action.value for action in request.actions),
        "resource": f"{request.type.value}:{request.name}",
        "from": None if request.address is None else str(request.address),
        "decision": verdict.decision.value,
        "reason": verdict.reason.value,
        "entry": verdict.decided_by.text if verdict.decided_by else None,
        "considered": [
            {
                "policy": one.policy.value,
                "entry": one.entry.text,
                "outcome": one.outcome.value,
                "why": one.why,
            }
            for one in found.considered
        ],
        "minimalChange": None if found.minimal_change is None else change_facts(found.minimal_change),
    }


def change_facts(change: MinimalChange) -> dict[str, object]:
    """Return a change that reverses a decision."""
    return {
        "kind": change.kind.value,
        "policy": change.policy.value,
        "remove": [entry.text for entry in change.removed],
        "add": [entry.text for entry in change.added],
    }


_WHY = {
    Reason.SUPER: "a Super user has all permissions",
    Reason.ALLOWED: "an entry allows it",
    Reason.DENIED: "an entry denies it",
    Reason.NO_MATCH: "no entry matches the resource, the action and the address",
    Reason.UNKNOWN_USER: "the user does not exist",
    Reason.DISABLED: "the user is disabled",
    Reason.MISSING_NAME: "the request names no resource",
    Reason.NO_RESOURCE: "a request names a topic, a group or a cluster; `*` and `Namespace` are for entries",
    Reason.NO_ACTION: "the request names no action",
    Reason.UNREADABLE: "the stored policies cannot be read",
}
_MARKS = {EntryOutcome.DECIDED: "=>", EntryOutcome.AGREES: " ="}


def explanation_text(explanation: Explanation) -> str:
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
        lines += [_considered_line(one) for one in explanation.considered]
    elif verdict.reason is Reason.NO_MATCH:
        lines.append("no entry covers the resource")
    if explanation.minimal_change is not None:
        lines += _change_lines(explanation.user, explanation.minimal_change)
    return "\n".join(map(visible, lines))


def _considered_line(one: ConsideredEntry) -> str:
    mark = _MARKS.get(one.outcome, "  ")
    return f" {mark} {one.policy.value}: {one.entry.text} ({one.outcome.value}: {one.why})"


def _change_lines(user: str, change: MinimalChange) -> list[str]:
    kind = change.policy.value
    entries = [f"  remove from User:{user} {kind}: {entry.text}" for entry in change.removed]
    entries += [f"  add to User:{user} {kind}: {entry.text}" for entry in change.added]
    step = _step_text(user, change.kind)
    if entries:
        return ["smallest change that reverses this decision:", *([f"  {step}"] if step else []), *entries]
    return [f"smallest change that reverses this decision: {step}"]


def _step_text(user: str, step: ChangeKind) -> str:
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
