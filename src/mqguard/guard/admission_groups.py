"""Counts of admissions: one record for all equal admissions of a minute, instead of one for each."""

# Rule 1: no admission is lost. An admission that is not counted has a record of its own.
# Rule 2: the kinds of admissions in memory, and so the records of one minute, are bounded.
# Rule 3: the records of a minute are written in several steps, because thousands of lines at once would delay requests.

import collections
import enum
import logging
from collections.abc import Callable
from typing import Protocol

import msgspec

from mqguard.auth.policy import Decision, Entry
from mqguard.auth.verdict import Verdict
from mqguard.guard.admitted_request import Identity
from mqguard.guard.permissions import RequiredPermissions
from mqguard.guard.request_context import Operation

_LOG = logging.getLogger(__name__)

MINUTE_MS = 60_000
MAX_GROUPS = 4_096
"""Maximum number of kinds of admissions that are counted in one minute; the previous minute may have as many left."""
MAX_COUNTED_PERMISSIONS = 4
"""Maximum number of resources of an admission that is counted."""
MAX_COUNTED_NAME = 256
"""Maximum characters of each name in an admission that is counted."""
MAX_PER_STEP = 256
"""Maximum number of records that one step writes, some 3 milliseconds of work."""


class AdmissionMode(enum.Enum):
    """The records of admissions, except those of administrative requests."""

    FULL = "full"
    SUMMARY = "summary"
    """One record for each kind of admissions and minute."""
    OFF = "off"
    """No records; admissions are only counted."""


class Admission(Protocol):
    """The values of an admitted request that its record shows (`audit.AuditEvent`)."""

    identity: Identity | None
    source: str
    operation: Operation
    permissions: RequiredPermissions
    verdicts: tuple[Verdict, ...]
    reason: str
    when_ms: int
    latency_ns: int


class AdmissionCount(msgspec.Struct, frozen=True):
    """The record of equal admissions.

    Attributes:
        event: The first one.
        count: Number of all.
        first_ms: Time of the first, in milliseconds since the epoch.
        when_ms: Time of the last.
        latency_ns: Mean duration of a decision in nanoseconds.
    """

    event: object
    count: int
    first_ms: int
    when_ms: int
    latency_ns: int


class AdmissionsOff(msgspec.Struct, frozen=True, gc=False):
    """The record that says that admissions are not recorded.

    Attributes:
        when_ms: Milliseconds since the epoch.
        count: Number of admissions without a record since the start.
    """

    when_ms: int
    count: int = 0


