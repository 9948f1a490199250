"""Pop: places, filters, limits, new groups, redelivery and its limits, order, removal and restart."""

import pytest

from mqguard.engine import pop as pop_module
from mqguard.engine.errors import ConfigIllegal, LimitReached, NoSuchQueue, NoSuchTopic, NotReadable, NotWritable
from mqguard.engine.filters import tag_filter
from mqguard.engine.pop_request import MAX_INVISIBLE_MS, PopRequest
from mqguard.engine.settings import EngineSettings
from mqguard.model import names, properties, record
from mqguard.model.topic import PERM_WRITE, SubscriptionGroupConfig, TopicConfig
from tests.fixtures.engine import make_engine, pairs_of, read, send, ticked

STORES = ("memory", "rocksdb")


def group(engine, name="g", **fields):
    engine.groups.put(SubscriptionGroupConfig(name, **fields))
    engine.group_commit.commit()


def request(**fields):
    return PopRequest(**{"group": "g", "topic": "orders", "invisible_ms": 1000, "owner": "u", **fields})


def pop(engine, **fields):
    """Pop and commit; return the messages as (handle, record)."""
    found = engine.pop.pop(request(**fields))
    assert engine.group_commit.commit()
    return [
        ((batch.topic, batch.queue_id, one.offset, found.pop_time), record.decode(one.record))
        for batch in found.batches
        for one in batch.messages
    ]


def bodies(found):
    return [one.body for _, one in found]


def ack(engine, handle, name="g"):
    done = engine.pop.ack(name, *handle)
    assert engine.group_commit.commit()
    return done


class TestPop:
    def test_a_popped_message_is_hidden_from_its_group_only(self, engine):
        group(engine)
        group(engine, "other")
        send(engine, b"one")
        assert bodies(pop(engine)) == [b"one"]
        assert pop(engine) == []
        assert bodies(pop(engine, group="other")) == [b"one"]

    def test_all_queues_or_one_are_popped(self, engine):
        group(engine)
        for queue_id in range(3):
            send(engine, b"%d" % queue_id, queue_id=queue_id)
        assert bodies(pop(engine, queue_id=1)) == [b"1"]
        assert sorted(bodies(pop(engine))) == [b"0", b"2"]

    def test_the_number_of_messages_is_limited_and_the_rest_counted(self, engine):
        group(engine)
        for number in range(40):
            send(engine, b"%d" % number)
        found = engine.pop.pop(request(max_messages=100))
        assert [len(batch.messages) for batch in found.batches] == [32]
        assert found.rest == 8

    def test_bytes_are_limited_but_one_large_message_is_returned(self, engine):
        group(engine)
        for _ in range(3):
            send(engine, b"x" * 200_000)
        assert [len(pop(engine)) for _ in range(3)] == [1, 1, 1]

    def test_messages_that_do_not_match_are_passed_for_good(self, engine):
        group(engine)
        send(engine, b"a", pairs={"TAGS": "A"})
        send(engine, b"b", pairs={"TAGS": "B"})
        assert bodies(pop(engine, wanted=tag_filter("B"))) == [b"b"]
        assert pop(engine) == []

    def test_a_pop_passes_a_bounded_number_of_messages(self, engine, monkeypatch):
        monkeypatch.setattr(pop_module, "MAX_SCANNED", 2)
        group(engine)
        for queue_id in range(3):
            for _ in range(2):
                send(engine, b"a", pairs={"TAGS": "A"}, queue_id=queue_id)
        found = engine.pop.pop(request(wanted=tag_filter("B")))
        assert found.is_cut
        assert found.rest == 4

    def test_a_user_without_rights_on_a_message_passes_it(self, engine):
        group(engine)
        send(engine, b"one")
        assert pop(engine, readable=lambda _records: []) == []
        assert pop(engine) == []

    def test_what_does_not_exist_or_is_forbidden_is_refused(self, engine):
        group(engine)
        with pytest.raises(NoSuchTopic):
            pop(engine, topic="none")
        send(engine, b"one")
        with pytest.raises(NoSuchQueue):
            pop(engine, queue_id=99)
        engine.topics.put(TopicConfig("closed", 1, 1, PERM_WRITE))
        with pytest.raises(NotReadable):
            pop(engine, topic="closed")

    @pytest.mark.parametrize("invisible_ms", [-1, MAX_INVISIBLE_MS + 1])
    def test_an_impossible_invisible_time_is_refused(self, engine, invisible_ms):
        group(engine)
        send(engine, b"one")
        with pytest.raises(ConfigIllegal):
            pop(engine, invisible_ms=invisible_ms)
        [(handle, _)] = pop(engine)
        with pytest.raises(ConfigIllegal):
            engine.pop.change_invisible("g", *handle, invisible_ms)

    def test_a_long_attempt_is_refused(self, engine):
        group(engine)
        send(engine, b"one")
        with pytest.raises(ConfigIllegal):
            pop(engine, in_order=True, attempt_id="x" * 256)


