"""Requests of ours to clients."""

import pytest

from mqguard.dispatch import client_calls as questions_module
from mqguard.dispatch.client_calls import MAX_PER_LINK, ClientCalls
from mqguard.remoting.codes import FLAG_RESPONSE
from mqguard.remoting.command import Command
from tests.fixtures.links import RecordingLink, channel


def ask(questions, link, answers, deadline=100):
    return questions.ask(link, 307, {"clientId": "c"}, b"body", deadline, answers.append)


def test_an_answer_finds_its_question():
    questions, link, answers = ClientCalls(), RecordingLink("a"), []
    assert ask(questions, link, answers)
    (sent,) = link.frames
    assert (sent.code, sent.ext, sent.body, sent.is_response) == (307, {"clientId": "c"}, b"body", False)
    assert questions.answer(link, Command(0, sent.opaque, FLAG_RESPONSE, body=b"fine"))
    assert [a.body for a in answers] == [b"fine"]
    assert not questions.answer(link, Command(0, sent.opaque, FLAG_RESPONSE))
    assert len(questions) == 0


def test_nobody_answers_for_another_connection():
    questions, link, answers = ClientCalls(), RecordingLink("a"), []
    ask(questions, link, answers)
    assert not questions.answer(RecordingLink("b"), Command(0, link.frames[0].opaque, FLAG_RESPONSE))
    assert answers == []


def test_time_runs_out():
    questions, link, answers = ClientCalls(), RecordingLink("a"), []
    ask(questions, link, answers, deadline=100)
    questions.expire(99)
    assert answers == []
    questions.expire(100)
    assert answers == [None]
    assert not questions.answer(link, Command(0, link.frames[0].opaque, FLAG_RESPONSE))


def test_a_closed_connection_answers_nothing():
    questions, link, answers = ClientCalls(), RecordingLink("a"), []
    ask(questions, link, answers)
    ask(questions, link, answers)
    questions.leave(channel("a"))
    assert answers == [None, None]
    questions.leave(channel("a"))
    link.closed = True
    assert not ask(questions, link, answers)
    assert len(questions) == 0


def test_a_client_that_never_answers_is_asked_no_more():
    questions, link, answers = ClientCalls(), RecordingLink("a"), []
    for _ in range(MAX_PER_LINK):
        assert ask(questions, link, answers)
    assert not ask(questions, link, answers)


def test_telling_needs_no_answer():
    questions, link = ClientCalls(), RecordingLink("a")
    questions.tell(link, 40, {"consumerGroup": "g"})
    (sent,) = link.frames
    assert sent.is_oneway
    assert (sent.code, sent.ext) == (40, {"consumerGroup": "g"})
    assert len(questions) == 0


def test_where_one_cannot_be_told_of_a_closed_connection_the_others_hear_in_time():
    questions, link, answers = ClientCalls(), RecordingLink("a"), []

    def fail(_):
        raise RuntimeError("a fault of ours")

    questions.ask(link, 307, {}, b"", 100, fail)
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
        return questions.ask(link, 307, {}, b"", 100, answers.append, asker)

    links = [RecordingLink(name) for name in "abc"]
    assert [asked(link, "greedy") for link in links] == [True, True, False]
    assert asked(links[2], "alice")
    questions.leave(links[0].peer.channel)
    assert asked(links[2], "greedy")


def test_open_questions_are_bounded_in_bytes_for_each_client_and_asker(monkeypatch):
    monkeypatch.setattr(questions_module, "MAX_BYTES_PER_LINK", 10)
    monkeypatch.setattr(questions_module, "MAX_BYTES_PER_ASKER", 25)
    questions, answers = ClientCalls(), []

    def asked(link, size, asker="u"):
        return questions.ask(link, 309, {}, bytes(size), 100, answers.append, asker)

    one, two, three = RecordingLink("a"), RecordingLink("b"), RecordingLink("c")
    assert asked(one, 1_000), "one of any size"
    questions.answer(one, Command(0, one.frames[-1].opaque, FLAG_RESPONSE))
    assert [asked(one, 5), asked(one, 5), asked(one, 1)] == [True, True, False]
    assert [asked(two, 10), asked(three, 6)] == [True, False]
    assert asked(three, 6, "v")
    questions.expire(100)
    assert asked(three, 10)
    assert len(questions) == 1
