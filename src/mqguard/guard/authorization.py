"""Authorization, the second of the guard's three steps: every required permission must be granted."""

# Rule 1: one required permission that is not granted denies the request.
# Rule 2: a Super user has all permissions. A user who only claims to be Super has none.
# Rule 3: topics that clients use by themselves need no grant, unless a policy covers them (`ImplicitGrants`). Operators
# asked for it often, so that no user needs grants on topics that it never named.

import functools

from mqguard.auth.decide import decide
from mqguard.auth.policy import Decision
from mqguard.auth.policy_index import Rights
from mqguard.auth.resource import ResourceType
from mqguard.auth.source import parse_address
from mqguard.auth.verdict import AccessRequest, Reason, Verdict
from mqguard.guard.admitted_request import BY_CLAIM, Identity
from mqguard.guard.errors import DenialReason
from mqguard.guard.permissions import RequiredPermission, RequiredPermissions
from mqguard.guard.request_context import Operation, Purpose
from mqguard.guard.settings import GuardSettings
from mqguard.model.names import TEMPLATE_TOPIC


class ImplicitGrants:
    """Topics that clients may use without a grant, because they use them by themselves.

    Producers ask for the route of the template topic when their own topic does not exist. Clients ask for the route of
    the reply topic before they reply. Tools ask for routes of the cluster's and the brokers' names. Replies go to the
    cluster's reply topic; the broker delivers a reply only if its sender may read the request.

    Sends to the trace topic, and its route, are granted if `traceTopicOpen` is true. Tracing is configured in clients,
    not in policies. Reading the topic needs Sub, like any topic.
    """

    def __init__(self, settings: GuardSettings) -> None:
        """Grant the topics of this server."""
        reply_topic = f"{settings.cluster}_REPLY_TOPIC"
        traces = frozenset({settings.trace_topic} if settings.trace_topic_open else ())
        self._topics: dict[Purpose, frozenset[str]] = {
            Purpose.ROUTE: traces | {TEMPLATE_TOPIC, settings.cluster, reply_topic, *settings.brokers},
            Purpose.SEND: traces,
            Purpose.REPLY: frozenset({reply_topic}),
        }

    def grants(self, operation: Operation, permission: RequiredPermission) -> bool:
        """Return True if the permission needs no grant."""
        return permission.type is ResourceType.TOPIC and permission.name in self._topics.get(operation.purpose, ())


ANONYMOUS = Verdict(Decision.DENY, Reason.UNKNOWN_USER)
"""The verdict about an anonymous sender."""


def denial_reason(verdict: Verdict) -> DenialReason:
    """Return the reason for the denial that a verdict leads to."""
    return DenialReason.NO_CREDENTIALS if verdict is ANONYMOUS else DenialReason(verdict.reason)


AUTHENTICATED = Verdict(Decision.ALLOW, Reason.ALLOWED)
"""Allowed: the sender is a user, and no permission is needed."""
DISABLED = Verdict(Decision.DENY, Reason.DISABLED)
"""Denied: the user is disabled."""
UNKNOWN = Verdict(Decision.DENY, Reason.UNKNOWN_USER)
"""Denied: no such user exists."""
IMPLICIT = Verdict(Decision.ALLOW, Reason.ALLOWED)
"""Allowed without an entry, by an implicit grant."""

# A member looked up in its class costs as much as a step of the decision.
_NO_MATCH = Reason.NO_MATCH

_address_of = functools.lru_cache(maxsize=4096)(parse_address)


class Authorization:
    """Authorization by users and policies.

    Attributes:
        prefetches: True if `prefetch` must be called with all permissions before the first decision about them.
    """

    prefetches = False

    def __init__(self, implicit: ImplicitGrants) -> None:
        """Decide with these implicit grants."""
        self._implicit = implicit

    def decide(
        self,
        identity: Identity | None,
        rights: Rights | None,
        permission: RequiredPermission,
        operation: Operation,
        ip: str,
    ) -> Verdict:
        """Decide if the sender has a permission.

        Args:
            identity: The sender.
            rights: The rights of that user as of now.
            permission: The required permission.
            operation: The kind of request.
            ip: The source address of the request.
        """
        if identity is None or (identity.method is BY_CLAIM and rights is not None and rights.user.is_super):
            return ANONYMOUS
        access = AccessRequest(permission.type, permission.name, permission.actions, _address_of(ip))
        verdict = decide(access, rights)
        if verdict.reason is _NO_MATCH and self._implicit.grants(operation, permission):
            return IMPLICIT
        return verdict

    def prefetch(
        self,
        identity: Identity | None,
        rights: Rights | None,
        permissions: RequiredPermissions,
        operation: Operation,
        ip: str,
    ) -> None:
        """Prepare for several decisions; does nothing here. A provider that is a plugin is called once for all."""

    def decide_sender(self, identity: Identity | None, rights: Rights | None) -> Verdict:
        """Decide about the sender of a request that needs no permission."""
        if identity is None or (identity.method is BY_CLAIM and rights is not None and rights.user.is_super):
            return ANONYMOUS
        if rights is None:
            return UNKNOWN
        return AUTHENTICATED if rights.user.is_enabled else DISABLED
