"""Requests of producers that wait for a reply (Apache: request-reply), stored when each request is sent.

A reply names the client and the correlation id of its request. The broker delivers it only if there is such an open
request, and only to the connection that sent it. Names alone, which clients choose, are not enough.
"""

import heapq
from collections.abc import Mapping

import msgspec

from mqguard.engine.fair_shares import FairSlots
from mqguard.guard.admitted_request import AdmittedRequest
from mqguard.model.peer import Channel
from mqguard.remoting.codes import LanguageCode
from mqguard.remoting.link import Link

REPLY_TO_CLIENT = "REPLY_TO_CLIENT"
CORRELATION_ID = "CORRELATION_ID"
TTL = "TTL"

MAX_OPEN = 50_000
"""Maximum open requests. If there are more, one of the user with the largest number is dropped."""
MAX_TTL_MS = 600_000
DEFAULT_TTL_MS = 3_000
"""Time that Java clients wait for a reply by default."""
_MAX_ID = 255

RequestId = tuple[str, str]
"""Client id and correlation id, as the sender chose them."""


class OpenRequest(msgspec.Struct, eq=False):
    """One request that waits for its reply.

    Attributes:
        id: Ids that a reply must have.
        topic: Topic of the request. A user who may read it may reply.
        link: Connection of the sender.
        access: The admitted request; its sender must still have the permissions when the reply arrives.
        deadline_ms: Monotonic time at which the sender stops waiting.
        number: Number in the order of arrival.
    """

    id: RequestId
    topic: str
    link: Link
    access: AdmittedRequest
    deadline_ms: int
    number: int


class OpenRequests:
    """All requests of a broker that wait for a reply.

    INVARIANT: a request is in all of `_open`, `_numbers`, `_channels` and `_places`, or in none of them. The heap may
    have numbers of removed requests.
    """

    def __init__(self) -> None:
        self._open: dict[RequestId, OpenRequest] = {}
        self._numbers: dict[int, OpenRequest] = {}
        self._channels: dict[Channel, dict[int, OpenRequest]] = {}
        self._places: FairSlots[int] = FairSlots(MAX_OPEN)
        self._heap: list[tuple[int, int]] = []
        self._last_number = 0

    def __len__(self) -> int:
        return len(self._numbers)

    def add(
        self,
        pairs: Mapping[str, str],
        topic: str,
        link: Link,
        access: AdmittedRequest,
        now_ms: int,
        language: int = LanguageCode.JAVA,
    ) -> bool:
        """Add a request that a client sends.

        Of several requests with the same ids the first one counts, so a reader of the request cannot get the reply.

        Args:
            pairs: Properties of the message.
            topic: Topic of the message.
            link: Connection of the sender.
            access: The admitted request.
            now_ms: Monotonic time.
            language: Language of the sender.

        Returns:
            False if there is no room for it. True also if the message is not a request or its ids are too long.
        """
        request_id = pairs.get(REPLY_TO_CLIENT, ""), pairs.get(CORRELATION_ID, "")
        if not all(0 < len(name) <= _MAX_ID for name in request_id):
            return True
        known = self._open.get(request_id)
        if known is not None:
            if known.link is not link:
                return True
            self._remove(known)
        if self._places.is_full:
            number = self._places.to_remove_for(access.owner)
            if number is None:
                return False
            self._remove(self._numbers[number])
        self._last_number += 1
        access.hold()
        deadline = now_ms + _ttl(pairs.get(TTL), language)
        self._insert(OpenRequest(request_id, topic, link, access, deadline, self._last_number))
        return True

    def find(self, client_id: str, correlation_id: str, now_ms: int) -> OpenRequest | None:
        """Return the open request with these ids, None if there is none or its sender has lost its permissions."""
        found = self._open.get((client_id, correlation_id))
        if found is None or found.link.closed or found.deadline_ms <= now_ms or not found.access.still_allowed():
            return None
        return found

    def close(self, request: OpenRequest) -> None:
        """Remove a request whose reply was sent."""
        if self._numbers.get(request.number) is request:
            self._remove(request)

    def reopen(self, request: OpenRequest) -> None:
        """Add a request again whose reply the client did not accept."""
        if request.id not in self._open and not request.link.closed and not self._places.is_full:
            self._insert(request)

    def leave(self, channel: Channel) -> None:
        """Remove the requests of a closed connection."""
        for request in list(self._channels.get(channel, {}).values()):
            self._remove(request)

    def expire(self, now_ms: int) -> None:
        """Remove the requests that timed out."""
        heap = self._heap
        while heap and heap[0][0] <= now_ms:
            request = self._numbers.get(heapq.heappop(heap)[1])
            if request is not None:
                self._remove(request)
        if len(heap) > 64 and len(heap) > 2 * len(self._numbers):
            # Most requests get their answer long before their deadline.
            self._heap = [entry for entry in heap if entry[1] in self._numbers]
            heapq.heapify(self._heap)

    def _insert(self, request: OpenRequest) -> None:
        self._open[request.id] = self._numbers[request.number] = request
        self._channels.setdefault(request.link.peer.channel, {})[request.number] = request
        self._places.take(request.access.owner, request.number)
        heapq.heappush(self._heap, (request.deadline_ms, request.number))

    def _remove(self, request: OpenRequest) -> None:
        del self._open[request.id]
        del self._numbers[request.number]
        self._places.free(request.access.owner, request.number)
        channel = request.link.peer.channel
        of_channel = self._channels[channel]
        del of_channel[request.number]
        if not of_channel:
            del self._channels[channel]


def _ttl(text: str | None, language: int) -> int:
    """Return the milliseconds that the sender waits.

    Source: Apache RocketMQ's client for Go 2.1.2, `prepareSendRequest`. It writes seconds, and drops the rest.
    """
    if text is None or not text.isascii() or not text.isdigit():
        return DEFAULT_TTL_MS
    number = int(text[:12])
    return min((number + 1) * 1_000 if language == LanguageCode.GO else number, MAX_TTL_MS)
