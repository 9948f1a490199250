"""Filters of subscriptions."""

import pytest

from mqguard.engine import filters as filters_module
from mqguard.engine.errors import FilterInvalid, FilterUnsupported
from mqguard.engine.fetch import FetchStatus
from mqguard.engine.filters import MAX_EXPRESSION_CHARS, Filters, SqlFilter, SubscriptionFilter, TagFilter
from mqguard.engine.group_members import Subscription
from mqguard.model import record
from mqguard.model.properties import tags_code_of
from mqguard.model.topic import TopicConfig
from tests.fixtures.engine import make_engine, message, send


def stored(properties, *, topic="orders", host=b"\x7f\0\0\1", body=b"\x02a\x015\x02"):
    """Return a record with a property text."""
    return record.encode(
        record.Record(topic, body, properties, born_address=host, store_address=host,
                      sys_flag=0 if len(host) == 4 else record.BORN_HOST_V6 | record.STORE_HOST_V6)
    )  # fmt: skip


@pytest.mark.parametrize("kind", [None, "", "TAG"])
def test_tags_are_the_default_language(kind):
    assert isinstance(Filters().find(kind, "A"), TagFilter)
    for expression in (None, "", "*", " ", " || "):
        assert Filters().find(kind, expression) is None


def test_only_tags_are_accepted_by_default():
    for kind in ("SQL92", "OTHER", "x" * 100):
        with pytest.raises(FilterUnsupported) as caught:
            Filters().find(kind, "a = 5")
        assert str(caught.value).startswith(f"The broker does not support consumer to filter message by {kind[:32]}")
        assert len(str(caught.value)) < 120


def test_another_language_than_sql92_is_unknown():
    filters = Filters(has_sql=True)
    assert isinstance(filters.find("SQL92", "a = 5"), SqlFilter)
    with pytest.raises(FilterInvalid, match="unknown type sql92"):
        filters.find("sql92", "a = 5")


@pytest.mark.parametrize("kind", ["TAG", "SQL92"])
def test_the_length_of_an_expression_is_bounded(kind):
    filters = Filters(has_sql=True)
    text = "a = '" + "x" * (MAX_EXPRESSION_CHARS - 6) + "'"
    assert filters.find(kind, text) is not None
    with pytest.raises(FilterInvalid, match="longer than 16384 characters"):
        filters.find(kind, text + " ")


@pytest.mark.parametrize("expression", ["", "*", "a >"])
def test_an_invalid_expression_is_refused_each_time(expression):
    filters = Filters(has_sql=True)
    for _ in range(3):
        with pytest.raises(FilterInvalid, match="parse the consumer's subscription failed: character"):
            filters.find("SQL92", expression)


def test_equal_expressions_are_compiled_once():
    filters = Filters(has_sql=True)
    assert filters.find("SQL92", "a = 5") is filters.find("SQL92", "a = 5")
    assert filters.find("TAG", "A || B") is filters.find(None, "A || B")


def test_the_cache_of_expressions_has_a_maximum_weight(monkeypatch):
    monkeypatch.setattr(filters_module, "MAX_CACHED_WEIGHT", 6)
    filters = Filters(has_sql=True)
    first, second = filters.find("SQL92", "a = 1"), filters.find("SQL92", "a = 2")
    assert first.weight == 2
    assert filters.find("SQL92", "a = 1") is first
    filters.find("SQL92", "a = 3")
    # The one that was not used for longest is gone.
    with pytest.raises(FilterInvalid):
        filters.find("SQL92", "a >")
    assert filters.find("SQL92", "a = 1") is first
    assert filters.find("SQL92", "a = 2") is not second
    heavy = filters.find("SQL92", "a IN ('1', '2', '3', '4', '5')")
    assert heavy.weight == 7
    assert filters.find("SQL92", "a IN ('1', '2', '3', '4', '5')") is not heavy


def test_the_filter_of_a_subscription_is_compiled_when_it_is_needed():
    subscription = Subscription("t", "a >", "SQL92")
    for _ in range(2):
        with pytest.raises(FilterInvalid):
            subscription.filter.compiled(Filters(has_sql=True))
    subscription = Subscription("t", "a = 5", "SQL92")
    assert subscription.filter.compiled(Filters(has_sql=True)) is subscription.filter.compiled(Filters(has_sql=True))
    assert subscription == Subscription("t", "a = 5", "SQL92")
    assert subscription != Subscription("t", "a = 6", "SQL92")
    assert hash(SubscriptionFilter("TAG", "a")) == hash(SubscriptionFilter("TAG", "a"))
    assert SubscriptionFilter("TAG", "a") != "a"


