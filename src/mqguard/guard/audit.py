"""What the guard puts on record: every decision, and every change of users and policies.

The request path only appends a record; a writer elsewhere turns records into lines (`audit_lines.py`).

Rule 1: admissions may find no room. Denials and changes are never lost: what is denied again and again is counted
(`denial_groups.py`), and a change that finds no room is refused before it is made.
Rule 2: a record holds no connection, and of what a peer sent only short parts.
"""

import collections
import enum
import functools
import ipaddress
import json
import secrets
from collections.abc import Iterator
from typing import Protocol

import msgspec

from mqguard.auth.policy_index import Rights
from mqguard.auth.source import parse_address
from mqguard.auth.verdict import Verdict
from mqguard.guard.context import BY_CLAIM, Identity, RequiredPermission, RequiredPermissions
from mqguard.guard.denial_groups import ADDRESSES, USERS, DenialGroups, Folded, Repeats
from mqguard.remoting.codes import RequestCode


class Stage(enum.Enum):
    """Which step of the guard spoke last."""

    AUTHENTICATION = "authentication"
    REQUIREMENTS = "requirements"
    AUTHORIZATION = "authorization"
    TOUCHED = "touched"
    """A handler asked about a resource that the request turned out to touch."""
    GUARD = "guard"
    """A fault of ours, or no room for the record itself."""


class Stream(enum.IntEnum):
    """Which files a record goes to, so that none of the three can push the others out."""

    KEPT = 0
    """Changes of users and policies, administrative requests, and denials of authenticated users."""
    ADMITTED = 1
    """All other requests that were admitted."""
    UNAUTHENTICATED = 2
    """Denials of peers that did not prove who they are, and admissions of such peers by a whitelist."""


MAX_SIGNATURE = 128
"""How much of a signature is kept, for its hash: no valid one is longer than 28 characters."""


DenialKey = tuple[str | int, ...]
"""What denials that are counted together have in common."""


class AuditEvent(msgspec.Struct, gc=False):
    """One request while it is looked at, and then the record of it; or one touched resource.

    The guard fills it in and lets go of it: INVARIANT: nobody changes it once it is on record.

    Attributes:
        code: Request code.
        source: The address that the request came from.
        started: When the guard began, in nanoseconds of its own clock.
        signature: As received, at most `MAX_SIGNATURE` of it, for its hash; None where no signature was looked at.
        claimed: The name that the request claims, where nothing was proven; empty for none.
        identity: Who it is, once that is known.
        needs: What it needs, once that is known; on record at most `MAX_NEEDS`.
        rights: The sender's rights, once they are looked at; not on record.
        version: Version of users and policies.
        stage: The step that spoke last.
        verdicts: One for each need that was judged, in order.
        reason: Machine word.
        decision_id: Under which a refusal can be found, in shadow mode also what would be one; empty for an admission.
        when_ms: Milliseconds since the epoch.
        latency_ns: How long the guard took.
        shadow: Whether it was let in although it would be refused.
        key: What a denial has in common with those that are counted with it; empty for an admission.
        counted: True if the denial was counted with one that is on record.
        resources: How many resources the request named, where the record has not all of them; else 0.
        stream: Which files it goes to.
    """

    code: int
    source: str
    started: int
    signature: str | None = None
    claimed: str = ""
    identity: Identity | None = None
    needs: RequiredPermissions = ()
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

    @property
    def user(self) -> str:
        """The proven user, or else the name that is claimed."""
        return self.identity.user if self.identity is not None else self.claimed

    @property
    def method(self) -> str:
        """What proved the user, empty if nothing did."""
        return self.identity.method if self.identity is not None else ""

    @property
    def is_super(self) -> bool:
        """Whether it comes from a Super user."""
        return self.identity is not None and self.identity.is_super

    @property
    def refused(self) -> bool:
        """Whether it is a refusal."""
        return bool(self.decision_id) and not self.shadow

    @property
    def authenticated(self) -> bool:
        """True if the sender proved who it is."""
        return self.identity is not None and self.identity.method != BY_CLAIM


DONE = "done"
"""The outcome of a change that was made."""