class TestPriority:
    def test_the_highest_queue_of_a_topic_of_priorities_comes_first(self, engine, clock):
        group(engine)
        engine.topics.put(TopicConfig("orders", 4, 4, attributes={"message.type": "PRIORITY"}))
        for queue_id in (0, 3, 1, 2):
            send(engine, b"%d" % queue_id, queue_id=queue_id)
        assert bodies(pop(engine, max_messages=1)) == [b"3"]
        ticked(engine, clock, 1100)
        for expected in (b"2", b"1", b"0", b"3"):
            assert bodies(pop(engine, max_messages=1)) == [expected]

    def test_a_group_may_ignore_priorities(self, engine):
        group(engine, attributes={"priority.factor": "0"})
        engine.topics.put(TopicConfig("orders", 4, 4, attributes={"message.type": "PRIORITY"}))
        for queue_id in range(4):
            for _ in range(8):
                send(engine, b"%d" % queue_id, queue_id=queue_id)
        assert len({bodies(pop(engine, max_messages=1))[0] for _ in range(8)}) > 1


class TestNewGroup:
    def test_a_small_queue_is_read_from_the_start(self, engine):
        group(engine)
        send(engine, b"one")
        send(engine, b"two")
        assert bodies(pop(engine, from_end=True)) == [b"one", b"two"]

    def test_of_a_large_queue_only_the_last_message_is_read(self, engine, monkeypatch):
        monkeypatch.setattr(pop_module, "SMALL_QUEUE", 1)
        group(engine)
        group(engine, "other")
        send(engine, b"one")
        send(engine, b"two")
        assert bodies(pop(engine, from_end=True)) == [b"two"]
        assert bodies(pop(engine, group="other")) == [b"one", b"two"]

    def test_the_first_pop_of_an_empty_queue_decides(self, engine, monkeypatch):
        monkeypatch.setattr(pop_module, "SMALL_QUEUE", 1)
        group(engine)
        engine.topics.put(TopicConfig("orders", 1, 1))
        assert pop(engine, from_end=True) == []
        for number in range(3):
            send(engine, b"%d" % number)
        assert bodies(pop(engine, from_end=True)) == [b"0", b"1", b"2"]


