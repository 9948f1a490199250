"""Access control of a process: users and policies, the audit log, the guard and its plugins."""

import asyncio
import contextlib
import os
import secrets
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from mqguard.auth.manager import MetadataManager
from mqguard.auth.ports import MetadataStore, RecordingStore
from mqguard.auth.seal import SealingKey
from mqguard.config import access_options, server_options, store_options
from mqguard.config.loader import Configuration
from mqguard.dispatch.access_requests import CHANGE_CODES, AccessProcessor
from mqguard.dispatch.admission import RemotingAdmission
from mqguard.dispatch.rpc_admission import Freshness, RpcAdmission
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
from mqguard.runtime.errors import StartFailed
from mqguard.runtime.plugin_store import ChangeJournal, PluginStore
from mqguard.runtime.plugin_threads import PluginThreads
from mqguard.runtime.remote.access import ChangeLog, RemoteAccess
from mqguard.runtime.remote.brokers import BrokerMetadataStore
from mqguard.runtime.remote.ports import RemoteStore
from mqguard.runtime.remote.stores import JOURNAL_FILE, open_brokers, open_etcd
from mqguard.runtime.sealing_key import server_sealing_key
from mqguard.runtime.sharing.member import AccessMember
from mqguard.runtime.sharing.published_store import PublishedStore
from mqguard.store.metadata.rocksdb import RocksMetadataStore
from mqguard.store.sealing_key import read_sealing_key
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
        owner: The data directory of the process whose users and policies this one shares; None if it has its own.
        is_proxy: True if brokers of a cluster are behind this process, which may keep users and policies.

    Raises:
        ConfigInvalid: A setting cannot be used.
        StartFailed: A file cannot be written.
        MetadataStoreFailed: Users and policies cannot be opened.

    Attributes:
        key: The key that seals secrets.
        users: The store of users and policies.
        store: The same store, whose writes are reported; it does not exist if users and policies are those of another
            process.
        member: The users and policies of another process; None if this one has its own.
        remote: The users and policies of a store in the network, None without one.
        broker_store: The brokers as this store, None without them.
        plugin_store: The plugin that stores users and policies, None without one.
        manager: Users and policies.
        audit: The audit log.
        metrics: The metrics of the process.
        guard: The guard.
        admission: The guard for requests of the remoting protocol.
        rpc_admission: The guard for gRPC calls.
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
        owner: Path | None = None,
        *,
        is_proxy: bool = False,
    ) -> None:
        self.member: AccessMember | None = None
        self.remote: RemoteAccess | None = None
        self.broker_store: BrokerMetadataStore | None = None
        self.plugin_store: PluginStore | None = None
        self._check_provider(config, owner, is_proxy=is_proxy)
        if owner is None:
            self.key = server_sealing_key(data)
            inner = self._open_store(loaded.store, config, data)
            self.users: MetadataStore = inner
            self.store = PublishedStore(inner)
            opened.callback(self.store.close)
            self.manager = MetadataManager(self.store, new_incarnation)
            self.audit = _audit_log(self.manager, loaded.sinks, config, data, first_start, clock)
        else:
            self.key = _shared_sealing_key(owner)
            self.users = self.member = AccessMember(owner, config.get(server_options.BROKER_NAME), self.key)
            opened.callback(self.member.close)
            self.manager = MetadataManager(self.member)
            self.audit = AuditLog(config, data, self.manager, clock, loaded.sinks)
        opened.callback(self.audit.close)
        self.metrics = Metrics()
        metrics.observe_users(self.metrics, self.manager)
        metrics.observe_audit(self.metrics, self.audit)
        if self.member is not None:
            metrics.observe_member(self.metrics, self.member)
        self._serve_remote(config, clock)
        ports = GuardPorts(
            metadata=self.manager, clock=clock, ticks=time.perf_counter_ns, new_id=_decision_id, audit=self.audit.trail,
            metrics=self.metrics,
        )  # fmt: skip
        self.threads: PluginThreads | None = None
        self.suspension: SuspendedRequests | None = None
        self.guard: Guard
        self._open_guard(loaded.guard, config, ports, opened)

    @property
    def follower(self) -> AccessMember | RemoteAccess | None:
        """Users and policies that are stored elsewhere; None if this process stores them."""
        return self.member or self.remote

    def attach(self, loop: asyncio.AbstractEventLoop, end_iteration: Callable[[], None]) -> None:
        """Set the event loop of the requests.

        Args:
            loop: The event loop.
            end_iteration: Requests the end of an iteration without input.
        """
        if self.threads is not None:
            self.threads.attach(loop, end_iteration)
        if self.plugin_store is not None:
            self.plugin_store.attach(loop)
        if self.follower is not None:
            self.follower.attach(loop, self.manager, end_iteration)

    def _check_provider(self, config: Configuration, owner: Path | None, *, is_proxy: bool) -> None:
        option = access_options.AUTHENTICATION_METADATA_PROVIDER
        if config.get(option) == "brokers" and not is_proxy:
            raise config.refusal(option, "only `mqguard proxy` has brokers behind it that keep users and policies")
        if config.get(option) == "etcd" and owner is not None:
            raise config.refusal(
                option, f"`{server_options.SHARED_ACCESS_PATH.name}` names another store: remove one of the two keys"
            )

    def _serve_remote(self, config: Configuration, clock: Clock) -> None:
        """Set what makes the changes of users and policies of a remote store, in a thread."""
        remote = self.remote
        if remote is None:
            return
        metrics.observe_remote(self.metrics, remote)
        if self.broker_store is not None:
            metrics.observe_broker_store(self.metrics, self.broker_store)
        changer, changes = self.manager.fork(remote.writer), ChangeLog()
        broker = settings.broker_settings(config)
        handlers = AccessProcessor(
            changer,
            changes,
            self.key,
            broker.secret_exposure,
            clock,
            anonymous_administers=broker.anonymous_administers,
        ).handlers()
        remote.serve(changer, {code: handlers[code] for code in CHANGE_CODES}, changes, self.audit.trail.put_change)

    def _open_store(self, plugin: MetadataStore | None, config: Configuration, data: Path) -> RecordingStore:
        provider = config.get(access_options.AUTHENTICATION_METADATA_PROVIDER)
        if plugin is None and provider in {"etcd", "brokers"}:
            store: RemoteStore
            if provider == "etcd":
                store = open_etcd(config, data, self.key)
            else:
                store = self.broker_store = open_brokers(config, data)
            self.remote = RemoteAccess(
                store,
                config.get(store_options.REMOTE_ACCESS_MAX_AGE) * 1000,
                config.get(store_options.REMOTE_ACCESS_INTERVAL),
            )
            return self.remote
        if plugin is None:
            return RocksMetadataStore(data / "access", self.key)
        journal = ChangeJournal(data / JOURNAL_FILE)
        self.plugin_store = PluginStore(plugin, config.get(access_options.PLUGIN_TIMEOUT), journal)
        return self.plugin_store

    def _open_guard(
        self, extensions: InstalledPlugins, config: Configuration, ports: GuardPorts, opened: contextlib.ExitStack
    ) -> None:
        guard_settings = settings.guard_settings(config)
        max_age_s = config.get(access_options.SIGNATURE_MAX_AGE)
        freshness = Freshness(max_age_s * 1000, ports.clock.now_ms) if max_age_s else None
        if not extensions:
            self.guard = Guard(guard_settings, ports)
            self.admission = RemotingAdmission(self.guard, guard_settings.cluster)
            self.rpc_admission = RpcAdmission(self.guard, freshness=freshness)
            return
        self.guard = plugin_guard = PluginGuard(guard_settings, ports, extensions)
        self.admission = RemotingAdmission(plugin_guard, guard_settings.cluster, plugin_guard.resume)
        self.rpc_admission = RpcAdmission(plugin_guard, plugin_guard.resume, freshness)
        self.threads = PluginThreads(extensions.limit_ms, config.get(access_options.PLUGIN_THREADS))
        opened.callback(self.threads.close)
        self.suspension = SuspendedRequests(self.threads, self.admission.resume)


def _shared_sealing_key(owner: Path) -> SealingKey:
    """Return the sealing key of another process.

    Raises:
        StartFailed: It has none yet.
    """
    key = read_sealing_key(owner / settings.SEALING_KEY_FILE, os.environ.get(settings.SEALING_KEY_VARIABLE))
    if key is None:
        raise StartFailed(
            f"`{owner}` has no `{settings.SEALING_KEY_FILE}`: start `mqguard namesrv` with this data directory first"
        )
    return key


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
    if config.get(access_options.AUTHENTICATION_METADATA_PROVIDER) != "brokers":
        # Otherwise the brokers create them.
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
