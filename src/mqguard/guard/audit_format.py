"""Lines of audit records: Apache's two formats, and one JSON object per record.

The lines are made on the writer's thread, a batch at a time. Parts that repeat from record to record are cached.
"""

# Rule 1: no text of a peer can look like another line, or like another part of its line. In Apache's format names have
# no spaces, quotes, backslashes or control characters; in JSON they are strings.
# Rule 2: the cache holds no connection, no signature, and no name that is longer than a legal one.

import datetime as dt
import hashlib
import json
from collections.abc import Sequence

import msgspec

from mqguard.auth.policy import Entry
from mqguard.auth.verdict import Verdict
from mqguard.guard.admission_groups import AdmissionCount, AdmissionsOff
from mqguard.guard.admitted_request import Identity
from mqguard.guard.audit import MAX_NAME, MAX_SIGNATURE, AdminChange, AuditEvent, Record, Stream
from mqguard.guard.denial_groups import Folded, Repeats
from mqguard.guard.permissions import RequiredPermission, RequiredPermissions, action_names
from mqguard.guard.request_context import Operation

_HASHED = 12
"""Hex digits of a signature's SHA-256 in a record: enough to distinguish signatures, useless to replay."""

_APACHE_ZONE = dt.timezone(dt.timedelta(hours=8))
"""Apache's audit log has GMT+8 in every place; ours can be compared with it."""

_MAX_CACHED = 4096
_MAX_CACHED_PERMISSIONS = 4
"""Maximum number of resources of a record that is cached."""

SHADOW_DENY = "shadow-deny"
"""The verdict about a request that shadow mode admitted and that would be denied if enforced."""

_EMPTY = hashlib.sha256()
_encode = msgspec.json.Encoder().encode


class _Parts(msgspec.Struct, gc=False):
    """The common parts of the lines of equal records.

    Attributes:
        authentication: Apache's line between the time and the hash; empty if there is none.
        authorizations: Apache's lines between the times: nothing before the first, then one for each permission.
        head: The JSON line between the time and the latency.
        tail: The JSON line after the latency.
        known: The objects that the key knows by their ids, which must not become the ids of others.
    """

    authentication: str
    authorizations: tuple[str, ...]
    head: str
    tail: str
    known: tuple[Identity | RequiredPermissions | Entry | None, ...] = ()


