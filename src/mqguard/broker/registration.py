"""The registration of this broker with name servers in other processes (103, 104, 322).

A registration has all topics of the broker. A changed topic is registered at once and alone. At an interval, the broker
compares its version of the topics with that of each name server (322). This request also renews the registration.

Rule 1: each name server has at most one open request. Changes meanwhile are collected, and follow in the next one.
Rule 2: after a lost connection the broker registers all topics again: the name server has removed it from the routes.
"""

import logging
import zlib
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple, Protocol

from mqguard.errors import MqguardError
from mqguard.model.topic import DataVersion, TopicConfig
from mqguard.remoting.bodies.codec import encode
from mqguard.remoting.bodies.topics import DataVersionBody, RegisterBrokerBody, TopicTable
from mqguard.remoting.codes import SERVER_VERSION, LanguageCode, RequestCode, ResponseCode
from mqguard.remoting.command import Command, HeaderInvalid
from mqguard.remoting.headers.codec import Header, read, write
from mqguard.remoting.headers.route import BrokerHeader, DataVersionAnswer, RegisterBrokerHeader

_LOG = logging.getLogger(__name__)

RETRY_MS: Final = 1_000
"""Milliseconds until the next attempt after the first failure; each failure doubles it, up to the period."""
LOG_INTERVAL_MS: Final = 60_000
"""Interval at which a failure that lasts is logged again."""
MAX_SINGLE_TOPICS: Final = 64
"""Maximum number of changed topics in one request; if there are more, all topics are registered."""

OnOutcome = Callable[[Command | MqguardError], None]


class RemoteNameServer(Protocol):
    """A connection to a name server, which opens itself again (`net.upstream.Upstream`)."""

    address: str

    def call(self, command: Command, done: OnOutcome, timeout: float | None = None) -> None:
        """Send a request, and report its outcome exactly once."""


class TopicSource(Protocol):
    """The topics of this broker (`engine.topics.Topics`)."""

    data_version: DataVersion

    def all(self) -> list[TopicConfig]:
        """Return all topics."""
        ...  # pragma: no cover

    def get(self, name: str) -> TopicConfig | None:
        """Return a topic, None if it does not exist."""
        ...  # pragma: no cover


class BrokerIdentity(NamedTuple):
    """The broker as name servers know it.

    Attributes:
        cluster: Name of the cluster.
        name: Name of the broker.
        address: `host:port` at which clients reach it.
    """

    cluster: str
    name: str
    address: str


class Registrations:
    """Registers this broker with name servers (`broker.server.Announcer`).

    Args:
        topics: The topics of this broker.
        period_ms: Interval of the requests that keep the registration.
    """

    def __init__(self, topics: TopicSource, period_ms: int) -> None:
        self._topics = topics
        self._period_ms = period_ms
        self._identity: BrokerIdentity | None = None
        self._each: list[_Registration] = []

    def connect(self, servers: Sequence[RemoteNameServer]) -> None:
        """Set the connections to the name servers."""
        self._each = [_Registration(server, self._topics, self._period_ms) for server in servers]

    def announce(self, cluster: str, broker: str, address: str, topics: Iterable[TopicConfig]) -> None:
        """Register the broker with all of its topics at the next tick."""
        del topics  # They are read when the request is sent.
        self._identity = BrokerIdentity(cluster, broker, address)

    def announce_topic(self, broker: str, name: str, topic: TopicConfig | None) -> None:
        """Register a changed topic. A deleted one stays in a name server until a tool deletes it there."""
        del broker
        if topic is not None and self._identity is not None:
            for registration in self._each:
                registration.changed(name, self._identity)

    def lost(self, server: RemoteNameServer) -> None:
        """Register again soon, since the connection to a name server has ended."""
        for registration in self._each:
            if registration.server is server:
                registration.lost()

    def tick(self, now_ms: int) -> None:
        """Send what is due.

        Args:
            now_ms: Milliseconds of a monotonic clock.
        """
        if self._identity is not None:
            for registration in self._each:
                registration.tick(now_ms, self._identity)

    def leave(self, done: Callable[[], None]) -> None:
        """Remove the broker from all name servers; `done` is called once each has answered or failed."""
        identity, self._identity = self._identity, None
        left = [one for one in self._each if one.is_registered]
        if identity is None or not left:
            done()
            return
        waiting = len(left)

        def answered(_outcome: object) -> None:
            nonlocal waiting
            waiting -= 1
            if not waiting:
                done()

        for registration in left:
            registration.leave(identity, answered)

    @property
    def registered(self) -> dict[str, bool]:
        """Return for each name server whether it has the broker."""
        return {one.server.address: one.is_registered for one in self._each}