class TestAcknowledgement:
    def test_an_acknowledged_message_never_comes_again(self, engine, clock):
        group(engine)
        send(engine, b"one")
        [(handle, _)] = pop(engine)
        assert ack(engine, handle)
        ticked(engine, clock, 5000)
        assert pop(engine) == []
        assert not ack(engine, handle)

    @pytest.mark.parametrize("part", range(4))
    def test_a_forged_handle_acknowledges_nothing(self, engine, part):
        group(engine)
        send(engine, b"one")
        [(handle, _)] = pop(engine)
        forged = list(handle)
        forged[part] = "%RETRY%g+orders" if part == 0 else forged[part] + 1
        assert not ack(engine, tuple(forged))
        assert ack(engine, handle)

    def test_a_handle_of_another_group_acknowledges_nothing(self, engine):
        group(engine)
        group(engine, "other")
        send(engine, b"one")
        [(handle, _)] = pop(engine)
        assert not ack(engine, handle, "other")
        pop(engine, group="other")
        assert ack(engine, handle, "other"), "both were popped at one time, and each group has its own delivery"
        assert ack(engine, handle)

    def test_the_committed_offset_follows_the_first_open_message(self, engine):
        group(engine)
        for number in range(3):
            send(engine, b"%d" % number)
        handles = [handle for handle, _ in pop(engine)]
        seen = [engine.offsets.get("g", "orders", 0)]
        for number in (1, 0, 2):
            ack(engine, handles[number])
            seen.append(engine.offsets.get("g", "orders", 0))
        assert seen == [0, 0, 2, 3]

    def test_a_changed_time_gives_a_new_handle(self, engine, clock):
        group(engine)
        send(engine, b"one")
        [(handle, _)] = pop(engine)
        changed = engine.pop.change_invisible("g", *handle, 60_000)
        engine.group_commit.commit()
        ticked(engine, clock, 5000)
        assert pop(engine) == []
        assert not ack(engine, handle)
        assert ack(engine, (*handle[:3], changed.pop_time))


class TestRedelivery:
    def test_an_expired_message_comes_again_as_a_copy(self, engine, clock):
        group(engine)
        send(engine, b"one", pairs={"TAGS": "A", "KEYS": "k"})
        [(first, _)] = pop(engine, wanted=tag_filter("A"))
        ticked(engine, clock, 1100)
        [(handle, again)] = pop(engine, wanted=tag_filter("A"))
        assert handle[0] == "%RETRY%g+orders"
        assert (again.body, again.reconsume_times) == (b"one", 1)
        pairs = pairs_of(again)
        assert pairs[properties.FIRST_POP_TIME] == str(first[3])
        assert pairs[properties.RETRY_TOPIC] == "orders"
        assert not ack(engine, first)
        assert ack(engine, handle)
        assert engine.offsets.get("g", "orders", 0) == 1

    def test_a_change_keeps_the_time_of_the_first_pop(self, engine, store, clock):
        group(engine)
        send(engine, b"one")
        [(first, _)] = pop(engine)
        clock.now += 100
        engine.pop.change_invisible("g", *first, 1000)
        engine.group_commit.commit()
        again = make_engine(store, clock)
        ticked(again, clock, 1100)
        [(_, message)] = pop(again)
        assert pairs_of(message)[properties.FIRST_POP_TIME] == str(first[3])

    def test_groups_whose_names_are_alike_have_separate_retry_topics(self, engine, clock):
        group(engine, "a")
        group(engine, "a_b")
        send(engine, b"one", topic="b_c")
        send(engine, b"two", topic="c")
        pop(engine, group="a", topic="b_c")
        pop(engine, group="a_b", topic="c")
        ticked(engine, clock, 1100)
        assert bodies(pop(engine, group="a", topic="b_c")) == [b"one"]
        assert bodies(pop(engine, group="a_b", topic="c")) == [b"two"]

    def test_the_last_attempt_leads_to_the_dead_letter_topic(self, engine, clock):
        group(engine, retry_max_times=1)
        send(engine, b"one")
        for _ in range(2):
            assert bodies(pop(engine)) == [b"one"]
            ticked(engine, clock, 1100)
        assert pop(engine) == []
        [dead] = read(engine, "%DLQ%g")
        assert pairs_of(dead)[properties.DLQ_ORIGIN_TOPIC] == "orders"

    def test_a_suspended_delivery_is_not_an_attempt(self, engine, clock):
        group(engine, retry_max_times=0)
        send(engine, b"one")
        [(handle, _)] = pop(engine)
        engine.pop.change_invisible("g", *handle, 0, is_suspended=True)
        engine.group_commit.commit()
        ticked(engine, clock, 50)
        [(_, again)] = pop(engine)
        assert again.reconsume_times == 0

    def test_a_dead_letter_topic_without_write_permission_keeps_the_message_in_the_retry_topic(self, engine, clock):
        group(engine, retry_max_times=0)
        engine.topics.put(TopicConfig("%DLQ%g", 1, 1, 4))
        send(engine, b"one")
        pop(engine)
        ticked(engine, clock, 1100)
        assert bodies(pop(engine)) == [b"one"]

    def test_a_message_whose_record_was_deleted_does_not_come_again(self, engine, store, clock):
        group(engine)
        send(engine, b"one")
        send(engine, b"two")
        pop(engine)
        store.stage_trim(store.queue("orders", 0), 1)
        engine.group_commit.commit()
        ticked(engine, clock, 1100)
        assert bodies(pop(engine)) == [b"two"]
        assert engine.offsets.get("g", "orders", 0) == 2

    def test_clients_cannot_send_to_a_retry_topic_of_pop(self, engine, clock):
        group(engine)
        send(engine, b"one")
        pop(engine)
        ticked(engine, clock, 1100)
        with pytest.raises(NotWritable):
            send(engine, b"forged", topic="%RETRY%g+orders")

    def test_a_message_with_many_properties_is_kept_whole(self, engine, clock):
        group(engine)
        send(engine, b"one", pairs={"mine": "x" * (properties.MAX_BYTES - 200)})
        pop(engine)
        ticked(engine, clock, 1100)
        [(_, again)] = pop(engine)
        assert len(pairs_of(again)["mine"]) == properties.MAX_BYTES - 200

    def test_expired_messages_of_one_user_do_not_delay_those_of_another(self, engine, clock, monkeypatch):
        group(engine)
        group(engine, "other")
        for _ in range(1200):
            send(engine, b"x")
        while pop(engine, owner="many", invisible_ms=10):
            pass
        [(_, one), *_] = pop(engine, group="other", owner="few", max_messages=1, invisible_ms=10)
        clock.now += 1000
        engine.tick()
        engine.group_commit.commit()
        assert bodies(pop(engine, group="other", max_messages=1, queue_id=1)) == [one.body]


