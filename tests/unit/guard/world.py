"""A small world for tests of the guard: real users, policies and signatures in memory, a clock that stands still."""

import itertools

from mqguard.auth.action import Action
from mqguard.auth.manager import MetadataManager
from mqguard.auth.policy import Acl, Decision, Entry, Policy, PolicyType
from mqguard.auth.ports import Metadata
from mqguard.auth.resource import Resource
from mqguard.auth.signature import sign
from mqguard.auth.source import Source
from mqguard.auth.subject import Subject
from mqguard.auth.user import Secret, UserStatus, UserType
from mqguard.guard.audit import AuditTrail
from mqguard.guard.context import AdmittedRequest
from mqguard.guard.errors import Refused
from mqguard.guard.guard import Guard
from mqguard.guard.ports import GuardPorts
from mqguard.guard.settings import GuardSettings
from mqguard.model.channel import Channel
from mqguard.model.peer import Peer
from mqguard.remoting.command import Command
from mqguard.remoting.signing import signed_content
from mqguard.telemetry.metrics import Metrics

PEER = Peer("10.1.2.3", 40_000, Channel("channel-1"))
SECRET = "correct horse"
ON = GuardSettings(authentication_enabled=True, authorization_enabled=True)


class Forgetful:
    """A store that keeps nothing: the manager's snapshot is all that these tests need."""

    def load(self):
        return Metadata((), ())

    def apply(self, changes, expected_revision):
        return expected_revision + 1

    def watch(self, on_update):
        """No other server changes anything."""

    def close(self):
        """Nothing to let go of."""


class StillClock:
    """A clock that only tests move."""

    def __init__(self):
        self.ms = 1_700_000_000_000

    def now_ms(self):
        return self.ms


class Sink:
    """Keeps records in a list; full at a limit."""

    def __init__(self, limit=1_000_000):
        self.records = []
        self.limit = limit
        self.turned_away = 0

    @property
    def is_full(self):
        return len(self.records) >= self.limit

    def put(self, record, *, reserved=False, receipt=""):
        if self.is_full:
            self.turned_away += 1
            return False
        self.records.append(record)
        return True


class World:
    """A guard with its surroundings."""

    def __init__(self, settings=ON):
        self.metadata = MetadataManager(Forgetful())
        self.clock = StillClock()
        self.sink = Sink()
        ids = itertools.count(1)
        ticks = itertools.count(0, 1000)
        self.audit = AuditTrail(self.sink)
        self.metrics = Metrics()
        self.guard = Guard(
            settings,
            GuardPorts(
                metadata=self.metadata,
                clock=self.clock,
                ticks=lambda: next(ticks),
                new_id=lambda: f"d{next(ids)}",
                audit=self.audit,
                metrics=self.metrics,
            ),
        )
        self.metadata.create_user("root", SECRET, UserType.SUPER)
        self.metadata.create_user("alice", SECRET)

    def forget_denials(self):
        """Let so much time pass that the next denial is not counted with earlier ones."""
        for _ in range(2):
            self.clock.ms += 600_000
            self.audit.tick(self.clock.ms)

    def user(self, name, kind=UserType.NORMAL, status=UserStatus.ENABLE):
        self.metadata.create_user(name, SECRET, kind, status)

    def allow(self, user, resource, *actions, sources=(), policy=PolicyType.CUSTOM):
        self.say(user, resource, *actions, decision=Decision.ALLOW, sources=sources, policy=policy)

    def deny(self, user, resource, *actions, sources=()):
        self.say(user, resource, *actions, decision=Decision.DENY, sources=sources)

    def say(self, user, resource, *actions, decision, sources=(), policy=PolicyType.CUSTOM):
        entry = Entry(
            Resource.parse(resource),
            tuple(Action.parse(action) for action in actions),
            tuple(Source.parse(source) for source in sources),
            decision,
        )
        self.metadata.create_acl(Acl(Subject(user), (Policy(policy, (entry,)),)))

    def admit(self, command, peer=PEER) -> AdmittedRequest:
        return self.guard.admit(command, peer)

    def refusal(self, command, peer=PEER) -> Refused:
        try:
            self.guard.admit(command, peer)
        except Refused as refused:
            return refused
        raise AssertionError(f"code {command.code} was let in")


def signed(code, ext=None, body=b"", *, user="alice", secret=SECRET, version=513, **fields) -> Command:
    """A signed request."""
    ext = {**(ext or {}), **fields, "AccessKey": user}
    ext["Signature"] = sign(Secret(secret), signed_content(ext, body, version))
    return Command(code=code, version=version, ext=ext, body=body)
