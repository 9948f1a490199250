"""The guard: every request passes authentication, authorization and audit, in this order."""

# Rule 1: any failure denies the request. No code behind the guard can admit a denied request.
# Rule 2: a request is decided by one snapshot of users and policies, the newest when it came.
# Rule 3: every decision is audited, admissions included. If the audit queue is full, `auditWhenFull` decides whether
# requests continue; a change of users or policies is denied then.

import itertools
import logging
from collections.abc import Iterator

from mqguard.auth.errors import AuthenticationFailed
from mqguard.auth.policy import Decision
from mqguard.auth.policy_index import Rights
from mqguard.auth.snapshot import Snapshot
from mqguard.auth.verdict import AUTHORIZATION_FAILED, Reason, Verdict
from mqguard.guard.admitted_request import MAX_CLAIM_LENGTH, AdmittedRequest, DeniedPart, ObjectAuthorizer
from mqguard.guard.audit import MAX_SIGNATURE, PUBLIC, AuditEvent, Stage
from mqguard.guard.authentication import Authentication, Authenticator
from mqguard.guard.authorization import (
    ANONYMOUS,
    Authorization,
    CachedAdmissions,
    ImplicitGrants,
    denial_reason,
)
from mqguard.guard.denial import DenialLog
from mqguard.guard.enforcement import MAX_UNDECIDED, Enforcer, message_about
from mqguard.guard.errors import DenialReason, PermissionsUnclear, Refused
from mqguard.guard.object_authorization import AllowAll, PolicyObjectAuthorizer
from mqguard.guard.permissions import RequiredPermission, RequiredPermissions
from mqguard.guard.ports import GuardPorts
from mqguard.guard.request_context import RequestContext
from mqguard.guard.settings import GuardSettings, WhenAuditFull

_LOG = logging.getLogger(__name__)

# A member looked up in its class costs as much as a step of the decision.
_ALLOW = Decision.ALLOW


_NEVER_SHADOWED = frozenset({DenialReason.DISABLED, DenialReason.MALFORMED_CREDENTIALS})
"""Failures of authentication that shadow mode enforces: an administrator disabled the user, or it cannot be read."""

_Denied = tuple[RequiredPermission, Verdict | None, DenialReason, str]
"""A permission that is not granted, the verdict (None if a plugin decided), the reason, and the message."""


