"""The audit records of the guard: every decision, and every change of users and policies.

The request path only appends a record. A writer on a thread of its own makes lines of the records (`audit_format.py`).
"""

# Rule 1: admissions may be dropped when the queue is full. Denials and changes are never lost. A repeated denial is
# counted (`denial_groups.py`), and so is a repeated admission that anybody can cause. A change without room for its
# record is refused before it is made. Admissions may be counted, too (`admission_groups.py`).
# Rule 2: a record holds no connection, and only short parts of what a peer sent.

import collections
import enum
import functools
import ipaddress
import json
import secrets
from collections.abc import Callable, Iterator
from typing import Protocol

import msgspec

from mqguard.auth.policy_index import Rights
from mqguard.auth.source import parse_address
from mqguard.auth.verdict import Verdict
from mqguard.guard.admission_groups import AdmissionCount, AdmissionMode, AdmissionRecords, AdmissionsOff
from mqguard.guard.admitted_request import BY_CLAIM, Identity
from mqguard.guard.denial_groups import ADDRESSES, OTHERS, SHADOWED, USERS, DenialGroups, Folded, Repeats
from mqguard.guard.permissions import RequiredPermission, RequiredPermissions
from mqguard.guard.request_context import Operation


class Stage(enum.Enum):
    """The step of the guard that decided."""

    AUTHENTICATION = "authentication"
    REQUIREMENTS = "requirements"
    AUTHORIZATION = "authorization"
    OBJECT = "object"
    """A handler asked about a resource that the request reached beyond those it names."""
    GUARD = "guard"
    """An internal error, or no room for the audit record."""


class Stream(enum.IntEnum):
    """The files that a record goes to. None of the three streams can displace the others."""

    KEPT = 0
    """Changes of users and policies, administrative requests, and denials of authenticated users."""
    ADMITTED = 1
    """All other requests that were admitted."""
    UNAUTHENTICATED = 2
    """Denials of unauthenticated peers, and admissions of such peers."""


PUBLIC = "public"  # The reason for an admission by `GuardSettings.default_route_open`.
MAX_SIGNATURE = 128
"""Maximum characters of a signature that are kept, for its hash: no valid one is longer than 28."""


DenialKey = tuple[str | int, ...]
"""The values that denials have in common if they are counted together."""


class AuditEvent(msgspec.Struct, gc=False):
    """One request while the guard decides about it, and then its audit record; or one object that a request touched.

    INVARIANT: nothing changes an event once it is in the audit queue.

    Attributes:
        operation: The kind of request.
        source: The source address.
        started: Start of the decision, in nanoseconds of the guard's own clock.
        signature: The signature as received, at most `MAX_SIGNATURE` of it, for its hash; None if none was checked.
        claimed: The user name that an unauthenticated request claims; empty for none.
        identity: The sender, once it is known.
        permissions: The required permissions, once they are known; in a record at most `MAX_PERMISSIONS`.
        rights: The sender's rights, once they are read; not part of the record.
        version: Version of users and policies.
        stage: The step that decided.
        verdicts: One verdict for each permission that was decided, in order.
        reason: The reason for the decision, a keyword.
        decision_id: The id of a denial, in shadow mode also of one that was not enforced; empty for an admission.
        when_ms: Milliseconds since the epoch.
        latency_ns: Duration of the decision in nanoseconds.
        shadow: True if shadow mode let the request through.
        key: The values that a denial shares with those that are counted with it; empty for an admission.
        counted: True if the denial was counted with an audited one.
        resources: Number of resources that the request named if the record does not have all of them; else 0.
        stream: The files that the record goes to.
        listener: The port of the listener, 0 if it is not known; not part of the record.
    """

    operation: Operation
    source: str
    started: int
    signature: str | None = None
    claimed: str = ""
    identity: Identity | None = None
    permissions: RequiredPermissions = ()
    rights: Rights | None = None
    version: int = 0
    stage: Stage = Stage.AUTHORIZATION
    verdicts: tuple[Verdict, ...] = ()
    reason: str = ""
    decision_id: str = ""
    when_ms: int = 0
    latency_ns: int = 0
    shadow: bool = False
    key: DenialKey = ()
    counted: bool = False
    resources: int = 0
    stream: Stream = Stream.ADMITTED
    listener: int = 0

    @property
    def user(self) -> str:
        """The user's name, or else the name that the request claims."""
        return self.identity.user if self.identity is not None else self.claimed

    @property
    def method(self) -> str:
        """The method that authenticated the user, empty for none."""
        return self.identity.method if self.identity is not None else ""

    @property
    def is_super(self) -> bool:
        """True if the sender is a Super user."""
        return self.identity is not None and self.identity.is_super

    @property
    def refused(self) -> bool:
        """True if the request is denied."""
        return bool(self.decision_id) and not self.shadow

    @property
    def authenticated(self) -> bool:
        """True if the sender is authenticated; a claimed user is not."""
        return self.identity is not None and self.identity.method != BY_CLAIM


