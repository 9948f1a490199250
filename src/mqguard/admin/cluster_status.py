"""State of a cluster: its brokers with their load, and the records of the audit log."""

import datetime as dt
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from mqguard.admin.client import Client, read
from mqguard.admin.denied_requests import AuditLogUnreadable
from mqguard.admin.errors import PeerRefused
from mqguard.net.errors import LinkError
from mqguard.remoting.bodies.topics import KvBody
from mqguard.remoting.codes import RequestCode


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


def audit_records(log: Path, since: dt.datetime) -> Iterator[dict[str, Any]]:
    """Yield the records of an audit log in the order of their times, all streams together.

    Args:
        log: Path of the audit log that is being written.
        since: Time of the oldest record.

    Raises:
        AuditLogUnreadable: The log does not exist, or cannot be read.
    """
    begin = since.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S")
    records = []
    try:
        files = sorted(log.parent.glob(f"{log.name}*"))
        if not files:
            raise AuditLogUnreadable(f"there is no audit log at `{log}`: run this at the server, or give `--log PATH`")
        for path in files:
            if path.stat().st_mtime < since.timestamp():
                continue
            with path.open("rb") as stream:
                records += [record for record in map(_parse, stream) if str(record.get("time", ""))[:19] >= begin]
    except OSError as error:
        raise AuditLogUnreadable(f"the audit log `{log}` cannot be read: {error.strerror}") from None
    yield from sorted(records, key=lambda record: str(record["time"]))


def _parse(line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        return {}  # the last line of a process that was killed may be incomplete
    return found if isinstance(found, dict) else {}
