"""Admissions are counted by kind and minute, and none is lost."""

import collections
import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqguard.auth.analysis.access_state import AccessState
from mqguard.auth.analysis.replay import replay
from mqguard.auth.user import Subject, UserType
from mqguard.guard import admission_groups
from mqguard.guard.admission_groups import MINUTE_MS, AdmissionCount, AdmissionMode, AdmissionsOff
from mqguard.guard.audit import AuditEvent, AuditTrail
from mqguard.guard.audit_format import AuditLines, StreamLines
from mqguard.guard.audit_log_reader import AuditReader
from mqguard.guard.errors import Refused
from mqguard.guard.settings import GuardSettings
from mqguard.model.peer import Channel, Peer
from tests.fixtures.sinks import RecordingSink
from tests.unit.guard.world import World, signed

SUMMARY, OFF = AdmissionMode.SUMMARY, AdmissionMode.OFF
PEERS = {address: Peer(address, 40_000, Channel(address)) for address in ("10.1.2.3", "10.1.2.4", "::1")}


def world_of(mode, **settings):
    world = World(GuardSettings(authentication_enabled=True, authorization_enabled=True, **settings), admissions=mode)
    world.user("bob", UserType.SUPER)
    world.allow("alice", "Topic:orders*", "Pub")
    world.allow("alice", "Group:g", "Sub")
    world.allow("alice", "Topic:prices", "Sub", sources=("10.1.2.0/24", "::1"))
    return world


def lines(world):
    return [json.loads(line) for line in AuditLines().render(world.sink.records)[1].splitlines()]


def read(world):
    reader = AuditReader()
    for line in AuditLines().render(world.sink.records)[1].splitlines():
        reader.take(line)
    return reader


