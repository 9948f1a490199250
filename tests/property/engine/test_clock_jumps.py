"""Messages are found by their times, whatever jumps the machine's date makes."""

from hypothesis import given
from hypothesis import strategies as st

from mqguard.engine.store_clock import FALL_SLACK_MS
from mqguard.model.topic import TopicConfig
from mqguard.store.memory import MemoryMessageStore
from tests.fixtures.clock import START_MS, ManualClock
from tests.fixtures.engine import make_engine, read, send

STEPS = st.one_of(
    st.tuples(st.just("send"), st.integers(0, 2)),
    st.tuples(st.just("pass"), st.integers(1, 30_000)),
    st.tuples(st.just("jump"), st.integers(-3_600_000, 3_600_000) | st.integers(-20_000, 20_000)),
    st.tuples(st.just("restart"), st.just(0)),
)


@given(st.lists(STEPS, max_size=40), st.lists(st.integers(-4_000_000, 4_000_000), min_size=1, max_size=8))
def test_offsets_by_time_are_those_of_a_search_through_all_messages(steps, asked):
    store, clock = MemoryMessageStore(), ManualClock()
    engine = make_engine(store, clock)
    engine.topics.put(TopicConfig("orders", 3, 3))
    engine.group_commit.commit()
    stored = {queue_id: [] for queue_id in range(3)}
    for step, value in steps:
        if step == "send":
            send(engine, queue_id=value)
            found = read(engine, queue_id=value, offset=len(stored[value]))[0].store_timestamp
            assert 0 <= found - clock.now <= FALL_SLACK_MS
            stored[value].append(found)
        elif step == "pass":
            clock.now += value
        elif step == "jump":
            clock.jump(value)
        else:
            engine = make_engine(store, clock)
    for queue_id, times in stored.items():
        for time in (*(START_MS + span for span in asked), *times):
            first = next((at for at, found in enumerate(times) if found >= time), len(times))
            last = max((at for at, found in enumerate(times) if found <= time), default=0)
            assert engine.offset_at("orders", queue_id, time) == first
            assert engine.offset_at("orders", queue_id, time, upper=True) == last
