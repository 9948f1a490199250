"""Access control of a process: users and policies, the audit log, the guard and its plugins."""

import contextlib
import secrets
import time
from collections.abc import Sequence
from pathlib import Path

from mqguard.auth.manager import MetadataManager
from mqguard.auth.ports import MetadataStore
from mqguard.auth.seal import SealingKey
from mqguard.config import access_options
from mqguard.config.loader import Configuration
from mqguard.dispatch.admission import RemotingAdmission
from mqguard.dispatch.suspended import SuspendedRequests
from mqguard.guard.guard import Guard
from mqguard.guard.plugin_adapters import InstalledPlugins
from mqguard.guard.plugin_api import RecordSink
from mqguard.guard.plugin_guard import PluginGuard
from mqguard.guard.ports import GuardPorts
from mqguard.model.process import Clock
from mqguard.runtime import metrics, plugins, settings
from mqguard.runtime.access import OnAdminCreated, new_incarnation, prepare_users
from mqguard.runtime.audit_log import AuditLog
from mqguard.runtime.plugin_store import ChangeJournal, PluginStore
from mqguard.runtime.plugin_threads import PluginThreads
from mqguard.runtime.sealing_key import server_sealing_key
from mqguard.store.metadata.rocksdb import RocksMetadataStore
from mqguard.telemetry.metrics import Metrics


class AccessComponents:
    """Access control of one process.

    Args:
        config: The configuration.
        loaded: The plugins of the configuration.
        data: The data directory, locked by this process.
        clock: The clock.
        first_start: Called if a Super user was created.
        opened: Gets what must be closed.

    Raises:
        ConfigInvalid: A setting cannot be used.
        StartFailed: A file cannot be written.
        MetadataStoreFailed: Users and policies cannot be opened.

    Attributes:
        key: The key that seals secrets.
        users: The store of users and policies.
        manager: Users and policies.
        audit: The audit log.
        metrics: The metrics of the process.
        guard: The guard.
        admission: The guard for requests of the remoting protocol.
        threads: The threads of plugins, None without plugins.
        suspension: The requests that wait for plugins, None without plugins.
    """

    def __init__(
        self,
        config: Configuration,
        loaded: plugins.LoadedPlugins,
        data: Path,
        clock: Clock,
        first_start: OnAdminCreated,
        opened: contextlib.ExitStack,
    ) -> None:
        self.key = server_sealing_key(data)
        self.users = _metadata_store(loaded.store, config, data, self.key)
        opened.callback(self.users.close)
        self.manager = MetadataManager(self.users, new_incarnation)
        self.audit = _audit_log(self.manager, loaded.sinks, config, data, first_start, clock)
        opened.callback(self.audit.close)
        self.metrics = Metrics()
        metrics.observe_users(self.metrics, self.manager)
        metrics.observe_audit(self.metrics, self.audit)
        ports = GuardPorts(
            metadata=self.manager, clock=clock, ticks=time.perf_counter_ns, new_id=_decision_id, audit=self.audit.trail,
            metrics=self.metrics,
        )  # fmt: skip
        self.threads: PluginThreads | None = None
        self.suspension: SuspendedRequests | None = None
        self.guard: Guard
        self._open_guard(loaded.guard, config, ports, opened)

    def _open_guard(
        self, extensions: InstalledPlugins, config: Configuration, ports: GuardPorts, opened: contextlib.ExitStack
    ) -> None:
        guard_settings = settings.guard_settings(config)
        if not extensions:
            self.guard = Guard(guard_settings, ports)
            self.admission = RemotingAdmission(self.guard, guard_settings.cluster)
            return
        self.guard = plugin_guard = PluginGuard(guard_settings, ports, extensions)
        self.admission = RemotingAdmission(plugin_guard, guard_settings.cluster, plugin_guard.resume)
        self.threads = PluginThreads(extensions.limit_ms, config.get(access_options.PLUGIN_THREADS))
        opened.callback(self.threads.close)
        self.suspension = SuspendedRequests(self.threads, self.admission.resume)


def _metadata_store(plugin: MetadataStore | None, config: Configuration, data: Path, key: SealingKey) -> MetadataStore:
    if plugin is None:
        return RocksMetadataStore(data / "access", key)
    journal = ChangeJournal(data / "access-changes.json")
    return PluginStore(plugin, config.get(access_options.PLUGIN_TIMEOUT), journal)


def _audit_log(
    manager: MetadataManager,
    sinks: Sequence[tuple[str, RecordSink]],
    config: Configuration,
    data: Path,
    first_start: OnAdminCreated,
    clock: Clock,
) -> AuditLog:
    """Create the users of a start, and return the audit log with the changes that were missing."""
    leftover = frozenset(record.id for record in manager.unwritten_records())
    prepare_users(manager, config, data, first_start, clock)
    log = AuditLog(config, data, manager, clock, sinks)
    try:
        log.recover(leftover)
    except BaseException:
        log.close()
        raise
    return log


def _decision_id() -> str:
    """Return twelve hex digits: short enough to read out, too many to guess."""
    return secrets.token_hex(6)
