"""Pulls (11, 361), which are answered at once or wait for a message."""

import contextlib
import time

from mqguard.auth.policy import Action
from mqguard.broker.group_offsets import OffsetResets
from mqguard.broker.group_rules import is_forbidden, refuse_reserved
from mqguard.broker.settings import BrokerSettings
from mqguard.broker.statistics import Statistics
from mqguard.dispatch.request import Handler, Request, RequestRefused, error_reply
from mqguard.engine.clients import Clients
from mqguard.engine.engine import Engine
from mqguard.engine.errors import FilterInvalid, LimitReached, NotReadable
from mqguard.engine.fair_shares import RoundRobin
from mqguard.engine.fetch import FetchResult, FetchStatus
from mqguard.engine.filters import SQL92, MessageFilter, RetryFilter, SqlFilter
from mqguard.engine.group_members import Consumer
from mqguard.engine.long_polls import LongPolls, PendingPull
from mqguard.guard.errors import RequestSuspended
from mqguard.guard.message_authorization import readable
from mqguard.model import names
from mqguard.model.process import Clock
from mqguard.remoting.codes import RequestCode, ResponseCode
from mqguard.remoting.command import Reply
from mqguard.remoting.headers.codec import read
from mqguard.remoting.headers.pull import COMMIT_OFFSET, SUBSCRIPTION, SUSPEND, PullAnswerTemplate, PullHeader

SHORT_POLL_MS = 1000
"""Time that a pull waits if long polling is off (Java brokers: `shortPollingTimeMills`)."""
MAX_WAIT_MS = 60_000
"""Maximum time that a pull waits. Java clients request 15 or 20 s, and time out after 30."""
MAX_WAITING_WEIGHT = 2_048
"""Maximum tags of a pull that waits. Each takes memory. Expressions, which have fewer terms, always wait."""
MAX_WOKEN = 4_096
"""Maximum waiting pulls that are answered in one iteration of the event loop; the others follow in the next ones."""
MAX_WOKEN_OF_ONE = 1_024
"""Maximum of these for one user, because a user with many waiting pulls must not delay all others."""
_CHECKS_PER_REMOVAL = 8
"""Factor of cost: removing a pull from its place costs as much as checking eight."""
MAX_TAKEN = 256
"""Maximum pulls that are removed from their places in one iteration of the event loop; this takes some 5 ms."""
TIME_SLICE_S = 0.003
"""Maximum seconds per iteration of the event loop for answers to waiting pulls; one is always answered."""
MAX_WOKEN_BYTES = 16 * 1024 * 1024
"""Maximum bytes of these answers in one iteration, because thousands of pulls may wait for one large message."""

READY_SHARE = 8
"""Divisor of `waiting_pulls`: one user may have an eighth of them ready and not answered yet."""

_CODES = {
    FetchStatus.FOUND: ResponseCode.SUCCESS,
    FetchStatus.NO_MATCHED_MESSAGE: ResponseCode.PULL_RETRY_IMMEDIATELY,
    FetchStatus.MESSAGE_WAS_REMOVING: ResponseCode.PULL_RETRY_IMMEDIATELY,
    FetchStatus.OFFSET_FOUND_NULL: ResponseCode.PULL_NOT_FOUND,
    FetchStatus.OFFSET_OVERFLOW_ONE: ResponseCode.PULL_NOT_FOUND,
    FetchStatus.OFFSET_OVERFLOW_BADLY: ResponseCode.PULL_OFFSET_MOVED,
    FetchStatus.OFFSET_TOO_SMALL: ResponseCode.PULL_OFFSET_MOVED,
    FetchStatus.NO_MATCHED_LOGIC_QUEUE: ResponseCode.PULL_NOT_FOUND,
    FetchStatus.NO_MESSAGE_IN_QUEUE: ResponseCode.PULL_NOT_FOUND,
}


# A member looked up in its class costs as much as a step of the answer.
_FOUND = FetchStatus.FOUND

