"""`mqguard status`, `mqguard audit`: the state of the brokers, and the records of the audit log."""

import datetime as dt
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from mqguard.cli.connection import DATA, Connection, with_connection
from mqguard.cli.output import Exit, emit, end, examples, json_option, show_table
from mqguard.cli.user import Duration


@click.command(epilog=examples("status", "status --json"))
@with_connection
@json_option
def status(connection: Connection, *, as_json: bool) -> None:
    """Show the brokers of the cluster with their version and load.

    Exit code 1: a broker does not answer.
    """
    from mqguard.admin.cluster_status import broker_states

    with connection.client() as client:
        found = broker_states(client, connection.cluster)
    rows = []
    for one in found:
        version = one.values.get("mqguardVersion")
        shown = f"mqguard {version}" if version else one.values.get("brokerVersionDesc", "-")
        line = {
            "cluster": one.cluster,
            "broker": one.name,
            "address": one.address,
            "version": shown,
            "sentPerSecond": one.rate("putTps"),
            "receivedPerSecond": one.rate("getTransferredTps"),
            "topics": one.values.get("topics"),
            "groups": one.values.get("groups"),
            "consumersOnline": one.values.get("consumersOnline"),
            "error": one.error or None,
        }
        if as_json:
            emit({**line, "values": one.values}, "", as_json=True)
        rows.append(tuple("-" if cell is None else str(cell) for cell in line.values()))
    if not as_json:
        head = ("#Cluster", "#Broker", "#Address", "#Version", "#Sent/s", "#Received/s", "#Topics", "#Groups")
        show_table((*head, "#Consumers", "#Error"), rows)
    end(Exit.FAILED if any(one.error for one in found) else Exit.DONE)


@click.command(
    epilog=examples("audit --since 10m", "audit --changes --since 7d", "audit --denied --user alice --since 1d --json")
)
@click.option(
    "--since", "since_ms", type=Duration(), default="1h", show_default=True, help="Time to look back, such as 30m."
)
@click.option("--user", help="Only records of this user.")
@click.option("--denied", is_flag=True, help="Only denied requests, also those that shadow mode allowed.")
@click.option("--changes", is_flag=True, help="Only changes of users and policies.")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    envvar="MQGUARD_DATA",
    show_envvar=True,
    default=DATA,
    show_default=True,
    help="The data directory of the server.",
)
@click.option("--log", type=click.Path(path_type=Path), help="The audit log [default: that of the data directory].")
@json_option
def audit(
    since_ms: int, user: str | None, data: Path, log: Path | None, *, denied: bool, changes: bool, as_json: bool
) -> None:
    """Show the records of the audit log on this machine, oldest first.

    Each server writes its own log, so run the command at each of them.

    With `--json` the records are printed as the log has them.
    """
    from mqguard.admin.cluster_status import audit_records

    since = dt.datetime.now(dt.UTC) - dt.timedelta(milliseconds=since_ms)
    path = log or data / "audit" / "audit.jsonl"
    for record in audit_records(path, since, with_admitted=not (denied or changes)):
        is_change = record.get("event") == "change"
        is_denied = record.get("verdict") in ("deny", "shadow-deny")
        wanted = (changes and is_change) or (denied and is_denied) or not (changes or denied)
        if wanted and user in (None, record.get("user")):
            emit(record, _record_text(record), as_json=as_json)


def _record_text(record: Mapping[str, Any]) -> str:
    shown = _TEXTS.get(str(record.get("event")), _decision_text)
    user = f"User:{record['user']}" if record.get("user") else "anonymous"
    source = f" from {record['source']}" if record.get("source") else ""
    return f"{record['time']} {user}{source} {shown(record)}"


def _change_text(record: Mapping[str, Any]) -> str:
    details = ", ".join(f"{key}={value}" for key, value in dict(record.get("details") or {}).items())
    return f"{record.get('operation')} {record.get('subject')}: {record.get('outcome')}" + (
        f" ({details})" if details else ""
    )


def _decision_text(record: Mapping[str, Any]) -> str:
    permissions = record.get("permissions") or []
    needed = ", ".join(f"{' or '.join(one['actions'])} on {one['resource']}" for one in permissions)
    times = f" {record['count']} times" if record.get("count") else ""
    decision = f" [decision {record['decision']}]" if record.get("decision") else ""
    about = f" {needed}" if needed else ""
    request = record.get("request") or record.get("event")
    return f"{record.get('verdict')}{times} {request}{about} ({record.get('reason')}){decision}"


_TEXTS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "change": _change_text,
    "lost": lambda record: f"{record.get('count')} records are missing here",
    "not-recorded": lambda record: f"admissions are not recorded ({record.get('count')} since the start)",
}
