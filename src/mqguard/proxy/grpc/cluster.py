"""The brokers of a cluster, as the port to brokers: requests of the remoting protocol, signed by the guard.

The brokers know the guard only, not its users. So the guard decides about everything that a request reaches before it
sends the request, or before it passes the answer on.

Rule 1: all memory is bounded, with fair shares for users: open requests, their bytes, look-ups.
Rule 2: every request has an outcome. A client gets no addresses of brokers in it.
Rule 3: an answer that has waited is passed on only if the sender would still be admitted.
"""

import hashlib
import logging
from collections.abc import Callable
from typing import Final, TypeVar

import msgspec

from mqguard.auth.policy import Action
from mqguard.engine.fair_shares import FairQuota
from mqguard.errors import MqguardError
from mqguard.guard.admitted_request import AdmittedRequest
from mqguard.guard.errors import Refused
from mqguard.guard.message_authorization import readable
from mqguard.model import names, record
from mqguard.model.peer import Peer
from mqguard.model.topic import SubscriptionGroupConfig, TopicConfig
from mqguard.net.errors import LinkBusy, LinkError, LinkTimeout
from mqguard.net.upstream import Outcome
from mqguard.proxy.cluster.connections import Connections, NameServers, refusal
from mqguard.proxy.cluster.directory import Directory
from mqguard.proxy.cluster.errors import ClusterUnavailable
from mqguard.proxy.cluster.lookups import Lookups, OnFound
from mqguard.proxy.cluster.routes import fetch_route
from mqguard.proxy.cluster.stored_messages import check_message
from mqguard.proxy.grpc.clients import GrpcClient
from mqguard.proxy.grpc.ports import OnAnswer, OnGroup, OnRoute, Route
from mqguard.proxy.grpc.receipts import Receipt, received
from mqguard.proxy.grpc.registrations import ProducerRegistrations
from mqguard.proxy.grpc.renewal import change_command
from mqguard.remoting.bodies.clients import HeartbeatData
from mqguard.remoting.bodies.codec import decode, decode_leniently
from mqguard.remoting.bodies.groups import GroupConfigBody
from mqguard.remoting.bodies.topics import TopicConfigBody, TopicRouteData
from mqguard.remoting.codes import FLAG_RESPONSE, SERVER_VERSION, LanguageCode, RequestCode, ResponseCode
from mqguard.remoting.command import Command, Reply
from mqguard.remoting.link import Link

_LOG = logging.getLogger(__name__)

T = TypeVar("T")

ANSWER_S: Final = 3.0
"""Seconds to wait for a broker, in addition to the time that a request lets it wait for messages."""
MAX_CALLS: Final = 32_768
"""Maximum open requests; one user may have all of them as long as no other needs a share."""
MAX_BYTES: Final = 64 * 1024 * 1024
"""Maximum bytes of the bodies of open requests."""
MAX_TRIES: Final = 3
"""Maximum brokers that are asked for the settings of a topic or a group."""
GIVE_BACK_MS: Final = 10
"""Invisible time of a message whose client does not wait any more."""
_NO_TRANSACTION: Final = "Find prepared transaction message failed"
_WAITS: Final[dict[int, str]] = {
    RequestCode.POP_MESSAGE: "pollTime",
    RequestCode.POP_LITE_MESSAGE: "pollTime",
    RequestCode.PULL_MESSAGE: "suspendTimeoutMillis",
}
"""Fields with the milliseconds that a broker may wait for messages, by code."""


