"""The client's side without sockets."""

import pytest

from mqguard.remoting.codes import SERVER_VERSION
from mqguard.remoting.command import Command, RemoteProtocolError, Reply
from mqguard.remoting.connection import Answered, Asked, ClientConnection
from mqguard.remoting.frame import FrameReader, encode_reply, encode_request


def sent(frame: bytes) -> Command:
    (command,) = FrameReader().feed(frame)
    return command


def test_answers_find_their_requests_in_any_order() -> None:
    connection = ClientConnection()
    first, one = connection.request(Command(105, ext={"topic": "a"}))
    second, two = connection.request(Command(105, ext={"topic": "b"}, version=399))
    assert (sent(one).opaque, sent(one).version) == (first, SERVER_VERSION)
    assert (sent(two).opaque, sent(two).version) == (second, 399)
    events = connection.receive(encode_reply(second, 0) + encode_reply(first, 17))
    assert [(event.opaque, event.command.code) for event in events if isinstance(event, Answered)] == [
        (second, 0),
        (first, 17),
    ]


def test_unexpected_answers_are_dropped() -> None:
    connection = ClientConnection()
    opaque, _ = connection.request(Command(105))
    assert connection.receive(encode_reply(opaque + 1, 0)) == []
    assert len(connection.receive(encode_reply(opaque, 0) + encode_reply(opaque, 0))) == 1
    late, _ = connection.request(Command(105))
    connection.forget(late)
    assert connection.receive(encode_reply(late, 0)) == []


def test_the_server_may_ask_too() -> None:
    connection = ClientConnection()
    question = Command(307, 9, ext={"clientId": "c"})
    assert connection.receive(encode_request(question)) == [Asked(question)]
    answer = sent(connection.answer(question, Reply(1, {"a": "b"}, b"body", "why")))
    assert (answer.opaque, answer.code, answer.ext, answer.body, answer.remark) == (9, 1, {"a": "b"}, b"body", "why")
    assert answer.is_response


def test_invalid_bytes_are_an_error() -> None:
    with pytest.raises(RemoteProtocolError):
        ClientConnection().receive(b"HTTP/1.1 400 Bad Request\r\n")
