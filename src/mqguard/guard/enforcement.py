"""Enforcement of denials: the peer gets Apache's wording and an id, the administrator gets the details by that id."""

from mqguard.auth.verdict import AUTHORIZATION_FAILED, Reason, Verdict, denial_message
from mqguard.guard.admitted_request import BY_CLAIM, Identity
from mqguard.guard.audit import AuditEvent, Stage, denial_key
from mqguard.guard.authorization import ANONYMOUS, denial_reason
from mqguard.guard.denial import DenialLog, denial_of
from mqguard.guard.enforcement_scopes import DenialFacts, ShadowScopes
from mqguard.guard.errors import DenialReason, Refused
from mqguard.guard.permissions import RequiredPermission
from mqguard.guard.ports import GuardPorts
from mqguard.guard.request_context import Operation
from mqguard.guard.settings import Enforcement, GuardSettings


def message_about(event: AuditEvent, permission: RequiredPermission, verdict: Verdict) -> str:
    """Return the message about a permission that is not granted, in Apache's words; an anonymous peer gets no name."""
    if verdict is ANONYMOUS:
        return AUTHORIZATION_FAILED
    return denial_message(event.user, permission.type, permission.name, event.source, verdict)


MAX_UNDECIDED = 8
"""Maximum number of permissions after the denied one that are audited. The guard has not decided about them, and a peer
may name thousands: their record must not displace those of others."""

_SHADOWED = frozenset({Reason.DENIED, Reason.NO_MATCH})
"""The reasons that come from policies. All others deny in shadow mode too."""


class Enforcer:
    """The maker of denials; in shadow mode some of them only count."""

    def __init__(self, ports: GuardPorts, log: DenialLog, settings: GuardSettings) -> None:
        """Enforce denials and keep them in the log."""
        self._ports = ports
        self._log = log
        self._scopes = ShadowScopes(
            is_whole=settings.enforcement is Enforcement.SHADOW,
            shadowed=settings.shadow_for,
            enforced=settings.enforce_for,
        )
        self._shadows_anonymous = settings.shadow_anonymous
        self._shadowed = ports.metrics.family(
            "mqguard_requests_shadowed_total",
            "Requests, and resources that they touched, that were allowed and would be denied if enforced.",
            ("stage", "reason"),
        )
        self._refused = ports.metrics.family(
            "mqguard_requests_refused_total",
            "Requests, and resources that they touched, that were denied.",
            ("stage", "reason"),
        )

    def deny(self, event: AuditEvent, stage: Stage, permission: RequiredPermission, verdict: Verdict) -> None:
        """Deny a request because a permission is not granted; in shadow mode, only record the denial.

        Shadow mode lets through policy denials of authenticated users, and if `shadow_anonymous` is set, requests
        without valid credentials; none of an operation that is always enforced. A request that needs a Super user never
        comes here.

        Args:
            event: The request; its last verdict is the one about the permission.
            stage: The step that denies.
            permission: The permission that is not granted.
            verdict: The decision about it.

        Raises:
            Refused: The request is denied.
        """
        message = message_about(event, permission, verdict)
        reason = denial_reason(verdict)
        if not self.is_shadowed(event.identity, event.operation, permission, verdict, event.source, event.listener):
            raise self.refuse(event, stage, reason, message, refused=permission)
        self.shadow(event, stage, reason, message, permission)

    def shadow(
        self,
        event: AuditEvent,
        stage: Stage,
        reason: DenialReason,
        message: str,
        refused: RequiredPermission | None = None,
    ) -> None:
        """Record and count a denial that shadow mode lets through.

        Args:
            event: The request.
            stage: The step that would deny.
            reason: The reason.
            message: The message that the peer would receive, without the id.
            refused: The permission that is not granted, None for another reason; the event's last verdict is about it.
        """
        self.count_shadowed(stage, reason)
        if event.shadow:
            return  # one request, one id: that of its first denial
        event.shadow = True
        event.stage = stage
        event.reason = reason
        event.when_ms = self._ports.clock.now_ms()
        event.key = denial_key(event, reason, message, shadow=True)
        repeated = self._ports.audit.repeated(event, event.when_ms)
        if repeated is not None:
            event.decision_id, event.counted = repeated, True
            return
        event.decision_id = self._ports.new_id()
        self._log.add(denial_of(event, f"{message} [decision {event.decision_id}]", refused))

    def is_shadowed(
        self,
        identity: Identity | None,
        operation: Operation,
        permission: RequiredPermission,
        verdict: Verdict,
        ip: str,
        listener: int,
    ) -> bool:
        """Return True if shadow mode lets a denial through.

        Args:
            identity: The sender.
            operation: The kind of request.
            permission: The permission that is not granted.
            verdict: The decision about it.
            ip: The source address.
            listener: The port of the listener, 0 if it is not known.
        """
        if self._scopes.is_empty or operation.is_always_enforced:
            return False
        if identity is None:
            return (
                self._shadows_anonymous
                and verdict is ANONYMOUS
                and self._scopes.include(DenialFacts("", permission, ip, listener, is_authenticated=False))
            )
        return (
            verdict.reason in _SHADOWED
            and identity.method is not BY_CLAIM
            and self._scopes.include(DenialFacts(identity.user, permission, ip, listener, is_authenticated=True))
        )

    def admits_stranger(self, operation: Operation, claimed: str, ip: str, listener: int) -> bool:
        """Return True if shadow mode lets a request without valid credentials through, as far as its permissions allow.

        Each of its permissions must be let through as well.

        Args:
            operation: The kind of request.
            claimed: The user name that it claims; empty for none.
            ip: The source address.
            listener: The port of the listener, 0 if it is not known.
        """
        return (
            self._shadows_anonymous
            and not self._scopes.is_empty
            and not operation.is_always_enforced
            and not self._scopes.enforce(DenialFacts(claimed, None, ip, listener, is_authenticated=False))
        )

    def admits_nameless(self, ip: str, listener: int) -> bool:
        """Return True if shadow mode lets through a request without credentials that needs no permission."""
        return self._scopes.include(DenialFacts("", None, ip, listener, is_authenticated=False))

    def count_shadowed(self, stage: Stage, reason: str) -> None:
        """Count a denial that shadow mode lets through."""
        self._shadowed.of(stage.value, str(reason)).value += 1

    def refuse(
        self,
        event: AuditEvent,
        stage: Stage,
        reason: DenialReason,
        message: str,
        *,
        refused: RequiredPermission | None = None,
    ) -> Refused:
        """Audit a denial and return the error to raise.

        A denial that is like an audited one is counted with it, and has its id.

        Args:
            event: The request, as far as it was examined.
            stage: The step that denies.
            reason: The reason.
            message: The message for the peer, without the id.
            refused: The permission that is not granted, None for another reason; the event's last verdict is about it.
        """
        ports = self._ports
        self._refused.of(stage.value, str(reason)).value += 1
        event.stage = stage
        event.reason = reason
        event.shadow = False
        if refused is not None:
            event.permissions = event.permissions[: len(event.verdicts) + MAX_UNDECIDED]
        event.when_ms = ports.clock.now_ms()
        event.key = denial_key(event, reason, message)
        repeated = ports.audit.repeated(event, event.when_ms)
        if repeated is not None:
            return Refused(reason, f"{message} [decision {repeated}]", repeated)
        event.decision_id = ports.new_id()
        event.latency_ns = ports.ticks() - event.started
        message = f"{message} [decision {event.decision_id}]"
        self._log.add(denial_of(event, message, refused))
        ports.audit.record(event)
        return Refused(reason, message, event.decision_id)
