"""Reads back the JSON lines that `audit_lines` writes, as far as they say what was decided about resources."""

from typing import Any

import msgspec

from mqguard.auth.analysis.replay import Occurrences, RecordedDecision
from mqguard.auth.errors import PolicyInvalid
from mqguard.auth.policy import Action, Decision
from mqguard.auth.resource import ResourceType
from mqguard.auth.source import parse_address
from mqguard.auth.verdict import AccessRequest, Reason
from mqguard.guard.context import BY_CLAIM


class _Need(msgspec.Struct, gc=False):
    resource: str
    actions: list[str]
    verdict: str = ""
    decided_by: dict[str, Any] | None = None


class _Line(msgspec.Struct, gc=False):
    time: str
    event: str
    reason: str = ""
    user: str = ""
    authenticated_by: str = ""
    source: str = ""
    needs: list[_Need] = []
    count: int = 0
    resources: int = 0


_decode = msgspec.json.Decoder(_Line).decode


class AuditReader:
    """Collects what was decided, from any number of lines in any order.

    Attributes:
        asked: Every decision about a resource and a user, proven or trusted by its word, with how often it was made.
        decisions: How many these are.
        lost: Records that the log itself says are missing.
        folded: Refusals of which the log has only their number.
        unnamed: Resources of which the log has only their number, since their request named very many.
        unreadable: Lines that are no records; a process that was killed leaves half a one.
        first: When the earliest record was made (ISO 8601, UTC); empty while there is none.
        last: When the latest was made.
    """

    def __init__(self) -> None:
        self.asked: dict[RecordedDecision, Occurrences] = {}
        self.decisions = 0
        self.lost = 0
        self.folded = 0
        self.unnamed = 0
        self.unreadable = 0
        self.first = ""
        self.last = ""

    def take(self, line: bytes) -> None:
        """Take a line of `audit.jsonl`."""
        try:
            record = _decode(line)
            questions = _questions(record)
        except (msgspec.DecodeError, PolicyInvalid, ValueError):
            self.unreadable += 1
            return
        self.first = min(self.first or record.time, record.time)
        self.last = max(self.last, record.time)
        if record.event == "lost":
            self.lost += record.count
        for question in questions:
            times = self.asked.setdefault(question, Occurrences())
            times.count += max(1, record.count)
            times.last = max(times.last, record.time)
        self.decisions += len(questions) * max(1, record.count)
        self.unnamed += max(0, record.resources - len(record.needs)) * max(1, record.count)
        if record.event == "folded":
            self.folded += record.count


def _questions(record: _Line) -> list[RecordedDecision]:
    # What was refused before a resource was judged would be refused again, whatever the policies say.
    if not record.authenticated_by:
        return []
    return [_question(record, need) for need in record.needs if need.verdict]


def _question(record: _Line, need: _Need) -> RecordedDecision:
    kind, _, name = need.resource.partition(":")
    request = AccessRequest(
        ResourceType(kind), name, frozenset(map(Action.parse, need.actions)), parse_address(record.source)
    )
    allowed = need.verdict == Decision.ALLOW.value
    granted = allowed and need.decided_by is None and record.reason != Reason.SUPER
    return RecordedDecision(record.user, request, allowed, granted, claimed=record.authenticated_by == BY_CLAIM)
