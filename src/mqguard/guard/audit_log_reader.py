"""Reader of the JSON lines that `audit_format` makes, for the decisions about resources in them."""

from collections.abc import Mapping
from typing import Any

import msgspec

from mqguard.auth.analysis.replay import Occurrences, RecordedDecision
from mqguard.auth.errors import PolicyInvalid
from mqguard.auth.policy import Action, Decision, Entry
from mqguard.auth.resource import Resource, ResourceType
from mqguard.auth.source import Source, parse_address
from mqguard.auth.verdict import AccessRequest, Reason
from mqguard.guard.admitted_request import BY_CLAIM


class _Permission(msgspec.Struct, gc=False):
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
    permissions: list[_Permission] = []
    count: int = 0
    resources: int = 0


_decode = msgspec.json.Decoder(_Line).decode


def read_entry(facts: Mapping[str, Any]) -> Entry:
    """Return the entry of a policy in `decided_by` of a line.

    Raises:
        PolicyInvalid: A value is not valid.
        KeyError: A member is missing.
    """
    return Entry(
        Resource.parse(facts["resource"]),
        tuple(map(Action.parse, facts["actions"])),
        tuple(map(Source.parse, facts["sources"])),
        Decision.parse(facts["decision"]),
    )


class AuditReader:
    """The decisions of an audit log, from any number of lines in any order.

    Attributes:
        asked: Number of occurrences of every decision about a resource and a user, authenticated or claimed.
        decisions: Number of decisions.
        lost: Number of records that the log reports as missing.
        folded: Number of denials that the log only counts.
        is_without_admissions: True if admissions were not recorded for a part of the time.
        unnamed: Number of resources that the log only counts, since their request named very many.
        unreadable: Number of lines that are not records; a killed process leaves half a line.
        first: Time of the earliest record (ISO 8601, UTC); empty while there is none.
        last: Time of the latest record.
    """

    def __init__(self) -> None:
        self.asked: dict[RecordedDecision, Occurrences] = {}
        self.decisions = 0
        self.lost = 0
        self.folded = 0
        self.is_without_admissions = False
        self.unnamed = 0
        self.unreadable = 0
        self.first = ""
        self.last = ""

    def take(self, line: bytes) -> None:
        """Read a line of `audit.jsonl`."""
        try:
            record = _decode(line)
            decisions = _decisions(record)
        except (msgspec.DecodeError, PolicyInvalid, ValueError):
            self.unreadable += 1
            return
        self.first = min(self.first or record.time, record.time)
        self.last = max(self.last, record.time)
        if record.event == "lost":
            self.lost += record.count
        if record.event == "not-recorded":
            self.is_without_admissions = True
        for decision in decisions:
            times = self.asked.setdefault(decision, Occurrences())
            times.count += max(1, record.count)
            times.last = max(times.last, record.time)
        self.decisions += len(decisions) * max(1, record.count)
        self.unnamed += max(0, record.resources - len(record.permissions)) * max(1, record.count)
        if record.event == "folded":
            self.folded += record.count


def _decisions(record: _Line) -> list[RecordedDecision]:
    # A denial before authorization does not depend on policies: it would be the same again.
    if not record.authenticated_by:
        return []
    return [_decision(record, permission) for permission in record.permissions if permission.verdict]


def _decision(record: _Line, permission: _Permission) -> RecordedDecision:
    kind, _, name = permission.resource.partition(":")
    request = AccessRequest(
        ResourceType(kind), name, frozenset(map(Action.parse, permission.actions)), parse_address(record.source)
    )
    allowed = permission.verdict == Decision.ALLOW.value
    granted = allowed and permission.decided_by is None and record.reason != Reason.SUPER
    return RecordedDecision(record.user, request, allowed, granted, claimed=record.authenticated_by == BY_CLAIM)
