"""Errors and answers of brokers as the status codes of gRPC clients (`Code` of the protocol).

A refusal of the server is in the answer's `Status`. The status of the call itself stays OK, because clients read it as
a failure of the connection (Apache: `ResponseBuilder`).
"""

import logging
from typing import Final

from google.protobuf.message import DecodeError

from mqguard.dispatch.request import INTERNAL, error_reply
from mqguard.errors import MqguardError
from mqguard.guard.errors import DenialReason, Refused
from mqguard.net.errors import LinkBusy, LinkError, LinkTimeout
from mqguard.remoting.codes import ResponseCode
from mqguard.remoting.command import Command
from mqguard.rpc.protocol import messages_pb2 as pb

_LOG = logging.getLogger(__name__)

OK: Final = pb.Status(code=pb.OK, message="OK")
"""The status of success. INVARIANT: no code changes it."""

_CODES: Final[dict[int, pb.Code]] = {
    ResponseCode.SUCCESS: pb.OK,
    ResponseCode.SYSTEM_BUSY: pb.TOO_MANY_REQUESTS,
    ResponseCode.SERVICE_NOT_AVAILABLE: pb.TOO_MANY_REQUESTS,
    ResponseCode.POLLING_FULL: pb.TOO_MANY_REQUESTS,
    ResponseCode.REQUEST_CODE_NOT_SUPPORTED: pb.NOT_IMPLEMENTED,
    ResponseCode.NO_PERMISSION: pb.FORBIDDEN,
    ResponseCode.TOPIC_NOT_EXIST: pb.TOPIC_NOT_FOUND,
    ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST: pb.CONSUMER_GROUP_NOT_FOUND,
    ResponseCode.SUBSCRIPTION_PARSE_FAILED: pb.ILLEGAL_FILTER_EXPRESSION,
    ResponseCode.MESSAGE_ILLEGAL: pb.BAD_REQUEST,
    ResponseCode.INVALID_PARAMETER: pb.BAD_REQUEST,
    ResponseCode.PULL_NOT_FOUND: pb.MESSAGE_NOT_FOUND,
    ResponseCode.PULL_RETRY_IMMEDIATELY: pb.MESSAGE_NOT_FOUND,
    ResponseCode.POLLING_TIMEOUT: pb.MESSAGE_NOT_FOUND,
    ResponseCode.NO_MESSAGE: pb.INVALID_RECEIPT_HANDLE,
    ResponseCode.ILLEGAL_OPERATION: pb.BAD_REQUEST,
    ResponseCode.QUERY_NOT_FOUND: pb.OFFSET_NOT_FOUND,
    ResponseCode.PULL_OFFSET_MOVED: pb.ILLEGAL_OFFSET,
    ResponseCode.FLUSH_DISK_TIMEOUT: pb.MASTER_PERSISTENCE_TIMEOUT,
    ResponseCode.FLUSH_SLAVE_TIMEOUT: pb.SLAVE_PERSISTENCE_TIMEOUT,
    ResponseCode.SLAVE_NOT_AVAILABLE: pb.HA_NOT_AVAILABLE,
    ResponseCode.FLOW_CONTROL: pb.TOO_MANY_REQUESTS,
    ResponseCode.LMQ_QUOTA_EXCEEDED: pb.LITE_TOPIC_QUOTA_EXCEEDED,
    ResponseCode.LITE_SUBSCRIPTION_QUOTA_EXCEEDED: pb.LITE_SUBSCRIPTION_QUOTA_EXCEEDED,
}
_NO_FILTERS: Final = "The broker does not support consumer to filter message by"
"""Beginning of the remark of brokers that accept only tags; the code is that of any error."""
_DENIALS: Final[dict[DenialReason, pb.Code]] = {DenialReason.AUDIT_FULL: pb.TOO_MANY_REQUESTS}


class CallRefused(MqguardError):
    """A call that cannot be served as it is.

    Attributes:
        code: Status code.
    """

    def __init__(self, code: pb.Code, message: str) -> None:
        super().__init__(message)
        self.code = code


def of_error(rpc: str, error: Exception) -> pb.Status:
    """Return the status for an error.

    Args:
        rpc: Name of the RPC, for the log.
        error: The error.
    """
    if isinstance(error, CallRefused):
        return pb.Status(code=error.code, message=str(error))
    if isinstance(error, Refused):
        return pb.Status(code=_DENIALS.get(error.reason, pb.UNAUTHORIZED), message=str(error))
    if isinstance(error, LinkError):
        return pb.Status(code=_link_code(error), message=str(error))
    if isinstance(error, DecodeError):
        return pb.Status(code=pb.BAD_REQUEST, message=f"the message is not a valid request of {rpc}")
    if not isinstance(error, MqguardError):
        _LOG.error("a call of %s failed", rpc, exc_info=error)
        return pb.Status(code=pb.INTERNAL_SERVER_ERROR, message=INTERNAL)
    reply = error_reply(0, error)
    return pb.Status(code=_CODES.get(reply.code, pb.INTERNAL_SERVER_ERROR), message=reply.remark or "")


def _link_code(error: LinkError) -> pb.Code:
    """Return the code for a broker that cannot be reached. Clients send the request again after all of them."""
    if isinstance(error, LinkBusy):
        return pb.TOO_MANY_REQUESTS
    return pb.PROXY_TIMEOUT if isinstance(error, LinkTimeout) else pb.INTERNAL_SERVER_ERROR


def of_answer(answer: Command) -> pb.Status:
    """Return the status for the answer of a broker."""
    if answer.code == 0:
        return OK
    if answer.code == ResponseCode.SYSTEM_ERROR and (answer.remark or "").startswith(_NO_FILTERS):
        return pb.Status(code=pb.UNSUPPORTED, message=answer.remark)
    return pb.Status(code=_CODES.get(answer.code, pb.INTERNAL_SERVER_ERROR), message=answer.remark or "")


def of_all(statuses: list[pb.Status]) -> pb.Status:
    """Return the status of an answer with several results: their common code, or `MULTIPLE_RESULTS`."""
    first = statuses[0]
    if all(status.code == first.code for status in statuses):
        return first
    return pb.Status(code=pb.MULTIPLE_RESULTS, message="mixed results")
