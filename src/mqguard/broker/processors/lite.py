"""Lite topics for clients: subscriptions (200071), and pop of messages (200070).

Acknowledgements and changes of the invisible time have the codes of other popped messages (`pop_acks`).

Client ids belong to users. So a request reaches only clients of its sender, whatever client id it names. The guard has
checked the permissions for group and parent. The lite topics of a group all belong to its parent, which the handlers
check again, because the guard has checked the parent that the request names.
"""

import time
from typing import NamedTuple

from mqguard.auth.policy import Action
from mqguard.auth.resource import ResourceType
from mqguard.broker.group_rules import is_forbidden, refuse_reserved
from mqguard.broker.processors.pull import MAX_TAKEN, MAX_WAIT_MS, READY_SHARE, SHORT_POLL_MS
from mqguard.broker.settings import BrokerSettings
from mqguard.broker.statistics import Statistics
from mqguard.dispatch.client_calls import ClientCalls
from mqguard.dispatch.request import DeferredReply, Handler, Request, RequestRefused, error_reply
from mqguard.engine.engine import Engine
from mqguard.engine.errors import EngineError, NoSuchGroup, NotReadable
from mqguard.engine.fair_shares import RoundRobin
from mqguard.engine.lite_pop import LitePopRequest, LitePopResult
from mqguard.engine.lite_subscriptions import MAX_CLIENT_ID_CHARS, LiteClient
from mqguard.engine.long_polls import PendingPull
from mqguard.engine.pop_polls import ALL_QUEUES, PopPolls, place_of
from mqguard.engine.pop_request import MAX_POPPED
from mqguard.guard.errors import RequestSuspended
from mqguard.model import names
from mqguard.model.peer import Channel
from mqguard.model.process import Clock
from mqguard.model.topic import LiteSettings, SubscriptionGroupConfig
from mqguard.remoting.bodies.codec import decode
from mqguard.remoting.bodies.lite import LiteSubscription, LiteSubscriptions, OffsetOption
from mqguard.remoting.codes import RequestCode, ResponseCode
from mqguard.remoting.command import Reply
from mqguard.remoting.headers.codec import read, write
from mqguard.remoting.headers.lite import LiteExclusion, PopLiteAnswer, PopLiteHeader
from mqguard.remoting.pop_handles import ORDERED_QUEUE

TIME_SLICE_S = 0.003
"""Maximum seconds per iteration of the event loop for answers to waiting pops; one is always answered."""
MAX_SOUGHT = 200
"""Maximum lite topics of a request for which an offset is set, because a search by time reads the disk."""
_ADDING = frozenset({"PARTIAL_ADD", "COMPLETE_ADD"})
_LAST, _FIRST, _END = range(3)
"""Offset policies."""


class WaitingLite(NamedTuple):
    """Parts of a waiting pop that its answer needs.

    Attributes:
        request: The request without its fields.
        popping: The pop that it repeats.
    """

    request: Request
    popping: LitePopRequest


