"""A member: a process that decides by the users and policies of an owner, and has changes made there.

Rule 1: the member decides by a revision only until the owner's last message says so (`valid_until_ms`). Afterwards it
serves no requests until the next message of the owner.
Rule 2: it reports a revision as applied only after the snapshot was replaced. All of this happens in the event loop, so
no request is decided in between.
Rule 3: a change is made by the owner only. The request waits for its answer, and no other request waits with it.
"""

import asyncio
import contextlib
import fcntl
import itertools
import logging
import os
import secrets
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple, cast

from mqguard import __version__
from mqguard.auth.errors import MetadataStoreFailed
from mqguard.auth.manager import MetadataManager
from mqguard.auth.ports import Change, Metadata, MetadataUpdate, OnUpdate, PutAcl, PutUser
from mqguard.auth.seal import SealingKey
from mqguard.dispatch.request import Request
from mqguard.model.topic import TopicConfig
from mqguard.remoting.codes import ResponseCode
from mqguard.remoting.command import Reply
from mqguard.remoting.signed_content import ACCESS_KEY, SIGNATURE
from mqguard.runtime.errors import StartFailed
from mqguard.runtime.sharing import messages
from mqguard.runtime.sharing.unix_socket import short_path

_LOG = logging.getLogger(__name__)

START_S: Final = 60.0
"""Maximum seconds to wait for the owner at a start."""
RETRY_S: Final = 0.1
"""Seconds until the next attempt to connect."""
LOCK_S: Final = 2.0
"""Maximum seconds to wait for the lock of the file that shows that this process lives."""
_LOCK_RETRY_S: Final = 0.005
MAX_OPEN_REQUESTS: Final = 1_024
"""Maximum number of changes that wait for the owner."""
MAX_OPEN_BYTES: Final = 64 << 20
"""Maximum size of these changes."""
MAX_TRIES: Final = 8
"""Maximum number of times that one change is sent."""
_CHUNK: Final = 1 << 20

UNREACHABLE: Final = (
    "users and policies cannot be changed now, nothing was changed: the process that stores them does not answer"
)
OUTDATED: Final = (
    "users and policies may be out of date, so no request is served: the process that stores them does not answer"
)
LOST: Final = (
    "the process that stores users and policies ended before it answered: read them to see if the change was made"
)


class _Forwarded(NamedTuple):
    request: Request
    message: messages.ChangeRequest
    size: int
    tries: int


def monotonic_ms() -> int:
    """Return the machine's monotonic clock, which all its processes share."""
    return time.monotonic_ns() // 1_000_000


