"""Denials that are alike are counted, and none is lost."""

import dataclasses
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from mqguard.guard import audit, denial_groups
from mqguard.guard.denial_groups import (
    ADDRESSES,
    FIRST_INTERVAL_MS,
    MAX_INTERVAL_MS,
    MAX_LISTED,
    USERS,
    DenialGroups,
    Folded,
    Repeats,
)
from mqguard.telemetry import audit_writer
from tests.fixtures.memory import reachable_objects

SMALL = dataclasses.replace(USERS, groups=3, senders=2, burst=2, per_minute=6)
NOW = 1_700_000_000_000


def folded(now=NOW, user="alice", resource="Topic:t", code=310, source="10.1.2.3"):
    return Folded(0, user, "signature", 1, now, now, [source], [code], ["SEND_MESSAGE_V2"], ["denied"], [resource])


def deny(groups, key, sender, now):
    """Count one denial as the guard does; True if it has a line of its own."""
    if groups.repeat(key, now) is not None:
        return False
    if groups.may_open(sender, now):
        groups.open(key, f"case {key}", sender, now, written=True)
        return True
    groups.fold(folded(now, sender), sender)
    return False


def test_equal_denials_are_counted_with_their_first_and_last_time():
    groups, written = DenialGroups(USERS), []
    assert deny(groups, "k", "alice", NOW)
    for later in (1, 2, 3):
        assert not deny(groups, "k", "alice", NOW + later)
    groups.write_due(NOW + FIRST_INTERVAL_MS - 1, lambda record: written.append(record) or True)
    assert written == []
    groups.write_due(NOW + FIRST_INTERVAL_MS, lambda record: written.append(record) or True)
    assert written == [Repeats("case k", 3, NOW + 1, NOW + 3)]


def test_the_interval_grows_while_they_go_on_and_ends_when_they_end():
    """A client that is refused for ever costs a line each ten minutes; after a pause the next is a first one again."""
    groups, written = DenialGroups(USERS), []
    deny(groups, "k", "alice", NOW)
    for second in range(3600):
        now = NOW + second * 1000
        groups.repeat("k", now)
        groups.write_due(now, lambda record: written.append(record) or True)
    assert sum(record.count for record in written) > 3600 - MAX_INTERVAL_MS // 1000
    assert len(written) < 15
    for _ in range(2):
        now += MAX_INTERVAL_MS
        groups.write_due(now, lambda record: written.append(record) or True)
    assert sum(record.count for record in written) == 3600
    assert groups.repeat("k", now) is None


def test_a_line_that_finds_no_room_is_counted():
    groups, written = DenialGroups(USERS), []
    groups.open("k", "case", "alice", NOW, written=False)
    groups.write_due(NOW + FIRST_INTERVAL_MS, lambda _record: False)
    groups.write_due(NOW + FIRST_INTERVAL_MS + 1, lambda record: written.append(record) or True)
    assert written == [Repeats("case", 1, NOW, NOW)]


def test_a_budget_is_one_senders_and_comes_back():
    groups = DenialGroups(dataclasses.replace(SMALL, groups=100))
    told = [deny(groups, f"a{number}", "alice", NOW) for number in range(4)]
    assert told == [True, True, False, False]
    assert deny(groups, "b", "bob", NOW)
    assert deny(groups, "a9", "alice", NOW + 10_000)
    assert not deny(groups, "a10", "alice", NOW + 10_000)


def test_all_senders_together_have_a_budget():
    groups = DenialGroups(dataclasses.replace(USERS, burst_of_all=3, per_minute_of_all=6))
    told = [deny(groups, f"k{number}", f"user{number}", NOW) for number in range(5)]
    assert told == [True] * 3 + [False] * 2
    assert deny(groups, "k", "carol", NOW + 10_000)