class AuditLines:
    """Renders records as Apache's lines and as JSON lines. Not for several threads."""

    def __init__(self) -> None:
        self._second = -1
        self._ms = -1
        self._apache_time = ""
        self._iso_time = ""
        self._stamp = ""
        self._known: dict[tuple[object, ...], _Parts] = {}

    def render(self, records: Sequence[Record]) -> tuple[bytes, bytes]:
        """Return Apache's lines and the JSON lines of a batch, whichever files they go to."""
        apache: list[str] = []
        lines: list[str] = []
        self._render(records, [(apache, lines)] * len(Stream))
        return _bytes(apache), _bytes(lines)

    def render_streams(self, records: Sequence[Record]) -> tuple[bytes, ...]:
        """Return Apache's lines and the JSON lines of a batch for each stream, in the order of the streams."""
        parts: list[tuple[list[str], list[str]]] = [([], []) for _ in Stream]
        self._render(records, parts)
        return tuple([_bytes(lines) for pair in parts for lines in pair])

    def _render(self, records: Sequence[Record], parts: Sequence[tuple[list[str], list[str]]]) -> None:
        for record in records:
            if record.when_ms != self._ms:
                self._set_time(record.when_ms)
            if isinstance(record, AuditEvent):
                apache, lines = parts[record.stream]
                made, time = self._parts(record), self._apache_time
                if made.authentication:
                    apache.append(f"{time}{made.authentication}{hash_of(record.signature or '')}.\n")
                apache.append(time.join(made.authorizations))
                lines.append(f'{{"time":"{self._stamp}",{made.head}{record.latency_ns // 1000}{made.tail}')
            elif isinstance(record, AdminChange):
                parts[Stream.KEPT][1].append(self._change(record))
            elif isinstance(record, Repeats):
                self._repeats(record, parts)
            elif isinstance(record, AdmissionCount):
                self._admissions(record, *parts[Stream.ADMITTED])
            elif isinstance(record, AdmissionsOff):
                self._off(record, *parts[Stream.ADMITTED])
            else:
                self._folded(record, *parts[record.stream])

    def lost(self, count: int, when_ms: int) -> tuple[bytes, bytes]:
        """Return the lines that say how many admissions found no room."""
        self._set_time(when_ms)
        apache = f"{self._apache_time} WARN mqguard - [AUDIT] {count} records are missing here: there was no room.\n"
        line = {"time": self._stamp, "event": "lost", "count": count}
        return apache.encode(), _encode(line) + b"\n"

    def _set_time(self, when_ms: int) -> None:
        self._ms = when_ms
        second = when_ms // 1000
        if second != self._second:
            self._second = second
            moment = dt.datetime.fromtimestamp(second, dt.UTC)
            self._iso_time = moment.strftime("%Y-%m-%dT%H:%M:%S")
            self._apache_time = moment.astimezone(_APACHE_ZONE).strftime("%Y-%m-%d %H:%M:%S")
        self._stamp = f"{self._iso_time}.{when_ms % 1000:03d}Z"

    def _parts(self, record: AuditEvent) -> _Parts:
        identity, permissions, verdicts = record.identity, record.permissions, record.verdicts
        if record.decision_id or len(permissions) > _MAX_CACHED_PERMISSIONS:
            return _parts_of(record)
        # Identity, permissions and entries are the same objects for each request of a connection, so their ids
        # distinguish them. Together with address and operation they determine the rest of the lines. The cache keeps
        # these objects alive, so that no other objects can get their ids.
        deciders = id(verdicts[0].decided_by) if len(verdicts) == 1 else tuple([id(v.decided_by) for v in verdicts])
        key = (id(identity), record.source, id(permissions), record.operation, deciders, record.reason)
        parts = self._known.get(key)
        if parts is None:
            parts = _parts_of(record)
            if all([len(permission.name) <= MAX_NAME for permission in permissions]) and len(record.user) <= MAX_NAME:  # noqa: C419
                if len(self._known) >= _MAX_CACHED:
                    self._known.clear()
                parts.known = (identity, permissions, *[verdict.decided_by for verdict in verdicts])
                self._known[key] = parts
        return parts

    def _admissions(self, record: AdmissionCount, apache: list[str], lines: list[str]) -> None:
        if isinstance(record.event, AuditEvent):
            # There is no line about authentication: each admission had another signature.
            made, time = self._parts(record.event), self._apache_time
            more = f" This happened {record.count} times since {_apache_time(record.first_ms)}.\n"
            apache.extend([f"{time}{line[:-1]}{more}" for line in made.authorizations[1:]])
            span = _json({"count": record.count, "first": _iso(record.first_ms), "last": self._stamp})[1:-1]
            lines.append(f'{{"time":"{self._stamp}",{made.head}{record.latency_ns // 1000},{span}{made.tail}')

    def _off(self, record: AdmissionsOff, apache: list[str], lines: list[str]) -> None:
        number = f"; {record.count} since the start" if record.count else ""
        apache.append(
            f"{self._apache_time} WARN mqguard - [AUDIT] admissions are not recorded: auditAdmissions = off{number}.\n"
        )
        lines.append(_json({"time": self._stamp, "event": "not-recorded", "count": record.count}) + "\n")

    def _repeats(self, record: Repeats, parts: Sequence[tuple[list[str], list[str]]]) -> None:
        event, span = record.event, {"count": record.count, "first": _iso(record.first_ms), "last": self._stamp}
        if isinstance(event, AdminChange):
            parts[Stream.KEPT][1].append(self._change(event, span))
        elif isinstance(event, AuditEvent):
            apache, lines = parts[event.stream]
            made, time = _parts_of(event), self._apache_time
            more = f" This happened {record.count} more times since {_apache_time(record.first_ms)}.\n"
            if made.authentication:
                apache.append(f"{time}{made.authentication}{hash_of(event.signature or '')}.{more}")
            apache.extend([f"{time}{line[:-1]}{more}" for line in made.authorizations[1:]])
            members = _json(span)[1:-1]
            lines.append(f'{{"time":"{self._stamp}",{made.head}{event.latency_ns // 1000},{members}{made.tail}')

    def _folded(self, record: Folded, apache: list[str], lines: list[str]) -> None:
        who = f"User:{_plain(record.user)}" if record.user else "several users"
        apache.append(
            f"{self._apache_time} WARN mqguard - [AUDIT] {record.count} more requests of {who} from sourceIp = "
            f"{','.join(map(_plain, record.sources))} were denied since {_apache_time(record.first_ms)} for request = "
            f"{','.join(map(str, record.codes or record.requests))}, one line each would be too many.\n"
        )
        line: dict[str, object] = {
            "time": self._stamp,
            "event": "folded",
            "verdict": SHADOW_DENY if record.shadowed == record.count else "deny",
            "reason": "",
            "user": record.user,
            "authenticated_by": record.method,
            "source": record.sources[0] if len(record.sources) == 1 else "",
            "count": record.count,
            "first": _iso(record.first_ms),
            "last": self._stamp,
            "sources": record.sources,
            "codes": record.codes,
            "requests": record.requests,
            "reasons": record.reasons,
            "denied": record.resources,
        }
        if record.shadowed:
            line["shadowed"] = record.shadowed
        lines.append(_json(line) + "\n")

    def _change(self, record: AdminChange, span: dict[str, object] | None = None) -> str:
        line: dict[str, object] = {
            "time": self._stamp,
            "event": "change",
            "user": record.user,
            "authenticated_by": record.method,
            "source": record.source,
            "code": record.code,
            "operation": record.operation,
            "subject": record.subject,
            "details": record.details,
            "outcome": record.outcome,
        }
        if record.id:
            line["id"] = record.id
        if record.recovered:
            line["recovered"] = True
        return _json({**line, **(span or {})}) + "\n"


