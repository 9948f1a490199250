"""Pop (200050), peek (200052), and requests that wait for messages to pop (200054, 200055)."""

import time
from typing import NamedTuple

import msgspec

from mqguard.auth.policy import Action
from mqguard.broker.group_rules import is_forbidden, refuse_reserved
from mqguard.broker.processors.pop_answers import PopAnswers
from mqguard.broker.processors.pull import MAX_TAKEN, MAX_WAIT_MS, MAX_WAITING_WEIGHT, READY_SHARE, SHORT_POLL_MS
from mqguard.broker.settings import BrokerSettings
from mqguard.broker.statistics import Statistics
from mqguard.dispatch.request import DeferredReply, Handler, Request, RequestRefused, error_reply
from mqguard.engine.engine import Engine
from mqguard.engine.errors import NoSuchGroup, NotReadable
from mqguard.engine.fair_shares import RoundRobin
from mqguard.engine.long_polls import PendingPull
from mqguard.engine.pop_polls import ALL_QUEUES, PopPolls, place_of
from mqguard.engine.pop_request import MAX_POPPED, PopRequest, PopResult
from mqguard.guard.errors import RequestSuspended
from mqguard.guard.message_authorization import readable
from mqguard.model import names
from mqguard.model.peer import Channel
from mqguard.model.process import Clock
from mqguard.remoting.codes import RequestCode, ResponseCode
from mqguard.remoting.command import Reply
from mqguard.remoting.headers.codec import read, write
from mqguard.remoting.headers.pull import (
    NotificationAnswer,
    NotificationHeader,
    PeekHeader,
    PollingInfoAnswer,
    PollingInfoHeader,
    PopHeader,
)

TIME_SLICE_S = 0.003
"""Maximum seconds per iteration of the event loop for answers to waiting pops; one is always answered."""
MAX_WOKEN_BYTES = 16 * 1024 * 1024
"""Maximum bytes of these answers in one iteration."""
_Place = tuple[str, str, int | None]
"""Group, topic and queue of messages; None if they may be in any queue."""


class Waiting(NamedTuple):
    """Parts of a waiting request that its answer needs.

    Attributes:
        request: The request without its fields.
        popping: The pop that it repeats.
        is_notification: True if it only asks for a notification, and takes no message.
    """

    request: Request
    popping: PopRequest
    is_notification: bool


WaitingPop = PendingPull[Waiting]


