"""Batches that are stored in several slices."""

import json
import math

import pytest

from mqguard.auth.user import Subject
from mqguard.broker import unfinished_batches
from mqguard.broker.processors import send
from mqguard.model import record
from mqguard.model.record import BatchMessage, encode_batch
from mqguard.model.topic import TopicConfig
from mqguard.remoting.codes import FLAG_ONEWAY, ResponseCode
from tests.unit.broker.conftest import House, answer_to

EXT = {"a": "p", "b": "t", "c": "TBW102", "d": 4, "e": 0, "f": 0, "g": 1, "h": 0, "i": "", "m": "true"}
ONE = {**EXT, "m": "false"}
BODY = encode_batch([BatchMessage(b"%d" % number) for number in range(6)])
ALL = [b"%d" % number for number in range(6)]


@pytest.fixture(autouse=True)
def _slices_of_one_message(monkeypatch):
    monkeypatch.setattr(send, "FIRST_SLICE_S", -math.inf)


@pytest.fixture(name="house")
def a_house_with_a_topic(house):
    return with_topic(house)


def with_topic(house):
    house.user("alice", ("Topic:t", "Pub"))
    house.user("bob", ("Topic:t", "Pub"))
    house.engine.topics.put(TopicConfig("t", 4, 4))
    house.engine.group_commit.commit()
    return house


def begin(house, wire, *, user="alice", staged=2, more=(), **fields):
    """Send a batch, and run iterations of the event loop until so many of its messages are stored."""
    command = house.command(320, EXT, BODY, user=user, **fields)
    house.give(wire, command, *more)
    while len(stored(house)) < staged:
        iterate(house, wire)
    assert len(stored(house)) == staged
    return command


def iterate(house, wire):
    wire.work.advance(-math.inf)
    house.app.end_of_iteration()


def finish(house, wire):
    while wire.work and not wire.closed:
        iterate(house, wire)


def stored(house):
    return [one.body for one in record.decode_all(b"".join(house.engine.fetch("t", 0, 0, 32, 0).records))]


def test_a_batch_is_answered_when_it_is_stored_completely(house):
    wire = house.connect()
    command = begin(house, wire, staged=5)
    assert wire.frames == []
    finish(house, wire)
    answer = answer_to(wire, command)
    assert answer.code == 0
    assert stored(house) == ALL
    assert answer.ext["queueOffset"] == "0"
    assert answer.ext["msgId"].count(",") == answer.ext["transactionId"].count(",") == 5
    assert house.broker.pending.unfinished_batches == 0
    assert json.loads(house.call(28).body)["table"]["msgPutTotalTodayNow"] == "6"


def test_later_requests_of_the_connection_wait(house):
    wire = house.connect()
    later = [house.command(310, ONE, b"later", user="alice"), house.command(320, EXT, BODY, user="alice")]
    later.append(house.command(310, ONE, b"last", user="alice"))
    command = begin(house, wire, more=later)
    assert house.call(310, ONE, b"other", user="bob").code == 0
    finish(house, wire)
    found = stored(house)
    assert found.index(b"other") < 6
    found.remove(b"other")
    assert found == [*ALL, b"later", *ALL, b"last"]
    assert [frame.opaque for frame in wire.frames] == [one.opaque for one in (command, *later)]


def test_a_sender_that_loses_its_permission_stores_no_further_slice(house):
    wire = house.connect()
    command = begin(house, wire)
    house.manager.delete_acl(Subject("alice"))
    finish(house, wire)
    answer = answer_to(wire, command)
    assert answer.code == ResponseCode.NO_PERMISSION
    assert answer.remark.startswith(
        "the batch was not stored completely, at most the first 2 of its messages are stored"
    )
    assert stored(house) == ALL[:2]
    assert house.broker.pending.unfinished_batches == 0


def test_a_change_of_other_users_does_not_end_a_batch(house):
    wire = house.connect()
    command = begin(house, wire)
    house.manager.delete_acl(Subject("bob"))
    finish(house, wire)
    assert answer_to(wire, command).code == 0


def test_a_failed_commit_is_answered(house):
    wire = house.connect()
    command = begin(house, wire)
    house.store.room = 10
    finish(house, wire)
    answer = answer_to(wire, command)
    assert answer.code == ResponseCode.SYSTEM_ERROR
    assert "at most the first 3 of its messages are stored: " in answer.remark
    assert stored(house) == ALL[:2]


def test_a_failure_of_the_last_commit_is_answered(house):
    wire = house.connect()
    command = begin(house, wire, staged=5)
    house.store.room = 10
    finish(house, wire)
    answer = answer_to(wire, command)
    assert answer.code == ResponseCode.SYSTEM_ERROR
    assert "not stored completely, at most the first 6" in answer.remark
    assert "no room" in answer.remark
    assert stored(house) == ALL[:5]


def test_a_closed_connection_leaves_no_batch(house):
    wire = house.connect()
    begin(house, wire)
    assert house.broker.pending.unfinished_batches == len(BODY)
    house.disconnect(wire)
    assert house.broker.pending.unfinished_batches == 0


def test_batches_are_limited_and_others_keep_a_share(monkeypatch):
    monkeypatch.setattr(unfinished_batches, "MAX_BYTES", 3 * len(BODY))
    house = with_topic(House())
    wires = [house.connect() for _ in range(4)]
    commands = [house.command(320, EXT, BODY, user="alice") for _ in wires]
    for wire, command in zip(wires, commands, strict=True):
        house.give(wire, command)
    answer = answer_to(wires[3], commands[3])
    assert (answer.code, answer.remark) == (ResponseCode.SYSTEM_BUSY, unfinished_batches.BUSY)
    assert not wires[3].work

    wire = house.connect()
    other = house.command(320, EXT, BODY, user="bob")
    house.give(wire, other)
    assert wire.work
    for one in (*wires, wire):
        finish(house, one)
    assert answer_to(wire, other).code == 0


def test_a_one_way_batch_is_stored_and_not_answered(house):
    wire = house.connect()
    begin(house, wire, flag=FLAG_ONEWAY)
    finish(house, wire)
    assert stored(house) == ALL
    assert wire.frames == []


def test_a_batch_creates_its_topic_once(house):
    house.user("maker", ("Topic:new", "Pub,Create"))
    wire = house.connect()
    command = house.command(320, {**EXT, "b": "new"}, BODY, user="maker")
    house.give(wire, command)
    iterate(house, wire)
    house.engine.topics.delete("new")
    finish(house, wire)
    assert answer_to(wire, command).code == ResponseCode.TOPIC_NOT_EXIST
    assert house.engine.topics.get("new") is None