@pytest.mark.parametrize("host", [b"\x7f\0\0\1", bytes(15) + b"\1"])
@pytest.mark.parametrize("topic", ["orders", "o" * 200])
@pytest.mark.parametrize(
    ("properties", "value"),
    [
        (b"a\x015\x02", "5"),
        (b"a\x015", "5"),
        (b"x\x01y\x02a\x015\x02b\x016\x02", "5"),
        (b"a\x011\x02a\x015\x02", "5"),
        (b"a\x01\xc3\xa9\x02", "\xe9"),
        (b"a\x01\xff\x02", "\ufffd"),
        (b"a\x01b\x015\x02", "b\x015"),
        (b"a\x01\x02", None),
        (b"xa\x015\x02", None),
        (b"a", None),
        (b"ax\x015\x02", None),
        (b"x\x01a\x015\x02", None),
        (b"", None),
    ],
)
def test_properties_are_read_from_the_record(host, topic, properties, value):
    data = stored(properties, host=host, topic=topic)
    test = "a IS NULL" if value is None else f"a = '{value}'"
    many = " AND ".join(["n IS NULL"] * 9)
    assert SqlFilter(test).matches(data)
    assert SqlFilter(f"{test} AND {many}").matches(data)
    assert not SqlFilter(f"NOT ({test})").matches(data)
    assert not SqlFilter(f"NOT ({test} AND {many})").matches(data)


@pytest.fixture
def engine(clock):
    made = make_engine(clock=clock, property_filter=True)
    made.topics.put(TopicConfig("orders", 2, 2))
    made.group_commit.commit()
    return made


def fetched(engine, expression, offset=0, limit=32, room=0):
    return engine.fetch("orders", 0, offset, limit, room, engine.filters.find("SQL92", expression))


def offsets(found):
    return [record.decode(data).queue_offset for data in found.records]


def test_a_fetch_returns_the_messages_that_match(engine):
    for number in range(100):
        send(engine, pairs={"n": str(number)})
    found = fetched(engine, "n BETWEEN 10 AND 12 OR n = 99")
    assert (offsets(found), found.next_offset, found.status) == ([10, 11, 12, 99], 100, FetchStatus.FOUND)
    found = fetched(engine, "n > 10", limit=3)
    assert (offsets(found), found.next_offset) == ([11, 12, 13], 14)
    found = fetched(engine, "n > 100")
    assert (offsets(found), found.next_offset, found.status) == ([], 100, FetchStatus.NO_MATCHED_MESSAGE)
    size = len(fetched(engine, "n = 50").records[0])
    assert offsets(fetched(engine, "n >= 50", room=2 * size)) == [50, 51]
    assert offsets(fetched(engine, "n >= 50", room=1)) == [50]


def test_repeated_fetches_return_every_match_once(engine):
    for number in range(300):
        send(engine, b"x" * (number % 7), pairs={"n": str(number % 10)})
    for limit, room in ((1, 0), (7, 0), (32, 500), (32, 0)):
        offset, seen = 0, []
        while offset < 300:
            found = fetched(engine, "n = 3 OR n = 4", offset, limit, room)
            assert found.next_offset > offset
            seen += offsets(found)
            offset = found.next_offset
        assert seen == [number for number in range(300) if number % 10 in {3, 4}]


def test_one_fetch_examines_a_bounded_number_of_messages(engine):
    for _ in range(1000):
        engine.send(message(pairs={"n": "1"}))
    engine.group_commit.commit()
    assert fetched(engine, "n = 2").next_offset == 800
    assert fetched(engine, "n = 2", 800).next_offset == 1000
    heavy = " OR ".join(["n = 2"] * 128)
    assert 50 < fetched(engine, heavy).next_offset < 100
    assert fetched(engine, heavy, 999).next_offset > 0


def test_one_fetch_reads_a_bounded_number_of_bytes(engine):
    for _ in range(8):
        send(engine, b"x" * 1_000_000, pairs={"n": "1"})
    found = fetched(engine, "n = 2")
    assert 3 <= found.next_offset <= 5
    assert fetched(engine, "n = 2", found.next_offset).next_offset > found.next_offset


def test_a_heavy_filter_examines_at_least_one_message(engine, monkeypatch):
    monkeypatch.setattr("mqguard.engine.fetch._SCAN_WORK", 1)
    for _ in range(3):
        send(engine, pairs={"n": "1"})
    assert [fetched(engine, "n = 2", offset).next_offset for offset in range(3)] == [1, 2, 3]


def test_tags_can_be_part_of_an_expression(engine):
    for tag in ("Aa", "BB", "C"):
        send(engine, pairs={"TAGS": tag})
    assert tags_code_of("Aa") == tags_code_of("BB")
    assert offsets(fetched(engine, "TAGS = 'BB' OR TAGS IN ('C')")) == [1, 2]
