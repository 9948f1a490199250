"""Authorization with plugins: a provider that replaces the server's policies, and handlers after either."""

from collections.abc import Sequence

from mqguard.auth.policy import Decision
from mqguard.auth.policy_index import Rights
from mqguard.auth.verdict import Reason, Verdict
from mqguard.errors import MqguardError
from mqguard.guard.admitted_request import BY_CLAIM, Identity
from mqguard.guard.authorization import ANONYMOUS, AUTHENTICATED, DISABLED, IMPLICIT, Authorization, ImplicitGrants
from mqguard.guard.permissions import RequiredPermission, RequiredPermissions, action_names
from mqguard.guard.plugin_adapters import is_accepted
from mqguard.guard.plugin_api import AuthorizationRequest, CachedResult, CacheStrategy, HandlerResult, Ruling
from mqguard.guard.plugin_authentication import REFUSED
from mqguard.guard.plugin_calls import Call, PluginCallsPending, PluginFailed, PluginInvoker, PluginResults
from mqguard.guard.request_context import Operation
from mqguard.model.process import Clock

ALLOWED = Verdict(Decision.ALLOW, Reason.ALLOWED)
"""Allowed by a provider; no entry decided."""
DENIED = Verdict(Decision.DENY, Reason.DENIED)
"""Denied by a plugin, for the message; no entry decided."""


class NotAllowed(MqguardError):
    """A denial by a plugin, or a plugin without a valid answer.

    Attributes:
        reason: `plugin-refused`, or the reason for which there is no valid answer.
        permission: The permission that is denied; None if it is the request as such.
    """

    def __init__(self, reason: str, permission: RequiredPermission | None) -> None:
        super().__init__(f"refused: {reason}")
        self.reason = reason
        self.permission = permission


class Rulings:
    """Cache of a provider's rulings for the stateful strategy, for a limited time and one version of the users.

    Args:
        limit: Maximum number of rulings.
        keep_ms: Maximum age of a ruling in milliseconds.
        strategy: Decision about the use of a ruling; None to use all.
    """

    def __init__(self, limit: int, keep_ms: int, strategy: CacheStrategy | None) -> None:
        self._limit = limit
        self._keep_ms = keep_ms
        self._strategy = strategy
        self._known: dict[AuthorizationRequest, tuple[Ruling, int, Rights | None]] = {}

    def find(self, question: AuthorizationRequest, rights: Rights | None, now_ms: int) -> Ruling | None:
        """Return the cached ruling, None if the provider must be called."""
        found = self._known.get(question)
        # The same rights: nothing about the user has changed on this server since.
        if found is None or now_ms - found[1] >= self._keep_ms or found[2] is not rights:
            return None
        age = now_ms - found[1]
        if self._strategy is not None and not is_accepted(
            self._strategy, CachedResult(question.user, "", question, age)
        ):
            return None
        return found[0]

    def add(self, question: AuthorizationRequest, rights: Rights | None, ruling: Ruling, now_ms: int) -> None:
        """Cache a ruling."""
        if len(self._known) >= self._limit:
            self._known.clear()
        self._known[question] = (ruling, now_ms, rights)


