"""A broker's face, put together: its handlers, what it remembers of its clients, and what it does by the clock."""

import dataclasses
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from mqguard.auth.manager import MetadataManager
from mqguard.auth.sealing import SealingKey
from mqguard.broker.group_offsets import Progress, Resets
from mqguard.broker.open_requests import OpenRequests
from mqguard.broker.processors.access import AccessAdministration, Decisions
from mqguard.broker.processors.client_commands import ClientCommandProcessor
from mqguard.broker.processors.clients import ClientProcessor, Connections
from mqguard.broker.processors.groups import GroupAdministration
from mqguard.broker.processors.offsets import OffsetProcessor, OffsetResetProcessor
from mqguard.broker.processors.pull import PullProcessor
from mqguard.broker.processors.query_message import QueryMessageProcessor
from mqguard.broker.processors.reply import ReplyProcessor
from mqguard.broker.processors.reports import Reports
from mqguard.broker.processors.send import SendProcessor
from mqguard.broker.processors.status import Status
from mqguard.broker.processors.topics import TopicAdministration
from mqguard.broker.settings import BrokerSettings, ExposedConfiguration
from mqguard.broker.throughput import Traffic
from mqguard.broker.unfinished_batches import UnfinishedBatches
from mqguard.dispatch.client_calls import ClientCalls
from mqguard.dispatch.request import Handler, Request, error_reply
from mqguard.dispatch.router import RequestGuard, Router
from mqguard.dispatch.suspended import Suspension
from mqguard.engine.clients import Clients, RebalanceNotifications
from mqguard.engine.engine import Engine
from mqguard.engine.errors import StoreDown
from mqguard.engine.locks import Locks
from mqguard.engine.long_polls import LongPolls
from mqguard.guard.audit import AuditTrail
from mqguard.guard.denial import DenialLog
from mqguard.model.process import Clock
from mqguard.model.topic import TopicConfig
from mqguard.remoting.codes import RequestCode
from mqguard.remoting.command import Reply
from mqguard.remoting.headers.pull import PullHeader
from mqguard.remoting.link import Link

_LOG = logging.getLogger(__name__)

EXPIRY_MS = 5_000
"""How often silent clients and dead locks are looked for."""
TELL_MS = 60_000
"""How often trouble with the store that lasts is told."""
PAUSE_MS = 1_000
"""How often any trouble is told at all: what lasts comes again."""
_KINDS = 16
"""Troubles that are remembered to have been told."""


