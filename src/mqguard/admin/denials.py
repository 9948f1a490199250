"""Denials by decision id, from the brokers of a cluster or from an audit log on this machine."""

import re
from pathlib import Path

from mqguard.admin.client import Client, read
from mqguard.admin.errors import AnswerInvalid, ClusterUnknown, PeerRefused
from mqguard.admin.session import Session
from mqguard.errors import MqguardError, NotFound
from mqguard.net.errors import LinkError
from mqguard.remoting.codes import OwnCode, ResponseCode
from mqguard.remoting.headers.access import DecisionHeader
from mqguard.telemetry.audit_search import find_decision

Facts = dict[str, object]
"""Facts of a denial, under the names that the audit log's JSON lines have."""

_UNKNOWN = frozenset({ResponseCode.QUERY_NOT_FOUND, ResponseCode.REQUEST_CODE_NOT_SUPPORTED})
_ID = re.compile(r"([A-Za-z0-9_-]{1,64})")
_ID_IN_MESSAGE = re.compile(r"\[decision ([A-Za-z0-9_-]{1,64})\]")


def decision_id(text: str) -> str | None:
    """Return the decision id in a text, which is the id or a message that contains it; None if there is no id."""
    found = _ID.fullmatch(text.strip()) or _ID_IN_MESSAGE.search(text)
    return found[1] if found else None


def find_at_broker(session: Session, decision: str) -> Facts | None:
    """Return the facts of a denial from one broker.

    Returns:
        None if the broker does not keep the denial any more, or is not mqguard.

    Raises:
        PeerRefused: The caller has no permission.
        AnswerInvalid: The broker sent an answer that cannot be read.
    """
    answer = session.call(
        OwnCode.GET_DECISION, DecisionHeader(decision_id=decision), accept=_UNKNOWN | {ResponseCode.SUCCESS}
    )
    return None if answer.code in _UNKNOWN else read(answer, Facts)


def find_at_brokers(client: Client, cluster: str | None, decision: str) -> tuple[Facts | None, MqguardError | None]:
    """Return the facts of a denial from the first broker that has them, or the last error of a broker without."""
    failed: MqguardError | None = None
    try:
        brokers = client.brokers(cluster)
    except (LinkError, PeerRefused, AnswerInvalid, ClusterUnknown) as error:
        return None, error
    for broker in brokers:
        try:
            found = find_at_broker(client.at(broker.address), decision)
        except (LinkError, PeerRefused, AnswerInvalid) as error:
            failed = error
        else:
            if found is not None:
                return found, None
    return None, failed


def find_in_log(log: Path, decision: str, failed: MqguardError | None = None) -> Facts:
    """Return the facts of a denial from an audit log and its full parts.

    Args:
        log: Path of the audit log that is being written.
        decision: Id of the decision.
        failed: Error of a broker that could not be asked before.

    Raises:
        NotFound: The audit log does not contain the decision.
        MqguardError: The log cannot be read; or it does not exist, and this is the error of the broker.
    """
    try:
        found = find_decision(log, decision)
    except OSError as error:
        raise MqguardError(f"the audit log `{log}` cannot be read: {error.strerror}") from None
    if found is not None:
        return found
    exists = log.exists()
    if failed is not None and not exists:
        raise failed
    unasked = f"; not every broker could be asked: {failed}" if failed is not None else ""
    missing = f"the audit log `{log}` and its older parts do not contain it" if exists else f"`{log}` does not exist"
    raise NotFound(f"decision `{decision}` was not found: {missing}{unasked}")