def test_what_is_folded_names_some_of_everything():
    one = folded(user="alice")
    for number in range(100):
        one.add(folded(NOW + number, "alice", f"Topic:{'x' * 500}{number}"[:128], number, f"10.1.2.{number}"))
    assert (one.count, one.first_ms, one.when_ms, one.user) == (101, NOW, NOW + 99, "alice")
    assert {len(one.sources), len(one.codes)} == {MAX_LISTED}
    one.add(folded(user="bob"))
    assert (one.user, one.method) == ("", "")


def test_who_finds_no_place_is_folded_with_others():
    groups, written = DenialGroups(SMALL), []
    for number in range(10):
        groups.fold(folded(user=f"user{number}"), f"user{number}")
    groups.write_all(NOW, lambda record: written.append(record) or True)
    assert sorted((record.user, record.count) for record in written) == [("", 8), ("user0", 1), ("user1", 1)]


MAX_OBJECTS = 150
"""Objects that groups with the limits `SMALL` may keep alive; 3,000 random runs of 80 denials had at most 86."""


@given(
    st.lists(
        st.tuples(
            st.integers(0, 12),
            st.sampled_from(["alice", "bob", "carol", "dave"]),
            st.sampled_from([0, 1, 100, 6_000, 700_000]),
        ),
        max_size=80,
    ),
    st.lists(st.booleans(), min_size=1, max_size=5),
)
def test_no_denial_is_lost_and_memory_is_bounded(denials, room):
    """Whatever comes in whatever order, and whenever there is room: lines and counts together are all there were."""
    groups, counted, now, turn = DenialGroups(SMALL), 0, NOW, 0

    def write(record):
        nonlocal counted, turn
        turn += 1
        if not room[turn % len(room)]:
            return False
        counted += record.count
        return True

    for key, sender, wait in denials:
        now += wait
        counted += deny(groups, (key, sender), sender, now)
        groups.write_due(now, write)
        assert len(groups) <= SMALL.groups
        assert reachable_objects(groups) <= MAX_OBJECTS
    room = [True]
    groups.write_all(now, write)
    assert counted == len(denials)


def test_users_who_take_all_groups_hide_no_denial_of_another_user():
    groups = DenialGroups(USERS)
    for number in range(USERS.groups + USERS.burst):
        deny(groups, number, f"greedy{number % 17}", NOW)
    assert len(groups) == USERS.groups
    assert deny(groups, "secret", "bob", NOW)
    assert len(groups) == USERS.groups


def test_a_group_that_is_given_up_is_written_with_its_count():
    groups, written = DenialGroups(SMALL), []
    for sender in ("alice", "alice", "bob"):
        deny(groups, (sender, len(groups)), sender, NOW)
    groups.repeat(("alice", 0), NOW + 1)
    assert deny(groups, "new", "carol", NOW + 2)
    groups.write_due(NOW + 2, lambda record: written.append(record) or True)
    assert written == [Repeats("case ('alice', 0)", 1, NOW + 1, NOW + 1)]
    assert groups.repeat(("alice", 0), NOW + 3) is None


def test_a_tick_writes_a_bounded_part():
    groups, written = DenialGroups(USERS), []
    for number in range(200):
        groups.open(number, number, "alice", NOW, written=False)
    groups.write_due(NOW + FIRST_INTERVAL_MS, lambda record: written.append(record) or True)
    assert len(written) == denial_groups.MAX_PER_TICK


def test_folded_denials_are_audited_at_their_time_and_again():
    """After 5 seconds, then after 10, and each time only what is new; what ends is forgotten."""
    groups, written = DenialGroups(USERS), []

    def write(record):
        written.append(record)
        return True

    groups.fold(folded(NOW), "alice")
    groups.write_due(NOW + FIRST_INTERVAL_MS - 1, write)
    assert written == []
    now = NOW + FIRST_INTERVAL_MS
    groups.write_due(now, write)
    groups.fold(folded(now + 1), "alice")
    groups.fold(folded(now + 2), "alice")
    groups.write_due(now + 2 * FIRST_INTERVAL_MS - 1, write)
    assert [record.count for record in written] == [1]
    groups.write_due(now + 2 * FIRST_INTERVAL_MS, write)
    assert [(record.count, record.first_ms, record.when_ms) for record in written[1:]] == [(2, now + 1, now + 2)]
    groups.write_due(now + MAX_INTERVAL_MS, write)
    assert reachable_objects(groups) <= reachable_objects(DenialGroups(USERS)) + 2


