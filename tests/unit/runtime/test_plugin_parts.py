"""Plugins as sinks and as the store, made safe."""

import asyncio
import json
import threading
import time

import pytest

from mqguard.auth.errors import MetadataStoreFailed, MetadataStoreFull, RevisionConflict
from mqguard.auth.manager import MetadataManager
from mqguard.auth.policy import Action
from mqguard.auth.ports import ChangeRecord, MetadataUpdate, PutUser
from mqguard.auth.resource import ResourceType
from mqguard.guard.admission_groups import AdmissionMode
from mqguard.guard.audit import AdminChange, AuditEvent, AuditTrail
from mqguard.guard.permissions import RequiredPermission
from mqguard.guard.request_context import Operation
from mqguard.runtime import audit_log, plugin_store
from mqguard.runtime.audit_log import FanOutSink, PluginSink
from mqguard.runtime.plugin_store import ChangeJournal, PluginStore
from mqguard.store.metadata.memory import MemoryMetadataStore
from mqguard.testing.metadata_contract import SharedMetadataContract, user, users_of
from tests.fixtures.metadata import FailingStore
from tests.fixtures.sinks import RecordingSink
from tests.fixtures.waiting import eventually


def change(number):
    return AdminChange(
        when_ms=1_700_000_000_000,
        user="root",
        source="10.1.2.3",
        operation="create-user",
        subject=f"User:u{number}",
        details={},
        outcome="done",
    )


class Taking:
    """A sink that does as the test says."""

    def __init__(self, fails=0):
        self.fails = fails
        self.lines = []
        self.closed = False
        self.work = ()
        self.free = None

    def write(self, lines):
        if self.free is not None:
            self.free.wait(20)
        if self.fails:
            self.fails -= 1
            raise SystemExit
        self.lines += lines

    def close(self):
        self.closed = True
        raise ValueError("cannot")


@pytest.mark.parametrize("fails", [0, 1, 3])
def test_a_sink_gets_everything_once_and_in_order(monkeypatch, fails, caplog):
    monkeypatch.setattr(audit_log, "RETRY_S", 0.01)
    taking = Taking(fails)
    sink = PluginSink("s", taking)
    sink.start()
    assert all(sink.put(change(number)) for number in range(3000))
    assert eventually(lambda: len(taking.lines) >= 3000)
    sink.close()
    assert [line.split(b'"User:u')[1].split(b'"')[0] for line in taking.lines] == [b"%d" % n for n in range(3000)]
    assert taking.closed
    assert ("rejects records" in caplog.text) is bool(fails)


def test_a_sink_gets_the_counts_of_admissions():
    taking = Taking()
    sink = PluginSink("s", taking)
    sink.start()
    trail = AuditTrail(FanOutSink(RecordingSink(), [sink]), AdmissionMode.SUMMARY)
    operation = Operation(name="Send")
    assert all(trail.record(AuditEvent(operation, "10.1.2.3", 0, when_ms=now)) for now in (1, 2, 3))
    trail.close(4)
    sink.close()
    assert [json.loads(line)["count"] for line in taking.lines] == [3]


def test_what_waits_at_the_end_is_given():
    taking = Taking()
    sink = PluginSink("s", taking)
    sink.start()
    sink.put(change(1))
    sink.close()
    assert len(taking.lines) == 1


def test_a_sink_that_hangs_fills_its_queue_and_does_not_hold_up_the_end(caplog):
    taking = Taking()
    taking.free = threading.Event()
    sink = PluginSink("s", taking, limit=10)
    sink.start()
    found = [sink.put(change(number)) for number in range(20)]
    assert found == [True] * 10 + [False] * 10
    assert sink.dropped == 10
    sink.close(0.1)
    assert "did not accept 10 records" in caplog.text
    taking.free.set()


def test_there_is_room_only_where_all_have_room():
    first, full, other = RecordingSink(), RecordingSink(limit=0), RecordingSink()
    assert FanOutSink(first, [other]).put(1)
    assert not FanOutSink(first, [full, other]).put(2)
    assert not FanOutSink(full, [other]).put(3)
    assert other.records == [1, 2, 3]


def test_a_denial_that_the_files_take_is_given_to_no_sink_twice():
    """The files decide, since a record that is tried again would come twice to all that had room."""
    first, full, other = RecordingSink(), RecordingSink(limit=0), RecordingSink()
    assert FanOutSink(first, [full, other]).put(1, reserved=True, receipt="r")
    assert not FanOutSink(full, [other]).put(2, reserved=True, receipt="r")
    assert (first.records, first.arguments) == ([1], [(True, "r")])
    assert (other.records, other.arguments) == ([1], [(True, "")])


