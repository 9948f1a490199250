"""Messages whose invisible time the server extends, while their consumer lives and works (Apache: `ReceiptHandle…`).

Push consumers do not say how long they work on a message. The server gives them a short time, and extends it before it
ends. A message of a consumer that has died is thus delivered again soon.
"""

from collections import Counter
from typing import Final

import msgspec

from mqguard.guard.admitted_request import AdmittedRequest
from mqguard.guard.errors import Refused
from mqguard.guard.plugin_calls import PluginCallsPending
from mqguard.model.peer import Peer
from mqguard.model.process import Clock
from mqguard.net.errors import LinkError
from mqguard.proxy.grpc.clients import GrpcClient, GrpcClients
from mqguard.proxy.grpc.ports import Backend
from mqguard.proxy.grpc.receipts import Receipt
from mqguard.proxy.grpc.rpc_call import RpcCall
from mqguard.proxy.grpc.settings import ProxySettings
from mqguard.remoting.codes import RequestCode, ResponseCode
from mqguard.remoting.command import Command
from mqguard.remoting.headers.codec import write
from mqguard.remoting.headers.pull import ChangeInvisibleHeader

AHEAD_MS: Final = 10_000
"""Maximum time before the end of the invisible time at which it is extended; of a short one half of it."""
MAX_RENEWED_MS: Final = 3 * 3600 * 1000
"""Time after which a message is not extended any more."""
MAX_PER_TICK: Final = 256
"""Maximum messages that are extended in one tick."""
MAX_OF_CLIENT: Final = 4_096
"""Maximum messages of one client that are extended; the others are delivered again when their time is over."""


_SETTLED: Final = frozenset({ResponseCode.SUCCESS, ResponseCode.NO_MESSAGE})


class _Renewed(msgspec.Struct, eq=False):
    """A message that is extended.

    Attributes:
        client: The consumer.
        group: Its group.
        topic: The topic of the message.
        first_handle: The handle that the client has.
        handle: The handle of today.
        access: The call that received it.
        peer: The connection of that call.
        begun_ms: Monotonic time of the delivery.
        due_ms: Monotonic time of the next extension.
        is_asked: True while the broker's answer to a request about the message is open.
    """

    client: GrpcClient
    group: str
    topic: str
    first_handle: str
    handle: str
    access: AdmittedRequest
    peer: Peer
    begun_ms: int
    due_ms: int
    is_asked: bool = False