class StreamLines(AuditLines):
    """Renders records for the files of all streams (`telemetry.audit_writer.Lines`)."""

    def render(self, records: Sequence[Record]) -> tuple[bytes, ...]:  # type: ignore[override]
        """Return the lines of a batch, for each file."""
        return self.render_streams(records)

    def lost(self, count: int, when_ms: int) -> tuple[bytes, ...]:  # type: ignore[override]
        """Return the lines that say how many admissions found no room, for each file."""
        return (b"", b"", *super().lost(count, when_ms), b"", b"")


def hash_of(signature: str) -> str:
    """Return the form of a signature in a record; of one that is too long to be valid, the hash of its beginning."""
    # A copy of an empty hash costs less than a new one.
    found = _EMPTY.copy()
    found.update(signature[:MAX_SIGNATURE].encode("utf-8", "surrogatepass"))
    return f"sha256:{found.hexdigest()[:_HASHED]}"


def verdict_of(record: AuditEvent) -> str:
    """Return the outcome of a request as one word."""
    if record.refused:
        return "deny"
    return SHADOW_DENY if record.shadow else "allow"


def event_facts(event: AuditEvent, *, with_entries: bool = True) -> dict[str, object]:
    """Return the members of an event's JSON line, without its times.

    Args:
        event: The event.
        with_entries: False to leave out the entries of policies that decided.
    """
    operation = event.operation
    facts: dict[str, object] = {
        "event": event.stage.value,
        "verdict": verdict_of(event),
        "reason": str(event.reason),
        "user": _cut(event.user),
        "authenticated_by": event.method,
        "source": event.source,
    }
    if operation.code is not None:
        facts["code"] = operation.code
    facts["request"] = operation.name
    facts["permissions"] = [
        _permission_facts(
            permission, event.verdicts[at] if at < len(event.verdicts) else None, with_entries=with_entries
        )
        for at, permission in enumerate(event.permissions)
    ]
    if event.resources:
        facts["resources"] = event.resources
    if event.decision_id:
        facts["decision"] = event.decision_id
    return facts


