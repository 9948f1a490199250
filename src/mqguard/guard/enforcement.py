"""Saying no: the peer hears Apache's wording and an id, the administrator can ask for the story by that id."""

from mqguard.auth.verdict import AUTHORIZATION_FAILED, Reason, Verdict, denial_message
from mqguard.guard.audit import AuditEvent, Stage, denial_key
from mqguard.guard.authorization import NOBODY
from mqguard.guard.context import BY_CLAIM, Identity, RequiredPermission
from mqguard.guard.denial import Denial, DenialLog
from mqguard.guard.errors import Refused
from mqguard.guard.ports import GuardPorts
from mqguard.guard.requirements import operations
from mqguard.guard.requirements.evaluation import TABLE
from mqguard.guard.settings import Enforcement
from mqguard.remoting.codes import ResponseCode


def refusal_of(case: AuditEvent, need: RequiredPermission, verdict: Verdict) -> str:
    """What a peer hears whose need is not met, in Apache's words; nobody in particular hears no name."""
    if verdict is NOBODY:
        return AUTHORIZATION_FAILED
    return denial_message(case.user, need.type, need.name, case.source, verdict)


UNJUDGED_KEPT = 8
"""How many needs behind the refused one are put on record. Nobody has judged them, and a peer may name thousands: the
record of it must not push the records of others out of the log."""

_OVERLOOKED = frozenset({Reason.DENIED, Reason.NO_MATCH})
"""The reasons that are a policy's word, or its silence. All others are refused in shadow mode too."""

_NEVER_OVERLOOKED = frozenset(
    {*operations.ACCESS, *operations.OWN, *(code for code, row in TABLE.items() if row.between)}
)
"""Requests about users, policies and decisions, and those of brokers and controllers among each other: whoever may make
these may make itself anything, and has no clients that a new policy could cut off."""


class Enforcer:
    """Makes refusals and remembers them."""

    def __init__(self, ports: GuardPorts, log: DenialLog, enforcement: Enforcement = Enforcement.ENFORCE) -> None:
        """Take the ports, the memory for stories, and whether policies are enforced or only watched."""
        self._ports = ports
        self._log = log
        self._shadowing = enforcement is Enforcement.SHADOW
        self._shadowed = ports.metrics.family(
            "mqguard_requests_shadowed_total",
            "Requests, and resources that they touched, that were let in and would be refused.",
            ("stage", "reason"),
        )
        self._refused = ports.metrics.family(
            "mqguard_requests_refused_total",
            "Requests, and resources that they touched, that were refused.",
            ("stage", "reason"),
        )

    def deny(self, case: AuditEvent, stage: Stage, need: RequiredPermission, verdict: Verdict) -> None:
        """Refuse because a need is not met; where policies are only watched, remember that instead.

        Only the word of a policy about a user who has proven who it is is overlooked, and never about requests for
        users, policies and decisions or of brokers among each other. What needs a Super user never comes here.

        Args:
            case: The request; its last verdict is the one about the need.
            stage: The step that refuses.
            need: What is not met.
            verdict: Why.

        Raises:
            Refused: It is refused.
        """
        remark = refusal_of(case, need, verdict)
        if not self.is_shadowed(case.identity, case.code, verdict):
            raise self.refuse(case, stage, verdict.reason, remark, refused=need)
        self.count_shadowed(stage, verdict)
        if case.shadow:
            return  # one request, one id: that of its first
        case.shadow = True
        case.reason = verdict.reason
        case.when_ms = self._ports.clock.now_ms()
        case.key = denial_key(case, verdict.reason, remark, shadow=True)
        like = self._ports.audit.repeated(case, case.when_ms)
        if like is not None:
            case.decision_id, case.counted = like, True
            return
        case.decision_id = self._ports.new_id()
        told = f"{remark} [decision {case.decision_id}]"
        self._log.add(_refusal(case, stage, verdict.reason, told, need))

    def is_shadowed(self, identity: Identity | None, code: int, verdict: Verdict) -> bool:
        """Whether a denial is only watched."""
        return (
            self._shadowing
            and verdict.reason in _OVERLOOKED
            and identity is not None
            and identity.method is not BY_CLAIM
            and code not in _NEVER_OVERLOOKED
        )

    def count_shadowed(self, stage: Stage, verdict: Verdict) -> None:
        """Count a denial that is only watched."""
        self._shadowed.of(stage.value, str(verdict.reason)).value += 1

    def refuse(
        self,
        case: AuditEvent,
        stage: Stage,
        reason: str,
        remark: str,
        *,
        refused: RequiredPermission | None = None,
        code: int = ResponseCode.NO_PERMISSION,
    ) -> Refused:
        """Put a refusal on record and return the error to raise.

        A refusal that is like one on record is counted with it, and has its id.

        Args:
            case: The request, as far as it was looked at.
            stage: The step that refuses.
            reason: Machine word.
            remark: What the peer hears, without the id.
            refused: The need that is not met, if it came to that; the last verdict of the case is about it.
            code: Response code for the peer.
        """
        ports = self._ports
        self._refused.of(stage.value, str(reason)).value += 1
        case.stage = stage
        case.reason = reason
        case.shadow = False
        if refused is not None:
            case.needs = case.needs[: len(case.verdicts) + UNJUDGED_KEPT]
        case.when_ms = ports.clock.now_ms()
        case.key = denial_key(case, reason, remark)
        like = ports.audit.repeated(case, case.when_ms)
        if like is not None:
            return Refused(code, f"{remark} [decision {like}]", like)
        case.decision_id = ports.new_id()
        case.latency_ns = ports.ticks() - case.started
        told = f"{remark} [decision {case.decision_id}]"
        self._log.add(_refusal(case, stage, reason, told, refused))
        ports.audit.record(case)
        return Refused(code, told, case.decision_id)


def _refusal(case: AuditEvent, stage: Stage, reason: str, told: str, refused: RequiredPermission | None) -> Denial:
    return Denial(
        decision_id=case.decision_id,
        when_ms=case.when_ms,
        user=case.user,
        proven=case.identity is not None,
        source=case.source,
        code=case.code,
        stage=stage.value,
        reason=reason,
        remark=told,
        needs=case.needs,
        refused=refused,
        verdict=case.verdicts[-1] if refused is not None and case.verdicts else None,
        rights=case.rights,
        version=case.version,
        method=case.method,
        shadow=case.shadow,
    )