class _MinuteCount(msgspec.Struct):
    event: Admission
    last_ms: int
    count: int = 0
    latency_ns: int = 0

    @property
    def record(self) -> AdmissionCount:
        count = self.count
        return AdmissionCount(self.event, count, self.event.when_ms, self.last_ms, self.latency_ns // count)


_Known = tuple[_MinuteCount, Identity | None, RequiredPermissions, tuple[Entry | None, ...]]


class AdmissionGroups:
    """Counts of admissions in each minute, for one thread.

    Attributes:
        summed: Number of counted admissions.
    """

    def __init__(self) -> None:
        self.summed = 0
        self._groups: dict[tuple[object, ...], _MinuteCount] = {}
        # The same groups by the ids of their objects, because hashing the objects costs a microsecond for each request.
        # The entries keep these objects alive, so that no other objects can get their ids.
        self._known: dict[tuple[object, ...], _Known] = {}
        # The groups of earlier minutes that have no record yet.
        self._due: collections.deque[_MinuteCount] = collections.deque()
        self._end_ms = 0

    def count(self, event: Admission) -> bool:
        """Count an admission; return False if it must have a record of its own."""
        when_ms, permissions, verdicts = event.when_ms, event.permissions, event.verdicts
        if when_ms >= self._end_ms:
            self._end_minute(when_ms)
        deciders = id(verdicts[0].decided_by) if len(verdicts) == 1 else tuple([id(one.decided_by) for one in verdicts])
        key = (id(event.identity), event.source, id(permissions), event.operation, deciders, event.reason)
        known = self._known.get(key)
        if known is None:
            group = self._find(event)
            if group is None:
                return False
            if len(self._known) >= MAX_GROUPS:
                self._known.clear()
            self._known[key] = group, event.identity, permissions, tuple([one.decided_by for one in verdicts])
        else:
            group = known[0]
        group.count += 1
        group.last_ms = when_ms
        group.latency_ns += event.latency_ns
        self.summed += 1
        return True

    def write_due(self, now_ms: int, write: Callable[[object], bool]) -> None:
        """Write records of the minutes that are over, a bounded number of them."""
        # A clock that was set back must not make this minute long.
        if not self._end_ms - MINUTE_MS <= now_ms < self._end_ms:
            self._end_minute(now_ms)
        due = self._due
        for _ in range(min(len(due), MAX_PER_STEP)):
            if not write(due[0].record):
                return
            due.popleft()

    def write_all(self, now_ms: int, write: Callable[[object], bool]) -> int:
        """Write all records, also those of the current minute; return the number of admissions without room."""
        self._end_minute(now_ms)
        lost = sum([group.count for group in self._due if not write(group.record)])
        self._due.clear()
        return lost

    def _end_minute(self, now_ms: int) -> None:
        self._end_ms = (now_ms // MINUTE_MS + 1) * MINUTE_MS
        self._due.extend(self._groups.values())
        self._groups.clear()
        self._known.clear()

    def _find(self, event: Admission) -> _MinuteCount | None:
        permissions, verdicts, identity = event.permissions, event.verdicts, event.identity
        decided: tuple[tuple[Decision, Entry | None], ...] = tuple([(one.decision, one.decided_by) for one in verdicts])
        key = (identity, event.source, permissions, event.operation, decided, event.reason)
        group = self._groups.get(key)
        if group is not None:
            return group
        number = len(self._groups)
        is_full = number >= MAX_GROUPS or number + len(self._due) >= 2 * MAX_GROUPS
        if is_full or len(permissions) > MAX_COUNTED_PERMISSIONS or _has_long_name(identity, permissions):
            return None
        group = self._groups[key] = _MinuteCount(event, event.when_ms)
        return group


class AdmissionRecords:
    """The records of admissions.

    Args:
        put: Takes a record; returns False if there is no room (`audit.AuditSink`).
        mode: The records to make.

    Attributes:
        record: Records or counts an admission; returns False if there was no room for its record.
        unrecorded: Number of admissions without a record, because they are not recorded.
    """

    def __init__(self, put: Callable[..., bool], mode: AdmissionMode) -> None:
        self.unrecorded = 0
        self._put = put
        self._groups = AdmissionGroups()
        self._is_off = mode is AdmissionMode.OFF
        self.record: Callable[[Admission], bool] = put
        if mode is AdmissionMode.SUMMARY:
            self.record = self._count
        elif self._is_off:
            self.record = self._skip

    @property
    def summed(self) -> int:
        """Number of admissions without a record of their own, which are part of a count."""
        return self._groups.summed

    def open(self, now_ms: int) -> None:
        """Record that admissions are not recorded, if so."""
        if self._is_off:
            self._write(AdmissionsOff(now_ms))

    def write_due(self, now_ms: int) -> None:
        """Record the counts of minutes that are over."""
        self._groups.write_due(now_ms, self._write)

    def close(self, now_ms: int) -> None:
        """Record all counts."""
        lost = self._groups.write_all(now_ms, self._write)
        if lost:
            _LOG.error("the audit log had no room for the counts of %d admissions; they are lost", lost)
        if self._is_off:
            self._write(AdmissionsOff(now_ms, self.unrecorded))

    def _write(self, record: object) -> bool:
        # Reserved room is for what must not be lost, as the count of many requests.
        return self._put(record, reserved=True)

    def _count(self, event: Admission) -> bool:
        return self._groups.count(event) or self._put(event)

    def _skip(self, _event: Admission) -> bool:
        self.unrecorded += 1
        return True


def _has_long_name(identity: Identity | None, permissions: RequiredPermissions) -> bool:
    if identity is not None and len(identity.user) > MAX_COUNTED_NAME:
        return True
    return any(len(permission.name) > MAX_COUNTED_NAME for permission in permissions)
