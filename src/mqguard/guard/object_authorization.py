"""Decides about what a request turns out to touch, after it was let in."""

from collections.abc import Callable

from mqguard.auth.policy import Decision as Word
from mqguard.auth.policy_index import Rights
from mqguard.auth.resource import ResourceType
from mqguard.guard.audit import AuditEvent, Stage
from mqguard.guard.authorization import Authorization
from mqguard.guard.context import BY_SIGNATURE, AdmittedRequest, RequiredPermission
from mqguard.guard.enforcement import Enforcer
from mqguard.guard.errors import NeedUnclear
from mqguard.guard.ports import GuardPorts
from mqguard.guard.requirements.topic_ownership import missing, topic_need
from mqguard.model.text import is_blank


class AllowAll:
    """Judges nothing: authorization is off, or not asked for this code.

    Args:
        users: Return the rights of a user as of now, None if there is no such user.
    """

    def __init__(self, users: Callable[[str], Rights | None] = lambda _name: None) -> None:
        self._users = users

    def allows(self, access: AdmittedRequest, need: RequiredPermission) -> bool:  # noqa: ARG002 - the port's signature
        """Always."""
        return True

    def require(self, access: AdmittedRequest, need: RequiredPermission) -> None:
        """Lets pass."""

    def renew(self) -> None:
        """Nothing was found out."""

    def sender(self, access: AdmittedRequest) -> Rights | None:
        """See `Judge.sender`."""
        return self._users(access.user) if access.identity is not None else None

    def admits(self, access: AdmittedRequest) -> bool:
        """Return False only for a user who signed and is disabled or gone; claims are not checked."""
        if access.identity is None or access.identity.method is not BY_SIGNATURE:
            return True
        rights = self._users(access.user)
        return rights is not None and rights.user.is_enabled

    def require_owner(self, access: AdmittedRequest, owner: str | None, what: str) -> None:
        """Lets pass."""


class PolicyObjectAuthorizer:
    """Judges by the users and policies of the moment, as the guard does for what a request names."""

    def __init__(self, ports: GuardPorts, authorization: Authorization, refuser: Enforcer) -> None:
        """Share the guard's parts."""
        self._ports = ports
        self._authorization = authorization
        self._refuser = refuser

    def allows(self, access: AdmittedRequest, need: RequiredPermission) -> bool:
        """Whether the sender may touch it."""
        try:
            owned = _owned(need)
        except NeedUnclear:
            return _is_super(access)
        verdict = self._authorization.judge(access.identity, self._rights(access), owned, access.code, access.peer.ip)
        if verdict.decision is Word.ALLOW or not self._refuser.is_shadowed(access.identity, access.code, verdict):
            return verdict.allowed
        self._refuser.count_shadowed(Stage.TOUCHED, verdict)
        return True

    def require(self, access: AdmittedRequest, need: RequiredPermission) -> None:
        """Let pass or raise, and record which.

        Raises:
            Refused: The sender may not touch it.
        """
        case = self._case(access)
        try:
            owned = _owned(need)
        except NeedUnclear as unclear:
            if _is_super(access):
                return
            raise self._refuser.refuse(case, Stage.TOUCHED, unclear.reason, str(unclear)) from None
        case.needs = (owned,)
        case.rights = self._rights(access)
        verdict = self._authorization.judge(access.identity, case.rights, owned, access.code, access.peer.ip)
        case.verdicts = (verdict,)
        if verdict.decision is not Word.ALLOW:
            self._refuser.deny(case, Stage.TOUCHED, owned, verdict)
        self._record(case, verdict.reason)

    def renew(self) -> None:
        """Every question is judged anew as it is."""

    def sender(self, access: AdmittedRequest) -> Rights | None:
        """See `Judge.sender`."""
        return self._rights(access)

    def admits(self, access: AdmittedRequest) -> bool:
        """See `Judge.admits`."""
        verdict = self._authorization.judge_sender(access.identity, self._rights(access))
        return verdict.decision is Word.ALLOW

    def require_owner(self, access: AdmittedRequest, owner: str | None, what: str) -> None:
        """Let pass who owns the thing.

        Raises:
            Refused: It belongs to another user.
        """
        if owner is None or owner == access.user or _is_super(access):
            return
        remark = f"User:{access.user} has no permission to use {what}, it belongs to another user."
        raise self._refuser.refuse(self._case(access), Stage.TOUCHED, "foreign-owner", remark)

    def _rights(self, access: AdmittedRequest) -> Rights | None:
        return self._ports.metadata.snapshot.rights(access.user) if access.identity is not None else None

    def _case(self, access: AdmittedRequest) -> AuditEvent:
        return AuditEvent(
            code=access.code,
            source=access.peer.ip,
            started=self._ports.ticks(),
            identity=access.identity,
            version=self._ports.metadata.snapshot.version,
        )

    def _record(self, case: AuditEvent, reason: str) -> None:
        ports = self._ports
        case.stage = Stage.TOUCHED
        case.reason = reason
        case.when_ms = ports.clock.now_ms()
        case.latency_ns = ports.ticks() - case.started
        ports.audit.record(case)


def _owned(need: RequiredPermission) -> RequiredPermission:
    if is_blank(need.name):
        raise missing(need.type.value.lower(), need.type.value.lower())
    return topic_need(need.name, need.actions) if need.type is ResourceType.TOPIC else need


def _is_super(access: AdmittedRequest) -> bool:
    return access.identity is not None and access.identity.is_super
