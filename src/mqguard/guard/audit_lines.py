"""Turns audit records into lines: Apache's two formats (`acl2_semantics` 10), and one JSON object per record.

Runs in the writer's thread, a batch at a time. What repeats from record to record is remembered.
"""

import datetime as dt
import hashlib
import json
from collections.abc import Sequence
from typing import TypeVar

import msgspec

from mqguard.auth.action import Action
from mqguard.auth.policy import Entry
from mqguard.auth.verdict import Verdict
from mqguard.guard.audit import AdminChange, Decision, Record
from mqguard.guard.context import Need
from mqguard.remoting.codes import RequestCode

V = TypeVar("V")

_HASHED = 12
"""Hex digits of a signature's SHA-256 that go on record: enough to tell signatures apart, useless to replay."""

_APACHE_ZONE = dt.timezone(dt.timedelta(hours=8))
"""Apache's audit log is kept in GMT+8 wherever it runs; ours can be read beside it."""

_REMEMBERED = 4096
_NAMES = {code.value: code.name for code in RequestCode}
_ORDER = {action: place for place, action in enumerate(Action)}
_encode = msgspec.json.Encoder().encode


class AuditLines:
    """Renders records for two files: Apache's lines and JSON lines. Not for several threads."""

    def __init__(self) -> None:
        self._second = -1
        self._apache_time = ""
        self._iso_time = ""
        self._authorized: dict[tuple[object, ...], str] = {}
        self._constant: dict[tuple[object, ...], tuple[str, str, Decision]] = {}

    def render(self, records: Sequence[Record]) -> tuple[bytes, bytes]:
        """The lines of a batch, for either file."""
        apache: list[str] = []
        lines: list[str] = []
        for record in records:
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
        line = {"time": self._stamp(when_ms), "event": "lost", "count": count}
        return apache.encode(), _encode(line) + b"\n"

    def _tell(self, when_ms: int) -> None:
        second = when_ms // 1000
        if second != self._second:
            self._second = second
            moment = dt.datetime.fromtimestamp(second, dt.UTC)
            self._iso_time = moment.strftime("%Y-%m-%dT%H:%M:%S")
            self._apache_time = moment.astimezone(_APACHE_ZONE).strftime("%Y-%m-%d %H:%M:%S")

    def _stamp(self, when_ms: int) -> str:
        return f"{self._iso_time}.{when_ms % 1000:03d}Z"

    def _decision(self, record: Decision, apache: list[str], lines: list[str]) -> None:
        if record.signature is not None and record.user:
            proven = bool(record.method)
            apache.append(
                f"{self._apache_time} {'DEBUG' if proven else 'INFO'} mqguard - [AUTHENTICATION] User:"
                f"{_plain(record.user)} is authenticated {'success' if proven else 'failed'} with Signature = "
                f"{hash_of(record.signature)}.\n"
            )
        for need, verdict in zip(record.needs, record.verdicts, strict=False):
            apache.append(self._apache_time + self._authorization(record, need, verdict))
        start, end = self._repeating(record)
        lines.append(f'{{"time":"{self._stamp(record.when_ms)}",{start}{record.latency_ns / 1000:.1f}{end}\n')

    def _authorization(self, record: Decision, need: Need, verdict: Verdict) -> str:
        key = (record.user, record.source, record.code, need.type, need.name, need.actions, verdict.decision)
        line = self._authorized.get(key)
        if line is None:
            level = "DEBUG" if verdict.allowed else "INFO"
            line = (
                f" {level} mqguard - [AUTHORIZATION] Subject = User:{_plain(record.user)} is {verdict.decision.value} "
                f"Action = {','.join(action_names(need))} from sourceIp = {record.source} on resource = "
                f"{_plain(need.key)} for request = {record.code}.\n"
            )
            _remember(self._authorized, key, line)
        return line

    def _repeating(self, record: Decision) -> tuple[str, str]:
        """The JSON before and after the latency; all but that and the time repeats for the requests of a client."""
        if record.refused:
            return _json_parts(record)
        # Needs and entries are the same objects again and again, so their ids tell them apart; the record that is
        # remembered keeps them alive, so that no other object can get their ids.
        deciders = tuple([id(verdict.decided_by) for verdict in record.verdicts])
        key = (
            record.user,
            record.method,
            record.source,
            record.code,
            record.stage,
            record.reason,
            id(record.needs),
            deciders,
        )
        parts = self._constant.get(key)
        if parts is None:
            parts = (*_json_parts(record), record)
            _remember(self._constant, key, parts)
        return parts[0], parts[1]

    def _change(self, record: AdminChange) -> str:
        line: dict[str, object] = {
            "time": self._stamp(record.when_ms),
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
    digest = hashlib.sha256(signature.encode("utf-8", "surrogatepass")).hexdigest()
    return f"sha256:{digest[:_HASHED]}"


def action_names(need: Need) -> list[str]:
    """The actions of a need, in the order in which they are always named."""
    return [action.value for action in sorted(need.actions, key=_ORDER.__getitem__)]


def _json_parts(record: Decision) -> tuple[str, str]:
    line: dict[str, object] = {
        "event": record.stage.value,
        "verdict": "deny" if record.refused else "allow",
        "reason": record.reason,
        "user": record.user,
        "proven_by": record.method,
        "source": record.source,
        "code": record.code,
        "request": _NAMES.get(record.code, "unknown"),
        "needs": [
            _need(need, record.verdicts[at] if at < len(record.verdicts) else None)
            for at, need in enumerate(record.needs)
        ],
    }
    if record.refused:
        line["decision"] = record.decision_id
    text = _json(line)
    return text[1:-1] + ',"micros":', "}"


def _json(value: dict[str, object]) -> str:
    try:
        return _encode(value).decode()
    except UnicodeEncodeError:
        # A name that is no Unicode text: a peer may send half a surrogate pair. This writer escapes it.
        return json.dumps(value, separators=(",", ":"))


def _need(need: Need, verdict: Verdict | None) -> dict[str, object]:
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


def _remember(memory: dict[tuple[object, ...], V], key: tuple[object, ...], value: V) -> None:
    if len(memory) >= _REMEMBERED:
        memory.clear()
    memory[key] = value
