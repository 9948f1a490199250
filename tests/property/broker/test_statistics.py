"""Statistics agree with a plain log of what happened, whatever the order of events and the steps of the clock."""

import math
import types

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from mqguard.broker.sample_windows import Window
from mqguard.broker.statistics import Statistics
from mqguard.model.record import BatchMessage
from mqguard.model.topic import TopicConfig
from tests.fixtures.clock import START_MS
from tests.fixtures.engine import make_engine, send, send_batch

TOPICS = ("a", "b")
GROUPS = ("g", "h")
USER = types.SimpleNamespace(owner="alice")
topics, groups, queues = st.sampled_from(TOPICS), st.sampled_from(GROUPS), st.integers(0, 1)


class Log:
    """A plain list of events, and the times at which samples of it were taken."""

    def __init__(self):
        self.events = []
        self.samples = {window: [] for window in Window}
        self.due = dict.fromkeys(Window, START_MS)

    def sample(self, now):
        for window, due in self.due.items():
            if now >= due:
                self.due[window] = now + window.interval_ms
                self.samples[window].append((now, len(self.events)))

    def sum_of(self, window, key, begun, number):
        """Return the sum of one number of the events with a key, between the first and the last sample."""
        interval, maximum = window.value
        taken = [one for one in self.samples[window] if one[1] > begun]
        if not taken:
            return 0
        taken = [(taken[0][0] - interval, begun), *taken][-maximum:]
        events = self.events[taken[0][1] : taken[-1][1]]
        return sum(event[number] for event in events if event[0] == key)


class StatisticsMachine(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.engine = make_engine()
        for name in TOPICS:
            self.engine.topics.put(TopicConfig(name, 2, 2))
        self.engine.group_commit.commit()
        self.statistics = Statistics(self.engine, "C", START_MS)
        self.now = START_MS
        self.log = Log()
        self.begun = {}

    def happened(self, key, times, messages):
        # Apache's counters begin with the first event, so windows begin there too.
        self.begun.setdefault(key, len(self.log.events))
        self.log.events.append((key, times, messages))

    @rule(topic=topics, queue_id=queues)
    def send(self, topic, queue_id):
        send(self.engine, topic=topic, queue_id=queue_id)
        self.happened(("put", topic), 1, 1)

    @rule(topic=topics, queue_id=queues, count=st.integers(1, 4))
    def send_batch(self, topic, queue_id, count):
        send_batch(self.engine, [BatchMessage(b"x")] * count, topic=topic, queue_id=queue_id)
        self.statistics.batch_sent(topic, queue_id, count)
        self.happened(("put", topic), 1, count)

    @rule(topic=topics, queue_id=queues, group=groups, count=st.integers(1, 32))
    def deliver(self, topic, queue_id, group, count):
        self.statistics.delivered(topic, queue_id, group, USER, count, 10 * count, 0.0)
        self.happened(("get", topic, group), 1, count)

    @rule(topic=topics)
    def delete(self, topic):
        self.engine.topics.delete(topic)
        self.engine.topics.put(TopicConfig(topic, 2, 2))
        self.engine.group_commit.commit()
        self.statistics.drop_topic(topic)
        for key in [key for key in self.begun if key[1] == topic]:
            del self.begun[key]

    @rule(step=st.sampled_from([50, 3_000, 10_000, 10_050, 600_000, 3_600_000, 7_200_000]))
    def tick(self, step):
        self.now += step
        self.statistics.tick(self.now)
        self.log.sample(self.now)

    @invariant()
    def sums_agree_with_the_log(self):
        for kind, *names in self.begun:
            key = (kind, *names)
            name = {"put": "TOPIC_PUT_NUMS", "get": "GROUP_GET_NUMS"}[kind]
            view = self.statistics.view(name, "@".join(names))
            if view is None:
                # The sampler finds a topic at the next round.
                assert kind == "put"
                continue
            for window, shown in zip(Window, view, strict=True):
                messages = self.log.sum_of(window, key, self.begun[key], 2)
                times = self.log.sum_of(window, key, self.begun[key], 1)
                assert shown.sum == messages
                assert math.isclose(shown.avgpt, messages / times if times else 0.0)
                assert shown.tps >= 0


TestStatistics = StatisticsMachine.TestCase
TestStatistics.settings = settings(stateful_step_count=40)
