"""The owner of users and policies, with members on its real socket."""

import asyncio
import contextlib
import errno
import fcntl
import logging
import os

import pytest

from mqguard import __version__
from mqguard.auth.manager import MetadataManager
from mqguard.auth.seal import SealingKey
from mqguard.namesrv.route_table import RouteTable
from mqguard.remoting.codes import RequestCode, ResponseCode
from mqguard.remoting.command import Reply
from mqguard.runtime.sharing import messages
from mqguard.runtime.sharing.owner import PAUSE_S, AccessOwner
from mqguard.runtime.sharing.published_store import PublishedStore
from mqguard.store.metadata.memory import MemoryMetadataStore


class OwnerWorld:
    """An owner on the running event loop, and raw connections of members."""

    def __init__(self, directory):
        self.directory = directory
        store = PublishedStore(MemoryMetadataStore())
        manager = MetadataManager(store)
        self.served = []
        handlers = dict.fromkeys([int(RequestCode.AUTH_CREATE_USER)], self.serve)
        self.owner = AccessOwner(directory, manager, store, SealingKey(bytes(32)), handlers, RouteTable(), 10_000)
        self.owner.attach(asyncio.get_running_loop(), lambda: None)
        self.files = []

    def serve(self, request):
        self.served.append(request.command.code)
        return Reply(remark="done")

    async def join(self):
        """Connect as a member; return the streams after the first message of the owner."""
        members = self.directory / messages.MEMBERS_DIRECTORY
        members.mkdir(exist_ok=True)
        name = f"{len(self.files)}.lock"
        self.files.append(os.open(members / name, os.O_RDWR | os.O_CREAT))
        fcntl.flock(self.files[-1], fcntl.LOCK_EX)
        reader, writer = await asyncio.open_unix_connection(str(self.directory / messages.SOCKET_FILE))
        writer.write(messages.encode(messages.Hello(messages.PROTOCOL, __version__, f"broker-{name}", name)))
        assert isinstance(await received(reader), messages.FullState)
        writer.write(messages.encode(messages.Applied(self.owner._manager.revision)))
        return reader, writer

    def close(self):
        self.owner.close()
        for file in self.files:
            os.close(file)


async def received(reader):
    """Return the next message."""
    size = int.from_bytes(await reader.readexactly(4), "big")
    found = messages.MessageReader(messages.FromOwner, messages.MAX_FROM_OWNER_BYTES)
    return found.feed(size.to_bytes(4, "big") + await reader.readexactly(size))[0]


@contextlib.asynccontextmanager
async def world_at(directory):
    world = OwnerWorld(directory)
    try:
        yield world
    finally:
        world.close()
        await asyncio.sleep(0)


def forwarded(number, code):
    return messages.encode(messages.ChangeRequest(number, 0, None, "", False, "10.0.0.1", code, 0, 0, {}, b""))


@pytest.mark.parametrize("code", [RequestCode.SEND_MESSAGE_V2, RequestCode.AUTH_GET_USER, 99_999])
def test_a_forwarded_request_that_changes_nothing_is_answered(tmp_path, code):
    async def scene():
        async with world_at(tmp_path) as world, asyncio.timeout(20):
            reader, writer = await world.join()
            writer.write(forwarded(7, int(code)) + forwarded(8, int(RequestCode.AUTH_CREATE_USER)))
            refused, done = await received(reader), await received(reader)
            assert (refused.number, refused.code) == (7, ResponseCode.REQUEST_CODE_NOT_SUPPORTED)
            assert refused.remark == f"request code {int(code)} does not change users or policies: nothing was changed"
            assert (done.number, done.code, done.remark) == (8, 0, "done")
            assert world.served == [RequestCode.AUTH_CREATE_USER]
            writer.close()

    asyncio.run(scene())


class FullListener:
    """A listener whose system has no descriptor for another connection, until a test changes it."""

    def __init__(self, listener):
        self._listener = listener
        self.is_full = True
        self.tries = 0

    def accept(self):
        self.tries += 1
        if self.is_full:
            raise OSError(errno.EMFILE, "Too many open files")
        return self._listener.accept()

    def __getattr__(self, name):
        return getattr(self._listener, name)


def test_an_owner_without_descriptors_tries_again_after_a_pause(tmp_path, caplog):
    async def scene():
        async with world_at(tmp_path) as world, asyncio.timeout(20):
            listener = world.owner._listener = FullListener(world.owner._listener)
            async with asyncio.TaskGroup() as tasks:
                joining = tasks.create_task(world.join())
                await asyncio.sleep(3 * PAUSE_S)
                # A loop without a pause tries some ten thousand times.
                assert 1 <= listener.tries <= 5
                listener.is_full = False
            _, writer = joining.result()
            assert world.owner.members == 1
            writer.close()
            listener.is_full = True
            _, other = await asyncio.open_unix_connection(str(tmp_path / messages.SOCKET_FILE))
            await asyncio.sleep(PAUSE_S / 2)
            other.close()
        await asyncio.sleep(2 * PAUSE_S)  # the pause of an owner that was closed ends without an error

    with caplog.at_level(logging.WARNING):
        asyncio.run(scene())
    lines = [record.message for record in caplog.records if "cannot be accepted" in record.message]
    assert lines == ["a connection to `access.sock` cannot be accepted: Too many open files"] * 2
