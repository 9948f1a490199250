"""Denied requests in an audit log, counted by user, request and resource."""

import datetime as dt
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from mqguard.errors import ErrorKind, MqguardError
from mqguard.telemetry.audit_files import logs_of_server

MAX_SOURCES = 4
"""Maximum number of addresses that are kept for one kind of denied requests."""


class AuditLogUnreadable(MqguardError):
    """An audit log does not exist, or cannot be read."""

    kind = ErrorKind.UNREACHABLE


class DenialKey(NamedTuple):
    """Common properties of denied requests of one kind.

    Attributes:
        user: Name of the user, as authenticated or only as given; empty for anonymous clients.
        is_authenticated: True if the user was authenticated.
        request: Name of the request code.
        code: Request code; 0 for denials that the log only counts together.
        resource: Resource that was denied; empty if the denial was not about a resource.
        actions: Actions of which one was needed.
        reason: Keyword of the reason.
        is_shadow: True if shadow mode allowed the requests.
    """

    user: str
    is_authenticated: bool
    request: str
    code: int
    resource: str
    actions: tuple[str, ...]
    reason: str
    is_shadow: bool


class DenialCount(msgspec.Struct):
    """Number of denied requests of one kind.

    Attributes:
        count: Number of requests.
        last: Time of the last one (ISO 8601, UTC).
        decision: Decision id of one of them, for `mqguard why`; empty if there is none.
        sources: Addresses of clients, at most `MAX_SOURCES`.
    """

    count: int = 0
    last: str = ""
    decision: str = ""
    sources: list[str] = []


class _LoggedPermission(msgspec.Struct, gc=False):
    resource: str = ""
    actions: list[str] = []
    verdict: str = ""


class _LoggedDenial(msgspec.Struct, gc=False):
    time: str
    event: str = ""
    verdict: str = ""
    reason: str = ""
    user: str = ""
    authenticated_by: str = ""
    source: str = ""
    code: int = 0
    request: str = ""
    decision: str = ""
    count: int = 1
    permissions: list[_LoggedPermission] = []
    reasons: list[str] = []
    sources: list[str] = []


_ADMITTED = ".admitted"
"""Part of the names of files that contain no denials."""

_decode = msgspec.json.Decoder(_LoggedDenial).decode
_DENIED = (b'"verdict":"deny"', b'"verdict":"shadow-deny"')


def count_denials(log: Path, since: dt.datetime) -> dict[DenialKey, DenialCount]:
    """Count the denied requests in an audit log, most frequent first.

    Args:
        log: Path of the audit log that is being written. Older parts, the log of unauthenticated clients and those of
            other processes of the server count too.
        since: Time of the oldest record to count.

    Raises:
        AuditLogUnreadable: The log does not exist, or cannot be read.
    """
    begin = since.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S")
    found: dict[DenialKey, DenialCount] = {}
    try:
        files = [
            path
            for one in logs_of_server(log)
            for path in sorted(one.parent.glob(f"{one.name}*"))
            if _ADMITTED not in path.name
        ]
        if not files:
            raise AuditLogUnreadable(
                f"there is no audit log at `{log}`: each server writes its own log, so run this at the server, or give "
                "`--log PATH`"
            )
        for path in files:
            if path.stat().st_mtime >= since.timestamp():
                _count(path, begin, found)
    except OSError as error:
        raise AuditLogUnreadable(f"the audit log `{log}` cannot be read: {error.strerror}") from None
    return dict(sorted(found.items(), key=lambda pair: -pair[1].count))


def _count(path: Path, begin: str, found: dict[DenialKey, DenialCount]) -> None:
    with path.open("rb") as stream:
        for line in _lines(stream):
            # Times of one form compare as texts; the first 19 characters are whole seconds.
            if line.time[:19] < begin:
                continue
            entry = found.setdefault(_key(line), DenialCount())
            entry.count += max(1, line.count)
            entry.decision = line.decision or entry.decision
            entry.last = max(entry.last, line.time)
            for source in line.sources or [line.source]:
                if source and source not in entry.sources and len(entry.sources) < MAX_SOURCES:
                    entry.sources.append(source)


def _lines(stream: Iterable[bytes]) -> Iterator[Any]:
    for text in stream:
        if any(mark in text for mark in _DENIED):
            try:
                line = _decode(text)
            except msgspec.DecodeError:
                continue  # the last line of a process that was killed may be incomplete
            if line.verdict in ("deny", "shadow-deny"):
                yield line


def _key(line: _LoggedDenial) -> DenialKey:
    denied = next((one for one in line.permissions if one.verdict == "Deny"), _LoggedPermission())
    is_folded = line.event == "folded"
    return DenialKey(
        line.user,
        bool(line.authenticated_by),
        "several requests" if is_folded else line.request,
        line.code,
        denied.resource,
        tuple(denied.actions),
        ",".join(line.reasons) if is_folded else line.reason,
        line.verdict == "shadow-deny",
    )
