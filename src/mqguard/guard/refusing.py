"""Saying no: the peer hears Apache's wording and an id, the administrator can ask for the story by that id."""

import msgspec

from mqguard.auth.rights import Rights
from mqguard.auth.verdict import Verdict
from mqguard.guard.audit import Decision, Stage
from mqguard.guard.context import Identity, Need, Needs
from mqguard.guard.errors import Refused
from mqguard.guard.ports import GuardPorts
from mqguard.guard.refusals import Refusal, RefusalLog
from mqguard.model.peer import Peer
from mqguard.remoting.codes import ResponseCode


class Case(msgspec.Struct, gc=False):
    """What is known of a request while it is looked at.

    Attributes:
        code: Request code.
        peer: Where from.
        started: When the guard began, in nanoseconds of its own clock.
        claimed: The name that the request claims, empty for none.
        signature: As received; None where no signature is looked at.
        identity: Who it is, once that is known.
        needs: What it needs, once that is known.
        rights: The sender's rights, once they are looked at.
        version: Version of users and policies.
    """

    code: int
    peer: Peer
    started: int
    claimed: str = ""
    signature: str | None = None
    identity: Identity | None = None
    needs: Needs = ()
    rights: Rights | None = None
    version: int = 0

    @property
    def is_super(self) -> bool:
        """Whether it comes from a Super user."""
        return self.identity is not None and self.identity.is_super

    @property
    def user(self) -> str:
        """The proven user, or else the name that is claimed."""
        return self.identity.user if self.identity is not None else self.claimed

    def decision(
        self,
        stage: Stage,
        verdicts: tuple[Verdict, ...],
        reason: str,
        decision_id: str,
        now_ms: int,
        latency_ns: int,
    ) -> Decision:
        """What goes on record."""
        return Decision(
            now_ms,
            stage,
            self.user,
            self.identity.method if self.identity is not None else "",
            self.peer.ip,
            self.code,
            self.signature,
            self.needs,
            verdicts,
            reason,
            decision_id,
            latency_ns,
        )


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
        case: Case,
        stage: Stage,
        reason: str,
        remark: str,
        *,
        refused: Need | None = None,
        verdicts: tuple[Verdict, ...] = (),
        code: int = ResponseCode.NO_PERMISSION,
    ) -> Refused:
        """Put a refusal on record and return the error to raise.

        Args:
            case: The request.
            stage: The step that refuses.
            reason: Machine word.
            remark: What the peer hears, without the id.
            refused: The need that is not met, if it came to that.
            verdicts: One for each need that was judged, the refusal last.
            code: Response code for the peer.
        """
        ports = self._ports
        self._refused.of(stage.value, str(reason)).value += 1
        decision_id = ports.new_id()
        told = f"{remark} [decision {decision_id}]"
        now = ports.clock.now_ms()
        self._log.add(
            Refusal(
                decision_id=decision_id,
                when_ms=now,
                user=case.user,
                proven=case.identity is not None,
                source=case.peer.ip,
                code=case.code,
                stage=stage.value,
                reason=reason,
                remark=told,
                needs=case.needs,
                refused=refused,
                verdict=verdicts[-1] if refused is not None and verdicts else None,
                rights=case.rights,
                version=case.version,
            )
        )
        ports.audit.put(case.decision(stage, verdicts, reason, decision_id, now, ports.ticks() - case.started))
        return Refused(code, told, decision_id)
