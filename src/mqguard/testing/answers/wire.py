"""Lines of the kind `wire`: requests of codes 3001 to 3010, one after the other, and the response to each."""

import re
from typing import Any

from mqguard.auth.manager import MetadataManager
from mqguard.broker.failures import explain
from mqguard.broker.processors.access import AccessAdministration
from mqguard.broker.request import Request
from mqguard.broker.settings import BrokerSettings, SecretExposure
from mqguard.guard.audit import AuditTrail
from mqguard.guard.context import Access, Identity
from mqguard.guard.touching import NoJudge
from mqguard.model.peer import Peer
from mqguard.remoting.command import Command, Reply
from mqguard.store.access_memory import MemoryMetadataStore

Json = dict[str, Any]

_DETAIL = re.compile(r" \[.*\]$", re.DOTALL)
"""What we say in brackets after Apache's sentence; the lines record the sentence alone."""


class _Clock:
    def now_ms(self) -> int:
        return 0


class _Nowhere:
    """An audit sink for lines that nobody keeps."""

    is_full = False

    def put(self, record: object) -> bool:
        del record
        return True


class _Link:
    """A connection that is only asked where it comes from; the answers are taken from the handlers."""

    def __init__(self) -> None:
        self.peer = Peer("127.0.0.1", 0, "vectors")
        self.closed = False

    def send(self, frame: bytes) -> None:
        raise AssertionError(frame)

    def close(self, reason: str) -> None:
        raise AssertionError(reason)


def answer(line: Json) -> Json:
    """The line with our response to every request; secrets in clear, as the vectors give them."""
    administration = AccessAdministration(
        MetadataManager(MemoryMetadataStore()),
        AuditTrail(_Nowhere()),
        None,
        BrokerSettings(secret_exposure=SecretExposure.PLAIN, nobody_administers=True),
        _Clock(),
    )
    return {**line, "ops": [{**op, "outcome": _outcome(administration, op)} for op in line["ops"]]}


def _outcome(administration: AccessAdministration, op: Json) -> Json:
    ext = {name: value for name, value in (op["ext"] or {}).items() if value is not None}
    body = (op["body"] or "").encode("utf-8", "surrogatepass")
    link = _Link()
    caller = ext.get("AccessKey")
    # Authentication and the `Cluster` check are past in these lines.
    identity = Identity(caller, "vectors") if caller else None
    access = Access(identity, link.peer, op["code"], (), pending=False, judge=NoJudge())
    request = Request(Command(op["code"], ext=ext, body=body), link, access)
    try:
        reply = administration.handlers()[op["code"]](request) or Reply()
    except Exception as exc:  # noqa: BLE001, what it becomes is what is asked
        reply = explain(op["code"], exc)
    return {
        "code": int(reply.code),
        "remark": None if reply.remark is None else _DETAIL.sub("", reply.remark),
        "body": reply.body.decode() or None,
    }
