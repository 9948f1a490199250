"""Requests of ours to clients, and what to do with their answers.

An administrator's question about a client (running info, consume this message) is passed on to that client; the
answer comes as a frame on the client's own connection and is matched by connection and number.
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

Answered = Callable[[Command | None], None]
"""Takes the client's answer, None if there is none in time or the client is gone."""

MAX_PER_LINK = 1000
"""Open questions to one client; more than that are not asked: the client does not answer."""
MAX_BYTES_PER_LINK = 8 * 1024 * 1024
"""Bodies of open questions to one client. This is far less than a slow client may leave unread before it is cut."""
MAX_PER_ASKER = 10_000
"""Open questions for one user, to all clients together."""
MAX_BYTES_PER_ASKER = 64 * 1024 * 1024
"""Bodies of open questions for one user."""


class _Open(msgspec.Struct, eq=False):
    answered: Answered
    asker: str
    size: int


class ClientCalls:
    """Open questions, by connection and number.

    Every bound refuses the asker. A client is never cut because of what others ask of it.
    """

    def __init__(self) -> None:
        self._links: dict[Channel, Link] = {}
        self._open: dict[Channel, dict[int, _Open]] = {}
        self._bytes: collections.Counter[Channel] = collections.Counter()
        self._asked: collections.Counter[str] = collections.Counter()
        self._asked_bytes: collections.Counter[str] = collections.Counter()
        # Of a question that was answered nothing but this is kept until its time is up.
        self._heap: list[tuple[int, int, Channel]] = []
        self._opaques = itertools.count(1)

    def __len__(self) -> int:
        return sum(len(questions) for questions in self._open.values())

    def connected(self, link: Link) -> None:
        """Add a new connection, until `leave`."""
        self._links[link.peer.channel] = link

    def ask(
        self,
        channel: Channel,
        code: int,
        ext: dict[str, str],
        body: bytes,
        deadline_ms: int,
        answered: Answered,
        asker: str = "",
    ) -> bool:
        """Send a request to a client on behalf of a user.

        Args:
            channel: Connection of the client.
            code: Request code.
            ext: Its fields.
            body: Its body.
            deadline_ms: When the client is late.
            answered: Called with the answer, once.
            asker: User or address on whose behalf the client is asked.

        Returns:
            False if the client is gone, or if it or the asker has too many open requests; `answered` is not called.
        """
        link = self._links.get(channel)
        if link is None or link.closed or self._is_full(channel, asker, len(body)):
            return False
        questions = self._open.get(channel, {})
        opaque = next(self._opaques) & 0x7FFFFFFF
        questions[opaque] = _Open(answered, asker, len(body))
        self._open[channel] = questions
        self._bytes[channel] += len(body)
        self._asked[asker] += 1
        self._asked_bytes[asker] += len(body)
        heapq.heappush(self._heap, (deadline_ms, opaque, channel))
        link.send(encode_request(_command(code, opaque, 0, ext, body)))
        return True

    def notify(self, channel: Channel, code: int, ext: dict[str, str], body: bytes = b"") -> None:
        """Send a request to a client that needs no answer."""
        link = self._links.get(channel)
        if link is not None:
            link.send(encode_request(_command(code, next(self._opaques) & 0x7FFFFFFF, FLAG_ONEWAY, ext, body)))

    def close(self, channel: Channel, reason: str) -> None:
        """Close the connection of a client; `reason` only goes to the server's log."""
        link = self._links.get(channel)
        if link is not None:
            link.close(reason)

    def answer(self, link: Link, command: Command) -> bool:
        """Take a frame that says it answers us; False if nothing was asked, and the frame is to be dropped."""
        answered = self._take(link.peer.channel, command.opaque)
        if answered is None:
            return False
        answered(command)
        return True

    def leave(self, channel: Channel) -> None:
        """Remove a closed connection, and give up the open requests to its client."""
        self._links.pop(channel, None)
        # One after the other: where one fails, the rest is given up when its time is up.
        for opaque in list(self._open.get(channel, ())):
            answered = self._take(channel, opaque)
            if answered is not None:
                answered(None)

    def expire(self, now_ms: int) -> None:
        """Give up the questions whose time is up."""
        while self._heap and self._heap[0][0] <= now_ms:
            _, opaque, channel = heapq.heappop(self._heap)
            answered = self._take(channel, opaque)
            if answered is not None:
                answered(None)

    def _is_full(self, channel: Channel, asker: str, size: int) -> bool:
        number = len(self._open.get(channel, ()))
        return (
            number >= MAX_PER_LINK
            or self._asked.get(asker, 0) >= MAX_PER_ASKER
            or (number > 0 and self._bytes[channel] + size > MAX_BYTES_PER_LINK)
            or (asker in self._asked and self._asked_bytes[asker] + size > MAX_BYTES_PER_ASKER)
        )

    def _take(self, channel: Channel, opaque: int) -> Answered | None:
        questions = self._open.get(channel)
        found = questions.pop(opaque, None) if questions else None
        if found is None:
            return None
        self._bytes[channel] -= found.size
        self._asked[found.asker] -= 1
        self._asked_bytes[found.asker] -= found.size
        if not self._asked[found.asker]:
            del self._asked[found.asker], self._asked_bytes[found.asker]
        if not questions:
            del self._open[channel], self._bytes[channel]
        return found.answered


def _command(code: int, opaque: int, flag: int, ext: dict[str, str], body: bytes) -> Command:
    return Command(code, opaque, flag, SERVER_VERSION, LanguageCode.JAVA, None, ext, body)
