"""Every request passes here: authenticate → authorize → audit.

Rule 1: whatever goes wrong refuses. Nothing behind the guard can turn a refusal into an admission.
Rule 2: a request sees one snapshot of users and policies, the newest when it came.
Rule 3: every decision is put on record, admissions included. If an admission finds no room there, the operator has said
whether requests go on. A change of users or policies that finds none is refused.
"""

import itertools
import logging
from collections.abc import Iterator

from mqguard.auth.errors import AuthenticationFailed
from mqguard.auth.policy import Decision as Word
from mqguard.auth.policy_index import Rights
from mqguard.auth.snapshot import Snapshot
from mqguard.auth.throttle import Throttle
from mqguard.auth.verdict import AUTHORIZATION_FAILED, Reason, Verdict
from mqguard.guard.audit import CHANGES, MAX_SIGNATURE, AuditEvent, Stage
from mqguard.guard.authentication import Authentication, Identifier
from mqguard.guard.authorization import NOBODY, Authorization, ImplicitGrants
from mqguard.guard.context import (
    MAX_CLAIM_LENGTH,
    AdmittedRequest,
    ObjectAuthorizer,
    RequiredPermission,
    RequiredPermissions,
)
from mqguard.guard.denial import DenialLog
from mqguard.guard.enforcement import UNJUDGED_KEPT, Enforcer
from mqguard.guard.errors import NeedUnclear, Refused
from mqguard.guard.object_authorization import AllowAll, PolicyObjectAuthorizer
from mqguard.guard.ports import GuardPorts
from mqguard.guard.requirements.evaluation import Requirements
from mqguard.guard.settings import GuardSettings, WhenAuditFull, codes_of
from mqguard.model.peer import Peer
from mqguard.remoting.codes import ResponseCode
from mqguard.remoting.command import Command
from mqguard.remoting.signed_content import ACCESS_KEY, SIGNATURE

_LOG = logging.getLogger(__name__)

# A member looked up in its class costs as much as a step of the decision.
_ALLOW = Word.ALLOW


