"""Lines of the kind `wire`: the requests 3001 to 3010, answered by the broker's own handlers.

As recorded, authentication and the `Cluster` permission are past: `AccessKey` says who calls. Secrets are answered in
their default form.
"""

import json
from typing import Any

from mqguard.auth.manager import MetadataManager
from mqguard.auth.rights import Rights
from mqguard.auth.sealing import SealingKey
from mqguard.broker.processors.access import AccessAdministration
from mqguard.broker.settings import BrokerSettings
from mqguard.dispatch.request import Request, explain
from mqguard.guard.audit import AuditTrail
from mqguard.guard.context import AdmittedRequest, Identity, RequiredPermission
from mqguard.guard.errors import Refused
from mqguard.model.channel import Channel
from mqguard.model.peer import Peer
from mqguard.remoting.codes import ResponseCode
from mqguard.remoting.command import Command, Reply
from mqguard.remoting.link import WorkQueue
from mqguard.remoting.signing import ACCESS_KEY
from mqguard.store.metadata.memory import MemoryMetadataStore

Json = dict[str, Any]

_PEER = Peer("127.0.0.1", 1, Channel("vectors"))


def answer(line: Json) -> Json:
    """The line with our response to every request."""
    manager = MetadataManager(MemoryMetadataStore())
    settings = BrokerSettings(nobody_administers=True)
    trail = AuditTrail(_Nowhere())
    administration = AccessAdministration(manager, trail, SealingKey(bytes(32)), settings, _Stopped())
    handlers = administration.handlers()
    return {**line, "ops": [{**op, "outcome": _respond(manager, handlers, op)} for op in line["ops"]]}


def _respond(manager: MetadataManager, handlers: dict[int, Any], op: Json) -> Json:
    ext = {name: value for name, value in (op["ext"] or {}).items() if value is not None}
    command = Command(op["code"], ext=ext, body=(op["body"] or "").encode("utf-8", "surrogatepass"))
    caller = ext.get(ACCESS_KEY)
    user = manager.snapshot.user(caller) if caller else None
    identity = Identity(caller, "signature", user is not None and user.is_super) if caller else None
    request = Request(
        command, _Line(), AdmittedRequest(identity, _PEER, op["code"], (), pending=False, judge=_Nobody())
    )
    try:
        reply: Reply = handlers[op["code"]](request)
    except Exception as exc:  # noqa: BLE001 - whatever a handler raises becomes an answer, as in the router
        reply = explain(op["code"], exc)
    return {
        "code": int(reply.code),
        "remark": reply.remark,
        "body": _in_order(reply.body) if reply.body else None,
    }


class _Line:
    """A connection that answers are not sent over."""

    peer = _PEER
    closed = False

    @property
    def work(self) -> WorkQueue:
        """Fail: no request for users and policies takes long."""
        raise NotImplementedError

    def send(self, frame: bytes) -> None:
        """Send nothing: the answer is what the handler gives back."""

    def close(self, reason: str) -> None:
        """Close nothing."""


class _Nowhere:
    """A record that nobody reads."""

    @property
    def is_full(self) -> bool:
        """Never."""
        return False

    def put(self, record: object, **_room: object) -> bool:
        """Forget it."""
        return record is not None


class _Stopped:
    """A clock that does not go."""

    def now_ms(self) -> int:
        """The epoch."""
        return 0


class _Nobody:
    """A judge that is not asked: these requests touch nothing beyond what the guard has checked."""

    def allows(self, access: AdmittedRequest, need: RequiredPermission) -> bool:
        """Refuse."""
        raise _unasked(access, need.key)

    def require(self, access: AdmittedRequest, need: RequiredPermission) -> None:
        """Refuse."""
        raise _unasked(access, need.key)

    def renew(self) -> None:
        """Nothing was found out."""

    def sender(self, access: AdmittedRequest) -> Rights | None:
        """Refuse."""
        raise _unasked(access, "its sender")

    def admits(self, access: AdmittedRequest) -> bool:
        """Refuse."""
        raise _unasked(access, "its sender")

    def require_owner(self, access: AdmittedRequest, owner: str | None, what: str) -> None:
        """Refuse."""
        raise _unasked(access, f"{what} of {owner}")


def _unasked(access: AdmittedRequest, what: str) -> Refused:
    return Refused(int(ResponseCode.SYSTEM_ERROR), f"the request code {access.code} asks for {what}", "")


def _in_order(body: bytes) -> str:
    # Java writes members in the order of their names.
    return json.dumps(json.loads(body), ensure_ascii=False, separators=(",", ":"), sort_keys=True)
