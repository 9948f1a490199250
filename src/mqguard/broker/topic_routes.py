"""Routes of topics from name servers in other processes (105), which the assignment of queues needs.

A route is requested when a client needs it, and cached. An older one stays in use while the broker requests it again.
If no name server answers, the last route stays in use for as long as it takes.

Rule 1: everything is bounded, with fair shares for users: cached routes, requests to name servers, clients that wait.
Rule 2: one topic has at most one open request. All clients that need its route wait for the same answer.
Rule 3: a client waits for at most `ANSWER_S` for each name server, which is less than Java clients wait for the broker.

Source: Apache `TopicRouteInfoManager`.
"""

import functools
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from mqguard.broker.registration import RemoteNameServer
from mqguard.engine.fair_shares import FairQuota, FairSlots
from mqguard.errors import MqguardError
from mqguard.model.names import topic_fault
from mqguard.model.process import Clock
from mqguard.model.topic import PERM_READ
from mqguard.remoting.bodies.codec import decode
from mqguard.remoting.bodies.topics import TopicRouteData
from mqguard.remoting.codes import SERVER_VERSION, LanguageCode, RequestCode, ResponseCode
from mqguard.remoting.command import BodyInvalid, Command
from mqguard.remoting.headers.codec import write
from mqguard.remoting.headers.route import RouteHeader

_LOG = logging.getLogger(__name__)

FRESH_MS: Final = 30_000
"""Age at which a route is requested again (Apache: `loadBalancePollNameServerInterval`)."""
RETRY_MS: Final = 1_000
"""The same for a topic without a route, and after a request that failed."""
MAX_AGE_MS: Final = 300_000
"""Age from which a client waits for a newer route. An older one is used only if no name server answers."""
ANSWER_S: Final = 1.0
"""Seconds to wait for a name server. Java clients wait 3 seconds for their queues."""
MAX_ROUTES: Final = 20_000
"""Maximum number of cached routes, some 300 bytes each, as many as there may be topics."""
MAX_BROKERS: Final = 1_024
"""Maximum number of brokers in a route; a route with more is not used."""
OPEN_REQUESTS: Final = 128
"""Requests to name servers that are open; the registration uses the same connections and must not wait for them."""
WAITING_CLIENTS: Final = 1_024
"""Clients that wait for a route."""
LOG_INTERVAL_MS: Final = 60_000
"""Minimum interval between log lines about requests that failed."""
PRUNE_MS: Final = 10_000
"""Minimum interval between two searches for routes that are not used any more."""

OnRoute = Callable[[Mapping[str, int]], None]
"""Function that receives the number of readable queues by broker; empty if the topic has no route."""
_NO_ROUTE: Final[Mapping[str, int]] = {}


class _Route(NamedTuple):
    """A cached route.

    Attributes:
        queues: Number of readable queues by broker.
        owner: User or address for whose share it counts.
        stored_ms: Monotonic time of the answer.
        due_ms: Monotonic time from which it is requested again.
    """

    queues: Mapping[str, int]
    owner: str
    stored_ms: int
    due_ms: int