class TestOrder:
    def test_a_batch_blocks_its_queue_until_it_is_acknowledged(self, engine):
        group(engine)
        for number in range(3):
            send(engine, b"%d" % number)
        batch = pop(engine, in_order=True, max_messages=2)
        assert pop(engine, in_order=True) == []
        ack(engine, batch[0][0])
        assert pop(engine, in_order=True) == []
        ack(engine, batch[1][0])
        assert bodies(pop(engine, in_order=True)) == [b"2"]

    def test_other_queues_are_not_blocked(self, engine):
        group(engine)
        send(engine, b"0")
        send(engine, b"1", queue_id=1)
        pop(engine, in_order=True, queue_id=0)
        assert bodies(pop(engine, in_order=True)) == [b"1"]

    def test_open_messages_come_again_before_later_ones(self, engine, clock):
        group(engine, retry_max_times=0)
        for number in range(3):
            send(engine, b"%d" % number)
        batch = pop(engine, in_order=True, max_messages=2)
        ack(engine, batch[0][0])
        for attempt in (1, 2):
            ticked(engine, clock, 1100)
            found = engine.pop.pop(request(in_order=True))
            engine.group_commit.commit()
            [again] = found.batches
            assert [(one.offset, one.attempts) for one in again.messages] == [(1, attempt), (2, attempt - 1)]

    def test_acknowledged_messages_after_an_open_one_come_again_after_it(self, engine, clock):
        group(engine)
        for number in range(4):
            send(engine, b"%d" % number)
        [first, second, third] = [handle for handle, _ in pop(engine, in_order=True, max_messages=3, invisible_ms=5000)]
        assert ack(engine, first)
        assert engine.pop.change_invisible("g", *second, 3000) is not None
        assert ack(engine, third)
        assert not ack(engine, third)
        assert engine.pop.change_invisible("g", *third, 10) is None
        assert pop(engine, in_order=True) == []
        ticked(engine, clock, 3000)
        found = engine.pop.pop(request(in_order=True, max_messages=3))
        [again] = found.batches
        assert [(one.offset, one.attempts) for one in again.messages] == [(1, 1), (2, 1), (3, 0)]

    @pytest.mark.parametrize("limit", [1, 2])
    def test_an_acknowledgement_takes_effect_with_that_of_the_earlier_message(self, engine, store, clock, limit):
        group(engine)
        for number in range(3):
            send(engine, b"%d" % number)
        [first, second] = [handle for handle, _ in pop(engine, in_order=True, max_messages=2)]
        assert ack(engine, second)
        assert engine.offsets.get("g", "orders", 0) == 0
        engine = make_engine(store, clock)
        assert pop(engine, in_order=True) == []
        assert ack(engine, first)
        assert engine.offsets.get("g", "orders", 0) == 2
        assert engine.pop.in_flight_count == 0
        assert bodies(pop(engine, in_order=True, max_messages=limit)) == [b"2"]

    def test_an_acknowledged_message_does_not_block_its_queue(self, engine, clock):
        group(engine)
        for number in range(2):
            send(engine, b"%d" % number)
        [first, second] = [handle for handle, _ in pop(engine, in_order=True, max_messages=2)]
        engine.pop.change_invisible("g", *first, 10)
        assert ack(engine, second)
        ticked(engine, clock, 10)
        [(first, one)] = pop(engine, in_order=True, max_messages=1)
        assert one.body == b"0"
        assert ack(engine, first)
        assert bodies(pop(engine, in_order=True)) == [b"1"]

    def test_the_same_attempt_gets_the_same_messages(self, engine):
        group(engine)
        send(engine, b"one")
        [(first, _)] = pop(engine, in_order=True, attempt_id="x")
        assert pop(engine, in_order=True, attempt_id="y") == []
        [(second, _)] = pop(engine, in_order=True, attempt_id="x")
        assert not ack(engine, first)
        assert ack(engine, second)

    def test_messages_in_order_never_go_to_the_retry_topic(self, engine, clock):
        group(engine, retry_max_times=0)
        send(engine, b"one")
        pop(engine, in_order=True)
        ticked(engine, clock, 5000)
        assert engine.topics.get("%RETRY%g+orders") is None

    def test_a_queue_that_opens_calls_back(self, engine, clock):
        seen = []
        engine.pop.on_visible(lambda *place: seen.append(place))
        group(engine)
        send(engine, b"one")
        send(engine, b"two")
        [(handle, _)] = pop(engine, in_order=True, max_messages=1)
        ack(engine, handle)
        assert seen == [("g", "orders")]
        pop(engine, in_order=True, max_messages=1)
        ticked(engine, clock, 1100)
        assert seen == [("g", "orders")] * 2


