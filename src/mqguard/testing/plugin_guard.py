"""Helpers of the contract tests: a guard with plugins, and calls of plugins with a time limit."""

import concurrent.futures
import dataclasses
import itertools
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from mqguard.auth.authentication import sign
from mqguard.auth.manager import MetadataManager
from mqguard.auth.ports import Metadata
from mqguard.auth.user import Secret
from mqguard.dispatch.admission import RemotingAdmission
from mqguard.guard.admitted_request import AdmittedRequest
from mqguard.guard.audit import AuditTrail
from mqguard.guard.errors import Refused
from mqguard.guard.plugin_adapters import InstalledPlugins
from mqguard.guard.plugin_calls import PluginCallsPending, PluginResults
from mqguard.guard.plugin_guard import PluginGuard
from mqguard.guard.ports import GuardPorts
from mqguard.guard.settings import GuardSettings
from mqguard.model.peer import Channel, Peer
from mqguard.remoting.command import Command
from mqguard.remoting.signed_content import signed_content

T = TypeVar("T")

SECRET = "a secret of usual length"  # noqa: S105 - of users that exist only in tests
PEER = Peer("10.1.2.3", 40_000, Channel("channel-1"))
START_MS = 1_700_000_000_000


class ManualClock:
    """Clock in milliseconds that stays the same until a test changes `now`, which lets time pass, or calls `jump`."""

    def __init__(self, now: int = START_MS) -> None:
        self.now = now
        self._jumped = 0

    def now_ms(self) -> int:
        """Return the date that was set last."""
        return self.now

    def monotonic_ms(self) -> int:
        """Return the date without the jumps."""
        return self.now - self._jumped

    def jump(self, span_ms: int) -> None:
        """Set the date forward or back, as an operator does, while no time passes."""
        self.now += span_ms
        self._jumped += span_ms


class _NoStore:
    def load(self) -> Metadata:
        return Metadata((), ())

    def apply(self, changes: object, expected_revision: int) -> int:
        """Store nothing: the snapshot of the manager is enough."""
        del changes
        return expected_revision + 1

    def watch(self, on_update: object) -> None:
        """Ignore the callback: no other server changes anything."""

    def close(self) -> None:
        """Do nothing: there is nothing to release."""


class _Records(list[object]):
    def put(self, record: object, **_room: object) -> bool:
        self.append(record)
        return True


class PluginTestGuard:
    """Guard with plugins that calls blocking plugins inline.

    Attributes:
        users: The users and policies.
        clock: The clock of the guard.
        guard: The guard itself.
        records: The audit records of its decisions, in order.
        admission: The admission of commands by the guard.
    """

    def __init__(self, extensions: InstalledPlugins, settings: GuardSettings | None = None) -> None:
        self.users = MetadataManager(_NoStore())
        self.clock = ManualClock()
        self.records = _Records()
        ids = itertools.count(1)
        on = GuardSettings(authentication_enabled=True, authorization_enabled=True)
        self.guard = PluginGuard(
            settings or on,
            GuardPorts(
                metadata=self.users,
                clock=self.clock,
                ticks=lambda: 0,
                new_id=lambda: f"d{next(ids)}",
                audit=AuditTrail(self.records),
            ),
            dataclasses.replace(extensions, limit_ms=60_000),
        )
        self.admission = RemotingAdmission(self.guard, (settings or on).cluster, self.guard.resume)

    def admit(self, command: Command, peer: Peer = PEER) -> AdmittedRequest:
        """Admit a request after all plugin calls that it needs.

        Raises:
            Refused: The guard denies the request.
        """
        answers = PluginResults()
        while True:
            try:
                return self.admission.resume(command, peer, answers)
            except PluginCallsPending as waits:
                for call in waits.calls:
                    call.answer(call.run())

    def admits(self, command: Command, peer: Peer = PEER) -> bool:
        """True if the guard admits a request."""
        try:
            self.admit(command, peer)
        except Refused:
            return False
        return True


def signed(
    code: int, ext: dict[str, str], body: bytes = b"", *, user: str = "alice", secret: str = SECRET, version: int = 513
) -> Command:
    """Return a signed request."""
    fields = {**ext, "AccessKey": user}
    fields["Signature"] = sign(Secret(secret), signed_content(fields, body, version))
    return Command(code, version=version, ext=fields, body=body)


LIMIT_S = 5.0
"""Maximum time for each call in a contract test."""
QUICK_S = 0.001
"""Maximum mean time for an answer of a plugin whose `quick` is True."""


def call_in_time(call: Callable[[], T]) -> T | Exception:
    """Return the result of a call, or the exception that it raised.

    Raises:
        AssertionError: The call did not end within `LIMIT_S`.
    """
    pool = concurrent.futures.ThreadPoolExecutor(1)
    try:
        return pool.submit(call).result(LIMIT_S)
    except concurrent.futures.TimeoutError as exc:
        raise AssertionError(f"the plugin did not answer within {LIMIT_S} s") from exc
    except Exception as exc:  # noqa: BLE001 - plugins may raise any error
        return exc
    finally:
        pool.shutdown(wait=False)


def call_together(calls: Sequence[Callable[[], T]], threads: int = 8) -> list[T]:
    """Run calls in several threads at once and return their results in order."""
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        return [future.result(LIMIT_S) for future in [pool.submit(call) for call in calls]]


def mean_seconds(call: Callable[[], object], times: int = 200) -> float:
    """Return the mean time of a call."""
    call()
    started = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - started) / times


def is_quick(plugin: object) -> bool:
    """True if the plugin says that it is quick."""
    quick = getattr(plugin, "quick", False)
    assert isinstance(quick, bool), "`quick` must be True or False"  # noqa: S101 - part of the suites
    return quick