def _parts_of(record: AuditEvent) -> _Parts:
    return _Parts(
        authentication=_authentication(record),
        authorizations=(
            "",
            *(
                _authorization(record, permission, verdict)
                for permission, verdict in zip(record.permissions, record.verdicts, strict=False)
            ),
        ),
        head=_json(event_facts(record))[1:-1] + ',"micros":',
        tail="}\n",
    )


def _authentication(record: AuditEvent) -> str:
    if record.signature is None or not record.user:
        return ""
    level, outcome = ("DEBUG", "success") if record.method else ("INFO", "failed")
    return (
        f" {level} mqguard - [AUTHENTICATION] User:{_plain(record.user)} is authenticated {outcome} with Signature = "
    )


def _authorization(record: AuditEvent, permission: RequiredPermission, verdict: Verdict) -> str:
    level = "DEBUG" if verdict.allowed else "INFO"
    return (
        f" {level} mqguard - [AUTHORIZATION] Subject = User:{_plain(record.user)} is {verdict.decision.value} "
        f"Action = {','.join(action_names(permission))} from sourceIp = {record.source} on resource = "
        f"{_plain(permission.key)} for request = {_request(record.operation)}.\n"
    )


def _request(operation: Operation) -> str:
    return operation.name if operation.code is None else str(operation.code)


def _json(value: dict[str, object]) -> str:
    try:
        text = _encode(value).decode()
    except UnicodeEncodeError:
        # A name that is not valid Unicode: a peer may send half a surrogate pair. This writer escapes it.
        return json.dumps(value, separators=(",", ":"))
    if text.isprintable():
        return text
    # Such as marks that change the direction of text in a terminal: valid JSON, but it looks like another line.
    return "".join([one if one.isprintable() else json.dumps(one)[1:-1] for one in text])


def _permission_facts(
    permission: RequiredPermission, verdict: Verdict | None, *, with_entries: bool
) -> dict[str, object]:
    facts: dict[str, object] = {"resource": _cut(permission.key), "actions": action_names(permission)}
    if verdict is not None:
        facts["verdict"] = verdict.decision.value
        if verdict.decided_by is not None and with_entries:
            facts["decided_by"] = _entry(verdict.decided_by)
    return facts


def _entry(entry: Entry) -> dict[str, object]:
    return {
        "resource": entry.resource.key,
        "actions": [action.value for action in entry.actions],
        "sources": [source.text for source in entry.sources],
        "decision": entry.decision.value,
    }


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_KEY else f"{text[:_MAX_KEY]}...({len(text)} characters)"


_MAX_KEY = MAX_NAME + 32
"""The longest text of a record that is not cut: a name with the kind of its resource."""
_UNSAFE = frozenset(" \\\"'=,")


def _plain(text: str) -> str:
    """Return a name as one word, whatever a peer calls itself: what could end the word is escaped."""
    text = _cut(text)
    if text.isalnum() or (text.isprintable() and _UNSAFE.isdisjoint(text)):
        return text
    return "".join([one if one.isprintable() and one not in _UNSAFE else _escape(one) for one in text])


def _escape(one: str) -> str:
    code = ord(one)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _bytes(lines: list[str]) -> bytes:
    return "".join(lines).encode("utf-8", "replace")


def _iso(when_ms: int) -> str:
    moment = dt.datetime.fromtimestamp(when_ms // 1000, dt.UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{when_ms % 1000:03d}Z"


def _apache_time(when_ms: int) -> str:
    return dt.datetime.fromtimestamp(when_ms // 1000, dt.UTC).astimezone(_APACHE_ZONE).strftime("%Y-%m-%d %H:%M:%S")