class TopicRoutes:
    """Cached routes of topics.

    Args:
        clock: Clock for the age of routes.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._servers: Sequence[RemoteNameServer] = ()
        self._first = 0
        self._end_iteration: Callable[[], None] = lambda: None
        self._routes: dict[str, _Route] = {}
        self._slots: FairSlots[str] = FairSlots(MAX_ROUTES)
        self._requests = FairQuota(OPEN_REQUESTS)
        self._clients = FairQuota(WAITING_CLIENTS)
        self._open: dict[str, list[tuple[str, OnRoute]]] = {}
        self._stale: set[str] = set()
        self._logged_ms = -LOG_INTERVAL_MS
        self._pruned_ms = 0

    def __len__(self) -> int:
        return len(self._routes)

    def connect(self, servers: Sequence[RemoteNameServer], end_iteration: Callable[[], None]) -> None:
        """Set the connections to the name servers.

        Args:
            servers: The connections.
            end_iteration: Requests the end of an iteration without input, which sends answers.
        """
        self._servers = servers
        self._end_iteration = end_iteration

    def queues(self, topic: str) -> Mapping[str, int]:
        """Return the number of readable queues of a topic by broker, as far as it is known."""
        route = self._routes.get(topic)
        return _NO_ROUTE if route is None else route.queues

    def request(self, topic: str, owner: str, done: OnRoute) -> bool:
        """Request the route of a topic, unless a route that can be used is cached.

        Args:
            topic: The topic.
            owner: User or address for whose share the request counts.
            done: Called later with the route, unless the method returns False.

        Returns:
            False if `queues` has the answer already, if the owner waits for too many routes, or if no topic can have
            this name.
        """
        if topic_fault(topic) is not None:
            return False
        now = self._clock.monotonic_ms()
        route = self._routes.get(topic)
        if route is not None:
            if now < route.due_ms:
                return False
            if route.queues and now - route.stored_ms < MAX_AGE_MS:
                if topic not in self._open:
                    self._ask(topic, owner)
                return False
        if not self._clients.allows(owner, 1) or not (topic in self._open or self._ask(topic, owner)):
            return False
        self._clients.change(owner, 1)
        self._open[topic].append((owner, done))
        return True

    def changed(self, topic: str) -> None:
        """Have the route of a topic requested again before it is used, because the topic was changed at this broker."""
        if topic in self._open:
            # The answer may be older than the change.
            self._stale.add(topic)
        route = self._routes.get(topic)
        if route is not None:
            self._routes[topic] = route._replace(stored_ms=route.stored_ms - MAX_AGE_MS, due_ms=0)

    # Requests to name servers

    def _ask(self, topic: str, owner: str) -> bool:
        """Send a request; return False if too many are open."""
        if not self._servers or not self._requests.allows(owner, 1):
            return False
        self._requests.change(owner, 1)
        self._open[topic] = []
        self._call(topic, owner, 1)
        return True

    def _call(self, topic: str, owner: str, attempt: int) -> None:
        header = write(RouteHeader(topic=topic, accept_standard_json_only=True))
        code = RequestCode.GET_ROUTEINFO_BY_TOPIC
        command = Command(code, 0, 0, SERVER_VERSION, LanguageCode.PYTHON, None, header, b"")
        server = self._servers[self._first % len(self._servers)]
        server.call(command, functools.partial(self._answered, server, topic, owner, attempt), ANSWER_S)

    def _answered(
        self, server: RemoteNameServer, topic: str, owner: str, attempt: int, outcome: Command | MqguardError
    ) -> None:
        found = self._read(server, outcome)
        if found is None and attempt < len(self._servers):
            if server is self._servers[self._first % len(self._servers)]:
                self._first += 1
            self._call(topic, owner, attempt + 1)
            return
        self._requests.change(owner, -1)
        waiting = self._open.pop(topic)
        self._keep(topic, owner, found)
        queues = self.queues(topic) if found is None else found
        for client, done in waiting:
            self._clients.change(client, -1)
            done(queues)
        if waiting:
            self._end_iteration()

    def _read(self, server: RemoteNameServer, outcome: Command | MqguardError) -> Mapping[str, int] | None:
        """Return the queues of an answer, None if the request failed."""
        if isinstance(outcome, MqguardError):
            self._failed(server, str(outcome))
        elif outcome.code == ResponseCode.TOPIC_NOT_EXIST:
            return _NO_ROUTE
        elif outcome.code != ResponseCode.SUCCESS:
            self._failed(server, f"it refuses with code {outcome.code}: {outcome.remark or 'no reason given'}")
        else:
            try:
                queues = decode(outcome.body, TopicRouteData).queue_datas
            except BodyInvalid as exc:
                self._failed(server, f"its answer is not a route: {exc}")
                return None
            if len(queues) <= MAX_BROKERS:
                return {one.broker_name: one.read_queue_nums for one in queues if one.perm & PERM_READ}
            self._failed(server, f"the route has {len(queues)} brokers, and at most {MAX_BROKERS} are read")
        return None

    def _failed(self, server: RemoteNameServer, why: str) -> None:
        now = self._clock.monotonic_ms()
        if now - self._logged_ms >= LOG_INTERVAL_MS:
            self._logged_ms = now
            _LOG.warning("no routes from the name server %s for the assignment of queues: %s", server.address, why)

    # The cache

    def _keep(self, topic: str, owner: str, found: Mapping[str, int] | None) -> None:
        """Cache an answer; after a failure the earlier route stays."""
        now = self._clock.monotonic_ms()
        old = self._routes.get(topic)
        is_stale = topic in self._stale
        self._stale.discard(topic)
        if old is None and not self._make_room(owner, now):
            return
        if old is None:
            self._slots.take(owner, topic)
            old = _Route(_NO_ROUTE, owner, now, now)
        if found is not None:
            old = old._replace(queues=found, stored_ms=now)
        due = now if is_stale else now + (FRESH_MS if found else RETRY_MS)
        self._routes[topic] = old._replace(due_ms=due)

    def _make_room(self, owner: str, now: int) -> bool:
        """Return True if there is room for another route; routes that are old or of others' excess are removed."""
        if self._slots.is_full and now - self._pruned_ms >= PRUNE_MS:
            self._pruned_ms = now
            for topic, route in list(self._routes.items()):
                if now - route.stored_ms >= MAX_AGE_MS:
                    self._drop(topic)
        if not self._slots.is_full:
            return True
        displaced = self._slots.to_remove_for(owner)
        if displaced is None:
            return False
        self._drop(displaced)
        return True

    def _drop(self, topic: str) -> None:
        self._slots.free(self._routes.pop(topic).owner, topic)
