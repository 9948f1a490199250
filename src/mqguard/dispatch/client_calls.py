"""Requests of the broker to clients, and their answers.

An administrator's request about a client (running info, consume this message) is sent on to that client. The answer is
a frame on the client's own connection; the connection and the request number identify the call.
"""

import collections
import heapq
import itertools
from collections.abc import Callable

import msgspec

from mqguard.model.peer import Channel
from mqguard.remoting.codes import FLAG_ONEWAY, SERVER_VERSION, LanguageCode
from mqguard.remoting.command import Command
from mqguard.remoting.frame import encode_request
from mqguard.remoting.link import Link

OnAnswer = Callable[[Command | None], None]
"""Receiver of the client's answer; it gets None if the call timed out or the client is gone."""

MAX_PER_LINK = 1000
"""Maximum open calls to one client. A client with more does not answer, so it gets no further calls."""
MAX_BYTES_PER_LINK = 8 * 1024 * 1024
"""Maximum bytes in the bodies of open calls to one client: far below the unread bytes that close a connection."""
MAX_PER_CALLER = 10_000
"""Maximum open calls on behalf of one user, to all clients together."""
MAX_BYTES_PER_CALLER = 64 * 1024 * 1024
"""Maximum bytes in the bodies of open calls on behalf of one user."""


class _OpenCall(msgspec.Struct, eq=False):
    on_answer: OnAnswer
    caller: str
    size: int


class ClientCalls:
    """Open calls, by connection and number.

    If a limit is reached, the caller's request is refused. The client's connection is never closed for it.

    Attributes:
        opened: Number of connections since the start.
    """

    def __init__(self) -> None:
        self.opened = 0
        self._links: dict[Channel, Link] = {}
        self._open: dict[Channel, dict[int, _OpenCall]] = {}
        self._bytes: collections.Counter[Channel] = collections.Counter()
        self._calls_of: collections.Counter[str] = collections.Counter()
        self._bytes_of: collections.Counter[str] = collections.Counter()
        # An entry of an answered call stays here until its deadline; nothing else of the call is kept.
        self._heap: list[tuple[int, int, Channel]] = []
        self._opaques = itertools.count(1)

    def __len__(self) -> int:
        return sum(len(calls) for calls in self._open.values())

    def connected(self, link: Link) -> None:
        """Add a new connection, until `leave`."""
        self._links[link.peer.channel] = link
        self.opened += 1

    def call(
        self,
        channel: Channel,
        code: int,
        ext: dict[str, str],
        body: bytes,
        deadline_ms: int,
        on_answer: OnAnswer,
        caller: str = "",
    ) -> bool:
        """Send a request to a client on behalf of a user.

        Args:
            channel: Connection of the client.
            code: Request code.
            ext: Its fields.
            body: Its body.
            deadline_ms: Monotonic time at which the call times out.
            on_answer: Receiver of the answer; called once.
            caller: User or address on whose behalf the request is sent.

        Returns:
            False if the client is gone, or has too many open calls, or the caller has; `on_answer` is not called then.
        """
        link = self._links.get(channel)
        if link is None or link.closed or self._is_full(channel, caller, len(body)):
            return False
        calls = self._open.get(channel, {})
        opaque = next(self._opaques) & 0x7FFFFFFF
        calls[opaque] = _OpenCall(on_answer, caller, len(body))
        self._open[channel] = calls
        self._bytes[channel] += len(body)
        self._calls_of[caller] += 1
        self._bytes_of[caller] += len(body)
        heapq.heappush(self._heap, (deadline_ms, opaque, channel))
        link.send(encode_request(_command(code, opaque, 0, ext, body)))
        return True

    def notify(self, channel: Channel, code: int, ext: dict[str, str], body: bytes = b"") -> None:
        """Send a one-way request to a client."""
        link = self._links.get(channel)
        if link is not None:
            link.send(encode_request(_command(code, next(self._opaques) & 0x7FFFFFFF, FLAG_ONEWAY, ext, body)))

    def close(self, channel: Channel, reason: str) -> None:
        """Close the connection of a client; `reason` only goes to the server's log."""
        link = self._links.get(channel)
        if link is not None:
            link.close(reason)

    def take_answer(self, link: Link, command: Command) -> bool:
        """Pass a client's answer to the receiver of its call; return False if there is no such call."""
        on_answer = self._take(link.peer.channel, command.opaque)
        if on_answer is None:
            return False
        on_answer(command)
        return True

    def leave(self, channel: Channel) -> None:
        """Remove a closed connection, and end the calls to its client."""
        self._links.pop(channel, None)
        # One after the other: if one receiver fails, the remaining calls still end at their deadlines.
        for opaque in list(self._open.get(channel, ())):
            on_answer = self._take(channel, opaque)
            if on_answer is not None:
                on_answer(None)

    def expire(self, now_ms: int) -> None:
        """End the calls that timed out."""
        while self._heap and self._heap[0][0] <= now_ms:
            _, opaque, channel = heapq.heappop(self._heap)
            on_answer = self._take(channel, opaque)
            if on_answer is not None:
                on_answer(None)

    def _is_full(self, channel: Channel, caller: str, size: int) -> bool:
        number = len(self._open.get(channel, ()))
        return (
            number >= MAX_PER_LINK
            or self._calls_of.get(caller, 0) >= MAX_PER_CALLER
            or (number > 0 and self._bytes[channel] + size > MAX_BYTES_PER_LINK)
            or (caller in self._calls_of and self._bytes_of[caller] + size > MAX_BYTES_PER_CALLER)
        )

    def _take(self, channel: Channel, opaque: int) -> OnAnswer | None:
        calls = self._open.get(channel)
        found = calls.pop(opaque, None) if calls else None
        if found is None:
            return None
        self._bytes[channel] -= found.size
        self._calls_of[found.caller] -= 1
        self._bytes_of[found.caller] -= found.size
        if not self._calls_of[found.caller]:
            del self._calls_of[found.caller], self._bytes_of[found.caller]
        if not calls:
            del self._open[channel], self._bytes[channel]
        return found.on_answer


def _command(code: int, opaque: int, flag: int, ext: dict[str, str], body: bytes) -> Command:
    return Command(code, opaque, flag, SERVER_VERSION, LanguageCode.JAVA, None, ext, body)