def test_a_sink_has_room_of_its_own_for_denials_and_changes():
    sink = PluginSink("s", Taking(), limit=1)
    assert sink.put(change(1))
    assert not sink.put(change(2))
    assert sink.put(change(3), reserved=True)


@pytest.fixture
def journal(tmp_path):
    return ChangeJournal(tmp_path / "changes.json")


class AtOnce:
    """A loop that calls at once, for one thread."""

    def call_soon(self, call):
        call()

    call_soon_threadsafe = call_soon

    def call_later(self, _delay, call):
        self.later = call


class TestPluginStore(SharedMetadataContract):
    """Behind the wrapping a store is a store."""

    @pytest.fixture
    def inner(self):
        return MemoryMetadataStore()

    @pytest.fixture
    def store(self, inner, tmp_path):
        made = PluginStore(inner, 5000, ChangeJournal(tmp_path / "changes.json"))
        made.attach(AtOnce())
        return made

    @pytest.fixture
    def other(self, inner, tmp_path):
        made = PluginStore(inner.share(), 5000, ChangeJournal(tmp_path / "other.json"))
        made.attach(AtOnce())
        return made


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(1)])
def test_a_store_that_raises_anything_has_failed(error, journal):
    inner = FailingStore()
    store = PluginStore(inner, 1000, journal)
    inner.error = error
    with pytest.raises(MetadataStoreFailed, match="see the server's log"):
        store.apply([], 0)
    inner.error = MetadataStoreFull("no room")
    with pytest.raises(MetadataStoreFull):
        store.apply([], 0)


def test_a_store_that_hangs_is_waited_for_once(journal):
    inner = FailingStore()
    inner.free = threading.Event()
    store = PluginStore(inner, 50, journal)
    with pytest.raises(MetadataStoreFailed, match="does not answer"):
        store.apply([], 0)
    started = time.monotonic()
    with pytest.raises(MetadataStoreFailed, match="changes need a restart"):
        store.apply([], 0)
    store.close()
    assert time.monotonic() - started < 0.05
    inner.free.set()


@pytest.mark.parametrize("found", [None, True, "5", 4, -1])
def test_a_store_whose_revision_does_not_grow_gets_no_other_change(found, journal):
    """It is not known if such a store has made the change."""

    class Odd(MemoryMetadataStore):
        def apply(self, changes, expected_revision):
            return found

    store = PluginStore(Odd(), 1000, journal)
    with pytest.raises(MetadataStoreFailed, match="returned a wrong type"):
        store.apply_recorded([PutUser(user())], 4, RECORD)
    with pytest.raises(MetadataStoreFailed, match="changes need a restart"):
        store.apply([PutUser(user())], 4)
    assert store.unwritten_records() == [ChangeRecord("c1", b"data", doubtful=True)]


def test_a_conflict_is_passed_on_and_leaves_no_record(journal):
    store = PluginStore(MemoryMetadataStore(), 1000, journal)
    with pytest.raises(RevisionConflict, match="revision 0, not 7"):
        store.apply_recorded([PutUser(user())], 7, RECORD)
    assert store.unwritten_records() == []
    assert store.apply_recorded([PutUser(user())], 0, RECORD) == 1


class WatchedStore(FailingStore):
    """A store that keeps the callback for changes of other servers."""

    loads = True

    def watch(self, on_update):
        self.on_update = on_update
        super().watch(on_update)

    def load(self):
        if not self.loads:
            raise ZeroDivisionError
        return super().load()


def watching(journal, inner=None):
    """Return a manager on a plugin, another on the same store, and the plugin with its wrapping."""
    inner = inner or MemoryMetadataStore()
    store = PluginStore(inner, 1000, journal)
    return MetadataManager(store), MetadataManager(inner.share()), store


def test_changes_of_another_server_are_put_in_force_in_the_event_loop(journal):
    """They are reported in a thread of the plugin, and wait until there is a loop."""
    manager, other, store = watching(journal)
    other.create_user("early", "x")
    assert manager.snapshot.user("early") is None

    async def run():
        store.attach(asyncio.get_running_loop())
        threads = []
        seen = asyncio.Event()

        def watch(update):
            threads.append(threading.current_thread())
            if manager.snapshot.user("u49") is not None:
                seen.set()

        store.watch(watch)
        thread = threading.Thread(target=lambda: [other.create_user(f"u{number}", "x") for number in range(50)])
        thread.start()
        async with asyncio.timeout(10):
            await seen.wait()
        thread.join()
        assert set(threads) == {threading.main_thread()}

    asyncio.run(run())
    assert users_of(store).keys() == {user.name for user in manager.snapshot.users()}


