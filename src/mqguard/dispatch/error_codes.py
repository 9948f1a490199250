"""What an error becomes on the wire: one table, from error class to response code.

The remark is the error's own sentence: every class here is written for the eyes of a peer. A class that is not here,
nor any class above it, is a fault of ours: the log hears all of it, the peer no more than that.
"""

import logging

from mqguard.auth.errors import (
    AuthenticationFailed,
    MetadataRejected,
    MetadataStoreFailed,
    MetadataStoreFull,
    PolicyInvalid,
    RevisionConflict,
)
from mqguard.auth.sealing import SealInvalid
from mqguard.dispatch.errors import ConfigurationRefused, RequestRefused
from mqguard.engine import errors as engine
from mqguard.guard.errors import Refused
from mqguard.model.errors import AttributesInvalid, RecordInvalid
from mqguard.remoting.codes import ResponseCode
from mqguard.remoting.command import Reply
from mqguard.remoting.errors import BodyInvalid, HeaderInvalid, LocalProtocolError

_LOG = logging.getLogger(__name__)

INTERNAL = "internal error; the server's log tells more"

TABLE: dict[type[Exception], ResponseCode] = {
    AuthenticationFailed: ResponseCode.NO_PERMISSION,
    MetadataRejected: ResponseCode.NO_PERMISSION,
    PolicyInvalid: ResponseCode.INVALID_PARAMETER,
    SealInvalid: ResponseCode.INVALID_PARAMETER,
    MetadataStoreFailed: ResponseCode.SYSTEM_ERROR,
    MetadataStoreFull: ResponseCode.SERVICE_NOT_AVAILABLE,
    RevisionConflict: ResponseCode.SYSTEM_BUSY,
    ConfigurationRefused: ResponseCode.NO_PERMISSION,
    HeaderInvalid: ResponseCode.INVALID_PARAMETER,
    BodyInvalid: ResponseCode.INVALID_PARAMETER,
    LocalProtocolError: ResponseCode.SYSTEM_ERROR,
    RecordInvalid: ResponseCode.MESSAGE_ILLEGAL,
    AttributesInvalid: ResponseCode.INVALID_PARAMETER,
    engine.NoSuchTopic: ResponseCode.TOPIC_NOT_EXIST,
    engine.NoSuchGroup: ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST,
    engine.NoSuchQueue: ResponseCode.INVALID_PARAMETER,
    engine.NoSuchMessage: ResponseCode.SYSTEM_ERROR,
    engine.NotWritable: ResponseCode.NO_PERMISSION,
    engine.NotReadable: ResponseCode.NO_PERMISSION,
    engine.MessageIllegal: ResponseCode.MESSAGE_ILLEGAL,
    engine.ConfigIllegal: ResponseCode.INVALID_PARAMETER,
    engine.LimitReached: ResponseCode.SERVICE_NOT_AVAILABLE,
    engine.NotSupported: ResponseCode.REQUEST_CODE_NOT_SUPPORTED,
    engine.StoreFull: ResponseCode.SERVICE_NOT_AVAILABLE,
    engine.StoreDown: ResponseCode.SYSTEM_ERROR,
}


def explain(code: int, exc: Exception) -> Reply:
    """The answer that tells a peer of an error.

    Args:
        code: Request code, for the log.
        exc: What went wrong.
    """
    if isinstance(exc, (Refused, RequestRefused)):
        return Reply(exc.code, remark=str(exc))
    for kind in type(exc).__mro__:
        found = TABLE.get(kind)
        if found is not None:
            return Reply(found, remark=str(exc))
    _LOG.error("request code %d failed", code, exc_info=exc)
    return Reply(ResponseCode.SYSTEM_ERROR, remark=INTERNAL)
