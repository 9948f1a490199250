"""What clients touch by themselves, and so needs no grant unless a policy speaks about it.

Maintainers of deployments asked for it over and over: no user shall need grants on topics that it never heard of.
"""

from mqguard.auth.resource import ResourceType
from mqguard.guard.context import RequiredPermission
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
