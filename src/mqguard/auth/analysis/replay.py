"""Recorded decisions, evaluated again with other policies: changed decisions and unused entries.

Unlike `comparison`, which covers every possible request, this covers the recorded ones.
"""

import dataclasses
from collections.abc import Iterator, Mapping

import msgspec

from mqguard.auth.analysis.access_state import AccessState, EntryLocation
from mqguard.auth.decide import decide
from mqguard.auth.policy import Decision, Entry, PolicyType
from mqguard.auth.policy_index import Rights
from mqguard.auth.verdict import AccessRequest, Reason, Verdict


class RecordedDecision(msgspec.Struct, frozen=True, gc=False):
    """A recorded decision about one resource; equal ones are counted together.

    Attributes:
        user: The user that sent the request.
        request: The request.
        allowed: True if it was allowed.
        granted: True if it was allowed without an entry, as an implicit grant of clients.
        claimed: True if the user was not authenticated: the operator may trust such a name, but never as Super.
    """

    user: str
    request: AccessRequest
    allowed: bool
    granted: bool = False
    claimed: bool = False


@dataclasses.dataclass(slots=True)
class Occurrences:
    """The occurrences of a recorded decision.

    Attributes:
        count: The number of occurrences.
        last: The time of the last one, in the record's notation (ISO 8601, UTC).
    """

    count: int = 0
    last: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class ChangedDecision:
    """A recorded decision that would change."""

    recorded: RecordedDecision
    occurrences: Occurrences
    verdict: Verdict


@dataclasses.dataclass(frozen=True, slots=True)
class Replay:
    """The result for all recorded decisions.

    Attributes:
        changed: The changed decisions, the most frequent first.
        unused: Entries with Allow by which no recorded request was allowed.
    """

    changed: tuple[ChangedDecision, ...]
    unused: tuple[tuple[EntryLocation, Entry], ...]


def replay(recorded_decisions: Mapping[RecordedDecision, Occurrences], directory: AccessState) -> Replay:
    """Decide every recorded request by the users and policies of the directory.

    A request that was allowed without an entry stays allowed if no entry matches it, because policies do not contain
    that grant.
    """
    rights: dict[tuple[str, bool], Rights | None] = {}
    changed: list[ChangedDecision] = []
    used: set[tuple[str, PolicyType | None, Entry]] = set()
    for recorded, occurrences in recorded_decisions.items():
        sender = recorded.user, recorded.claimed
        if sender not in rights:
            rights[sender] = _rights(recorded, directory)
        verdict = decide(recorded.request, rights[sender])
        if verdict.allowed and verdict.decided_by is not None:
            used.add((recorded.user, verdict.policy, verdict.decided_by))
        if verdict.allowed != recorded.allowed and not (recorded.granted and verdict.reason is Reason.NO_MATCH):
            changed.append(ChangedDecision(recorded, occurrences, verdict))
    changed.sort(key=_order)
    return Replay(tuple(changed), tuple(_unused(directory, used)))


def _rights(recorded: RecordedDecision, directory: AccessState) -> Rights | None:
    found = directory.rights(recorded.user)
    # The guard treats a user that is only claimed in the same way.
    return None if recorded.claimed and found is not None and found.user.is_super else found


def _order(changed: ChangedDecision) -> tuple[object, ...]:
    request = changed.recorded.request
    # Newly denied requests come first, because they break clients.
    return changed.verdict.allowed, -changed.occurrences.count, changed.recorded.user, request.type.value, request.name


def _unused(
    directory: AccessState, used: set[tuple[str, PolicyType | None, Entry]]
) -> Iterator[tuple[EntryLocation, Entry]]:
    for name, acl in sorted(directory.acls.items()):
        for policy in PolicyType:
            for number, entry in enumerate(acl.entries(policy), 1):
                if entry.decision is Decision.ALLOW and (name, policy, entry) not in used:
                    yield EntryLocation(name, policy, number), entry
