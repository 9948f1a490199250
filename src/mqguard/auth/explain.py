"""Explanation of a verdict: the covering entries, the deciding one, the overruled ones, and the reversing change."""

import enum

import msgspec

from mqguard.auth.decide import decide
from mqguard.auth.minimal_change import MinimalChange, find_minimal_change
from mqguard.auth.policy import Acl, Entry, PolicyType
from mqguard.auth.precedence import rank
from mqguard.auth.request import AccessRequest
from mqguard.auth.resource import Pattern, ResourceType
from mqguard.auth.rights import Rights
from mqguard.auth.verdict import Reason, Verdict

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
    SILENT_DEFAULT = "silent-default"
    """The entry is in the Default policy, and a Custom entry covers the resource."""
    NOT_ASKED = "not-asked"
    """No entry was evaluated: the user or the request decides it."""
    AGREES = "agrees"
    """The entry decided another requested action, with the same result as the verdict."""


class ConsideredEntry(msgspec.Struct, frozen=True):
    """One entry that covers the requested resource, and its effect.

    Attributes:
        entry: The entry.
        policy: The type of the policy it belongs to.
        standing: The effect.
        why: The effect in words; for an overruled entry, the reason for the precedence of the other.
    """

    entry: Entry
    policy: PolicyType
    standing: EntryOutcome
    why: str


class Explanation(msgspec.Struct, frozen=True):
    """The complete explanation of a verdict.

    Attributes:
        user: The user that sent the request.
        request: The request.
        verdict: The verdict.
        considered: Every entry that covers the resource, in order of precedence, Custom before Default.
        turn: The smallest change that reverses the verdict; None if no change of users or policies does.
    """

    user: str
    request: AccessRequest
    verdict: Verdict
    considered: tuple[ConsideredEntry, ...]
    turn: MinimalChange | None


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
    spoken = False
    for kind in (PolicyType.CUSTOM, PolicyType.DEFAULT):
        covering = sorted(
            (entry for entry in acl.entries(kind) if entry.resource.covers(request.type, request.name)), key=rank
        )
        first: dict[object, Entry] = {}
        for entry in covering:
            if verdict.reason not in _ASKED:
                found.append(ConsideredEntry(entry, kind, EntryOutcome.NOT_ASKED, "policies are not evaluated"))
            elif spoken:
                why = "a Custom entry covers the resource, so Default entries do not apply"
                found.append(ConsideredEntry(entry, kind, EntryOutcome.SILENT_DEFAULT, why))
            else:
                found.append(ConsideredEntry(entry, kind, *_standing(entry, request, verdict, first)))
        spoken = spoken or bool(covering)
    return tuple(found)


def _standing(
    entry: Entry, request: AccessRequest, verdict: Verdict, first: dict[object, Entry]
) -> tuple[EntryOutcome, str]:
    asked = [action for action in request.actions if entry.matches_action(action)]
    if not asked:
        return EntryOutcome.OTHER_ACTION, "its actions do not match the request"
    if not entry.matches_source(request.address):
        return EntryOutcome.OTHER_ADDRESS, "its sources do not match the client's address"
    news = [action for action in asked if action not in first]
    for action in news:
        first[action] = entry
    # Equal entries are compared by value: an explanation decodes the stored policies again.
    if news and entry == verdict.decided_by:
        return EntryOutcome.DECIDED, "it is the first entry that matches"
    if not news:
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
    if won.pattern is not lost.pattern:
        names = {Pattern.LITERAL: "a name", Pattern.PREFIXED: "a prefix", Pattern.ANY: "all names"}
        return f"`{won.key}` is {names[won.pattern]}, which comes before {names[lost.pattern]}"
    if won.pattern is Pattern.PREFIXED and len(won.name) != len(lost.name):
        return f"`{won.key}` is the longer prefix"
    if winner.decision is not loser.decision:
        return "Deny comes before Allow for the same resource"
    return "it has the same decision as the first entry for the same resource"
