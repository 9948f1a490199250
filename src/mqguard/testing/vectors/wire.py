"""Lines of the kind `wire`: the requests 3001 to 3010, answered by the handlers of the broker.

As in the recording, no request is authenticated or checked for the `Cluster` permission; the field `AccessKey` names
the user. Secrets are answered in their default form.
"""

import json
from typing import Any

from mqguard.auth.manager import MetadataManager
from mqguard.auth.policy_index import Rights
from mqguard.auth.seal import SealingKey
from mqguard.dispatch.access_bodies import SecretExposure
from mqguard.dispatch.access_requests import AccessProcessor
from mqguard.dispatch.request import Request, error_reply
from mqguard.guard.admitted_request import AdmittedRequest, Identity
from mqguard.guard.audit import AuditTrail
from mqguard.guard.errors import DenialReason, Refused
from mqguard.guard.permissions import RequiredPermission
from mqguard.guard.request_context import Operation
from mqguard.model.peer import Channel, Peer
from mqguard.remoting.command import Command, Reply
from mqguard.remoting.link import WorkQueue
from mqguard.remoting.signed_content import ACCESS_KEY
from mqguard.store.metadata.memory import MemoryMetadataStore

Json = dict[str, Any]

_PEER = Peer("127.0.0.1", 1, Channel("vectors"))


def answer(line: Json) -> Json:
    """Return the line with our response to every request."""
    manager = MetadataManager(MemoryMetadataStore())
    trail = AuditTrail(_DroppingSink())
    administration = AccessProcessor(
        manager, trail, SealingKey(bytes(32)), SecretExposure.SEALED, _EpochClock(), anonymous_administers=True
    )
    handlers = administration.handlers()
    return {**line, "ops": [{**op, "outcome": _respond(manager, handlers, op)} for op in line["ops"]]}


def _respond(manager: MetadataManager, handlers: dict[int, Any], op: Json) -> Json:
    ext = {name: value for name, value in (op["ext"] or {}).items() if value is not None}
    command = Command(op["code"], ext=ext, body=(op["body"] or "").encode("utf-8", "surrogatepass"))
    caller = ext.get(ACCESS_KEY)
    user = manager.snapshot.user(caller) if caller else None
    identity = Identity(caller, "signature", user is not None and user.is_super) if caller else None
    request = Request(
        command,
        _DroppingLink(),
        AdmittedRequest(
            identity, _PEER, Operation(name="", code=op["code"]), (), pending=False, authorizer=_NoAuthorizer()
        ),
    )
    try:
        reply: Reply = handlers[op["code"]](request)
    except Exception as exc:  # noqa: BLE001 - every error of a handler becomes an answer, as in the router
        reply = error_reply(op["code"], exc)
    return {
        "code": int(reply.code),
        "remark": reply.remark,
        "body": _in_order(reply.body) if reply.body else None,
    }


class _DroppingLink:
    """Connection over which no answer is sent."""

    peer = _PEER
    closed = False

    @property
    def work(self) -> WorkQueue:
        """Work queue; not available, because requests for users and policies never need it."""
        raise NotImplementedError

    def send(self, frame: bytes) -> None:
        """Send nothing: the handler returns the answer."""

    def close(self, reason: str) -> None:
        """Close nothing."""


class _DroppingSink:
    """Audit sink that keeps nothing."""

    @property
    def is_full(self) -> bool:
        """Always False."""
        return False

    def put(self, record: object, **_room: object) -> bool:
        """Accept a record and drop it."""
        return record is not None


class _EpochClock:
    """Clock that always shows the epoch."""

    def now_ms(self) -> int:
        """Return the time of the epoch."""
        return 0

    def monotonic_ms(self) -> int:
        """Return the same."""
        return 0


class _NoAuthorizer:
    """Object authorizer that must not be called: these requests reach no object beyond what the guard has checked."""

    def allows(self, access: AdmittedRequest, need: RequiredPermission) -> bool:
        """Raise an error."""
        raise _unexpected(access, need.key)

    def require(self, access: AdmittedRequest, need: RequiredPermission) -> None:
        """Raise an error."""
        raise _unexpected(access, need.key)

    def renew(self) -> None:
        """Do nothing: there is nothing to refresh."""

    def sender(self, access: AdmittedRequest) -> Rights | None:
        """Raise an error."""
        raise _unexpected(access, "the rights of its sender")

    def admits(self, access: AdmittedRequest) -> bool:
        """Raise an error."""
        raise _unexpected(access, "the rights of its sender")

    def require_owner(self, access: AdmittedRequest, owner: str | None, what: str) -> None:
        """Raise an error."""
        raise _unexpected(access, f"{what} of {owner}")


def _unexpected(access: AdmittedRequest, what: str) -> Refused:
    return Refused(DenialReason.INTERNAL_ERROR, f"the request {access.operation.text} asks for {what}", "")


def _in_order(body: bytes) -> str:
    # Java writes members in alphabetical order.
    return json.dumps(json.loads(body), ensure_ascii=False, separators=(",", ":"), sort_keys=True)