class Guard:
    """Lets requests in, or not.

    Attributes:
        refusals: The last refusals, for `mqguard why`.
    """

    def __init__(self, settings: GuardSettings, ports: GuardPorts) -> None:
        """Put the parts together.

        Raises:
            GuardMisconfigured: The settings would open what they seem to close.
        """
        settings.check()
        self.refusals = DenialLog(settings.refusals_kept)
        self._ports = ports
        self._metadata = ports.metadata
        self._ticks = ports.ticks
        self._now_ms = ports.clock.now_ms
        self._record = ports.audit.record
        self._admitted = ports.metrics.family("mqguard_requests_admitted_total", "Requests that were let in.").of()
        self._authenticating = settings.authentication_enabled
        self._authorizing = settings.authorization_enabled
        self._excused = codes_of(settings.authorization_whitelist)
        self._refuses_when_full = settings.when_audit_full is WhenAuditFull.REFUSE
        self._authentication = Authentication(settings, ports.clock, Throttle())
        self._authorization = Authorization(ImplicitGrants(settings))
        self._requirements = Requirements(settings.cluster)
        self._refuser = Enforcer(ports, self.refusals, settings.enforcement)
        self._judge = PolicyObjectAuthorizer(ports, self._authorization, self._refuser)
        self._no_judge = AllowAll(self._rights_of)

    def admit(self, command: Command, peer: Peer) -> AdmittedRequest:
        """Let a request in.

        Args:
            command: The request as it came.
            peer: Where it came from, as the sockets or a trusted proxy proved it.

        Raises:
            Refused: It is not let in.
        """
        case = AuditEvent(command.code, peer.ip, self._ticks())
        try:
            return self._admit(command, peer, case, self._authentication, self._authorization, self._judge)
        except Refused:
            raise
        except Exception as exc:
            # Rule 1: the outermost stage, where a fault of ours becomes a refusal.
            _LOG.exception("the guard failed at request code %d of %s", command.code, peer.address)
            raise self._fault(case) from exc

    def _rights_of(self, user: str) -> Rights | None:
        return self._metadata.snapshot.rights(user)

    def _admit(
        self,
        command: Command,
        peer: Peer,
        case: AuditEvent,
        authentication: Identifier,
        authorization: Authorization,
        judge: ObjectAuthorizer,
    ) -> AdmittedRequest:
        snapshot = self._metadata.snapshot
        case.version = snapshot.version
        if self._authenticating:
            case.signature = command.ext.get(SIGNATURE, "")[:MAX_SIGNATURE]
        try:
            identity = case.identity = authentication.identify(command, peer, snapshot)
        except AuthenticationFailed as failure:
            case.claimed = command.ext.get(ACCESS_KEY, "")[:MAX_CLAIM_LENGTH]
            raise self._refuser.refuse(case, Stage.AUTHENTICATION, failure.reason, failure.message) from None

        if not self._authorizing or case.code in self._excused:
            case.reason = "excused" if self._authorizing else "authorization-off"
            return self._let_in(case, AdmittedRequest(identity, peer, case.code, (), False, self._no_judge))  # noqa: FBT003

        is_super = identity is not None and identity.is_super
        case.reason = self._authorize(command, case, snapshot, authorization)
        pending = not is_super and self._requirements.is_pending(command)
        return self._let_in(case, AdmittedRequest(identity, peer, case.code, case.needs, pending, judge))

    def _authorize(self, command: Command, case: AuditEvent, snapshot: Snapshot, authorization: Authorization) -> str:
        """Judge everything that the request needs; the reason why it is let in.

        Raises:
            Refused: It is not.
        """
        identity = case.identity
        try:
            needs = self._requirements.find(command)
            if not isinstance(needs, tuple):
                return self._authorize_body(needs, case, snapshot, authorization)
        except NeedUnclear as unclear:
            if case.is_super:
                return Reason.SUPER
            raise self._refuser.refuse(case, Stage.REQUIREMENTS, unclear.reason, str(unclear)) from None
        case.needs = needs
        rights = case.rights = snapshot.rights(identity.user) if identity is not None else None
        if not needs:
            return self._authorize_sender(case, authorization)
        judge, code, ip = authorization.judge, case.code, case.source
        if len(needs) == 1:
            verdict = judge(identity, rights, needs[0], code, ip)
            case.verdicts = (verdict,)
            if verdict.decision is not _ALLOW:
                self._refuser.deny(case, Stage.AUTHORIZATION, needs[0], verdict)
            return verdict.reason
        authorization.prefetch(identity, rights, needs, code, ip)
        verdicts: list[Verdict] = []
        for need in needs:
            verdict = judge(identity, rights, need, code, ip)
            verdicts.append(verdict)
            if verdict.decision is not _ALLOW:
                case.verdicts = tuple(verdicts)
                self._refuser.deny(case, Stage.AUTHORIZATION, need, verdict)
        case.verdicts = tuple(verdicts)
        return verdicts[-1].reason if not case.shadow else case.reason

    def _authorize_sender(self, case: AuditEvent, authorization: Authorization) -> str:
        """Judge the sender of a request that needs no more; the reason why it is let in.

        Raises:
            Refused: It is not.
        """
        verdict = authorization.judge_sender(case.identity, case.rights)
        if verdict.decision is not _ALLOW:
            raise self._refuser.refuse(case, Stage.AUTHORIZATION, verdict.reason, AUTHORIZATION_FAILED)
        return Reason.SUPER if case.is_super else "authenticated"

    def _authorize_body(
        self, needs: Iterator[RequiredPermission], case: AuditEvent, snapshot: Snapshot, authorization: Authorization
    ) -> str:
        """Judge what a body names, one after the other; the reason why the request is let in.

        The first need that is not met refuses, so the rest of the body costs nothing. Nothing is read for a sender
        without an identity.

        Raises:
            Refused: It is not let in.
            NeedUnclear: The body does not say what it must say.
        """
        identity, code, ip = case.identity, case.code, case.source
        if identity is None:
            raise self._refuser.refuse(case, Stage.AUTHORIZATION, NOBODY.reason, AUTHORIZATION_FAILED)
        rights = case.rights = snapshot.rights(identity.user)
        if authorization.prefetches:
            found = tuple(needs)
            authorization.prefetch(identity, rights, found, code, ip)
            needs = iter(found)
        judged: list[RequiredPermission] = []
        verdicts: list[Verdict] = []
        for need in needs:
            verdict = authorization.judge(identity, rights, need, code, ip)
            judged.append(need)
            verdicts.append(verdict)
            if verdict.decision is not _ALLOW:
                watched = self._refuser.is_shadowed(identity, code, verdict)
                case.needs = tuple(judged) if watched else (*judged, *_some(needs))
                case.verdicts = tuple(verdicts)
                self._refuser.deny(case, Stage.AUTHORIZATION, need, verdict)
        case.needs = tuple(judged)
        case.verdicts = tuple(verdicts)
        if not judged:
            return self._authorize_sender(case, authorization)
        return verdicts[-1].reason if not case.shadow else case.reason

    def _let_in(self, case: AuditEvent, access: AdmittedRequest) -> AdmittedRequest:
        case.when_ms = self._now_ms()
        case.latency_ns = self._ticks() - case.started
        if not self._record(case) and (self._refuses_when_full or case.code in CHANGES):
            remark = "the audit log has no room, so the request is refused; try again later"
            raise self._refuser.refuse(case, Stage.GUARD, "audit-full", remark, code=ResponseCode.SYSTEM_BUSY)
        self._admitted.value += 1
        return access

    def _fault(self, case: AuditEvent) -> Refused:
        try:
            return self._refuser.refuse(case, Stage.GUARD, "fault", AUTHORIZATION_FAILED)
        except Exception:  # noqa: BLE001 - rule 1: a fault while refusing still refuses
            _LOG.exception("a refusal could not be put on record")
            return Refused(ResponseCode.NO_PERMISSION, AUTHORIZATION_FAILED, "")


def _some(needs: Iterator[RequiredPermission]) -> RequiredPermissions:
    """Return the next needs, as many as a refusal puts on record."""
    try:
        return tuple(itertools.islice(needs, UNJUDGED_KEPT))
    except NeedUnclear:
        return ()