def test_after_too_many_updates_everything_is_loaded(journal, monkeypatch):
    monkeypatch.setattr(plugin_store, "MAX_UPDATES", 3)
    manager, other, store = watching(journal)
    applied = []
    store.watch(applied.append)
    for number in range(11):
        other.create_user(f"u{number}", "x")
    store.attach(AtOnce())
    assert 0 < len(applied) <= 3
    assert users_of(store).keys() == {user.name for user in manager.snapshot.users()}


def test_an_update_that_cannot_be_loaded_is_tried_again(journal, caplog):
    inner = WatchedStore()
    manager, other, store = watching(journal, inner)
    loop = AtOnce()
    store.attach(loop)
    inner.loads = False
    inner.on_update(MetadataUpdate(5, 4, None))
    assert "could not be applied yet" in caplog.text
    inner.loads = True
    other.create_user("alice", "x")
    loop.later()
    assert manager.snapshot.user("alice") is not None


@pytest.mark.parametrize("update", [None, 5, ("x", 1, ()), MetadataUpdate("1", 0, ()), MetadataUpdate(1, 0, ["x"])])
def test_what_is_not_an_update_is_refused(update, journal):
    inner = WatchedStore()
    manager, _, store = watching(journal, inner)
    store.attach(AtOnce())
    before = manager.snapshot
    with pytest.raises(TypeError):
        inner.on_update(update)
    assert manager.snapshot is before


def test_a_store_that_loads_nonsense_has_failed(journal):
    class Odd(MemoryMetadataStore):
        def load(self):
            return {"users": []}

    with pytest.raises(MetadataStoreFailed, match="returned a wrong type"):
        PluginStore(Odd(), 1000, journal).load()


def test_a_record_of_many_resources_takes_more_places():
    need = RequiredPermission(ResourceType.TOPIC, "t", frozenset({Action.PUB}))
    sink, taking = PluginSink("s", Taking(), limit=20), Taking()
    many = AuditEvent(Operation(name=""), "10.1.2.3", 0, permissions=(need,) * 32)
    assert [sink.put(many) for _ in range(3)] == [True, True, False]

    sink = PluginSink("s", taking, limit=20)
    sink.start()
    for _ in range(10):
        assert eventually(lambda: sink.put(many))
    sink.close()
    assert len(taking.lines) == 10


RECORD = ChangeRecord("c1", b"data")


def test_the_record_of_a_change_is_kept_until_it_is_written(journal):
    store = PluginStore(MemoryMetadataStore(), 1000, journal)
    store.apply_recorded([], 0, RECORD)
    assert store.unwritten_records() == [RECORD]
    store.records_written(["c1", "never-there"])
    assert store.unwritten_records() == []


def test_the_record_of_a_change_that_failed_is_not_kept(journal):
    inner = FailingStore()
    inner.error = MetadataStoreFull("no room")
    store = PluginStore(inner, 1000, journal)
    with pytest.raises(MetadataStoreFull):
        store.apply_recorded([], 0, RECORD)
    assert store.unwritten_records() == []


def test_the_record_of_a_change_with_an_unknown_outcome_is_kept(journal):
    """The plugin may have made it; one that is refused beforehand leaves none."""
    inner = FailingStore()
    inner.free = threading.Event()
    store = PluginStore(inner, 50, journal)
    for record in (RECORD, ChangeRecord("c2", b"data")):
        with pytest.raises(MetadataStoreFailed):
            store.apply_recorded([], 0, record)
    assert store.unwritten_records() == [ChangeRecord("c1", b"data", doubtful=True)]
    inner.free.set()


def test_a_change_that_was_made_is_made_although_its_record_cannot_be_marked(journal, monkeypatch, caplog):
    def fail(_record_id):
        raise MetadataStoreFailed("the disk is gone")

    monkeypatch.setattr(journal, "made", fail)
    store = PluginStore(MemoryMetadataStore(), 1000, journal)
    store.apply_recorded([], 0, RECORD)
    assert "the disk is gone" in caplog.text


def test_a_change_whose_record_cannot_be_kept_is_not_made(tmp_path):
    inner = MemoryMetadataStore()
    store = PluginStore(inner, 1000, ChangeJournal(tmp_path / "missing" / "changes.json"))
    with pytest.raises(MetadataStoreFailed, match="record of the change cannot be written"):
        store.apply_recorded([PutUser(user("alice"))], 0, RECORD)
    assert not inner.load().users
