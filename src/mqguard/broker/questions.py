"""Requests of ours to clients, and what to do with their answers.

An administrator's question about a client (running info, consume this message) is passed on to that client; the
answer comes as a frame on the client's own connection and is matched by connection and number.
"""

import heapq
import itertools
from collections.abc import Callable

from mqguard.model.channel import Channel
from mqguard.remoting.codes import FLAG_ONEWAY, SERVER_VERSION, LanguageCode
from mqguard.remoting.command import Command
from mqguard.remoting.frame import encode_request
from mqguard.remoting.link import Link

Answered = Callable[[Command | None], None]
"""Takes the client's answer, None if there is none in time or the client is gone."""

MAX_PER_LINK = 1000
"""Open questions to one client; more than that are not asked: the client does not answer."""


class Questions:
    """Open questions, by connection and number."""

    def __init__(self) -> None:
        self._open: dict[Channel, dict[int, Answered]] = {}
        # Of a question that was answered nothing but this is kept until its time is up.
        self._heap: list[tuple[int, int, Channel]] = []
        self._opaques = itertools.count(1)

    def __len__(self) -> int:
        return sum(len(questions) for questions in self._open.values())

    def ask(
        self, link: Link, code: int, ext: dict[str, str], body: bytes, deadline_ms: int, answered: Answered
    ) -> bool:
        """Send a request to a client; False if it is gone or has too many open ones, and `answered` is not called."""
        channel = link.peer.channel
        questions = self._open.setdefault(channel, {})
        if link.closed or len(questions) >= MAX_PER_LINK:
            if not questions:
                del self._open[channel]
            return False
        opaque = next(self._opaques) & 0x7FFFFFFF
        questions[opaque] = answered
        heapq.heappush(self._heap, (deadline_ms, opaque, channel))
        link.send(encode_request(_command(code, opaque, 0, ext, body)))
        return True

    def tell(self, link: Link, code: int, ext: dict[str, str], body: bytes = b"") -> None:
        """Send a request to a client that needs no answer."""
        link.send(encode_request(_command(code, next(self._opaques) & 0x7FFFFFFF, FLAG_ONEWAY, ext, body)))

    def answer(self, link: Link, command: Command) -> bool:
        """Take a frame that says it answers us; False if nothing was asked, and the frame is to be dropped."""
        answered = self._take(link.peer.channel, command.opaque)
        if answered is None:
            return False
        answered(command)
        return True

    def leave(self, channel: Channel) -> None:
        """Give up the questions to a closed connection."""
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

    def _take(self, channel: Channel, opaque: int) -> Answered | None:
        questions = self._open.get(channel)
        found = questions.pop(opaque, None) if questions else None
        if questions is not None and not questions:
            del self._open[channel]
        return found


def _command(code: int, opaque: int, flag: int, ext: dict[str, str], body: bytes) -> Command:
    return Command(code, opaque, flag, SERVER_VERSION, LanguageCode.JAVA, None, ext, body)