class PopProcessor:
    """Handlers that let groups pop messages.

    Args:
        engine: Engine, which has the messages.
        waiting: Waiting pops.
        notifications: Requests that wait for a notification.
        statistics: Statistics, which count deliveries and acknowledgements.
        settings: See `BrokerSettings`.
        clock: Clock for the end of waiting.

    Attributes:
        long_polling: True if a pop waits as long as its client requests.
    """

    def __init__(
        self,
        engine: Engine,
        waiting: PopPolls[Waiting],
        notifications: PopPolls[Waiting],
        statistics: Statistics,
        settings: BrokerSettings,
        clock: Clock,
    ) -> None:
        self._engine = engine
        self._waiting = waiting
        self._notifications = notifications
        self._statistics = statistics
        self._clock = clock
        self._answers = PopAnswers(settings.name)
        self._ready: RoundRobin[tuple[WaitingPop, bool]] = RoundRobin()
        self._arrivals: dict[_Place, set[int] | None] = {}
        self._ended: dict[tuple[str, str], None] = {}
        self._max_ready = max(1, settings.waiting_pulls // READY_SHARE)
        self.long_polling = settings.long_polling
        engine.on_arrival(self._arrived)
        engine.pop.on_visible(self.wake)

    def handlers(self) -> dict[int, Handler]:
        """Return the handlers by request code."""
        return {
            RequestCode.POP_MESSAGE: self.pop,
            RequestCode.PEEK_MESSAGE: self.peek,
            RequestCode.NOTIFICATION: self.notify,
            RequestCode.POLLING_INFO: self.polling_info,
            RequestCode.POP_ROLLBACK: self.roll_back,
        }

    def pop(self, request: Request) -> Reply | None:
        """Answer with messages, or suspend the request until there are some."""
        header = read(request.command.ext, PopHeader)
        if not 1 <= header.max_msg_nums <= MAX_POPPED:
            # A pop of no messages would leave messages in the queue, which would wake it again in each iteration.
            raise RequestRefused(
                ResponseCode.INVALID_PARAMETER,
                f"maxMsgNums is {header.max_msg_nums}; it must be 1 to {MAX_POPPED}",
            )
        self._check_group(request, header.consumer_group, header.topic)
        popping = self._popping(request, header)
        began = time.perf_counter()
        result = self._engine.pop.pop(popping)
        if result.batches:
            return self._delivered(request, popping, result, began)
        self._statistics.throughput.missed += 1
        full = self._suspend(request, popping, header.poll_time, is_notification=False)
        if full is None:
            if result.rest or result.is_cut:
                self.wake(popping.group, popping.topic)
            return None
        return self._answers.none(popping, result, ResponseCode.POLLING_FULL if full else ResponseCode.POLLING_TIMEOUT)

    def peek(self, request: Request) -> Reply:
        """Return messages that a pop would take (200052)."""
        header = read(request.command.ext, PeekHeader)
        self._check_group(request, header.consumer_group, header.topic)
        popping = PopRequest(
            group=header.consumer_group,
            topic=header.topic,
            invisible_ms=0,
            queue_id=header.queue_id,
            max_messages=header.max_msg_nums,
            creator=request.access.creator,
            readable=_readable(request, header.topic),
        )
        return self._answers.peeked(popping, self._engine.pop.peek(popping))

    def notify(self, request: Request) -> Reply | None:
        """Answer when there are messages to pop (200054)."""
        header = read(request.command.ext, NotificationHeader)
        self._check_group(request, header.consumer_group, header.topic)
        popping = PopRequest(
            group=header.consumer_group,
            topic=header.topic,
            invisible_ms=0,
            queue_id=header.queue_id,
            wanted=self._engine.filters.find(header.exp_type, header.exp, is_pop=True),
            in_order=bool(header.order),
            attempt_id=header.attempt_id or "",
            creator=request.access.creator,
        )
        if self._engine.pop.has_messages(popping):
            return _notification(has_messages=True)
        full = self._suspend(request, popping, header.poll_time, is_notification=True)
        return None if full is None else _notification(has_messages=False, is_full=full)

    def polling_info(self, request: Request) -> Reply:
        """Return the number of pops that wait (200055)."""
        header = read(request.command.ext, PollingInfoHeader)
        self._engine.topics.readable(header.topic)
        if self._engine.groups.get(header.consumer_group) is None:
            raise NoSuchGroup(f"subscription group [{header.consumer_group}] does not exist")
        place = place_of(header.consumer_group, header.topic)
        count = self._waiting.count(place, max(ALL_QUEUES, header.queue_id))
        return Reply(ext=write(PollingInfoAnswer(polling_num=count)))

    def roll_back(self, _request: Request) -> Reply:
        """Confirm that nothing is kept in a second store of pop (200056), as Apache's broker without one does."""
        return Reply()

    # Waiting

    def wake(self, group: str, topic: str) -> None:
        """Have a waiting pop of a group, and its notifications, checked at the end of the iteration."""
        if self._waiting.waits(group, topic) or self._notifications.waits(group, topic):
            self._arrivals[group, topic, None] = None

    def topic_changed(self, topic: str) -> None:
        """Answer the waiting requests of a topic that was deleted or became unreadable."""
        config = self._engine.topics.get(topic)
        if config is None or not config.readable:
            for group in {*self._waiting.groups_of(topic), *self._notifications.groups_of(topic)}:
                self._ended[group, topic] = None

    def group_changed(self, group: str) -> None:
        """Answer the waiting requests of a group that was deleted or may not consume any more."""
        config = self._engine.groups.get(group)
        if config is None or not config.consume_enable:
            for topic in {*self._waiting.topics_of(group), *self._notifications.topics_of(group)}:
                self._ended[group, topic] = None

    def leave(self, channel: Channel) -> None:
        """Drop the waiting requests of a closed connection."""
        self._waiting.leave(channel)
        self._notifications.leave(channel)

    @property
    def waiting_count(self) -> int:
        """Return the number of waiting requests."""
        return len(self._waiting) + len(self._notifications)

    def expire(self) -> None:
        """Mark requests that timed out as ready, up to the maximum for one iteration of the event loop."""
        now = self._clock.monotonic_ms()
        for polls in (self._waiting, self._notifications):
            for waiter in polls.expired(now, MAX_TAKEN):
                self._ready.add(waiter.owner, (waiter, True))

    @property
    def is_behind(self) -> bool:
        """True if waiting requests are left to be answered in the next iteration of the event loop."""
        return bool(self._ready or self._arrivals or self._ended)

    @property
    def ready_count(self) -> int:
        """Return the number of requests that need not wait any longer and are not answered yet."""
        return len(self._ready)

    def answer_ready(self) -> None:
        """Answer ready requests, up to the limits of one iteration of the event loop. Call it at the end of each.

        Answers with messages leave with the commit that must follow.
        """
        if not self.is_behind:
            return
        if len(self._ready) < MAX_TAKEN:
            self._take_out()
        size, end = 0, time.monotonic() + TIME_SLICE_S
        for waiter, last in self._ready.take(MAX_TAKEN, MAX_TAKEN):
            size += self._resume(waiter, last=last)
            if size >= MAX_WOKEN_BYTES or time.monotonic() > end:
                return

    def _arrived(self, topic: str, queue_id: int, _next_offset: int, tag_codes: set[int]) -> None:
        parts = names.pop_retry_parts(topic)
        if parts is not None:
            self.wake(*parts)
            return
        for polls in (self._waiting, self._notifications):
            for group in polls.groups_of(topic):
                place = group, topic, queue_id
                known = self._arrivals.get(place, tag_codes)
                self._arrivals[place] = None if known is None else known | tag_codes

    def _take_out(self) -> None:
        """Remove requests that need not wait any longer from their places, up to the maximum of one iteration."""
        left = MAX_TAKEN
        for group, topic in list(self._ended):
            taken = [
                *self._waiting.take(group, topic, None, None, left),
                *self._notifications.take(group, topic, None, None, left),
            ]
            for waiter in taken:
                self._ready.add(waiter.owner, (waiter, True))
            left -= len(taken)
            if left <= 0:
                return
            del self._ended[group, topic]
        for place in list(self._arrivals):
            if left <= 0:
                return
            codes = self._arrivals.pop(place)
            # One message wakes one pop of a group. If messages are left then, that pop wakes the next one.
            taken = self._waiting.take(*place, codes)
            taken += self._notifications.take(*place, codes, left)
            for waiter in taken:
                self._ready.add(waiter.owner, (waiter, False))
            left -= 1 + len(taken)

    def _suspend(self, request: Request, popping: PopRequest, poll_ms: int, *, is_notification: bool) -> bool | None:
        """Suspend a request; return None if it waits, else whether there is no room for it."""
        if poll_ms <= 0:
            return False
        wanted, owner = popping.wanted, request.access.owner
        if (wanted is not None and wanted.weight > MAX_WAITING_WEIGHT) or self._ready.count(owner) >= self._max_ready:
            return True
        wait = min(poll_ms, MAX_WAIT_MS) if self.long_polling else SHORT_POLL_MS
        waiter = PendingPull(
            place_of(popping.group, popping.topic),
            max(ALL_QUEUES, popping.queue_id),
            -1,
            wanted,
            self._clock.monotonic_ms() + wait,
            request.link.peer.channel,
            owner,
            Waiting(request.without_body(), popping, is_notification),
        )
        return None if self._keep(waiter) else True

    def _keep(self, waiter: WaitingPop) -> bool:
        """Keep a waiting request; if there is no room, it replaces one of the user with most of them."""
        polls = self._notifications if waiter.request.is_notification else self._waiting
        displaced = polls.displace(waiter)
        if displaced is not None:
            self._ready.add(displaced.owner, (displaced, True))
        return polls.suspend(waiter)

    def _resume(self, waiter: WaitingPop, *, last: bool) -> int:
        """Answer a waiting request, or keep it waiting; return the bytes of an answer with messages."""
        request, popping, _ = waiter.request
        if request.link.closed:
            self.wake(popping.group, popping.topic)
            return 0
        try:
            reply = self._outcome(waiter, last=last)
        except RequestSuspended:
            # The decision needs plugins. The client sends its request again, and that request can be suspended.
            reply = self._again(waiter.request)
        except Exception as exc:  # noqa: BLE001, the other waiting requests must be answered too
            reply = error_reply(request.command.code, exc)
        if reply is None:
            return 0
        if reply.stored:
            if not request.command.is_oneway:
                frame = request.encode(reply)
                self._engine.group_commit.defer(DeferredReply(request.link, frame, request.command.opaque))
        else:
            request.respond(reply)
        return len(reply.body)

    def _outcome(self, waiter: WaitingPop, *, last: bool) -> Reply | None:
        """Return the answer of a waiting request, None if it continues to wait."""
        request, popping, is_notification = waiter.request
        config = self._engine.groups.get(popping.group)
        if (
            not request.access.still_allowed()
            or config is None
            or not config.consume_enable
            or is_forbidden(config, popping.topic)
        ):
            # The permission was removed. The client sends its request again, and that request is denied as usual.
            self.wake(popping.group, popping.topic)
            return self._again(waiter.request)
        if is_notification:
            found = self._engine.pop.has_messages(popping)
            return None if not found and not last and self._keep(waiter) else _notification(has_messages=found)
        began = time.perf_counter()
        result = self._engine.pop.pop(popping)
        if result.batches:
            return self._delivered(request, popping, result, began)
        if not last and self._keep(waiter):
            if result.rest or result.is_cut:
                self.wake(popping.group, popping.topic)
            return None
        return self._answers.none(popping, result, ResponseCode.POLLING_TIMEOUT)

    def _again(self, waiting: Waiting) -> Reply:
        """Return the answer that makes a client send its request once more."""
        if waiting.is_notification:
            return _notification(has_messages=False)
        return self._answers.none(waiting.popping, PopResult(0), ResponseCode.POLLING_TIMEOUT)

    def _delivered(self, request: Request, popping: PopRequest, result: PopResult, began: float) -> Reply:
        spent, owner = time.perf_counter() - began, request.access.owner
        for batch in result.batches:
            size = sum(len(message.record) for message in batch.messages)
            self._statistics.delivered(
                batch.topic, batch.queue_id, popping.group, request.access, len(batch.messages), size, spent
            )
            self._statistics.checkpointed(batch.topic, popping.group, owner, 1)
        if result.rest:
            self.wake(popping.group, popping.topic)
        return self._answers.found(popping, result)

    # Requests

    def _check_group(self, request: Request, group: str, topic: str) -> None:
        refuse_reserved(group)
        config = self._engine.groups.find(group, request.access.creator)
        if not config.consume_enable:
            raise NotReadable(f"subscription group no permission, {group}")
        if is_forbidden(config, topic):
            raise NotReadable(f"the consumer group[{group}] is forbidden for topic[{topic}]")

    def _popping(self, request: Request, header: PopHeader) -> PopRequest:
        return PopRequest(
            group=header.consumer_group,
            topic=header.topic,
            invisible_ms=header.invisible_time,
            queue_id=header.queue_id,
            max_messages=header.max_msg_nums,
            wanted=self._engine.filters.find(header.exp_type, header.exp, is_pop=True),
            from_end=header.init_mode == 1,
            in_order=bool(header.order),
            attempt_id=header.attempt_id or "",
            owner=request.access.owner,
            creator=request.access.creator,
            readable=_readable(request, header.topic),
        )


class _Reader(msgspec.Struct):
    """Function that leaves out messages which the sender of a request may not read."""

    request: Request
    topic: str

    def __call__(self, records: list[bytes]) -> list[bytes]:
        return readable(self.request.access, self.topic, records, Action.SUB)


def _readable(request: Request, topic: str) -> _Reader | None:
    # Only retry and dead-letter topics have messages of other topics.
    return _Reader(request.without_body(), topic) if topic[:1] == "%" else None


def _notification(*, has_messages: bool, is_full: bool = False) -> Reply:
    return Reply(ext=write(NotificationAnswer(has_msg=has_messages, polling_full=is_full)))
