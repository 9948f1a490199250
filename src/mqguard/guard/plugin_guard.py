"""The guard with plugins. Without plugins this file is not used, and costs nothing."""

import logging

from mqguard.auth.resource import ResourceType
from mqguard.auth.snapshot import Snapshot
from mqguard.auth.throttle import Throttle
from mqguard.auth.verdict import AUTHORIZATION_FAILED, denial_message
from mqguard.guard.audit import AuditEvent, Stage
from mqguard.guard.authentication import Authentication, AuthenticationCache
from mqguard.guard.authorization import Authorization, ImplicitGrants
from mqguard.guard.context import AdmittedRequest, RequiredPermission
from mqguard.guard.enforcement import Enforcer
from mqguard.guard.errors import GuardMisconfigured, Refused, RequestSuspended
from mqguard.guard.guard import Guard
from mqguard.guard.object_authorization import PolicyObjectAuthorizer
from mqguard.guard.plugin_adapters import (
    InstalledPlugins,
    SelectiveAuthenticationCache,
    checking_plug,
    proving_plug,
    ruling_plug,
)
from mqguard.guard.plugin_authentication import REFUSED, PerRequestAuthentication, PluginAuthentication
from mqguard.guard.plugin_authorization import DENIED, NotAllowed, PerRequestAuthorization, Rulings
from mqguard.guard.plugin_calls import PluginResults
from mqguard.guard.ports import GuardPorts
from mqguard.guard.settings import Enforcement, GuardSettings, Strategy
from mqguard.model.peer import Peer
from mqguard.remoting.command import Command

_LOG = logging.getLogger(__name__)


class PluginGuard(Guard):
    """Lets requests in, or not, with the help of plugins. `admit` and the accesses it gives may raise `Waits`."""

    def __init__(self, settings: GuardSettings, ports: GuardPorts, extensions: InstalledPlugins) -> None:
        """Put the parts together.

        Raises:
            GuardMisconfigured: The settings would open what they seem to close.
        """
        super().__init__(settings, ports)
        _check_enforcement(settings, extensions)
        limit, throttle = extensions.limit_ms, Throttle()
        cache = _cache(settings, extensions)
        provider = extensions.authentication_provider
        self._asked_authentication = PluginAuthentication(
            settings,
            Authentication(settings, ports.clock, throttle, None if provider else cache),
            proving_plug(provider, limit, ports) if provider else None,
            [checking_plug(handler, limit, ports) for handler in extensions.authentication_handlers],
            cache,
            throttle,
            ports.clock,
        )
        ruler = extensions.authorization_provider
        self._builtin = ImplicitGrants(settings)
        self._ruler = ruling_plug(ruler, limit, ports) if ruler else None
        self._handlers = [checking_plug(handler, limit, ports) for handler in extensions.authorization_handlers]
        strategy = extensions.authorization_strategy
        self._rulings = (
            Rulings(settings.stateful_rulings, settings.stateful_rulings_ms, strategy)
            if strategy is not None or settings.authorization_strategy is Strategy.STATEFUL
            else None
        )

    def admit(self, command: Command, peer: Peer) -> AdmittedRequest:
        """As `Guard.admit`.

        Raises:
            Refused: It is not let in.
            Waits: Plugins are to be asked first; `resume` goes on.
        """
        return self.resume(command, peer, PluginResults())

    def resume(self, command: Command, peer: Peer, answers: PluginResults) -> AdmittedRequest:
        """Look at a request again, with what plugins have answered.

        Raises:
            Refused: It is not let in.
            Waits: More is to be asked.
        """
        case = AuditEvent(command.code, peer.ip, self._ticks())
        authorization = PerRequestAuthorization(
            self._builtin, self._ruler, self._handlers, self._rulings, self._ports.clock, answers
        )
        judge = PerRequestObjectAuthorizer(self._ports, authorization, self._refuser, answers)
        try:
            access = self._admit(
                command, peer, case, PerRequestAuthentication(self._asked_authentication, answers), authorization, judge
            )
        except (Refused, RequestSuspended):
            raise
        except Exception as exc:
            _LOG.exception("the guard failed at request code %d of %s", command.code, peer.address)
            raise self._fault(case) from exc
        judge.pending = access.pending
        return access

    def _authorize(self, command: Command, case: AuditEvent, snapshot: Snapshot, authorization: Authorization) -> str:
        try:
            reason = super()._authorize(command, case, snapshot, authorization)
            if not case.needs and case.identity is not None and isinstance(authorization, PerRequestAuthorization):
                authorization.check_sender(case.identity, case.code, case.source)
        except NotAllowed as no:
            raise refuse(self._refuser, case, Stage.AUTHORIZATION, no) from None
        return reason


