"""Requests of the broker to clients."""

import pytest

from mqguard.dispatch import client_calls
from mqguard.dispatch.client_calls import MAX_PER_LINK, ClientCalls
from mqguard.remoting.codes import FLAG_RESPONSE
from mqguard.remoting.command import Command
from tests.fixtures.links import RecordingLink, channel


def connect(calls, name="a"):
    """Return a link that the client calls know."""
    link = RecordingLink(name)
    calls.connected(link)
    return link


def ask(calls, link, answers, deadline=100):
    return calls.call(link.peer.channel, 307, {"clientId": "c"}, b"body", deadline, answers.append)


def test_an_answer_is_passed_to_its_call():
    calls, answers = ClientCalls(), []
    link = connect(calls)
    assert ask(calls, link, answers)
    (sent,) = link.frames
    assert (sent.code, sent.ext, sent.body, sent.is_response) == (307, {"clientId": "c"}, b"body", False)
    assert calls.take_answer(link, Command(0, sent.opaque, FLAG_RESPONSE, body=b"fine"))
    assert [a.body for a in answers] == [b"fine"]
    assert not calls.take_answer(link, Command(0, sent.opaque, FLAG_RESPONSE))
    assert len(calls) == 0


def test_a_client_cannot_answer_for_another_connection():
    calls, answers = ClientCalls(), []
    link = connect(calls)
    ask(calls, link, answers)
    assert not calls.take_answer(RecordingLink("b"), Command(0, link.frames[0].opaque, FLAG_RESPONSE))
    assert answers == []


def test_a_call_times_out():
    calls, answers = ClientCalls(), []
    link = connect(calls)
    ask(calls, link, answers, deadline=100)
    calls.expire(99)
    assert answers == []
    calls.expire(100)
    assert answers == [None]
    assert not calls.take_answer(link, Command(0, link.frames[0].opaque, FLAG_RESPONSE))


def test_a_closed_connection_ends_its_calls():
    calls, answers = ClientCalls(), []
    link = connect(calls)
    ask(calls, link, answers)
    ask(calls, link, answers)
    calls.leave(channel("a"))
    assert answers == [None, None]
    calls.leave(channel("a"))
    link.closed = True
    assert not ask(calls, link, answers)
    assert len(calls) == 0


def test_a_client_that_never_answers_gets_no_further_calls():
    calls, answers = ClientCalls(), []
    link = connect(calls)
    for _ in range(MAX_PER_LINK):
        assert ask(calls, link, answers)
    assert not ask(calls, link, answers)


def test_a_notification_needs_no_answer():
    calls = ClientCalls()
    link = connect(calls)
    calls.notify(link.peer.channel, 40, {"consumerGroup": "g"})
    (sent,) = link.frames
    assert sent.is_oneway
    assert (sent.code, sent.ext) == (40, {"consumerGroup": "g"})
    assert len(calls) == 0


def test_calls_of_a_closed_connection_end_even_if_a_receiver_fails():
    calls, answers = ClientCalls(), []
    link = connect(calls)

    def fail(_):
        raise RuntimeError("internal error")

    calls.call(link.peer.channel, 307, {}, b"", 100, fail)
    ask(calls, link, answers)
    with pytest.raises(RuntimeError):
        calls.leave(channel("a"))
    calls.expire(100)
    assert answers == [None]
    assert len(calls) == 0


def test_the_open_calls_of_a_caller_are_limited_and_others_can_still_call(monkeypatch):
    monkeypatch.setattr(client_calls, "MAX_PER_CALLER", 2)
    calls, answers = ClientCalls(), []

    def call(link, caller):
        return calls.call(link.peer.channel, 307, {}, b"", 100, answers.append, caller)

    links = [connect(calls, name) for name in "abc"]
    assert [call(link, "greedy") for link in links] == [True, True, False]
    assert call(links[2], "alice")
    calls.leave(links[0].peer.channel)
    assert call(links[2], "greedy")


def test_the_bytes_of_open_calls_are_limited_for_each_client_and_caller(monkeypatch):
    monkeypatch.setattr(client_calls, "MAX_BYTES_PER_LINK", 10)
    monkeypatch.setattr(client_calls, "MAX_BYTES_PER_CALLER", 25)
    calls, answers = ClientCalls(), []

    def call(link, size, caller="u"):
        return calls.call(link.peer.channel, 309, {}, bytes(size), 100, answers.append, caller)

    one, two, three = (connect(calls, name) for name in "abc")
    assert call(one, 1_000), "one of any size"
    calls.take_answer(one, Command(0, one.frames[-1].opaque, FLAG_RESPONSE))
    assert [call(one, 5), call(one, 5), call(one, 1)] == [True, True, False]
    assert [call(two, 10), call(three, 6)] == [True, False]
    assert call(three, 6, "v")
    calls.expire(100)
    assert call(three, 10)
    assert len(calls) == 1


def test_a_client_whose_connection_is_gone_is_neither_asked_nor_notified_nor_closed():
    calls, answers = ClientCalls(), []
    link = connect(calls)
    calls.leave(link.peer.channel)
    assert not ask(calls, link, answers)
    calls.notify(link.peer.channel, 40, {})
    calls.close(link.peer.channel, "no heartbeat")
    assert link.sent == []
    assert not link.closed


def test_the_connection_of_a_client_can_be_closed():
    calls = ClientCalls()
    one, other = connect(calls, "a"), connect(calls, "b")
    calls.close(one.peer.channel, "no heartbeat")
    assert one.closed
    assert not other.closed
