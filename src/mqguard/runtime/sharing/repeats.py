"""Repeated changes: a tool that changes a whole cluster sends the same request to each of its brokers.

The brokers share users and policies, so the first request makes the change. Some of the others would then fail, such as
the creation of a user that exists now.

Rule: a request gets the answer of an earlier one with the same user and content. The earlier one must have come through
another broker, less than a minute ago. Everything that it has changed must still be as it left it.
"""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Final, NamedTuple

from mqguard.auth.snapshot import Snapshot
from mqguard.dispatch.request import Request
from mqguard.remoting.command import Reply
from mqguard.remoting.signed_content import ACCESS_KEY, SIGNATURE

MAX_AGE_MS: Final = 60_000
MAX_REQUESTS: Final = 1_000
"""Maximum number of earlier requests."""
MAX_BODY_BYTES: Final = 64 * 1024
"""Maximum size of a request that is kept."""

_Key = tuple[str, int, tuple[tuple[str, str], ...], bytes]


class _Done(NamedTuple):
    broker: str | None
    at_ms: int
    rights: Mapping[str, object]
    reply: Reply


class RepeatedChanges:
    """Recent changes and their answers."""

    def __init__(self) -> None:
        self._done: OrderedDict[_Key, _Done] = OrderedDict()

    def add(
        self,
        request: Request,
        broker: str | None,
        names: list[str],
        snapshot: Snapshot,
        reply: Reply,
        now_ms: int,
    ) -> None:
        """Keep a change that was made.

        Args:
            request: The request.
            broker: The broker that it came through; None if it came to this process itself.
            names: The users and subjects that it has changed.
            snapshot: Users and policies after the change.
            reply: The answer.
            now_ms: Time of a monotonic clock.
        """
        if len(request.command.body) > MAX_BODY_BYTES:
            return
        key = _key(request)
        self._done[key] = _Done(broker, now_ms, {name: snapshot.rights(name) for name in names}, reply)
        self._done.move_to_end(key)
        if len(self._done) > MAX_REQUESTS:
            self._done.popitem(last=False)

    def find(self, request: Request, broker: str | None, snapshot: Snapshot, now_ms: int) -> Reply | None:
        """Return the answer of an earlier request that this one repeats, None if it does not repeat one."""
        if not self._done or len(request.command.body) > MAX_BODY_BYTES:
            return None
        found = self._done.get(_key(request))
        if found is None or found.broker == broker or now_ms - found.at_ms > MAX_AGE_MS:
            return None
        # The rights of a user are the same object until the user or its policies change.
        is_unchanged = all(snapshot.rights(name) is rights for name, rights in found.rights.items())
        return found.reply if is_unchanged else None


def _key(request: Request) -> _Key:
    command = request.command
    fields = sorted((name, value) for name, value in command.ext.items() if name not in {ACCESS_KEY, SIGNATURE})
    return request.access.user, command.code, tuple(fields), bytes(command.body)
