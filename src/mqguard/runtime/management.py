"""The HTTP listener of a process, and the checks of its health."""

import asyncio
import contextlib
import logging
from typing import Final

from mqguard.config import management_options, server_options
from mqguard.config.loader import Configuration
from mqguard.management.application import application
from mqguard.management.health import Health, State
from mqguard.management.listener import ManagementListener
from mqguard.management.settings import management_address
from mqguard.proxy.cluster.directory import Directory
from mqguard.runtime.access_components import AccessComponents
from mqguard.runtime.errors import StartFailed
from mqguard.runtime.metrics import observe_health
from mqguard.telemetry.prometheus import PrometheusCollector

_LOG = logging.getLogger(__name__)

MAX_DIRECTORY_AGE_S: Final = 90.0
"""Seconds without an answer of a name server after which `mqguard proxy` is not ready."""


class Management:
    """The health of a process, and its HTTP listener if there is one.

    Args:
        config: The configuration.
        role: The kind of the process.
        access: The access control of the process.

    Attributes:
        health: The health.
    """

    def __init__(self, config: Configuration, role: str, access: AccessComponents) -> None:
        self._config = config
        self._access = access
        self._listener: ManagementListener | None = None
        self.health = Health(role)
        self.health.add("access", self._access_problem)
        self.health.add("audit", self._audit_problem)

    def add_directory(self, directory: Directory) -> None:
        """Add a check of the cluster behind a guard."""

        def problem() -> str | None:
            if directory.age_s is None:
                return "no name server of the cluster has answered yet"
            if directory.age_s > MAX_DIRECTORY_AGE_S:
                return f"no name server of the cluster has answered for {directory.age_s:.0f} s"
            return None if directory.brokers else "the name servers of the cluster know no broker"

        self.health.add("cluster", problem)

    def start(self, loop: asyncio.AbstractEventLoop) -> str:
        """Start to listen, if a port is configured; return `host:port`, empty without a port.

        Raises:
            StartFailed: The port cannot be used.
        """
        observe_health(self._access.metrics, self.health)
        port = self._config.get(management_options.PORT)
        if port is None:
            return ""
        address = management_address(self._config)
        registry = PrometheusCollector(self._access.metrics).registry
        credentials = self._config.get(management_options.CREDENTIALS)
        app = application(self.health, registry, credentials, lambda: int(loop.time() * 1000))
        self._listener = ManagementListener(app, loop)
        try:
            found = self._listener.start(address, port)
        except OSError as exc:
            raise StartFailed(
                f"the port {port} on {address} for metrics and health cannot be used: {exc.strerror or exc}; choose "
                f"another with `{management_options.PORT.name}`"
            ) from None
        return f"[{address}]:{found}" if ":" in address else f"{address}:{found}"

    def serving(self) -> None:
        """Report that the process serves clients."""
        self.health.state = State.SERVING

    async def stopping(self) -> None:
        """Report that the process stops, and wait until load balancers have seen it."""
        self.health.state = State.STOPPING
        delay_s = self._config.get(management_options.SHUTDOWN_DELAY) / 1000
        if delay_s:
            _LOG.info("the server stops in %.1f s; `/readyz` answers 503 until then", delay_s)
            await asyncio.sleep(delay_s)

    def close(self) -> None:
        """Close the listener."""
        if self._listener is not None:
            with contextlib.suppress(OSError):
                self._listener.close()

    def _access_problem(self) -> str | None:
        follower = self._access.follower
        return None if follower is None or follower.is_current else follower.outdated

    def _audit_problem(self) -> str | None:
        if not self._access.audit.writer.is_full:
            return None
        if self._config.get(server_options.AUDIT_WHEN_FULL) == "refuse":
            return "the queue of the audit log is full, and `auditWhenFull = refuse`: requests are refused"
        return None
