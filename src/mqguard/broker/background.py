"""Requests whose work takes long: it runs on a thread, and the answer follows."""

from collections.abc import Callable
from typing import Protocol

from mqguard.dispatch.request import Request, RequestRefused, error_reply
from mqguard.remoting.codes import ResponseCode
from mqguard.remoting.command import Reply

BUSY = "the broker does other work of this kind now: try again later"
CHANGED = "your user was changed while the broker worked: send the request again"


class Background(Protocol):
    """A thread for work that would stop the event loop, one piece after the other."""

    def submit(self, work: Callable[[], Reply], done: Callable[[Reply | Exception], None]) -> bool:
        """Run work on the thread.

        Args:
            work: Runs on the thread.
            done: Called in the event loop with the result of `work`, or with its exception.

        Returns:
            False if too much work waits.
        """
        ...  # pragma: no cover


def answer_later(background: Background, request: Request, work: Callable[[], Reply]) -> None:
    """Do the work of a request on a thread, and answer then.

    Args:
        background: The thread.
        request: The request, whose handler returns None.
        work: Returns the answer.

    Raises:
        RequestRefused: Too much work waits.
    """
    waiting, code = request.without_body(), request.command.code

    def done(result: Reply | Exception) -> None:
        if not waiting.access.still_allowed():
            waiting.respond(Reply(ResponseCode.NO_PERMISSION, remark=CHANGED))
        elif isinstance(result, Exception):
            waiting.respond(error_reply(code, result))
        else:
            waiting.respond(result)

    if not background.submit(work, done):
        raise RequestRefused(ResponseCode.SYSTEM_BUSY, BUSY)
