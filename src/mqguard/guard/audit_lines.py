"""Turns audit records into lines: Apache's two formats, and one JSON object per record.

Runs in the writer's thread, a batch at a time. What repeats from record to record is remembered.
"""

import datetime as dt
import hashlib
import json
from collections.abc import Sequence

import msgspec

from mqguard.auth.policy import Entry
from mqguard.auth.verdict import Verdict
from mqguard.guard.audit import AdminChange, Decision, Record
from mqguard.guard.context import Need, action_names
from mqguard.remoting.codes import CODE_NAMES

_HASHED = 12
"""Hex digits of a signature's SHA-256 that go on record: enough to tell signatures apart, useless to replay."""

_APACHE_ZONE = dt.timezone(dt.timedelta(hours=8))
"""Apache's audit log is kept in GMT+8 wherever it runs; ours can be read beside it."""

_REMEMBERED = 4096

SHADOW_DENY = "shadow-deny"
"""The verdict about a request that was let in, and would be refused if policies were enforced."""

_sha256 = hashlib.sha256
_encode = msgspec.json.Encoder().encode


class _Parts(msgspec.Struct, gc=False):
    """What the lines of like records have in common.

    Attributes:
        authentication: Apache's line between the time and the hash; empty if there is none.
        authorizations: Apache's lines between the times: nothing before the first, then one for each need.
        head: The JSON line between the time and the latency.
        tail: The JSON line after the latency.
        record: One of the records. It keeps alive what the key knows by its id.
    """

    authentication: str
    authorizations: tuple[str, ...]
    head: str
    tail: str
    record: Decision


class AuditLines:
    """Renders records for two files: Apache's lines and JSON lines. Not for several threads."""

    def __init__(self) -> None:
        self._second = -1
        self._ms = -1
        self._apache_time = ""
        self._iso_time = ""
        self._stamp = ""
        self._known: dict[tuple[object, ...], _Parts] = {}

    def render(self, records: Sequence[Record]) -> tuple[bytes, bytes]:
        """The lines of a batch, for either file."""
        apache: list[str] = []
        lines: list[str] = []
        for record in records:
            if record.when_ms != self._ms:
                self._tell(record.when_ms)
            if isinstance(record, Decision):
                self._decision(record, apache, lines)
            else:
                lines.append(self._change(record))
        return "".join(apache).encode("utf-8", "replace"), "".join(lines).encode("utf-8", "replace")

    def lost(self, count: int, when_ms: int) -> tuple[bytes, bytes]:
        """The lines that say how many records found no room."""
        self._tell(when_ms)
        apache = f"{self._apache_time} WARN mqguard - [AUDIT] {count} records are missing here: there was no room.\n"
        line = {"time": self._stamp, "event": "lost", "count": count}
        return apache.encode(), _encode(line) + b"\n"

    def _tell(self, when_ms: int) -> None:
        self._ms = when_ms
        second = when_ms // 1000
        if second != self._second:
            self._second = second
            moment = dt.datetime.fromtimestamp(second, dt.UTC)
            self._iso_time = moment.strftime("%Y-%m-%dT%H:%M:%S")
            self._apache_time = moment.astimezone(_APACHE_ZONE).strftime("%Y-%m-%d %H:%M:%S")
        self._stamp = f"{self._iso_time}.{when_ms % 1000:03d}Z"

    def _decision(self, record: Decision, apache: list[str], lines: list[str]) -> None:
        parts = self._parts(record)
        time = self._apache_time
        if parts.authentication:
            apache.append(f"{time}{parts.authentication}{hash_of(record.signature or '')}.\n")
        apache.append(time.join(parts.authorizations))
        lines.append(f'{{"time":"{self._stamp}",{parts.head}{record.latency_ns // 1000}{parts.tail}')

    def _parts(self, record: Decision) -> _Parts:
        if record.decision_id:
            return _parts_of(record)
        # What a connection proved (or else the connection's peer), needs and entries are the same objects again and
        # again, so their ids tell them apart, and with the code they settle all else that the lines say. The record
        # that is remembered keeps them alive, so that no other objects can get these ids.
        verdicts = record.verdicts
        deciders = id(verdicts[0].decided_by) if len(verdicts) == 1 else tuple([id(v.decided_by) for v in verdicts])
        key = (id(record.identity or record.peer), id(record.needs), record.code, deciders)
        parts = self._known.get(key)
        if parts is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            parts = self._known[key] = _parts_of(record)
        return parts

    def _change(self, record: AdminChange) -> str:
        line: dict[str, object] = {
            "time": self._stamp,
            "event": "change",
            "user": record.user,
            "source": record.source,
            "operation": record.operation,
            "subject": record.subject,
            "details": record.details,
            "outcome": record.outcome,
        }
        return _json(line) + "\n"


