"""The guard with plugins. A server without plugins does not use this file."""

from mqguard.auth.resource import ResourceType
from mqguard.auth.snapshot import Snapshot
from mqguard.auth.verdict import AUTHORIZATION_FAILED, Verdict, denial_message
from mqguard.guard.admitted_request import AdmittedRequest, DeniedPart
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
    authentication_calls,
    authorization_calls,
    handler_calls,
)
from mqguard.guard.plugin_authentication import REFUSED, PerRequestAuthentication, PluginAuthentication
from mqguard.guard.plugin_authorization import DENIED, NotAllowed, PerRequestAuthorization, Rulings
from mqguard.guard.plugin_calls import PluginResults
from mqguard.guard.ports import GuardPorts
from mqguard.guard.request_context import RequestContext
from mqguard.guard.settings import GuardSettings, Strategy


class PluginGuard(Guard):
    """Access control with plugins. `admit` and the requests that it admits may raise `PluginCallsPending`."""

    def __init__(self, settings: GuardSettings, ports: GuardPorts, installed: InstalledPlugins) -> None:
        """Create the guard's parts.

        Raises:
            GuardMisconfigured: The settings contradict each other or the plugins.
        """
        super().__init__(settings, ports)
        _check_enforcement(settings, installed)
        limit, throttle = installed.limit_ms, settings.throttle()
        cache = _cache(settings, installed)
        provider = installed.authentication_provider
        self._plugin_authentication = PluginAuthentication(
            settings,
            Authentication(settings, ports.clock, throttle, None if provider else cache),
            authentication_calls(provider, limit, ports) if provider else None,
            [handler_calls(handler, limit, ports) for handler in installed.authentication_handlers],
            cache,
            throttle,
            ports.clock,
        )
        authorization_provider = installed.authorization_provider
        self._implicit = ImplicitGrants(settings)
        self._provider = authorization_calls(authorization_provider, limit, ports) if authorization_provider else None
        self._handlers = [handler_calls(handler, limit, ports) for handler in installed.authorization_handlers]
        strategy = installed.authorization_strategy
        self._rulings = (
            Rulings(settings.stateful_rulings, settings.stateful_rulings_ms, strategy)
            if strategy is not None or settings.authorization_strategy is Strategy.STATEFUL
            else None
        )

    def admit(self, request: RequestContext) -> AdmittedRequest:
        """Admit a request, as `Guard.admit`.

        Raises:
            Refused: The request is denied.
            PluginCallsPending: Plugins must be called first; `resume` continues.
        """
        return self.resume(request, PluginResults())

    def resume(self, request: RequestContext, answers: PluginResults) -> AdmittedRequest:
        """Evaluate a request again, with the results of plugins.

        Raises:
            Refused: The request is denied.
            PluginCallsPending: More plugins must be called.
        """
        event = AuditEvent(request.operation, request.peer.ip, self._ticks())
        event.listener = request.peer.listener
        authorization = PerRequestAuthorization(
            self._implicit, self._provider, self._handlers, self._rulings, self._ports.clock, answers
        )
        objects = PerRequestObjectAuthorizer(self._ports, authorization, self._enforcer, answers)
        try:
            access = self._admit(
                request, event, PerRequestAuthentication(self._plugin_authentication, answers), authorization, objects
            )
        except (Refused, RequestSuspended):
            raise
        except Exception as exc:
            raise self._fail(request, event) from exc
        objects.pending = access.pending
        return access

    def _authorize_sender(self, event: AuditEvent, authorization: Authorization) -> str:
        reason = super()._authorize_sender(event, authorization)
        _check_sender(event, authorization)
        return reason

    def _authorize_parts(
        self, request: RequestContext, event: AuditEvent, snapshot: Snapshot, authorization: Authorization
    ) -> tuple[str, DeniedPart | None]:
        try:
            found = super()._authorize_parts(request, event, snapshot, authorization)
            if not event.permissions:
                _check_sender(event, authorization)
        except NotAllowed as no:
            raise refuse(self._enforcer, event, Stage.AUTHORIZATION, no) from None
        return found

    def _decide_part(
        self, permission: RequiredPermission, event: AuditEvent, authorization: Authorization
    ) -> tuple[Verdict | None, tuple[DenialReason, str] | None]:
        try:
            return super()._decide_part(permission, event, authorization)
        except NotAllowed as no:
            return None, (DenialReason(no.reason), _message_of(event, no))

    def _authorize(
        self, request: RequestContext, event: AuditEvent, snapshot: Snapshot, authorization: Authorization
    ) -> str:
        try:
            reason = super()._authorize(request, event, snapshot, authorization)
            if not event.permissions:
                _check_sender(event, authorization)
        except NotAllowed as no:
            raise refuse(self._enforcer, event, Stage.AUTHORIZATION, no) from None
        return reason