SuspendedPull = PendingPull[tuple[Request, PullHeader]]
"""Waiting pull, with the parts of the request that its answer needs."""


class PullProcessor:
    """Handlers that deliver messages.

    Args:
        engine: Engine, which has the messages.
        clients: Subscriptions of connected groups.
        waiting: Waiting pulls.
        resets: Reset offsets that groups have to get.
        statistics: Statistics, which count deliveries.
        settings: See `BrokerSettings`.
        clock: Clock for the end of waiting.

    Attributes:
        long_polling: True if a pull waits as long as its client requests.
    """

    def __init__(
        self,
        engine: Engine,
        clients: Clients,
        waiting: LongPolls[tuple[Request, PullHeader]],
        resets: OffsetResets,
        statistics: Statistics,
        settings: BrokerSettings,
        clock: Clock,
    ) -> None:
        self._engine = engine
        self._fetch = engine.fetch
        self._filters = engine.filters
        self._clients = clients
        self._waiting = waiting
        self._resets = resets
        self._statistics = statistics
        self._throughput = statistics.throughput
        self._began = 0.0
        self._clock = clock
        self._ready: RoundRobin[tuple[SuspendedPull, bool]] = RoundRobin()
        self._arrivals: dict[tuple[str, int], tuple[int, set[int]]] = {}
        self._woken: dict[tuple[str, int], None] = {}
        self._max_ready = max(1, settings.waiting_pulls // READY_SHARE)
        self._max_all_ready = 2 * settings.waiting_pulls
        self._filters_retries = settings.filter_support_retry
        self.long_polling = settings.long_polling
        self._suggested = str(settings.broker_id)
        self._frame = PullAnswerTemplate(settings.broker_id, FetchStatus.FOUND.value).frame

    def handlers(self) -> dict[int, Handler]:
        """Return the handlers by request code."""
        return {RequestCode.PULL_MESSAGE: self.pull, RequestCode.LITE_PULL_MESSAGE: self.pull}

    def pull(self, request: Request) -> Reply | None:
        """Answer with messages, or suspend the request until there are some."""
        header = read(request.command.ext, PullHeader)
        if header.lite_topic:
            raise RequestRefused(ResponseCode.REQUEST_CODE_NOT_SUPPORTED, "lite topics are not supported")
        group = header.consumer_group
        refuse_reserved(group)
        config = self._engine.groups.find(group, request.access.creator)
        if not config.consume_enable:
            raise NotReadable(f"subscription group no permission, {group}")
        if is_forbidden(config, header.topic):
            raise NotReadable(f"the consumer group[{group}] is forbidden for topic[{header.topic}]")
        wanted = self._wanted(request, header)
        if self._resets:
            moved = self._reset(header)
            if moved is not None:
                return moved
        # The fetch comes first: it refuses missing topics and queues, for which no offset must be stored.
        fetched = self._read(request, header, wanted)
        if header.sys_flag & COMMIT_OFFSET and header.commit_offset >= 0 and not self._is_reset(header):
            with contextlib.suppress(LimitReached):  # the messages are delivered anyway
                self._engine.offsets.set(
                    group, header.topic, header.queue_id, header.commit_offset, request.access.creator
                )
        if header.sys_flag & SUSPEND and _is_at_end(header, fetched) and self._suspend(request, header, wanted):
            return None
        return self._reply(request, header, fetched)

    # Waiting

    def arrived(self, topic: str, queue_id: int, next_offset: int, tag_codes: set[int]) -> None:
        """Note stored messages, which may end the wait of some pulls."""
        if not self._waiting.count(topic, queue_id):
            return
        known = self._arrivals.get((topic, queue_id))
        codes = tag_codes if known is None else known[1] | tag_codes
        self._arrivals[topic, queue_id] = (next_offset, codes)

    def expire(self) -> None:
        """Mark pulls that timed out as ready, up to the maximum for one iteration of the event loop."""
        for waiter in self._waiting.expired(self._clock.monotonic_ms(), MAX_TAKEN):
            self._ready.add(waiter.owner, (waiter, True))

    def wake(self, topic: str) -> None:
        """Mark all pulls of a topic to be answered now."""
        self._woken.update(dict.fromkeys((topic, queue_id) for queue_id in self._waiting.queues_of(topic)))

    def answer_ready(self) -> None:
        """Answer ready pulls, up to the limits of one iteration of the event loop. Call it at the end of each."""
        if (self._arrivals or self._woken) and len(self._ready) < MAX_TAKEN:
            self._take_out()
        if not self._ready:
            return
        size, end = 0, time.monotonic() + TIME_SLICE_S
        for waiter, last in self._ready.take(MAX_WOKEN, MAX_WOKEN_OF_ONE):
            size += self._resume(waiter, last=last)
            if size >= MAX_WOKEN_BYTES or time.monotonic() > end:
                return

    @property
    def ready_count(self) -> int:
        """Return the number of pulls that need not wait any longer and are not answered yet."""
        return len(self._ready)

    @property
    def is_behind(self) -> bool:
        """True if pulls are left to be answered in the next iteration of the event loop."""
        return bool(self._ready or self._arrivals or self._woken)

    def _take_out(self) -> None:
        """Remove pulls that need not wait any longer from their places, first those of queues with few pulls.

        Thousands of pulls may wait on one queue, and removing each costs some microseconds. So the rest is left for the
        next iterations of the event loop.
        """
        left = min(MAX_WOKEN, MAX_TAKEN)
        places = sorted({*self._arrivals, *self._woken}, key=lambda place: self._waiting.count(*place))
        for place in places:
            if left <= 0:
                return
            checked = self._waiting.count(*place)
            last = place in self._woken
            if last:
                taken = self._waiting.take_queue(*place, left)
            else:
                taken = self._waiting.arrived(*place, *self._arrivals[place], left)
            for waiter in taken:
                self._ready.add(waiter.owner, (waiter, last))
            if len(taken) < left:
                # All pulls that are ready were removed.
                self._arrivals.pop(place, None)
                self._woken.pop(place, None)
            left -= max(len(taken), checked // _CHECKS_PER_REMOVAL)

    def topic_changed(self, topic: str) -> None:
        """Answer the waiting pulls of a topic that was deleted or became unreadable."""
        config = self._engine.topics.get(topic)
        if config is None or not config.readable:
            self.wake(topic)

    def _suspend(self, request: Request, header: PullHeader, wanted: MessageFilter | None) -> bool:
        wait = header.suspend_timeout_millis if self.long_polling else SHORT_POLL_MS
        if wait <= 0 or (wanted is not None and wanted.weight > MAX_WAITING_WEIGHT):
            return False
        if self._ready.count(request.access.owner) >= self._max_ready or len(self._ready) >= self._max_all_ready:
            # Ready pulls have no place any more, so this limits users who wake pulls faster than they are answered.
            return False
        # INVARIANT: `_outcome` does not use these fields, which a client could make long.
        header.subscription = header.expression_type = header.proxy_froward_client_id = header.bname = None
        return self._keep(
            PendingPull(
                header.topic,
                header.queue_id,
                header.queue_offset,
                wanted,
                self._clock.monotonic_ms() + min(wait, MAX_WAIT_MS),
                request.link.peer.channel,
                request.access.owner,
                (request.without_body(), header),
            )
        )

    def _keep(self, waiter: SuspendedPull) -> bool:
        """Keep a waiting pull; if there is no room, it replaces one of the user with most of them."""
        displaced = self._waiting.displace(waiter)
        if displaced is not None:
            self._ready.add(displaced.owner, (displaced, True))
        return self._waiting.suspend(waiter)

    def _resume(self, waiter: SuspendedPull, *, last: bool) -> int:
        """Answer a waiting pull, or keep it waiting; return the bytes of an answer with messages."""
        request = waiter.request[0]
        if request.link.closed:
            return 0
        try:
            reply = self._outcome(waiter, last=last)
        except RequestSuspended:
            # The decision needs plugins. The client sends the pull again, and that request can be suspended.
            reply = self._again(waiter.request[1])
        except Exception as exc:  # noqa: BLE001, the other waiting pulls must be answered too
            reply = error_reply(request.command.code, exc)
        if reply is None:
            return 0
        request.respond(reply)
        return len(reply.frame)

    def _outcome(self, waiter: SuspendedPull, *, last: bool) -> Reply | None:
        """Return the answer of a waiting pull, None if it continues to wait."""
        request, header = waiter.request
        if not request.access.still_allowed() or not self._still_consumes(header):
            # The permission was removed. The client sends the pull again, and that request is denied as usual.
            return self._again(header)
        if self._resets:
            moved = self._reset(header)
            if moved is not None:
                return moved
        fetched = self._read(request, header, waiter.wanted)
        if not last and self._waits_on(waiter, fetched) and self._keep(waiter):
            return None
        return self._reply(request, header, fetched)

    def _waits_on(self, waiter: SuspendedPull, fetched: FetchResult) -> bool:
        """Return True if a waiting pull may wait for further messages."""
        header = waiter.request[1]
        is_filtered = waiter.wanted is not None and fetched.status is FetchStatus.NO_MATCHED_MESSAGE
        if is_filtered and fetched.next_offset == fetched.max_offset:
            # No new message matches. An answer would only make the client send the pull again, for each message.
            waiter.offset = header.queue_offset = fetched.next_offset
            return True
        return _is_at_end(header, fetched)

    def _still_consumes(self, header: PullHeader) -> bool:
        config = self._engine.groups.get(header.consumer_group)
        return config is not None and config.consume_enable and not is_forbidden(config, header.topic)

    # Filters and answers

    def _read(self, request: Request, header: PullHeader, wanted: MessageFilter | None) -> FetchResult:
        self._began = time.perf_counter()
        fetched = self._fetch(
            header.topic,
            header.queue_id,
            header.queue_offset,
            header.max_msg_nums,
            header.max_msg_bytes or 0,
            wanted,
        )
        if header.topic[:1] == "%" and fetched.records:
            fetched.records = readable(request.access, header.topic, fetched.records, Action.SUB)
            if not fetched.records:
                fetched.status = FetchStatus.NO_MATCHED_MESSAGE
        if fetched.records:
            self._engine.offsets.set_pulled(header.consumer_group, header.topic, header.queue_id, fetched.next_offset)
        else:
            self._throughput.missed += 1
        return fetched

    def _wanted(self, request: Request, header: PullHeader) -> MessageFilter | None:
        """Return the filter of a pull, None if it wants all messages."""
        if header.sys_flag & SUBSCRIPTION:
            found = self._filters.find(header.expression_type, header.subscription)
            return self._original(found, header, self._member(request, header)) if self._filters_retries else found

        member = self._member(request, header)
        if member is None:
            raise RequestRefused(
                ResponseCode.SUBSCRIPTION_NOT_EXIST,
                f"the consumer's group info not exist: no consumer of group {header.consumer_group} is connected",
            )
        if member.message_model == "BROADCASTING" and not self._broadcast_allowed(header.consumer_group):
            raise NotReadable(f"the consumer group[{header.consumer_group}] can not consume by broadcast way")
        subscription = member.subscriptions.get(header.topic)
        if subscription is None:
            if header.topic == names.retry_topic(header.consumer_group):
                return None
            raise RequestRefused(
                ResponseCode.SUBSCRIPTION_NOT_EXIST,
                f"the consumer's subscription not exist: group {header.consumer_group}, topic {header.topic}",
            )
        if subscription.version < header.sub_version:
            raise RequestRefused(
                ResponseCode.SUBSCRIPTION_NOT_LATEST,
                f"the consumer's subscription not latest: group {header.consumer_group}, topic {header.topic}",
            )
        try:
            found = subscription.filter.compiled(self._filters)
        except FilterInvalid as error:
            raise RequestRefused(
                ResponseCode.FILTER_DATA_NOT_EXIST,
                f"The broker's consumer filter data is not exist!Your expression may be wrong! {error}",
            ) from error
        return self._original(found, header, member) if self._filters_retries else found

    def _member(self, request: Request, header: PullHeader) -> Consumer | None:
        """Return the consumer that sent a pull, None if it is not connected as a member of the group."""
        group = self._clients.group(header.consumer_group)
        return group.consumer(request.link.peer.channel, request.access.user or None) if group else None

    def _original(
        self, found: MessageFilter | None, header: PullHeader, member: Consumer | None
    ) -> MessageFilter | None:
        """Return the filter of a pull; an expression for the retry topic is replaced by those of the original topics.

        As in Apache's broker, topics with tags or with an invalid expression are not filtered again.
        """
        if not isinstance(found, SqlFilter) or header.topic != names.retry_topic(header.consumer_group):
            return found
        filters: dict[str, MessageFilter] = {}
        for topic, subscription in member.subscriptions.items() if member is not None else ():
            if topic != header.topic and subscription.expression_type == SQL92:
                with contextlib.suppress(FilterInvalid):
                    original = subscription.filter.compiled(self._filters)
                    if original is not None:
                        filters[topic] = original
        return RetryFilter(filters) if filters else None

    def _again(self, header: PullHeader) -> Reply:
        """Return the answer that makes a client send its pull once more."""
        return Reply(ResponseCode.PULL_RETRY_IMMEDIATELY, self._position(header.queue_offset, 0, 0))

    def _reset(self, header: PullHeader) -> Reply | None:
        """Return the answer for a group whose offset was reset, None if it was not."""
        offset = self._resets.take(header.consumer_group, header.topic, header.queue_id)
        if offset is None:
            return None
        low = self._engine.min_offset(header.topic, header.queue_id)
        high = self._engine.max_offset(header.topic, header.queue_id)
        return Reply(ResponseCode.PULL_OFFSET_MOVED, self._position(offset, low, high), remark="OFFSET_RESET")

    def _is_reset(self, header: PullHeader) -> bool:
        """True if a group's offset was reset and is not stored yet, so its commits are ignored."""
        return bool(self._resets) and self._resets.due(header.consumer_group, header.topic, header.queue_id) is not None

    def _broadcast_allowed(self, group: str) -> bool:
        return self._engine.groups.find(group).consume_broadcast_enable

    def _reply(self, request: Request, header: PullHeader, fetched: FetchResult) -> Reply:
        if fetched.status is _FOUND:
            body = b"".join(fetched.records)
            self._statistics.delivered(
                header.topic,
                header.queue_id,
                header.consumer_group,
                request.access,
                len(fetched.records),
                len(body),
                time.perf_counter() - self._began,
            )
            frame = self._frame(
                request.command.opaque, fetched.next_offset, fetched.min_offset, fetched.max_offset, body
            )
            return Reply(frame=frame)
        status = fetched.status
        code = ResponseCode.PULL_OFFSET_MOVED if _is_beyond(header, fetched) else _CODES[status]
        position = self._position(fetched.next_offset, fetched.min_offset, fetched.max_offset)
        return Reply(code, position, b"", status.value)

    def _position(self, next_offset: int, low: int, high: int) -> dict[str, str]:
        # Java clients need all four fields in each of the codes 0, 19, 20 and 21.
        return {
            "suggestWhichBrokerId": self._suggested,
            "nextBeginOffset": str(next_offset),
            "minOffset": str(low),
            "maxOffset": str(high),
        }


def _is_beyond(header: PullHeader, fetched: FetchResult) -> bool:
    """True if the pull requests an offset above 0 of a queue that never had a message."""
    return fetched.status is FetchStatus.NO_MESSAGE_IN_QUEUE and header.queue_offset != 0


def _is_at_end(header: PullHeader, fetched: FetchResult) -> bool:
    """True if the pull is at the end of the queue and can wait for the next message."""
    return _CODES[fetched.status] is ResponseCode.PULL_NOT_FOUND and not _is_beyond(header, fetched)