class LiteProcessor:
    """Handlers for clients of lite topics.

    Args:
        engine: Engine, which has the lite topics.
        statistics: Statistics, which count deliveries.
        calls: Calls to clients, for notifications of clients that lost a lite topic.
        settings: See `BrokerSettings`.
        clock: Clock for the end of waiting.

    Attributes:
        long_polling: True if a pop waits as long as its client requests.
    """

    def __init__(
        self, engine: Engine, statistics: Statistics, calls: ClientCalls, settings: BrokerSettings, clock: Clock
    ) -> None:
        self._engine = engine
        self._subscriptions = engine.lite_pop.subscriptions
        self._statistics = statistics
        self._calls = calls
        self._clock = clock
        self._waiting: PopPolls[WaitingLite] = PopPolls(settings.waiting_pulls)
        self._ready: RoundRobin[tuple[PendingPull[WaitingLite], bool]] = RoundRobin()
        # Groups and places of the clients to wake, True if they need not wait any longer.
        self._woken: dict[tuple[str, str], bool] = {}
        self._max_ready = max(1, settings.waiting_pulls // READY_SHARE)
        self.long_polling = settings.long_polling
        self._subscriptions.on_ready(self._became_ready)

    def handlers(self) -> dict[int, Handler]:
        """Return the handlers by request code."""
        return {RequestCode.POP_LITE_MESSAGE: self.pop, RequestCode.LITE_SUBSCRIPTION_CTL: self.subscribe}

    # Subscriptions

    def subscribe(self, request: Request) -> Reply:
        """Change the lite topics of clients (200071), up to the first entry that is refused."""
        entries = decode(request.command.body, LiteSubscriptions).subscription_set
        sought = sum(len(one.lite_topic_set) for one in entries if _is_sought(one.offset_option))
        if sought > MAX_SOUGHT:
            raise RequestRefused(
                ResponseCode.INVALID_PARAMETER,
                f"the request sets offsets in {sought} lite topics, and one request at most in {MAX_SOUGHT}: split it",
            )
        for entry in entries:
            request.access.require_owner(request.access.user or None, f"the client id `{entry.client_id}`")
            if entry.action is None or not entry.client_id:
                raise RequestRefused(
                    ResponseCode.INVALID_PARAMETER, "an entry of `subscriptionSet` has no `action` or no `clientId`"
                )
            if entry.action in _ADDING:
                self._add(request, entry)
            else:
                self._remove(request, entry)
        return Reply(stored=True)

    def _add(self, request: Request, entry: LiteSubscription) -> None:
        group = entry.group
        settings = self._settings(self._group(group), entry.topic)
        is_part = entry.action == "PARTIAL_ADD"
        if is_part and settings.is_wildcard:
            raise RequestRefused(
                ResponseCode.ILLEGAL_OPERATION,
                f"group `{group}` gets all lite topics (`lite.sub.wildcard`): its clients subscribe with COMPLETE_ADD",
            )
        owner = request.access.owner
        lites = dict.fromkeys(() if settings.is_wildcard else entry.lite_topic_set)
        self._subscriptions.check(owner, entry.client_id, group, settings, lites, is_part=is_part)
        client = self._subscriptions.open(
            owner,
            entry.client_id,
            group,
            entry.topic,
            request.link.peer.channel,
            self._clock.monotonic_ms(),
            self._clock.now_ms(),
        )
        if settings.is_wildcard:
            self._subscriptions.add_all(client)
            return
        self._subscriptions.remove_all(client)
        queues = [names.lite_queue(entry.topic, lite) for lite in lites]
        if not is_part:
            kept = frozenset(queues)
            self._subscriptions.remove(client, [name for name in client.names if name not in kept])
        if settings.is_exclusive:
            queues = self._exclude(client, queues, settings, is_part=is_part, creator=request.access.creator)
        if is_part and _is_sought(entry.offset_option):
            for name in queues:
                self._seek(group, name, entry.offset_option, request.access.creator)
        self._subscriptions.add(client, queues)

    def _exclude(
        self, client: LiteClient, queues: list[str], settings: LiteSettings, *, is_part: bool, creator: str | None
    ) -> list[str]:
        """Return the lite queues that a client of an exclusive group gets, and notify the clients that get none.

        A client takes over the lite topics to which it newly subscribes. When it repeats its whole set, lite topics
        that another client has taken over are left out: it may not have received the notification.
        """
        kept = []
        for name in queues:
            others = self._subscriptions.others(client, name)
            if others and not is_part:
                self._notify(client, name)
                continue
            kept.append(name)
            for other in others:
                self._subscriptions.remove(other, [name])
                self._notify(other, name)
            if others and settings.resets_if_excluded:
                self._engine.lite_pop.seek(client.group, name, 0, creator)
        return kept

    def _notify(self, client: LiteClient, name: str) -> None:
        parts = names.lite_parts(name)
        if client.channel is not None and parts is not None:
            told = LiteExclusion(lite_topic=parts[1], consumer_group=client.group, client_id=client.key[1])
            self._calls.notify(client.channel, RequestCode.NOTIFY_UNSUBSCRIBE_LITE, write(told))

    def _remove(self, request: Request, entry: LiteSubscription) -> None:
        client = self._subscriptions.find(request.access.owner, entry.client_id, entry.group)
        if client is None or client.parent != entry.topic:
            return
        if entry.action == "COMPLETE_REMOVE":
            self._subscriptions.close(client)
            return
        queues = [names.lite_queue(entry.topic, lite) for lite in entry.lite_topic_set]
        removed = [name for name in dict.fromkeys(queues) if name in client.names]
        self._subscriptions.remove(client, removed)
        group = self._engine.groups.get(entry.group)
        settings = None if group is None else LiteSettings.of(group.attributes)
        if settings is not None and settings.resets_if_unsubscribed:
            for name in removed:
                self._engine.lite_pop.seek(entry.group, name, 0, request.access.creator)

    def _seek(self, group: str, name: str, option: OffsetOption | None, creator: str | None) -> None:
        if option is None:
            return
        engine, value = self._engine.lite_pop, max(0, option.value)
        if option.type == "OFFSET":
            engine.seek(group, name, value, creator)
        elif option.type == "TAIL_N":
            engine.seek_tail(group, name, value, creator)
        elif option.type == "TIMESTAMP":
            engine.seek_time(group, name, value, creator)
        elif value == _FIRST:
            engine.seek(group, name, 0, creator)
        elif value == _END:
            topic = self._engine.lite.get(name)
            engine.seek(group, name, 0 if topic is None else topic.queue.max_offset, creator)

    # Pop

    def pop(self, request: Request) -> Reply | None:
        """Answer with messages of a client's lite topics, or suspend the request until there are some (200070)."""
        header = read(request.command.ext, PopLiteHeader)
        if not 1 <= header.max_msg_num <= MAX_POPPED:
            raise RequestRefused(
                ResponseCode.INVALID_PARAMETER, f"maxMsgNum is {header.max_msg_num}; it must be 1 to {MAX_POPPED}"
            )
        if len(header.client_id) > MAX_CLIENT_ID_CHARS:
            raise RequestRefused(
                ResponseCode.INVALID_PARAMETER, f"clientId is longer than {MAX_CLIENT_ID_CHARS} characters"
            )
        settings = self._settings(self._group(header.consumer_group), header.topic)
        if not request.access.allows(ResourceType.TOPIC, settings.parent, Action.SUB):
            request.access.require(ResourceType.TOPIC, settings.parent, Action.SUB)
        popping = LitePopRequest(
            group=header.consumer_group,
            parent=settings.parent,
            client_id=header.client_id,
            invisible_ms=header.invisible_time,
            max_messages=header.max_msg_num,
            attempt_id=header.attempt_id or "",
            owner=request.access.owner,
            creator=request.access.creator,
        )
        began = time.perf_counter()
        result = self._engine.lite_pop.pop(popping)
        if result.messages:
            return self._delivered(request, popping, result, began)
        self._statistics.throughput.missed += 1
        full = self._suspend(request, popping, header.poll_time)
        if full is None:
            if result.is_cut:
                self._woken.setdefault(_place(popping), False)
            return None
        return _none(popping, result, ResponseCode.POLLING_FULL if full else ResponseCode.POLLING_TIMEOUT)

    # Waiting

    def topic_changed(self, topic: str) -> None:
        """Answer the waiting pops of a parent that was deleted or became unreadable."""
        config = self._engine.topics.get(topic)
        if config is None or not config.readable or not config.is_lite:
            for group in self._subscriptions.groups_of(topic):
                self._end(group)

    def group_changed(self, group: str) -> None:
        """Answer the waiting pops of a group that was changed; their clients send them again."""
        self._end(group)

    def leave(self, channel: Channel) -> None:
        """Drop the waiting pops of a closed connection. Its clients keep their subscriptions until they expire."""
        self._waiting.leave(channel)

    def expire(self) -> None:
        """Mark pops that timed out as ready, up to the maximum for one iteration of the event loop."""
        for waiter in self._waiting.expired(self._clock.monotonic_ms(), MAX_TAKEN):
            self._ready.add(waiter.owner, (waiter, True))

    @property
    def is_behind(self) -> bool:
        """True if waiting pops are left to be answered in the next iteration of the event loop."""
        return bool(self._ready or self._woken)

    def answer_ready(self) -> None:
        """Answer ready pops, up to the limits of one iteration of the event loop. Call it at the end of each.

        Answers with messages leave with the commit that must follow.
        """
        if not self.is_behind:
            return
        if len(self._ready) < MAX_TAKEN:
            for place in list(self._woken)[:MAX_TAKEN]:
                last = self._woken.pop(place)
                for waiter in self._waiting.take(*place, None, None, MAX_TAKEN if last else 1):
                    self._ready.add(waiter.owner, (waiter, last))
        end = time.monotonic() + TIME_SLICE_S
        for waiter, last in self._ready.take(MAX_TAKEN, MAX_TAKEN):
            self._resume(waiter, last=last)
            if time.monotonic() > end:
                return

    def _became_ready(self, group: str, name: str) -> None:
        """Wake a waiting client of a group that has subscribed to a lite queue."""
        found = None
        for client in self._subscriptions.consumers(group, name):
            place = group, _client_place(*client.key)
            if self._waiting.waits(*place):
                found = place
                if place not in self._woken:
                    break
        if found is not None:
            self._woken.setdefault(found, False)

    def _end(self, group: str) -> None:
        if self._waiting:
            for place in self._waiting.topics_of(group):
                self._woken[group, place] = True

    def _suspend(self, request: Request, popping: LitePopRequest, poll_ms: int) -> bool | None:
        """Suspend a pop; return None if it waits, else whether there is no room for it."""
        if poll_ms <= 0:
            return False
        owner = request.access.owner
        if self._ready.count(owner) >= self._max_ready:
            return True
        wait = min(poll_ms, MAX_WAIT_MS) if self.long_polling else SHORT_POLL_MS
        waiter = PendingPull(
            place_of(*_place(popping)),
            ALL_QUEUES,
            -1,
            None,
            self._clock.monotonic_ms() + wait,
            request.link.peer.channel,
            owner,
            WaitingLite(request.without_body(), popping),
        )
        return None if self._keep(waiter) else True

    def _keep(self, waiter: PendingPull[WaitingLite]) -> bool:
        """Keep a waiting pop; if there is no room, it replaces one of the user with most of them."""
        displaced = self._waiting.displace(waiter)
        if displaced is not None:
            self._ready.add(displaced.owner, (displaced, True))
        return self._waiting.suspend(waiter)

    def _resume(self, waiter: PendingPull[WaitingLite], *, last: bool) -> None:
        """Answer a waiting pop, or keep it waiting."""
        request, popping = waiter.request
        if request.link.closed:
            self._subscriptions.wake(popping.group, MAX_TAKEN)
            return
        try:
            reply = self._outcome(waiter, last=last)
        except RequestSuspended:
            # The decision needs plugins. The client sends its request again, and that request can be suspended.
            reply = _none(popping, LitePopResult(0), ResponseCode.POLLING_TIMEOUT)
        except Exception as exc:  # noqa: BLE001, the other waiting requests must be answered too
            reply = error_reply(request.command.code, exc)
        if reply is None:
            return
        if reply.stored:
            if not request.command.is_oneway:
                frame = request.encode(reply)
                self._engine.group_commit.defer(DeferredReply(request.link, frame, request.command.opaque))
        else:
            request.respond(reply)

    def _outcome(self, waiter: PendingPull[WaitingLite], *, last: bool) -> Reply | None:
        """Return the answer of a waiting pop, None if it continues to wait."""
        request, popping = waiter.request
        if not request.access.still_allowed() or not self._may_consume(popping):
            # The permission was removed. The client sends its request again, and that request is denied as usual.
            self._subscriptions.wake(popping.group)
            return _none(popping, LitePopResult(0), ResponseCode.POLLING_TIMEOUT)
        began = time.perf_counter()
        result = self._engine.lite_pop.pop(popping)
        if result.messages:
            return self._delivered(request, popping, result, began)
        if not last and self._keep(waiter):
            if result.is_cut:
                self._woken.setdefault(_place(popping), False)
            return None
        return _none(popping, result, ResponseCode.POLLING_TIMEOUT)

    def _delivered(self, request: Request, popping: LitePopRequest, result: LitePopResult, began: float) -> Reply:
        spent, found = time.perf_counter() - began, result.messages
        size = sum(len(message.record) for message in found)
        self._statistics.delivered(popping.parent, 0, popping.group, request.access, len(found), size, spent)
        self._statistics.checkpointed(popping.parent, popping.group, request.access.owner, 1)
        # Lite topics that are left may be those of clients that wait.
        self._subscriptions.wake(popping.group)
        answer = PopLiteAnswer(
            pop_time=result.pop_time,
            invisible_time=popping.invisible_ms,
            revive_qid=ORDERED_QUEUE,
            order_count_info=";".join(str(message.attempts) for message in found),
        )
        return Reply(0, write(answer), b"".join(message.record for message in found), "FOUND", stored=True)

    # Checks

    def _group(self, name: str) -> SubscriptionGroupConfig:
        refuse_reserved(name)
        group = self._engine.groups.get(name)
        if group is None:
            raise NoSuchGroup(f"subscription group [{name}] not exist")
        if not group.consume_enable:
            raise NotReadable(f"subscription group no permission, {name}")
        return group

    def _settings(self, group: SubscriptionGroupConfig, parent: str) -> LiteSettings:
        """Return the lite settings of a group that consumes the lite topics of a parent.

        Raises:
            NoSuchTopic: The parent does not exist.
            NotReadable: The parent or the broker has no read permission, or the group may not read the parent.
            RequestRefused: The topic has no lite topics, or the group has another parent.
        """
        if not self._engine.topics.readable(parent).is_lite:
            raise RequestRefused(ResponseCode.INVALID_PARAMETER, f"the topic [{parent}] message type not match")
        settings = LiteSettings.of(group.attributes)
        if settings is None or settings.parent != parent:
            raise RequestRefused(
                ResponseCode.INVALID_PARAMETER, f"subscription bind topic not match, {group.name} (`lite.bind.topic`)"
            )
        if is_forbidden(group, parent):
            raise NotReadable(f"the consumer group[{group.name}] is forbidden for topic[{parent}]")
        return settings

    def _may_consume(self, popping: LitePopRequest) -> bool:
        try:
            self._settings(self._group(popping.group), popping.parent)
        except (RequestRefused, EngineError):
            return False
        return True


def _client_place(owner: str, client_id: str) -> str:
    """Return the place in which a client waits; a name of a user cannot have a line end."""
    return f"{owner}\n{client_id}"


def _place(popping: LitePopRequest) -> tuple[str, str]:
    return popping.group, _client_place(popping.owner, popping.client_id)


def _is_sought(option: OffsetOption | None) -> bool:
    return option is not None and not (option.type == "POLICY" and option.value == _LAST)


def _none(popping: LitePopRequest, result: LitePopResult, code: ResponseCode) -> Reply:
    """Return the answer without messages. Java clients need its fields too."""
    answer = PopLiteAnswer(pop_time=result.pop_time, invisible_time=popping.invisible_ms, revive_qid=ORDERED_QUEUE)
    return Reply(code, write(answer), remark="NO_MESSAGE_IN_QUEUE")
