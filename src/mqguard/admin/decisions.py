"""The story of a refusal; brokers of mqguard alone know it."""

from mqguard.admin.client import read
from mqguard.admin.session import Session
from mqguard.remoting.codes import OwnCode, ResponseCode
from mqguard.remoting.headers.access import DecisionHeader

_UNKNOWN = frozenset({ResponseCode.QUERY_NOT_FOUND, ResponseCode.REQUEST_CODE_NOT_SUPPORTED})


def find(session: Session, decision_id: str) -> dict[str, object] | None:
    """The facts of a refusal, under the names of the audit log's JSON lines and some more.

    Returns:
        None if this broker does not remember it, or is none of mqguard.

    Raises:
        PeerRefused: The caller may not.
        AnswerInvalid: The server answered something else.
    """
    header = DecisionHeader(decision_id=decision_id)
    answer = session.call(OwnCode.GET_DECISION, header, accept=_UNKNOWN | {ResponseCode.SUCCESS})
    return None if answer.code in _UNKNOWN else read(answer, dict[str, object])
