"""The broker: its handlers, the state that it keeps for its clients, and its periodic work."""

import dataclasses
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

from mqguard.auth.manager import MetadataManager
from mqguard.auth.seal import SealingKey
from mqguard.broker.background import Background
from mqguard.broker.group_offsets import OffsetResets, Progress
from mqguard.broker.processors.assignment import AssignmentProcessor, Queues
from mqguard.broker.processors.backup import BackupProcessor, Snapshots
from mqguard.broker.processors.client_commands import ClientCommandProcessor
from mqguard.broker.processors.clients import ClientListProcessor, ClientProcessor
from mqguard.broker.processors.groups import GroupProcessor
from mqguard.broker.processors.lite import LiteProcessor
from mqguard.broker.processors.lite_reports import LiteReportProcessor
from mqguard.broker.processors.offsets import OffsetProcessor, OffsetResetProcessor
from mqguard.broker.processors.pop import PopProcessor
from mqguard.broker.processors.pop_acks import PopAckProcessor
from mqguard.broker.processors.pull import PullProcessor
from mqguard.broker.processors.query_message import QueryMessageProcessor
from mqguard.broker.processors.reply import ReplyProcessor
from mqguard.broker.processors.reports import ReportProcessor
from mqguard.broker.processors.send import RecallProcessor, SendProcessor
from mqguard.broker.processors.status import StatusProcessor
from mqguard.broker.processors.store_tools import StoreToolProcessor
from mqguard.broker.processors.topics import TopicProcessor
from mqguard.broker.processors.transactions import TransactionProcessor
from mqguard.broker.settings import BrokerSettings, ExposedConfiguration
from mqguard.broker.statistics import Statistics
from mqguard.broker.topic_routes import TopicRoutes
from mqguard.broker.unfinished_batches import UnfinishedBatches
from mqguard.dispatch.access_requests import CHANGE_CODES, AccessProcessor, DenialProcessor
from mqguard.dispatch.client_calls import ClientCalls
from mqguard.dispatch.open_requests import OpenRequests
from mqguard.dispatch.request import Handler, Request, error_reply
from mqguard.dispatch.router import RequestGuard, Router
from mqguard.dispatch.suspended import Suspension
from mqguard.engine.clients import MAX_UNITS, Clients, RebalanceNotifications
from mqguard.engine.engine import Engine
from mqguard.engine.errors import StoreDown
from mqguard.engine.locks import Locks
from mqguard.engine.long_polls import LongPolls
from mqguard.engine.pop_polls import PopPolls
from mqguard.guard.audit import AuditTrail
from mqguard.guard.denial import DenialLog
from mqguard.model.process import Clock
from mqguard.model.topic import TopicConfig
from mqguard.remoting.codes import RequestCode
from mqguard.remoting.command import Reply
from mqguard.remoting.headers.pull import PullHeader
from mqguard.remoting.link import Link

_LOG = logging.getLogger(__name__)

EXPIRY_INTERVAL_MS = 5_000
"""Interval between searches for clients without heartbeats and for expired locks."""
STORE_ERROR_REPEAT_MS = 60_000
"""Minimum interval between log lines for the same store error."""
STORE_ERROR_LOG_INTERVAL_MS = 1_000
"""Minimum interval between log lines for store errors of any kind."""
_MAX_STORE_ERRORS = 16
"""Maximum number of different store errors whose last log line is kept."""


