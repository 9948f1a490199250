"""State of a cluster: its brokers with their load, and the records of the audit log."""

import datetime as dt
import heapq
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from mqguard.admin.client import Client, read
from mqguard.admin.denied_requests import AuditLogUnreadable
from mqguard.admin.errors import PeerRefused
from mqguard.net.errors import LinkError
from mqguard.remoting.bodies.topics import KvBody
from mqguard.remoting.codes import RequestCode
from mqguard.telemetry.audit_files import logs_of_server


class BrokerStatus(NamedTuple):
    """State of one broker.

    Attributes:
        cluster: Name of the cluster.
        name: Name of the broker.
        address: Address of the broker, `host:port`.
        error: Reason why the broker did not answer; empty if it did.
        values: Values that the broker reports, by name.
    """

    cluster: str
    name: str
    address: str
    error: str
    values: dict[str, str]

    def rate(self, name: str) -> float:
        """Return the current rate of something, the first number of a value such as `0.1 0.0 0.0`."""
        try:
            return float(self.values.get(name, "").split()[0])
        except (ValueError, IndexError):
            return 0.0


def broker_states(client: Client, cluster: str | None) -> list[BrokerStatus]:
    """Return the state of each broker of a cluster; a broker that does not answer has an error.

    Raises:
        PeerRefused: The name server refused the request.
    """
    found = []
    for broker in client.brokers(cluster):
        try:
            answer = client.at(broker.address).call(RequestCode.GET_BROKER_RUNTIME_INFO)
            status = BrokerStatus(*broker, "", read(answer, KvBody).table)
        except (LinkError, PeerRefused) as error:
            status = BrokerStatus(*broker, str(error), {})
        found.append(status)
    return found


def audit_records(log: Path, since: dt.datetime, *, with_admitted: bool = True) -> Iterator[dict[str, Any]]:
    """Yield the records of an audit log in the order of their times, all streams together.

    The files are read while the caller takes records, since they may have gigabytes.

    Args:
        log: Path of the audit log that is being written; those of other processes of the server count too.
        since: Time of the oldest record.
        with_admitted: True to include the stream of admitted requests, which is the largest.

    Raises:
        AuditLogUnreadable: The log does not exist, or cannot be read.
    """
    begin = since.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S")
    names = ("", ".unauthenticated", ".admitted") if with_admitted else ("", ".unauthenticated")
    try:
        logs = logs_of_server(log)
        streams = [_parts(one.with_name(f"{one.name}{name}"), since.timestamp()) for one in logs for name in names]
        if not log.parent.is_dir() or not any(any(one.parent.glob(f"{one.name}*")) for one in logs):
            raise AuditLogUnreadable(
                f"there is no audit log at `{log}`: each server writes its own log, so run this at the server, or give "
                "`--log PATH`"
            )
        merged = heapq.merge(*(_records(parts, begin) for parts in streams), key=lambda record: str(record["time"]))
        yield from merged
    except OSError as error:
        raise AuditLogUnreadable(f"the audit log `{log}` cannot be read: {error.strerror}") from None


def _parts(log: Path, since: float) -> list[Path]:
    """Return the files of a stream that may have records since a time, oldest first."""
    numbered = []
    for path in log.parent.glob(f"{log.name}.*"):
        number = path.name.removeprefix(f"{log.name}.")
        if number.isascii() and number.isdecimal():
            numbered.append((int(number), path))
    parts = [path for _, path in sorted(numbered, reverse=True)] + ([log] if log.exists() else [])
    return [path for path in parts if path.stat().st_mtime >= since]


def _records(parts: Iterable[Path], begin: str) -> Iterator[dict[str, Any]]:
    for path in parts:
        with path.open("rb") as stream:
            yield from (record for record in map(_parse, stream) if str(record.get("time", ""))[:19] >= begin)


def _parse(line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        return {}  # the last line of a process that was killed may be incomplete
    return found if isinstance(found, dict) else {}
