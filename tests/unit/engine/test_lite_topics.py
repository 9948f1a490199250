"""Lite topics: their creation by a send, their limits, their time to live and their removal."""

import pytest

from mqguard.engine import lite_topics
from mqguard.engine.errors import LiteLimitReached, MessageIllegal
from mqguard.engine.lite_topics import MIN_LIFE_MS, ROUND_MS
from mqguard.model import record
from mqguard.model.topic import TopicConfig
from tests.fixtures.engine import make_engine, message, pairs_of, read, send, send_batch, ticked

STORES = ("memory", "rocksdb")
MINUTE = 60_000


def parent(engine, name="p", minutes=-1, queues=1):
    attributes = {"message.type": "LITE", "lite.topic.expiration": str(minutes)}
    engine.topics.put(TopicConfig(name, queues, queues, attributes=attributes))
    assert engine.group_commit.commit()


def send_lite(engine, lite, body=b"x", topic="p", **fields):
    return send(engine, body, topic, {"__LITE_TOPIC": lite}, **fields)


def bodies(engine, store, lite, topic="p"):
    queue = store.queue(f"%LMQ%${topic}${lite}", 0)
    if queue is None or queue.min_offset == queue.max_offset:
        return []
    found = store.read(queue, queue.min_offset, 100, 1 << 20)
    return [record.decode(data).body for data in found if data is not None]


class TestSends:
    def test_a_message_is_in_its_parent_and_in_its_lite_topic(self, engine, store):
        parent(engine)
        for number, lite in enumerate("abab"):
            send_lite(engine, lite, b"%d" % number)
        assert [one.body for one in read(engine, "p")] == [b"0", b"1", b"2", b"3"]
        assert bodies(engine, store, "a") == [b"0", b"2"]
        assert bodies(engine, store, "b") == [b"1", b"3"]

    def test_a_message_names_its_place_in_the_lite_topic(self, engine):
        """The names are those of Apache's broker 5.5.0, from whose values clients build handles."""
        parent(engine)
        send_lite(engine, "a")
        sent = send_lite(engine, "b")
        send(engine, topic="p", pairs={"__LITE_TOPIC": "a", "INNER_MULTI_QUEUE_OFFSET": "7"})
        found = [pairs_of(one) for one in read(engine, "p")]
        assert [one["INNER_MULTI_DISPATCH"] for one in found] == ["%LMQ%$p$a", "%LMQ%$p$b", "%LMQ%$p$a"]
        assert [one["INNER_MULTI_QUEUE_OFFSET"] for one in found] == ["0", "0", "1"]
        assert (sent.queue_id, sent.queue_offset) == (0, 1)

    def test_a_topic_of_another_type_gets_no_lite_topics(self, engine, store):
        send(engine, topic="plain", pairs={"__LITE_TOPIC": "a"})
        assert len(engine.lite) == 0
        assert {queue.topic for queue in store.queues()} == {"plain"}

    @pytest.mark.parametrize("lite", ["a b", "a$b", "a%b", "ä", "a" * 65, "a\n"])
    def test_an_invalid_name_is_refused(self, engine, lite):
        parent(engine)
        with pytest.raises(MessageIllegal, match="is not 1 to 64 letters, digits, `_` and `-`"):
            engine.send(message(topic="p", pairs={"__LITE_TOPIC": lite}))
        assert len(engine.lite) == 0

    @pytest.mark.parametrize("pairs", [{"DELAY": "3"}, {"TIMER_DELAY_SEC": "9"}, {"TRAN_MSG": "true"}])
    def test_a_message_for_a_lite_topic_is_stored_at_once(self, engine, pairs):
        parent(engine)
        with pytest.raises(MessageIllegal, match="cannot be delayed"):
            engine.send(message(topic="p", pairs={"__LITE_TOPIC": "a", **pairs}))

    def test_a_batch_has_no_messages_for_lite_topics(self, engine):
        parent(engine)
        with pytest.raises(MessageIllegal, match="send each of them alone"):
            send_batch(engine, [record.BatchMessage(b"x", b"__LITE_TOPIC\x01a\x02")], topic="p")

    def test_a_failed_commit_leaves_no_lite_topic(self, store, clock):
        engine = make_engine(store, clock)
        parent(engine)
        send_lite(engine, "a")
        engine.send(message(topic="p", pairs={"__LITE_TOPIC": "b"}))
        engine.send(message(topic="p", pairs={"__LITE_TOPIC": "a"}))
        engine.group_commit.refuse("test")
        assert [topic.lite for topic in engine.lite.of("p")] == ["a"]
        send_lite(engine, "a")
        send_lite(engine, "b")
        assert [pairs_of(one)["INNER_MULTI_QUEUE_OFFSET"] for one in read(engine, "p")] == ["0", "1", "0"]

    def test_arrivals_are_told_after_the_commit_only(self, engine):
        parent(engine)
        seen = []
        engine.lite.on_arrival(lambda *one: seen.append(one))
        engine.send(message(topic="p", pairs={"__LITE_TOPIC": "a"}))
        engine.send(message(topic="p", pairs={"__LITE_TOPIC": "a"}))
        assert seen == []
        assert engine.group_commit.commit()
        assert seen == [("p", "%LMQ%$p$a")]
        engine.send(message(topic="p", pairs={"__LITE_TOPIC": "b"}))
        engine.group_commit.refuse("test")
        send_lite(engine, "c")
        assert seen == [("p", "%LMQ%$p$a"), ("p", "%LMQ%$p$c")]

    def test_lite_topics_are_there_after_a_restart(self, store, clock):
        engine = make_engine(store, clock)
        parent(engine)
        for lite in ("a", "b", "a"):
            send_lite(engine, lite)
        again = make_engine(store, clock)
        assert sorted(topic.lite for topic in again.lite.of("p")) == ["a", "b"]
        send_lite(again, "a")
        assert pairs_of(read(again, "p")[-1])["INNER_MULTI_QUEUE_OFFSET"] == "2"


