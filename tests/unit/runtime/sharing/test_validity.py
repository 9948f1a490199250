"""A request whose commit comes after the end of the member's time gets an error at once."""

from types import SimpleNamespace
from typing import Any

from mqguard.dispatch.request import DeferredReply
from mqguard.remoting.codes import ResponseCode
from mqguard.remoting.frame import encode_reply
from mqguard.runtime.sharing.member import OUTDATED
from mqguard.runtime.sharing.validity import ValidityCheck
from tests.fixtures.engine import make_engine, message
from tests.fixtures.wire import parse


class SendingApplication:
    """Stages a message for each command, and commits at the end of the iteration."""

    def __init__(self) -> None:
        self.engine = make_engine()

    def connected(self, link: Any) -> None:
        raise AssertionError

    def closed(self, link: Any) -> None:
        raise AssertionError

    def commands(self, link: Any, commands: list[Any]) -> None:
        for command in commands:
            self.engine.send(message())
            self.engine.group_commit.defer(
                DeferredReply(link, encode_reply(command.opaque, 0, None, None), command.opaque)
            )

    def end_of_iteration(self) -> None:
        self.engine.group_commit.commit()


def test_the_time_ends_between_a_request_and_its_commit() -> None:
    app, member, sent = SendingApplication(), SimpleNamespace(is_current=True, refused=0, outdated=OUTDATED), []
    check = ValidityCheck(app, member, app.engine.group_commit.refuse)  # type: ignore[arg-type]
    link: Any = SimpleNamespace(send=lambda frame: sent.append(parse(frame[4:])))
    command: Any = SimpleNamespace(opaque=7, is_response=False, is_oneway=False)

    check.commands(link, [command])
    member.is_current = False
    check.end_of_iteration()
    assert [(answer.opaque, answer.code) for answer in sent] == [(7, ResponseCode.SYSTEM_ERROR)]
    assert OUTDATED in (sent[0].remark or "")

    member.is_current = True
    check.commands(link, [command])
    check.end_of_iteration()
    assert [answer.code for answer in sent] == [ResponseCode.SYSTEM_ERROR, ResponseCode.SUCCESS]
    assert app.engine.max_offset("orders", 0) == 1
