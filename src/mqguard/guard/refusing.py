"""Saying no: the peer hears Apache's wording and an id, the administrator can ask for the story by that id."""

from mqguard.auth import wording
from mqguard.auth.verdict import Verdict
from mqguard.guard.audit import Decision, Stage
from mqguard.guard.authorize import NOBODY
from mqguard.guard.context import Need
from mqguard.guard.errors import Refused
from mqguard.guard.ports import GuardPorts
from mqguard.guard.refusals import Refusal, RefusalLog
from mqguard.remoting.codes import ResponseCode


def refusal_of(case: Decision, need: Need, verdict: Verdict) -> str:
    """What a peer hears whose need is not met, in Apache's words; nobody in particular hears no name."""
    if verdict is NOBODY:
        return wording.AUTHORIZATION_FAILED
    return wording.refusal(case.user, need.type, need.name, case.source, verdict)


class Refuser:
    """Makes refusals and remembers them."""

    def __init__(self, ports: GuardPorts, log: RefusalLog) -> None:
        """Take the ports and the memory for stories."""
        self._ports = ports
        self._log = log
        self._refused = ports.metrics.family(
            "mqguard_requests_refused_total",
            "Requests, and resources that they touched, that were refused.",
            ("stage", "reason"),
        )

    def refuse(
        self,
        case: Decision,
        stage: Stage,
        reason: str,
        remark: str,
        *,
        refused: Need | None = None,
        code: int = ResponseCode.NO_PERMISSION,
    ) -> Refused:
        """Put a refusal on record and return the error to raise.

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
        case.decision_id = ports.new_id()
        case.when_ms = ports.clock.now_ms()
        case.latency_ns = ports.ticks() - case.started
        told = f"{remark} [decision {case.decision_id}]"
        self._log.add(
            Refusal(
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
            )
        )
        ports.audit.record(case)
        return Refused(code, told, case.decision_id)