def end_minute(world):
    world.clock.now = (world.clock.now // MINUTE_MS + 1) * MINUTE_MS
    world.audit.tick(world.clock.now)


def test_equal_admissions_of_a_minute_have_one_record():
    world = world_of(SUMMARY)
    start = world.clock.now
    for _ in range(3):
        world.admit(signed(310, b="orders-1"))
        world.clock.now += 1_000
    world.admit(signed(310, b="orders-2"))
    assert world.sink.records == []

    end_minute(world)

    first, second = lines(world)
    assert [first["count"], second["count"], world.audit.admissions.summed] == [3, 1, 4]
    assert (first["first"], first["last"], first["time"]) == (
        "2023-11-14T22:13:20.000Z",
        "2023-11-14T22:13:22.000Z",
        "2023-11-14T22:13:22.000Z",
    )
    assert (first["user"], first["source"], first["verdict"], first["micros"]) == ("alice", "10.1.2.3", "allow", 1)
    assert [one["resource"] for one in first["permissions"]] == ["Topic:orders-1"]
    assert world.sink.records[0].first_ms == start
    text = AuditLines().render(world.sink.records)[0].decode()
    assert " on resource = Topic:orders-1 for request = 310. This happened 3 times since 2023-11-15 06:13:20.\n" in text
    assert "Signature" not in text


def test_the_next_minute_begins_a_record_of_its_own():
    world = world_of(SUMMARY)
    world.admit(signed(310, b="orders"))
    world.clock.now += MINUTE_MS
    world.admit(signed(310, b="orders"))
    world.audit.tick(world.clock.now)
    assert [record.count for record in world.sink.records] == [1]
    world.audit.close(world.clock.now)
    assert [record.count for record in world.sink.records] == [1, 1]


def test_a_clock_that_is_set_back_ends_the_minute():
    world = world_of(SUMMARY)
    world.admit(signed(310, b="orders"))
    world.audit.tick(world.clock.now - 3_600_000)
    assert [record.count for record in world.sink.records] == [1]


def test_denials_and_administrative_requests_have_full_records():
    world = world_of(SUMMARY)
    world.refusal(signed(310, b="secret"))
    world.admit(signed(17, user="bob", topic="t"))
    assert [type(record) for record in world.sink.records] == [AuditEvent, AuditEvent]


def test_requests_that_a_whitelist_admits_have_full_records():
    """Peers without credentials cannot use up the groups of users."""
    for mode in (SUMMARY, OFF):
        world = world_of(mode, authentication_whitelist=frozenset({"105"}), authorization_whitelist=frozenset({"105"}))
        world.admit(signed(105, user="nobody", topic="t"))
        assert [type(record) for record in world.sink.records] == [AuditEvent]


def test_kinds_beyond_the_limit_have_full_records(monkeypatch):
    monkeypatch.setattr(admission_groups, "MAX_GROUPS", 2)
    world = world_of(SUMMARY)
    for _ in range(2):
        for number in range(4):
            world.admit(signed(310, b=f"orders-{number}"))
    end_minute(world)
    kinds = collections.Counter(type(record) for record in world.sink.records)
    assert kinds == {AuditEvent: 4, AdmissionCount: 2}
    assert read(world).decisions == 8


def test_records_without_room_are_written_later_and_stay_bounded(monkeypatch):
    """With a full queue two minutes of groups wait, and further admissions are dropped and counted by the sink."""
    monkeypatch.setattr(admission_groups, "MAX_GROUPS", 2)
    world = world_of(SUMMARY)
    world.sink.limit = 0
    for minute in range(3):
        for number in range(2):
            world.admit(signed(310, b=f"orders-{minute}-{number}"))
        end_minute(world)
    assert world.audit.admissions.summed == 4
    assert world.sink.rejected >= 2
    world.sink.limit = 100
    world.audit.tick(world.clock.now)
    assert [record.count for record in world.sink.records] == [1, 1, 1, 1]


def test_a_step_writes_a_bounded_number_of_records(monkeypatch):
    monkeypatch.setattr(admission_groups, "MAX_PER_STEP", 2)
    world = world_of(SUMMARY)
    for number in range(5):
        world.admit(signed(310, b=f"orders-{number}"))
    end_minute(world)
    assert len(world.sink.records) == 2
    world.audit.tick(world.clock.now)
    world.audit.tick(world.clock.now)
    assert len(world.sink.records) == 5


def test_counts_without_room_at_the_end_are_logged(caplog):
    world = world_of(SUMMARY)
    world.sink.limit = 0
    for _ in range(3):
        world.admit(signed(310, b="orders"))
    world.audit.close(world.clock.now)
    assert "no room for the counts of 3 admissions" in caplog.text


def test_a_change_of_policies_begins_another_record():
    """The entry that decided is part of the record."""
    world = world_of(SUMMARY)
    world.admit(signed(310, b="orders"))
    world.metadata.delete_acl(Subject("alice"))
    world.allow("alice", "Topic:*", "Pub")
    world.admit(signed(310, b="orders"))
    world.audit.close(world.clock.now)
    deciders = [line["permissions"][0]["decided_by"]["resource"] for line in lines(world)]
    assert deciders == ["Topic:orders*", "Topic:*"]


def test_off_writes_two_lines_and_counts():
    sink = RecordingSink()
    trail = AuditTrail(sink, OFF)
    trail.admissions.open(1_000)
    world = world_of(OFF)
    for _ in range(3):
        world.admit(signed(310, b="orders"))
    world.refusal(signed(310, b="secret"))
    world.audit.close(world.clock.now)
    assert sink.records == [AdmissionsOff(1_000)]
    assert [type(record) for record in world.sink.records] == [AuditEvent, AdmissionsOff]
    assert [line.get("count") for line in lines(world)] == [None, 3]
    assert world.audit.admissions.unrecorded == 3
    assert read(world).is_without_admissions
    rendered = StreamLines().render(world.sink.records)
    assert b"auditAdmissions = off; 3 since the start." in rendered[2]
    assert not read(world_of(SUMMARY)).is_without_admissions


REQUESTS = st.tuples(
    st.sampled_from(["alice", "bob", "root"]),
    st.sampled_from(["orders", "orders-1", "prices", "secret"]),
    st.sampled_from([310, 11, 17]),
    st.sampled_from(sorted(PEERS)),
    st.sampled_from([0, 1, 700, 40_000, 200_000]),
)


@pytest.mark.parametrize("limit", [2, 4_096])
@given(requests=st.lists(REQUESTS, max_size=40))
def test_the_sums_of_summaries_are_those_of_full_records(limit, requests):
    """For every decision the number, the time of the last one, and the result of a replay are equal."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(admission_groups, "MAX_GROUPS", limit)
        found = []
        for mode in (AdmissionMode.FULL, SUMMARY):
            world = world_of(mode)
            for user, topic, code, address, pause in requests:
                fields = {"b": topic} if code == 310 else {"topic": topic, "consumerGroup": "g"}
                with contextlib.suppress(Refused):
                    world.admit(signed(code, fields, user=user), PEERS[address])
                world.clock.now += pause
                world.audit.tick(world.clock.now)
            world.audit.close(world.clock.now)
            found.append((world, read(world)))
    (full_world, full), (_, summary) = found
    assert summary.asked == full.asked
    assert (summary.decisions, summary.folded, summary.unreadable) == (full.decisions, full.folded, 0)
    assert (summary.last, summary.lost) == (full.last, full.lost)
    snapshot = full_world.metadata.snapshot
    assert replay(summary.asked, AccessState.of(snapshot.users(), snapshot.acls())).changed == ()
