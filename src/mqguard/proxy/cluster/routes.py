"""Routes of topics from the name servers (105), for requests that the guard sends itself.

A route is requested when it is needed, and cached. An older one stays in use while it is requested again. If no name
server answers, the last route stays in use.

Rule 1: everything is bounded, with fair shares for users: cached routes, open requests, receivers that wait.
Rule 2: one topic has at most one open request. All receivers of its route wait for the same answer.
"""

import functools
from collections.abc import Callable
from typing import Final, NamedTuple

from mqguard.engine.fair_shares import FairQuota, FairSlots
from mqguard.proxy.cluster.connections import NameServers, refusal
from mqguard.proxy.cluster.errors import ClusterUnavailable
from mqguard.remoting.bodies.codec import decode_leniently
from mqguard.remoting.bodies.topics import TopicRouteData
from mqguard.remoting.codes import SERVER_VERSION, LanguageCode, RequestCode, ResponseCode
from mqguard.remoting.command import Command
from mqguard.remoting.headers.codec import write
from mqguard.remoting.headers.route import RouteHeader

OnRoute = Callable[[TopicRouteData | ClusterUnavailable | None], None]
"""Receiver of a route: None if there is no such topic, an error if no name server answers."""

MAX_BROKERS: Final = 1_024
"""Maximum number of brokers in a route; a route with more is not used."""
PRUNE_S: Final = 10.0
"""Minimum interval between two searches for routes that are not used any more."""


class RouteSettings(NamedTuple):
    """Times and limits of the routes.

    Attributes:
        fresh_s: Age in seconds at which a route is requested again.
        absent_s: The same for a topic without a route, which a client may be about to create.
        max_age_s: Age from which a receiver waits for a newer route. An older one is used only without a name server.
        max_routes: Maximum number of cached routes, also of topics without a route.
        max_open: Maximum number of open requests to name servers.
        max_waiting: Maximum number of receivers that wait.
    """

    fresh_s: float = 20.0
    absent_s: float = 1.0
    max_age_s: float = 120.0
    max_routes: int = 20_000
    max_open: int = 256
    max_waiting: int = 10_000


class _Cached(NamedTuple):
    """A cached route.

    Attributes:
        route: The route, None if the topic has none.
        owner: User or address for whose share it counts.
        stored_s: Time of the answer.
        due_s: Time from which it is requested again.
    """

    route: TopicRouteData | None
    owner: str
    stored_s: float
    due_s: float


class Routes:
    """Cached routes of topics.

    Args:
        name_servers: The name servers.
        settings: Times and limits.
    """

    def __init__(self, name_servers: NameServers, settings: RouteSettings | None = None) -> None:
        self._name_servers = name_servers
        self._settings = settings or RouteSettings()
        self._loop = name_servers.connections.loop
        self._cached: dict[str, _Cached] = {}
        self._slots: FairSlots[str] = FairSlots(self._settings.max_routes)
        self._requests = FairQuota(self._settings.max_open)
        self._receivers = FairQuota(self._settings.max_waiting)
        self._open: dict[str, list[tuple[str, OnRoute]]] = {}
        self._pruned_s = 0.0

    def __len__(self) -> int:
        return len(self._cached)

    def get(self, topic: str, owner: str, on_route: OnRoute) -> None:
        """Find the route of a topic.

        Args:
            topic: The topic.
            owner: User or address for whose share the request counts.
            on_route: Called once with the route, perhaps before this method returns.
        """
        now = self._loop.time()
        found = self._cached.get(topic)
        if found is not None and now < found.due_s:
            on_route(found.route)
            return
        if found is not None and found.route is not None and now - found.stored_s < self._settings.max_age_s:
            if topic not in self._open:
                self._ask(topic, owner)
            on_route(found.route)
            return
        if not self._receivers.allows(owner, 1) or not (topic in self._open or self._ask(topic, owner)):
            on_route(ClusterUnavailable("too many routes are requested at the same time"))
            return
        self._receivers.change(owner, 1)
        self._open[topic].append((owner, on_route))

    def forget(self, topic: str) -> None:
        """Have the route of a topic requested before it is used again, because a broker does not have the topic."""
        found = self._cached.get(topic)
        if found is not None:
            self._drop(topic, found)

    def _ask(self, topic: str, owner: str) -> bool:
        """Send a request; return False if too many are open."""
        if not self._requests.allows(owner, 1):
            return False
        self._requests.change(owner, 1)
        self._open[topic] = []
        header = write(RouteHeader(topic=topic, accept_standard_json_only=True))
        code = RequestCode.GET_ROUTEINFO_BY_TOPIC
        command = Command(code, 0, 0, SERVER_VERSION, LanguageCode.PYTHON, None, header)
        self._name_servers.call(command, _read, functools.partial(self._answered, topic, owner))
        return True

    def _answered(
        self, topic: str, owner: str, _address: str, found: TopicRouteData | ClusterUnavailable | None
    ) -> None:
        self._requests.change(owner, -1)
        waiting = self._open.pop(topic)
        known = self._cached.get(topic)
        if isinstance(found, ClusterUnavailable):
            if known is not None:
                # The last route stays in use, and the name servers are not asked for each request.
                self._cached[topic] = known._replace(due_s=self._loop.time() + self._settings.absent_s)
                found = known.route
        else:
            self._keep(topic, owner, found)
        for receiver, on_route in waiting:
            self._receivers.change(receiver, -1)
            on_route(found)

    def _keep(self, topic: str, owner: str, route: TopicRouteData | None) -> None:
        known = self._cached.get(topic)
        if known is not None:
            owner = known.owner
        elif not self._make_room(owner):
            return
        else:
            self._slots.take(owner, topic)
        now = self._loop.time()
        age = self._settings.absent_s if route is None else self._settings.fresh_s
        self._cached[topic] = _Cached(route, owner, now, now + age)

    def _make_room(self, owner: str) -> bool:
        """Return True if there is room for another route. If it is full, one of the largest owner is removed."""
        now = self._loop.time()
        if self._slots.is_full and now - self._pruned_s >= PRUNE_S:
            self._pruned_s = now
            for topic, cached in list(self._cached.items()):
                if now - cached.stored_s >= self._settings.max_age_s:
                    self._drop(topic, cached)
        if not self._slots.is_full:
            return True
        displaced = self._slots.to_remove_for(owner)
        if displaced is None:
            # The owner has the largest share itself. Its route is used once and not cached.
            return False
        self._drop(displaced, self._cached[displaced])
        return True

    def _drop(self, topic: str, cached: _Cached) -> None:
        del self._cached[topic]
        self._slots.free(cached.owner, topic)


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