class Announcer(Protocol):
    """A name server in this process (or what stands for a remote one)."""

    def announce(self, cluster: str, broker: str, address: str, topics: Iterable[TopicConfig]) -> None:
        """Take all topics of the broker."""

    def announce_topic(self, broker: str, name: str, topic: TopicConfig | None) -> None:
        """Take what has become of one topic; None: it is deleted."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class BrokerPorts:
    """What a broker's face needs from outside.

    Attributes:
        guard: Decides about every request.
        clock: Tells the time.
        manager: Users and policies.
        audit: Where changes of users and policies go on record.
        configuration: What is told and changed of the configuration over the wire.
        sealing_key: Seals the secrets of users that are answered sealed; None if they never are.
        refusals: The last refusals, for who asks why.
        parking: Where requests wait for plugins; None if there are none.
        announcer: Hears of topics as soon as they are stored; None if nobody routes to this broker.
        at_turn_end: What else is to be done at the end of each turn.
        metrics: Returns every metric as text, by its name and labels, for the answer about the broker's state.
    """

    guard: RequestGuard
    clock: Clock
    manager: MetadataManager
    audit: AuditTrail
    configuration: ExposedConfiguration
    denials: DenialLog
    sealing_key: SealingKey | None = None
    announcer: Announcer | None = None
    suspension: Suspension | None = None
    at_turn_end: Sequence[Callable[[], None]] = ()
    metrics: Callable[[], Mapping[str, str]] = dict


class Broker:
    """Everything of a broker but sockets and messages.

    Args:
        engine: The messages.
        settings: See `BrokerSettings`.
        ports: See `BrokerPorts`.

    Attributes:
        application: What a listener serves (`net.server.Application`).
        clients: The live clients.
    """

    def __init__(self, engine: Engine, settings: BrokerSettings, ports: BrokerPorts) -> None:
        self._engine = engine
        self._settings = settings
        self._ports = ports
        self._clock = ports.clock
        self.clients = Clients()
        self._locks = Locks()
        self._notices = RebalanceNotifications()
        self._client_calls = ClientCalls()
        self._requests = OpenRequests()
        self._unfinished = UnfinishedBatches(engine.group_commit)
        self._waiting: LongPolls[tuple[Request, PullHeader]] = LongPolls(settings.waiting_pulls)
        self._expired_ms = 0
        self._version = ports.manager.snapshot.version
        self._told: dict[str, int] = {}
        self._told_ms = 0
        self._address = settings.address
        self._resets = Resets()
        self._traffic = Traffic(ports.clock.now_ms())
        self._pulling = PullProcessor(
            engine, self.clients, self._waiting, self._resets, self._traffic, settings, ports.clock
        )
        engine.on_arrival(self._pulling.arrived)
        engine.group_commit.on_failure(self._complain)
        engine.topics.on_change(self._topic_changed)
        engine.groups.on_change(self._group_changed)
        self.application = Router(
            ports.guard,
            self._handlers(),
            self._explain,
            defer=engine.group_commit.defer,
            client_calls=self._client_calls,
            suspension=ports.suspension,
            at_close=[self._closed],
            at_turn_end=[self._commit, self._apply_rights, self._tell, *ports.at_turn_end],
        )

    def advertise(self, address: str) -> None:
        """Set the `host:port` at which clients reach this broker, once it is known, and announce all topics there."""
        self._address = address
        if self._ports.announcer is not None:
            name, cluster = self._settings.name, self._settings.cluster
            self._ports.announcer.announce(cluster, name, address, self._engine.topics.all())

    def tick(self) -> None:
        """Do what is due by the clock; call it every 50 ms or so, and end the turn after it."""
        now = self._clock.now_ms()
        self._pulling.expire()
        self._client_calls.expire(now)
        self._requests.expire(now)
        self._traffic.sample(now)
        if now - self._expired_ms >= EXPIRY_MS:
            self._expired_ms = now
            self._locks.expire(now)
            self._expire_clients(now)
        elif self.clients.is_sweeping:
            self._expire_clients(now)
        self._expel_clients()
        # Last: a store that cannot work must not keep clients from their answers.
        self._engine.tick()
        if self._engine.trouble is not None:
            self._complain(self._engine.trouble)

    @property
    def is_behind(self) -> bool:
        """True if a turn has left waiting pulls to be answered in the next one."""
        return self._pulling.is_behind

    def _expire_clients(self, now: int) -> None:
        groups, channels = self.clients.expire(now)
        for group in groups:
            self._notices.changed(group)
        for channel in channels:
            self._client_calls.close(channel, "no heartbeat")

    def _apply_rights(self) -> None:
        """Once rights have changed, have clients leave the groups that they may not consume as any more.

        It begins in the turn of the change. If there are many clients, the ticks after it do the rest.
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
        progress = Progress(engine, self.clients, settings.name)

        def address() -> str:
            return self._address

        parts: list[dict[int, Handler]] = [
            SendProcessor(
                engine,
                self._traffic,
                self._requests,
                self._unfinished,
                lambda group: self._locks.holds_any(group, clock.now_ms()),
                clock,
            ).handlers(),
            self._pulling.handlers(),
            OffsetProcessor(engine, self._resets).handlers(),
            ClientProcessor(engine, self.clients, self._locks, self._notices, settings, clock).handlers(),
            QueryMessageProcessor(engine, clock).handlers(),
            ClientCommandProcessor(engine, self.clients, self._client_calls, settings, clock).handlers(),
            ReplyProcessor(engine, self._requests, self._client_calls, address, settings, clock).handlers(),
            TopicAdministration(engine, progress).handlers(),
            GroupAdministration(engine).handlers(),
            Connections(self.clients).handlers(),
            Reports(engine, self.clients, progress, address, clock).handlers(),
            OffsetResetProcessor(engine, self.clients, self._resets, progress, self._pulling.wake).handlers(),
            Decisions(ports.denials, ports.manager).handlers(),
            Status(engine, self.clients, self._traffic, ports.configuration, settings, clock, ports.metrics).handlers(),
        ]
        parts.append(AccessAdministration(ports.manager, ports.audit, ports.sealing_key, settings, clock).handlers())
        return {code: handler for part in parts for code, handler in part.items()}

    def _commit(self) -> None:
        self._engine.group_commit.commit()
        self._pulling.answer_ready()

    def _explain(self, code: int, exc: Exception) -> Reply:
        if isinstance(exc, StoreDown):
            self._complain(str(exc))
        return error_reply(code, exc)

    def _complain(self, reason: str) -> None:
        """Tell the operator; clients are told anyway, but who runs the server does not see their errors."""
        now = self._clock.now_ms()
        if now - self._told_ms < PAUSE_MS or now - self._told.get(reason, 0) < TELL_MS:
            return
        if len(self._told) >= _KINDS:
            self._told.clear()
        self._told[reason] = self._told_ms = now
        _LOG.error("the store gives trouble: %s", reason)

    def _tell(self) -> None:
        if not self._notices:
            return
        for channel, group in self._notices.take(self.clients, self._clock.now_ms()):
            self._client_calls.notify(channel, RequestCode.NOTIFY_CONSUMER_IDS_CHANGED, {"consumerGroup": group})

    def _closed(self, link: Link) -> None:
        channel = link.peer.channel
        self._waiting.leave(channel)
        self._requests.leave(channel)
        self._unfinished.leave(channel)
        for group in self.clients.leave(channel):
            self._notices.changed(group)

    def _topic_changed(self, name: str) -> None:
        if self._ports.announcer is not None:
            self._ports.announcer.announce_topic(self._settings.name, name, self._engine.topics.get(name))
        if self._engine.topics.get(name) is None:
            self._resets.forget(topic=name)
        self._pulling.topic_changed(name)

    def _group_changed(self, name: str) -> None:
        if self._engine.groups.get(name) is None:
            self._resets.forget(group=name)
            self._locks.remove_group(name)