class Guard:
    """Access control for requests of every protocol.

    Attributes:
        denials: The latest denials, for `mqguard why`.
    """

    def __init__(self, settings: GuardSettings, ports: GuardPorts) -> None:
        """Create the guard's parts.

        Raises:
            GuardMisconfigured: The settings contradict each other.
        """
        settings.check()
        self.denials = DenialLog(settings.denials_kept)
        self._ports = ports
        self._metadata = ports.metadata
        self._ticks = ports.ticks
        self._now_ms = ports.clock.now_ms
        self._record = ports.audit.record
        self._admitted = ports.metrics.family("mqguard_requests_admitted_total", "Admitted requests.").of()
        self._authenticating = settings.authentication_enabled
        self._authorizing = settings.authorization_enabled
        self._whitelist = settings.authorization_whitelist
        self._default_route_open = settings.default_route_open
        self._denies_when_full = settings.when_audit_full is WhenAuditFull.REFUSE
        self._authentication = Authentication(settings, ports.clock, settings.throttle())
        self._authorization = Authorization(ImplicitGrants(settings))
        self._enforcer = Enforcer(ports, self.denials, settings)
        self._objects = PolicyObjectAuthorizer(ports, self._authorization, self._enforcer)
        self._all_objects = AllowAll(self._rights_of)
        self._admissions = CachedAdmissions(self._metadata.snapshot)

    def admit(self, request: RequestContext) -> AdmittedRequest:
        """Admit a request.

        Raises:
            Refused: The request is denied.
        """
        event = AuditEvent(request.operation, request.peer.ip, self._ticks())
        event.listener = request.peer.listener
        try:
            return self._admit(request, event, self._authentication, self._authorization, self._objects)
        except Refused:
            raise
        except Exception as exc:
            # Rule 1: the outermost stage, where an internal error becomes a denial.
            raise self._fail(request, event) from exc

    def _rights_of(self, user: str) -> Rights | None:
        return self._metadata.snapshot.rights(user)

    def _admit(
        self,
        request: RequestContext,
        event: AuditEvent,
        authentication: Authenticator,
        authorization: Authorization,
        objects: ObjectAuthorizer,
    ) -> AdmittedRequest:
        snapshot = self._metadata.snapshot
        event.version = snapshot.version
        if self._authenticating:
            event.signature = (request.signature or "")[:MAX_SIGNATURE]
        try:
            identity = event.identity = authentication.identify(request, snapshot)
        except AuthenticationFailed as failure:
            event.claimed = (request.access_key or "")[:MAX_CLAIM_LENGTH]
            if self._default_route_open and request.is_public():
                return self._let_in_public(request, event)
            reason = DenialReason(failure.reason)
            admitted = self._admit_stranger(request, event, reason, failure.message, authorization, objects)
            if admitted is not None:
                return admitted
            raise self._enforcer.refuse(event, Stage.AUTHENTICATION, reason, failure.message) from None

        operation = request.operation
        if not self._authorizing or (self._whitelist and not self._whitelist.isdisjoint(operation.listed_as)):
            event.reason = "excused" if self._authorizing else "authorization-off"
            admitted = AdmittedRequest(identity, request.peer, operation, (), False, self._all_objects)  # noqa: FBT003
            return self._let_in(event, admitted)

        if identity is None and self._default_route_open and request.is_public():
            return self._let_in_public(request, event)

        if identity is None:
            reason, message = DenialReason.NO_CREDENTIALS, AUTHORIZATION_FAILED
            admitted_stranger = self._admit_stranger(request, event, reason, message, authorization, objects)
            if admitted_stranger is not None:
                return admitted_stranger
        is_super = identity is not None and identity.is_super
        if operation.is_partial:
            event.reason, denied = self._authorize_parts(request, event, snapshot, authorization)
        else:
            event.reason, denied = self._authorize(request, event, snapshot, authorization), None
        pending = not is_super and request.is_pending()
        permissions = event.permissions
        return self._let_in(
            event, AdmittedRequest(identity, request.peer, operation, permissions, pending, objects, None, denied)
        )

    def _authorize(
        self, request: RequestContext, event: AuditEvent, snapshot: Snapshot, authorization: Authorization
    ) -> str:
        """Decide about every permission that the request needs; return the reason for the admission.

        Raises:
            Refused: The request is denied.
        """
        identity = event.identity
        try:
            permissions = request.required_permissions()
            if not isinstance(permissions, tuple):
                return self._authorize_body(permissions, event, snapshot, authorization)
        except PermissionsUnclear as unclear:
            if event.is_super:
                return Reason.SUPER
            raise self._enforcer.refuse(event, Stage.REQUIREMENTS, unclear.reason, str(unclear)) from None
        event.permissions = permissions
        # INVARIANT: plugins may decide otherwise each time. Their guard gives each request an `Authorization` of its
        # own, so nothing of it is cached.
        if identity is None or not event.operation.shares_permissions or authorization is not self._authorization:
            return self._decide(event, snapshot, authorization)
        cached = self._admissions
        if cached.snapshot is not snapshot:
            cached = self._admissions = CachedAdmissions(snapshot)
        reason = cached.find(event, identity)
        if reason is None:
            reason = self._decide(event, snapshot, authorization)
            cached.add(event, identity, reason)
        return reason

    def _decide(self, event: AuditEvent, snapshot: Snapshot, authorization: Authorization) -> str:
        """Decide about every permission of the event; return the reason for the admission.

        Raises:
            Refused: The request is denied.
        """
        identity, permissions = event.identity, event.permissions
        rights = event.rights = snapshot.rights(identity.user) if identity is not None else None
        if not permissions:
            return self._authorize_sender(event, authorization)
        decide, operation, ip = authorization.decide, event.operation, event.source
        if len(permissions) == 1:
            verdict = decide(identity, rights, permissions[0], operation, ip)
            event.verdicts = (verdict,)
            if verdict.decision is not _ALLOW:
                self._enforcer.deny(event, Stage.AUTHORIZATION, permissions[0], verdict)
            return verdict.reason
        authorization.prefetch(identity, rights, permissions, operation, ip)
        verdicts: list[Verdict] = []
        for permission in permissions:
            verdict = decide(identity, rights, permission, operation, ip)
            verdicts.append(verdict)
            if verdict.decision is not _ALLOW:
                event.verdicts = tuple(verdicts)
                self._enforcer.deny(event, Stage.AUTHORIZATION, permission, verdict)
        event.verdicts = tuple(verdicts)
        return verdicts[-1].reason if not event.shadow else event.reason

    def _authorize_sender(self, event: AuditEvent, authorization: Authorization) -> str:
        """Decide about the sender of a request that needs no permission; return the reason for the admission.

        Raises:
            Refused: The request is denied.
        """
        verdict = authorization.decide_sender(event.identity, event.rights)
        if verdict.decision is not _ALLOW:
            reason = denial_reason(verdict)
            raise self._enforcer.refuse(event, Stage.AUTHORIZATION, reason, AUTHORIZATION_FAILED)
        return Reason.SUPER if event.is_super else "authenticated"

    def _authorize_body(
        self,
        permissions: Iterator[RequiredPermission],
        event: AuditEvent,
        snapshot: Snapshot,
        authorization: Authorization,
    ) -> str:
        """Decide about the permissions that a body needs, one after the other; return the reason for the admission.

        The first permission that is not granted denies the request, so the rest of the body costs nothing. The body is
        not read for an anonymous sender.

        Raises:
            Refused: The request is denied.
            PermissionsUnclear: The body does not say what it must say.
        """
        identity, operation, ip = event.identity, event.operation, event.source
        if identity is None:
            reason = denial_reason(ANONYMOUS)
            raise self._enforcer.refuse(event, Stage.AUTHORIZATION, reason, AUTHORIZATION_FAILED)
        rights = event.rights = snapshot.rights(identity.user)
        if authorization.prefetches:
            found = tuple(permissions)
            authorization.prefetch(identity, rights, found, operation, ip)
            permissions = iter(found)
        decided: list[RequiredPermission] = []
        verdicts: list[Verdict] = []
        for permission in permissions:
            verdict = authorization.decide(identity, rights, permission, operation, ip)
            decided.append(permission)
            verdicts.append(verdict)
            if verdict.decision is not _ALLOW:
                is_shadowed = self._enforcer.is_shadowed(identity, operation, permission, verdict, ip, event.listener)
                event.permissions = tuple(decided) if is_shadowed else (*decided, *_next_of(permissions))
                event.verdicts = tuple(verdicts)
                self._enforcer.deny(event, Stage.AUTHORIZATION, permission, verdict)
        event.permissions = tuple(decided)
        event.verdicts = tuple(verdicts)
        if not decided:
            return self._authorize_sender(event, authorization)
        return verdicts[-1].reason if not event.shadow else event.reason

    def _authorize_parts(
        self, request: RequestContext, event: AuditEvent, snapshot: Snapshot, authorization: Authorization
    ) -> tuple[str, DeniedPart | None]:
        """Decide about the permissions of a request that can be admitted in part.

        Returns:
            The reason for the admission, and the denied part.

        Raises:
            Refused: The whole request is denied.
        """
        identity, operation, ip = event.identity, event.operation, event.source
        if identity is None:
            raise self._enforcer.refuse(event, Stage.AUTHORIZATION, denial_reason(ANONYMOUS), AUTHORIZATION_FAILED)
        event.rights = snapshot.rights(identity.user)
        try:
            found = tuple(request.required_permissions())
        except PermissionsUnclear as unclear:
            if event.is_super:
                return Reason.SUPER, None
            raise self._enforcer.refuse(event, Stage.REQUIREMENTS, unclear.reason, str(unclear)) from None
        authorization.prefetch(identity, event.rights, found, operation, ip)
        granted: list[RequiredPermission] = []
        verdicts: list[Verdict] = []
        denied: list[_Denied] = []
        for permission in found:
            verdict, denial = self._decide_part(permission, event, authorization)
            if denial is not None:
                denied.append((permission, verdict, *denial))
            elif verdict is not None:
                granted.append(permission)
                verdicts.append(verdict)
                if verdict.decision is not _ALLOW:
                    # Shadow mode: the denial is only recorded.
                    event.permissions, event.verdicts = tuple(granted), tuple(verdicts)
                    self._enforcer.deny(event, Stage.AUTHORIZATION, permission, verdict)
        event.permissions, event.verdicts = tuple(granted), tuple(verdicts)
        if verdicts:
            reason = verdicts[-1].reason if not event.shadow else event.reason
        else:
            # Before the part is denied: if the whole request is denied or waits for a plugin, its part has no record.
            reason = self._authorize_sender(event, authorization)
        return reason, self._deny_part(event, denied) if denied else None

    def _decide_part(
        self, permission: RequiredPermission, event: AuditEvent, authorization: Authorization
    ) -> tuple[Verdict | None, tuple[DenialReason, str] | None]:
        """Decide about one permission; return the verdict, and reason and message of a denial that is enforced."""
        identity, operation = event.identity, event.operation
        verdict = authorization.decide(identity, event.rights, permission, operation, event.source)
        if verdict.decision is _ALLOW or self._enforcer.is_shadowed(
            identity, operation, permission, verdict, event.source, event.listener
        ):
            return verdict, None
        return verdict, (denial_reason(verdict), message_about(event, permission, verdict))

    def _deny_part(self, event: AuditEvent, denied: list[_Denied]) -> DeniedPart:
        """Audit the denial of a part of a request, which names every permission that is missing."""
        first, verdict, reason, message = denied[0]
        permissions = tuple(permission for permission, *_ in denied)
        others = [f"{other.type.value}:{other.name}" for other in permissions[1 : MAX_UNDECIDED + 1]]
        more = len(permissions) - 1 - len(others)
        if others:
            message += f" Also denied: {', '.join(others)}{f' and {more} more' if more else ''}."
        message += " The rest of the request is in force."
        part = AuditEvent(
            event.operation,
            event.source,
            event.started,
            signature=event.signature,
            identity=event.identity,
            permissions=permissions,
            rights=event.rights,
            version=event.version,
            verdicts=(verdict,) if verdict is not None else (),
            listener=event.listener,
        )
        refused = first if verdict is not None else None
        if verdict is None:
            # The explanation must not come from the server's policies, which did not decide.
            part.permissions, part.rights = permissions[: MAX_UNDECIDED + 1], None
        denial = self._enforcer.refuse(part, Stage.AUTHORIZATION, reason, message, refused=refused)
        return DeniedPart(frozenset(permissions), denial)

    def _admit_stranger(
        self,
        request: RequestContext,
        event: AuditEvent,
        reason: DenialReason,
        message: str,
        authorization: Authorization,
        objects: ObjectAuthorizer,
    ) -> AdmittedRequest | None:
        """Admit a request without valid credentials if shadow mode lets it through, and record what it needs.

        Such a request has no user, whatever name it claims. It is denied unless shadow mode lets through all that it
        needs, so one that needs a Super user is denied.

        Returns:
            The admitted request; None if it is denied.

        Raises:
            Refused: The audit log has no room for the record.
        """
        enforcer, operation, ip, listener = self._enforcer, event.operation, event.source, event.listener
        if reason in _NEVER_SHADOWED or not enforcer.admits_stranger(operation, event.claimed, ip, listener):
            return None
        try:
            permissions = tuple(request.required_permissions())
        except PermissionsUnclear:
            return None
        verdicts = []
        for permission in permissions:
            verdict = authorization.decide_stranger(permission, operation)
            if verdict.decision is not _ALLOW and not enforcer.is_shadowed(
                None, operation, permission, verdict, ip, listener
            ):
                return None
            verdicts.append(verdict)
        if not permissions and not enforcer.admits_nameless(ip, listener):
            return None
        event.permissions, event.verdicts = permissions, tuple(verdicts)
        enforcer.shadow(event, Stage.AUTHENTICATION, reason, message)
        pending = request.is_pending()
        return self._let_in(event, AdmittedRequest(None, request.peer, operation, permissions, pending, objects))

    def _let_in_public(self, request: RequestContext, event: AuditEvent) -> AdmittedRequest:
        """Admit an anonymous request whose answer needs no protection.

        A client with wrong credentials then finds a broker, and learns there why its requests are denied. Clients do
        not show the reason for which a route is denied.
        """
        event.reason = PUBLIC
        admitted = AdmittedRequest(None, request.peer, request.operation, (), False, self._all_objects)  # noqa: FBT003
        return self._let_in(event, admitted)

    def _let_in(self, event: AuditEvent, admitted: AdmittedRequest) -> AdmittedRequest:
        event.when_ms = self._now_ms()
        event.latency_ns = self._ticks() - event.started
        if not self._record(event) and (self._denies_when_full or event.operation.is_access_change):
            message = "the audit log has no room, so the request is refused; try again later"
            raise self._enforcer.refuse(event, Stage.GUARD, DenialReason.AUDIT_FULL, message)
        self._admitted.value += 1
        return admitted

    def _fail(self, request: RequestContext, event: AuditEvent) -> Refused:
        """Log the current internal error and return a denial."""
        _LOG.exception("the guard failed at request %s of %s", request.operation.text, request.peer.address)
        reason, message = DenialReason.INTERNAL_ERROR, AUTHORIZATION_FAILED
        try:
            return self._enforcer.refuse(event, Stage.GUARD, reason, message)
        except Exception:  # noqa: BLE001 - rule 1: an internal error in a denial still denies
            _LOG.exception("a denial could not be audited")
            return Refused(reason, message, "")


def _next_of(permissions: Iterator[RequiredPermission]) -> RequiredPermissions:
    """Return the next permissions, as many as a denial records."""
    try:
        return tuple(itertools.islice(permissions, MAX_UNDECIDED))
    except PermissionsUnclear:
        return ()
