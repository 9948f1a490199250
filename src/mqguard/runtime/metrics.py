"""Metrics of a server: the list of the numbers that its parts count.

The guard counts decisions itself, under names in `guard/enforcement.py` and `guard/guard.py`.
"""

from collections.abc import Callable, Iterable, Mapping

from mqguard.auth.manager import MetadataManager
from mqguard.engine.engine import Engine
from mqguard.engine.transactions import TransactionEnd
from mqguard.management.health import Health
from mqguard.net.scheduler import Scheduler
from mqguard.net.server import RemotingServer
from mqguard.proxy.cluster.directory import Directory
from mqguard.runtime.audit_log import AuditLog
from mqguard.runtime.remote.access import RemoteAccess
from mqguard.runtime.remote.brokers import BrokerMetadataStore
from mqguard.runtime.sharing.member import AccessMember, monotonic_ms
from mqguard.telemetry.metrics import MetricKind, Metrics


def observe_users(metrics: Metrics, manager: MetadataManager) -> None:
    """Add the metrics of the store of users and policies."""
    metrics.observe(
        "mqguard_metadata_revision",
        "Revision of users and policies in force.",
        lambda: manager.revision,
        MetricKind.GAUGE,
    )
    metrics.observe(
        "mqguard_metadata_conflicts_total",
        "Changes that were decided again because another server had changed users or policies.",
        lambda: manager.conflicts,
    )


def observe_member(metrics: Metrics, member: AccessMember) -> None:
    """Add the metrics of users and policies that another process stores."""
    metrics.observe(
        "mqguard_shared_access_valid_seconds",
        "Seconds for which requests are served without a message of the process that stores users and policies.",
        lambda: max(0.0, (member.valid_until_ms - monotonic_ms()) / 1000),
        MetricKind.GAUGE,
    )
    metrics.observe(
        "mqguard_shared_access_refused_total",
        "Requests that were refused because users and policies might be out of date.",
        lambda: member.refused,
    )


def observe_remote(metrics: Metrics, remote: RemoteAccess) -> None:
    """Add the metrics of users and policies in a store in the network."""
    metrics.observe(
        "mqguard_remote_access_age_seconds",
        "Seconds since the moment for which the store in the network has confirmed the users and policies.",
        lambda: remote.age_ms / 1000,
        MetricKind.GAUGE,
    )
    metrics.observe(
        "mqguard_remote_access_refused_total",
        "Requests that were refused because the store in the network has not confirmed users and policies in time.",
        lambda: remote.refused,
    )
    metrics.observe(
        "mqguard_remote_access_reloads_total",
        "Number of times that all users and policies were loaded again.",
        lambda: remote.reloads,
    )
    metrics.observe(
        "mqguard_remote_access_changes_waiting",
        "Changes of users and policies that wait for the store in the network.",
        lambda: remote.waiting,
        MetricKind.GAUGE,
    )


def observe_broker_store(metrics: Metrics, store: BrokerMetadataStore) -> None:
    """Add the metrics of users and policies that are kept by the brokers of a cluster."""
    metrics.observe(
        "mqguard_remote_access_differing_users",
        "Users that the brokers have in different forms, and who are disabled here until the brokers agree.",
        lambda: len(store.differences),
        MetricKind.GAUGE,
    )
    metrics.observe(
        "mqguard_remote_access_brokers",
        "Masters whose users and policies were read last.",
        lambda: store.brokers,
        MetricKind.GAUGE,
    )


def observe_health(metrics: Metrics, health: Health) -> None:
    """Add the health of the process, and what it is.

    Args:
        metrics: The metrics to add to.
        health: The health, with all of its checks.
    """
    metrics.observe("mqguard_ready", "1 if the server can serve clients, else 0.", health.is_ready, MetricKind.GAUGE)
    metrics.observe_each(
        "mqguard_health", "1 if a check of the server succeeds, else 0.", "check", health.results(), MetricKind.GAUGE
    )
    metrics.observe_each(
        "mqguard_info", "The kind of the server; the number is always 1.", "role", {health.role: lambda: 1.0},
        MetricKind.GAUGE,
    )  # fmt: skip


def observe_cluster(
    metrics: Metrics, directory: Directory, broker_servers: Callable[[], Iterable[RemotingServer]]
) -> None:
    """Add the cluster behind a guard.

    Args:
        metrics: The metrics to add to.
        directory: The brokers of the cluster.
        broker_servers: Returns the listeners that stand for brokers.
    """
    metrics.observe(
        "mqguard_proxy_brokers",
        "Brokers of the cluster behind the guard.",
        lambda: len(directory.brokers),
        MetricKind.GAUGE,
    )
    metrics.observe(
        "mqguard_proxy_cluster_age_seconds",
        "Seconds since a name server of the cluster has answered; -1 before the first answer.",
        lambda: -1.0 if directory.age_s is None else directory.age_s,
        MetricKind.GAUGE,
    )
    metrics.observe(
        "mqguard_proxy_broker_connections",
        "Open connections of clients to the ports in place of brokers.",
        lambda: sum(len(server.links) for server in broker_servers()),
        MetricKind.GAUGE,
    )