class _Registration:
    """The registration with one name server."""

    def __init__(self, server: RemoteNameServer, topics: TopicSource, period_ms: int) -> None:
        self.server = server
        self.is_registered = False
        self._topics = topics
        self._period_ms = period_ms
        self._changed: set[str] = set()
        self._is_open = False
        self._due_ms = 0
        self._now_ms = 0
        self._failures = 0
        self._logged: tuple[str, int] | None = None

    def changed(self, name: str, identity: BrokerIdentity) -> None:
        self._changed.add(name)
        if self.is_registered and not self._is_open:
            self._register(identity)

    def lost(self) -> None:
        self.is_registered = False
        self._due_ms = min(self._due_ms, self._now_ms + RETRY_MS)

    def tick(self, now_ms: int, identity: BrokerIdentity) -> None:
        self._now_ms = now_ms
        if self._is_open:
            return
        if self.is_registered and self._changed:
            self._register(identity)
        elif now_ms >= self._due_ms:
            if self.is_registered:
                self._ask_version(identity)
            else:
                self._changed.clear()
                self._register(identity)

    def leave(self, identity: BrokerIdentity, done: OnOutcome) -> None:
        self.server.call(_command(RequestCode.UNREGISTER_BROKER, _header(identity)), done, 1.0)

    def _register(self, identity: BrokerIdentity) -> None:
        """Register the changed topics, or all topics if there are many or the name server does not have the broker."""
        names, self._changed = self._changed, set()
        if self.is_registered and 0 < len(names) <= MAX_SINGLE_TOPICS:
            topics = [topic for topic in map(self._topics.get, sorted(names)) if topic is not None]
        else:
            topics = self._topics.all()
        table = TopicTable.of(topics, self._topics.data_version)
        body = encode(RegisterBrokerBody(topic_config_serialize_wrapper=table))
        header = RegisterBrokerHeader(
            broker_name=identity.name,
            broker_addr=identity.address,
            cluster_name=identity.cluster,
            # No replica reads from this broker, but name servers require the field.
            ha_server_addr=identity.address,
            broker_id=0,
            body_crc32=zlib.crc32(body),
        )
        self._is_open = True
        self.server.call(
            _command(RequestCode.REGISTER_BROKER, header, body), lambda found: self._answered(found, identity)
        )

    def _answered(self, outcome: Command | MqguardError, identity: BrokerIdentity) -> None:
        self._is_open = False
        why = _failure(outcome)
        if why is not None:
            self._failed(why)
            return
        if not self.is_registered:
            _LOG.info("registered with the name server %s as %s", self.server.address, identity.name)
        self.is_registered = True
        self._failures = 0
        self._logged = None
        self._due_ms = self._now_ms + self._period_ms

    def _ask_version(self, identity: BrokerIdentity) -> None:
        body = encode(DataVersionBody.of(self._topics.data_version))
        self._is_open = True
        self.server.call(
            _command(RequestCode.QUERY_DATA_VERSION, _header(identity), body),
            lambda found: self._compared(found, identity),
        )

    def _compared(self, outcome: Command | MqguardError, identity: BrokerIdentity) -> None:
        self._is_open = False
        if isinstance(outcome, Command) and outcome.code == ResponseCode.SUCCESS and not _is_changed(outcome):
            self._due_ms = self._now_ms + self._period_ms
        elif isinstance(outcome, Command):
            # The name server has another version, or does not know this request.
            self._changed.clear()
            self._register(identity)
        else:
            self._failed(str(outcome))

    def _failed(self, why: str) -> None:
        self.is_registered = False
        self._due_ms = self._now_ms + min(RETRY_MS << min(self._failures, 8), self._period_ms)
        self._failures += 1
        if self._logged is not None and self._logged[0] == why and self._now_ms - self._logged[1] < LOG_INTERVAL_MS:
            return
        self._logged = (why, self._now_ms)
        _LOG.warning("not registered with the name server %s, trying again: %s", self.server.address, why)


def _failure(outcome: Command | MqguardError) -> str | None:
    """Return why a registration failed, None if it did not."""
    if not isinstance(outcome, Command):
        return str(outcome)
    if outcome.code == ResponseCode.SUCCESS:
        return None
    hint = (
        ": a name server of mqguard accepts brokers that sign with `innerClientAuthenticationCredentials`"
        if outcome.code == ResponseCode.NO_PERMISSION
        else ""
    )
    return f"it refuses with code {outcome.code}: {outcome.remark or 'no reason given'}{hint}"


def _is_changed(answer: Command) -> bool:
    try:
        return read(answer.ext, DataVersionAnswer).changed
    except HeaderInvalid:
        return True


def _header(identity: BrokerIdentity) -> BrokerHeader:
    return BrokerHeader(
        broker_name=identity.name, broker_addr=identity.address, cluster_name=identity.cluster, broker_id=0
    )


def _command(code: RequestCode, header: Header, body: bytes = b"") -> Command:
    return Command(code, 0, 0, SERVER_VERSION, LanguageCode.PYTHON, None, write(header), body)
