"""The owner: the only process that changes users and policies; all members follow it.

Rule 1: a change is stored first. Then all members get it. The answer waits for each member until it has applied the
change. It does not wait for a member that has ended, or whose time to decide (`valid_until_ms`) is over.
Rule 2: a process that followed an earlier owner counts as a member until it has connected or ended. It counts at most
for the time that the earlier owner can have given it.
Rule 3: a socket is not trusted for its path: the process behind it must belong to the same user of the system.
"""

import asyncio
import collections
import contextlib
import logging
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from mqguard.auth.manager import MetadataManager
from mqguard.auth.ports import MetadataUpdate, changed_name
from mqguard.auth.seal import SealingKey
from mqguard.dispatch.access_requests import CHANGE_CODES
from mqguard.dispatch.request import Handler, Request, error_reply
from mqguard.guard.admitted_request import AdmittedRequest, Identity
from mqguard.guard.object_authorization import AllowAll
from mqguard.guard.request_context import Operation
from mqguard.model.peer import Channel, Peer
from mqguard.model.topic import TopicConfig
from mqguard.remoting.codes import ResponseCode
from mqguard.remoting.command import Command, Reply
from mqguard.remoting.link import WorkQueue
from mqguard.runtime.errors import StartFailed
from mqguard.runtime.sharing import messages
from mqguard.runtime.sharing.member import monotonic_ms
from mqguard.runtime.sharing.member_process import MemberProcess, OwnerLink, has_ended, remove_old
from mqguard.runtime.sharing.published_store import PublishedStore
from mqguard.runtime.sharing.repeats import RepeatedChanges
from mqguard.runtime.sharing.unix_socket import listen, peer_user

_LOG = logging.getLogger(__name__)

MAX_MEMBERS: Final = 64
MAX_SENDERS: Final = 10_000
"""Maximum number of users whose last change is known, to judge requests that members admitted earlier."""
SLOW_MS: Final = 2_000
"""Milliseconds after which a member that has not applied a change is logged."""
PAUSE_S: Final = 0.2
"""Seconds without accepting after the system had no resources for another connection."""
_FORWARDED: Final = Operation(name="forwarded")


class Announcements(Protocol):
    """The route table of the owner's name server."""

    def announce(self, cluster: str, broker: str, address: str, topics: Sequence[TopicConfig]) -> None:
        """Replace all topics of a broker."""

    def announce_topic(self, broker: str, name: str, topic: TopicConfig | None) -> None:
        """Update one topic."""

    def retract(self, broker: str) -> None:
        """Remove a broker."""


class _Held(NamedTuple):
    revision: int
    answer: Callable[[], None]


