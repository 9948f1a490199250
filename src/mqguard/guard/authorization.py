"""Authorization, the second of the guard's three steps: every required permission must be granted."""

# Rule 1: one required permission that is not granted denies the request.
# Rule 2: a Super user has all permissions. A user who only claims to be Super has none.
# Rule 3: topics that clients use by themselves need no grant, unless a policy covers them (`ImplicitGrants`). Operators
# asked for it often, so that no user needs grants on topics that it never named.

import functools

import msgspec

from mqguard.auth.decide import decide
from mqguard.auth.policy import Decision
from mqguard.auth.policy_index import Rights
from mqguard.auth.resource import ResourceType
from mqguard.auth.snapshot import Snapshot
from mqguard.auth.source import parse_address
from mqguard.auth.verdict import AccessRequest, Reason, Verdict
from mqguard.guard.admitted_request import BY_CLAIM, Identity
from mqguard.guard.audit import AuditEvent
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

    Sends to the trace topics, and their routes, are granted if `traceTopicOpen` is true. Tracing is configured in
    clients, not in policies. Reading these topics needs Sub, like any topic.
    """

    def __init__(self, settings: GuardSettings) -> None:
        """Grant the topics of this server."""
        reply_topic = f"{settings.cluster}_REPLY_TOPIC"
        traces = settings.trace_topics if settings.trace_topic_open else frozenset()
        self._topics: dict[Purpose, frozenset[str]] = {
            Purpose.ROUTE: traces | {TEMPLATE_TOPIC, settings.cluster, reply_topic, *settings.brokers},
            Purpose.SEND: traces,
            Purpose.REPLY: frozenset({reply_topic}),
        }

    def grants(self, operation: Operation, permission: RequiredPermission) -> bool:
        """Return True if the permission needs no grant."""
        return permission.type is ResourceType.TOPIC and permission.name in self._topics.get(operation.purpose, ())


class _Admission(msgspec.Struct, frozen=True, gc=False):
    """A cached admission: the sender and the permissions that were decided about, and the results."""

    identity: Identity
    permissions: RequiredPermissions
    rights: Rights | None
    verdicts: tuple[Verdict, ...]
    reason: str


MAX_CACHED_ADMISSIONS = 8_192
"""Maximum number of admissions that are cached; at the maximum the cache is cleared."""


class CachedAdmissions:
    """Admissions by one snapshot of users and policies, which are the same for equal requests while it is the newest.

    An admission by policies depends on the snapshot, the sender, the operation, the permissions and the source address,
    and on nothing else. Denials are not cached: each has a record and an id of its own. A decision found here costs
    a quarter of one that is made for the two permissions of a pull.

    Args:
        snapshot: The users and policies that decided.

    Attributes:
        snapshot: See above. Admissions by another one must not be looked up here.
    """

    __slots__ = ("_admissions", "snapshot")

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self._admissions: dict[tuple[int, str, Operation, str], _Admission] = {}

    def find(self, event: AuditEvent, identity: Identity) -> str | None:
        """Return the reason for which an equal request was admitted, and complete the event; None if none was."""
        # INVARIANT: a key's tuple of permissions is kept with the admission, so its id belongs to no other object.
        found = self._admissions.get((id(event.permissions), identity.user, event.operation, event.source))
        if found is None or (found.identity is not identity and found.identity != identity):
            return None
        event.rights = found.rights
        event.verdicts = found.verdicts
        return found.reason

    def add(self, event: AuditEvent, identity: Identity, reason: str) -> None:
        """Cache an admission, unless a denial was let through by shadow mode."""
        if event.shadow:
            return
        if len(self._admissions) >= MAX_CACHED_ADMISSIONS:
            self._admissions.clear()
        self._admissions[id(event.permissions), identity.user, event.operation, event.source] = _Admission(
            identity, event.permissions, event.rights, event.verdicts, reason
        )


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

    def decide_stranger(self, permission: RequiredPermission, operation: Operation) -> Verdict:
        """Decide if a sender that shadow mode does not ask for credentials would need a grant for a permission."""
        return IMPLICIT if self._implicit.grants(operation, permission) else ANONYMOUS

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