class ClusterBackend:
    """The port to the brokers of a cluster (`ports.Backend`).

    Args:
        directory: The brokers.
        name_servers: The name servers, for routes.
        end_iteration: Requests the end of an iteration without input, which sends answers to clients.
        is_valid: Returns True if the users and policies of this moment are those that count.
    """

    def __init__(
        self,
        directory: Directory,
        name_servers: NameServers,
        end_iteration: Callable[[], None],
        is_valid: Callable[[], bool],
    ) -> None:
        self.is_valid = is_valid
        self._directory = directory
        self._name_servers = name_servers
        self._end_iteration = end_iteration
        self._connections: Connections = name_servers.connections
        loop = self._connections.loop
        self._routes: Lookups[Route] = Lookups(self._fetch_route, loop)
        self._groups: Lookups[SubscriptionGroupConfig] = Lookups(self._fetch_group, loop)
        self._producers = ProducerRegistrations(directory, self._connections)
        self._calls = FairQuota(MAX_CALLS)
        self._bytes = FairQuota(MAX_BYTES)
        self._lite_clients: dict[str, GrpcClient] = {}

    def start(self) -> None:
        """Begin to register clients with the brokers."""
        self._producers.start()

    def close(self) -> None:
        """Stop registering clients."""
        self._producers.close()

    @property
    def open_calls(self) -> int:
        """Return the number of open requests."""
        return len(self._calls)

    def serve(self, address: str, command: Command) -> Reply | None:
        """Serve a request of a broker to the guard (`connections.OnRequest`).

        Args:
            address: Address of the broker.
            command: The request.
        """
        broker = self._directory.find_address(address)
        try:
            if broker is not None and command.code == RequestCode.CHECK_TRANSACTION_STATE:
                self._producers.check(broker.name, command)
            elif broker is not None and command.code == RequestCode.NOTIFY_UNSUBSCRIBE_LITE:
                client = self._lite_clients.get(command.ext.get("clientId", ""))
                if client is not None:
                    client.send_command(command)
            else:
                remark = f" request type {command.code} not supported"
                return Reply(ResponseCode.REQUEST_CODE_NOT_SUPPORTED, remark=remark)
        except Exception:  # noqa: BLE001 - a broker's request must not end its connection
            _LOG.exception("a request of a broker with the code %d cannot be passed on to a client", command.code)
            return Reply(ResponseCode.SYSTEM_ERROR, remark="the request is malformed")
        finally:
            self._end_iteration()
        return Reply()

    # Look-ups

    def has_broker(self, name: str) -> bool:
        """See `Backend`. Until a name server has answered, any name may be that of a broker."""
        return self._directory.get(name) is not None or self._directory.age_s is None

    def route(self, topic: str, access: AdmittedRequest, on_route: OnRoute) -> None:
        """See `Backend`."""
        self._routes.get(topic, access.owner, self._ended(on_route))

    def group(self, name: str, access: AdmittedRequest, on_group: OnGroup) -> None:
        """See `Backend`."""
        self._groups.get(name, access.owner, self._ended(on_group))

    def _ended(self, receiver: Callable[[T | Exception | None], None]) -> Callable[[T | Exception | None], None]:
        """Return a receiver that has the answers of clients sent, since it may be called without input of clients."""

        def run(value: T | Exception | None) -> None:
            try:
                receiver(value)
            except Exception:  # noqa: BLE001 - the other receivers must follow
                _LOG.exception("a look-up in the cluster was not taken over: internal error")
            self._end_iteration()

        return run

    def _fetch_route(self, topic: str, on_found: OnFound[Route]) -> None:
        def routed(found: TopicRouteData | LinkError | None) -> None:
            if not isinstance(found, TopicRouteData):
                on_found(found)
                return
            brokers = {
                queues.broker_name: TopicConfig(
                    topic, queues.read_queue_nums, queues.write_queue_nums, queues.perm, sys_flag=queues.topic_sys_flag
                )
                for queues in found.queue_datas
                if self._directory.get(queues.broker_name) is not None
            }
            if not brokers:
                self._directory.refresh()
                on_found(ClusterUnavailable("no broker of the topic is known"))
                return
            self._ask(list(brokers), _command(RequestCode.GET_TOPIC_CONFIG, topic=topic), typed(brokers))

        def typed(brokers: dict[str, TopicConfig]) -> Callable[[Command | LinkError], None]:
            def run(answer: Command | LinkError) -> None:
                attributes: dict[str, str] = {}
                if isinstance(answer, Command) and answer.code == ResponseCode.SUCCESS:
                    try:
                        attributes = decode_leniently(answer.body, TopicConfigBody).attributes
                    except MqguardError as exc:
                        on_found(ClusterUnavailable(f"a broker has sent no valid topic: {exc}"))
                        return
                found = {
                    name: msgspec.structs.replace(config, attributes=attributes) for name, config in brokers.items()
                }
                on_found(Route(found))

            return run

        fetch_route(self._name_servers, topic, routed)

    def _fetch_group(self, name: str, on_found: OnFound[SubscriptionGroupConfig]) -> None:
        def answered(answer: Command | LinkError) -> None:
            if isinstance(answer, LinkError):
                on_found(answer)
            elif answer.code == ResponseCode.SUCCESS and answer.body:
                try:
                    on_found(decode_leniently(answer.body, GroupConfigBody).value())
                except MqguardError as exc:
                    on_found(ClusterUnavailable(f"a broker has sent no valid group: {exc}"))
            elif answer.code in {ResponseCode.SUCCESS, ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST}:
                on_found(None)
            else:
                on_found(refusal(answer))

        command = _command(RequestCode.GET_SUBSCRIPTIONGROUP_CONFIG, group=name)
        self._ask(sorted(self._directory.brokers), command, answered)

    def _ask(self, brokers: list[str], command: Command, done: Callable[[Command | LinkError], None]) -> None:
        """Send a request to one broker after the other until one answers."""
        if not brokers:
            self._directory.refresh()
            self._connections.loop.call_soon(done, ClusterUnavailable("no broker of the cluster is known"))
            return

        def answered(outcome: Outcome, left: int = min(len(brokers), MAX_TRIES) - 1) -> None:
            if isinstance(outcome, LinkError) and left > 0:
                self._ask(brokers[1 : left + 1], command, done)
            else:
                done(_neutral(outcome, brokers[0]) if isinstance(outcome, LinkError) else outcome)

        self._directory.call(brokers[0], command, answered, ANSWER_S)

    # Requests

    def request(
        self, broker: str, command: Command, peer: Peer, access: AdmittedRequest, on_answer: OnAnswer
    ) -> "_Request":
        """See `Backend`."""
        del peer
        request = _Request(self, broker, command, access, on_answer)
        if not self._calls.allows(access.owner, 1) or not self._bytes.allows(access.owner, len(command.body)):
            request.cancel()
            self._connections.loop.call_soon(self._report, on_answer, LinkBusy("too many requests wait for brokers"))
            return request
        self._calls.change(access.owner, 1)
        self._bytes.change(access.owner, len(command.body))
        request.begin()
        return request

    def send(self, broker: str, command: Command, done: Callable[[Outcome], None]) -> None:
        """Send a request to a broker, after everything about it was decided."""
        wait_s = int(command.ext.get(_WAITS.get(command.code, ""), "0")) / 1000

        def answered(outcome: Outcome) -> None:
            if isinstance(outcome, LinkError) and not isinstance(outcome, LinkBusy):
                self._directory.refresh()
            done(outcome)

        self._directory.call(broker, command, answered, ANSWER_S + wait_s)

    def finish(
        self, access: AdmittedRequest, command: Command, on_answer: OnAnswer, answer: Command | Exception
    ) -> None:
        """Report the outcome of a request."""
        self._calls.change(access.owner, -1)
        self._bytes.change(access.owner, -len(command.body))
        self._report(on_answer, answer)

    def check(
        self, broker: str, offset: int, action: Action, access: AdmittedRequest, done: Callable[..., None]
    ) -> None:
        """Check the sender's permission on a message (`stored_messages.check_message`)."""
        check_message(self._directory, broker, offset, action, access, done)

    def _report(self, on_answer: OnAnswer, answer: Command | Exception) -> None:
        try:
            on_answer(answer)
        except Exception:  # noqa: BLE001 - the connection to the broker serves others too
            _LOG.exception("the answer of a broker was not passed on: internal error")
        self._end_iteration()

    def request_of(self, link: Link, command: Command, access: AdmittedRequest, on_answer: OnAnswer) -> None:
        """See `Backend`."""
        if not isinstance(link, GrpcClient):
            raise TypeError("only gRPC clients have requests to all brokers")
        if command.code == RequestCode.HEART_BEAT:
            # The heartbeats of the guard name the groups of all clients.
            data = decode(command.body, HeartbeatData)
            self._producers.register(link, frozenset(one.group_name for one in data.producer_data_set))
            on_answer(Command(ResponseCode.SUCCESS, 0, FLAG_RESPONSE))
        elif command.code == RequestCode.LITE_SUBSCRIPTION_CTL:
            self._change_lite(link, command, access, on_answer)
        else:
            raise TypeError(f"requests with the code {command.code} do not go to all brokers")

    def _change_lite(self, client: GrpcClient, command: Command, access: AdmittedRequest, on_answer: OnAnswer) -> None:
        """Change the subscriptions of a client to lite topics at all brokers of the parent topic."""
        body = msgspec.json.decode(command.body)
        parent = ""
        for entry in body["subscriptionSet"]:
            parent = entry["topic"]
            entry["clientId"] = lite_client_id(access.owner, entry["clientId"])
            self._lite_clients[entry["clientId"]] = client
        command.body = msgspec.json.encode(body)

        def routed(route: Route | Exception | None) -> None:
            if isinstance(route, Exception) or route is None:
                absent = Command(ResponseCode.TOPIC_NOT_EXIST, 0, FLAG_RESPONSE, remark="the topic does not exist")
                on_answer(absent if route is None else route)
                return
            answers: list[Command | Exception] = []

            def answered(answer: Command | Exception) -> None:
                answers.append(answer)
                if len(answers) == len(route.brokers):
                    failed = (one for one in answers if isinstance(one, Exception) or one.code != 0)
                    on_answer(next(failed, answers[0]))

            for broker in route.brokers:
                self.request(broker, command, client.peer, access, answered)

        self.route(parent, access, routed)

    def answer(self, link: Link, command: Command) -> None:
        """See `Backend`. Brokers ask gRPC clients nothing that has an answer: they know the guard only."""

    def connected(self, link: Link) -> None:
        """See `Backend`. A client is registered by its settings."""

    def left(self, link: Link) -> None:
        """See `Backend`."""
        if isinstance(link, GrpcClient):
            self._producers.leave(link)
            name = lite_client_id(link.owner, link.client_id)
            if self._lite_clients.get(name) is link:
                del self._lite_clients[name]


