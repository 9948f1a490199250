"""The ports of the guard."""

import dataclasses
from collections.abc import Callable
from typing import Protocol

from mqguard.auth.snapshot import Snapshot
from mqguard.guard.audit import AuditTrail
from mqguard.model.process import Clock
from mqguard.telemetry.metrics import Metrics


class SnapshotSource(Protocol):
    """The holder of the users and policies."""

    @property
    def snapshot(self) -> Snapshot:
        """All users and policies as they are now."""
        ...  # pragma: no cover


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class GuardPorts:
    """The parts that the guard uses.

    Attributes:
        metadata: Users and policies.
        clock: The date, and the time for spans.
        ticks: A clock for durations, in nanoseconds.
        new_id: Returns a new decision id: short, unique, hard to guess.
        audit: The audit trail of decisions.
        metrics: The counters of decisions.
    """

    metadata: SnapshotSource
    clock: Clock
    ticks: Callable[[], int]
    new_id: Callable[[], str]
    audit: AuditTrail
    metrics: Metrics = dataclasses.field(default_factory=Metrics)