class Renewals:
    """All messages that are extended, by the client and the handle that it has.

    Args:
        backend: The brokers.
        clients: The clients.
        settings: Limits.
        clock: Clock.
    """

    def __init__(self, backend: Backend, clients: GrpcClients, settings: ProxySettings, clock: Clock) -> None:
        self._backend = backend
        self._clients = clients
        self._settings = settings
        self._clock = clock
        time_ms = settings.default_invisible_ms
        self._pause_ms = time_ms - min(AHEAD_MS, time_ms // 2)
        # In the order of the next extension: all of them are extended by the same time.
        self._renewed: dict[tuple[GrpcClient, str, str], _Renewed] = {}
        self._count: dict[GrpcClient, int] = {}
        self._count_of: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._renewed)

    def add(self, call: RpcCall, group: str, topic: str, handle: str) -> None:
        """Extend a message that is delivered now, if its client has sent its settings."""
        client = self._clients.find(call.access.owner, call.client_id)
        if (
            client is None
            or self._count.get(client, 0) >= MAX_OF_CLIENT
            or self._count_of[client.owner] >= self._settings.max_renewals_of_one
            or len(self._renewed) >= self._settings.max_renewals
        ):
            return
        known = self._renewed.get((client, group, handle))
        if known is not None:
            # A repeated attempt: the message gets its place at the end, which is the order of the times.
            self._drop(known)
        now = self._clock.monotonic_ms()
        call.access.hold()
        due = now + self._pause_ms
        self._renewed[client, group, handle] = _Renewed(
            client, group, topic, handle, handle, call.access, call.peer, now, due
        )
        self._count[client] = self._count.get(client, 0) + 1
        self._count_of[client.owner] += 1

    def begin(self, call: RpcCall, group: str, handle: str) -> str:
        """Begin a request of a client about a message, which is not extended meanwhile.

        Returns:
            The handle of today for the one that the client has.
        """
        found = self._find(call, group, handle)
        if found is None:
            return handle
        found.is_asked = True
        return found.handle

    def end(self, call: RpcCall, group: str, handle: str, answer: Command | Exception) -> None:
        """End a request of a client. A settled message is not extended any more; after other errors it still is."""
        found = self._find(call, group, handle)
        if found is None:
            return
        if isinstance(answer, Command) and answer.code in _SETTLED:
            self._drop(found)
        else:
            found.is_asked = False

    def _find(self, call: RpcCall, group: str, handle: str) -> _Renewed | None:
        client = self._clients.find(call.access.owner, call.client_id)
        return None if client is None else self._renewed.get((client, group, handle))

    def tick(self) -> None:
        """Extend the messages whose time ends soon."""
        now = self._clock.monotonic_ms()
        due: list[_Renewed] = []
        for renewed in self._renewed.values():
            if renewed.due_ms > now or len(due) >= MAX_PER_TICK:
                break
            due.append(renewed)
        for renewed in due:
            del self._renewed[renewed.client, renewed.group, renewed.first_handle]
            if (
                renewed.client.closed
                or now - renewed.begun_ms > MAX_RENEWED_MS
                or not renewed.access.still_allowed()
                or renewed.is_asked
            ):
                self._uncount(renewed.client)
                continue
            renewed.due_ms = now + self._pause_ms
            self._renewed[renewed.client, renewed.group, renewed.first_handle] = renewed
            self._extend(renewed)

    def _extend(self, renewed: _Renewed) -> None:
        receipt = Receipt.parse(renewed.handle)
        command = change_command(renewed.group, renewed.topic, receipt, self._settings.default_invisible_ms)
        renewed.is_asked = True

        def extended(answer: Command | Exception) -> None:
            renewed.is_asked = False
            if isinstance(answer, LinkError):
                return  # the broker may be there again at the next extension
            if isinstance(answer, Command) and answer.code == 0:
                renewed.handle = changed_receipt(receipt, answer).text
            elif self._renewed.get((renewed.client, renewed.group, renewed.first_handle)) is renewed:
                self._drop(renewed)

        try:
            self._backend.request(receipt.broker, command, renewed.peer, renewed.access, extended)
        except (PluginCallsPending, Refused):
            # The client may still settle the message, or gets it again.
            self._drop(renewed)

    def _drop(self, renewed: _Renewed) -> None:
        del self._renewed[renewed.client, renewed.group, renewed.first_handle]
        self._uncount(renewed.client)

    def _uncount(self, client: GrpcClient) -> None:
        self._count_of[client.owner] -= 1
        if not self._count_of[client.owner]:
            del self._count_of[client.owner]
        left = self._count[client] - 1
        if left:
            self._count[client] = left
        else:
            del self._count[client]


def change_command(group: str, topic: str, receipt: Receipt, invisible_ms: int) -> Command:
    """Return the request that changes the invisible time of a message."""
    header = ChangeInvisibleHeader(
        consumer_group=group,
        topic=receipt.topic(group, topic),
        queue_id=receipt.queue_id,
        extra_info=receipt.text,
        offset=receipt.offset,
        invisible_time=invisible_ms,
        lite_topic=receipt.lite or None,
    )
    return Command(RequestCode.CHANGE_MESSAGE_INVISIBLETIME, ext=write(header))


def changed_receipt(receipt: Receipt, answer: Command) -> Receipt:
    """Return the handle of a message whose invisible time was changed."""
    ext = answer.ext
    return receipt._replace(
        first=receipt.offset,
        pop_time=int(ext["popTime"]),
        invisible_ms=int(ext["invisibleTime"]),
        revive=int(ext["reviveQid"]),
    )
