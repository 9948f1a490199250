"""The guard with plugins. Without plugins this file is not used, and costs nothing."""

from mqguard.auth.resource import ResourceType
from mqguard.auth.snapshot import Snapshot
from mqguard.auth.throttle import Throttle
from mqguard.auth.verdict import AUTHORIZATION_FAILED, denial_message
from mqguard.guard.admitted_request import AdmittedRequest
from mqguard.guard.audit import AuditEvent, Stage
from mqguard.guard.authentication import Authentication, AuthenticationCache
from mqguard.guard.authorization import Authorization, ImplicitGrants
from mqguard.guard.enforcement import Enforcer
from mqguard.guard.errors import DenialReason, GuardMisconfigured, Refused, RequestSuspended
from mqguard.guard.guard import Guard
from mqguard.guard.object_authorization import PolicyObjectAuthorizer
from mqguard.guard.permissions import RequiredPermission
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
from mqguard.guard.request_context import RequestContext
from mqguard.guard.settings import Enforcement, GuardSettings, Strategy


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
        self._plugin_authentication = PluginAuthentication(
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

    def admit(self, request: RequestContext) -> AdmittedRequest:
        """As `Guard.admit`.

        Raises:
            Refused: It is not let in.
            Waits: Plugins are to be asked first; `resume` goes on.
        """
        return self.resume(request, PluginResults())

    def resume(self, request: RequestContext, answers: PluginResults) -> AdmittedRequest:
        """Look at a request again, with what plugins have answered.

        Raises:
            Refused: It is not let in.
            Waits: More is to be asked.
        """
        event = AuditEvent(request.operation, request.peer.ip, self._ticks())
        authorization = PerRequestAuthorization(
            self._builtin, self._ruler, self._handlers, self._rulings, self._ports.clock, answers
        )
        judge = PerRequestObjectAuthorizer(self._ports, authorization, self._enforcer, answers)
        try:
            access = self._admit(
                request, event, PerRequestAuthentication(self._plugin_authentication, answers), authorization, judge
            )
        except (Refused, RequestSuspended):
            raise
        except Exception as exc:
            raise self._fail(request, event) from exc
        judge.pending = access.pending
        return access

    def _authorize(
        self, request: RequestContext, event: AuditEvent, snapshot: Snapshot, authorization: Authorization
    ) -> str:
        try:
            reason = super()._authorize(request, event, snapshot, authorization)
            if (
                not event.permissions
                and event.identity is not None
                and isinstance(authorization, PerRequestAuthorization)
            ):
                authorization.check_sender(event.identity, event.operation, event.source)
        except NotAllowed as no:
            raise refuse(self._enforcer, event, Stage.AUTHORIZATION, no) from None
        return reason


class PerRequestObjectAuthorizer(PolicyObjectAuthorizer):
    """Judges what one request touches, with what plugins have answered about it.

    Attributes:
        pending: Whether the request was let in with something yet to ask; so it is whenever its handler starts anew.
    """

    def __init__(
        self, ports: GuardPorts, authorization: Authorization, enforcer: Enforcer, answers: PluginResults
    ) -> None:
        super().__init__(ports, authorization, enforcer)
        self._answers = answers
        self.pending = False

    def allows(self, access: AdmittedRequest, permission: RequiredPermission) -> bool:
        """As `PolicyObjectAuthorizer.allows`; what a plugin refuses or does not answer is not allowed.

        Raises:
            Waits: A plugin is to be asked first.
        """
        try:
            return super().allows(access, permission)
        except NotAllowed:
            return False
        except RequestSuspended:
            access.pending = self.pending
            raise

    def require(self, access: AdmittedRequest, permission: RequiredPermission) -> None:
        """As `PolicyObjectAuthorizer.require`.

        Raises:
            Refused: The sender may not touch it.
            Waits: A plugin is to be asked first.
        """
        try:
            super().require(access, permission)
        except NotAllowed as no:
            event = self._event(access)
            event.permissions = (permission,)
            raise refuse(self._enforcer, event, Stage.OBJECT, no) from None
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
        if access.permissions or access.identity is None or not isinstance(authorization, PerRequestAuthorization):
            return True
        try:
            authorization.check_sender(access.identity, access.operation, access.peer.ip)
        except NotAllowed:
            return False
        return True

    def renew(self) -> None:
        """Forget what plugins have answered."""
        self._answers.renew()


def refuse(enforcer: Enforcer, event: AuditEvent, stage: Stage, no: NotAllowed) -> Refused:
    """The refusal that comes of a plugin's."""
    remark = AUTHORIZATION_FAILED
    if no.reason == REFUSED and no.permission is not None:
        kind: ResourceType = no.permission.type
        remark = denial_message(event.user, kind, no.permission.name, event.source, DENIED)
    # The story must not be told by our policies, which were not asked.
    event.rights = None
    return enforcer.refuse(event, stage, DenialReason(no.reason), remark)


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
