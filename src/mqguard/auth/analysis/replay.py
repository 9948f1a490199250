"""What was decided, decided once more by other policies: what would be answered otherwise, what nobody used.

Unlike `comparison`, which speaks of every request there can be, this speaks of those that were made.
"""

import dataclasses
from collections.abc import Iterator, Mapping

import msgspec

from mqguard.auth.analysis.directory import Directory
from mqguard.auth.analysis.findings import Place
from mqguard.auth.decide import decide
from mqguard.auth.policy import Decision, Entry, PolicyType
from mqguard.auth.request import AccessRequest
from mqguard.auth.rights import Rights
from mqguard.auth.verdict import Reason, Verdict


class Question(msgspec.Struct, frozen=True, gc=False):
    """A recorded decision about one resource; equal ones are counted together.

    Attributes:
        user: Who asked.
        request: For what.
        allowed: How it was decided.
        granted: Whether it was allowed without an entry, because clients touch it by themselves.
        claimed: Whether nothing proved the user: such a name is trusted where the operator says so, but never Super.
    """

    user: str
    request: AccessRequest
    allowed: bool
    granted: bool = False
    claimed: bool = False


@dataclasses.dataclass(slots=True)
class Times:
    """How often a question was asked.

    Attributes:
        count: So many times.
        last: When for the last time, as the record says it (ISO 8601, UTC).
    """

    count: int = 0
    last: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Turned:
    """A question that would be answered otherwise."""

    question: Question
    times: Times
    verdict: Verdict


@dataclasses.dataclass(frozen=True, slots=True)
class Replay:
    """What became of all questions.

    Attributes:
        turned: Those that would be answered otherwise, the most frequent first.
        unused: Entries that allow something, and by which no question was allowed.
    """

    turned: tuple[Turned, ...]
    unused: tuple[tuple[Place, Entry], ...]


def replay(asked: Mapping[Question, Times], directory: Directory) -> Replay:
    """Decide every question by the users and policies of the directory.

    What was allowed without an entry stays allowed where no entry speaks about it: that is not in the policies.
    """
    rights: dict[tuple[str, bool], Rights | None] = {}
    turned: list[Turned] = []
    used: set[tuple[str, PolicyType | None, Entry]] = set()
    for question, times in asked.items():
        sender = question.user, question.claimed
        if sender not in rights:
            rights[sender] = _rights(question, directory)
        verdict = decide(question.request, rights[sender])
        if verdict.allowed and verdict.decided_by is not None:
            used.add((question.user, verdict.policy, verdict.decided_by))
        if verdict.allowed != question.allowed and not (question.granted and verdict.reason is Reason.NO_MATCH):
            turned.append(Turned(question, times, verdict))
    turned.sort(key=_order)
    return Replay(tuple(turned), tuple(_unused(directory, used)))


def _rights(question: Question, directory: Directory) -> Rights | None:
    found = directory.rights(question.user)
    # As the guard judges a mere claim.
    return None if question.claimed and found is not None and found.user.is_super else found


def _order(turned: Turned) -> tuple[object, ...]:
    request = turned.question.request
    # What would be refused comes first: that is what breaks.
    return turned.verdict.allowed, -turned.times.count, turned.question.user, request.type.value, request.name


def _unused(directory: Directory, used: set[tuple[str, PolicyType | None, Entry]]) -> Iterator[tuple[Place, Entry]]:
    for name, acl in sorted(directory.acls.items()):
        for policy in PolicyType:
            for number, entry in enumerate(acl.entries(policy), 1):
                if entry.decision is Decision.ALLOW and (name, policy, entry) not in used:
                    yield Place(name, policy, number), entry
