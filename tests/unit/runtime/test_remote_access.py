"""Users and policies of a remote store in the event loop: order of updates, age, and changes in a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from mqguard.auth.errors import MetadataStoreFailed
from mqguard.auth.manager import MetadataManager
from mqguard.auth.ports import Change, ChangeRecord, DeleteUser, Metadata, MetadataUpdate, OnUpdate, PutUser
from mqguard.dispatch.request import Request
from mqguard.remoting.codes import ResponseCode
from mqguard.remoting.command import Command, Reply
from mqguard.runtime.remote.access import ChangeLog, RemoteAccess
from mqguard.store.metadata.memory import MemoryMetadataStore
from mqguard.testing.metadata_contract import user

CHANGE = 3001
WAIT_S = 60.0


class SlowStore:
    """A remote store in memory; a test may hold back its reports, and may have it fail.

    Attributes:
        reported: Updates that are not passed on yet.
        failure: Raised by each call.
    """

    def __init__(self, memory: MemoryMetadataStore) -> None:
        self.memory = memory
        self.failure: MetadataStoreFailed | None = None
        self.is_held = False
        self.reported: list[MetadataUpdate] = []
        self.on_update: OnUpdate = lambda _update: None
        self.restarts = 0
        self.loads = 0
        self.removed: list[str] = []

    def check(self) -> None:
        if self.failure is not None:
            raise self.failure

    def load(self) -> Metadata:
        self.check()
        self.loads += 1
        return self.memory.load()

    def confirm(self) -> int:
        self.check()
        return self.memory.load().revision

    def apply(self, changes: Sequence[Change], expected_revision: int) -> int:
        self.check()
        return self.memory.apply(changes, expected_revision)

    def apply_recorded(self, changes: Sequence[Change], expected_revision: int, record: ChangeRecord) -> int:
        return self.apply(changes, expected_revision)

    def unwritten_records(self) -> Sequence[ChangeRecord]:
        return ()

    def records_written(self, ids: Sequence[str]) -> None:
        self.check()
        self.removed += ids

    def watch(self, on_update: OnUpdate) -> None:
        self.on_update = on_update
        self.memory.watch(self.report)

    def report(self, update: MetadataUpdate) -> None:
        if self.is_held:
            self.reported.append(update)
        else:
            self.on_update(update)

    def restart_watch(self) -> None:
        self.restarts += 1

    def close(self) -> None:
        self.memory.close()


class World:
    """A process with a remote store, and another process that writes to it."""

    def __init__(self, max_age_ms: int = 60_000) -> None:
        self.other = MemoryMetadataStore()
        self.store = SlowStore(self.other.share())
        self.access = RemoteAccess(self.store, max_age_ms, 20)
        self.manager = MetadataManager(self.access)
        changer = self.manager.fork(self.access.writer)

        def change(request: Request) -> Reply:
            changer.create_user(request.command.ext["name"], "secret")
            return Reply(remark="made")

        self.access.serve(changer, {CHANGE: change}, ChangeLog(), lambda _change: None)
        self.replies: list[Reply] = []

    def write(self, *changes: Change) -> int:
        """Make a change in the other process."""
        return self.other.apply(changes, self.other.load().revision)

    def attach(self) -> None:
        self.access.attach(asyncio.get_running_loop(), self.manager, lambda: None)

    def request(self, name: str, *, still_allowed: bool = True) -> None:
        request: Any = SimpleNamespace(
            command=Command(CHANGE, ext={"name": name}),
            link=SimpleNamespace(closed=False),
            access=SimpleNamespace(hold=lambda: None, still_allowed=lambda: still_allowed, user="root"),
        )
        reply = self.access.forward(request)
        assert reply is None

    @property
    def names(self) -> set[str]:
        return {found.name for found in self.manager.snapshot.users()}


@pytest.fixture(autouse=True)
def answers(monkeypatch: pytest.MonkeyPatch) -> list[Reply]:
    """Collect the answers of requests."""
    found: list[Reply] = []
    monkeypatch.setattr(Request, "respond", lambda _self, reply: found.append(reply))
    return found


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():  # noqa: ASYNC110 - the condition is not an event
            await asyncio.sleep(0.005)


def run(test: Callable[[World], Any], world: World | None = None) -> None:
    world = world or World()

    async def main() -> None:
        world.attach()
        try:
            await test(world)
        finally:
            world.access.close()

    asyncio.run(main())


def test_updates_are_applied_in_the_order_of_revisions() -> None:
    """A later one that arrives first waits for the earlier one."""

    async def test(world: World) -> None:
        world.store.is_held = True
        for name in "abc":
            world.write(PutUser(user(name)))
        first, second, third = world.store.reported
        world.request("own")  # While a change is made, a gap is not yet a missing update.
        for update in (third, second, first):
            world.store.on_update(update)
        world.store.is_held = False
        await until(lambda: world.names == {"a", "b", "c", "own"})

    run(test)


def test_a_missing_update_is_noticed_and_everything_is_loaded() -> None:
    async def test(world: World) -> None:
        world.store.is_held = True
        world.write(PutUser(user("lost")))
        await until(lambda: "lost" in world.names)
        assert world.store.restarts > 0
        assert world.access.reloads > 0

    run(test)


def test_a_change_is_decided_by_everything_that_the_store_has(answers: list[Reply]) -> None:
    """An update that has not arrived yet is awaited, or loaded."""

    async def test(world: World) -> None:
        world.store.is_held = True
        world.write(PutUser(user("alice")))
        world.request("bob")
        await until(lambda: answers)
        assert answers[0].remark == "made"
        assert world.names == {"alice", "bob"}
        assert world.manager.revision == world.other.load().revision

    run(test)


def test_a_sender_that_was_changed_meanwhile_must_ask_again(answers: list[Reply]) -> None:
    async def test(world: World) -> None:
        world.write(PutUser(user("alice")))
        world.request("bob", still_allowed=False)
        await until(lambda: answers)
        assert answers[0].code == ResponseCode.SYSTEM_BUSY
        assert world.names == {"alice"}

    run(test)


def test_the_snapshot_never_has_an_earlier_version() -> None:
    """Cached verdicts belong to a version, so two snapshots must not have the same one."""

    async def test(world: World) -> None:
        versions = {world.manager.snapshot.version: frozenset(world.names)}
        for number in range(20):
            world.write(PutUser(user(f"u{number}")))
            world.request(f"own{number}")
            await until(lambda number=number: {f"u{number}", f"own{number}"} <= world.names)  # type: ignore[misc]
            version = world.manager.snapshot.version
            assert version > max(versions)
            versions[version] = frozenset(world.names)

    run(test)


def test_a_store_that_goes_back_is_loaded_again() -> None:
    """This happens when an older backup is restored."""

    async def test(world: World) -> None:
        world.write(PutUser(user("kept")))
        world.write(PutUser(user("gone")))
        await until(lambda: world.names == {"kept", "gone"})
        older = MemoryMetadataStore([user("kept")])
        world.store.memory = older
        await until(lambda: world.names == {"kept"})
        assert world.manager.revision == 0

    run(test)


def test_no_answer_of_the_store_ages_the_snapshot_until_it_is_refused() -> None:
    async def test(world: World) -> None:
        await until(lambda: world.access.is_current)
        world.store.failure = MetadataStoreFailed("it is gone")
        await until(lambda: not world.access.is_current)
        world.store.failure = None
        await until(lambda: world.access.is_current)

    run(test, World(max_age_ms=400))


def test_a_state_that_cannot_be_loaded_is_never_confirmed() -> None:
    async def test(world: World) -> None:
        store = world.store
        load = store.load

        def corrupt() -> Metadata:
            raise MetadataStoreFailed("a key is not valid")

        store.load = corrupt  # type: ignore[method-assign]
        store.on_update(MetadataUpdate(0, 0, None))
        await until(lambda: not world.access.is_current)
        store.load = load  # type: ignore[method-assign]
        await until(lambda: world.access.is_current)

    run(test, World(max_age_ms=400))


def test_a_change_fails_without_the_store(answers: list[Reply]) -> None:
    async def test(world: World) -> None:
        world.store.failure = MetadataStoreFailed("it is gone")
        world.request("bob")
        await until(lambda: answers)
        assert answers[0].code == ResponseCode.SYSTEM_ERROR
        assert "it is gone" in (answers[0].remark or "")
        assert not world.names

    run(test)


def test_too_many_changes_do_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mqguard.runtime.remote.access.MAX_OPEN_REQUESTS", 0)

    async def test(world: World) -> None:
        request: Any = SimpleNamespace(command=Command(CHANGE, ext={"name": "a"}))
        reply = world.access.forward(request)
        assert reply is not None
        assert reply.code == ResponseCode.SYSTEM_BUSY

    run(test)


def test_the_event_loop_makes_no_call_of_the_store() -> None:
    async def test(world: World) -> None:
        with pytest.raises(MetadataStoreFailed, match="requests only"):
            world.access.apply([DeleteUser("a")], 0)
        world.access.records_written(["r-1"])
        await until(lambda: world.store.removed == ["r-1"])

    run(test)
