"""What the guard puts on record: every decision, and every change of users and policies.

The request path only appends a record; a writer elsewhere turns records into lines (`audit_lines.py`).
"""

import copy
import enum
from collections.abc import Iterator
from typing import Protocol

import msgspec

from mqguard.auth.rights import Rights
from mqguard.auth.verdict import Verdict
from mqguard.guard.context import Identity, Needs
from mqguard.model.peer import Peer


class Stage(enum.Enum):
    """Which step of the guard spoke last."""

    AUTHENTICATION = "authentication"
    REQUIREMENTS = "requirements"
    AUTHORIZATION = "authorization"
    TOUCHED = "touched"
    """A handler asked about a resource that the request turned out to touch."""
    GUARD = "guard"
    """A fault of ours, or no room for the record itself."""


class Decision(msgspec.Struct, gc=False):
    """One request while it is looked at, and then the record of it; or one touched resource.

    The guard fills it in and lets go of it: INVARIANT: nobody changes it once it is on record.

    Attributes:
        code: Request code.
        peer: Where from.
        started: When the guard began, in nanoseconds of its own clock.
        signature: As received, for its hash; None where no signature was looked at.
        claimed: The name that the request claims, where nothing was proven; empty for none.
        identity: Who it is, once that is known.
        needs: What it needs, once that is known.
        rights: The sender's rights, once they are looked at.
        version: Version of users and policies.
        stage: The step that spoke last.
        verdicts: One for each need that was judged, in order.
        reason: Machine word.
        decision_id: Under which a refusal can be found, in shadow mode also what would be one; empty for an admission.
        shadow: Whether it was let in although it would be refused.
        when_ms: Milliseconds since the epoch.
        latency_ns: How long the guard took.
    """

    code: int
    peer: Peer
    started: int
    signature: str | None = None
    claimed: str = ""
    identity: Identity | None = None
    needs: Needs = ()
    rights: Rights | None = None
    version: int = 0
    stage: Stage = Stage.AUTHORIZATION
    verdicts: tuple[Verdict, ...] = ()
    reason: str = ""
    decision_id: str = ""
    when_ms: int = 0
    latency_ns: int = 0
    shadow: bool = False

    @property
    def user(self) -> str:
        """The proven user, or else the name that is claimed."""
        return self.identity.user if self.identity is not None else self.claimed

    @property
    def method(self) -> str:
        """What proved the user, empty if nothing did."""
        return self.identity.method if self.identity is not None else ""

    @property
    def source(self) -> str:
        """The address that the request came from."""
        return self.peer.ip

    @property
    def is_super(self) -> bool:
        """Whether it comes from a Super user."""
        return self.identity is not None and self.identity.is_super

    @property
    def refused(self) -> bool:
        """Whether it is a refusal."""
        return bool(self.decision_id) and not self.shadow


class AdminChange(msgspec.Struct, frozen=True, gc=False):
    """A change of users or policies.

    Attributes:
        when_ms: Milliseconds since the epoch.
        user: Who changed it; empty for nobody in particular.
        source: Where from.
        operation: Such as `create-user` or `delete-acl`.
        subject: What was changed, such as `User:alice`.
        details: What it was changed to, by name; never a secret.
        outcome: `done`, or why it was refused.
    """

    when_ms: int
    user: str
    source: str
    operation: str
    subject: str
    details: dict[str, str]
    outcome: str


Record = Decision | AdminChange


class AuditSink(Protocol):
    """Where records go. Never blocks."""

    def put(self, record: object) -> bool:
        """Take a record; False if there is no room, which the sink counts."""


MOST_TOGETHER = 32
"""Most resources that one record tells about."""

SECRET_WORDS = ("secret", "password", "signature", "token")
"""Names of details that must not be put on record."""


class AuditTrail:
    """Puts decisions and changes on record."""

    def __init__(self, sink: AuditSink) -> None:
        """Write to the sink."""
        self.put = sink.put

    def record(self, case: Decision) -> bool:
        """Put a decision on record; one about many resources in parts, so that a full queue is bounded in bytes too.

        Returns:
            Whether there was room for all of it.
        """
        if len(case.needs) <= MOST_TOGETHER:
            return self.put(case)
        return all([self.put(part) for part in _parts(case)])  # noqa: C419 - every part, whatever became of the others

    def admin_change(
        self,
        *,
        when_ms: int,
        user: str,
        source: str,
        operation: str,
        subject: str,
        details: dict[str, str] | None = None,
        outcome: str = "done",
    ) -> None:
        """Record a change of users or policies, or the refusal of one.

        Args:
            when_ms: Milliseconds since the epoch.
            user: Who changed it.
            source: Address that the request came from.
            operation: `create-user`, `update-user`, `delete-user`, `create-acl`, `update-acl` or `delete-acl`.
            subject: What was changed, such as `User:alice`.
            details: What it was changed to. A value under a name that sounds secret is replaced by `changed`.
            outcome: `done`, or why it was refused.
        """
        kept = {
            name: "changed" if any(word in name.lower() for word in SECRET_WORDS) else value
            for name, value in (details or {}).items()
        }
        self.put(AdminChange(when_ms, user, source, operation, subject, kept, outcome))


def _parts(case: Decision) -> Iterator[Decision]:
    for start in range(0, len(case.needs), MOST_TOGETHER):
        part = copy.copy(case)
        part.needs = case.needs[start : start + MOST_TOGETHER]
        part.verdicts = case.verdicts[start : start + MOST_TOGETHER]
        yield part
