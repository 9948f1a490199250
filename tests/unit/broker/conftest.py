"""A whole broker without sockets: real guard, real engine on the memory store, recording connections."""

import itertools
import math

import pytest

from mqguard.auth.authentication import sign
from mqguard.auth.manager import MetadataManager
from mqguard.auth.seal import SealingKey
from mqguard.auth.user import Secret, UserType
from mqguard.broker.processors import pop, pull, send
from mqguard.broker.server import BrokerPorts, BrokerServer
from mqguard.broker.settings import BrokerSettings, ExposedConfiguration
from mqguard.dispatch.admission import RemotingAdmission
from mqguard.engine.engine import Engine
from mqguard.engine.settings import EngineSettings
from mqguard.guard.audit import AuditTrail
from mqguard.guard.guard import Guard
from mqguard.guard.ports import GuardPorts
from mqguard.guard.settings import GuardSettings
from mqguard.model.topic import TopicConfig
from mqguard.namesrv.route_table import RouteTable
from mqguard.remoting.command import Command
from mqguard.remoting.signed_content import signed_content
from mqguard.store.memory import MemoryMessageStore
from mqguard.store.metadata.memory import MemoryMetadataStore
from tests.fixtures import policies
from tests.fixtures.clock import ManualClock
from tests.fixtures.links import RecordingLink
from tests.fixtures.sinks import RecordingSink

SECRET = "12345678"
SECRET_KEYS = frozenset({"initAuthenticationUser"})


class House:
    """A broker and its clients.

    `call` sends one request as a user, ends the iteration of the event loop, and returns the answer or None.
    """

    def __init__(self, *, auth=True, engine=None, guard=None, sealing_key=bytes(32), topic_routes=None, **settings):
        self.clock = ManualClock()
        topic_routes = topic_routes and topic_routes(self.clock)
        self.store = MemoryMessageStore()
        self.engine = Engine(self.store, EngineSettings(**(engine or {})), self.clock)
        self.manager = MetadataManager(MemoryMetadataStore())
        self.manager.create_user("root", SECRET, UserType.SUPER)
        self.sink = RecordingSink()
        self.audit = AuditTrail(self.sink)
        ids = (f"d{number}" for number in itertools.count(1))
        guard_settings = GuardSettings(
            **{"authentication_enabled": auth, "authorization_enabled": auth, **(guard or {})}
        )
        ports = GuardPorts(
            metadata=self.manager,
            clock=self.clock,
            ticks=lambda: 0,
            new_id=lambda: next(ids),
            audit=self.audit,
        )
        self.guard = self.make_guard(guard_settings, ports)
        self.admission = self.make_admission(guard_settings.cluster)
        self.routes = RouteTable()
        self.configuration = ExposedConfiguration(
            {"brokerName": "broker-a", "initAuthenticationUser": "hush"}, SECRET_KEYS
        )
        self.broker = BrokerServer(
            self.engine,
            BrokerSettings(anonymous_administers=not auth, **settings),
            BrokerPorts(
                guard=self.admission,
                clock=self.clock,
                manager=self.manager,
                audit=self.audit,
                configuration=self.configuration,
                denials=self.guard.denials,
                sealing_key=None if sealing_key is None else SealingKey(sealing_key),
                announcer=self.routes,
                routes=topic_routes,
                suspension=self.suspension,
            ),
        )
        self.broker.advertise("127.0.0.1:10911")
        self.app = self.broker.application
        self._numbers = itertools.count(1)
        self._opaques = itertools.count(1)

    suspension = None

    def make_guard(self, settings, ports):
        return Guard(settings, ports)

    def make_admission(self, cluster):
        return RemotingAdmission(self.guard, cluster)

    def connect(self, ip="127.0.0.1"):
        number = next(self._numbers)
        wire = RecordingLink(f"channel-{number}", ip=ip, port=50_000 + number)
        wire.peer.channel.has_denied_route = False  # channels with one name are the same in all tests
        self.app.connected(wire)
        return wire

    def disconnect(self, wire):
        wire.closed = True
        self.app.closed(wire)
        self.app.end_of_iteration()

    def command(self, code, ext=None, body=b"", *, user="root", flag=0, version=513, language=0):
        ext = {key: str(value) for key, value in (ext or {}).items()}
        if user:
            ext["AccessKey"] = user
            ext["Signature"] = sign(Secret(SECRET), signed_content(ext, body, version))
        return Command(code, next(self._opaques), flag, version, language, None, ext, body)

    def give(self, wire, *commands):
        """Serve frames in one iteration of the event loop."""
        self.app.commands(wire, list(commands))
        self.app.end_of_iteration()

    def call(self, code, ext=None, body=b"", *, wire=None, **more):
        wire = wire or self.connect()
        command = self.command(code, ext, body, **more)
        self.give(wire, command)
        return answer_to(wire, command)

    def tick(self, ms=0):
        self.clock.now += ms
        self.broker.tick()
        self.app.end_of_iteration()

    def user(self, name, *entries, sources=()):
        """Create a Normal user with entries such as `("Topic:t", "Pub,Sub")`."""
        self.manager.create_user(name, SECRET)
        if entries:
            self.manager.create_acl(acl(name, *entries, sources=sources))
        return name


def acl(name, *entries, sources=()):
    """Return policies that allow entries such as `("Topic:t", "Pub,Sub")`."""
    found = [policies.entry(resource, actions, ",".join(sources)) for resource, actions in entries]
    return policies.acl(name, *found)


def answer_to(wire, command):
    found = [frame for frame in wire.frames if frame.is_response and frame.opaque == command.opaque]
    assert len(found) <= 1
    return found[0] if found else None


@pytest.fixture
def house():
    return House()


@pytest.fixture
def house_with_topic():
    """Return a house with the topic `t` of four queues."""
    house = House()
    house.engine.topics.put(TopicConfig("t", 4, 4))
    house.engine.group_commit.commit()
    return house


@pytest.fixture
def open_house():
    """Return a broker without authentication and authorization."""
    return House(auth=False)


@pytest.fixture(autouse=True)
def _no_time_limits(monkeypatch):
    """Remove the time limits of an iteration, which a busy machine would exceed."""
    monkeypatch.setattr(pull, "TIME_SLICE_S", math.inf)
    monkeypatch.setattr(pop, "TIME_SLICE_S", math.inf)
    monkeypatch.setattr(send, "FIRST_SLICE_S", math.inf)