DONE = "done"
"""The outcome of a change that was made."""


class AdminChange(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A change of users or policies.

    Attributes:
        when_ms: Milliseconds since the epoch.
        user: The user who made the change; empty for an anonymous one.
        source: The source address; empty for the machine itself.
        operation: The kind of change, such as `create-user` or `delete-acl`.
        subject: The changed subject, such as `User:alice`.
        details: The new values by name; never a secret.
        outcome: `done`, or the reason for which the change was refused.
        method: The method that authenticated the user; empty for none.
        code: Request code; 0 for a change without a request.
        id: Unique id of a change that was made or may have been; empty for a refused one.
        recovered: True if the line was written after a restart, because the log did not have it.
    """

    when_ms: int
    user: str
    source: str
    operation: str
    subject: str
    details: dict[str, str]
    outcome: str
    method: str = ""
    code: int = 0
    id: str = ""
    recovered: bool = False

    def encode(self) -> bytes:
        """Return the form in which it is stored with the change."""
        return json.dumps(msgspec.to_builtins(self)).encode()


def new_change_id(when_ms: int) -> str:
    """Return a unique id for a change; later ones sort after earlier ones."""
    return f"{when_ms:012x}{secrets.token_hex(6)}"


def read_change(data: bytes) -> AdminChange:
    """Return a change in its stored form.

    Raises:
        ValueError: It cannot be read.
    """
    return msgspec.convert(json.loads(data), AdminChange)


Record = AuditEvent | AdminChange | Repeats | Folded | AdmissionCount | AdmissionsOff


class AuditSink(Protocol):
    """The receiver of records. It never blocks."""

    def put(self, record: object, *, reserved: bool = False, receipt: str = "") -> bool:
        """Take a record.

        Args:
            record: A `Record`.
            reserved: True if it may use the room that is kept free for denials and changes.
            receipt: Id of a change; the sink gives it back once the line is on the disk.

        Returns:
            False if there is no room, which the sink counts unless the room is reserved.
        """


MAX_PERMISSIONS = 32
"""Maximum number of resources of one request that a record names; of others it has the number."""
MAX_NAME = 256
"""Maximum characters of a name in a record."""
MAX_NAMES = 4_096
"""Maximum characters of all names in a record, for a request that names many or is denied."""
MAX_DETAILS = 256
"""Maximum number of details of one change in a record."""
MAX_DETAIL = 4_096
"""Maximum characters of one detail in a record."""
MAX_ALL_DETAILS = 65_536
"""Maximum characters of all details of one change in a record."""

SECRET_WORDS = ("secret", "password", "signature", "token")
"""Words in the names of details whose values must not be audited."""


def bounded(change: AdminChange) -> AdminChange:
    """Return a change in the form for a record: short, and without secrets.

    The value of a detail with a secret word in its name is replaced by `changed`.
    """
    return msgspec.structs.replace(
        change,
        user=_cut(change.user, MAX_NAME),
        subject=_cut(change.subject, MAX_NAME),
        details=_short_details(change.details),
        outcome=_cut(change.outcome, MAX_DETAIL),
    )


class AuditTrail:
    """The audit trail of decisions and changes.

    Args:
        sink: The receiver of records.
        mode: The records of admissions.

    Attributes:
        admissions: The records and counts of admissions, except those of administrative requests.
    """

    def __init__(self, sink: AuditSink, mode: AdmissionMode = AdmissionMode.FULL) -> None:
        self.put = sink.put
        self.admissions = AdmissionRecords(sink.put, mode)
        self._admit: Callable[[AuditEvent], bool] = self.admissions.record
        self._users = DenialGroups(USERS)
        self._addresses = DenialGroups(ADDRESSES)
        self._public = DenialGroups(ADDRESSES)
        self._shadowed = DenialGroups(SHADOWED)
        self._owed: collections.deque[AdminChange] = collections.deque()

    def record(self, event: AuditEvent) -> bool:
        """Audit a decision.

        Returns:
            False if there was no room for an admission. A denial without room is counted, and its line follows.
        """
        if event.decision_id:
            return self._deny(event)
        if len(event.permissions) > MAX_PERMISSIONS:
            bound_event(event)
        event.rights = None
        if event.identity is None and event.signature is not None:
            event.stream = Stream.UNAUTHENTICATED
            if event.reason == PUBLIC:
                return self._count_public(event)
        if event.operation.is_administrative:
            return self._administrative(event)
        # Anybody can send requests that a whitelist admits: they must not use up the groups of users.
        return self._admit(event) if event.stream is Stream.ADMITTED else self.put(event)

    def repeated(self, event: AuditEvent, now_ms: int) -> str | None:
        """Count a denial that is equal to an audited one.

        Args:
            event: The denial, with its key.
            now_ms: Milliseconds since the epoch.

        Returns:
            The decision id of the audited one; None if there is none.
        """
        repeated = self._groups(event).repeat(event.key, now_ms)
        return repeated.decision_id if isinstance(repeated, AuditEvent) else None

    @property
    def summed(self) -> int:
        """Number of denials without a record of their own."""
        return self._users.summed + self._addresses.summed + self._shadowed.summed

    def put_change(self, change: AdminChange) -> None:
        """Audit a change, or the refusal of one.

        The refusals of one user are counted together like denials. A change that was made is never dropped. There was
        room for its record when it was admitted; if there is none any more, the record waits here.
        """
        if change.outcome == DONE or change.id:
            self._owed.append(change)
            self._pay()
            return
        key = (change.user, change.source, change.operation, change.subject, change.outcome)
        groups, now = self._users, change.when_ms
        if groups.repeat(key, now) is not None:
            return
        if groups.may_open(change.user, now):
            groups.open(key, change, change.user, now, written=self.put(change, reserved=True))
        else:
            groups.fold(_folded_change(change), change.user)

    def tick(self, now_ms: int) -> None:
        """Audit the counts that are due."""
        self._pay()
        for groups in (self._users, self._addresses, self._public, self._shadowed):
            groups.write_due(now_ms, self._put_reserved)
        self.admissions.write_due(now_ms)

    def close(self, now_ms: int) -> None:
        """Audit all counts."""
        self._pay()
        for groups in (self._users, self._addresses, self._public, self._shadowed):
            groups.write_all(now_ms, self._put_reserved)
        self.admissions.close(now_ms)

    def _put_reserved(self, record: object) -> bool:
        return self.put(record, reserved=True)

    def _pay(self) -> None:
        owed = self._owed
        while owed and self.put(owed[0], reserved=True, receipt=owed[0].id):
            owed.popleft()

    def _administrative(self, event: AuditEvent) -> bool:
        if event.identity is not None and self._users.spend(event.identity.user, event.when_ms):
            event.stream = Stream.KEPT
        # INVARIANT: a change is not admitted without room for its own line and that of the request.
        return not self._owed and self.put(event, reserved=event.operation.is_access_change)

    def _count_public(self, event: AuditEvent) -> bool:
        """Audit an admission that anybody can cause; no peer can fill the files of unauthenticated peers with them.

        The first one of an address has a line, the others are counted, whatever names they claim.
        """
        groups, now = self._public, event.when_ms
        for sender in (_network(event.source), OTHERS):
            if groups.repeat(sender, now) is not None:
                return True
            if sender == OTHERS or groups.may_open(sender, now):
                break
        counted = msgspec.structs.replace(event, source="" if sender == OTHERS else event.source, claimed="")
        if not self.put(counted):
            return False  # `auditWhenFull` decides about requests without a line
        groups.open(sender, counted, sender, now, written=True)
        return True

    def _deny(self, event: AuditEvent) -> bool:
        if event.counted:
            return True
        event.rights = None
        bound_event(event)
        groups = self._groups(event)
        event.stream = Stream.KEPT if groups is self._users else Stream.UNAUTHENTICATED
        principal = event.user if groups is self._users else _network(event.source)
        if not groups.may_open(principal, event.when_ms):
            groups.fold(_folded(event), principal)
            return True
        written = self.put(event, reserved=True)
        if event.shadow and not written:
            return False  # the request is admitted, and `auditWhenFull` decides about requests without a line
        groups.open(event.key, event, principal, event.when_ms, written=written)
        return True

    def _groups(self, event: AuditEvent) -> DenialGroups:
        if event.authenticated:
            return self._users
        return self._shadowed if event.shadow else self._addresses


def denial_key(event: AuditEvent, reason: str, message: str, *, shadow: bool = False) -> DenialKey:
    """Return the values that denials share if they are counted together: all of their lines except the time."""
    decided = event.operation.text, event.stage.value, reason, shadow, event.version
    return (
        *(event.user[:MAX_NAME], event.method, event.source, *decided),
        message[:MAX_NAME],
        *[permission.text[:MAX_NAME] for permission in event.permissions[:MAX_KEY_PERMISSIONS]],
    )


MAX_KEY_PERMISSIONS = 8
"""Maximum number of resources of one request that distinguish its denial from others."""


def bound_event(event: AuditEvent, max_permissions: int = MAX_PERMISSIONS, max_names: int = MAX_NAMES) -> None:
    """Shorten an event to what a record may hold: some permissions, the denied ones among them, and short names."""
    permissions, verdicts = event.permissions, event.verdicts
    kept: list[int] = []
    room = max_names
    for at in _denied_first(permissions, verdicts, max_permissions):
        room -= min(len(permissions[at].name), MAX_NAME)
        if kept and (room < 0 or len(kept) == max_permissions):
            break
        kept.append(at)
    if len(kept) < len(permissions):
        kept.sort()
        event.resources = len(permissions)
        event.verdicts = tuple([verdicts[at] for at in kept if at < len(verdicts)])
        permissions = event.permissions = tuple([permissions[at] for at in kept])
    if any(len(permission.name) > MAX_NAME for permission in permissions):
        event.permissions = tuple(
            [
                RequiredPermission(permission.type, _cut(permission.name, MAX_NAME), permission.actions)
                for permission in permissions
            ]
        )
    identity = event.identity
    if identity is not None and len(identity.user) > MAX_NAME:
        event.identity = Identity(_cut(identity.user, MAX_NAME), identity.method, identity.is_super)


def _denied_first(
    permissions: RequiredPermissions, verdicts: tuple[Verdict, ...], max_permissions: int
) -> Iterator[int]:
    """Yield the positions of permissions in the order in which a record has room for them."""
    denied = [at for at, verdict in enumerate(verdicts) if not verdict.allowed][: max_permissions // 2]
    yield from denied
    yield from (at for at in range(len(permissions)) if at not in denied)


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[:limit]}...({len(text)} characters)"


def _short_details(details: dict[str, str]) -> dict[str, str]:
    kept: dict[str, str] = {}
    room = MAX_ALL_DETAILS
    for name, value in details.items():
        if len(kept) >= MAX_DETAILS or room <= 0:
            kept["..."] = f"{len(details) - len(kept)} more"
            break
        short = "changed" if any(word in name.lower() for word in SECRET_WORDS) else _cut(value, MAX_DETAIL)
        kept[_cut(name, MAX_NAME)] = short
        room -= len(name) + len(short)
    return kept


@functools.lru_cache(maxsize=1024)
def _network(source: str) -> str:
    """Return the sender to which the denials of an address are charged: an IPv6 network of 64 bits is one sender."""
    address = parse_address(source)
    return address.packed[:8].hex() if isinstance(address, ipaddress.IPv6Address) else source


def _folded(event: AuditEvent) -> Folded:
    return Folded(
        stream=event.stream,
        user=event.user if event.authenticated else "",
        method=event.method if event.authenticated else "",
        count=1,
        first_ms=event.when_ms,
        when_ms=event.when_ms,
        sources=[event.source],
        codes=[event.operation.code] if event.operation.code is not None else [],
        requests=[event.operation.name],
        reasons=[str(event.reason)],
        resources=[
            permission.key
            for permission, verdict in zip(event.permissions, event.verdicts, strict=False)
            if not verdict.allowed
        ],
        shadowed=int(event.shadow),
    )


def _folded_change(change: AdminChange) -> Folded:
    return Folded(
        stream=Stream.KEPT,
        user=change.user,
        method=change.method,
        count=1,
        first_ms=change.when_ms,
        when_ms=change.when_ms,
        sources=[change.source],
        codes=[change.code],
        requests=[],
        reasons=[change.operation],
        resources=[change.subject],
    )