class AccessMember:
    """Users and policies of an owner on this machine (`MetadataStore`, `broker.server.Announcer`).

    Args:
        owner: The data directory of the owner.
        broker: Name of this broker.
        key: The owner's key, which seals secrets.

    Raises:
        StartFailed: The owner cannot be reached, or does not accept this process.
        RecordCorrupt: A user or a policy cannot be read.

    Attributes:
        valid_until_ms: End of the time in which the snapshot is valid, on the monotonic clock.
        outdated: The reason for these refusals.
        refused: Number of requests that were refused because the snapshot was not valid.
    """

    def __init__(self, owner: Path, broker: str, key: SealingKey) -> None:
        self._owner = owner
        self._broker = broker
        self._key = key
        self._revision = -1
        self._loaded: Metadata | None = None
        self._on_update: OnUpdate | None = None
        self._manager: MetadataManager | None = None
        self._end_iteration: Callable[[], None] = lambda: None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._link: _MemberLink | None = None
        self._numbers = itertools.count(1)
        self._open: dict[int, _Forwarded] = {}
        self._open_bytes = 0
        self._announcement: Callable[[], messages.Announcement] | None = None
        self.valid_until_ms = 0
        self.outdated = OUTDATED
        self.refused = 0
        self._lock, self._lock_name = _lock_file(owner / messages.MEMBERS_DIRECTORY)
        try:
            self._socket: socket.socket | None = self._join()
        except BaseException:
            os.close(self._lock)
            raise

    @property
    def is_current(self) -> bool:
        """True if the member may decide by its users and policies now."""
        return monotonic_ms() < self.valid_until_ms

    @property
    def is_connected(self) -> bool:
        """True if the owner has accepted the connection."""
        return self._link is not None

    # The store of users and policies

    def load(self) -> Metadata:
        """Return the users and policies that the owner has sent last; see `MetadataStore`."""
        if self._loaded is None:
            raise MetadataStoreFailed("the users and policies of the owner were not received")
        return self._loaded

    def apply(self, changes: Sequence[Change], expected_revision: int) -> int:
        """Refuse: only the owner makes changes; see `MetadataStore`."""
        del changes, expected_revision
        raise MetadataStoreFailed(UNREACHABLE)

    def watch(self, on_update: OnUpdate) -> None:
        """Call back after each change; see `MetadataStore`."""
        self._on_update = on_update

    def close(self) -> None:
        """Leave the owner; see `MetadataStore`."""
        if self._task is not None:
            self._task.cancel()
            self._task = None
        if self._link is not None:
            self._link.close()
            self._link = None
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    # The start, before the event loop

    def _join(self) -> socket.socket:
        end = time.monotonic() + START_S
        while True:
            try:
                return self._connect_once(end)
            except OSError as exc:
                if time.monotonic() >= end:
                    raise StartFailed(
                        f"the process that stores users and policies in `{self._owner}` cannot be reached: "
                        f"{exc.strerror or exc}"
                    ) from None
            time.sleep(RETRY_S)

    def _connect_once(self, end: float) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with short_path(self._owner / messages.SOCKET_FILE) as path:
                connection.connect(path)
            connection.settimeout(max(end - time.monotonic(), 0.1))
            connection.sendall(self._hello())
            reader = messages.MessageReader(messages.FromOwner, messages.MAX_FROM_OWNER_BYTES)
            while self._revision < 0:
                data = connection.recv(_CHUNK)
                _check_open(data)
                for message in reader.feed(data):
                    self._received_at_start(message)
            connection.sendall(messages.encode(messages.Applied(self._revision)))
            connection.setblocking(False)  # noqa: FBT003 - socket takes it by position
        except BaseException:
            connection.close()
            raise
        self._reader = reader
        return connection

    def _received_at_start(self, message: object) -> None:
        if isinstance(message, messages.Refusal):
            raise StartFailed(f"the process that stores users and policies does not accept this one: {message.reason}")
        if isinstance(message, messages.FullState):
            self._take_state(message)
        elif isinstance(message, messages.Alive):
            self.valid_until_ms = message.valid_until_ms

    def _hello(self) -> bytes:
        return messages.encode(messages.Hello(messages.PROTOCOL, __version__, self._broker, self._lock_name))

    def _take_state(self, message: messages.FullState) -> None:
        changes = messages.read_records(message.records, self._key)
        self._loaded = Metadata(
            [change.user for change in changes if isinstance(change, PutUser)],
            [change.acl for change in changes if isinstance(change, PutAcl)],
            message.revision,
        )
        self._revision = message.revision
        self.valid_until_ms = message.valid_until_ms

    # In the event loop

    def attach(
        self, loop: asyncio.AbstractEventLoop, manager: MetadataManager, end_iteration: Callable[[], None]
    ) -> None:
        """Begin to follow the owner.

        Args:
            loop: The event loop of the requests.
            manager: The users and policies of this process.
            end_iteration: Requests the end of an iteration without input.
        """
        self._loop, self._manager, self._end_iteration = loop, manager, end_iteration
        self._loaded = None
        self._task = loop.create_task(self._follow())

    async def _follow(self) -> None:
        assert self._loop is not None  # noqa: S101 - set by `attach`
        is_logged = False
        while True:
            lost = asyncio.Event()
            try:
                link = await self._open_link(lost)
            except OSError as exc:
                if not is_logged:
                    is_logged = True
                    _LOG.warning("the process that stores users and policies cannot be reached: %s", exc.strerror)
                await asyncio.sleep(RETRY_S)
                continue
            if is_logged:
                _LOG.info("connected with the process that stores users and policies")
            is_logged = False
            await lost.wait()
            link.close()
            self._link = None
            self._fail_open()
            _LOG.warning("the connection to the process that stores users and policies has ended")
            await asyncio.sleep(RETRY_S)

    async def _open_link(self, lost: asyncio.Event) -> "_MemberLink":
        assert self._loop is not None  # noqa: S101 - set by `attach`
        joined, self._socket = self._socket, None
        if joined is not None:
            _, link = await self._loop.create_unix_connection(
                lambda: _MemberLink(self._received, lost.set, self._reader), sock=joined
            )
        else:
            reader = messages.MessageReader(messages.FromOwner, messages.MAX_FROM_OWNER_BYTES)
            with short_path(self._owner / messages.SOCKET_FILE) as path:
                _, link = await self._loop.create_unix_connection(
                    lambda: _MemberLink(self._received, lost.set, reader), path
                )
            link.send(self._hello())
        self._link = link
        if self._announcement is not None:
            link.send(messages.encode(self._announcement()))
        return link

    def _received(self, link: "_MemberLink", message: object) -> None:
        match message:
            case messages.Update():
                self._take_update(link, message)
            case messages.FullState():
                self._take_state(message)
                assert self._manager is not None  # noqa: S101 - set by `attach`
                self._manager.reload()
                self._loaded = None
                link.send(messages.encode(messages.Applied(self._revision)))
            case messages.Alive():
                self.valid_until_ms = message.valid_until_ms
            case messages.ChangeAnswer():
                self._finish(message.number, Reply(message.code, message.ext, message.body, message.remark))
            case messages.AskAgain():
                self._ask_again(message.number)
            case messages.Refusal():
                _LOG.error("the process that stores users and policies does not accept this one: %s", message.reason)
                link.close()
        self._end_iteration()

    def _take_update(self, link: "_MemberLink", message: messages.Update) -> None:
        if message.previous != self._revision or self._on_update is None:
            # A new connection begins with all users and policies.
            link.close()
            return
        changes = messages.read_records(message.records, self._key)
        self._on_update(MetadataUpdate(message.revision, message.previous, changes))
        self._revision = message.revision
        self.valid_until_ms = message.valid_until_ms
        link.send(messages.encode(messages.Applied(message.revision)))

    # Changes

    def forward(self, request: Request) -> Reply | None:
        """Have the owner serve a request that changes users or policies (`dispatch.request.Handler`)."""
        command, identity = request.command, request.access.identity
        size = len(command.body) + sum(len(key) + len(value) for key, value in command.ext.items())
        if self._link is None:
            return Reply(ResponseCode.SYSTEM_BUSY, remark=UNREACHABLE)
        if len(self._open) >= MAX_OPEN_REQUESTS or self._open_bytes + size > MAX_OPEN_BYTES:
            return Reply(
                ResponseCode.SYSTEM_BUSY, remark="too many changes of users and policies wait: try again later"
            )
        message = messages.ChangeRequest(
            number=0,
            revision=self._revision,
            user=None if identity is None else identity.user,
            method="" if identity is None else identity.method,
            is_super=identity is not None and identity.is_super,
            ip=request.link.peer.ip,
            code=command.code,
            version=command.version,
            language=command.language,
            ext={key: value for key, value in command.ext.items() if key not in {ACCESS_KEY, SIGNATURE}},
            body=bytes(command.body),
        )
        self._open_bytes += size
        self._send(_Forwarded(request.without_body(), message, size, 0))
        return None

    def _send(self, forwarded: _Forwarded) -> None:
        assert self._link is not None  # noqa: S101 - checked by `forward`, and messages arrive only on a link
        number = next(self._numbers)
        forwarded.message.number, forwarded.message.revision = number, self._revision
        self._open[number] = forwarded._replace(tries=forwarded.tries + 1)
        self._link.send(messages.encode(forwarded.message))

    def _ask_again(self, number: int) -> None:
        """Send a change again, if its sender would still be admitted by the newer users and policies."""
        forwarded = self._open.pop(number, None)
        if forwarded is None:
            return
        if forwarded.tries < MAX_TRIES and forwarded.request.access.still_allowed():
            self._send(forwarded)
            return
        self._open_bytes -= forwarded.size
        remark = f"User:{forwarded.message.user} has been changed meanwhile: send the request again"
        forwarded.request.respond(Reply(ResponseCode.SYSTEM_BUSY, remark=remark))

    def _finish(self, number: int, reply: Reply) -> None:
        forwarded = self._open.pop(number, None)
        if forwarded is not None:
            self._open_bytes -= forwarded.size
            forwarded.request.respond(reply)

    def _fail_open(self) -> None:
        for number in list(self._open):
            self._finish(number, Reply(ResponseCode.SYSTEM_ERROR, remark=LOST))
        self._end_iteration()

    # The broker in the routes of the owner's name server

    def announce(self, cluster: str, broker: str, address: str, topics: Iterable[TopicConfig]) -> None:
        """Announce the broker with all its topics."""
        held = {topic.name: topic for topic in topics}
        self._topics = held
        self._announcement = lambda: messages.Announcement(cluster, broker, address, list(self._topics.values()))
        if self._link is not None:
            self._link.send(messages.encode(self._announcement()))

    def announce_topic(self, broker: str, name: str, topic: TopicConfig | None) -> None:
        """Announce a changed topic, or its deletion."""
        if self._announcement is None:
            return
        if topic is None:
            self._topics.pop(name, None)
        else:
            self._topics[name] = topic
        if self._link is not None:
            self._link.send(messages.encode(messages.TopicAnnouncement(broker, name, topic)))