class AdminChange(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A change of users or policies.

    Attributes:
        when_ms: Milliseconds since the epoch.
        user: Who changed it; empty for nobody in particular.
        source: Where from; empty for the machine itself.
        operation: Such as `create-user` or `delete-acl`.
        subject: What was changed, such as `User:alice`.
        details: What it was changed to, by name; never a secret.
        outcome: `done`, or why it was refused.
        method: What proved the user; empty if nothing did.
        code: Request code; 0 if no request asked for it.
        id: Unique, for a change that was made or may have been; empty for one that was refused.
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


Record = AuditEvent | AdminChange | Repeats | Folded


class AuditSink(Protocol):
    """Where records go. Never blocks."""

    def put(self, record: object, *, reserved: bool = False, receipt: str = "") -> bool:
        """Take a record.

        Args:
            record: A `Record`.
            reserved: True if it may use the room that is kept free for denials and changes.
            receipt: Id of a change; the sink gives it back once the line is on the disk.

        Returns:
            False if there is no room, which the sink counts unless the room is reserved.
        """


MAX_NEEDS = 32
"""How many resources of one request are on record by name; of others, their number."""
MAX_NAME = 256
"""How much of a name goes on record."""
MAX_NAMES = 4_096
"""How much of all names of one request goes on record, where it names many or is denied."""
MAX_DETAILS = 256
"""How many details of one change go on record."""
MAX_DETAIL = 4_096
"""How much of one detail goes on record."""
MAX_ALL_DETAILS = 65_536
"""How much of all details of one change goes on record."""

SECRET_WORDS = ("secret", "password", "signature", "token")
"""Names of details that must not be put on record."""

CHANGES = frozenset(
    {
        RequestCode.AUTH_CREATE_USER,
        RequestCode.AUTH_UPDATE_USER,
        RequestCode.AUTH_DELETE_USER,
        RequestCode.AUTH_CREATE_ACL,
        RequestCode.AUTH_UPDATE_ACL,
        RequestCode.AUTH_DELETE_ACL,
    }
)
"""Requests to change users and policies: not admitted without a record."""

_ADMINISTRATIVE = CHANGES | {
    RequestCode.UPDATE_AND_CREATE_TOPIC,
    RequestCode.UPDATE_AND_CREATE_TOPIC_LIST,
    RequestCode.UPDATE_AND_CREATE_STATIC_TOPIC,
    RequestCode.DELETE_TOPIC_IN_BROKER,
    RequestCode.DELETE_TOPIC_IN_NAMESRV,
    RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP,
    RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST,
    RequestCode.DELETE_SUBSCRIPTIONGROUP,
    RequestCode.UPDATE_AND_GET_GROUP_FORBIDDEN,
    RequestCode.INVOKE_BROKER_TO_RESET_OFFSET,
    RequestCode.UPDATE_BROKER_CONFIG,
    RequestCode.UPDATE_NAMESRV_CONFIG,
    RequestCode.PUT_KV_CONFIG,
    RequestCode.DELETE_KV_CONFIG,
    RequestCode.WIPE_WRITE_PERM_OF_BROKER,
    RequestCode.ADD_WRITE_PERM_OF_BROKER,
}
"""Requests whose admissions are kept with the denials, as far as the sender's budget of lines goes."""


def bounded(change: AdminChange) -> AdminChange:
    """Return a change as it may go on record: short, and without secrets.

    A detail under a name that sounds secret is replaced by `changed`.
    """
    return msgspec.structs.replace(
        change,
        user=_cut(change.user, MAX_NAME),
        subject=_cut(change.subject, MAX_NAME),
        details=_short_details(change.details),
        outcome=_cut(change.outcome, MAX_DETAIL),
    )


class AuditTrail:
    """Puts decisions and changes on record."""

    def __init__(self, sink: AuditSink) -> None:
        """Write to the sink."""
        self.put = sink.put
        self._users = DenialGroups(USERS)
        self._addresses = DenialGroups(ADDRESSES)
        self._owed: collections.deque[AdminChange] = collections.deque()

    def record(self, case: AuditEvent) -> bool:
        """Put a decision on record.

        Returns:
            False if there was no room for an admission. A refusal that finds no room is counted, and its line follows.
        """
        if case.decision_id:
            return self._deny(case)
        if len(case.needs) > MAX_NEEDS:
            _shorten(case)
        case.rights = None
        if case.identity is None and case.signature is not None:
            case.stream = Stream.UNAUTHENTICATED  # a whitelisted code
        if case.code in _ADMINISTRATIVE:
            return self._administrative(case)
        return self.put(case)

    def repeated(self, case: AuditEvent, now_ms: int) -> str | None:
        """Count a denial that is like one on record.

        Args:
            case: The denial, with its key.
            now_ms: Milliseconds since the epoch.

        Returns:
            The decision id of the one on record; None if there is none.
        """
        like = self._groups(case).repeat(case.key, now_ms)
        return like.decision_id if isinstance(like, AuditEvent) else None

    @property
    def summed(self) -> int:
        """Number of denials without a record of their own."""
        return self._users.summed + self._addresses.summed

    def put_change(self, change: AdminChange) -> None:
        """Put a change on record, or the refusal of one.

        The refusals of one user are counted together like denials. A change that was made is never dropped: it was let
        in because there was room for it, and where there is none any more it waits here.
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
        """Put on record what was counted and is due."""
        self._pay()
        for groups in (self._users, self._addresses):
            groups.write_due(now_ms, lambda record: self.put(record, reserved=True))

    def close(self, now_ms: int) -> None:
        """Put on record all that was counted."""
        self._pay()
        for groups in (self._users, self._addresses):
            groups.write_all(now_ms, lambda record: self.put(record, reserved=True))

    def _pay(self) -> None:
        owed = self._owed
        while owed and self.put(owed[0], reserved=True, receipt=owed[0].id):
            owed.popleft()

    def _administrative(self, case: AuditEvent) -> bool:
        if case.identity is not None and self._users.spend(case.identity.user, case.when_ms):
            case.stream = Stream.KEPT
        # INVARIANT: a change is not admitted without room for its own line beside that of the request.
        return not self._owed and self.put(case, reserved=case.code in CHANGES)

    def _deny(self, case: AuditEvent) -> bool:
        if case.counted:
            return True
        case.rights = None
        _shorten(case)
        groups = self._groups(case)
        case.stream = Stream.KEPT if groups is self._users else Stream.UNAUTHENTICATED
        principal = case.user if groups is self._users else _network(case.source)
        if not groups.may_open(principal, case.when_ms):
            groups.fold(_folded(case), principal)
            return True
        written = self.put(case, reserved=True)
        if case.shadow and not written:
            return False  # it is let in, and whether requests are without a line is the operator's to say
        groups.open(case.key, case, principal, case.when_ms, written=written)
        return True

    def _groups(self, case: AuditEvent) -> DenialGroups:
        return self._users if case.authenticated else self._addresses


def denial_key(case: AuditEvent, reason: str, remark: str, *, shadow: bool = False) -> DenialKey:
    """Return what denials must have in common to be counted together: all that their lines say but the time."""
    return (
        *(case.user[:MAX_NAME], case.method, case.source, case.code, case.stage.value, reason, shadow, case.version),
        remark[:MAX_NAME],
        *[need.text[:MAX_NAME] for need in case.needs[:MAX_KEY_NEEDS]],
    )


MAX_KEY_NEEDS = 8
"""How many resources of one request tell its denial from others."""


def _shorten(case: AuditEvent) -> None:
    """Keep what a record may hold: some resources, those that were denied among them, and short names."""
    needs, verdicts = case.needs, case.verdicts
    kept: list[int] = []
    room = MAX_NAMES
    for at in _denied_first(needs, verdicts):
        room -= min(len(needs[at].name), MAX_NAME)
        if kept and (room < 0 or len(kept) == MAX_NEEDS):
            break
        kept.append(at)
    if len(kept) < len(needs):
        kept.sort()
        case.resources = len(needs)
        case.verdicts = tuple([verdicts[at] for at in kept if at < len(verdicts)])
        needs = case.needs = tuple([needs[at] for at in kept])
    if any(len(need.name) > MAX_NAME for need in needs):
        case.needs = tuple([RequiredPermission(need.type, _cut(need.name, MAX_NAME), need.actions) for need in needs])
    identity = case.identity
    if identity is not None and len(identity.user) > MAX_NAME:
        case.identity = Identity(_cut(identity.user, MAX_NAME), identity.method, identity.is_super)


def _denied_first(needs: RequiredPermissions, verdicts: tuple[Verdict, ...]) -> Iterator[int]:
    """Return the places of needs in the order in which a record has room for them."""
    denied = [at for at, verdict in enumerate(verdicts) if not verdict.allowed][: MAX_NEEDS // 2]
    yield from denied
    yield from (at for at in range(len(needs)) if at not in denied)


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
    """Return whose budget the denials of an address are charged to: an IPv6 network of 64 bits is one customer."""
    address = parse_address(source)
    return address.packed[:8].hex() if isinstance(address, ipaddress.IPv6Address) else source


def _folded(case: AuditEvent) -> Folded:
    return Folded(
        stream=case.stream,
        user=case.user if case.authenticated else "",
        method=case.method if case.authenticated else "",
        count=1,
        first_ms=case.when_ms,
        when_ms=case.when_ms,
        sources=[case.source],
        codes=[case.code],
        reasons=[str(case.reason)],
        resources=[need.key for need, verdict in zip(case.needs, case.verdicts, strict=False) if not verdict.allowed],
        shadowed=int(case.shadow),
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
        reasons=[change.operation],
        resources=[change.subject],
    )
