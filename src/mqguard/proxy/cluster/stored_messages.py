"""Messages that a request names by their position: looked up at the broker before the request is sent to it.

A broker does not know the users of the guard. So the guard reads the message itself, and decides about its topic.
"""

from collections.abc import Callable

from mqguard.auth.policy import Action
from mqguard.guard.admitted_request import AdmittedRequest
from mqguard.guard.message_authorization import require_message
from mqguard.model.record import RecordInvalid
from mqguard.net.upstream import Outcome
from mqguard.proxy.cluster.directory import Directory
from mqguard.remoting.codes import SERVER_VERSION, LanguageCode, RequestCode, ResponseCode
from mqguard.remoting.command import Command

OnChecked = Callable[[Command | Exception | None], None]
"""Receiver of the result: None if the sender has the permission, else the answer or the error for the sender."""


def check_message(
    directory: Directory, broker: str, offset: int, action: Action, access: AdmittedRequest, done: OnChecked
) -> None:
    """Check that a sender has a permission on the message at a position, for a request that names the position.

    Args:
        directory: The brokers.
        broker: Name of the broker that has the message.
        offset: Physical offset of the message.
        action: The action that the request needs.
        access: The admitted request.
        done: Receiver of the result. It gets the broker's own answer if there is no message.
    """

    def found(outcome: Outcome) -> None:
        done(_result(outcome, offset, action, access))

    ext = {"offset": str(offset)}
    command = Command(RequestCode.VIEW_MESSAGE_BY_ID, 0, 0, SERVER_VERSION, LanguageCode.PYTHON, None, ext)
    directory.call(broker, command, found)


def _result(outcome: Outcome, offset: int, action: Action, access: AdmittedRequest) -> Command | Exception | None:
    if isinstance(outcome, Exception) or outcome.code != ResponseCode.SUCCESS:
        return outcome
    try:
        message = require_message(access, outcome.body, action)
    except RecordInvalid:
        return _missing(outcome, offset)
    except Exception as exc:  # noqa: BLE001 - a denial, plugins to call, or an error: the request is not sent
        return exc
    return None if message.physical_offset == offset else _missing(outcome, offset)


def _missing(outcome: Command, offset: int) -> Command:
    remark = f"can not find message by the offset, {offset}"
    return Command(ResponseCode.SYSTEM_ERROR, outcome.opaque, outcome.flag, remark=remark)