class _MemberLink(asyncio.Protocol):
    """The connection to the owner."""

    def __init__(
        self,
        received: Callable[["_MemberLink", object], None],
        lost: Callable[[], None],
        reader: messages.MessageReader,
    ) -> None:
        self._on_received, self._on_lost, self._reader = received, lost, reader
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not subclasses of asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        try:
            for message in self._reader.feed(data):
                if self._transport is not None:
                    self._on_received(self, message)
        except Exception:  # noqa: BLE001 - a new connection begins with all users and policies
            _LOG.exception("a message of the process that stores users and policies could not be applied")
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._transport = None
        self._on_lost()

    def send(self, data: bytes) -> None:
        """Send bytes; without a connection this has no effect."""
        if self._transport is not None:
            self._transport.write(data)

    def close(self) -> None:
        """Close the connection at once; a second call has no effect."""
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()


def _check_open(data: bytes) -> None:
    if not data:
        raise ConnectionResetError("it has closed the connection")


def _lock_file(directory: Path) -> tuple[int, str]:
    """Create and lock the file that shows that this process lives; return its descriptor and its name.

    Raises:
        StartFailed: It cannot be created or locked.
    """
    end = time.monotonic() + LOCK_S
    while True:
        path = directory / f"{os.getpid()}-{secrets.token_hex(4)}.lock"
        try:
            with contextlib.suppress(FileExistsError):
                directory.mkdir(mode=0o700)
            lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as exc:
            raise StartFailed(f"the file `{path}` cannot be created: {exc.strerror}") from None
        try:
            if _is_locked(lock, path, end):
                return lock, path.name
            reason = "another process locks or removes it"
        except OSError as exc:
            end, reason = 0.0, str(exc.strerror)
        os.close(lock)
        path.unlink(missing_ok=True)
        if time.monotonic() >= end:
            raise StartFailed(f"the file `{path}` cannot be locked: {reason}")


def _is_locked(lock: int, path: Path, end: float) -> bool:
    """Lock a file that was just created; return False if it has no lock at the end, or has lost its name.

    An owner that starts locks each file for a moment (`has_ended`), and removes files that no process has locked.
    """
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= end:
                return False
            time.sleep(_LOCK_RETRY_S)
            continue
        try:
            return os.path.samestat(os.fstat(lock), path.lstat())
        except FileNotFoundError:
            return False