class TestLimits:
    def test_a_queue_has_a_maximum_of_messages_in_flight(self, store, clock):
        engine = make_engine(store, clock, max_in_flight=2)
        seen = []
        engine.pop.on_visible(lambda *place: seen.append(place))
        group(engine)
        group(engine, "other")
        for number in range(3):
            send(engine, b"%d" % number)
        [(handle, _), _] = pop(engine)
        assert pop(engine) == []
        assert len(pop(engine, group="other")) == 2
        ack(engine, handle)
        assert seen == [("g", "orders")]
        assert bodies(pop(engine)) == [b"2"]

    def test_one_user_cannot_use_all_places(self, store, clock, monkeypatch):
        monkeypatch.setattr("mqguard.engine.pop_in_flight.InFlight.__init__.__defaults__", (4,))
        engine = make_engine(store, clock)
        group(engine)
        group(engine, "other")
        for number in range(6):
            send(engine, b"%d" % number)
        assert len(pop(engine, max_messages=4)) == 4
        assert pop(engine, max_messages=2) == []
        assert len(pop(engine, group="other", owner="v", max_messages=2)) == 2

    def test_a_retry_topic_counts_for_the_user_that_pops_first(self, store, clock):
        engine = make_engine(store, clock, max_topics_per_user=1)
        group(engine)
        for topic in ("orders", "bills"):
            engine.topics.put(TopicConfig(topic, 1, 1))
            send(engine, topic=topic)
        assert len(pop(engine, creator="u")) == 1
        with pytest.raises(LimitReached, match=r"`%RETRY%g\+bills` cannot be created: User:u has created 1 topics"):
            pop(engine, topic="bills", creator="u")
        engine.group_commit.commit()
        assert engine.pop.in_flight_count == 1
        assert engine.offsets.pulled("g", "bills", 0) is None
        assert len(pop(engine, topic="bills", creator="v")) == 1
        with pytest.raises(LimitReached):
            engine.topics.put(TopicConfig("own", 1, 1), creator="v")
        engine.topics.delete("bills")
        engine.topics.put(TopicConfig("own", 1, 1), creator="v")

    def test_pops_that_create_nothing_are_not_limited(self, store, clock):
        engine = make_engine(store, clock, max_topics_per_user=0)
        group(engine)
        send(engine)
        assert len(pop(engine, creator="u", in_order=True)) == 1
        assert pop(engine, creator="u", queue_id=1) == []
        assert engine.topics.get("%RETRY%g+orders") is None

    def test_an_expired_message_is_copied_whatever_the_limits_are(self, store, clock):
        engine = make_engine(store, clock, max_topics=1)
        group(engine)
        send(engine)
        with pytest.raises(LimitReached, match="maxTopics"):
            pop(engine)
        engine.configure(EngineSettings(max_topics=2))
        assert len(pop(engine)) == 1
        engine.topics.delete("%RETRY%g+orders")
        engine.topics.put(TopicConfig("other", 1, 1))
        ticked(engine, clock, 1100)
        assert len(read(engine, "%RETRY%g+orders")) == 1