def observe_audit(metrics: Metrics, log: AuditLog) -> None:
    """Add the metrics of audit records."""
    writer, trail = log.writer, log.trail
    metrics.observe("mqguard_audit_records_written_total", "Audit records in the files.", lambda: writer.written)
    metrics.observe(
        "mqguard_audit_records_dropped_total",
        "Audit records of admissions that the full queue did not accept.",
        lambda: writer.dropped,
    )
    metrics.observe(
        "mqguard_audit_records_failed_total",
        "Audit records that could not be formatted or written.",
        lambda: writer.broken,
    )
    metrics.observe(
        "mqguard_audit_records_waiting", "Audit records in the queue.", lambda: writer.waiting, MetricKind.GAUGE
    )
    metrics.observe(
        "mqguard_audit_denials_summed_total",
        "Denials without an audit record of their own, counted in one for many.",
        lambda: trail.summed,
    )
    metrics.observe(
        "mqguard_audit_admissions_summed_total",
        "Admissions without an audit record of their own, counted in one for many.",
        lambda: trail.admissions.summed,
    )
    metrics.observe(
        "mqguard_audit_admissions_unrecorded_total",
        "Admissions without an audit record, because admissions are not recorded.",
        lambda: trail.admissions.unrecorded,
    )
    metrics.observe_each(
        "mqguard_audit_sink_records_dropped_total",
        "Audit records that the full queue of a plugin did not accept.",
        "sink",
        log.dropped_by_sinks(),
    )


def observe_engine(metrics: Metrics, engine: Engine) -> None:
    """Add the messages that the engine could not deliver, and the transactions.

    Args:
        metrics: The metrics to add to.
        engine: The engine.
    """
    metrics.observe_each(
        "mqguard_messages_undeliverable_total",
        "Messages that were dropped when due: they were damaged, or their topic was deleted.",
        "kind",
        {
            "delay-level": lambda: engine.delays.undeliverable,
            "timer": lambda: engine.timers.undeliverable,
            "pop": lambda: engine.redelivery.undeliverable,
        },
    )
    metrics.observe(
        "mqguard_pop_messages_in_flight",
        "Messages that were popped, and are neither acknowledged nor visible again.",
        lambda: engine.pop.in_flight_count,
        MetricKind.GAUGE,
    )
    transactions = engine.transactions
    metrics.observe(
        "mqguard_transactions_pending", "Transactions that have not ended.", lambda: len(transactions), MetricKind.GAUGE
    )
    metrics.observe(
        "mqguard_transactions_pending_bytes",
        "Bytes of messages whose transactions have not ended.",
        lambda: transactions.bytes,
        MetricKind.GAUGE,
    )
    metrics.observe_each(
        "mqguard_transactions_ended_total",
        "Transactions that have ended.",
        "result",
        {end.value: lambda end=end: transactions.ended[end] for end in TransactionEnd},  # type: ignore[misc]
    )
    metrics.observe(
        "mqguard_transaction_checks_total", "Checks of transactions that were sent.", lambda: transactions.checks
    )


def observe_servers(metrics: Metrics, scheduler: Scheduler, servers: Mapping[str, RemotingServer]) -> None:
    """Add the metrics of the listeners and their scheduler.

    Args:
        metrics: The metrics to add to.
        scheduler: The scheduler that the listeners share.
        servers: The listeners, by name.
    """

    def each(read: Callable[[RemotingServer], float]) -> dict[str, Callable[[], float]]:
        return {name: lambda server=server: read(server) for name, server in servers.items()}  # type: ignore[misc]

    metrics.observe_each("mqguard_connections", "Open connections.", "listener", each(_open_links), MetricKind.GAUGE)
    metrics.observe_each(
        "mqguard_connections_dropped_total",
        "Connections that the server closed because of a limit, a timeout or an invalid frame.",
        "listener",
        each(lambda server: server.dropped),
    )
    metrics.observe_each(
        "mqguard_frames_refused_total",
        "Frames that were refused before they were decoded, on connections that stayed.",
        "listener",
        each(lambda server: server.frames_refused),
    )
    lanes = scheduler.lanes
    metrics.observe_each(
        "mqguard_scheduler_overdrafts_total",
        "Iterations that took longer than the budget of their connections.",
        "lane",
        {name: lambda lane=lane: lane.overdrafts for name, lane in lanes.items()},  # type: ignore[misc]
    )
    metrics.observe_each(
        "mqguard_scheduler_overdraft_seconds_total",
        "Seconds by which iterations took longer than the budget of their connections.",
        "lane",
        {name: lambda lane=lane: lane.overdrawn_s for name, lane in lanes.items()},  # type: ignore[misc]
    )


def _open_links(server: RemotingServer) -> float:
    return len(server.links)
