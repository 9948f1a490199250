"""A guard with plugins and nothing around it, for contract suites: what would wait for a plugin is asked at once."""

import dataclasses
import itertools

from mqguard.auth.manager import MetadataManager
from mqguard.auth.ports import Metadata
from mqguard.auth.signature import sign
from mqguard.auth.user import Secret
from mqguard.guard.audit import AuditTrail
from mqguard.guard.context import AdmittedRequest
from mqguard.guard.errors import Refused
from mqguard.guard.plugin_adapters import InstalledPlugins
from mqguard.guard.plugin_calls import PluginCallsPending, PluginResults
from mqguard.guard.plugin_guard import PluginGuard
from mqguard.guard.ports import GuardPorts
from mqguard.guard.settings import GuardSettings
from mqguard.model.channel import Channel
from mqguard.model.peer import Peer
from mqguard.remoting.command import Command
from mqguard.remoting.signing import signed_content

SECRET = "a secret of usual length"  # noqa: S105 - of users that exist in tests alone
PEER = Peer("10.1.2.3", 40_000, Channel("channel-1"))


class HandClock:
    """A clock that only tests move."""

    def __init__(self) -> None:
        self.now = 1_700_000_000_000

    def now_ms(self) -> int:
        """See `Clock`."""
        return self.now


class _NoStore:
    def load(self) -> Metadata:
        return Metadata((), ())

    def apply(self, changes: object, expected_revision: int) -> int:
        """Store nothing: the manager's snapshot is all that is needed."""
        del changes
        return expected_revision + 1

    def watch(self, on_update: object) -> None:
        """Never call: no other server changes anything."""

    def close(self) -> None:
        """Nothing to let go of."""


class _Records:
    def __init__(self) -> None:
        self.kept: list[object] = []

    def put(self, record: object, **_room: object) -> bool:
        self.kept.append(record)
        return True


class PluginTestGuard:
    """A guard with plugins.

    Attributes:
        users: The users and policies.
        clock: Its time.
        guard: The guard itself.
    """

    def __init__(self, extensions: InstalledPlugins, settings: GuardSettings | None = None) -> None:
        self.users = MetadataManager(_NoStore())
        self.clock = HandClock()
        ids = itertools.count(1)
        on = GuardSettings(authentication_enabled=True, authorization_enabled=True)
        self.guard = PluginGuard(
            settings or on,
            GuardPorts(
                metadata=self.users,
                clock=self.clock,
                ticks=lambda: 0,
                new_id=lambda: f"d{next(ids)}",
                audit=AuditTrail(_Records()),
            ),
            dataclasses.replace(extensions, limit_ms=60_000),
        )

    def admit(self, command: Command, peer: Peer = PEER) -> AdmittedRequest:
        """Let a request in, whatever must be asked for it.

        Raises:
            Refused: It is not let in.
        """
        answers = PluginResults()
        while True:
            try:
                return self.guard.resume(command, peer, answers)
            except PluginCallsPending as waits:
                for call in waits.calls:
                    call.answer(call.run())

    def admits(self, command: Command, peer: Peer = PEER) -> bool:
        """Whether a request is let in."""
        try:
            self.admit(command, peer)
        except Refused:
            return False
        return True


def signed(
    code: int, ext: dict[str, str], body: bytes = b"", *, user: str = "alice", secret: str = SECRET, version: int = 513
) -> Command:
    """A signed request."""
    fields = {**ext, "AccessKey": user}
    fields["Signature"] = sign(Secret(secret), signed_content(fields, body, version))
    return Command(code, version=version, ext=fields, body=body)