class TestPeek:
    def test_peeked_messages_stay(self, engine):
        group(engine)
        send(engine, b"one")
        found = engine.pop.peek(request())
        assert [len(batch.messages) for batch in found.batches] == [1]
        assert bodies(pop(engine)) == [b"one"]
        assert engine.pop.peek(request()).batches == []

    def test_a_group_has_messages_or_not(self, engine, clock):
        group(engine)
        send(engine, b"one", pairs={"TAGS": "A"})
        assert engine.pop.has_messages(request())
        assert not engine.pop.has_messages(request(wanted=tag_filter("B")))
        pop(engine, in_order=True)
        assert not engine.pop.has_messages(request(in_order=True))
        ticked(engine, clock, 1100)
        assert engine.pop.has_messages(request(in_order=True))


class TestRemoval:
    def test_a_deleted_topic_leaves_nothing_in_flight(self, engine, store, clock):
        group(engine)
        send(engine, b"one")
        send(engine, b"two")
        pop(engine, max_messages=1)
        ticked(engine, clock, 1100)
        pop(engine)
        engine.topics.delete("orders")
        engine.group_commit.commit()
        assert engine.pop.in_flight_count == 0
        assert engine.topics.get("%RETRY%g+orders") is None
        again = make_engine(store, clock)
        assert again.pop.in_flight_count == 0
        send(again, b"new")
        assert bodies(pop(again)) == [b"new"]

    def test_messages_of_a_deleted_group_are_dropped(self, engine, clock):
        group(engine)
        send(engine, b"one")
        pop(engine)
        engine.groups.delete("g", clean_offsets=True)
        engine.group_commit.commit()
        ticked(engine, clock, 1100)
        assert engine.topics.get("%RETRY%g+orders") is None
        group(engine)
        assert bodies(pop(engine)) == [b"one"]

    def test_a_deleted_group_leaves_no_retry_topic_of_pop(self, engine, store, clock):
        for name in ("g", "g_", "other"):
            group(engine, name)
            send(engine, topic="orders")
            pop(engine, group=name)
        ticked(engine, clock, 1100)
        assert len(read(engine, "%RETRY%g+orders")) == 1
        assert len(pop(engine)) == 3
        engine.groups.delete("g")
        assert engine.group_commit.commit()
        names = [topic.name for topic in engine.topics.all() if topic.name.startswith("%RETRY%")]
        assert names == ["%RETRY%g_+orders", "%RETRY%other+orders"]
        assert store.queue("%RETRY%g+orders", 0) is None
        assert engine.offsets.get("g", "%RETRY%g+orders", 0) is None
        again = make_engine(store, clock)
        assert again.pop.in_flight_count == engine.pop.in_flight_count
        assert store.queue("%RETRY%g_+orders", 0) is not None

    def test_retry_topics_without_their_group_can_be_deleted(self, engine, store):
        engine.topics.put(TopicConfig("orders", 1, 1))
        engine.topics.ensure_pop_retry("%RETRY%gone+orders")
        assert engine.group_commit.commit()
        assert not engine.groups.delete("gone")
        assert engine.group_commit.commit()
        assert engine.topics.get("%RETRY%gone+orders") is None

    def test_a_failed_removal_of_a_group_keeps_its_retry_topic(self, engine, store, clock):
        group(engine)
        send(engine, b"one")
        pop(engine)
        ticked(engine, clock, 1100)
        engine.groups.delete("g")
        store.failure = "pulled out"
        assert not engine.group_commit.commit()
        store.failure = None
        ticked(engine, clock, 2100)
        assert bodies(pop(engine)) == [b"one"]

    def test_a_failed_removal_of_a_topic_changes_nothing(self, engine, store, clock):
        group(engine)
        send(engine, b"one")
        pop(engine)
        engine.topics.delete("orders")
        store.failure = "pulled out"
        assert not engine.group_commit.commit()
        store.failure = None
        assert engine.pop.in_flight_count == 1
        ticked(engine, clock, 2100)
        assert bodies(pop(engine)) == [b"one"]

    def test_a_reset_drops_the_messages_in_flight(self, engine, clock):
        group(engine)
        for number in range(3):
            send(engine, b"%d" % number)
        pop(engine)
        engine.offsets.set("g", "orders", 0, 1)
        engine.pop.reset("g", "orders", 0)
        engine.group_commit.commit()
        assert bodies(pop(engine)) == [b"1", b"2"]
        ticked(engine, clock, 900)
        assert engine.pop.count("g", "orders", 0) == 2