class _Request:
    """One request to a broker (`ports.PendingRequest`)."""

    __slots__ = ("_access", "_backend", "_broker", "_command", "_on_answer")

    def __init__(
        self, backend: ClusterBackend, broker: str, command: Command, access: AdmittedRequest, on_answer: OnAnswer
    ) -> None:
        self._backend = backend
        self._broker = broker
        self._command = command
        self._access = access
        self._on_answer: OnAnswer | None = on_answer

    def cancel(self) -> None:
        """Drop the request. Messages that come later are given back."""
        self._on_answer = None

    def begin(self) -> None:
        """Check what the request reaches, and send it."""
        command, access = self._command, self._access
        if command.code == RequestCode.END_TRANSACTION:
            offset = int(command.ext["commitLogOffset"])
            self._backend.check(self._broker, offset, Action.PUB, access, self._checked)
        elif command.code == RequestCode.CONSUMER_SEND_MSG_BACK:
            self._backend.check(self._broker, int(command.ext["offset"]), Action.SUB, access, self._checked)
        else:
            if command.code in _WAITS:
                access.hold()
            if command.code == RequestCode.POP_LITE_MESSAGE:
                command.ext["clientId"] = lite_client_id(access.owner, command.ext["clientId"])
            self._send()

    def _checked(self, found: Command | Exception | None) -> None:
        # Nothing was reached yet, or the guard was asked about it.
        self._access.pending = False
        if found is None:
            self._send()
        elif isinstance(found, (Refused, Command)) and self._command.code == RequestCode.END_TRANSACTION:
            # A client must not read from the answer if there is a transaction of others.
            self._finish(Command(ResponseCode.SYSTEM_ERROR, 0, FLAG_RESPONSE, remark=_NO_TRANSACTION))
        else:
            self._finish(_neutral(found, self._broker) if isinstance(found, LinkError) else found)

    def _send(self) -> None:
        self._backend.send(self._broker, self._command, self._answered)

    def _answered(self, outcome: Outcome) -> None:
        if isinstance(outcome, LinkError):
            self._finish(_neutral(outcome, self._broker))
            return
        try:
            self._finish(self._allowed(outcome))
        except Exception as exc:  # noqa: BLE001 - the client must get an answer
            self._finish(exc)

    def _allowed(self, answer: Command) -> Command:
        """Return the part of an answer that the sender may get."""
        command = self._command
        if command.code not in _WAITS or answer.code != ResponseCode.SUCCESS:
            return answer
        access = self._access
        is_allowed = self._backend.is_valid() and (access.is_current() or access.still_allowed())
        if self._on_answer is None or not is_allowed:
            if command.code == RequestCode.POP_MESSAGE:
                self._give_back(answer)
            return Command(ResponseCode.PULL_NOT_FOUND, answer.opaque, answer.flag)
        topic = command.ext["topic"]
        if names.owner_of(topic) is None:
            return answer
        # A retry or dead-letter topic has messages of many topics.
        records = [record.encode(one) for one in record.decode_all(answer.body)]
        answer.body = b"".join(readable(self._access, topic, records, Action.SUB))
        return answer

    def _give_back(self, answer: Command) -> None:
        """Make messages visible again that nobody has got."""
        group, topic = self._command.ext["consumerGroup"], self._command.ext["topic"]
        for message in received(answer, self._broker):
            receipt = Receipt.parse(message.handle)
            self._backend.send(self._broker, change_command(group, topic, receipt, GIVE_BACK_MS), _ignore)

    def _finish(self, answer: Command | Exception) -> None:
        on_answer, self._on_answer = self._on_answer, None
        self._backend.finish(self._access, self._command, on_answer or _ignore, answer)


def lite_client_id(owner: str, client_id: str) -> str:
    """Return the id of a client of lite topics at brokers, which belongs to its user.

    Brokers know a client of lite topics by its id alone, and all of them are clients of the guard there. So the id has
    a part that no other user's client can have.
    """
    return f"{client_id}@{hashlib.sha256(owner.encode()).hexdigest()[:16]}"


def _neutral(error: LinkError, broker: str) -> LinkError:
    """Return the error without the address of the broker."""
    if isinstance(error, ClusterUnavailable):
        return error
    if isinstance(error, LinkBusy):
        return LinkBusy(f"too many requests wait for the broker `{broker[:255]}`")
    if isinstance(error, LinkTimeout):
        return LinkTimeout(f"the broker `{broker[:255]}` did not answer in time")
    return ClusterUnavailable(f"the broker `{broker[:255]}` cannot be reached")


def _command(code: RequestCode, **ext: str) -> Command:
    return Command(code, 0, 0, SERVER_VERSION, LanguageCode.PYTHON, None, ext)


def _ignore(_outcome: object) -> None:
    """Ignore an outcome that nobody waits for."""
