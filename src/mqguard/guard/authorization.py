"""Authorization, the second of the guard's three steps: every required permission must be granted."""

# Rule 1: one required permission that is not granted denies the request.
# Rule 2: a Super user has all permissions. A user who only claims to be Super has none.
# Rule 3: what clients use by themselves needs no grant, unless a policy covers it (`ImplicitGrants`): maintainers of
# deployments asked for it over and over, so that no user needs grants on topics that it never named.

import functools

from mqguard.auth.decide import decide
from mqguard.auth.policy import Decision
from mqguard.auth.policy_index import Rights
from mqguard.auth.resource import ResourceType
from mqguard.auth.source import parse_address
from mqguard.auth.verdict import AccessRequest, Reason, Verdict
from mqguard.guard.context import BY_CLAIM, Identity, RequiredPermission, RequiredPermissions
from mqguard.guard.settings import GuardSettings
from mqguard.model.names import TEMPLATE_TOPIC
from mqguard.remoting.codes import RequestCode

SENDS = (RequestCode.SEND_MESSAGE, RequestCode.SEND_MESSAGE_V2, RequestCode.SEND_BATCH_MESSAGE)
REPLIES = (RequestCode.SEND_REPLY_MESSAGE, RequestCode.SEND_REPLY_MESSAGE_V2)


class ImplicitGrants:
    """Which topics may be touched by which codes without a grant.

    * The route (105) of the template topic, which producers ask for when their own topic does not exist; of the
      cluster's and the brokers' names, which tools ask for; of the reply topic, which whoever answers a request asks
      for; and of the trace topic.
    * Replying (324, 325) on the cluster's reply topic. The broker hands a reply over only if the replier may read the
      request.
    * Sending to the trace topic, where `traceTopicOpen` says so: tracing is switched on in clients, not in policies.
      Reading it needs Sub, as any topic.
    """

    def __init__(self, settings: GuardSettings) -> None:
        """Take the names of this server."""
        routes = {TEMPLATE_TOPIC, settings.cluster, f"{settings.cluster}_REPLY_TOPIC", *settings.brokers}
        traces = frozenset({settings.trace_topic} if settings.trace_topic_open else ())
        self._topics: dict[int, frozenset[str]] = {
            RequestCode.GET_ROUTEINFO_BY_TOPIC: frozenset(routes) | traces,
            **dict.fromkeys(SENDS, traces),
            **dict.fromkeys(REPLIES, frozenset({f"{settings.cluster}_REPLY_TOPIC"})),
        }

    def grants(self, code: int, need: RequiredPermission) -> bool:
        """Whether the need is met without a grant."""
        return need.type is ResourceType.TOPIC and need.name in self._topics.get(code, ())


NOBODY = Verdict(Decision.DENY, Reason.UNKNOWN_USER)
"""The verdict about a sender without a name."""

SOMEBODY = Verdict(Decision.ALLOW, Reason.ALLOWED)
"""Allowed: the sender is a user, and no more is needed."""
DISABLED = Verdict(Decision.DENY, Reason.DISABLED)
"""Refused: the sender is disabled."""
BUILTIN = Verdict(Decision.ALLOW, Reason.ALLOWED)
"""Allowed without an entry: clients touch this by themselves."""

# A member looked up in its class costs as much as a step of the decision.
_NO_MATCH = Reason.NO_MATCH

_address_of = functools.lru_cache(maxsize=4096)(parse_address)


class Authorization:
    """Judges needs by users and policies.

    Attributes:
        foresees: True if `prefetch` has to be called with all needs before any of them is judged.
    """

    prefetches = False

    def __init__(self, builtin: ImplicitGrants) -> None:
        """Take what needs no grant."""
        self._builtin = builtin

    def judge(
        self, identity: Identity | None, rights: Rights | None, need: RequiredPermission, code: int, ip: str
    ) -> Verdict:
        """Whether the need is met.

        Args:
            identity: Who asks.
            rights: The rights of that user as of now.
            need: What is needed.
            code: The request code.
            ip: The address that the request comes from.
        """
        if identity is None or (identity.method is BY_CLAIM and rights is not None and rights.user.is_super):
            return NOBODY
        verdict = decide(AccessRequest(need.type, need.name, need.actions, _address_of(ip)), rights)
        if verdict.reason is _NO_MATCH and self._builtin.grants(code, need):
            return BUILTIN
        return verdict

    def prefetch(
        self, identity: Identity | None, rights: Rights | None, needs: RequiredPermissions, code: int, ip: str
    ) -> None:
        """Called before several needs are judged, for those who would rather look all up at once."""

    def judge_sender(self, identity: Identity | None, rights: Rights | None) -> Verdict:
        """Whether the sender is somebody who is let in at all, for requests that need no more."""
        if identity is None or rights is None or (identity.method is BY_CLAIM and rights.user.is_super):
            return NOBODY
        return SOMEBODY if rights.user.is_enabled else DISABLED