class AccessOwner:
    """Serves the users and policies of this process to members on the same machine.

    Args:
        directory: The data directory.
        manager: Users and policies.
        store: The store of the manager.
        key: Key that seals secrets.
        handlers: Handlers of the requests in `CHANGE_CODES`.
        routes: The route table, for the brokers of members.
        max_age_ms: Time for which a member may decide without a message of the owner.
    """

    def __init__(
        self,
        directory: Path,
        manager: MetadataManager,
        store: PublishedStore,
        key: SealingKey,
        handlers: Mapping[int, Handler],
        routes: Announcements,
        max_age_ms: int,
    ) -> None:
        self._directory = directory
        self._manager = manager
        self._key = key
        self._handlers = handlers
        self._routes = routes
        self._max_age_ms = max_age_ms
        self._members: dict[Path, MemberProcess] = {}
        self._held: collections.deque[_Held] = collections.deque()
        self._repeats = RepeatedChanges()
        self._changed: dict[str, int] = {}
        self._known_since = manager.revision
        # The users and subjects of the change that is being made.
        self._names: list[str] = []
        self._alive_ms = 0
        self._end_iteration: Callable[[], None] = lambda: None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: set[asyncio.Task[object]] = set()
        self._pause: asyncio.TimerHandle | None = None
        self._is_pause_logged = False
        store.on_stored = self._publish
        self._find_earlier_members()
        try:
            self._listener: socket.socket | None = listen(directory / messages.SOCKET_FILE)
        except OSError as exc:
            raise StartFailed(
                f"the socket `{directory / messages.SOCKET_FILE}` cannot be created: {exc.strerror}"
            ) from None

    def handlers(self) -> dict[int, Handler]:
        """Return the handlers for changes that clients send to this process itself."""
        return dict.fromkeys(CHANGE_CODES, self._serve_own)

    @property
    def members(self) -> int:
        """Return the number of connected members."""
        return sum(member.link is not None for member in self._members.values())

    @property
    def held(self) -> int:
        """Return the number of answers that wait for members."""
        return len(self._held)

    def attach(self, loop: asyncio.AbstractEventLoop, end_iteration: Callable[[], None]) -> None:
        """Begin to accept members.

        Args:
            loop: The event loop of the requests.
            end_iteration: Requests the end of an iteration without input.
        """
        self._loop, self._end_iteration = loop, end_iteration
        if self._listener is not None:
            loop.add_reader(self._listener.fileno(), self._accept)

    def close(self) -> None:
        """Close all connections. The members serve on for a while, and connect with the next owner."""
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
        if self._listener is not None:
            if self._loop is not None and not self._loop.is_closed():
                self._loop.remove_reader(self._listener.fileno())
            self._listener.close()
            self._listener = None
            (self._directory / messages.SOCKET_FILE).unlink(missing_ok=True)
        for member in self._members.values():
            if member.link is not None:
                member.link.close()
        self._held.clear()

    def tick(self) -> None:
        """Do the work that is due by the clock."""
        now = monotonic_ms()
        for member in [member for member in self._members.values() if member.link is None]:
            if has_ended(member.lock) or now >= member.granted_until_ms:
                self._forget(member)
        if now - self._alive_ms >= self._max_age_ms // 4:
            self._alive_ms = now
            frame = messages.encode(messages.Alive(now + self._max_age_ms))
            for member in list(self._members.values()):
                if member.link is not None and member.link.send(frame):
                    member.granted_until_ms = now + self._max_age_ms
        self._log_slow(now)
        self._release()

    # Members

    def _find_earlier_members(self) -> None:
        directory = self._directory / messages.MEMBERS_DIRECTORY
        for lock in sorted(directory.glob("*.lock")) if directory.is_dir() else ():
            if not has_ended(lock):
                # The time that an earlier owner gave it ends at the latest then.
                self._members[lock] = MemberProcess(lock, monotonic_ms() + self._max_age_ms)
            else:
                remove_old(lock)

    def _accept(self) -> None:
        assert self._listener is not None and self._loop is not None  # noqa: S101, PT018 - a reader of both
        try:
            connection, _ = self._listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError as exc:
            # The connection still waits, so the event loop would call this again at once.
            if not self._is_pause_logged:
                self._is_pause_logged = True
                _LOG.warning("a connection to `%s` cannot be accepted: %s", messages.SOCKET_FILE, exc.strerror)
            self._loop.remove_reader(self._listener.fileno())
            self._pause = self._loop.call_later(PAUSE_S, self._accept_again)
            return
        self._is_pause_logged = False
        try:
            is_own = peer_user(connection) in {os.geteuid(), 0}
        except OSError:
            is_own = False
        if not is_own or len(self._tasks) + self.members >= MAX_MEMBERS:
            _LOG.warning("a connection to `%s` was refused", messages.SOCKET_FILE)
            connection.close()
            return
        connection.setblocking(False)  # noqa: FBT003 - socket takes it by position
        task: asyncio.Task[object] = self._loop.create_task(
            self._loop.connect_accepted_socket(lambda: OwnerLink(self._received, self._lost), connection)
        )
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _accept_again(self) -> None:
        self._pause = None
        if self._listener is not None and self._loop is not None:
            self._loop.add_reader(self._listener.fileno(), self._accept)

    def _received(self, link: "OwnerLink", message: object) -> None:
        member = link.member
        if isinstance(message, messages.Hello):
            self._join(link, message)
        elif member is None:
            link.close()
        elif isinstance(message, messages.Applied):
            member.take_applied(message.revision)
            self._release()
        elif isinstance(message, messages.ChangeRequest):
            self._serve_forwarded(member, message)
        elif isinstance(message, messages.Announcement):
            member.announced = message.broker
            self._routes.announce(message.cluster, message.broker, message.address, message.topics)
        elif isinstance(message, messages.TopicAnnouncement) and message.broker == member.announced:
            self._routes.announce_topic(message.broker, message.name, message.topic)
        self._end_iteration()

    def _join(self, link: "OwnerLink", hello: messages.Hello) -> None:
        refusal = self._why_not(link, hello)
        if refusal is not None:
            link.send(messages.encode(messages.Refusal(refusal)))
            link.end()
            return
        lock = self._directory / messages.MEMBERS_DIRECTORY / hello.lock
        member = self._members.setdefault(lock, MemberProcess(lock))
        member.broker, member.link, link.member = hello.broker, link, member
        member.applied = -1
        self._send_state(member)
        _LOG.info("`%s` shares the users and policies of this process", hello.broker)

    def _why_not(self, link: "OwnerLink", hello: messages.Hello) -> str | None:
        if hello.protocol != messages.PROTOCOL:
            return f"it runs another version of mqguard, {hello.version}: start both with the same one"
        name = hello.lock
        if "/" in name or not name.endswith(".lock") or has_ended(self._directory / messages.MEMBERS_DIRECTORY / name):
            return "it has not locked its file"
        if any(member.link is not None and member.broker == hello.broker for member in self._members.values()):
            return f"another broker `{hello.broker}` is connected: give each broker its own `brokerName`"
        return "it has joined already" if link.member is not None else None

    def _lost(self, link: "OwnerLink") -> None:
        member, link.member = link.member, None
        if member is None or member.link is not link:
            return
        member.link = None
        if member.announced:
            self._routes.retract(member.announced)
            member.announced = ""
        _LOG.info("the connection of `%s` has ended", member.broker)
        if has_ended(member.lock):
            self._forget(member)
        self._release()

    def _forget(self, member: MemberProcess) -> None:
        self._members.pop(member.lock, None)
        if has_ended(member.lock):
            with contextlib.suppress(OSError):
                member.lock.unlink()

    # Updates

    def _publish(self, update: MetadataUpdate) -> None:
        """Send an update to all members."""
        self._note_changed(update)
        connected = [member for member in self._members.values() if member.link is not None]
        if not connected:
            return
        if update.changes is None:
            for member in connected:
                self._send_state(member)
            return
        until = monotonic_ms() + self._max_age_ms
        found = messages.change_records(update.changes, self._key)
        frame = messages.encode(messages.Update(update.revision, update.previous, found, until))
        for member in connected:
            self._push(member, update.revision, frame, until)

    def _send_state(self, member: MemberProcess) -> None:
        until = monotonic_ms() + self._max_age_ms
        revision = self._manager.revision
        state = messages.state_records(self._manager.snapshot, self._key)
        self._push(member, revision, messages.encode(messages.FullState(revision, state, until)), until)

    def _push(self, member: MemberProcess, revision: int, frame: bytes, until_ms: int) -> None:
        is_sent = member.link is not None and member.link.send(frame)
        member.pushed(revision, until_ms if is_sent else 0, monotonic_ms())

    def _note_changed(self, update: MetadataUpdate) -> None:
        if update.changes is None or len(self._changed) > MAX_SENDERS:
            self._changed.clear()
            self._known_since = update.revision
        for change in update.changes or ():
            name = changed_name(change)
            self._changed[name] = update.revision
            self._names.append(name)

    # Changes

    def _serve_own(self, request: Request) -> Reply | None:
        self._change(request, None, request.without_body().respond)
        return None

    def _serve_forwarded(self, member: MemberProcess, message: messages.ChangeRequest) -> None:
        if self._is_outdated(message):
            self._answer(member, messages.AskAgain(message.number))
            return
        identity = None if message.user is None else Identity(message.user, message.method, message.is_super)
        peer = Peer(message.ip, 0, Channel(f"at {member.broker}"))
        request = Request(
            Command(message.code, 0, 0, message.version, message.language, None, message.ext, message.body),
            _ForwardedLink(peer),
            AdmittedRequest(identity, peer, _FORWARDED, (), pending=False, authorizer=AllowAll()),
        )

        def respond(reply: Reply) -> None:
            answer = messages.ChangeAnswer(message.number, reply.code, reply.remark, reply.ext, bytes(reply.body))
            self._answer(member, answer)

        if message.code in CHANGE_CODES:
            self._change(request, member.broker, respond)
        else:
            respond(
                Reply(
                    ResponseCode.REQUEST_CODE_NOT_SUPPORTED,
                    remark=f"request code {message.code} does not change users or policies: nothing was changed",
                )
            )

    def _is_outdated(self, message: messages.ChangeRequest) -> bool:
        """True if the sender may have been changed after the member has admitted its request."""
        if message.user is None:
            return False
        return message.revision < max(self._known_since, self._changed.get(message.user, 0))

    def _answer(self, member: MemberProcess, message: messages.FromOwner) -> None:
        if member.link is not None:
            member.link.send(messages.encode(message))

    def _change(self, request: Request, broker: str | None, respond: Callable[[Reply], None]) -> None:
        """Serve a request, and answer once its change is in force in every process."""
        manager, command = self._manager, request.command
        reply = self._repeats.find(request, broker, manager.snapshot, monotonic_ms())
        if reply is None:
            before = manager.revision
            self._names.clear()
            try:
                reply = self._handlers[command.code](request) or Reply()
            except Exception as exc:  # noqa: BLE001 - every error becomes an answer
                reply = error_reply(command.code, exc)
            if reply.code == 0 and manager.revision != before:
                self._repeats.add(request, broker, self._names.copy(), manager.snapshot, reply, monotonic_ms())
        answer = reply
        self._held.append(_Held(manager.revision, lambda: respond(answer)))
        self._release()

    def _release(self) -> None:
        """Send the answers whose changes are in force in every process."""
        now = monotonic_ms()
        is_sent = False
        while self._held:
            revision = self._held[0].revision
            if any(member.blocks(revision, now) for member in self._members.values()):
                break
            self._held.popleft().answer()
            is_sent = True
        if is_sent:
            self._end_iteration()

    def _log_slow(self, now_ms: int) -> None:
        for member in self._members.values():
            is_slow = bool(member.pushes) and now_ms - member.pushes[0].sent_ms >= SLOW_MS
            if is_slow and not member.is_logged:
                _LOG.warning(
                    "`%s` has not applied a change of users and policies for %d ms: the answer waits until it has, or "
                    "may not serve requests any more",
                    member.broker,
                    now_ms - member.pushes[0].sent_ms,
                )
            member.is_logged = is_slow


class _NoWork:
    def __bool__(self) -> bool:
        return False

    def add(self, work: object) -> None:
        """Refuse work: a change is made in one step."""
        raise NotImplementedError


class _ForwardedLink:
    """The link of a request that came through a member; its answer goes another way."""

    closed = False

    def __init__(self, peer: Peer) -> None:
        self.peer = peer

    @property
    def work(self) -> WorkQueue:
        return _NoWork()

    def send(self, frame: bytes) -> None:
        """Do nothing."""

    def close(self, reason: str) -> None:
        """Do nothing."""