def hash_of(signature: str) -> str:
    """What stands for a signature on record."""
    return f"sha256:{_sha256(signature.encode('utf-8', 'surrogatepass')).hexdigest()[:_HASHED]}"


def verdict_of(record: Decision) -> str:
    """What became of a request, in a word."""
    if record.refused:
        return "deny"
    return SHADOW_DENY if record.shadow else "allow"


def _parts_of(record: Decision) -> _Parts:
    line: dict[str, object] = {
        "event": record.stage.value,
        "verdict": verdict_of(record),
        "reason": str(record.reason),
        "user": record.user,
        "proven_by": record.method,
        "source": record.source,
        "code": record.code,
        "request": CODE_NAMES.get(record.code, "unknown"),
        "needs": [
            need_facts(need, record.verdicts[at] if at < len(record.verdicts) else None)
            for at, need in enumerate(record.needs)
        ],
    }
    if record.decision_id:
        line["decision"] = record.decision_id
    return _Parts(
        authentication=_authentication(record),
        authorizations=(
            "",
            *(
                _authorization(record, need, verdict)
                for need, verdict in zip(record.needs, record.verdicts, strict=False)
            ),
        ),
        head=_json(line)[1:-1] + ',"micros":',
        tail="}\n",
        record=record,
    )


def _authentication(record: Decision) -> str:
    if record.signature is None or not record.user:
        return ""
    level, outcome = ("DEBUG", "success") if record.method else ("INFO", "failed")
    return (
        f" {level} mqguard - [AUTHENTICATION] User:{_plain(record.user)} is authenticated {outcome} with Signature = "
    )


def _authorization(record: Decision, need: Need, verdict: Verdict) -> str:
    level = "DEBUG" if verdict.allowed else "INFO"
    return (
        f" {level} mqguard - [AUTHORIZATION] Subject = User:{_plain(record.user)} is {verdict.decision.value} "
        f"Action = {','.join(action_names(need))} from sourceIp = {record.source} on resource = "
        f"{_plain(need.key)} for request = {record.code}.\n"
    )


def _json(value: dict[str, object]) -> str:
    try:
        return _encode(value).decode()
    except UnicodeEncodeError:
        # A name that is no Unicode text: a peer may send half a surrogate pair. This writer escapes it.
        return json.dumps(value, separators=(",", ":"))


def need_facts(need: Need, verdict: Verdict | None) -> dict[str, object]:
    """A need, and what became of it, as they go on record."""
    told: dict[str, object] = {"resource": need.key, "actions": action_names(need)}
    if verdict is not None:
        told["verdict"] = verdict.decision.value
        if verdict.decided_by is not None:
            told["decided_by"] = _entry(verdict.decided_by)
    return told


def _entry(entry: Entry) -> dict[str, object]:
    return {
        "resource": entry.resource.key,
        "actions": [action.value for action in entry.actions],
        "sources": [source.text for source in entry.sources],
        "decision": entry.decision.value,
    }


def _plain(text: str) -> str:
    # A line per record, whatever a peer calls itself.
    return text if text.isprintable() else text.encode("unicode_escape").decode("ascii")