def test_what_is_folded_is_named_in_part_from_the_first_on():
    groups, written = DenialGroups(USERS), []
    first = folded(NOW + 5)
    first.resources = ["x" * 1_000] * 100
    groups.fold(first, "alice")
    second = folded(NOW, resource="Topic:u")
    second.reasons, second.shadowed = ["other"], 1
    groups.fold(second, "alice")
    groups.write_all(NOW, lambda record: written.append(record) or True)
    (record,) = written
    assert len(record.resources) == MAX_LISTED
    assert {len(name) for name in record.resources} == {denial_groups.MAX_LISTED_NAME}
    assert (record.reasons, record.shadowed, record.first_ms) == (["denied", "other"], 1, NOW)
    assert folded().shadowed == 0
    assert len(groups) == 0


def test_the_budgets_in_memory_are_those_of_the_last_senders():
    """A sender that was away for longest starts anew when it comes back."""
    groups = DenialGroups(dataclasses.replace(SMALL, burst=1))
    assert [groups.spend(sender, NOW) for sender in ("a", "b", "a", "c", "a", "b")] == [
        True,
        True,
        False,
        True,
        False,
        True,
    ]


def test_a_clock_that_goes_back_takes_no_budget():
    groups = DenialGroups(dataclasses.replace(SMALL, burst=2))
    assert [groups.spend("a", now) for now in (NOW, NOW - 3_600_000, NOW - 3_600_000)] == [True, True, False]


def test_counts_are_written_at_their_time_after_the_clock_was_set_back():
    groups, written = DenialGroups(USERS), []

    def write(record):
        return written.append(record) or True

    deny(groups, "k", "alice", NOW)
    groups.write_due(NOW + 1, write)
    back = NOW - 3_600_000
    groups.write_due(back, write)
    deny(groups, "k", "alice", back + 1)
    groups.write_due(back + FIRST_INTERVAL_MS, write)
    assert written == [Repeats("case k", 1, back + 1, back + 1)]


def test_the_page_has_the_limits():
    page = (Path(__file__).parents[3] / "docs" / "audit.md").read_text().replace("\n", " ")
    for told in (
        f"Each user can cause {USERS.burst} lines at once and {USERS.per_minute} a minute in the long run",
        f"all users together {USERS.burst_of_all:,} and {USERS.per_minute_of_all}",
        (
            f"limits are {ADDRESSES.burst} and {ADDRESSES.per_minute}, together {ADDRESSES.burst_of_all:,} "
            f"and {ADDRESSES.per_minute_of_all}"
        ),
        f"after {FIRST_INTERVAL_MS // 1000} seconds, then at intervals that double up to {MAX_INTERVAL_MS // 60_000} minutes",
        f"have {MAX_LISTED} elements at most",
        f"cut after {audit.MAX_NAME} characters. A record has at most {audit.MAX_PERMISSIONS} resources",
        f"with {audit.MAX_NAMES:,} characters together",
        f"at most {audit.MAX_DETAILS} details of {audit.MAX_DETAIL:,} characters, and {audit.MAX_ALL_DETAILS:,} characters",
        f"{audit_writer.QUEUE_LIMIT:,} records or {audit_writer.MAX_BYTES >> 20} MB of lines may wait",
        f"have {audit_writer.RESERVED:,} places and {audit_writer.MAX_BYTES >> 21} MB in addition",
    ):
        assert told in page, told
