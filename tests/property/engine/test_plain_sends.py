"""Plain sends, which take one pass through the engine, end as by its general path: in results, records and errors."""

from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st

from mqguard.engine.errors import EngineError
from mqguard.engine.messages import SendRequest
from mqguard.engine.sender import Sender
from mqguard.model import properties
from mqguard.model.topic import PERM_READ, TopicConfig
from mqguard.store.memory import MemoryMessageStore
from tests.fixtures.clock import ManualClock
from tests.fixtures.engine import make_engine

NAMES = (
    "UNIQ_KEY",
    "KEYS",
    "TAGS",
    "WAIT",
    "DELAY",
    "TRAN_MSG",
    "MSG_REGION",
    "REAL_TOPIC",
    "TIMER_DELAY_SEC",
    "",
    "a",
)
names = st.one_of(st.sampled_from(NAMES), st.text(max_size=3))
values = st.one_of(st.sampled_from(("7F000001", "k1 k2", "1", "", "true")), st.text(max_size=6))
texts = st.one_of(
    st.lists(st.tuples(names, values), max_size=5).map(lambda pairs: "".join(f"{n}\x01{v}\x02" for n, v in pairs)),
    st.sampled_from(("UNIQ_KEY\x017F\x02", "UNIQ_KEY\x017F", "UNIQ_KEY\x017F\x02KEYS\x01k\x02TAGS\x01t\x02")),
    st.text("UNIQ_KEY\x01\x02=", max_size=20),
    st.integers(32_600, 32_767).map(lambda size: "UNIQ_KEY\x017F\x02a\x01".ljust(size, "x")),
)
numbers = st.one_of(st.integers(0, 8), st.sampled_from((-1, 2**31 - 1, 2**31, 2**63 - 1, 2**63, -(2**31), 0x10, 0x40)))
requests = st.builds(
    SendRequest,
    topic=st.sampled_from(
        ("orders", "orders", "orders", "read-only", "missing", "%RETRY%g", "", "SCHEDULE_TOPIC_XXXX")
    ),
    body=st.sampled_from((b"", b"body", b"x" * 65)),
    properties=texts,
    queue_id=st.one_of(st.integers(-1, 9), numbers),
    flag=numbers,
    sys_flag=numbers,
    born_timestamp=numbers,
    born_ip=st.sampled_from(("10.0.0.1", "2001:db8::1", "::ffff:10.0.0.1", "")),
    born_port=st.sampled_from((0, 40_000)),
    reconsume_times=numbers,
)


def outcomes(sent):
    """Return the results or errors of sends, and what was stored."""
    store = MemoryMessageStore()
    engine = make_engine(store, ManualClock(), max_message_bytes=64)
    engine.topics.put(TopicConfig("orders", 4, 4))
    engine.topics.put(TopicConfig("read-only", 4, 4, PERM_READ))
    found = []
    for request in sent:
        try:
            found.append(engine.send(request))
        except EngineError as error:
            found.append((type(error), str(error)))
    engine.group_commit.commit()
    stored = [(queue.topic, queue.queue_id, store.read(queue, 0, 100, 1 << 20)) for queue in store.queues()]
    entries = [store.entries(queue, 0, 100) for queue in store.queues()]
    store.close()
    return found, sorted(stored), entries


@settings(max_examples=max(200, settings.default.max_examples))
@given(st.lists(requests, min_size=1, max_size=6))
def test_a_plain_send_ends_as_by_the_general_path(sent):
    in_one_pass = outcomes(sent)
    with mock.patch.object(Sender, "_send_plain", return_value=None):
        assert in_one_pass == outcomes(sent)


@given(st.one_of(texts, st.text("ab\x01\x02", max_size=12)))
def test_properties_are_parsed_pair_by_pair(text):
    expected = {}
    for pair in text.split("\x02"):
        name, end, value = pair.partition("\x01")
        if name and end:
            expected[name] = value
    assert properties.parse(text) == expected
    assert list(properties.parse(text)) == list(expected)