class TestLimits:
    @pytest.fixture(autouse=True)
    def _few(self, monkeypatch):
        monkeypatch.setattr(lite_topics.LiteTopics.__init__, "__defaults__", (4,))

    def test_the_number_is_limited_and_each_user_has_a_share(self, store, clock):
        engine = make_engine(store, clock)
        parent(engine)
        for number in range(4):
            send_lite(engine, f"a{number}", creator="alice")
        with pytest.raises(LiteLimitReached, match="there are 4, and at most 4 are kept"):
            engine.send(message(topic="p", pairs={"__LITE_TOPIC": "more"}, creator="alice"))
        send_lite(engine, "a1", creator="alice")
        send_lite(engine, "b0", creator="bob")
        send_lite(engine, "b1", creator="bob")
        with pytest.raises(LiteLimitReached):
            engine.send(message(topic="p", pairs={"__LITE_TOPIC": "b2"}, creator="bob"))
        assert len(engine.lite) == 6


class TestRemoval:
    def test_a_lite_topic_is_deleted_after_its_time_to_live(self, engine, store, clock):
        parent(engine, minutes=20)
        send_lite(engine, "old", b"old")
        clock.now += 15 * MINUTE
        send_lite(engine, "new", b"new")
        clock.now += 6 * MINUTE
        ticked(engine, clock, 100)
        assert [topic.lite for topic in engine.lite.of("p")] == ["new"]
        assert [one.body for one in read(engine, "p")] == [b"old", b"new"]
        assert bodies(engine, store, "new") == [b"new"]

    def test_a_message_keeps_its_lite_topic(self, engine, clock):
        parent(engine, minutes=20)
        send_lite(engine, "a")
        for _ in range(4):
            clock.now += 15 * MINUTE
            send_lite(engine, "a")
            ticked(engine, clock, 100)
        assert len(engine.lite) == 1

    @pytest.mark.parametrize(("minutes", "left"), [(-1, 1), (0, 1), (1, 0)])
    def test_a_time_to_live_that_is_not_positive_is_for_ever(self, engine, clock, minutes, left):
        parent(engine, minutes=minutes)
        send_lite(engine, "a")
        clock.now += MIN_LIFE_MS - 200
        ticked(engine, clock, 100)
        assert len(engine.lite) == 1
        clock.now += ROUND_MS + 100
        ticked(engine, clock, 100)
        assert len(engine.lite) == left

    def test_the_time_counts_after_a_restart_too(self, store, clock):
        engine = make_engine(store, clock)
        parent(engine, minutes=20)
        send_lite(engine, "a")
        again = make_engine(store, clock)
        ticked(again, clock, 100)
        assert len(again.lite) == 1
        clock.now += 21 * MINUTE
        ticked(again, clock, 100)
        assert len(again.lite) == 0
        assert len(make_engine(store, clock).lite) == 0

    def test_a_lite_topic_begins_again_after_its_deletion(self, engine, store, clock):
        parent(engine, minutes=20)
        send_lite(engine, "a", b"old")
        clock.now += 21 * MINUTE
        ticked(engine, clock, 100)
        send_lite(engine, "a", b"new")
        ticked(engine, clock, 1000)
        assert bodies(engine, store, "a") == [b"new"]
        assert [one.body for one in read(engine, "p")] == [b"old", b"new"]

    def test_a_lite_topic_whose_messages_were_deleted_by_age_is_deleted(self, store, clock):
        engine = make_engine(store, clock, reserved_hours=1)
        parent(engine)
        send_lite(engine, "a")
        clock.now += 2 * 3_600_000
        send_lite(engine, "b")
        engine.delete_expired()
        ticked(engine, clock, 1000)
        clock.now += ROUND_MS
        ticked(engine, clock, 1000)
        assert [topic.lite for topic in engine.lite.of("p")] == ["b"]

    def test_a_deleted_parent_takes_its_lite_topics_with_it(self, engine, store):
        parent(engine)
        parent(engine, "q")
        send_lite(engine, "a")
        send_lite(engine, "a", topic="q")
        engine.topics.delete("p")
        engine.group_commit.refuse("test")
        assert [topic.lite for topic in engine.lite.of("p")] == ["a"]
        engine.topics.delete("p")
        assert engine.group_commit.commit()
        assert list(engine.lite.of("p")) == []
        assert bodies(engine, store, "a", "q") == [b"x"]
        parent(engine)
        send_lite(engine, "a", b"new")
        assert bodies(engine, store, "a") == [b"new"]

    def test_the_bytes_of_links_are_counted_once(self, store, clock):
        """Deletion by size keeps as many messages as it does for a topic without lite topics."""
        engine = make_engine(store, clock, max_bytes=100_000)
        parent(engine)
        for number in range(70):
            send_lite(engine, str(number % 3), b"x" * 1000)
        ticked(engine, clock, 1000)
        assert store.queue("p", 0).min_offset == 0
        for number in range(50):
            send_lite(engine, str(number % 3), b"x" * 1000)
        ticked(engine, clock, 1000)
        kept = store.queue("p", 0).max_offset - store.queue("p", 0).min_offset
        assert 50 < kept < 100
