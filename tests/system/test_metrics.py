"""The metrics of a running server, as its answer about its state shows them."""

from __future__ import annotations

import re
import socket
import time
from pathlib import Path

from tests.fixtures.access import create_user
from tests.fixtures.server import SUPER, SUPER_SECRET, Server
from tests.fixtures.wire import User, Wire

ROOT = Path(__file__).parents[2]
OF_REMOTE_STORES = {
    f"mqguard_remote_access_{name}"
    for name in ("age_seconds", "refused_total", "reloads_total", "changes_waiting", "brokers", "differing_users")
}
OF_PROXIES = {"mqguard_proxy_brokers", "mqguard_proxy_cluster_age_seconds", "mqguard_proxy_broker_connections"}
DECISIONS = {"mqguard_requests_refused_total", "mqguard_requests_shadowed_total"}
OF_SEVERAL_PROCESSES = {"mqguard_shared_access_valid_seconds", "mqguard_shared_access_refused_total"}
STATE, SEND = 28, 310


def metrics(admin: Wire) -> dict[str, float]:
    table = admin.call(STATE).json()["table"]
    return {key: float(value) for key, value in table.items() if key.startswith("mqguard_")}


def test_each_kind_of_event_is_counted(tmp_path: Path) -> None:
    """The test causes each kind of event, and its number grows."""
    with Server(tmp_path) as server, Wire(server.broker_port, User(SUPER, SUPER_SECRET)) as admin:
        before = metrics(admin)
        create_user(admin, "alice", "alice-secret")
        with Wire(server.broker_port, User("alice", "alice-secret")) as alice:
            refused = [alice.call(SEND, {"b": "orders"}) for _ in range(5)]
            assert all("decision" in answer.remark for answer in refused)
            assert alice.call(STATE).code != 0, "only who may read the cluster sees the numbers"
        with Wire(server.broker_port, User("alice", "wrong")) as guesser:
            for _ in range(15):
                guesser.call(SEND, {"b": "orders"})
        with socket.create_connection(("127.0.0.1", server.broker_port), 10) as stranger:
            stranger.sendall(b"\xff" * 64)
            assert stranger.recv(100) == b""
        written = "mqguard_audit_records_written_total"
        end = time.monotonic() + 10
        while (found := metrics(admin))[written] == before[written]:
            assert time.monotonic() < end, "a thread writes the records, but it has not within 10 seconds"
            time.sleep(0.05)

    grown = {key for key, value in found.items() if value > before.get(key, 0)}
    assert found['mqguard_requests_refused_total{stage="authorization",reason="no-match"}'] >= 5
    assert found['mqguard_requests_refused_total{stage="authentication",reason="wrong-signature"}'] == 10
    assert found['mqguard_requests_refused_total{stage="authentication",reason="throttled"}'] == 5
    assert {
        "mqguard_requests_admitted_total",
        "mqguard_audit_records_written_total",
        "mqguard_audit_denials_summed_total",
        'mqguard_connections_dropped_total{listener="broker"}',
        "mqguard_metadata_revision",
    } <= grown
    assert found['mqguard_connections_dropped_total{listener="namesrv"}'] == 0
    assert found['mqguard_connections{listener="broker"}'] >= 1
    assert found["mqguard_audit_records_dropped_total"] == 0


def test_the_page_lists_exactly_the_existing_metrics(tmp_path: Path) -> None:
    listed = set(re.findall(r"^\| `(mqguard_\w+)", (ROOT / "docs" / "metrics.md").read_text(), re.MULTILINE))
    with Server(tmp_path) as server, Wire(server.broker_port, User(SUPER, SUPER_SECRET)) as admin:
        found = {key.partition("{")[0] for key in metrics(admin)}
    # These count events that have not happened, or plugins that are not installed.
    absent = (
        DECISIONS | OF_PROXIES | OF_REMOTE_STORES | {"mqguard_audit_sink_records_dropped_total"} | OF_SEVERAL_PROCESSES
    )
    assert found | absent == listed