class Announcer(Protocol):
    """Name server in this process, or an adapter to a remote one."""

    def announce(self, cluster: str, broker: str, address: str, topics: Iterable[TopicConfig]) -> None:
        """Replace all topics of the broker."""

    def announce_topic(self, broker: str, name: str, topic: TopicConfig | None) -> None:
        """Update one topic; None means that it was deleted."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class BrokerPorts:
    """Parts from outside that a broker needs.

    Attributes:
        guard: Guard, which decides about every request.
        clock: Clock.
        manager: Users and policies.
        audit: Audit trail for changes of users and policies.
        configuration: Configuration that can be read and changed over the wire.
        denials: Recent denials, for `mqguard why`.
        sealing_key: Key for the secrets of users in sealed form; None if there is no sealed form.
        change_access: Handler of requests that change users or policies, if another process stores these; None if this
            broker stores them.
        announcer: Name server that gets topics as soon as they are stored; None if there is none.
        queues: Function that returns the readable queues of a topic at all brokers; None if this is the only broker.
        routes: Routes from name servers in other processes, which have these queues then; None if there are none.
        suspension: Store of requests that wait for plugins; None if there are no plugins.
        at_iteration_end: Further callbacks at the end of each iteration of the event loop.
        metrics: Function that returns all metrics as texts, by name and labels, for the broker's runtime info.
        background: Thread for work that takes long; None if the broker has no such requests.
        snapshots: Snapshots of the data, for backups; None if there are none. They need `background`.
    """

    guard: RequestGuard
    clock: Clock
    manager: MetadataManager
    audit: AuditTrail
    configuration: ExposedConfiguration
    denials: DenialLog
    sealing_key: SealingKey | None = None
    announcer: Announcer | None = None
    change_access: Handler | None = None
    queues: Queues | None = None
    routes: TopicRoutes | None = None
    suspension: Suspension | None = None
    at_iteration_end: Sequence[Callable[[], None]] = ()
    metrics: Callable[[], Mapping[str, str]] = dict
    background: Background | None = None
    snapshots: Snapshots | None = None


class PendingWork(NamedTuple):
    """Numbers of what a broker keeps for its clients at a moment.

    Attributes:
        waiting_pulls: Pulls that wait for a message.
        ready_pulls: Pulls that need not wait any longer and are not answered yet.
        open_requests: Requests of producers that wait for a reply.
        unfinished_batches: Bytes of batches that are not stored completely.
        client_calls: Open calls to clients.
    """

    waiting_pulls: int
    ready_pulls: int
    open_requests: int
    unfinished_batches: int
    client_calls: int


class BrokerServer:
    """Broker without sockets and messages.

    Args:
        engine: Engine, which has the messages.
        settings: See `BrokerSettings`.
        ports: See `BrokerPorts`.

    Attributes:
        application: Request loop that a listener serves (`net.server.Application`).
        clients: The connected clients.
        statistics: Statistics of topics and groups.
    """

    def __init__(self, engine: Engine, settings: BrokerSettings, ports: BrokerPorts) -> None:
        self._engine = engine
        self._settings = settings
        self._ports = ports
        self._clock = ports.clock
        self.clients = Clients(units=MAX_UNITS)
        self._locks = Locks()
        self._notices = RebalanceNotifications()
        self._client_calls = ClientCalls()
        self._requests = OpenRequests()
        self._unfinished = UnfinishedBatches(engine.group_commit)
        self._waiting: LongPolls[tuple[Request, PullHeader]] = LongPolls(settings.waiting_pulls)
        self._expired_ms = 0
        self._version = ports.manager.snapshot.version
        self._logged: dict[str, int] = {}
        self._logged_ms = -STORE_ERROR_LOG_INTERVAL_MS
        self._address = settings.address
        self._resets = OffsetResets()
        self.statistics = Statistics(engine, settings.cluster, ports.clock.monotonic_ms())
        self._pulling = PullProcessor(
            engine, self.clients, self._waiting, self._resets, self.statistics, settings, ports.clock
        )
        self._transactions = TransactionProcessor(engine, self.clients, self._client_calls, settings, ports.clock)
        self._popping = PopProcessor(
            engine,
            PopPolls(settings.waiting_pulls),
            PopPolls(settings.waiting_pulls),
            self.statistics,
            settings,
            ports.clock,
        )
        self._lite = LiteProcessor(engine, self.statistics, self._client_calls, settings, ports.clock)
        engine.on_arrival(self._pulling.arrived)
        engine.group_commit.on_failure(self._log_store_error)
        engine.topics.on_change(self._topic_changed)
        engine.groups.on_change(self._group_changed)
        self.application = Router(
            ports.guard,
            self._handlers(),
            self._error_reply,
            defer=engine.group_commit.defer,
            client_calls=self._client_calls,
            suspension=ports.suspension,
            at_close=[self._closed],
            at_iteration_end=[self._commit, self._apply_rights, self._notify_consumers, *ports.at_iteration_end],
        )

    def set_long_polling(self, *, enabled: bool) -> None:
        """Change if a pull waits for messages as long as its client requests."""
        self._pulling.long_polling = self._popping.long_polling = self._lite.long_polling = enabled

    def advertise(self, address: str) -> None:
        """Set the `host:port` at which clients reach this broker, once it is known, and announce all topics there."""
        self._address = address
        if self._ports.announcer is not None:
            name, cluster = self._settings.name, self._settings.cluster
            self._ports.announcer.announce(cluster, name, address, self._engine.topics.all())

    def tick(self) -> None:
        """Do periodic work. It should be called about every 50 ms, and `application.end_of_iteration` after it."""
        now = self._clock.monotonic_ms()
        self._pulling.expire()
        self._popping.expire()
        self._lite.expire()
        self._client_calls.expire(now)
        self._requests.expire(now)
        self.statistics.opened(self._client_calls.opened)
        self.statistics.tick(now)
        self.statistics.mark_day(self._clock.now_ms())
        if now - self._expired_ms >= EXPIRY_INTERVAL_MS:
            self._expired_ms = now
            self._locks.expire(now)
            self._expire_clients(now)
        elif self.clients.is_sweeping:
            self._expire_clients(now)
        self._expel_clients()
        self._check_transactions()
        # The engine comes last: clients must get their answers even if the store fails.
        self._engine.tick()
        if self._engine.trouble is not None:
            self._log_store_error(self._engine.trouble)

    @property
    def is_behind(self) -> bool:
        """True if waiting pulls are left to be answered in the next iteration of the event loop."""
        return self._pulling.is_behind or self._popping.is_behind or self._lite.is_behind

    @property
    def pending(self) -> PendingWork:
        """Return the numbers of what is kept for clients."""
        return PendingWork(
            len(self._waiting),
            self._pulling.ready_count,
            len(self._requests),
            len(self._unfinished),
            len(self._client_calls),
        )

    def _check_transactions(self) -> None:
        try:
            self._transactions.checks.tick()
        except StoreDown as error:
            self._log_store_error(str(error))

    def _expire_clients(self, now: int) -> None:
        groups, channels = self.clients.expire(now)
        for group in groups:
            self._notices.changed(group)
        for channel in channels:
            self._client_calls.close(channel, "no heartbeat")

    def _apply_rights(self) -> None:
        """After a change of rights, remove clients from groups as which they may not consume any more.

        This begins at once. If there are many clients, the following calls of `tick` do the rest.
        """
        version = self._ports.manager.snapshot.version
        if version != self._version:
            self._version = version
            self.clients.rights_changed()
            self._expel_clients()

    def _expel_clients(self) -> None:
        for group in self.clients.expel():
            self._notices.changed(group)

    def _handlers(self) -> dict[int, Handler]:
        engine, settings, clock, ports = self._engine, self._settings, self._clock, self._ports
        progress = Progress(engine, self.clients, self.statistics, settings.name)

        def address() -> str:
            return self._address

        parts: list[dict[int, Handler]] = [
            SendProcessor(
                engine,
                self.statistics,
                self._requests,
                self._unfinished,
                lambda group: self._locks.holds_any(group, clock.monotonic_ms()),
                clock,
            ).handlers(),
            RecallProcessor(engine).handlers(),
            self._pulling.handlers(),
            self._popping.handlers(),
            self._lite.handlers(),
            LiteReportProcessor(engine).handlers(),
            PopAckProcessor(engine, self.statistics, clock).handlers(),
            AssignmentProcessor(
                engine, self.clients, self._notices, ports.queues or self._own_queues, settings, ports.routes
            ).handlers(),
            OffsetProcessor(engine, self._resets).handlers(),
            ClientProcessor(
                engine, self.clients, self._locks, self._notices, self.statistics, settings, clock
            ).handlers(),
            QueryMessageProcessor(engine, self.statistics, clock).handlers(),
            self._transactions.handlers(),
            ClientCommandProcessor(engine, self.clients, self._client_calls, settings, clock).handlers(),
            ReplyProcessor(engine, self._requests, self._client_calls, address, settings, clock).handlers(),
            TopicProcessor(engine, progress).handlers(),
            GroupProcessor(engine).handlers(),
            ClientListProcessor(self.clients, clock).handlers(),
            ReportProcessor(engine, self.clients, progress, address, clock).handlers(),
            OffsetResetProcessor(
                engine, self.clients, self._resets, progress, self._pulling.wake, settings.request_mode
            ).handlers(),
            StoreToolProcessor(engine).handlers(),
            DenialProcessor(ports.denials, ports.manager).handlers(),
            StatusProcessor(
                engine, self.clients, self.statistics, ports.configuration, settings, clock, ports.metrics
            ).handlers(),
        ]
        access = AccessProcessor(
            ports.manager,
            ports.audit,
            ports.sealing_key,
            settings.secret_exposure,
            clock,
            anonymous_administers=settings.anonymous_administers,
        )
        parts.append(access.handlers())
        if ports.background is not None and ports.snapshots is not None:
            parts.append(BackupProcessor(ports.snapshots, ports.background).handlers())
        if ports.change_access is not None:
            parts.append(dict.fromkeys(CHANGE_CODES, ports.change_access))
        return {code: handler for part in parts for code, handler in part.items()}

    def _own_queues(self, topic: str) -> dict[str, int]:
        """Return the number of readable queues of a topic at this broker, by its name."""
        config = self._engine.topics.get(topic)
        return {} if config is None or not config.readable else {self._settings.name: config.read_queues}

    def _commit(self) -> None:
        group_commit = self._engine.group_commit
        begin = time.perf_counter()
        if group_commit.commit() and group_commit.stored:
            self.statistics.committed(group_commit.stored, time.perf_counter() - begin)
        self._pulling.answer_ready()
        if self._popping.is_behind or self._lite.is_behind:
            self._popping.answer_ready()
            self._lite.answer_ready()
            # Popped messages are answered once they are stored as in flight.
            group_commit.commit()

    def _error_reply(self, code: int, exc: Exception) -> Reply:
        if isinstance(exc, StoreDown):
            self._log_store_error(str(exc))
        return error_reply(code, exc)

    def _log_store_error(self, reason: str) -> None:
        """Log an error of the store for the operator, who does not see the answers to clients."""
        now = self._clock.monotonic_ms()
        if (
            now - self._logged_ms < STORE_ERROR_LOG_INTERVAL_MS
            or now - self._logged.get(reason, -STORE_ERROR_REPEAT_MS) < STORE_ERROR_REPEAT_MS
        ):
            return
        if len(self._logged) >= _MAX_STORE_ERRORS:
            self._logged.clear()
        self._logged[reason] = self._logged_ms = now
        _LOG.error("store error: %s", reason)

    def _notify_consumers(self) -> None:
        if not self._notices:
            return
        for channel, group in self._notices.take(self.clients, self._clock.monotonic_ms()):
            self._client_calls.notify(channel, RequestCode.NOTIFY_CONSUMER_IDS_CHANGED, {"consumerGroup": group})

    def _closed(self, link: Link) -> None:
        channel = link.peer.channel
        self.statistics.closed()
        self._waiting.leave(channel)
        self._popping.leave(channel)
        self._lite.leave(channel)
        self._requests.leave(channel)
        self._unfinished.leave(channel)
        self._transactions.checks.leave(channel)
        for group in self.clients.leave(channel):
            self._notices.changed(group)

    def _topic_changed(self, name: str) -> None:
        if self._ports.announcer is not None:
            self._ports.announcer.announce_topic(self._settings.name, name, self._engine.topics.get(name))
        if self._ports.routes is not None:
            self._ports.routes.changed(name)
        if self._engine.topics.get(name) is None:
            self._resets.remove(topic=name)
        self.statistics.topic_changed(name)
        self._pulling.topic_changed(name)
        self._popping.topic_changed(name)
        self._lite.topic_changed(name)

    def _group_changed(self, name: str) -> None:
        self._popping.group_changed(name)
        self._lite.group_changed(name)
        if self._engine.groups.get(name) is None:
            self._resets.remove(group=name)
            self.statistics.group_deleted(name)
            self._locks.remove_group(name)
