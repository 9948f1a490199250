"""A small world for tests of the guard: real users, policies and signatures in memory, a clock that only tests move."""

import itertools

from mqguard.auth.authentication import sign
from mqguard.auth.manager import MetadataManager
from mqguard.auth.policy import Acl, Policy, PolicyType
from mqguard.auth.user import Secret, Subject, UserStatus, UserType
from mqguard.dispatch.admission import RemotingAdmission
from mqguard.dispatch.request import error_reply
from mqguard.guard.admission_groups import AdmissionMode
from mqguard.guard.admitted_request import AdmittedRequest
from mqguard.guard.audit import AuditTrail
from mqguard.guard.errors import Refused
from mqguard.guard.guard import Guard
from mqguard.guard.ports import GuardPorts
from mqguard.guard.settings import GuardSettings
from mqguard.model.peer import Channel, Peer
from mqguard.remoting.command import Command
from mqguard.remoting.signed_content import signed_content
from mqguard.store.metadata.memory import MemoryMetadataStore
from mqguard.telemetry.metrics import Metrics
from tests.fixtures.clock import ManualClock
from tests.fixtures.policies import acl, entry
from tests.fixtures.sinks import RecordingSink

PEER = Peer("10.1.2.3", 40_000, Channel("channel-1"))
SECRET = "correct horse"
ON = GuardSettings(authentication_enabled=True, authorization_enabled=True)


class World:
    """A guard with its surroundings."""

    def __init__(self, settings=ON, new_id=None, admissions=AdmissionMode.FULL):
        self.metadata = MetadataManager(MemoryMetadataStore())
        self.clock = ManualClock()
        self.sink = RecordingSink()
        ids = itertools.count(1)
        ticks = itertools.count(0, 1000)
        self.audit = AuditTrail(self.sink, admissions)
        self.metrics = Metrics()
        self.guard = Guard(
            settings,
            GuardPorts(
                metadata=self.metadata,
                clock=self.clock,
                ticks=lambda: next(ticks),
                new_id=new_id or (lambda: f"d{next(ids)}"),
                audit=self.audit,
                metrics=self.metrics,
            ),
        )
        self.admission = RemotingAdmission(self.guard, settings.cluster)
        self.metadata.create_user("root", SECRET, UserType.SUPER)
        self.metadata.create_user("alice", SECRET)

    def forget_denials(self):
        """Let so much time pass that the next denial is not counted with earlier ones."""
        for _ in range(2):
            self.clock.now += 600_000
            self.audit.tick(self.clock.now)

    def user(self, name, kind=UserType.NORMAL, status=UserStatus.ENABLE):
        self.metadata.create_user(name, SECRET, kind, status)

    def allow(self, user, resource, *actions, sources=(), policy=PolicyType.CUSTOM):
        allowed = entry(resource, ",".join(actions), ",".join(sources))
        self.metadata.create_acl(Acl(Subject(user), (Policy(policy, (allowed,)),)))

    def deny(self, user, resource, *actions, sources=()):
        denied = entry(resource, ",".join(actions), ",".join(sources), "Deny")
        self.metadata.create_acl(acl(user, denied))

    def admit(self, command, peer=PEER) -> AdmittedRequest:
        return self.admission.admit(command, peer)

    def refusal(self, command, peer=PEER) -> Refused:
        try:
            self.admission.admit(command, peer)
        except Refused as refused:
            return refused
        raise AssertionError(f"code {command.code} was let in")


def response_code(refused: Refused) -> int:
    """Return the code with which the RocketMQ protocol answers a denial."""
    return error_reply(0, refused).code


def signed(code, ext=None, body=b"", *, user="alice", secret=SECRET, version=513, **fields) -> Command:
    """Return a signed request."""
    ext = {**(ext or {}), **fields, "AccessKey": user}
    ext["Signature"] = sign(Secret(secret), signed_content(ext, body, version))
    return Command(code=code, version=version, ext=ext, body=body)