class PerRequestAuthorization(Authorization):
    """Authorization of one request, with the results of plugins for it."""

    def __init__(
        self,
        implicit: ImplicitGrants,
        provider: PluginInvoker[Ruling] | None,
        handlers: Sequence[PluginInvoker[HandlerResult]],
        rulings: Rulings | None,
        clock: Clock,
        answers: PluginResults,
    ) -> None:
        super().__init__(implicit)
        self.prefetches = provider is not None
        self._provider = provider
        self._handlers = handlers
        self._rulings = rulings
        self._monotonic_ms = clock.monotonic_ms
        self._answers = answers

    def decide(
        self,
        identity: Identity | None,
        rights: Rights | None,
        permission: RequiredPermission,
        operation: Operation,
        ip: str,
    ) -> Verdict:
        """Decide if the sender has a permission, as `Authorization.decide`.

        Raises:
            NotAllowed: A plugin denies or fails.
            PluginCallsPending: A plugin must be called first.
        """
        if self._provider is None or not _is_asked_about(identity, rights):
            verdict = super().decide(identity, rights, permission, operation, ip)
        else:
            verdict = self._rule(
                self._provider, operation, _question(identity, permission, operation, ip), rights, permission
            )
        if verdict.decision is Decision.ALLOW and identity is not None:
            self._check(_question(identity, permission, operation, ip), permission)
        return verdict

    def decide_sender(self, identity: Identity | None, rights: Rights | None) -> Verdict:
        """Decide about the sender; a provider may have users that the server does not know."""
        if self._provider is None:
            return super().decide_sender(identity, rights)
        if identity is None or (identity.method is BY_CLAIM and rights is not None and rights.user.is_super):
            return ANONYMOUS
        return DISABLED if rights is not None and not rights.user.is_enabled else AUTHENTICATED

    def prefetch(
        self,
        identity: Identity | None,
        rights: Rights | None,
        permissions: RequiredPermissions,
        operation: Operation,
        ip: str,
    ) -> None:
        """Call the provider about all permissions at once.

        Raises:
            PluginCallsPending: The provider must be called first.
        """
        provider = self._provider
        if provider is None or not _is_asked_about(identity, rights):
            return
        calls: list[Call] = []
        for permission in permissions:
            question = _question(identity, permission, operation, ip)
            if self._cached(question, rights) is None:
                call = provider.prefetch(self._answers, question)
                if call is not None:
                    calls.append(call)
        if calls:
            raise PluginCallsPending(calls, self._answers)

    def check_sender(self, identity: Identity, operation: Operation, ip: str) -> None:
        """Call the handlers for a request without permissions.

        Raises:
            NotAllowed: A handler denies or fails.
            PluginCallsPending: A handler must be called first.
        """
        self._check(
            AuthorizationRequest(identity.user, identity.method, ip, operation.name, operation.code, "", "", ()), None
        )

    def _cached(self, question: AuthorizationRequest, rights: Rights | None) -> Ruling | None:
        return None if self._rulings is None else self._rulings.find(question, rights, self._monotonic_ms())

    def _rule(
        self,
        provider: PluginInvoker[Ruling],
        operation: Operation,
        question: AuthorizationRequest,
        rights: Rights | None,
        permission: RequiredPermission,
    ) -> Verdict:
        ruling = self._cached(question, rights)
        if ruling is None:
            try:
                ruling = provider.ask(self._answers, question)
            except PluginFailed as failed:
                raise NotAllowed(failed.reason, permission) from None
            if self._rulings is not None:
                self._rulings.add(question, rights, ruling, self._monotonic_ms())
        if ruling is Ruling.ALLOW:
            return ALLOWED
        if ruling is Ruling.NO_OPINION and self._implicit.grants(operation, permission):
            return IMPLICIT
        raise NotAllowed(REFUSED, permission)

    def _check(self, question: AuthorizationRequest, permission: RequiredPermission | None) -> None:
        for handler in self._handlers:
            try:
                result = handler.ask(self._answers, question)
            except PluginFailed as failed:
                raise NotAllowed(failed.reason, permission) from None
            if result is not HandlerResult.NEXT:
                raise NotAllowed(REFUSED, permission)


def _is_asked_about(identity: Identity | None, rights: Rights | None) -> bool:
    """Return True if a provider decides about a sender: not about anonymous, Super and disabled ones."""
    if identity is None:
        return False
    return rights is None or (rights.user.is_enabled and not rights.user.is_super)


def _question(
    identity: Identity | None, permission: RequiredPermission, operation: Operation, ip: str
) -> AuthorizationRequest:
    user, method = ("", "") if identity is None else (identity.user, identity.method)
    return AuthorizationRequest(
        user,
        method,
        ip,
        operation.name,
        operation.code,
        permission.type.value,
        permission.name,
        tuple(action_names(permission)),
    )
