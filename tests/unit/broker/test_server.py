"""The periodic work of a broker."""

import pytest

from mqguard.store.errors import StoreFailed
from mqguard.store.ports import Space
from tests.unit.broker.processors.test_pull import pulling

SEND = {"a": "p", "b": "t", "c": "TBW102", "d": 4, "e": 0, "f": 0, "g": 1, "h": 0}


@pytest.fixture
def house(house_with_topic):
    return house_with_topic


def told(caplog):
    return [record.getMessage() for record in caplog.records if record.name == "mqguard.broker.server"]


def test_a_failed_commit_is_logged_even_if_the_store_recovers_at_once(house, caplog):
    house.store.failure = "cable pulled"
    assert house.call(310, SEND, b"x").code != 0
    house.tick(1000)
    assert house.store.failure is None
    assert told(caplog) == ["store error: the store cannot be written: cable pulled"]


def test_a_lasting_store_error_is_logged_once_a_minute(house, caplog, monkeypatch):
    monkeypatch.setattr(house.store, "recover", lambda: False)
    house.store.failure = "cable pulled"
    for _ in range(100):
        house.tick(900)
    assert told(caplog) == ["store error: cable pulled"] * 2


def test_different_store_errors_do_not_fill_the_log(house, caplog, monkeypatch):
    monkeypatch.setattr(house.store, "recover", lambda: False)
    house.store.failure = "cable pulled"
    for number in range(1_000):
        offset = {"consumerGroup": "g", "topic": "t", "queueId": 0, "commitOffset": number + 1}
        assert house.call(15, offset).code != 0
        house.tick(50)
    assert set(told(caplog)) == {
        "store error: cable pulled",
        "store error: the store cannot be written: cable pulled",
    }
    assert len(told(caplog)) <= 4


def test_a_full_disk_is_logged(house, caplog, monkeypatch):
    monkeypatch.setattr(house.store, "space", lambda: Space(100, 3, 97))
    house.tick(1000)
    house.tick(50)
    assert told(caplog) == ["store error: 97% of the disk is in use, 95% is the limit"]
    assert house.call(310, SEND, b"x").code == 14
    assert house.call(11, pulling()).code == 19


def test_an_unreadable_disk_is_logged(house, caplog, monkeypatch):
    def broken(*_):
        raise StoreFailed("the store in `x` failed: IO error")

    house.call(310, SEND, b"x")
    monkeypatch.setattr(house.store, "entries", broken)
    for _ in range(3):
        assert house.call(11, pulling()).code == 1
    assert told(caplog) == ["store error: the store in `x` failed: IO error"]


def test_nothing_is_logged_without_errors(house, caplog):
    house.call(310, SEND, b"x")
    house.tick(70_000)
    assert told(caplog) == []