class PerRequestObjectAuthorizer(PolicyObjectAuthorizer):
    """Authorization of the objects that one request reaches, with the results of plugins for it.

    Attributes:
        pending: True if the request was admitted with objects yet to check. It is so again when its handler restarts.
    """

    def __init__(
        self, ports: GuardPorts, authorization: Authorization, enforcer: Enforcer, answers: PluginResults
    ) -> None:
        super().__init__(ports, authorization, enforcer)
        self._answers = answers
        self.pending = False

    def allows(self, access: AdmittedRequest, permission: RequiredPermission) -> bool:
        """Return True if the sender may touch an object; a plugin that denies or fails allows none.

        Raises:
            PluginCallsPending: A plugin must be called first.
        """
        try:
            return super().allows(access, permission)
        except NotAllowed:
            return False
        except RequestSuspended:
            access.pending = self.pending
            raise

    def require(self, access: AdmittedRequest, permission: RequiredPermission) -> None:
        """Check that the sender may touch an object, and audit the decision.

        Raises:
            Refused: The sender may not touch it.
            PluginCallsPending: A plugin must be called first.
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
        """Return True if the sender would be admitted now; the handlers check a request without permissions too.

        Raises:
            PluginCallsPending: A plugin must be called first.
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
        """Drop the results of plugins."""
        self._answers.renew()


def refuse(enforcer: Enforcer, event: AuditEvent, stage: Stage, no: NotAllowed) -> Refused:
    """Return the denial that follows from a plugin."""
    message = _message_of(event, no)
    # The explanation must not come from the server's policies, which did not decide.
    event.rights = None
    return enforcer.refuse(event, stage, DenialReason(no.reason), message)


def _message_of(event: AuditEvent, no: NotAllowed) -> str:
    if no.reason != REFUSED or no.permission is None:
        return AUTHORIZATION_FAILED
    kind: ResourceType = no.permission.type
    return denial_message(event.user, kind, no.permission.name, event.source, DENIED)


def _check_sender(event: AuditEvent, authorization: Authorization) -> None:
    """Ask the plugins about the sender of a request that needs no permission.

    Raises:
        NotAllowed: A plugin denies the request.
    """
    if event.identity is not None and isinstance(authorization, PerRequestAuthorization):
        authorization.check_sender(event.identity, event.operation, event.source)


def _check_enforcement(settings: GuardSettings, installed: InstalledPlugins) -> None:
    # No authorization plugin is called about a request that the policies deny: shadow mode would bypass the plugins.
    has_plugins = installed.authorization_provider is not None or installed.authorization_handlers
    if has_plugins and settings.has_shadow:
        raise GuardMisconfigured(
            "`authorizationEnforcement = shadow` cannot be combined with authorization plugins: remove one of them"
        )
    authenticates = (
        installed.authentication_provider is not None
        or installed.authentication_handlers
        or installed.authentication_strategy is not None
    )
    if authenticates and settings.shadow_anonymous:
        raise GuardMisconfigured(
            "`authorizationShadowAnonymous` would bypass authentication plugins: remove it, or the plugins"
        )


def _cache(settings: GuardSettings, installed: InstalledPlugins) -> AuthenticationCache | None:
    if installed.authentication_strategy is not None:
        return SelectiveAuthenticationCache(
            settings.stateful_ms, settings.stateful_entries, installed.authentication_strategy
        )
    if settings.authentication_strategy is Strategy.STATEFUL:
        return AuthenticationCache(settings.stateful_ms, settings.stateful_entries)
    return None
