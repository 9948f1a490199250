"""Warnings about processes that share a client id."""

import json

import pytest

from mqguard.broker import duplicate_clients
from mqguard.broker.duplicate_clients import LOG_INTERVAL_MS, MAX_PER_OWNER
from tests.unit.broker.processors.test_clients import beat

HEARTBEAT = 34


@pytest.fixture
def warnings(caplog):
    """Return a function that returns the warnings so far."""
    return lambda: [one.getMessage() for one in caplog.records if one.name == duplicate_clients.__name__]


def heartbeats(house, wires, rounds=2, user=None, **fields):
    """Send heartbeats over each connection, some time apart."""
    more = {} if user is None else {"user": user}
    for _ in range(rounds):
        for wire in wires:
            house.clock.now += 10
            assert house.call(HEARTBEAT, body=beat(**fields), wire=wire, **more).code == 0


def test_two_processes_with_one_client_id_are_logged_once_in_an_hour(house, warnings):
    wires = [house.connect(), house.connect()]
    heartbeats(house, wires, rounds=20)
    (line,) = warnings()
    assert "have the same client id `c1` in the group `g`" in line
    house.clock.now += LOG_INTERVAL_MS
    heartbeats(house, wires)
    assert len(warnings()) == 2


def test_a_client_that_connects_again_is_not_logged(house, warnings):
    """Its old connection is known for a while, without further heartbeats."""
    heartbeats(house, [house.connect()], rounds=3)
    heartbeats(house, [house.connect()], rounds=3)
    assert warnings() == []


def test_two_users_with_one_client_id_are_not_logged(house, warnings):
    bob = house.user("bob", ("Topic:t", "Sub"), ("Group:g", "Sub"))
    own, other = house.connect(), house.connect()
    for _ in range(3):
        heartbeats(house, [own], rounds=1)
        heartbeats(house, [other], rounds=1, user=bob)
    assert warnings() == []


def test_broadcasting_consumers_divide_no_queues(house, warnings):
    wires = [house.connect(), house.connect()]
    body = json.loads(beat())
    body["consumerDataSet"][0]["messageModel"] = "BROADCASTING"
    for _ in range(3):
        for wire in wires:
            house.clock.now += 10
            assert house.call(HEARTBEAT, body=json.dumps(body).encode(), wire=wire).code == 0
    assert warnings() == []


def test_one_user_has_a_limited_number_of_lines(house, warnings):
    wires = [house.connect(), house.connect()]
    heartbeats(house, wires, groups=[f"g{number}" for number in range(MAX_PER_OWNER + 5)])
    assert len(warnings()) == MAX_PER_OWNER