class PerRequestObjectAuthorizer(PolicyObjectAuthorizer):
    """Judges what one request touches, with what plugins have answered about it.

    Attributes:
        pending: Whether the request was let in with something yet to ask; so it is whenever its handler starts anew.
    """

    def __init__(
        self, ports: GuardPorts, authorization: Authorization, refuser: Enforcer, answers: PluginResults
    ) -> None:
        super().__init__(ports, authorization, refuser)
        self._answers = answers
        self.pending = False

    def allows(self, access: AdmittedRequest, need: RequiredPermission) -> bool:
        """As `PolicyObjectAuthorizer.allows`; what a plugin refuses or does not answer is not allowed.

        Raises:
            Waits: A plugin is to be asked first.
        """
        try:
            return super().allows(access, need)
        except NotAllowed:
            return False
        except RequestSuspended:
            access.pending = self.pending
            raise

    def require(self, access: AdmittedRequest, need: RequiredPermission) -> None:
        """As `PolicyObjectAuthorizer.require`.

        Raises:
            Refused: The sender may not touch it.
            Waits: A plugin is to be asked first.
        """
        try:
            super().require(access, need)
        except NotAllowed as no:
            case = self._case(access)
            case.needs = (need,)
            raise refuse(self._refuser, case, Stage.TOUCHED, no) from None
        except RequestSuspended:
            access.pending = self.pending
            raise

    def admits(self, access: AdmittedRequest) -> bool:
        """As `PolicyObjectAuthorizer.admits`; a request that names nothing needs the word of the plugins as well.

        Raises:
            Waits: A plugin is to be asked first.
        """
        if not super().admits(access):
            return False
        authorization = self._authorization
        if access.needs or access.identity is None or not isinstance(authorization, PerRequestAuthorization):
            return True
        try:
            authorization.check_sender(access.identity, access.code, access.peer.ip)
        except NotAllowed:
            return False
        return True

    def renew(self) -> None:
        """Forget what plugins have answered."""
        self._answers.renew()


def refuse(refuser: Enforcer, case: AuditEvent, stage: Stage, no: NotAllowed) -> Refused:
    """The refusal that comes of a plugin's."""
    remark = AUTHORIZATION_FAILED
    if no.reason == REFUSED and no.need is not None:
        kind: ResourceType = no.need.type
        remark = denial_message(case.user, kind, no.need.name, case.source, DENIED)
    # The story must not be told by our policies, which were not asked.
    case.rights = None
    return refuser.refuse(case, stage, no.reason, remark)


def _check_enforcement(settings: GuardSettings, extensions: InstalledPlugins) -> None:
    # What our policies deny, authorization plugins are not asked about: letting it in would pass them by.
    plugged = extensions.authorization_provider is not None or extensions.authorization_handlers
    if plugged and settings.enforcement is Enforcement.SHADOW:
        raise GuardMisconfigured(
            "`authorizationEnforcement = shadow` does not go together with authorization plugins: remove one of them"
        )


def _cache(settings: GuardSettings, extensions: InstalledPlugins) -> AuthenticationCache | None:
    if extensions.authentication_strategy is not None:
        return SelectiveAuthenticationCache(
            settings.stateful_ms, settings.stateful_entries, extensions.authentication_strategy
        )
    if settings.authentication_strategy is Strategy.STATEFUL:
        return AuthenticationCache(settings.stateful_ms, settings.stateful_entries)
    return None
