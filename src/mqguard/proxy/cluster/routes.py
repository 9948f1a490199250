"""Routes of topics from the name servers (105), for requests that the guard sends itself."""

import functools
from typing import Final

from mqguard.proxy.cluster.connections import NameServers, refusal
from mqguard.proxy.cluster.errors import ClusterUnavailable
from mqguard.proxy.cluster.lookups import Lookups, LookupSettings, OnFound
from mqguard.remoting.bodies.codec import decode_leniently
from mqguard.remoting.bodies.topics import TopicRouteData
from mqguard.remoting.codes import SERVER_VERSION, LanguageCode, RequestCode, ResponseCode
from mqguard.remoting.command import Command
from mqguard.remoting.headers.codec import write
from mqguard.remoting.headers.route import RouteHeader

MAX_BROKERS: Final = 1_024
"""Maximum number of brokers in a route; a route with more is not used."""


def fetch_route(name_servers: NameServers, topic: str, on_found: OnFound[TopicRouteData]) -> None:
    """Request the route of a topic. The receiver gets None if there is none."""
    header = write(RouteHeader(topic=topic, accept_standard_json_only=True))
    command = Command(RequestCode.GET_ROUTEINFO_BY_TOPIC, 0, 0, SERVER_VERSION, LanguageCode.PYTHON, None, header)
    name_servers.call(command, _read, lambda _address, found: on_found(found))


class Routes(Lookups[TopicRouteData]):
    """Cached routes by topic.

    Args:
        name_servers: The name servers.
        settings: Times and limits.
    """

    def __init__(self, name_servers: NameServers, settings: LookupSettings | None = None) -> None:
        super().__init__(functools.partial(fetch_route, name_servers), name_servers.connections.loop, settings)


def _read(answer: Command) -> TopicRouteData | None:
    """Return the route of an answer, None if the topic has none.

    Raises:
        ClusterUnavailable: The server has refused the request, or the route has too many brokers.
        BodyInvalid: The answer is not valid.
    """
    if answer.code == ResponseCode.TOPIC_NOT_EXIST:
        return None
    if answer.code != ResponseCode.SUCCESS:
        raise refusal(answer)
    route = decode_leniently(answer.body, TopicRouteData)
    if max(len(route.queue_datas), len(route.broker_datas)) > MAX_BROKERS:
        raise ClusterUnavailable(f"the route has more than {MAX_BROKERS} brokers")
    return route