class TestRestart:
    def test_messages_in_flight_survive(self, engine, store, clock):
        group(engine)
        for number in range(3):
            send(engine, b"%d" % number)
        handles = [handle for handle, _ in pop(engine)]
        ack(engine, handles[1])
        again = make_engine(store, clock)
        assert pop(again) == []
        assert ack(again, handles[0])
        ticked(again, clock, 1100)
        assert bodies(pop(again)) == [b"2"]

    def test_a_date_that_jumps_changes_no_invisible_time(self, engine, clock):
        group(engine)
        send(engine, b"one")
        pop(engine)
        clock.jump(3_600_000)
        engine.tick()
        assert engine.pop.count("g", "orders", 0) == 1
        clock.jump(-7_200_000)
        ticked(engine, clock, 1100)
        assert bodies(pop(engine)) == [b"one"]

    def test_a_clock_that_was_ahead_hides_no_message_for_longer_than_asked(self, engine, store, clock):
        group(engine)
        clock.jump(3_600_000)
        send(engine, b"one")
        pop(engine)
        clock.jump(-3_600_000)
        again = make_engine(store, clock)
        ticked(again, clock, 1100)
        assert bodies(pop(again)) == [b"one"]


@pytest.mark.parametrize(
    ("topic", "owner", "fault"),
    [
        ("%RETRY%g+orders", "g", False),
        ("%RETRY%g+%DLQ%h", "g", False),
        ("%RETRY%+orders", "", True),
        ("%RETRY%g+", "g", True),
        ("%RETRY%g+a+b", "g", True),
        ("a+b", None, True),
        ("%DLQ%g+orders", "g+orders", True),
    ],
)
def test_only_a_retry_topic_of_pop_has_the_mark(topic, owner, fault):
    assert names.owner_of(topic) == owner
    assert (names.topic_fault(topic) is not None) == fault
