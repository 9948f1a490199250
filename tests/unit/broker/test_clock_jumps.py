"""The machine's date jumps an hour forward or back: no wait and no lock becomes longer or shorter."""

import pytest

from mqguard.engine.clients import CLIENT_LIFE_MS, NOTIFICATION_PAUSE_MS
from mqguard.engine.locks import LOCK_LIFE_MS
from mqguard.remoting.codes import ResponseCode
from tests.unit.broker.conftest import answer_to
from tests.unit.broker.processors import test_reply
from tests.unit.broker.processors.test_clients import beat, lock, locked, members, notices
from tests.unit.broker.processors.test_pull import park

HOUR = 3_600_000
JUMPS = pytest.mark.parametrize("jump", [HOUR, -HOUR])


@JUMPS
def test_a_waiting_pull_times_out_after_its_time(house_with_topic, jump):
    house = house_with_topic
    answer = park(house, suspendTimeoutMillis=15_000)
    house.clock.jump(jump)
    house.tick(14_999)
    assert answer() is None
    house.tick(1)
    assert answer().code == ResponseCode.PULL_NOT_FOUND


@JUMPS
def test_a_lock_expires_after_its_life(house_with_topic, jump):
    house = house_with_topic
    code, queues = 41, {"topic": "t"}
    assert locked(house.call(code, body=lock("c1", **queues))) == [0, 1]
    house.clock.jump(jump)
    house.tick(LOCK_LIFE_MS - 1)
    assert locked(house.call(code, body=lock("c2", **queues))) == []
    house.tick(1)
    assert locked(house.call(code, body=lock("c2", **queues))) == [0, 1]


@JUMPS
def test_a_client_expires_after_its_life(house, jump):
    wire = house.connect()
    house.call(34, body=beat("c1"), wire=wire)
    house.clock.jump(jump)
    house.tick(CLIENT_LIFE_MS - 1)
    assert members(house) == ["c1"]
    house.tick(10_000)
    assert wire.closed


@JUMPS
def test_members_are_notified_after_the_pause(house, jump):
    first, second = house.connect(), house.connect()
    house.call(34, body=beat("c1"), wire=first)
    house.clock.jump(jump)
    house.call(34, body=beat("c2"), wire=second)
    house.tick(NOTIFICATION_PAUSE_MS + 5)
    assert len(notices(first)) == 2


@JUMPS
def test_a_reply_is_accepted_until_the_request_times_out(house, jump):
    test_reply.asking(house)
    test_reply.ask(house, correlation="43", ttl="600000")
    house.clock.jump(jump)
    house.tick(100)
    assert test_reply.reply(house)[1] is not None
    house.tick(590_000)
    pairs = {**test_reply.PROPERTIES, "CORRELATION_ID": "43"}
    assert test_reply.reply(house, pairs=pairs)[1] is not None
    test_reply.ask(house, correlation="44")
    house.tick(3_001)
    assert test_reply.reply(house, pairs={**pairs, "CORRELATION_ID": "44"})[1] is None


@JUMPS
def test_a_call_to_a_client_times_out_after_its_time(house, jump):
    wire = house.connect()
    house.call(34, body=beat("c1"), wire=wire)
    caller = house.connect()
    command = house.command(307, {"consumerGroup": "g", "clientId": "c1", "jstackEnable": "false"})
    house.give(caller, command)
    house.clock.jump(jump)
    house.tick(1_000)
    assert answer_to(caller, command) is None
    house.tick(600_000)
    assert answer_to(caller, command).code != 0


@JUMPS
def test_the_list_of_producers_has_the_date_of_the_last_heartbeat(house, jump):
    house.call(34, body=beat("c1", producers=["p"]), wire=house.connect())
    house.clock.jump(jump)
    house.tick(1_000)
    answer = house.call(328)
    assert b'"lastUpdateTimestamp":%d' % (house.clock.now - 1_000) in answer.body
