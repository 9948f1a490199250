"""Authorization of the objects that an admitted request reaches beyond those it names."""

from collections.abc import Callable

from mqguard.auth.policy import Decision
from mqguard.auth.policy_index import Rights
from mqguard.auth.resource import ResourceType
from mqguard.guard.admitted_request import BY_SIGNATURE, AdmittedRequest
from mqguard.guard.audit import AuditEvent, Stage
from mqguard.guard.authorization import Authorization, denial_reason
from mqguard.guard.enforcement import Enforcer
from mqguard.guard.errors import DenialReason, PermissionsUnclear
from mqguard.guard.permissions import RequiredPermission
from mqguard.guard.ports import GuardPorts
from mqguard.guard.topic_ownership import missing, topic_permission
from mqguard.model.text import is_blank


class AllowAll:
    """Authorizer that allows every object: authorization is off, or the request is whitelisted.

    Args:
        users: Returns the rights of a user as of now, None if there is no such user.
    """

    def __init__(self, users: Callable[[str], Rights | None] = lambda _name: None) -> None:
        self._users = users

    def allows(self, access: AdmittedRequest, permission: RequiredPermission) -> bool:  # noqa: ARG002 - the port's signature
        """Return True."""
        return True

    def require(self, access: AdmittedRequest, permission: RequiredPermission) -> None:
        """Do nothing: every object is allowed."""

    def renew(self) -> None:
        """Do nothing: there is no earlier result."""

    def sender(self, access: AdmittedRequest) -> Rights | None:
        """Return the sender's rights; see `ObjectAuthorizer.sender`."""
        return self._users(access.user) if access.identity is not None else None

    def admits(self, access: AdmittedRequest) -> bool:
        """Return False only for a user who signed and is disabled or deleted; claims are not checked."""
        if access.identity is None or access.identity.method is not BY_SIGNATURE:
            return True
        rights = self._users(access.user)
        return rights is not None and rights.user.is_enabled

    def require_owner(self, access: AdmittedRequest, owner: str | None, what: str) -> None:
        """Do nothing: every object is allowed."""


class PolicyObjectAuthorizer:
    """Authorizer by the users and policies of the moment, as for the resources that a request names."""

    def __init__(self, ports: GuardPorts, authorization: Authorization, enforcer: Enforcer) -> None:
        """Use the guard's parts."""
        self._ports = ports
        self._authorization = authorization
        self._enforcer = enforcer

    def allows(self, access: AdmittedRequest, permission: RequiredPermission) -> bool:
        """Return True if the sender has the permission."""
        try:
            owned = _owned(permission)
        except PermissionsUnclear:
            return _is_super(access)
        verdict = self._authorization.decide(
            access.identity, self._rights(access), owned, access.operation, access.peer.ip
        )
        peer = access.peer
        if verdict.decision is Decision.ALLOW or not self._enforcer.is_shadowed(
            access.identity, access.operation, owned, verdict, peer.ip, peer.listener
        ):
            return verdict.allowed
        self._enforcer.count_shadowed(Stage.OBJECT, denial_reason(verdict))
        return True

    def require(self, access: AdmittedRequest, permission: RequiredPermission) -> None:
        """Check that the sender has the permission, and audit the decision.

        Raises:
            Refused: The sender does not have it.
        """
        event = self._event(access)
        try:
            owned = _owned(permission)
        except PermissionsUnclear as unclear:
            if _is_super(access):
                return
            raise self._enforcer.refuse(event, Stage.OBJECT, unclear.reason, str(unclear)) from None
        event.permissions = (owned,)
        event.rights = self._rights(access)
        verdict = self._authorization.decide(access.identity, event.rights, owned, access.operation, access.peer.ip)
        event.verdicts = (verdict,)
        if verdict.decision is not Decision.ALLOW:
            self._enforcer.deny(event, Stage.OBJECT, owned, verdict)
        self._record(event, event.reason if event.shadow else verdict.reason)

    def renew(self) -> None:
        """Do nothing: every decision is a new one."""

    def sender(self, access: AdmittedRequest) -> Rights | None:
        """Return the sender's rights; see `ObjectAuthorizer.sender`."""
        return self._rights(access)

    def admits(self, access: AdmittedRequest) -> bool:
        """Return True if the sender would be admitted now."""
        if access.identity is None:
            peer = access.peer
            return self._enforcer.admits_stranger(access.operation, "", peer.ip, peer.listener) and (
                bool(access.permissions) or self._enforcer.admits_nameless(peer.ip, peer.listener)
            )
        verdict = self._authorization.decide_sender(access.identity, self._rights(access))
        return verdict.decision is Decision.ALLOW

    def require_owner(self, access: AdmittedRequest, owner: str | None, what: str) -> None:
        """Check that the sender owns an object.

        Raises:
            Refused: The object belongs to another user.
        """
        if owner is None or owner == access.user or _is_super(access):
            return
        message = f"User:{access.user} has no permission to use {what}, it belongs to another user."
        raise self._enforcer.refuse(self._event(access), Stage.OBJECT, DenialReason.FOREIGN_OWNER, message)

    def _rights(self, access: AdmittedRequest) -> Rights | None:
        return self._ports.metadata.snapshot.rights(access.user) if access.identity is not None else None

    def _event(self, access: AdmittedRequest) -> AuditEvent:
        return AuditEvent(
            operation=access.operation,
            source=access.peer.ip,
            started=self._ports.ticks(),
            identity=access.identity,
            version=self._ports.metadata.snapshot.version,
            listener=access.peer.listener,
        )

    def _record(self, event: AuditEvent, reason: str) -> None:
        ports = self._ports
        event.stage = Stage.OBJECT
        event.reason = reason
        event.when_ms = ports.clock.now_ms()
        event.latency_ns = ports.ticks() - event.started
        ports.audit.record(event)


def _owned(permission: RequiredPermission) -> RequiredPermission:
    if is_blank(permission.name):
        raise missing(permission.type.value.lower(), permission.type.value.lower())
    return (
        topic_permission(permission.name, permission.actions) if permission.type is ResourceType.TOPIC else permission
    )


def _is_super(access: AdmittedRequest) -> bool:
    return access.identity is not None and access.identity.is_super
