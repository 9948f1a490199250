"""The request loop."""

import logging

import pytest

from mqguard.dispatch.client_calls import ClientCalls
from mqguard.dispatch.request import error_reply
from mqguard.dispatch.router import Router
from mqguard.errors import MqguardError
from mqguard.guard.audit import AuditEvent
from mqguard.remoting.codes import FLAG_ONEWAY, FLAG_RESPONSE, ResponseCode
from mqguard.remoting.command import Command, Reply
from tests.unit.broker.conftest import answer_to

SEND = {"a": "p", "b": "t", "c": "TBW102", "d": 4, "e": 0, "f": 0, "g": 1, "h": 0}


def test_an_unknown_code_is_decided_before_it_is_not_supported(house):
    house.user("alice", ("*", "All"))
    assert house.call(9999).code == 3
    assert house.call(9999).remark == " request type 9999 not supported"
    refused = house.call(9999, user="alice")
    assert refused.code == 16
    assert "[decision d" in refused.remark
    assert house.call(9999, user=None).code == 16


def test_every_admission_and_denial_is_audited(house):
    house.user("alice")
    house.call(310, SEND, b"x")
    house.sink.clear()
    house.call(310, SEND, b"x")
    house.call(310, SEND, b"x", user="alice")
    said = [record.refused for record in house.sink.records if isinstance(record, AuditEvent)]
    assert said == [False, True]


def test_answers_come_in_order_and_together(house):
    wire = house.connect()
    commands = [house.command(310, SEND, b"%d" % n) for n in range(10)]
    house.app.commands(wire, commands)
    assert wire.frames == []
    house.app.end_of_iteration()
    assert [frame.opaque for frame in wire.frames] == [command.opaque for command in commands]
    assert [frame.ext["queueOffset"] for frame in wire.frames] == [str(n) for n in range(10)]


def test_a_one_way_request_is_served_and_never_answered(house):
    wire = house.connect()
    house.give(wire, house.command(310, SEND, b"x", flag=FLAG_ONEWAY), house.command(310, {}, b"", flag=FLAG_ONEWAY))
    assert wire.frames == []
    assert house.engine.max_offset("t", 0) == 1


@pytest.mark.parametrize(
    ("field", "value", "hint"), [("e", "many", "`e`"), ("g", "", "`g`"), ("d", str(2**40), "`d`"), ("a", None, "`a`")]
)
def test_the_remark_names_the_invalid_field(house, field, value, hint):
    ext = {key: val for key, val in {**SEND, field: value}.items() if val is not None}
    answer = house.call(310, ext, b"x")
    assert answer.code == ResponseCode.INVALID_PARAMETER
    assert hint in answer.remark


def test_a_message_that_cannot_be_stored_is_not_acknowledged(house):
    assert house.call(310, SEND, b"x").code == 0
    house.store.room = 0
    wire = house.connect()
    failed = house.call(310, SEND, b"x", wire=wire)
    assert failed.code == ResponseCode.SYSTEM_ERROR
    assert "nothing was stored" in failed.remark
    assert house.engine.max_offset("t", 0) == 1


def test_an_unexpected_answer_is_dropped(house):
    wire = house.connect()
    house.give(wire, Command(0, 77, FLAG_RESPONSE, 0, 0, None, {}, b""))
    assert wire.frames == []
    assert not wire.closed


def routed(house, handler):
    """Return a router with the house's guard and one handler for code 28."""
    guard = house.admission
    return Router(guard, {28: handler}, error_reply)


def test_the_details_of_an_internal_error_go_to_the_log_and_not_to_the_client(house, caplog):
    def broken(request):
        raise ZeroDivisionError("the secret is 42")

    house.app = routed(house, broken)
    with caplog.at_level(logging.ERROR):
        answer = house.call(28)
    assert answer.code == ResponseCode.SYSTEM_ERROR
    assert "42" not in answer.remark
    assert "ZeroDivision" not in answer.remark
    assert "the secret is 42" in caplog.text


def test_an_error_without_a_row_is_an_internal_error(house, caplog):
    class Strange(MqguardError):
        pass

    def broken(request):
        raise Strange("inner matters")

    house.app = routed(house, broken)
    answer = house.call(28)
    assert "inner" not in answer.remark
    assert "Strange" in caplog.text


def test_an_answer_that_cannot_be_encoded_is_an_error(house):
    house.app = routed(house, lambda request: Reply(0, {"x": "\ud800"}))
    assert house.call(28).code == ResponseCode.SYSTEM_ERROR
    house.app = routed(house, lambda request: Reply(70000))
    assert house.call(28).code == ResponseCode.SYSTEM_ERROR


def test_no_success_is_sent_before_all_objects_are_checked(house, caplog):
    house.user("alice", ("Topic:t", "Get"))
    guard = house.admission
    house.app = Router(guard, {33: lambda request: Reply(0, {}, b"a message of somebody")}, error_reply)
    answer = house.call(33, {"topic": "t", "offset": 0}, user="alice")
    assert (answer.code, answer.body) == (ResponseCode.NO_PERMISSION, b"")
    assert "without a check of the objects" in caplog.text


def test_all_callbacks_run_even_if_one_fails(house, caplog):
    seen = []

    def fail(link):
        raise RuntimeError("part")

    router = Router(
        house.admission, {}, error_reply, at_close=[fail, seen.append], at_iteration_end=[lambda: 1 / 0, seen.clear]
    )
    wire = house.connect()
    router.closed(wire)
    assert seen == [wire]
    router.end_of_iteration()
    assert seen == []
    assert "cleaning up" in caplog.text
    assert "end of an iteration of the event loop" in caplog.text


def test_later_requests_are_served_although_the_receiver_of_an_answer_fails(house, caplog):
    calls = ClientCalls()
    house.app = Router(house.admission, {28: lambda request: Reply(0)}, error_reply, client_calls=calls)
    wire = house.connect()

    def broken(answer):
        raise ValueError("unreadable")

    calls.call(wire.peer.channel, 307, {}, b"", house.clock.now + 1000, broken)
    question = wire.frames.pop()
    command = house.command(28)
    house.give(wire, Command(0, question.opaque, FLAG_RESPONSE, 0, 0, None, {}, b""), command)
    assert answer_to(wire, command).code == 0
    assert "processing the answer" in caplog.text
