"""Requests of ours to clients."""

import pytest

from mqguard.dispatch import client_calls as questions_module
from mqguard.dispatch.client_calls import MAX_PER_LINK, ClientCalls
from mqguard.remoting.codes import FLAG_RESPONSE
from mqguard.remoting.command import Command
from tests.fixtures.links import RecordingLink, channel


def connect(questions, name="a"):
    """Return a link that the client calls know."""
    link = RecordingLink(name)
    questions.connected(link)
    return link


def ask(questions, link, answers, deadline=100):
    return questions.ask(link.peer.channel, 307, {"clientId": "c"}, b"body", deadline, answers.append)


def test_an_answer_finds_its_question():
    questions, answers = ClientCalls(), []
    link = connect(questions)
    assert ask(questions, link, answers)
    (sent,) = link.frames
    assert (sent.code, sent.ext, sent.body, sent.is_response) == (307, {"clientId": "c"}, b"body", False)
    assert questions.answer(link, Command(0, sent.opaque, FLAG_RESPONSE, body=b"fine"))
    assert [a.body for a in answers] == [b"fine"]
    assert not questions.answer(link, Command(0, sent.opaque, FLAG_RESPONSE))
    assert len(questions) == 0


def test_nobody_answers_for_another_connection():
    questions, answers = ClientCalls(), []
    link = connect(questions)
    ask(questions, link, answers)
    assert not questions.answer(RecordingLink("b"), Command(0, link.frames[0].opaque, FLAG_RESPONSE))
    assert answers == []


def test_time_runs_out():
    questions, answers = ClientCalls(), []
    link = connect(questions)
    ask(questions, link, answers, deadline=100)
    questions.expire(99)
    assert answers == []
    questions.expire(100)
    assert answers == [None]
    assert not questions.answer(link, Command(0, link.frames[0].opaque, FLAG_RESPONSE))


def test_a_closed_connection_answers_nothing():
    questions, answers = ClientCalls(), []
    link = connect(questions)
    ask(questions, link, answers)
    ask(questions, link, answers)
    questions.leave(channel("a"))
    assert answers == [None, None]
    questions.leave(channel("a"))
    link.closed = True
    assert not ask(questions, link, answers)
    assert len(questions) == 0


def test_a_client_that_never_answers_is_asked_no_more():
    questions, answers = ClientCalls(), []
    link = connect(questions)
    for _ in range(MAX_PER_LINK):
        assert ask(questions, link, answers)
    assert not ask(questions, link, answers)


def test_a_notification_needs_no_answer():
    questions = ClientCalls()
    link = connect(questions)
    questions.notify(link.peer.channel, 40, {"consumerGroup": "g"})
    (sent,) = link.frames
    assert sent.is_oneway
    assert (sent.code, sent.ext) == (40, {"consumerGroup": "g"})
    assert len(questions) == 0


def test_where_one_cannot_be_told_of_a_closed_connection_the_others_hear_in_time():
    questions, answers = ClientCalls(), []
    link = connect(questions)

    def fail(_):
        raise RuntimeError("a fault of ours")

    questions.ask(link.peer.channel, 307, {}, b"", 100, fail)
    ask(questions, link, answers)
    with pytest.raises(RuntimeError):
        questions.leave(channel("a"))
    questions.expire(100)
    assert answers == [None]
    assert len(questions) == 0


def test_an_asker_has_a_bounded_number_of_open_questions_and_others_still_ask(monkeypatch):
    monkeypatch.setattr(questions_module, "MAX_PER_ASKER", 2)
    questions, answers = ClientCalls(), []

    def asked(link, asker):
        return questions.ask(link.peer.channel, 307, {}, b"", 100, answers.append, asker)

    links = [connect(questions, name) for name in "abc"]
    assert [asked(link, "greedy") for link in links] == [True, True, False]
    assert asked(links[2], "alice")
    questions.leave(links[0].peer.channel)
    assert asked(links[2], "greedy")


def test_open_questions_are_bounded_in_bytes_for_each_client_and_asker(monkeypatch):
    monkeypatch.setattr(questions_module, "MAX_BYTES_PER_LINK", 10)
    monkeypatch.setattr(questions_module, "MAX_BYTES_PER_ASKER", 25)
    questions, answers = ClientCalls(), []

    def asked(link, size, asker="u"):
        return questions.ask(link.peer.channel, 309, {}, bytes(size), 100, answers.append, asker)

    one, two, three = (connect(questions, name) for name in "abc")
    assert asked(one, 1_000), "one of any size"
    questions.answer(one, Command(0, one.frames[-1].opaque, FLAG_RESPONSE))
    assert [asked(one, 5), asked(one, 5), asked(one, 1)] == [True, True, False]
    assert [asked(two, 10), asked(three, 6)] == [True, False]
    assert asked(three, 6, "v")
    questions.expire(100)
    assert asked(three, 10)
    assert len(questions) == 1


def test_a_client_whose_connection_is_gone_is_neither_asked_nor_notified_nor_closed():
    questions, answers = ClientCalls(), []
    link = connect(questions)
    questions.leave(link.peer.channel)
    assert not ask(questions, link, answers)
    questions.notify(link.peer.channel, 40, {})
    questions.close(link.peer.channel, "no heartbeat")
    assert link.sent == []
    assert not link.closed


def test_the_connection_of_a_client_can_be_closed():
    questions = ClientCalls()
    one, other = connect(questions, "a"), connect(questions, "b")
    questions.close(one.peer.channel, "no heartbeat")
    assert one.closed
    assert not other.closed
